"""What a SQL database is to the steps that read and write it: traits, questions to its catalogue, and functions.

Each family has one object of this kind. What all databases do alike stands in `extractor`, `writer`, `discoverer` and
`doctor`, and asks that object for what differs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar

from osiris.errors import did_you_mean, fail
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.quarantine import Refused, Rejected
    from osiris.model import Order, Schema
    from osiris.table import RowStream

    Name = tuple[str, str]
    """The schema and the name of a table or view."""
    Mode = Literal["append", "replace", "upsert"]

LEDGER = "_osiris_ledger"
"""The table that has the deliveries of runs, in the database that they went to."""

CREATE = "CREATE TABLE IF NOT EXISTS"
"""How the statement begins that makes a table, in most databases."""

StepConfig: TypeAlias = Any
"""The Config of a component of the family, which has more fields than `Reading` or `Writing`."""

CatalogueRelation: TypeAlias = Any
"""A table or view as the family's catalogue has it, with at least what `Relation` has."""

CatalogueColumn: TypeAlias = Any
"""A column as the family's catalogue has it, with at least what `Column` has."""


class InUse(Exception):
    """Others use what a delivery needs just now: its transaction is undone, and another attempt may go well."""


class Session(Protocol):
    """A connection in use; `label` names its database in messages."""

    @property
    def label(self) -> str:
        """The database's name for messages."""
        ...

    def rows(self, statement: str, /, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401  what a client takes
        """Return the rows of a statement of ours."""
        ...

    def run(self, statement: str, /) -> int:
        """Run a statement of ours that gives no rows; returns a count of which each database says what it is."""
        ...


SessionT = TypeVar("SessionT", bound=Session)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view: its `kind` (`table`, `view`, …), and about how many rows it has, None if nobody knows."""

    name: str
    kind: str = "table"
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an existing table: its type here, if it has one, as declared, and whether a row must give a value.

    `computed`: no row can give one. The others are for people who look at the table: whether it may hold NULL, what it
    holds where nothing is given, whether the user may read it; a `hidden` one is read only where it is named.
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
    hidden: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Source:
    """What a step reads: its columns, the SELECT that gives them, the order of its rows, and about how many.

    `relations` are the tables and views that it names, `detail` is what the family knows besides.
    """

    schema: Schema
    text: str
    order: Order
    rows: int | None = None
    relations: tuple[Name, ...] = ()
    detail: Any = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a step reads; its fields are config keys of all extractors of databases, and described in their specs."""

    table: str | None = None
    columns: Sequence[str] | None = None
    limit: int | None = None

    @property
    def query(self) -> str | None:
        """Return the user's own text, where the component takes one."""
        return None

    @property
    def schema(self) -> str | None:
        """Return the schema in which names are looked up, where the component has such a key."""
        return None


@dataclass(frozen=True, slots=True)
class Writing:
    """What a step writes, and how; its fields are config keys of all writers of databases, and described in specs."""

    table: str
    write_mode: Literal["append", "replace", "upsert"] = "append"
    primary_key: Sequence[str] | str | None = None
    create_if_missing: bool = True

    @property
    def schema(self) -> str | None:
        """Return the schema of the table, where the component has such a key."""
        return None

    @property
    def mode(self) -> Mode:
        """Return what happens to the rows that are there."""
        return self.write_mode

    @property
    def key(self) -> tuple[str, ...]:
        """Return the columns of the key, as far as there is one."""
        return (self.primary_key,) if isinstance(self.primary_key, str) else tuple(self.primary_key or ())


@dataclass(frozen=True, slots=True)
class Target:
    """The table that a step writes, for the ledger and for messages: its name and its database's."""

    table: str
    database: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery: what is asked for, and the columns of the rows.

    `target` names the table and its database in messages and in the ledger; `quoted` is the table's name in SQL.
    `columns` are those of the table, none if it was just made, and `staged` tells that `Database.stage` has been at
    work. `rejected` takes the rows that are set aside; `sent` counts what went to a server.
    """

    database: Database[Any]
    config: StepConfig
    ctx: StepContext
    schema: Schema
    target: Target
    quoted: str
    columns: Sequence[CatalogueColumn] = ()
    staged: bool = False
    rejected: Rejected | None = None
    sent: Counter[str] = field(default_factory=Counter)

    @property
    def table(self) -> str:
        """The name of the table."""
        return str(self.config.table)

    @property
    def mode(self) -> Mode:
        """What happens to the rows that are there."""
        mode: Mode = self.config.mode
        return mode

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the key, as far as there is one."""
        return tuple(self.config.key)

    @property
    def sent_size(self) -> tuple[int, int]:
        """How many rows a server has taken, and how many bytes."""
        return self.sent["rows"], self.sent["bytes"]

    @property
    def merged(self) -> tuple[str, ...]:
        """The key of an upsert; none otherwise."""
        return self.key if self.mode == "upsert" else ()


def no_key(key: Sequence[str], kind: str = "no") -> tuple[str, str]:
    """Return why rows cannot be upserted into a table, and the hint at it; `kind` tells what keys it has."""
    return f"it has {kind} PRIMARY KEY or UNIQUE over {', '.join(key)}", "add one to the table, or use another mode"


class Database(ABC, Generic[SessionT]):
    """A family of SQL databases."""

    name: ClassVar[str]
    """The family's name."""
    is_file: ClassVar[bool] = False
    folds_case: ClassVar[bool] = False
    """Whether a name means the same table or column in whatever case."""
    case_tells_columns: ClassVar[bool] = False
    """Whether two columns of a table may differ in case alone."""
    reserves_names: ClassVar[bool] = False
    """Whether steps are kept from writing tables whose names are like those of our own."""
    ddl_in_transaction: ClassVar[bool] = True
    """Whether a table that a transaction makes goes with it when it is undone; else it is made before."""
    create_verb: ClassVar[str] = CREATE
    """How the statement begins that makes a table; it is asked for one only where it was not there just before."""
    claims_first: ClassVar[bool] = False
    """Whether several may write at once: then the ledger has the delivery first, and later ones wait for it."""
    stages_keys: ClassVar[bool] = False
    """Whether an upsert finds keys that come twice by itself; else they are looked for before."""
    names_repeated_keys: ClassVar[bool] = False
    """Whether it then also says which key it is; else that is looked for afterwards."""
    streams_appends: ClassVar[bool] = False
    """Whether appended rows go to the server while they are read, and it is counted in `Delivery.sent` what it took."""
    attempts: ClassVar[int] = 1
    """How often a delivery is tried that others are in the way of."""
    patience: ClassVar[str] = ""
    """How long one of these attempts waits, in words."""
    placeholder: ClassVar[str] = "?"
    """What stands for a value in a statement."""
    ledger_columns: ClassVar[str] = """(
    run_key TEXT NOT NULL, step TEXT NOT NULL, fingerprint TEXT NOT NULL, target TEXT NOT NULL,
    "rows" BIGINT NOT NULL, digest TEXT NOT NULL, written_at TEXT NOT NULL, PRIMARY KEY (run_key, step))"""
    """The columns of the ledger, and what follows them where it is made."""
    not_carried: ClassVar[str] = ""
    """Why columns of some types cannot be written, in words."""
    hints_at_casts: ClassVar[bool] = False
    """Whether a hint tells the cast that gives a column values it holds."""
    computed_by: ClassVar[str] = "the database"
    """Who gives the values of computed columns, in words."""

    def quote(self, name: str, /) -> str:
        """Return a name as SQL reads it literally."""
        return quote_name(name)

    # The catalogue

    @abstractmethod
    def relations(self, session: SessionT) -> Mapping[str, CatalogueRelation]:
        """Return the tables and views of the session's schema, by name."""

    @abstractmethod
    def columns(self, session: SessionT, relation: CatalogueRelation) -> Sequence[CatalogueColumn]:
        """Return the columns of a table, in their order."""

    @abstractmethod
    def is_unique(self, session: SessionT, relation: CatalogueRelation, key: Sequence[str]) -> bool:
        """Tell whether a table keeps a key unique."""

    def relation(self, session: SessionT, name: str) -> CatalogueRelation:
        """Return a table or view; fails with DRV012 if it is not there, naming the nearest."""
        known = self.relations(session)
        found = self.same_name(name, known)
        if found is None:
            fail("DRV012", table=name, path=session.label, hint=did_you_mean(name, known))
        return known[found]

    def same_name(self, name: str, known: Collection[str]) -> str | None:
        """Return the name among `known` that SQL takes for `name`: itself, or one that is equal but for case."""
        if name in known:
            return name
        return next((each for each in known if self.fold(each) == self.fold(name)), None)

    def fold(self, name: str) -> str:
        """Return the text that all spellings of a name have in common."""
        return name.lower() if self.folds_case else name

    # Types, in both directions

    @abstractmethod
    def column_type(self, kind: str, /) -> str | None:
        """Return the type of a column that is made for one of ours; None if there is none that holds its values."""

    def refusals(self, types: Mapping[str, str]) -> dict[str, str]:
        """Return why columns cannot be carried, by their names; `types` are ours by name."""
        return {name: self.not_carried for name, kind in types.items() if self.column_type(kind) is None}

    @abstractmethod
    def holds(self, column: CatalogueColumn, kind: str, /) -> bool:
        """Tell whether a column keeps the values of one of our types."""

    # Reading

    @abstractmethod
    def reading(self, ctx: StepContext, config: StepConfig) -> AbstractContextManager[SessionT]:
        """Give a session that reads one state of the database, and says in our words what goes wrong in it."""

    def hold(self, session: SessionT, _relations: Sequence[Name], /) -> SessionT:
        """Return the session in a later state of the database, in which nobody can alter relations until it ends."""
        return session

    @abstractmethod
    def select(self, session: SessionT, config: StepConfig, ctx: StepContext) -> Source:
        """Return what a step reads; fails with DAT005, DAT006, DRV012, SQL001 to SQL009."""

    @abstractmethod
    def batches(
        self,
        session: SessionT,
        source: Source,
        config: StepConfig,
        ctx: StepContext,
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows."""

    def estimate(self, _session: SessionT, source: Source, _config: StepConfig) -> int | None:
        """Return about how many rows are read; None if nobody knows."""
        return source.rows

    def state(self, _ctx: StepContext) -> str | None:
        """Return a text that stays equal as long as the database does; None if it tells none."""
        return None

    # Writing

    @abstractmethod
    def delivery(self, config: StepConfig, schema: Schema, ctx: StepContext) -> Delivery:
        """Return what is to be done; fails with what is wrong with the connection."""

    @abstractmethod
    def looking(self, delivery: Delivery) -> AbstractContextManager[SessionT]:
        """Give a session that looks at a target before rows are read."""

    @abstractmethod
    def writing(self, delivery: Delivery) -> AbstractContextManager[SessionT]:
        """Give a session that may write; what is not committed when it ends is undone. May raise InUse."""

    @abstractmethod
    def errors(self) -> tuple[type[Exception], ...]:
        """Return what the client library raises."""

    def refusal(self, _error: Exception, /) -> Refused | None:
        """Return why a server refuses a row, if that is what an error of the client library means."""
        return None

    def explained(self, _session: SessionT, _delivery: Delivery, refused: Refused, /) -> Refused:
        """Return a refusal with what the catalogue knows of the rule that is broken."""
        return refused

    def is_absent(self, _delivery: Delivery) -> bool:
        """Tell whether not even the database is there, and is yet to be made."""
        return False

    def make_place(self, delivery: Delivery) -> None:
        """See to it that a database that is absent can be made."""

    def expect_schema(self, session: SessionT, delivery: Delivery, /) -> None:
        """Fail with DRV020 if the user may use nothing in the schema of the table."""

    def unwritable(self, relation: CatalogueRelation) -> tuple[str, str] | None:
        """Return why nothing may be written to a relation, and the hint at it; None if it may."""
        return ("it is a view", "write a table") if relation.kind == "view" else None

    def further_misfits(
        self, _delivery: Delivery, _columns: Sequence[CatalogueColumn], /
    ) -> Sequence[tuple[str, str | None]]:
        """Return in what else rows do not fit the columns of a table, and hints."""
        return ()

    def unfit(self, session: SessionT, delivery: Delivery, relation: CatalogueRelation) -> tuple[str, str] | None:
        """Return why rows cannot be written in this mode to a table whose columns they fit, and the hint at it."""
        if delivery.merged and not self.is_unique(session, relation, delivery.key):
            return no_key(delivery.key)
        return None

    def expect_rights(self, session: SessionT, delivery: Delivery, *, there: bool) -> None:
        """Fail with DRV020 for rights that the user lacks to write a table, or to make it if it is not `there`."""

    def expect_rights_to_ledger(self, session: SessionT, delivery: Delivery, /) -> None:
        """Fail with DRV020 for rights that the user lacks to write the ledger."""

    def prepare(self, session: SessionT, delivery: Delivery) -> None:
        """Make what is to be there before rows are read."""

    def make_table(self, session: SessionT, delivery: Delivery) -> None:
        """Make the table, unless it is there."""
        types = {column.name: str(self.column_type(column.type)) for column in delivery.schema}
        session.run(create_table(delivery.quoted, types, delivery.key, self.create_verb))

    def has_ledger(self, session: SessionT) -> bool:
        """Tell whether the ledger is there."""
        return LEDGER in self.relations(session)

    def ledger(self, _session: SessionT) -> str:
        """Return the ledger's name in SQL."""
        return self.quote(LEDGER)

    def claim(self, _session: SessionT, _delivery: Delivery, _rows: int) -> bool:
        """Write a delivery into the ledger before its rows; tells whether no other attempt has done so."""
        return True

    def stage(self, _session: SessionT, _delivery: Delivery, _waiting: Staged) -> bool:
        """Stage rows of an upsert before the transaction begins, where that is better; tells whether it was done."""
        return False

    def begin(self, session: SessionT) -> None:
        """Begin the transaction of a delivery, unless the session is in it already."""
        session.run("BEGIN TRANSACTION")

    def begun(self, session: SessionT, action: Callable[[], T]) -> T:
        """Begin the transaction of a delivery, and do what makes things that others may make at the same time."""
        self.begin(session)
        return action()

    def lock(self, session: SessionT, delivery: Delivery) -> None:
        """Keep others from changing the table until the transaction ends."""

    def write(self, session: SessionT, delivery: Delivery, waiting: Staged) -> None:
        """Write all rows, as the mode of the delivery says."""
        if delivery.mode == "replace":
            self.clear(session, delivery)
        write = self.merge if delivery.merged else self.load
        write(session, delivery, waiting)

    def clear(self, session: SessionT, delivery: Delivery) -> None:
        """Delete the rows that others take the place of."""
        session.run(f"DELETE FROM {delivery.quoted}")

    @abstractmethod
    def load(self, session: SessionT, delivery: Delivery, waiting: Staged) -> None:
        """Add all rows to a table that is cleared if it was to be."""

    @abstractmethod
    def merge(self, session: SessionT, delivery: Delivery, waiting: Staged) -> None:
        """Write all rows by their key."""

    @abstractmethod
    def make_durable(self, session: SessionT, delivery: Delivery) -> None:
        """Make the transaction durable."""


def create_table(table: str, types: Mapping[str, str], key: Sequence[str], verb: str = CREATE) -> str:
    """Return the statement that makes a table, unless it is there; `table` is quoted, `types` are by column."""
    parts = [f"{quote_name(name)} {kind}{' NOT NULL' if name in key else ''}" for name, kind in types.items()]
    if key:
        parts.append(f"PRIMARY KEY ({listed(key)})")
    return f"{verb} {table} ({', '.join(parts)})"


def insert_rows(table: str, columns: Sequence[str], source: str, verb: str = "INSERT") -> str:
    """Return the statement that inserts what `source` gives; `verb` may say what becomes of conflicts."""
    return f"{verb} INTO {table} ({listed(columns)}) {source}"


def on_conflict(columns: Sequence[str], key: Sequence[str], *, whole: bool) -> str:
    """Return what follows an insertion, so that a row whose `key` is there takes the place of that row.

    `whole`: the key is written too, as two that are equal under a collation may differ; without it, and without other
    columns, there is nothing to do.
    """
    names = [quote_name(name) for name in columns if whole or name not in key]
    action = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names)}" if names else "NOTHING"
    return f" ON CONFLICT ({listed(key)}) DO {action}"


def repeated_key(table: str, key: Sequence[str], collations: Mapping[str, str] | None = None) -> str:
    """Return the query that gives one key that stands in several rows of a table, and in how many.

    Keys are compared under the `collations` given by column, else under those of the table.
    """
    by = (f"{quote_name(name)} COLLATE {quote_name(order)}" for name, order in (collations or {}).items())
    groups = ", ".join(by) or listed(key)
    shown = ", ".join(f"min({quote_name(name)})" for name in key)
    return f"SELECT count(*), {shown} FROM {table} GROUP BY {groups} HAVING count(*) > 1 ORDER BY 2 LIMIT 1"


def listed(names: Sequence[str]) -> str:
    """Return names, quoted, in a row."""
    return ", ".join(map(quote_name, names))


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows that wait in a file of the step's scratch folder; `rows` of them, `size` bytes in memory."""

    rows: int
    size: int
    open: Callable[[], RowStream]
