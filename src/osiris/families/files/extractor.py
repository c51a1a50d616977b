"""The extractor that text formats share: type inference from a sample, reading the files, and invalid rows.

A format defines how a file yields rows, how the values of a column are read, and how the columns are determined. Its
rows provide `values` by column, `text` and line of a single row, and `unplanned` for rows with further keys.
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
from osiris.families.files.source_files import BadRow, TextConfig, listed, read_all, state_of
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
    """Called with a file's name for messages and the names in its header, if it has one."""

BATCHES_AHEAD = 2
REPORTED_BAD_ROWS = 20

A_MOMENT = "a date or timestamp"


C = TypeVar("C", bound=TextConfig)
S = TypeVar("S", "pa.RecordBatch", "CsvRows", "JsonRows")


class TextExtractor(ABC, Generic[C]):
    """An extractor of text files; subclasses define the format."""

    @abstractmethod
    def _files(self, config: C, ctx: StepContext) -> Sequence[Any]:
        """Return the files of a step, at least one; fails as `sources`."""

    @abstractmethod
    def _look(self, config: C, files: Sequence[Any], ctx: StepContext) -> tuple[Mapping[str, str], int | None]:
        """Return the types inferred from the first rows of each file, and the estimated number of rows, if known."""

    @abstractmethod
    def _columns(self, config: C, files: Sequence[Any], schema: Schema) -> Mapping[str, Column]:
        """Return how each planned column is read."""

    def _check_planned(self, config: C, schema: Schema, ctx: StepContext, label: str, names: Sequence[str]) -> None:
        """Fail with DAT011 if the header of a file differs from the planned columns, before any row is read."""

    def describe(self, config: C, ctx: StepContext) -> Described:
        """Return the columns with the types inferred from the first rows of each file; fails as `read` does."""
        files = self._files(config, ctx)
        types, rows = self._look(config, files, ctx)
        schema = tuple(Field(name, kind) for name, kind in types.items())
        rows = rows and min(rows, config.limit or rows)
        return Described(schema, "fixed", rows, state_of(file.path for file in files))

    def confirm(self, config: C, schema: Schema, ctx: StepContext) -> str | None:
        """Read the sample with the planned types, unless invalid rows are quarantined; fails as `read` does.

        With a cursor, only the read itself knows which files are new.
        """
        if ctx.cursor:
            listed(ctx, config.path)
            return None
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
        """Return the rows of all files in order; fails with DAT001 or DAT011 for those that do not match the plan."""
        files = self._files(config, ctx)
        check = partial(self._check_planned, config, schema, ctx)
        reading = _Pass(config, self._columns(config, files, schema), ctx, check)
        batches = read_all(ctx, schema, [file.path for file in files], reading.batches(files, config.limit))
        return ahead(stream(schema, batches, "fixed"), BATCHES_AHEAD)


class _Pass:
    """One pass over files, which reads columns and handles invalid rows."""

    def __init__(self, config: TextConfig, columns: Mapping[str, Any], ctx: StepContext, check: CheckNames) -> None:
        self._config = config
        self._columns = columns
        self._ctx = ctx
        self._check = check
        self._skipped: Counter[str] = Counter()

    def batches(self, files: Sequence[File], limit: int | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of files in order, at most `limit`."""
        with quarantine(self._ctx) as reject:
            waiting: list[Reject] = []
            collect = waiting.append if reject else None

            def rows() -> Iterator[Rows]:
                for file in files:
                    bad = self._on_bad_row(file, collect)
                    yield from file.rows(self._columns, self._count_bytes, bad, self._check)
                    flush_rejects(waiting, reject)

            for part in limited(rows(), limit):
                batch = self._typed(part, collect)
                flush_rejects(waiting, reject)
                self._ctx.count("rows_read", batch.num_rows)
                yield batch

    def _typed(self, rows: Rows, reject: Callable[[Reject], None] | None) -> pa.RecordBatch:
        """Return rows with the types of their columns; invalid rows are rejected, or fail."""
        wrong = self._unplanned(rows, strict=reject is None)
        arrays = []
        for name, column in self._columns.items():
            array = rows.read(name, column)
            for row in refused(column.read, rows.values(name)) if array is None else ():
                if reject is None:
                    rows.fail_cell(row, name, column.type, declared=name in self._config.declared)
                wrong.setdefault(row, (name, rows.text(row, name), f"not {column.type}"))
            arrays.append(array)
        if not wrong or reject is None:
            return pa.RecordBatch.from_arrays(arrays, names=list(self._columns))
        for row in sorted(wrong):
            reject(Reject(rows.label, rows.line_of(row), *wrong[row]))
        return self._typed(rows.without(wrong), None)

    def _unplanned(self, rows: Rows, *, strict: bool) -> dict[int, tuple[str, str, str]]:
        """Return the rows with a key that is not in the plan, unless columns are configured; fails if `strict`."""
        unplanned = {} if self._config.columns is not None else rows.unplanned(self._columns)
        if unplanned and strict:
            row, (key, _value) = next(iter(unplanned.items()))
            problem = f"{rows.label} has the key {key!r}, which is no column of the plan"
            hint = "run 'osiris compile FILE --refresh' (sample: all if it is rare), or list the columns"
            fail("DAT011", at=Location(rows.label, rows.line_of(row)), step=self._ctx.step, problem=problem, hint=hint)
        return {row: (*extra, "no column of the plan") for row, extra in unplanned.items()}

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


def limited(parts: Iterable[S], limit: int | None) -> Iterator[S]:
    """Yield parts of rows up to `limit` rows in total; all for None."""
    remaining = limit
    for part in parts:
        rows = part if remaining is None else part.slice(0, remaining)
        yield rows
        remaining = None if remaining is None else remaining - rows.num_rows
        if remaining == 0:
            return


def declared_types(dtype: Mapping[str, str], extra: Container[str] = ()) -> dict[str, str]:
    """Return the declared type of each column, under its current name; `extra` are further types that are allowed.

    Fails with DAT012 for an unknown type, and DAT006 for one that a text file cannot represent.
    """
    types = {name: EARLIER_TYPES.get(text, text) for name, text in dtype.items()}
    problems = [unknown_type(text, _place(name)) for name, text in types.items() if not is_type_name(text)]
    problems += [
        diagnostic("DAT006", at=_place(name), column=name, type=text, reason="a text file cannot represent it")
        for name, text in types.items()
        if is_type_name(text) and kind_of(text) is None and text not in extra
    ]
    if problems:
        raise_all(problems)
    return types


def _place(column: str) -> Location:
    return Location(pointer=join("/config/dtype", column))
