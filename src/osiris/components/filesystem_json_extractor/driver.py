"""Reads JSON files: each value as it is spelled, checked against its column's type, then cast."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from osiris.errors import Location, fail
from osiris.families.files.dtype import declared_types
from osiris.families.files.json_columns import JsonColumn, JsonGuess
from osiris.families.files.json_source import BadRow, JsonFile, Rows
from osiris.families.files.paths import Probe, label, sources
from osiris.families.files.source_file import state_of
from osiris.families.files.type_inference import PINNED, REFRESH
from osiris.families.json_text import BadJson, compact
from osiris.families.quarantine import Reject, pass_on, quarantine
from osiris.families.source_columns import check_known
from osiris.model import Described, Field
from osiris.table import ahead, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.model import Schema
    from osiris.table import RowStream

BATCHES_AHEAD = 2
REPORTED_BAD_ROWS = 20
MAX_KEYS = 4096
"""More keys than these are data and not columns, unless the columns are listed."""


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    path: str
    format: Literal["auto", "lines", "array"] = "auto"
    columns: Sequence[str] | None = None
    limit: int | None = None
    dtype: Mapping[str, str] = field(default_factory=dict)
    parse_dates: Sequence[str] = ()
    sample: int | str = 100_000
    encoding: str = "utf-8"
    compression: Literal["infer", "none", "gzip", "zstd", "bz2", "zip", "xz"] = "infer"
    on_bad_lines: Literal["error", "warn", "skip"] = "error"

    @property
    def sampled(self) -> int | None:
        """Return how many rows of each file are looked at; None for all."""
        return None if self.sample == "all" else int(self.sample)


class Driver:
    """An extractor of JSON files."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the keys of the first rows of each file as columns, with the types that their values allow."""
        files = _files(config, ctx)
        given = declared_types(config.dtype, beside={"json"})
        looking = _Looking(config, ctx, given)
        for file in files:
            looking.look(file)
        names = looking.names(files[0].label)
        types = {name: given.get(name) or looking.guesses[name].named() for name in names}
        schema = tuple(Field(name, types[name]) for name in names)
        rows = sum(probe.estimate() for probe in looking.probes)
        return Described(schema, "fixed", min(rows, config.limit or rows), state_of(file.path for file in files))

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Read the sample in the planned types, unless misfits are set aside; fails as `read` does."""
        files = _files(config, ctx)
        if ctx.on_reject == "fail":
            silent = replace(ctx, count=lambda _metric, _value: None, emit=lambda _event, _fields: None)
            for file in files:
                for _batch in _Reading(config, silent, schema).rows([file], config.sampled):
                    pass
        return state_of(file.path for file in files)

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of all files, one after the other; fails with DAT001 and DAT011 for those not as planned."""
        files = _files(config, ctx)
        rows = _Reading(config, ctx, schema).rows(files, config.limit)
        return ahead(stream(schema, rows, "fixed"), BATCHES_AHEAD)


def _files(config: Config, ctx: StepContext) -> list[JsonFile]:
    form = (config.format, config.encoding, config.compression)
    return [JsonFile(path, label(ctx, path), *form) for path in sources(ctx, config.path)]


def _ignore(_row: BadRow) -> None:
    """Leave it to the run."""


def _tolerant(config: Config, ctx: StepContext) -> bool:
    return config.on_bad_lines != "error" or ctx.on_reject == "quarantine"


