"""What differs between SQL databases for `extractor`, `writer`, `discoverer` and `doctor`: one object per family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from osiris.errors import did_you_mean, fail
from osiris.replication import Moment, has_times
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from osiris.driver import ForeignKeyCheck, Shared, StepContext
    from osiris.families.quarantine import RejectFile, RowRejected
    from osiris.model import Field, JsonValue, Order, Schema
    from osiris.replication import Cursor, KeysToDelete, Value
    from osiris.table import RowStream

    Name = tuple[str, str]
    """The schema and the name of a table or view."""
    Position = Mapping[str, JsonValue]
    Mode = Literal["append", "replace", "upsert"]

LEDGER = "_osiris_ledger"
"""The table that records the deliveries of runs, in the target database."""

STATE = "_osiris_state"
"""The table of how far each pair has been read, in the target database."""

REPEATED = "_osiris_overlap"
"""The table of the digests of delivered rows that the next run will read again, in the target database."""

CREATE = "CREATE TABLE IF NOT EXISTS"
"""The start of the statement that creates a table, in most databases."""

StepConfig: TypeAlias = Any
"""The Config of a component of the family: a `ReaderConfig` or `WriterConfig` with more fields."""

CatalogueRelation: TypeAlias = Any
"""A table or view in the family's catalogue, with at least the fields of `Relation`."""

CatalogueColumn: TypeAlias = Any
"""A column in the family's catalogue, with at least the fields of `Column`."""


class DatabaseBusy(Exception):
    """Another client holds a lock that a delivery needs: its transaction is rolled back, and a retry may succeed."""


