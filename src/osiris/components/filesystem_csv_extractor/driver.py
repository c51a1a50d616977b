"""Reads CSV files: every cell as text, checked against the spelling of its column's type, then cast."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from osiris.errors import Location, fail
from osiris.families.files.csv_source import CsvFile, Dialect
from osiris.families.files.dtype import declared_types
from osiris.families.files.paths import label, sources
from osiris.families.files.source_file import state_of
from osiris.families.files.type_inference import PINNED, REFRESH, Guess, wider_type
from osiris.families.quarantine import Reject, pass_on, quarantine
from osiris.families.source_columns import check_known
from osiris.families.text_format import Spelling
from osiris.model import Described, Field
from osiris.table import ahead, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.families.files.csv_source import BadRow, RowLines
    from osiris.model import Schema
    from osiris.table import RowStream

BATCHES_AHEAD = 2
REPORTED_BAD_ROWS = 20

_NUMBERS = ("int", "uint", "decimal", "float")


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
    compression: Literal["infer", "none", "gzip", "zstd", "bz2", "zip", "xz"] = "infer"
    on_bad_lines: Literal["error", "warn", "skip"] = "error"
    sample: int | str = 100_000
    as_text: bool = False

    @property
    def sampled(self) -> int | None:
        """Return how many rows of each file are looked at; None for all."""
        return None if self.sample == "all" else int(self.sample)


class Driver:
    """An extractor of CSV files."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns with the types that the first rows of each file allow; fails as `read` does."""
        files = _files(config, ctx)
        types, rows = _types(config, files, _columns(config, files[0]))
        rows = rows and min(rows, config.limit or rows)
        schema = tuple(Field(name, "utf8" if config.as_text else types[name]) for name in types)
        return Described(schema, "fixed", rows, state_of(file.path for file in files))

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Read headers, and the sample in the planned types unless misfits are set aside; fails as `read` does."""
        files = _files(config, ctx)
        _check_planned(config, schema, files, ctx)
        if ctx.on_reject == "fail":
            silent = replace(ctx, count=lambda _metric, _value: None, emit=lambda _event, _fields: None)
            reading = _Reading(config, silent, _spellings(config, files, schema))
            for file in files:
                for _batch in reading.rows([file], config.sampled):
                    pass
        return state_of(file.path for file in files)

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of all files, one after the other; fails with DAT011 if a header is not as planned."""
        files = _files(config, ctx)
        _check_planned(config, schema, files, ctx)
        reading = _Reading(config, ctx, _spellings(config, files, schema))
        return ahead(stream(schema, reading.rows(files, config.limit), "fixed"), BATCHES_AHEAD)


def _files(config: Config, ctx: StepContext) -> list[CsvFile]:
    tolerant = config.on_bad_lines == "error" and ctx.on_reject == "quarantine"
    dialect = Dialect(
        delimiter=config.delimiter,
        encoding=config.encoding,
        header=config.header,
        skip_rows=config.skip_rows,
        skip_blank_lines=config.skip_blank_lines,
        comment=config.comment,
        compression=config.compression,
        on_bad_lines="skip" if tolerant else config.on_bad_lines,
        na_values=tuple(config.na_values),
    )
    return [CsvFile(path, label(ctx, path), dialect) for path in sources(ctx, config.path)]


def _spellings(config: Config, files: Sequence[CsvFile], schema: Schema) -> dict[str, Spelling]:
    types = {column.name: column.type for column in schema}
    if config.as_text:
        types, _rows = _types(config, files, list(types))
    return {name: Spelling(types[name], name in _declared(config)) for name in types}


def _declared(config: Config) -> set[str]:
    return {*config.dtype, *_dates(config)}


def _dates(config: Config) -> Sequence[str]:
    return () if isinstance(config.parse_dates, bool) else config.parse_dates


def _columns(config: Config, first: CsvFile) -> list[str]:
    names = first.names()
    columns = list(config.columns) if config.columns is not None else list(names)
    named = {"columns": columns, "dtype": config.dtype, "parse_dates": _dates(config)}
    check_known(named, names, first.label)
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


def _types(config: Config, files: Sequence[CsvFile], columns: Sequence[str]) -> tuple[dict[str, str], int | None]:
    """Return the type of each column, as declared, else text, or what the first rows of every file allow.

    With it goes how many rows there are, more or less, if any were looked at.
    """
    given = declared_types(config.dtype)
    if config.as_text:  # what nobody declared has no type that it could break
        given = {**{name: "utf8" for name in columns if name not in _dates(config)}, **given}
    guesses = {name: Guess(moment=name in _dates(config)) for name in columns if name not in given}
    header, rows = files[0].names(), 0
    for file in files:
        if file.names() != header:
            fail("DAT004", file=file.label, problem=f"its columns are not those of {files[0].label}")
        if guesses:
            rows += _look(file, guesses, config.sampled)
    return {name: given.get(name) or guesses[name].type() for name in columns}, rows if guesses else None