@dataclass(slots=True)
class _Looking:
    """A look at the first rows of files: the columns in the order of their appearance, and what they may be."""

    config: Config
    ctx: StepContext
    given: Mapping[str, str]
    guesses: dict[str, JsonGuess] = field(default_factory=dict)
    probes: list[Probe] = field(default_factory=list)

    def look(self, file: JsonFile) -> None:
        """Take the first rows of a file into account."""
        left = self.config.sampled
        probe = Probe(file.path)
        self.probes.append(probe)
        on_bad_row = _ignore if _tolerant(self.config, self.ctx) else None
        for found in file.rows(probe.on_bytes, on_bad_row):
            rows = Rows(found.rows[:left], found.lines[:left])
            self._add_names(rows.rows)
            if len(self.guesses) > MAX_KEYS and self.config.columns is None:
                hint = "list the columns to read"
                fail("DAT004", file=file.label, problem=f"its rows have more than {MAX_KEYS} keys", hint=hint)
            for name, guess in self.guesses.items():
                self._guess(file, rows, name, guess)
            probe.rows += len(found.rows)
            left = None if left is None else left - len(rows.rows)
            if left == 0:
                return
        probe.whole = True

    def _add_names(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            if not row.keys() <= self.guesses.keys():
                for name in row:
                    self.guesses.setdefault(name, JsonGuess(moment=name in self.config.parse_dates))

    def _guess(self, file: JsonFile, rows: Rows, name: str, guess: JsonGuess) -> None:
        wanted = self.config.columns is None or name in self.config.columns
        if name in self.given or not wanted:
            return
        values = [row.get(name) for row in rows.rows]
        misfit = guess.look(values)
        if misfit is not None:
            _fail_misfit(file, rows.lines[misfit], name, values[misfit], "a date or timestamp", declared=True)

    def names(self, where: str) -> list[str]:
        """Return the columns; fails with DAT004 if there are none or one has a bad name, DAT005 if one is unknown."""
        found = list(self.guesses)
        if self.config.columns is None:
            known = found
        else:  # a key that is declared may be missing from the sample
            known = list(dict.fromkeys([*found, *(name for name in self.config.columns if name in self.given)]))
        named = {key: getattr(self.config, key) or () for key in ("columns", "dtype", "parse_dates")}
        check_known(named, known, where)
        names = found if self.config.columns is None else list(self.config.columns)
        if not names:
            fail("DAT004", file=where, problem="it has no rows, and so no columns", hint="declare columns and dtype")
        bad = next((name for name in names if not name or not _is_text(name)), None)
        if bad is not None:
            fail("DAT004", file=where, problem=f"the key {bad!r} cannot be the name of a column")
        return names


def _is_text(name: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in name)


def _shown(value: Any) -> str:  # noqa: ANN401  any JSON value
    text = _text(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _text(value: Any) -> str:  # noqa: ANN401  any JSON value
    try:
        return compact(value).encode(errors="backslashreplace").decode()
    except BadJson as bad:
        return f"a value ({bad.problem})"


def _fail_misfit(file: JsonFile, line: int, column: str, value: Any, wanted: str, *, declared: bool) -> None:  # noqa: ANN401
    hint = f"give '{column}' a dtype that holds it; json holds anything"
    hint = hint if declared else f"{PINNED}: {REFRESH}, or {hint}"
    fail("DAT001", at=Location(file.label, line), hint=hint, column=column, value=_shown(value), type=wanted)


class _Reading:
    """One pass over files: the columns that are wanted, and what becomes of rows that do not fit."""

    def __init__(self, config: Config, ctx: StepContext, schema: Schema) -> None:
        declared = {*config.dtype, *config.parse_dates}
        self._config = config
        self._ctx = ctx
        self._columns = [JsonColumn(column.name, column.type, column.name in declared) for column in schema]
        self._names = {column.name for column in schema}
        self._skipped: Counter[str] = Counter()

    def rows(self, files: Sequence[JsonFile], limit: int | None) -> Iterator[pa.RecordBatch]:
        """Give the rows of files, one after the other, at most `limit`."""
        left = limit
        with quarantine(self._ctx) if self._ctx.on_reject == "quarantine" else nullcontext() as reject:
            waiting: list[Reject] = []
            aside = waiting.append if reject else None
            for file in files:
                for found in file.rows(self._count_bytes, self._on_bad_row(file, aside)):
                    rows = Rows(found.rows[:left], found.lines[:left])
                    batch = self._typed(file, rows, aside)
                    pass_on(waiting, reject)
                    self._ctx.count("rows_read", batch.num_rows)
                    yield batch
                    left = None if left is None else left - len(rows.rows)
                    if left == 0:
                        return
                pass_on(waiting, reject)

    def _typed(self, file: JsonFile, rows: Rows, reject: Callable[[Reject], None] | None) -> pa.RecordBatch:
        wrong = self._unplanned(file, rows, strict=reject is None)
        arrays = []
        for column in self._columns:
            values = [row.get(column.name) for row in rows.rows]
            array = column.read(values)
            if array is None:
                for index in column.misfits(values):
                    if reject is None:
                        declared = column.name in {*self._config.dtype, *self._config.parse_dates}
                        line, value = rows.lines[index], values[index]
                        _fail_misfit(file, line, column.name, value, column.type, declared=declared)
                    why = (column.name, _text(values[index]), f"not {column.type}")
                    wrong.setdefault(index, Reject(file.label, rows.lines[index], *why))
            arrays.append(array)
        if not wrong or reject is None:
            return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self._columns])
        for index in sorted(wrong):
            reject(wrong[index])
        kept = [index for index in range(len(rows.rows)) if index not in wrong]
        return self._typed(file, Rows([rows.rows[n] for n in kept], [rows.lines[n] for n in kept]), None)

    def _unplanned(self, file: JsonFile, rows: Rows, *, strict: bool) -> dict[int, Reject]:
        """Return the rows with a key that the plan does not have, though it was to have all; `strict` fails there."""
        found: dict[int, Reject] = {}
        if self._config.columns is not None:
            return found
        for index, row in enumerate(rows.rows):
            if not row.keys() <= self._names:
                key, line = next(name for name in row if name not in self._names), rows.lines[index]
                if strict:
                    problem = f"{file.label} has the key {key!r}, which is no column of the plan"
                    hint = "run 'osiris compile FILE --refresh' (sample: all if it is rare), or list the columns"
                    fail("DAT011", at=Location(file.label, line), step=self._ctx.step, problem=problem, hint=hint)
                found[index] = Reject(file.label, line, key, _text(row[key]), "no column of the plan")
        return found

    def _count_bytes(self, size: int) -> None:
        self._ctx.count("bytes_read", size)

    def _on_bad_row(self, file: JsonFile, reject: Callable[[Reject], None] | None) -> Callable[[BadRow], None] | None:
        if self._config.on_bad_lines != "error":
            return lambda row: self._skip(file, row)
        if reject is None:
            return None
        return lambda row: reject(Reject(file.label, row.line, "", row.text, row.problem))

    def _skip(self, file: JsonFile, row: BadRow) -> None:
        self._ctx.count("rows_read", 1)
        self._ctx.count("rows_rejected", 1)
        self._skipped[file.label] += 1
        if self._config.on_bad_lines == "warn" and self._skipped.total() <= REPORTED_BAD_ROWS:
            fields = {
                "file": file.label,
                "line": row.line,
                "problem": row.problem,
                "skipped": self._skipped[file.label],
            }
            self._ctx.emit("row_skipped", fields)