class Session(Protocol):
    """An open connection; `label` names its database in messages."""

    @property
    def label(self) -> str:
        """The database's name for messages."""

    def rows(self, statement: str, /, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401  what a client takes
        """Return the rows of one of our own statements."""

    def run(self, statement: str, /) -> int:
        """Run one of our own statements that returns no rows; returns a count whose meaning depends on the database."""


SessionT = TypeVar("SessionT", bound=Session)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view: its `kind` (`table`, `view`, …), and its estimated row count, None if unknown."""

    name: str
    kind: str = "table"
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an existing table: its Osiris type (None: unsupported), its declared type, whether it is required.

    `computed`: no row can set it. The other fields are for display: nullability, default, comment, and whether the
    user may read it.
    """

    name: str
    type: str | None
    declared: str
    required: bool = False
    computed: bool = False
    nullable: bool = field(default=True, compare=False)
    default: str | None = field(default=None, compare=False)
    comment: str | None = field(default=None, compare=False)
    readable: bool = field(default=True, compare=False)


class ForeignKey(NamedTuple):
    """A foreign key of a table to another one; `cascades`: deletes of `parent` delete or change rows of `child`."""

    child: Name
    parent: Name
    cascades: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """What a step reads: its columns, the SELECT that returns them, the order of its rows, and their estimated count.

    `relations` are the tables and views that it names; `detail` is for the family's own use. `plain` is the SELECT of
    a table without its order, if `text` has one; `is_table`: rows have the system columns of a table.
    """

    schema: Schema
    text: str
    order: Order
    rows: int | None = None
    relations: tuple[Name, ...] = ()
    detail: Any = None
    plain: str = ""
    is_table: bool = False


@dataclass(frozen=True, slots=True)
class ReaderConfig:
    """What a step reads; the fields are config keys of all database extractors, documented in their specs."""

    table: str | None = None
    columns: Sequence[str] | None = None
    limit: int | None = None

    @property
    def query(self) -> str | None:
        """The user's query, if the component takes one."""
        return None

    @property
    def schema(self) -> str | None:
        """The schema in which names are resolved, if the component has such a key."""
        return None


@dataclass(frozen=True, slots=True)
class Target:
    """The table that a step writes, for the ledger and for messages: its name and that of its database."""

    table: str
    database: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery: its configuration, and the schema of its rows.

    `target` names the table and its database in messages and in the ledger; `quoted` is the table's name in SQL.
    `columns` are the table's, empty if it was just created, and `relation` is the table itself; `staged`:
    `Database.stage` has staged the rows. `rejected` takes quarantined rows; `sent` counts what was sent to a server.
    """

    database: Database[Any]
    config: StepConfig
    ctx: StepContext
    schema: Schema
    target: Target
    quoted: str
    columns: Sequence[CatalogueColumn] = ()
    relation: Any = None
    staged: bool = False
    rejected: RejectFile | None = None
    sent: Counter[str] = field(default_factory=Counter)

    @property
    def table(self) -> str:
        """The name of the table."""
        return str(self.config.table)

    @property
    def mode(self) -> Mode:
        """The write mode: what happens to existing rows."""
        mode: Mode = self.config.mode
        return mode

    @property
    def key(self) -> tuple[str, ...]:
        """The key columns; empty without a key."""
        return tuple(self.config.key)

    @property
    def sent_size(self) -> tuple[int, int]:
        """The numbers of rows and bytes that a server has accepted."""
        return self.sent["rows"], self.sent["bytes"]

    @property
    def merged(self) -> tuple[str, ...]:
        """The key of an upsert; none otherwise."""
        return self.key if self.mode == "upsert" else ()


def no_key(key: Sequence[str], kind: str = "no") -> tuple[str, str]:
    """Return why rows cannot be upserted into a table, and a hint; `kind` qualifies the key that is missing."""
    return f"it has {kind} PRIMARY KEY or UNIQUE over {', '.join(key)}", "add one to the table, or use another mode"


class Database(ABC, Generic[SessionT]):
    """A family of SQL databases."""

    name: ClassVar[str]
    """The family's name."""
    is_file: ClassVar[bool] = False
    folds_case: ClassVar[bool] = False
    """Whether names of tables and columns are case-insensitive."""
    case_sensitive_columns: ClassVar[bool] = False
    """Whether names of two columns of a table may differ only in case."""
    ddl_in_transaction: ClassVar[bool] = True
    """Whether a rollback also undoes CREATE TABLE; if not, the table is created before the transaction."""
    create_verb: ClassVar[str] = CREATE
    """The start of the statement that creates a table; it runs only if the table did not exist just before."""
    claims_first: ClassVar[bool] = False
    """Whether writers are concurrent: then a delivery enters the ledger first, and later attempts wait for it."""
    detects_repeated_keys: ClassVar[bool] = False
    """Whether an upsert itself detects repeated keys; if not, they are checked before."""
    names_repeated_keys: ClassVar[bool] = False
    """Whether it also names the repeated key; if not, the key is searched for afterwards."""
    streams_appends: ClassVar[bool] = False
    """Whether appended rows are sent while they are read; `Delivery.sent` then counts what the server accepted."""
    attempts: ClassVar[int] = 1
    """The number of attempts at a delivery while other clients hold its locks."""
    patience: ClassVar[str] = ""
    """How long each attempt waits, for messages."""
    placeholder: ClassVar[str] = "?"
    """The placeholder of a value in a statement."""
    ledger_columns: ClassVar[str] = """(
    run_key TEXT NOT NULL, step TEXT NOT NULL, fingerprint TEXT NOT NULL, target TEXT NOT NULL,
    "rows" BIGINT NOT NULL, digest TEXT NOT NULL, written_at TEXT NOT NULL, PRIMARY KEY (run_key, step))"""
    """The column definitions of the ledger in CREATE TABLE, and what follows them."""
    state_columns: ClassVar[Mapping[str, str]] = {
        STATE: """(
    pair TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, version BIGINT NOT NULL, content TEXT NOT NULL,
    run_key TEXT NOT NULL, written_at TEXT NOT NULL, PRIMARY KEY (pair))""",
        REPEATED: """(
    pair TEXT NOT NULL, part BIGINT NOT NULL, digests BLOB NOT NULL, PRIMARY KEY (pair, part))""",
    }
    """The same of the tables of states."""
    insert_missing: ClassVar[tuple[str, str]] = ("INSERT INTO", " ON CONFLICT DO NOTHING")
    """The start and the end of a statement that inserts a row unless its key exists."""
    locks_rows: ClassVar[str] = ""
    """The end of a SELECT that locks its rows until the transaction ends; empty if there is only one writer."""
    checks_foreign_keys: ClassVar[ForeignKeyCheck] = "statement"
    """When the database checks the foreign keys of rows that are written."""
    unsupported_reason: ClassVar[str] = ""
    """Why columns of some types cannot be written, for messages."""
    hints_at_casts: ClassVar[bool] = False
    """Whether a hint suggests the cast that makes values fit a column."""
    computed_by: ClassVar[str] = "the database"
    """Who computes the values of computed columns, for messages."""

    def quote(self, name: str, /) -> str:
        """Return a name as a quoted SQL identifier."""
        return quote_name(name)

    def qualified(self, schema: str, table: str) -> str:
        """Return a table's full name, quoted."""
        return f"{self.quote(schema)}.{self.quote(table)}"

    # The catalogue

    @abstractmethod
    def relations(self, session: SessionT) -> Mapping[str, CatalogueRelation]:
        """Return the tables and views of the session's schema, by name."""

    @abstractmethod
    def columns(self, session: SessionT, relation: CatalogueRelation) -> Sequence[CatalogueColumn]:
        """Return the columns of a table, in order."""

    @abstractmethod
    def is_unique(self, session: SessionT, relation: CatalogueRelation, key: Sequence[str]) -> bool:
        """Return whether a table enforces that a key is unique."""

    def find(self, session: SessionT, name: str) -> CatalogueRelation | None:
        """Return the table or view that a name resolves to; None if it does not exist."""
        relations = self.relations(session)
        match = self.same_name(name, relations)
        return None if match is None else relations[match]

    def relation(self, session: SessionT, name: str) -> CatalogueRelation:
        """Return a table or view; fails with DRV012 if it does not exist, suggesting a similar name."""
        relations = self.relations(session)
        match = self.same_name(name, relations)
        if match is None:
            fail("DRV012", table=name, path=session.label, hint=did_you_mean(name, relations))
        return relations[match]

    def same_name(self, name: str, names: Collection[str]) -> str | None:
        """Return the one of `names` that `name` resolves to: itself, or an equal one if case is ignored; else None."""
        equal = (each for each in names if self.fold(each) == self.fold(name))
        return name if name in names else next(equal, None)

    def fold(self, name: str) -> str:
        """Return a name in lower case if names are case-insensitive, else unchanged."""
        return name.lower() if self.folds_case else name

    # Types, in both directions

    @abstractmethod
    def column_type(self, kind: str, /) -> str | None:
        """Return the column type to create for an Osiris type; None if no type can store all its values."""

    def name_problem(self, _name: str, /) -> str | None:
        """Return why a table cannot have a name; None if it can."""
        return None

    def unsupported_columns(self, types: Mapping[str, str]) -> dict[str, str]:
        """Return the unsupported columns and why; `types` are the Osiris types by column name."""
        return {name: self.unsupported_reason for name, kind in types.items() if self.column_type(kind) is None}

    @abstractmethod
    def can_store(self, column: CatalogueColumn, kind: str, /) -> bool:
        """Return whether a column stores all values of an Osiris type unchanged."""

    # Reading

    @abstractmethod
    def read_session(self, ctx: StepContext, config: StepConfig) -> AbstractContextManager[SessionT]:
        """Open a session that reads one snapshot of the database, and translates the client library's errors."""

    def shared(self, _ctx: StepContext, _configs: Sequence[StepConfig], /) -> AbstractContextManager[Shared | None]:
        """Hold one state of the database for several steps that read tables; None if each must read apart."""
        return nullcontext()

    def named_relations(self, _session: SessionT, _config: StepConfig, /) -> Sequence[Name]:
        """Return the relations that a step reads if its config names them, to lock them before they are looked up."""
        return ()

    def lock_relations(self, session: SessionT, _relations: Sequence[Name], /) -> SessionT:
        """Return the session on a later snapshot, in which relations cannot be altered until the session ends."""
        return session

    @abstractmethod
    def select(self, session: SessionT, config: StepConfig, ctx: StepContext) -> Source:
        """Return what a step reads; fails with DAT005, DAT006, DRV012, SQL001 to SQL009."""

    @abstractmethod
    def batches(
        self, session: SessionT, source: Source, config: StepConfig, ctx: StepContext
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows."""

    def estimate(self, _session: SessionT, source: Source, _config: StepConfig) -> int | None:
        """Return the estimated number of rows that are read; None if unknown."""
        return source.rows

    def moment(
        self, _session: SessionT, _ctx: StepContext, cursor: Cursor, source: Source, _before: Position | None, /
    ) -> Moment | None:
        """Return the server's clock and its oldest open transaction, asked before the snapshot that is read.

        None if the cursor's values are no times. `before` is the last position, None if only failures matter. By
        default, only one transaction can write at a time. Fails with STA008 if others that may add rows are hidden.
        """
        return Moment(datetime.now(UTC)) if has_times(source.schema, cursor) else None

    def clock(self, _session: SessionT, /) -> datetime:
        """Return the time of the source's clock, in UTC."""
        return datetime.now(UTC)

    def snapshot(self, _session: SessionT, _cursor: Cursor, _source: Source, /) -> Mapping[str, JsonValue]:
        """Return the position of `row_xids` in the session's snapshot; fails with STA008 if it has none."""
        raise NotImplementedError

    def is_stamped(self, _session: SessionT, _table: CatalogueRelation, _column: Field, _zone: str | None, /) -> bool:
        """Return whether a default or triggers show that a column has the clock's time, in a zone if it has none."""
        return False

    def forbid_null(self, _session: SessionT, table: str, column: str, /) -> str:
        """Return how to declare a column of a table, given by its quoted name, NOT NULL."""
        return f"give its NULLs a value and run ALTER TABLE {table} ALTER COLUMN {self.quote(column)} SET NOT NULL"

    def since(self, source: Source, condition: str) -> Source:
        """Return the source of the rows that fulfil a condition on its columns, in any order."""
        text = f"SELECT * FROM ({source.plain or source.text}\n) AS since WHERE {condition}"
        return replace(source, text=text, order="free", rows=None)

    def newer(self, _position: Position, /) -> str:
        """Return the condition on the rows of a table that `row_xids` reads after a position."""
        raise NotImplementedError

    def expect_recent(
        self,
        _position: Position,
        _before: Mapping[str, JsonValue] | None,
        _cursor: Cursor,
        /,
        *,
        appends: bool,
    ) -> None:
        """Fail with STA008 if transaction ids no longer tell which rows are new."""

    def at_least(self, column: str, value: Value, _kind: str, /) -> str:
        """Return a condition that holds for all rows whose cursor column, of an Osiris type, is at or above a value."""
        text = str(value) if isinstance(value, int) else f"'{value}'"
        return f"{self.quote(column)} >= {text}"

    def state(self, _ctx: StepContext) -> str | None:
        """Return a text that changes when the database does; None if the family has none."""
        return None

    # Writing

    @abstractmethod
    def delivery(self, config: StepConfig, schema: Schema, ctx: StepContext) -> Delivery:
        """Return the delivery of a step; fails if the connection is invalid."""

    @abstractmethod
    def inspect_session(self, delivery: Delivery) -> AbstractContextManager[SessionT]:
        """Open a session that inspects a target before rows are read."""

    @abstractmethod
    def write_session(self, delivery: Delivery) -> AbstractContextManager[SessionT]:
        """Open a session that may write; uncommitted changes are rolled back at its end. May raise DatabaseBusy."""

    @abstractmethod
    def client_errors(self) -> tuple[type[Exception], ...]:
        """Return the exception types of the client library."""

    def as_rejection(self, _error: Exception, /) -> RowRejected | None:
        """Return why the server rejects a row, if that is what an error of the client library means."""
        return None

    def explain_rejection(self, _session: SessionT, _delivery: Delivery, refused: RowRejected, /) -> RowRejected:
        """Return a rejection with what the catalogue says of the violated constraint."""
        return refused

    def is_missing(self, _delivery: Delivery) -> bool:
        """Return whether the database itself does not exist yet and may be created."""
        return False

    def create_parent(self, delivery: Delivery) -> None:
        """Create what a database that is missing needs before it can be created."""

    def expect_schema(self, session: SessionT, delivery: Delivery, /) -> None:
        """Fail with DRV071 if the schema of the table does not exist, DRV020 if the user lacks access to it."""

    def unwritable(self, relation: CatalogueRelation) -> tuple[str, str] | None:
        """Return why a relation is not writable, and a hint; None if it is."""
        return ("it is a view", "write a table") if relation.kind == "view" else None

    def extra_mismatches(
        self, _delivery: Delivery, _columns: Sequence[CatalogueColumn], /
    ) -> Sequence[tuple[str, str | None]]:
        """Return further mismatches between rows and the columns of a table, each with a hint."""
        return ()

    def mode_error(self, session: SessionT, delivery: Delivery, relation: CatalogueRelation) -> tuple[str, str] | None:
        """Return why rows that fit a table's columns cannot be written in this mode, and a hint; None if they can."""
        if delivery.merged and not self.is_unique(session, relation, delivery.key):
            return no_key(delivery.key)
        return None

    def expect_privileges(self, session: SessionT, delivery: Delivery, *, there: bool) -> None:
        """Fail with DRV020 for privileges that the user lacks to write a table, or to create it if not `there`."""

    def expect_ledger_privileges(self, session: SessionT, delivery: Delivery, /) -> None:
        """Fail with DRV020 for privileges that the user lacks to write the ledger."""

    def prepare(self, session: SessionT, delivery: Delivery) -> None:
        """Create what must exist before rows are read."""

    def make_table(self, session: SessionT, delivery: Delivery) -> None:
        """Create the table if it does not exist."""
        types = {column.name: str(self.column_type(column.type)) for column in delivery.schema}
        session.run(create_table(delivery.quoted, types, delivery.key, self.create_verb))

    def has_own(self, session: SessionT, table: str) -> bool:
        """Return whether one of our own tables exists."""
        return self.find(session, table) is not None

    def own(self, _session: SessionT, table: str) -> str:
        """Return the name of one of our own tables in SQL."""
        return self.quote(table)

    def states_of(self, session: SessionT, name: Name, /) -> tuple[SessionT, str] | None:
        """Return a session that sees the states of a table as a target, and its name there; None if it may not."""
        return session, name[1]

    def source_identity(self, _session: SessionT, _source: Source, /) -> str:
        """Return a text that changes if the server, or a table that is read, is replaced by another."""
        return ""

    def identity(self, _session: SessionT, _delivery: Delivery, /) -> str:
        """Return a text that changes if the target table is replaced by another; empty if that cannot be seen."""
        return ""

    def put_mark(self, _session: SessionT, _delivery: Delivery, _mark: str, /) -> None:
        """Mark the target with something that is dropped with it, where the catalogue has no lasting `identity`."""

    def loose_columns(self, _session: SessionT, _table: Any, _columns: Sequence[Any], /) -> dict[str, str]:  # noqa: ANN401
        """Return the columns, folded, in which different values may be equal, and why."""
        return {}

    def foreign_keys(self, _session: SessionT, _deliveries: Sequence[Delivery], /) -> Sequence[ForeignKey]:
        """Return the foreign keys that refer to the targets of these deliveries."""
        return ()

    def stage_keys_to_delete(self, _session: SessionT, _delivery: Delivery, _keys: KeysToDelete, /) -> str:
        """Load the keys of rows to delete into a temporary table; returns its name in SQL."""
        raise NotImplementedError

    def moment_value(self, moment: datetime, /) -> Any:  # noqa: ANN401  what a client takes
        """Return a time as a value of a statement."""
        return moment

    def claim(self, _session: SessionT, _delivery: Delivery, _rows: int) -> bool:
        """Write a delivery into the ledger before its rows; returns False if another attempt has done so."""
        return True

    def stage(self, _session: SessionT, _delivery: Delivery, _waiting: Staged) -> bool:
        """Stage rows of an upsert before the transaction, if that is better; returns whether it did."""
        return False

    def begin(self, session: SessionT) -> None:
        """Begin the transaction of a delivery, unless the session is already in it."""
        session.run("BEGIN TRANSACTION")

    def begin_with(self, session: SessionT, action: Callable[[], T]) -> T:
        """Begin the transaction of a delivery, and run an action that creates what others may create concurrently."""
        self.begin(session)
        return action()

    def lock(self, session: SessionT, delivery: Delivery) -> None:
        """Lock the table against changes by others until the transaction ends."""

    def write(self, session: SessionT, delivery: Delivery, waiting: Staged) -> None:
        """Write all rows in the mode of the delivery."""
        if delivery.mode == "replace":
            with self.deleting(delivery):
                self.clear(session, delivery)
        write = self.merge if delivery.merged else self.load
        write(session, delivery, waiting)

    @contextmanager
    def deleting(self, delivery: Delivery) -> Iterator[None]:
        """Delete rows of a target in the block; fails with STA061 if the database refuses that."""
        try:
            yield
        except self.client_errors() as error:
            if (refused := self.as_rejection(error)) is None:
                raise
            problem = f"foreign key '{refused.rule}' refers to them" if refused.rule else refused.reason
            fail("STA061", step=delivery.ctx.step, table=delivery.target.table, problem=problem)

    def clear(self, session: SessionT, delivery: Delivery) -> None:
        """Delete the rows that are to be replaced."""
        session.run(f"DELETE FROM {delivery.quoted}")

    @abstractmethod
    def load(self, session: SessionT, delivery: Delivery, waiting: Staged) -> None:
        """Insert all rows; in mode replace, the table has been cleared."""

    @abstractmethod
    def merge(self, session: SessionT, delivery: Delivery, waiting: Staged) -> None:
        """Upsert all rows by their key."""

    @abstractmethod
    def make_durable(self, session: SessionT, delivery: Delivery) -> None:
        """Commit the transaction durably."""


def create_table(table: str, types: Mapping[str, str], key: Sequence[str], verb: str = CREATE) -> str:
    """Return the statement that creates a table; `table` is quoted, `types` are by column, `verb` is its start."""
    parts = [f"{quote_name(name)} {kind}{' NOT NULL' if name in key else ''}" for name, kind in types.items()]
    if key:
        parts.append(f"PRIMARY KEY ({listed(key)})")
    return f"{verb} {table} ({', '.join(parts)})"


def insert_rows(table: str, columns: Sequence[str], source: str, verb: str = "INSERT") -> str:
    """Return the statement that inserts the rows of `source`; `verb` may include a conflict clause."""
    return f"{verb} INTO {table} ({listed(columns)}) {source}"


def listed(names: Sequence[str]) -> str:
    """Return names quoted and joined by commas."""
    return ", ".join(map(quote_name, names))


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows spooled to a file in the step's scratch folder: `rows` of them, `size` bytes; `open` reads them again."""

    rows: int
    size: int
    open: Callable[[], RowStream]
