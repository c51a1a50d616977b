"""Parses CSV text in blocks, several in parallel, and yields their cells in order.

A row may extend beyond a block, and within quotes beyond a line. So the end of the last row of a block is a guess by
the number of quotes before it. To confirm it, an end row is appended there: the parser finds it only if no quote was
open. Otherwise the end row is part of a cell in the last column, or the row has too few cells; so the last column of a
file is always read. A block that does not end as guessed is parsed by Arrow's streaming parser, with all that follows.
"""

from __future__ import annotations

import codecs
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from osiris.families.files.compression import PieceStream
from osiris.families.files.type_inference import MAX_DIGITS
from osiris.families.text_format import Spelling, kind_of
from osiris.kernels import compiled
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    InvalidRow = Callable[[arrow_csv.InvalidRow], str]
    Kind = tuple[str, int, int]

_END = "\x00\x04\x00"
"""The cell of every column in the end row after the last row, which detects an open quote: that would swallow it."""

_QUOTE, _LF, _CR = b'"\n\r'


_MOST_THREADS = 8
"""More threads hardly help, and each needs memory for a block."""


class OpenQuote(Exception):
    """A quote is never closed."""


class StrayQuote(Exception):
    """A quoted cell has text after its closing quote. The parser would take that as part of the cell."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows whose cells are text; or if `read`, values in the types of their columns."""

    rows: pa.RecordBatch
    read: bool = False

    def slice(self, offset: int, length: int | None = None) -> Cells:
        """Return at most `length` rows from `offset` on."""
        return Cells(self.rows.slice(offset, length), self.read)


@dataclass(frozen=True)
class Grammar:
    """How text is parsed into cells: the columns of the file, the requested ones, and the dialect.

    `on_invalid_row` takes rows with a wrong number of cells; without it they are errors.
    """

    names: Sequence[str]
    columns: Mapping[str, Spelling]
    delimiter: str
    nulls: Sequence[str]
    skips_blank_lines: bool
    on_invalid_row: InvalidRow | None = None

    @property
    def end_row(self) -> bytes:
        """The end row, which is appended after the last one."""
        return self.delimiter.join([_END] * len(self.names)).encode() + b"\n"

    def stream(self, source: PieceStream, block: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a text block by block; raises ArrowInvalid, and OpenQuote at the end."""
        reader = arrow_csv.open_csv(source, self._reading(block), self._parsing(), self._converting(utf8=False))
        last = None
        for batch in reader:
            if last:
                yield self._selected(last)
            last = batch if batch.num_rows else last
        if not last or not _ends_well(last):
            raise OpenQuote
        if last.num_rows > 1:
            yield self._selected(last.slice(0, last.num_rows - 1))

    @cached_property
    def kinds(self) -> list[Kind]:
        """The kind of each column of the file; "" for one that is not requested."""
        return [_kind(self.columns[name]) if name in self.columns else ("", 0, 0) for name in self.names]

    def read(self, text: bytes) -> pa.RecordBatch | None:
        """Return the values of a text that ends with the end row; None without it, or if a cell has another type.

        None is also returned for text that cannot be parsed, or whose meaning may depend on other text.
        """
        columns = split(text, self)
        if columns is None:
            return None
        kinds = dict(zip(self.names, self.kinds, strict=True))
        arrays = [
            column.read(cells.chunk(0)) if kinds[name][0] == "text" else cells.chunk(0)
            for (name, column), cells in zip(self.columns.items(), columns.columns, strict=True)
        ]
        misfits = any(array is None for array in arrays)
        return None if misfits else pa.RecordBatch.from_arrays(arrays, names=list(self.columns))

    def texts(self, text: bytes) -> pa.RecordBatch | None:
        """Return the cells of such a text as strings; None as for `read`."""
        reading, converting = self._reading(len(text)), self._converting(utf8=text.isascii())
        try:
            table = arrow_csv.read_csv(pa.BufferReader(text), reading, self._parsing(), converting)
        except pa.ArrowInvalid:
            return None
        rows = next(iter(table.to_batches()), None)
        return self._selected(rows.slice(0, rows.num_rows - 1)) if rows and _ends_well(rows) else None

    def _selected(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the requested columns: the last column of the file is always read."""
        return rows.select(list(self.columns))

    def _reading(self, block: int) -> arrow_csv.ReadOptions:
        return arrow_csv.ReadOptions(column_names=list(self.names), block_size=block, use_threads=False)

    def _parsing(self) -> arrow_csv.ParseOptions:
        return arrow_csv.ParseOptions(
            delimiter=self.delimiter,
            newlines_in_values=True,
            ignore_empty_lines=self.skips_blank_lines,
            invalid_row_handler=self.on_invalid_row,
        )

    def _converting(self, *, utf8: bool) -> arrow_csv.ConvertOptions:
        """Return the options that read each cell as text; `utf8`: it is known to be UTF-8, else it is checked."""
        read = list(dict.fromkeys([*self.columns, self.names[-1]]))
        return arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(read, pa.string()),
            include_columns=read,
            null_values=["", *self.nulls],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            check_utf8=not utf8,
        )


