"""CSV files as Arrow batches of strings, and the line numbers of their rows.

Arrow's streaming parser gets UTF-8 text and the column names, and returns every column as text. For a parse error,
the file is read again, row by row, up to the wrong row.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import Counter, deque
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa
from pyarrow import csv as arrow_csv

from osiris.errors import Location, fail
from osiris.families.files.compression import decoded, line_lists, unpacked, without_comments, without_mark
from osiris.families.files.csv_blocks import Cells, Grammar, OpenQuote, StrayQuote, parse
from osiris.families.files.source_files import BadRow, Probe, TextConfig
from osiris.families.files.type_inference import PINNED, REFRESH, cut, wider_type

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence

    from osiris.families.files.source_files import SourceFile
    from osiris.families.text_format import Spelling

BLOCKS = (2 << 20, 32 << 20, 256 << 20)
"""Block sizes of the parser in bytes: a row must fit into a block, and the next size is tried only if one does not."""
MAX_CELL_BYTES = 64 << 20

_DELIMITERS = (";", "\t", "|", ",")
"""Common delimiters."""
_LOCAL_DATE = re.compile(r"(\d{1,2})([./-])(\d{1,2})[./-](\d{2}|\d{4})")
_MONTHS = 12
_DECIMAL_COMMA = re.compile(r"-?(\d+|\d{1,3}(\.\d{3})+),\d+")
_NUMBERS = ("int", "uint", "decimal", "float")


@dataclass(frozen=True, slots=True)
class Dialect(TextConfig):
    """The format of the rows of a file, as configured."""

    delimiter: str = ","
    header: bool | int = True
    skip_rows: int = 0
    skip_blank_lines: bool | None = None
    comment: str | None = None
    na_values: Sequence[str] = ()

    @property
    def rows_before_data(self) -> int:
        """The number of rows up to and including the header."""
        if isinstance(self.header, bool):
            return int(self.header)
        return self.header + 1

    def skips_blank_lines(self, width: int) -> bool:
        """Return whether blank lines are skipped in a file of `width` columns; else they are rows of NULL."""
        if self.comment:
            return True
        return width > 1 if self.skip_blank_lines is None else self.skip_blank_lines


class RowLines:
    """Finds the lines of rows in one pass over the file; rows must be requested in increasing order."""

    def __init__(self, rows: Iterator[tuple[int, list[str]]]) -> None:
        self._rows = rows
        self._passed = 0

    def line_of(self, row: int) -> int:
        """Return the line, from 1, on which a row begins; rows count from 0, and must not go backwards."""
        line = next(islice(self._rows, row - self._passed, None), (0, [""]))[0]
        self._passed = row + 1
        return line


@dataclass(frozen=True, slots=True)
class CsvRows:
    """Consecutive rows of a file as cells; `first` is the number of the first row in the file, from 0."""

    label: str
    cells: Cells
    first: int
    lines: RowLines

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return int(self.cells.rows.num_rows)

    def slice(self, offset: int, length: int) -> CsvRows:
        """Return at most `length` rows from `offset` on."""
        return replace(self, cells=self.cells.slice(offset, length), first=self.first + offset)

    def values(self, column: str) -> pa.Array:
        """Return the cells of a column."""
        return self.cells.rows.column(column)

    def read(self, name: str, column: Spelling) -> pa.Array | None:
        """Return the values of a column; None if any cell does not match its type."""
        return self.values(name) if self.cells.read else column.read(self.values(name))

    def text(self, row: int, column: str) -> str:
        """Return one cell."""
        return str(self.values(column)[row].as_py())

    def fail_cell(self, row: int, column: str, kind: str, *, declared: bool) -> NoReturn:
        """Fail with DAT001 for a cell that does not match the type of its column, `declared` or inferred."""
        text = self.text(row, column)
        hint = _hint(column, text, kind, declared=declared)
        at = Location(self.label, self.line_of(row))
        fail("DAT001", at=at, hint=hint, column=column, value=repr(cut(text)), type=kind)

    def line_of(self, row: int) -> int:
        """Return the line, from 1, on which a row begins; rows must be requested in increasing order."""
        return self.lines.line_of(self.first + row)

    def without(self, rows: Collection[int]) -> CsvRows:
        """Return the other rows; `line_of` is no longer valid for them."""
        remaining = pa.array([n not in rows for n in range(self.num_rows)])
        return replace(self, cells=Cells(self.cells.rows.filter(remaining)))

    def unplanned(self, _planned: Collection[str]) -> Mapping[int, tuple[str, str]]:
        """Return nothing: further columns of a file are detected by its header."""
        return {}


def _hint(column: str, value: str, kind: str, *, declared: bool) -> str:
    """Return the hint for a cell that does not match the type of its column."""
    wider = wider_type(value, kind)
    shown = f"dtype: {{{json.dumps(column, ensure_ascii=False)}: {json.dumps(wider or 'utf8')}}}"
    if wider:
        return f"set {shown}" if declared else f"{PINNED}: {REFRESH}, or set {shown}"
    name = '"{}"'.format(column.replace('"', '""'))
    if declared and kind.startswith(("date", "timestamp")) and (local := _LOCAL_DATE.fullmatch(value)):
        convert = f"strptime({name}, {_date_format(local)})::DATE"
        return f"dates must be like 2025-01-31: set {shown}, and convert the column in SQL: {convert}"
    if kind.startswith(_NUMBERS) and _DECIMAL_COMMA.fullmatch(value):
        convert = f"CAST(replace(replace({name}, '.', ''), ',', '.') AS DECIMAL(18,2))"
        return f"for a decimal comma set {shown}, and convert the column in SQL: {convert}"
    is_number = kind.startswith(_NUMBERS) and any(each.isdigit() for each in value)
    null = "" if is_number else "if it means NULL, list it in na_values; "
    return f"{null}if the column is text, set {shown}" + ("" if declared else f", or {REFRESH}")


def _date_format(match: re.Match[str]) -> str:
    """Return the SQL text of the format of a date like 31.01.2025, the day first unless it must be the month."""
    _, mark, second, year = match.groups()
    order = ("%m", "%d") if int(second) > _MONTHS else ("%d", "%m")
    return f"'{mark.join((*order, '%Y' if len(year) > 2 else '%y'))}'"


def _ignore(*_args: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class CsvFile:
    """One file and its format; `label` names it in messages, and `threads` is how many may parse it."""

    path: SourceFile
    label: str
    dialect: Dialect
    threads: int = 1

    def names(self) -> tuple[str, ...]:
        """Return the names of the columns; fails with DAT004 if they are missing, empty or repeated."""
        with closing(self._pieces()) as pieces:
            return self._head(pieces)[0]

    def check(self, check: Callable[[str, Sequence[str]], None]) -> None:
        """Call `check` with the file's name for messages and its columns; fails as `names`."""
        check(self.label, self.names())

    def rows(
        self,
        columns: Mapping[str, Spelling],
        on_bytes: Callable[[int], None] = _ignore,
        on_bad_row: Callable[[BadRow], None] | None = None,
        check: Callable[[str, Sequence[str]], None] = _ignore,
    ) -> Iterator[CsvRows]:
        """Yield the rows as cells with exactly these columns in this order; an empty cell is NULL.

        `on_bytes` gets the number of bytes read from the disk, `on_bad_row` each row that is skipped. `check` is called
        with the file's name for messages and its columns before the first row.
        """
        done = reported = 0
        lines, bad_lines = RowLines(self._rows()), RowLines(self._rows(of_bad_rows=True))
        for block in BLOCKS:
            again = block != BLOCKS[0]
            bad = _NewBadRows(reported, bad_lines, on_bad_row or _ignore)
            threads = 1 if again else self.threads
            parsed = self._parse(block, threads, columns, _ignore if again else on_bytes, bad.hear, check)
            try:
                for cells in _after(done, parsed):
                    yield CsvRows(self.label, cells, done, lines)
                    done += cells.rows.num_rows
            except pa.ArrowInvalid:
                reported = bad.reported
                self._explain(done, block)
            else:
                return
        self._too_large(self._line_of(done))

    def estimated_rows(self) -> int:
        """Return the estimated number of rows, by the lines of the first piece."""
        probe = Probe(self.path)
        with closing(unpacked(self.path, self.label, self.dialect.compression, probe.on_bytes)) as pieces:
            probe.rows = next(pieces, b"").count(b"\n")
        return probe.estimate()

    def _line_of(self, row: int) -> int:
        """Return the line, from 1, on which a data row begins; rows count from 0."""
        return RowLines(self._rows()).line_of(row)

    def _parse(
        self,
        block: int,
        threads: int,
        columns: Mapping[str, Spelling],
        on_bytes: Callable[[int], None],
        on_bad_row: Callable[[arrow_csv.InvalidRow], None],
        check: Callable[[str, Sequence[str]], None],
    ) -> Iterator[Cells]:
        def skip(row: arrow_csv.InvalidRow) -> str:
            on_bad_row(row)
            return "skip"

        with closing(self._pieces(on_bytes)) as pieces:
            names, rest = self._head(pieces)
            check(self.label, names)
            grammar = Grammar(
                names,
                columns,
                self.dialect.delimiter,
                self.dialect.na_values,
                self.dialect.skips_blank_lines(len(names)),
                None if self.dialect.on_bad_lines == "error" else skip,
            )
            try:
                yield from parse(grammar, chain([rest], pieces), block, threads)
            except OpenQuote:
                fail("DAT013", file=self.label, problem=f"the quote opened in line {self._last_line()} is never closed")
            except StrayQuote:
                line = self._stray_line()
                problem, hint = f"a cell in line {line} has text after its closing quote", "double each quote in a cell"
                fail("DAT013", at=Location(self.label, line), hint=hint, file=self.label, problem=problem)

    def _last_line(self) -> int:
        with closing(self._rows()) as rows:
            return max((line for line, _row in rows), default=1)

    def _stray_line(self) -> int:
        with closing(self._texts()) as texts, _field_limit():
            lines = islice(chain.from_iterable(line_lists(texts)), self.dialect.skip_rows, None)
            reader = csv.reader(lines, delimiter=self.dialect.delimiter, strict=True)
            with suppress(csv.Error):
                deque(reader, maxlen=0)
            return self.dialect.skip_rows + reader.line_num

    def _texts(self, on_bytes: Callable[[int], None] = _ignore) -> Generator[str]:
        pieces = unpacked(self.path, self.label, self.dialect.compression, on_bytes)
        texts = decoded(pieces, self.dialect.encoding, self.label)
        if self.dialect.comment:
            texts = without_comments(texts, self.dialect.comment, self.dialect.delimiter, self.dialect.skip_rows)
        yield from texts

    def _pieces(self, on_bytes: Callable[[int], None] = _ignore) -> Generator[bytes]:
        """Yield the text in UTF-8, without byte order mark and comments; line numbers are unchanged."""
        plain = codecs.lookup(self.dialect.encoding).name in ("utf-8", "utf-8-sig") and not self.dialect.comment
        if not plain:
            yield from (text.encode() for text in self._texts(on_bytes))
            return
        yield from without_mark(unpacked(self.path, self.label, self.dialect.compression, on_bytes))

    def _head(self, pieces: Iterator[bytes]) -> tuple[tuple[str, ...], bytes]:
        """Read up to the first row of data; return the column names and the bytes that were read after the header."""
        buffer = b""
        while True:
            piece = next(pieces, None)  # a piece may be empty, if it was only a comment or a byte order mark
            buffer += piece or b""
            head = self._split_head(buffer, complete=piece is None)
            if head:
                names, position = head
                self._check_names(names)
                return tuple(names), buffer[position:]

    def _split_head(self, buffer: bytes, *, complete: bool) -> tuple[list[str], int] | None:
        # A truncated or invalid character is kept: the parser rejects it, unless it is in the header.
        text = buffer.decode(errors="surrogateescape")
        lines = io.StringIO(text, newline="")
        skipped = sum(1 for _line in islice(lines, self.dialect.skip_rows))
        start = lines.tell() if skipped == self.dialect.skip_rows else len(text)
        rows = filter(None, csv.reader(lines, delimiter=self.dialect.delimiter))
        row = next(islice(rows, max(self.dialect.rows_before_data - 1, 0), None), None)
        end = lines.tell()
        if not complete and (row is None or end == len(text)):
            return None
        if row is None:
            hint = "write a header line, or check the program that exports the file"
            fail("DAT004", file=self.label, problem="it has no header" if text else "it is empty", hint=hint)
        head = io.StringIO(text[start:end], newline="")
        try:
            deque(csv.reader(head, delimiter=self.dialect.delimiter, strict=True), maxlen=0)
        except csv.Error as error:
            if "expected after" in str(error):
                fail("DAT013", file=self.label, problem="its header has text after a closing quote")
        if self.dialect.header is False:
            row, end = [str(number) for number in range(len(row))], start
        return row, len(text[:end].encode(errors="surrogateescape"))

    def _check_names(self, names: list[str]) -> None:
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if "" in names:
            fail("DAT004", file=self.label, problem=f"column {names.index('') + 1} has no name")
        if repeated:
            fail("DAT004", file=self.label, problem=f"the column name {repeated[0]!r} appears twice")
        for name in names:
            if any("\udc80" <= char <= "\udcff" for char in name):
                for _text in self._texts():
                    pass

    def _rows(self, *, of_bad_rows: bool = False) -> Generator[tuple[int, list[str]]]:
        """Yield each row of data that the parser counts, or each that it skips, with the line on which it begins."""
        counts = self._is_skipped if of_bad_rows else self._counts
        width = len(self.names())
        with closing(self._texts()) as texts, _field_limit():
            lines = chain.from_iterable(line_lists(texts))
            line = 1 + sum(1 for _line in islice(lines, self.dialect.skip_rows))
            to_skip = self.dialect.rows_before_data
            for row, next_line in self._numbered(lines, line):
                if row and to_skip:
                    to_skip -= 1
                elif not to_skip and counts(row, width):
                    yield line, row
                line = next_line

    def _numbered(self, lines: Iterator[str], first: int) -> Iterator[tuple[list[str], int]]:
        reader = csv.reader(lines, delimiter=self.dialect.delimiter)
        try:
            for row in reader:
                yield row, first + reader.line_num
        except csv.Error:
            self._too_large(first + reader.line_num - 1)

    def _counts(self, row: list[str], width: int) -> bool:
        if not row:
            return not self.dialect.skips_blank_lines(width)
        return len(row) == width or self.dialect.on_bad_lines == "error"

    def _is_skipped(self, row: list[str], width: int) -> bool:
        return bool(row) and len(row) != width

    def _too_large(self, line: int) -> NoReturn:
        fail(
            "DAT007",
            at=Location(self.label, line),
            hint="check for a quote that is never closed",
            file=self.label,
            line=line,
            limit=MAX_CELL_BYTES,
        )

    def _explain(self, done: int, block: int) -> None:
        """Fail with the error in the block after `done` rows; return if a row is only larger than the block."""
        width = len(self.names())
        total = 0
        for line, row in islice(self._rows(), done, None):
            if row and len(row) != width:
                at, hint = Location(self.label, line), self._other_delimiter()
                fail("DAT002", at=at, hint=hint, file=self.label, line=line, found=len(row), expected=width)
            size = sum(map(len, row))
            if size * 8 > block:  # characters have up to four bytes, and a block may be only half full
                return
            total += size
            if total > block * 2:
                break
        fail("DAT013", file=self.label, problem=f"it is not valid CSV near line {self._line_of(done)}")

    def _other_delimiter(self) -> str | None:
        """Return the hint if the header seems to have another delimiter; None if it has several names."""
        (name, *more) = self.names()
        likely = next((each for each in _DELIMITERS if each in name), None)
        return f"the header contains {likely!r}: set delimiter: {json.dumps(likely)}" if likely and not more else None


class _NewBadRows:
    """Reports the bad rows of a file that is parsed again, except the first `before`, which were reported already."""

    def __init__(self, before: int, lines: RowLines, report: Callable[[BadRow], None]) -> None:
        self._seen = 0
        self._lines, self._report = lines, report
        self.reported = before

    def hear(self, row: arrow_csv.InvalidRow) -> None:
        """Report a row, if it is new."""
        number, self._seen = self._seen, self._seen + 1
        if self._seen > self.reported:
            self.reported = self._seen
            problem = f"{row.actual_columns} fields where the header has {row.expected_columns}"
            self._report(
                BadRow(row.text, problem, {"fields": row.actual_columns}, partial(self._lines.line_of, number))
            )


def _after(count: int, parts: Iterator[Cells]) -> Iterator[Cells]:
    for part in parts:
        rest = part.slice(min(count, part.rows.num_rows)) if count else part
        count -= part.rows.num_rows - rest.rows.num_rows
        if rest.rows.num_rows:
            yield rest


@contextmanager
def _field_limit() -> Iterator[None]:
    before = csv.field_size_limit(MAX_CELL_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)
