"""The one extractor of text files: its sample, its pass over the files, and what becomes of rows that do not fit.

What is particular to a format is how a file gives rows (`TextFile`), how the values of a column are read (`Column`),
and what tells the columns of the files (`TextExtractor.look`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Protocol, Self, TypeVar

import pyarrow as pa

from osiris.document import join
from osiris.errors import Location, diagnostic, fail, raise_all
from osiris.families.files.source_files import state_of
from osiris.families.quarantine import Reject, pass_on, quarantine
from osiris.families.text_format import kind_of, refused
from osiris.families.type_compat import EARLIER_TYPES
from osiris.model import Described, Field
from osiris.table import ahead, stream
from osiris.types import is_type_name, unknown_type

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.families.files.source_files import Place
    from osiris.model import JsonValue, Schema
    from osiris.table import RowStream

BATCHES_AHEAD = 2
REPORTED_BAD_ROWS = 20

A_MOMENT = "a date or timestamp"
PINNED = "its type is the one that the file allowed when it was looked at"
REFRESH = "run 'osiris compile FILE --refresh' (sample: all if the value is rare)"
"""What looks at a text file's types again."""

_SHOWN = 60


class Slice(Protocol):
    """Some rows, of which a part can be taken, as of a record batch."""

    @property
    def num_rows(self) -> int:
        """How many there are."""

    def slice(self, offset: int, length: int) -> Self:
        """Return the rows from a place on, at most so many."""


class Rows(Slice, Protocol):
    """Some rows of a file as they stand in it; `label` is what messages call the file."""

    @property
    def label(self) -> str:
        """The name of the file."""

    def values(self, column: str) -> Any:  # noqa: ANN401  an array or a list
        """Return the values of a column."""

    def value(self, column: str, row: int) -> Any:  # noqa: ANN401  any JSON value
        """Return one value."""

    def line_of(self, row: int) -> int:
        """Return the line, from 1, on which a row begins: none before the last one asked for."""

    def without(self, rows: Collection[int]) -> Self:
        """Return the others."""

    def unplanned(self, planned: Collection[str]) -> Mapping[int, tuple[str, str]]:
        """Return the rows that have more than the planned columns, each with the first such and its value."""


class Column(Protocol):
    """How the values of a column are read; `type` is its type."""

    @property
    def type(self) -> str:
        """The type of the column."""

    def read(self, values: Any, /) -> pa.Array | None:  # noqa: ANN401  as `Rows.values` gives them
        """Return values in the column's type, NULL kept; None if any does not fit."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is none: its text, why, what an event tells of it, and what finds its line."""

    text: str
    problem: str
    facts: Mapping[str, JsonValue]
    line: Callable[[], int]


class TextFile(Protocol):
    """A file of rows; `label` is what messages call it."""

    @property
    def path(self) -> Place:
        """Where it is."""

    @property
    def label(self) -> str:
        """The name for messages."""

    def rows(
        self, columns: Sequence[str], on_bytes: Callable[[int], None], on_bad_row: Callable[[BadRow], None] | None, /
    ) -> Iterator[Rows]:
        """Give the rows with these columns, some at a time; `on_bytes` gets the number of bytes taken from the disk.

        A row that is none is handed to `on_bad_row`; without that it fails the step.
        """


@dataclass(frozen=True, slots=True)
class TextConfig:
    """What the configs of all text files have; keys and defaults are described in each spec.yaml."""

    path: str
    columns: Sequence[str] | None = None
    limit: int | None = None
    dtype: Mapping[str, str] = field(default_factory=dict)
    sample: int | str = 100_000
    encoding: str = "utf-8"
    compression: Literal["infer", "none", "gzip", "zstd", "bz2", "zip", "xz"] = "infer"
    on_bad_lines: Literal["error", "warn", "skip"] = "error"

    @property
    def sampled(self) -> int | None:
        """Return how many rows of each file are looked at; None for all."""
        return None if self.sample == "all" else int(self.sample)

    @property
    def dates(self) -> Sequence[str]:
        """Return the columns of which only dates and timestamps will do."""
        return ()

    @property
    def declared(self) -> Collection[str]:
        """Return the columns whose types the config says, more or less."""
        return {*self.dtype, *self.dates}


C = TypeVar("C", bound=TextConfig)
S = TypeVar("S", bound=Slice)


