"""The one extractor of text files: its sample, its pass over the files, and what becomes of rows that do not fit.

What is particular to a format is how a file gives rows, how the values of a column are read, and what tells the columns
of the files. Rows tell their `values` by column, the `text` and the line of one, and which have more than was planned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import pyarrow as pa

from osiris.document import join
from osiris.errors import Location, diagnostic, fail, raise_all
from osiris.families.files.source_files import BadRow, TextConfig, state_of
from osiris.families.quarantine import Reject, flush_rejects, quarantine
from osiris.families.text_format import kind_of, refused
from osiris.families.type_compat import EARLIER_TYPES
from osiris.model import Described, Field
from osiris.table import ahead, stream
from osiris.types import is_type_name, unknown_type

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.families.files.csv_files import CsvFile, CsvRows
    from osiris.families.files.json_files import JsonColumn, JsonFile, JsonRows
    from osiris.families.text_format import Spelling
    from osiris.model import Schema
    from osiris.table import RowStream

    File: TypeAlias = CsvFile | JsonFile
    Rows: TypeAlias = CsvRows | JsonRows
    Column: TypeAlias = Spelling | JsonColumn
    CheckNames: TypeAlias = Callable[[str, Sequence[str]], None]
    """Is told what messages call a file, and the names in its header, if it has one."""

BATCHES_AHEAD = 2
REPORTED_BAD_ROWS = 20

A_MOMENT = "a date or timestamp"


C = TypeVar("C", bound=TextConfig)
S = TypeVar("S", "pa.RecordBatch", "CsvRows", "JsonRows")


class TextExtractor(ABC, Generic[C]):
    """An extractor of text files, but for what is particular to their format."""

    @abstractmethod
    def _files(self, config: C, ctx: StepContext) -> Sequence[Any]:
        """Return the files of a step, at least one; fails as `sources`."""

    @abstractmethod
    def _look(self, config: C, files: Sequence[Any], ctx: StepContext) -> tuple[Mapping[str, str], int | None]:
        """Return the types that the first rows of each file allow, and about how many rows there are, if looked at."""

    @abstractmethod
    def _columns(self, config: C, files: Sequence[Any], schema: Schema) -> Mapping[str, Column]:
        """Return how each planned column is read."""

    def _check_planned(self, config: C, schema: Schema, ctx: StepContext, label: str, names: Sequence[str]) -> None:
        """Fail with DAT011 if the header of a file tells, before any row is read, other columns than the planned."""

    def describe(self, config: C, ctx: StepContext) -> Described:
        """Return the columns with the types that the first rows of each file allow; fails as `read` does."""
        files = self._files(config, ctx)
        types, rows = self._look(config, files, ctx)
        schema = tuple(Field(name, kind) for name, kind in types.items())
        rows = rows and min(rows, config.limit or rows)
        return Described(schema, "fixed", rows, state_of(file.path for file in files))

    def confirm(self, config: C, schema: Schema, ctx: StepContext) -> str | None:
        """Read the sample in the planned types, unless misfits are set aside; fails as `read` does."""
        files = self._files(config, ctx)
        check = partial(self._check_planned, config, schema, ctx)
        if ctx.on_reject != "fail":
            for file in files:
                file.check(check)
            return state_of(file.path for file in files)
        silent = replace(ctx, count=lambda _metric, _value: None, emit=lambda _event, _fields: None)
        reading = _Pass(config, self._columns(config, files, schema), silent, check)
        for file in files:
            for _batch in reading.batches([file], config.sampled):
                pass
        return state_of(file.path for file in files)

    def read(self, config: C, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of all files, one after the other; fails with DAT001 and DAT011 for those not as planned."""
        files = self._files(config, ctx)
        check = partial(self._check_planned, config, schema, ctx)
        reading = _Pass(config, self._columns(config, files, schema), ctx, check)
        return ahead(stream(schema, reading.batches(files, config.limit), "fixed"), BATCHES_AHEAD)