@compiled("csv_columns")
def split(text: bytes, grammar: Grammar) -> pa.Table | None:
    """Return the requested columns of a text that ends with the end row: values if they have a kind, else text.

    None if the end row is missing, or if a cell does not match its kind.
    """
    kinds, rows = dict(zip(grammar.names, grammar.kinds, strict=True)), grammar.texts(text)
    if rows is None:
        return None
    columns = zip(grammar.columns.items(), rows.columns, strict=True)
    arrays = [cells if kinds[name][0] == "text" else column.read(cells) for (name, column), cells in columns]
    misfits = any(array is None for array in arrays)
    return None if misfits else pa.table(arrays, names=list(grammar.columns))


def _kind(column: Spelling) -> Kind:
    """Return the kind of a column's cells, and the digits of decimals before and after the point."""
    if type(column) is not Spelling:  # `Checked`, whose cells stay text
        return "text", 0, 0
    if kind_of(column.type) == "decimal":
        precision, scale = map(int, parse_type(column.type).parameters)
        return ("decimal", precision - scale, scale) if precision <= MAX_DIGITS else ("text", 0, 0)
    return {"int64": "integer", "date": "date"}.get(column.type, "text"), 0, 0


def _ends_well(rows: pa.RecordBatch) -> bool:
    return rows.num_rows > 0 and all(column[-1].as_py() == _END for column in rows.columns)


def parse(grammar: Grammar, text: Iterator[bytes], size: int, threads: int) -> Iterator[Cells]:
    """Yield the cells of UTF-8 text, in blocks of `size` bytes.

    Raises ArrowInvalid, OpenQuote or StrayQuote if it is not CSV.
    """
    checked = _without_stray_quotes(text, grammar.delimiter)
    with closing(PieceStream(_with_end_row(checked, grammar.end_row))) as source:
        blocks = iter(partial(source.read, size), b"")
        if threads > 1 and grammar.on_invalid_row is None:
            several = _ParallelBlocks(grammar, blocks, min(threads, _MOST_THREADS))
            yield from several.cells()
            blocks = several.left()
        first = next(blocks, b"")
        if first:
            with closing(PieceStream(chain([first], blocks))) as left:
                yield from (Cells(rows) for rows in grammar.stream(left, size))


def _without_stray_quotes(text: Iterator[bytes], delimiter: str) -> Iterator[bytes]:
    """Yield a text as it is, perhaps in other pieces; raises StrayQuote."""
    ends = np.zeros(256, bool)
    ends[[_LF, _CR, ord(delimiter)]] = True
    is_open, before, quotes = False, b"\n", b""
    for each in chain(text, (None,)):
        piece = quotes + (each or b"")
        # What follows a quote says what it is, so quotes at the end wait for the next piece.
        complete = piece if each is None else piece.rstrip(b'"')
        quotes = piece[len(complete) :]
        if complete:
            is_open = _quote_state(b"".join((before, complete, b"\n")), ends, is_open=is_open)
            before = complete[-1:]
            yield complete