class TextExtractor(ABC, Generic[C]):
    """An extractor of text files, but for what is particular to their format."""

    @abstractmethod
    def files(self, config: C, ctx: StepContext) -> Sequence[TextFile]:
        """Return the files of a step, at least one; fails as `sources`."""

    @abstractmethod
    def look(self, config: C, files: Sequence[Any], ctx: StepContext) -> tuple[Mapping[str, str], int | None]:
        """Return the types that the first rows of each file allow, and about how many rows there are, if looked at."""

    @abstractmethod
    def columns(self, config: C, files: Sequence[Any], schema: Schema) -> Mapping[str, Column]:
        """Return how each planned column is read."""

    @abstractmethod
    def hint(self, column: str, value: Any, wanted: str, *, declared: bool) -> str:  # noqa: ANN401  any JSON value
        """Return what to do about a value that is not of the type of its column, which was declared, or else found."""

    @abstractmethod
    def text(self, value: Any) -> str:  # noqa: ANN401  any JSON value
        """Return a value as it is written down where its row is set aside."""

    def check_planned(self, config: C, schema: Schema, files: Sequence[Any], ctx: StepContext) -> None:
        """Fail with DAT011 if the files tell, before any row is read, that they have not the planned columns."""

    def describe(self, config: C, ctx: StepContext) -> Described:
        """Return the columns with the types that the first rows of each file allow; fails as `read` does."""
        files = self.files(config, ctx)
        types, rows = self.look(config, files, ctx)
        schema = tuple(Field(name, kind) for name, kind in types.items())
        rows = rows and min(rows, config.limit or rows)
        return Described(schema, "fixed", rows, state_of(file.path for file in files))

    def confirm(self, config: C, schema: Schema, ctx: StepContext) -> str | None:
        """Read the sample in the planned types, unless misfits are set aside; fails as `read` does."""
        files = self.files(config, ctx)
        self.check_planned(config, schema, files, ctx)
        if ctx.on_reject == "fail":
            silent = replace(ctx, count=lambda _metric, _value: None, emit=lambda _event, _fields: None)
            reading = _Pass(self, config, self.columns(config, files, schema), silent)
            for file in files:
                for _batch in reading.batches([file], config.sampled):
                    pass
        return state_of(file.path for file in files)

    def read(self, config: C, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of all files, one after the other; fails with DAT001 and DAT011 for those not as planned."""
        files = self.files(config, ctx)
        self.check_planned(config, schema, files, ctx)
        reading = _Pass(self, config, self.columns(config, files, schema), ctx)
        return ahead(stream(schema, reading.batches(files, config.limit), "fixed"), BATCHES_AHEAD)

    def fail_misfit(self, rows: Rows, row: int, column: str, wanted: str, *, declared: bool) -> NoReturn:
        """Fail with DAT001 for a value; `declared` tells whether the type of its column was."""
        value = rows.value(column, row)
        hint = self.hint(column, value, wanted, declared=declared)
        at = Location(rows.label, rows.line_of(row))
        fail("DAT001", at=at, hint=hint, column=column, value=self.shown(value), type=wanted)

    def shown(self, value: Any) -> str:  # noqa: ANN401  any JSON value
        """Return a value for a message."""
        return cut(self.text(value))


class _Pass:
    """One pass over files: the columns that are wanted, and what becomes of rows that do not fit."""

    def __init__(
        self, extractor: TextExtractor[Any], config: TextConfig, columns: Mapping[str, Column], ctx: StepContext
    ) -> None:
        self._extractor = extractor
        self._config = config
        self._columns = columns
        self._ctx = ctx
        self._skipped: Counter[str] = Counter()

    def batches(self, files: Sequence[TextFile], limit: int | None) -> Iterator[pa.RecordBatch]:
        """Give the rows of files, one after the other, at most `limit`."""
        with quarantine(self._ctx) if self._ctx.on_reject == "quarantine" else nullcontext() as reject:
            waiting: list[Reject] = []
            aside = waiting.append if reject else None

            def rows() -> Iterator[Rows]:
                for file in files:
                    yield from file.rows(list(self._columns), self._count_bytes, self._on_bad_row(file, aside))
                    pass_on(waiting, reject)

            for some in limited(rows(), limit):
                batch = self._typed(some, aside)
                pass_on(waiting, reject)
                self._ctx.count("rows_read", batch.num_rows)
                yield batch

    def _typed(self, rows: Rows, reject: Callable[[Reject], None] | None) -> pa.RecordBatch:
        """Return rows in the types of their columns; those that do not fit are set aside, or fail."""
        wrong = self._unplanned(rows, strict=reject is None)
        arrays = []
        for name, column in self._columns.items():
            values = rows.values(name)
            array = column.read(values)
            for row in refused(column.read, values) if array is None else ():
                if reject is None:
                    self._extractor.fail_misfit(rows, row, name, column.type, declared=name in self._config.declared)
                wrong.setdefault(row, (name, self._extractor.text(rows.value(name, row)), f"not {column.type}"))
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

    def _on_bad_row(self, file: TextFile, reject: Callable[[Reject], None] | None) -> Callable[[BadRow], None] | None:
        if self._config.on_bad_lines != "error":
            return partial(self._skip, file)
        if reject is None:
            return None
        return lambda row: reject(Reject(file.label, row.line(), "", row.text, row.problem))

    def _skip(self, file: TextFile, row: BadRow) -> None:
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


def cut(text: str) -> str:
    """Return a text that is short enough for a message."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def declared_types(dtype: Mapping[str, str], beside: Container[str] = ()) -> dict[str, str]:
    """Return the declared type of each column, by today's name; `beside` are types that need no spelling.

    Fails with DAT012 for what is no type and DAT006 for one that a text file cannot hold.
    """
    types = {name: EARLIER_TYPES.get(text, text) for name, text in dtype.items()}
    problems = [unknown_type(text, _place(name)) for name, text in types.items() if not is_type_name(text)]
    problems += [
        diagnostic("DAT006", at=_place(name), column=name, type=text, reason="a text file has no spelling for it")
        for name, text in types.items()
        if is_type_name(text) and kind_of(text) is None and text not in beside
    ]
    if problems:
        raise_all(problems)
    return types


def _place(column: str) -> Location:
    return Location(pointer=join("/config/dtype", column))
