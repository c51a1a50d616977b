"""Reads CSV files: every cell as text, checked against the spelling of its column's type, then cast."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from osiris.errors import Location, diagnostic, fail, raise_all
from osiris.families.csv_source import CsvFile, Dialect
from osiris.families.filesystem import check_known, label, sources
from osiris.families.guess import Guess
from osiris.families.spelling import Spelling, kind_of
from osiris.model import Described, Field
from osiris.table import ahead, stream
from osiris.types import is_type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.model import Schema
    from osiris.table import RowStream

BATCHES_AHEAD = 2
REPORTED_BAD_ROWS = 20

# What a dtype may be called by those who think in data frames.
_EARLIER_TYPES = {
    "str": "utf8",
    "string": "utf8",
    "object": "utf8",
    "category": "utf8",
    "int": "int64",
    "integer": "int64",
    "float": "float64",
    "double": "float64",
    "boolean": "bool",
    "date32": "date",
    "datetime": "timestamp[us]",
    "datetime64": "timestamp[us]",
    "datetime64[s]": "timestamp[s]",
    "datetime64[ms]": "timestamp[ms]",
    "datetime64[us]": "timestamp[us]",
    "datetime64[ns]": "timestamp[ns]",
    "datetime64[ns, UTC]": "timestamp[ns,UTC]",
    **{f"{sign}Int{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "Float32": "float32",
    "Float64": "float64",
}


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    path: str
    delimiter: str = ","
    encoding: str = "utf-8"
    header: bool | int = True
    columns: Sequence[str] | None = None
    skip_rows: int = 0
    limit: int | None = None
    parse_dates: bool | Sequence[str] = False
    dtype: Mapping[str, str] = field(default_factory=dict)
    na_values: Sequence[str] = ()
    chunk_size: int = 10_000
    skip_blank_lines: bool | None = None
    comment: str | None = None
    compression: Literal["infer", "none", "gzip", "bz2", "zip", "xz"] = "infer"
    on_bad_lines: Literal["error", "warn", "skip"] = "error"
    sample: int | str = 100_000
    as_text: bool = False


class Driver:
    """An extractor of CSV files."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns with the types that the first rows of each file allow; fails as `read` does."""
        files = _files(config, ctx)
        types = _types(config, files, _columns(config, files[0]))
        return Described(tuple(Field(name, "utf8" if config.as_text else types[name]) for name in types), "fixed")

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of all files, one after the other; fails with DAT011 if a header is not as planned."""
        files = _files(config, ctx)
        _check_planned(config, schema, files, ctx)
        names = [column.name for column in schema]
        types = _types(config, files, names) if config.as_text else {column.name: column.type for column in schema}
        spellings = {name: Spelling(types[name], name in _declared(config)) for name in names}
        reading = _Reading(config, ctx, spellings)
        return ahead(stream(schema, reading.rows(files), "fixed"), BATCHES_AHEAD)


def _files(config: Config, ctx: StepContext) -> list[CsvFile]:
    dialect = Dialect(
        delimiter=config.delimiter,
        encoding=config.encoding,
        header=config.header,
        skip_rows=config.skip_rows,
        skip_blank_lines=config.skip_blank_lines,
        comment=config.comment,
        compression=config.compression,
        on_bad_lines=config.on_bad_lines,
        na_values=tuple(config.na_values),
    )
    return [CsvFile(path, label(ctx, path), dialect) for path in sources(ctx, config.path)]


def _declared(config: Config) -> set[str]:
    return {*config.dtype, *_dates(config)}


def _dates(config: Config) -> Sequence[str]:
    return () if isinstance(config.parse_dates, bool) else config.parse_dates


def _columns(config: Config, first: CsvFile) -> list[str]:
    names = first.names()
    columns = list(config.columns) if config.columns is not None else list(names)
    check_known([*columns, *config.dtype, *_dates(config)], names, first.label)
    return columns


def _check_planned(config: Config, schema: Schema, files: Sequence[CsvFile], ctx: StepContext) -> None:
    """Fail with DAT011 if a file lacks a planned column, or has others although all were planned."""
    planned = [column.name for column in schema]
    for file in files:
        names = file.names()
        missing = [name for name in planned if name not in names]
        if missing:
            fail("DAT011", step=ctx.step, problem=f"{file.label} has no column '{missing[0]}'")
        if config.columns is None and list(names) != planned:
            fail("DAT011", step=ctx.step, problem=f"the columns of {file.label} are {', '.join(names)}")


def _types(config: Config, files: Sequence[CsvFile], columns: Sequence[str]) -> dict[str, str]:
    """Return the type of each column: as declared, else text, or what the first rows of every file allow."""
    given = _given_types(config)
    if config.as_text:  # what nobody declared has no type that it could break
        given = {**{name: "utf8" for name in columns if name not in _dates(config)}, **given}
    guesses = {name: Guess(moment=name in _dates(config)) for name in columns if name not in given}
    header = files[0].names()
    for file in files:
        if file.names() != header:
            fail("DAT004", file=file.label, problem=f"its columns are not those of {files[0].label}")
        if guesses:
            _look(file, guesses, None if config.sample == "all" else int(config.sample))
    return {name: given.get(name) or guesses[name].type() for name in columns}


def _given_types(config: Config) -> dict[str, str]:
    types = {name: _EARLIER_TYPES.get(text, text) for name, text in config.dtype.items()}
    problems = [diagnostic("DAT012", type=text) for text in types.values() if not is_type_name(text)]
    problems += [
        diagnostic("DAT006", column=name, type=text, reason="a text file has no spelling for it")
        for name, text in types.items()
        if is_type_name(text) and kind_of(text) is None
    ]
    if problems:
        raise_all(problems)
    return types


def _look(file: CsvFile, guesses: Mapping[str, Guess], rows: int | None) -> None:
    seen = 0
    for batch in file.batches(list(guesses)):
        looked_at = batch if rows is None else batch.slice(0, rows - seen)
        for name, guess in guesses.items():
            misfit = guess.look(looked_at.column(name))
            if misfit is not None:
                fail_misfit(file, seen + misfit, name, looked_at.column(name)[misfit].as_py(), "a date or timestamp")
        seen += looked_at.num_rows
        if seen == rows:
            return


def fail_misfit(file: CsvFile, row: int, column: str, value: str, wanted: str) -> None:
    """Fail with DAT001 for a cell: `row` counts the file's rows from 0."""
    line = file.line_of(row)
    shown = repr(value if len(value) <= 60 else value[:59] + "…")
    at = Location(file.label, line)
    fail("DAT001", at=at, file=file.label, line=line, column=column, value=shown, type=wanted)