def _look(file: CsvFile, guesses: Mapping[str, Guess], rows: int | None) -> int:
    """Take the first rows of a file into account, and return how many it has, more or less."""
    seen = 0
    for batch in file.batches(list(guesses)):
        looked_at = batch if rows is None else batch.slice(0, rows - seen)
        for name, guess in guesses.items():
            misfit = guess.look(looked_at.column(name))
            if misfit is not None:
                value, wanted = looked_at.column(name)[misfit].as_py(), "a date or timestamp"
                fail_misfit(file, seen + misfit, name, value, wanted, declared=True)
        seen += looked_at.num_rows
        if seen == rows:
            return file.estimated_rows()
    return seen


def _misfit_hint(column: str, value: str, wanted: str, *, declared: bool) -> str:
    """Return what to do about a cell that is not of the type of its column, which was declared, or else found."""
    wider = wider_type(value, wanted)
    shown = f"dtype: {{{json.dumps(column, ensure_ascii=False)}: {json.dumps(wider or 'utf8')}}}"
    if wider:
        return f"set {shown}" if declared else f"{PINNED}: {REFRESH}, or set {shown}"
    is_number = wanted.startswith(_NUMBERS) and any(each.isdigit() for each in value)
    null = "" if is_number else "if it stands for NULL, list it in na_values; "
    return f"{null}if the column is text, set {shown}" + ("" if declared else f", or {REFRESH}")


def fail_misfit(file: CsvFile, row: int, column: str, value: str, wanted: str, *, declared: bool) -> None:
    """Fail with DAT001 for a cell: `row` counts the file's rows from 0; `declared` tells whether its type was."""
    line = file.line_of(row)
    shown = repr(value if len(value) <= 60 else value[:59] + "…")
    at = Location(file.label, line)
    hint = _misfit_hint(column, value, wanted, declared=declared)
    fail("DAT001", at=at, hint=hint, file=file.label, line=line, column=column, value=shown, type=wanted)


@dataclass(slots=True)
class _Reading:
    """One pass over the files: what it has left to read, and what it has met."""

    config: Config
    ctx: StepContext
    spellings: Mapping[str, Spelling]
    bad: Counter[str] = field(default_factory=Counter)

    def rows(self, files: Sequence[CsvFile], limit: int | None) -> Iterator[pa.RecordBatch]:
        """Give the rows of files, one after the other, at most `limit`."""
        left = limit
        with quarantine(self.ctx) if self.ctx.on_reject == "quarantine" else nullcontext() as reject:
            waiting: list[Reject] = []
            aside = waiting.append if reject else None
            for file in files:
                row, lines = 0, file.lines()
                for found in file.batches(list(self.spellings), self._count_bytes, self._on_bad_row(file, aside)):
                    cells = found if left is None else found.slice(0, left)
                    batch = self._typed(file, row, cells, lines, aside)
                    pass_on(waiting, reject)
                    self.ctx.count("rows_read", batch.num_rows)
                    yield batch
                    row += cells.num_rows
                    left = None if left is None else left - cells.num_rows
                    if left == 0:
                        return
                pass_on(waiting, reject)

    def _typed(
        self, file: CsvFile, row: int, cells: pa.RecordBatch, lines: RowLines, reject: Callable[[Reject], None] | None
    ) -> pa.RecordBatch:
        """Return cells as values, `row` being the number of the first; rows that do not fit are set aside, or fail."""
        arrays = []
        wrong: dict[int, tuple[str, str, str]] = {}
        for name, spelling in self.spellings.items():
            texts = cells.column(name)
            values = spelling.read(texts)
            for index in spelling.misfits(texts) if values is None else ():
                value = texts[index].as_py()
                if reject is None:
                    declared = name in self.config.dtype or name in _dates(self.config)
                    fail_misfit(file, row + index, name, value, spelling.type, declared=declared)
                wrong.setdefault(index, (name, value, f"not {spelling.type}"))
            arrays.append(texts if self.config.as_text else values)
        if not wrong or reject is None:
            return pa.RecordBatch.from_arrays(arrays, names=list(self.spellings))
        for index in sorted(wrong):
            reject(Reject(file.label, lines.line_of(row + index), *wrong[index]))
        kept = pa.array([index not in wrong for index in range(cells.num_rows)])
        return self._typed(file, row, cells.filter(kept), lines, None)

    def _count_bytes(self, size: int) -> None:
        self.ctx.count("bytes_read", size)

    def _on_bad_row(self, file: CsvFile, reject: Callable[[Reject], None] | None) -> Callable[[BadRow], None]:
        if reject is None or self.config.on_bad_lines != "error":
            return lambda row: self._skip(file, row)
        lines, numbers = file.lines(of_bad_rows=True), count()

        def set_aside(row: BadRow) -> None:
            reason = f"{row.found} fields where the header has {row.expected}"
            reject(Reject(file.label, lines.line_of(next(numbers)), "", row.text, reason))

        return set_aside

    def _skip(self, file: CsvFile, row: BadRow) -> None:
        self.ctx.count("rows_read", 1)
        self.ctx.count("rows_rejected", 1)
        self.bad[file.label] += 1
        if self.config.on_bad_lines == "warn" and self.bad.total() <= REPORTED_BAD_ROWS:
            self.ctx.emit("row_skipped", {"file": file.label, "fields": row.found, "skipped": self.bad[file.label]})
