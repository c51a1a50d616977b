"""The interfaces that a component implements, and the context passed to a driver.

A component is a folder with `spec.yaml` and `driver.py`. The driver module has a frozen dataclass `Config`, whose
fields are the properties of the spec's config schema, and one class `Driver` that is one of the protocols below. A
driver is created once per step, without arguments, in the worker process.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

from osiris.path_policy import PathPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.model import Described, JsonValue, Order, Schema
    from osiris.replication import Cursor, Deletes, Increment
    from osiris.table import RowStream

ForeignKeyCheck: TypeAlias = Literal["never", "statement", "row"]
"""When a database checks foreign keys: never, at the end of each statement, or row by row."""

ConfigT_contra = TypeVar("ConfigT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a writer: rows and bytes written, and the files published, relative to the project root.

    `stored` are the objects written to a store, each with path (its URL), size, sha256 and etag. `ledger` is the
    database, relative to the project root, whose ledger records the delivery. `earlier` is the recorded digest of these
    rows if an earlier attempt delivered them: then nothing was read or written. `hashes` are the SHA-256 of files
    hashed while written; other files are read for it.
    """

    rows: int
    bytes: int
    files: tuple[str, ...] = ()
    rejected: int = 0
    ledger: str | None = None
    earlier: JsonValue = None
    stored: tuple[Mapping[str, JsonValue], ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict, compare=False)


class Kept:
    """Connections of a job that are open and not in use: the next step that needs such a connection takes it.

    They are stored by the fields of the connection, compared by identity, and by what else must be equal. One that was
    not used for `SECONDS` is not taken any more: a firewall may have ended it silently.
    """

    SECONDS = 5.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Hashable, list[tuple[float, object, Any, Callable[[], object]]]] = {}

    def take(self, fields: object, key: Hashable) -> Any | None:  # noqa: ANN401  a client library's connection
        """Remove and return the connection that was used last; None if there is none."""
        with self._lock:
            idle = self._idle.get((id(fields), key))
            if not idle:
                return None
            since, _, connection, close = idle.pop()
        if time.monotonic() - since <= self.SECONDS:
            return connection
        close()
        return self.take(fields, key)

    def put(self, fields: object, key: Hashable, connection: object, close: Callable[[], object]) -> None:
        """Keep a connection, which must be as if it had just been opened; `close` closes it, and does not raise."""
        with self._lock:
            self._idle.setdefault((id(fields), key), []).append((time.monotonic(), fields, connection, close))

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for _, _, _, close in chain.from_iterable(idle.values()):
            close()


@dataclass(frozen=True, slots=True)
class Shared:
    """One state of a database, which several extractors read: how to see it is the family's own.

    `tables` are those that can be read in it, as configs name them (schema or None, and name). `snapshot` names it,
    `asked` is what the server said before it. `session` is the only one that sees it, if there is one; `lock` then
    lets one extractor at a time use it.
    """

    tables: frozenset[tuple[str | None, str]]
    snapshot: str = ""
    asked: Any = None
    session: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class References:
    """Foreign keys among the tables that steps write, and when the database checks them.

    Each is the position of the step whose table refers, that of the one to whose table it refers, and its name.
    """

    keys: frozenset[tuple[int, int, str]]
    check: ForeignKeyCheck


@dataclass(frozen=True, slots=True)
class StepContext:
    """Everything outside of the driver that it may use.

    `root` is the project root and the working directory; relative paths start there. `connection` has the resolved
    fields, secrets as `Secret`; `family` is its family. `sources` has the id of the step behind each input, by input
    name. `bindings` has the typed values of `${run.…}` and sensitive parameters by name. `on_reject` is the reserved
    step key of that name: with `quarantine`, invalid rows are written to the artifacts instead of failing the step.

    `run_key` is the same for all attempts of one run, and `plan` the fingerprint of the plan; both are empty outside of
    a run. `digest()` returns the digest of the rows that a writer has read so far. `paths` is the policy to check
    before opening a file. `masked(text)` removes the secrets of the run from a text written to artifacts. `kept` has
    connections that earlier steps of the job have left open; without it, each step opens its own.

    `threads` and `memory` (bytes) are for this step. A statement that can be cut is computed in `partitions` parts (0:
    it is not cut), which may have `spool_limit` bytes (None: no limit) in `scratch`.

    `cursor` and `deletes` are the step keys of these names. `pair` is a writer's `state` in the plan. In a run, the
    extractor and the writer of a pair share its `increment`; the extractors of an entry share what `shared` has.

    `emit(event, fields)` writes an event of this step; `warn(diagnostic)` reports a warning; `count(metric, value)`
    adds to one of its metrics (`rows_read`, `rows_rejected`, `bytes_read`, …). `cancelled()` returns whether to stop
    soon.
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
    warn: Callable[[Diagnostic], None] = lambda _diagnostic: None
    cursor: Cursor | None = None
    deletes: Deletes | None = None
    pair: Mapping[str, JsonValue] | None = None
    increment: Increment | None = None
    shared: Shared | None = None
    kept: Kept | None = None
    partitions: int = 0
    spool_limit: int | None = None


class Extractor(Protocol[ConfigT_contra]):
    """Reads a source.

    It may also have `confirm(config, schema, ctx) -> str | None`, which fails with DAT011 or DAT001, naming the
    difference, if the source no longer matches the planned schema, and returns the source's `state`
    (`Described.state`). Without it the source is described again.

    If DuckDB can read the source natively, it has `relation(config, schema, ctx) -> osiris.table.Relation`, which is
    called instead of `read` where the step is fused into a statement (`Described.native`).

    If several extractors can read one state of a source, it has `shared(configs, ctx)`, a context manager that returns
    a `Shared` for extractors with these configs, or None if they must read apart.
    """

    def describe(self, config: ConfigT_contra, ctx: StepContext) -> Described:
        """Return the schema and order of the output of `read`; reads as little as possible."""
        ...

    def read(self, config: ConfigT_contra, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows, in the planned schema; fails with DAT011 or DAT001 if the source no longer matches it."""
        ...