def _quote_state(text: bytes, ends: NDArray[np.bool_], *, is_open: bool) -> bool:
    """Return whether a quote is open at the end of a text, without its first and last byte; raises StrayQuote.

    `is_open` says the same of its beginning, `ends` which bytes end a cell.
    """
    around = np.frombuffer(text, np.uint8)
    before, after = around[:-2], around[2:]
    quotes = np.flatnonzero(around[1:-1] == _QUOTE)
    # In most files, each quote begins a cell, ends a cell, or is doubled. This is checked for all quotes at once.
    fits = ends.copy()
    fits[_QUOTE] = True
    opening, closes = quotes[is_open::2], quotes[not is_open :: 2]
    if fits.take(before.take(opening)).all() and fits.take(after.take(closes)).all():
        return is_open != bool(len(quotes) % 2)
    places = iter(quotes.tolist())
    for at in places:
        if not is_open:
            is_open = bool(ends[before[at]])
        elif after[at] == _QUOTE:
            next(places)
        elif ends[after[at]]:
            is_open = False
        else:
            raise StrayQuote
    return is_open


def _with_end_row(text: Iterator[bytes], row: bytes) -> Iterator[bytes]:
    # The parser removes one byte order mark, even if it is data: so one is added.
    yield codecs.BOM_UTF8
    last = b"\n"
    for piece in text:
        if piece:
            last = piece[-1:]
            yield piece
    yield (b"" if last in b"\r\n" else b"\n") + row


@dataclass(frozen=True, slots=True)
class _Block:
    """A block, the rest of the one before it, and its rows, which are being parsed; None if no row ends in it."""

    rest: bytes
    text: bytes
    rows: Future[pa.RecordBatch | None] | None


class _ParallelBlocks:
    """Blocks that are parsed by several threads: `cells` until one does not end as guessed, then `left`."""

    def __init__(self, grammar: Grammar, blocks: Iterator[bytes], threads: int) -> None:
        self._grammar, self._threads = grammar, threads
        self._blocks, self._next = blocks, next(blocks, b"")
        self._waiting: deque[_Block] = deque()
        self._rest = b""

    def cells(self) -> Iterator[Cells]:
        """Yield the cells of the blocks in order."""
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="block")
        try:
            for _ in range(self._threads + 1):
                self._begin(pool)
            while self._waiting and (rows := self._waiting[0].rows) and (batch := rows.result()) is not None:
                self._waiting.popleft()
                self._begin(pool)
                if batch.num_rows:
                    yield Cells(batch, read=True)
        finally:
            pool.shutdown(cancel_futures=True)

    def left(self) -> Iterator[bytes]:
        """Return the blocks that were not parsed; the first begins with a row."""
        if not self._waiting:
            return iter(())
        first, *following = self._waiting
        return chain([first.rest + first.text], (block.text for block in following), [self._next], self._blocks)

    def _begin(self, pool: ThreadPoolExecutor) -> None:
        """Start to parse one more block, if there is one; none after a block in which no row ends."""
        if not self._next or (self._waiting and self._waiting[-1].rows is None):
            return
        rest, text, self._next = self._rest, self._next, next(self._blocks, b"")
        block, rows = rest + text, None
        end = _end_of_rows(block) if self._next else len(block)
        if end:
            more = self._grammar.end_row if self._next else b""
            rows = pool.submit(self._grammar.read, b"".join((memoryview(block)[:end], more)))
        self._waiting.append(_Block(rest, text, rows))
        self._rest = codecs.BOM_UTF8 + block[end:]


def _end_of_rows(text: bytes) -> int:
    """Return the likely end of the last complete row of a text, with an even number of quotes before it; else 0."""
    octets, end = np.frombuffer(text, np.uint8), max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
    if np.count_nonzero(octets[:end] == _QUOTE) % 2 == 0:
        return end
    ends = np.flatnonzero((octets == _LF) | (octets == _CR)) + 1
    even = ends[np.searchsorted(np.flatnonzero(octets == _QUOTE), ends) % 2 == 0]
    return int(even[-1]) if len(even) else 0
