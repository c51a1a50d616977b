"""What a component implements, and the only things a driver may touch.

A component is a folder with `spec.yaml` and `driver.py`. The driver module has a frozen dataclass `Config`, whose
fields are the properties of the spec's config schema, and one class `Driver` that is one of the protocols below. A
driver is made once per step, without arguments, in the worker process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from osiris.path_policy import PathPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from osiris.model import Described, JsonValue, Order, Schema
    from osiris.table import RowStream

ConfigT_contra = TypeVar("ConfigT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer says it wrote: rows and bytes, and the files it published, relative to the project root.

    `stored` are the objects that it put into a store, each as path (its URL), size, sha256 and etag.
    `ledger` is the database, relative to the project root, whose ledger has the record of the delivery. `earlier` is
    the digest that it has of these rows, if an attempt before this one has delivered them: then nothing was read and
    nothing was written. `hashes` are the SHA-256 of files that were hashed on their way; others are read for it, so
    they say nothing else about what was written.
    """

    rows: int
    bytes: int
    files: tuple[str, ...] = ()
    rejected: int = 0
    ledger: str | None = None
    earlier: JsonValue = None
    stored: tuple[Mapping[str, JsonValue], ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class StepContext:
    """Everything of the outside that a driver may touch.

    `root` is the project root and the working directory; relative paths start there. `connection` has the resolved
    fields, secrets as `Secret`; `family` is its family. `sources` has the id of the step behind each input, by the
    input's name. `bindings` has the typed values of `${run.…}` and sensitive parameters by name. `on_reject` is the
    step's shared key of that name: with `quarantine`, a row that does not fit is set aside among the artifacts instead
    of failing the step.
    `run_key` is the same for all attempts at one run, and `plan` the fingerprint of what runs; both are empty outside
    of a run. `digest()` is that of the rows that a writer has taken so far.
    `paths` says which files may be read and written; it is asked by whoever opens one.
    `masked(text)` is the text without the secrets of the run, for what a driver writes among the artifacts.
    `emit(event, fields)` writes an event of this step; `count(metric, value)` adds to one of its metrics
    (`rows_read`, `rows_rejected`, `bytes_read`, …). `cancelled()` tells whether to stop soon.
    """

    step: str
    root: Path
    artifacts: Path
    scratch: Path
    connection: Mapping[str, JsonValue] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    bindings: Mapping[str, JsonValue] = field(default_factory=dict)
    on_reject: Literal["fail", "quarantine"] = "fail"
    run_key: str = ""
    plan: str = ""
    digest: Callable[[], JsonValue] = lambda: None
    threads: int = 2
    memory: int = 1 << 30
    masked: Callable[[str], str] = str
    emit: Callable[[str, Mapping[str, JsonValue]], None] = lambda _event, _fields: None
    count: Callable[[str, int], None] = lambda _metric, _value: None
    cancelled: Callable[[], bool] = lambda: False
    family: str = ""
    paths: PathPolicy = PathPolicy()  # noqa: RUF009  frozen


class Extractor(Protocol[ConfigT_contra]):
    """Reads a source.

    It may also have `confirm(config, schema, ctx) -> str | None`, which fails with DAT011 or DAT001, naming the
    difference, if the source no longer fits the planned schema, and returns the source's `state` (`Described.state`).
    Without it the source is described again.
    One whose sources DuckDB can read by itself has `relation(config, schema, ctx) -> osiris.table.Relation`, which is
    asked instead of `read` where the plan computes the step inside of a statement (`Described.native`).
    """

    def describe(self, config: ConfigT_contra, ctx: StepContext) -> Described:
        """Return the schema and order of what `read` will give; reads no more than it must."""
        ...

    def read(self, config: ConfigT_contra, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows, in the planned schema; a source that no longer fits it fails with DAT011 or DAT001."""
        ...


class Processor(Protocol[ConfigT_contra]):
    """Turns its inputs into one output."""

    def describe(self, config: ConfigT_contra, inputs: Mapping[str, Schema], ctx: StepContext) -> Described:
        """Return the schema and order of what `transform` will give for inputs of these schemas.

        The order is `fixed`, `free`, or `kept`: fixed if that of every input is. The rows that `transform` returns say
        the same, with `kept` resolved (`osiris.model.resolve_order`).
        """
        ...

    def transform(
        self, config: ConfigT_contra, inputs: Mapping[str, RowStream], schema: Schema, ctx: StepContext
    ) -> RowStream:
        """Return the output in the planned schema; each input may be read once."""
        ...


class Writer(Protocol[ConfigT_contra]):
    """Writes its one input to a target, in the delivery class that its spec declares.

    One with the capability `confirm` has `confirm(config, schema, ctx) -> str | None`, which is asked before the first
    row of a run: it fails if the target does not take rows of that schema, and else may tell whether it is `there` or
    `absent`. It changes nothing.
    """

    def check(self, config: ConfigT_contra, schema: Schema, ctx: StepContext) -> None:
        """Raise CMP012 for each column whose type the target cannot carry exactly."""
        ...

    def write(self, config: ConfigT_contra, rows: RowStream, ctx: StepContext) -> Written:
        """Write all rows, or nothing; the target shows the old or the new state, never a part."""
        ...


@dataclass(frozen=True, slots=True)
class SeenColumn:
    """A column as discovery shows it: its type there, and its type here, None with the `problem` if there is none.

    `type` and `nullable` are what a step that reads the table gives, to the letter.
    """

    name: str
    source_type: str
    type: str | None
    nullable: bool
    default: str | None = None
    comment: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SeenKey:
    """A foreign key: columns, and the table and columns that they refer to."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SeenTable:
    """A table, view or file. `name` is what people call it, `config` what the step that reads it is told.

    `rows` and `bytes` are estimates; None where nothing tells them cheaply. `columns` are None where nobody looked.
    `closed` are columns that the user may not read; a table that is not `readable` at all has no more than a name.
    `files` are those that it is made of, if it is made of files.
    """

    name: str
    component: str
    config: Mapping[str, JsonValue]
    kind: str = "table"
    rows: int | None = None
    bytes: int | None = None
    comment: str | None = None
    readable: bool = True
    columns: tuple[SeenColumn, ...] | None = None
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[SeenKey, ...] = ()
    closed: tuple[str, ...] = ()
    order: Order = "free"
    native: tuple[str, ...] | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampled:
    """Some rows of a table, and how they were chosen, in words; `whole` if they are all."""

    rows: RowStream
    method: str
    whole: bool


class Discoverer(Protocol):
    """A source that is open to be looked at; nothing in it changes.

    `label` and `product`, what it is and where, may be shown. `identity` tells the source from all others: for a server
    host, database and user. It has no secret.
    """

    label: str
    identity: Mapping[str, JsonValue]
    product: str

    def fingerprint(self) -> str:
        """Return a text that is another one whenever tables, columns, keys or rights are; cheap."""
        ...

    def schemas(self) -> Mapping[str, int | None]:
        """Return the places that tables lie in, that of names without a schema first, with how many each has.

        None stands for a schema that the user may not look into.
        """
        ...

    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views of a schema, without columns."""
        ...

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return the same table with columns and keys."""
        ...

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return at most so many rows, with these columns; it reads no more of the table than it must."""
        ...


class Discovery(Protocol):
    """The module `<family>_discover` beside a family's own."""

    def discovering(self, ctx: StepContext) -> AbstractContextManager[Discoverer]:
        """Open the source of a connection to be looked at; fails as its extractor does."""
        ...