class Processor(Protocol[ConfigT_contra]):
    """Transforms its inputs into one output."""

    def describe(self, config: ConfigT_contra, inputs: Mapping[str, Schema], ctx: StepContext) -> Described:
        """Return the schema and order of the output of `transform` for inputs of these schemas.

        The order is `fixed`, `free`, or `kept`: fixed if that of every input is. The stream that `transform` returns
        has the same order, with `kept` resolved (`osiris.model.resolve_order`).
        """
        ...

    def transform(
        self, config: ConfigT_contra, inputs: Mapping[str, RowStream], schema: Schema, ctx: StepContext
    ) -> RowStream:
        """Return the output in the planned schema; each input may be read once."""
        ...


class Writer(Protocol[ConfigT_contra]):
    """Writes its one input to a target, in the delivery class that its spec declares.

    With the capability `confirm` it has `confirm(config, schema, ctx) -> str | None`, called before the first row of a
    run: it fails if the target cannot accept rows of that schema, and otherwise may return whether the target is
    `there` or `absent`. It changes nothing.

    With the capability `state` it has `state(config, schema, ctx) -> tuple[State | None, Rows]`: how far the pair of
    the step has been read, and the delivered rows that may be read again (`osiris.replication`). `inspect_state(config,
    schema, ctx) -> Stored` and `change_state(config, schema, ctx, change) -> int | None` are for `osiris state`. With
    the capability `deletes` it has `keys(config, schema, ctx) -> TargetKeys`: the keys of the target.

    If its tables can have foreign keys, it has `references(configs, ctx) -> References`: those among the tables of
    these configs. They decide in which order the tables of entries are written.
    """

    def check(self, config: ConfigT_contra, schema: Schema, ctx: StepContext) -> None:
        """Raise CMP012 for each column whose type the target cannot carry exactly."""
        ...

    def write(self, config: ConfigT_contra, rows: RowStream, ctx: StepContext) -> Written:
        """Write all rows or none; the target has the old or the new state, never a partial one."""
        ...


@dataclass(frozen=True, slots=True)
class SeenColumn:
    """A discovered column: its type in the source, and its Osiris type, None with a `problem` if unsupported.

    `type` and `nullable` are exactly those of a step that reads the table.
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
    """A foreign key: its columns, and the table and columns referenced."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SeenTable:
    """A table, view or file. `name` is its readable name, `config` the config of a step that reads it.

    `rows` and `bytes` are estimates; None if they cannot be obtained cheaply. `columns` are None if not inspected.
    `closed` are columns that the user may not read; a table that is not `readable` has only a name. `files` are its
    files, if any.
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
    """Sample rows of a table, and the sampling method as text; `whole` if they are all rows."""

    rows: RowStream
    method: str
    whole: bool


class Discoverer(Protocol):
    """An open source for discovery, which is read-only.

    `label` and `product` describe it and may be displayed. `identity` identifies the source, for a server by host,
    database and user; it has no secrets.
    """

    label: str
    identity: Mapping[str, JsonValue]
    product: str

    def fingerprint(self) -> str:
        """Return a text that changes whenever tables, columns, keys or privileges do; cheap."""
        ...

    def schemas(self) -> Mapping[str, int | None]:
        """Return the schemas, the default one first, each with its number of tables; None without privileges."""
        ...

    def tables(self, schema: str) -> Sequence[SeenTable]:
        """Return the tables and views of a schema, without columns."""
        ...

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return the same table with columns and keys."""
        ...

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return at most `most` rows with these columns; reads as little of the table as possible."""
        ...


class Discovery(Protocol):
    """The module `discover` of a family."""

    def discovering(self, ctx: StepContext) -> AbstractContextManager[Discoverer]:
        """Open the source of a connection for discovery; fails as its extractor does."""
        ...