@dataclass(slots=True)
class _Reading:
    """One pass over the files: what it has left to read, and what it has met."""

    config: Config
    ctx: StepContext
    spellings: Mapping[str, Spelling]
    bad: Counter[str] = field(default_factory=Counter)

    def rows(self, files: Sequence[CsvFile]) -> Iterator[pa.RecordBatch]:
        left = self.config.limit
        for file in files:
            row = 0
            for cells in self._cells(file):
                batch = self._typed(file, row, cells if left is None else cells.slice(0, left))
                row += batch.num_rows
                self.ctx.count("rows_read", batch.num_rows)
                yield batch
                left = None if left is None else left - batch.num_rows
                if left == 0:
                    return

    def _cells(self, file: CsvFile) -> Iterator[pa.RecordBatch]:
        return file.batches(list(self.spellings), self._count_bytes, lambda found: self._bad_row(file, found))

    def _typed(self, file: CsvFile, row: int, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = []
        for name, spelling in self.spellings.items():
            cells = batch.column(name)
            values = spelling.read(cells)
            if values is None:
                index = spelling.first_misfit(cells)
                fail_misfit(file, row + index, name, cells[index].as_py(), spelling.type)
            arrays.append(cells if self.config.as_text else values)
        return pa.RecordBatch.from_arrays(arrays, names=list(self.spellings))

    def _count_bytes(self, size: int) -> None:
        self.ctx.count("bytes_read", size)

    def _bad_row(self, file: CsvFile, found: int) -> None:
        self.ctx.count("rows_read", 1)
        self.ctx.count("rows_rejected", 1)
        self.bad[file.label] += 1
        if self.config.on_bad_lines == "warn" and self.bad.total() <= REPORTED_BAD_ROWS:
            self.ctx.emit("row_skipped", {"file": file.label, "fields": found, "skipped": self.bad[file.label]})