class _Pass:
    """One pass over files: the columns that are wanted, and what becomes of rows that do not fit."""

    def __init__(self, config: TextConfig, columns: Mapping[str, Any], ctx: StepContext, check: CheckNames) -> None:
        self._config = config
        self._columns = columns
        self._ctx = ctx
        self._check = check
        self._skipped: Counter[str] = Counter()

    def batches(self, files: Sequence[File], limit: int | None) -> Iterator[pa.RecordBatch]:
        """Give the rows of files, one after the other, at most `limit`."""
        with quarantine(self._ctx) as reject:
            waiting: list[Reject] = []
            aside = waiting.append if reject else None

            def rows() -> Iterator[Rows]:
                for file in files:
                    bad = self._on_bad_row(file, aside)
                    yield from file.rows(self._columns, self._count_bytes, bad, self._check)
                    flush_rejects(waiting, reject)

            for some in limited(rows(), limit):
                batch = self._typed(some, aside)
                flush_rejects(waiting, reject)
                self._ctx.count("rows_read", batch.num_rows)
                yield batch

    def _typed(self, rows: Rows, reject: Callable[[Reject], None] | None) -> pa.RecordBatch:
        """Return rows in the types of their columns; those that do not fit are set aside, or fail."""
        wrong = self._unplanned(rows, strict=reject is None)
        arrays = []
        for name, column in self._columns.items():
            array = rows.read(name, column)
            for row in refused(column.read, rows.values(name)) if array is None else ():
                if reject is None:
                    rows.refuse(row, name, column.type, declared=name in self._config.declared)
                wrong.setdefault(row, (name, rows.text(row, name), f"not {column.type}"))
            arrays.append(array)
        if not wrong or reject is None:
            return pa.RecordBatch.from_arrays(arrays, names=list(self._columns))
        for row in sorted(wrong):
            reject(Reject(rows.label, rows.line_of(row), *wrong[row]))
        return self._typed(rows.without(wrong), None)

    def _unplanned(self, rows: Rows, *, strict: bool) -> dict[int, tuple[str, str, str]]:
        """Return the rows with a key that the plan does not have, though it was to have all; `strict` fails there."""
        found = {} if self._config.columns is not None else rows.unplanned(self._columns)
        if found and strict:
            row, (key, _value) = next(iter(found.items()))
            problem = f"{rows.label} has the key {key!r}, which is no column of the plan"
            hint = "run 'osiris compile FILE --refresh' (sample: all if it is rare), or list the columns"
            fail("DAT011", at=Location(rows.label, rows.line_of(row)), step=self._ctx.step, problem=problem, hint=hint)
        return {row: (*extra, "no column of the plan") for row, extra in found.items()}

    def _count_bytes(self, size: int) -> None:
        self._ctx.count("bytes_read", size)

    def _on_bad_row(self, file: File, reject: Callable[[Reject], None] | None) -> Callable[[BadRow], None] | None:
        if self._config.on_bad_lines != "error":
            return partial(self._skip, file)
        if reject is None:
            return None
        return lambda row: reject(Reject(file.label, row.line(), "", row.text, row.problem))

    def _skip(self, file: File, row: BadRow) -> None:
        self._ctx.count("rows_read", 1)
        self._ctx.count("rows_rejected", 1)
        self._skipped[file.label] += 1
        if self._config.on_bad_lines == "warn" and self._skipped.total() <= REPORTED_BAD_ROWS:
            self._ctx.emit("row_skipped", {"file": file.label, **row.facts, "skipped": self._skipped[file.label]})


def limited(parts: Iterable[S], most: int | None) -> Iterator[S]:
    """Yield rows, some at a time, until there are `most`; all for None."""
    left = most
    for part in parts:
        rows = part if left is None else part.slice(0, left)
        yield rows
        left = None if left is None else left - rows.num_rows
        if left == 0:
            return


def declared_types(dtype: Mapping[str, str], beside: Container[str] = ()) -> dict[str, str]:
    """Return the declared type of each column, by today's name; `beside` are types that need no spelling.

    Fails with DAT012 for what is no type and DAT006 for one that a text file cannot hold.
    """
    types = {name: EARLIER_TYPES.get(text, text) for name, text in dtype.items()}
    problems = [unknown_type(text, _place(name)) for name, text in types.items() if not is_type_name(text)]
    problems += [
        diagnostic("DAT006", at=_place(name), column=name, type=text, reason="a text file cannot represent it")
        for name, text in types.items()
        if is_type_name(text) and kind_of(text) is None and text not in beside
    ]
    if problems:
        raise_all(problems)
    return types


def _place(column: str) -> Location:
    return Location(pointer=join("/config/dtype", column))
