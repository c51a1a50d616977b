"""SQLite databases: opening a file, its tables and errors, reading and writing rows."""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import quote

import pyarrow as pa

from osiris.document import join
from osiris.errors import Diagnostic, Location, diagnostic, fail, raise_all
from osiris.families.source_columns import check_known
from osiris.families.sql.database import Column as TargetColumn
from osiris.families.sql.database import ForeignKey, Relation, Source, insert_rows, listed
from osiris.families.sql.database_file import LONGEST_WAIT, FileDatabase, FileSession, alone, label, wait_until_free
from osiris.families.sql.deletes import KEYS_TO_DELETE, STAMP_TYPE, gone_batches, gone_columns
from osiris.families.sql.sending import stored_rows
from osiris.families.sql.stamps import is_zone, of_updates, value_given
from osiris.families.sql.target_table import (
    KEYS,
    check_staged_keys,
    expect_all_written,
    fail_row,
    on_conflict,
    stage_keys,
)
from osiris.families.sqlite.types import (
    column_type,
    first_refused,
    holds_exactly,
    is_readable,
    read_values,
    stored_values,
    type_of,
)
from osiris.fault import fault
from osiris.model import Field
from osiris.sql.binding.duck_types import quote_name
from osiris.types import arrow_schema, arrow_type, is_type_name, type_name, unknown_type
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.families.sql.database import Delivery, Staged, StepConfig
    from osiris.model import JsonValue, Schema
    from osiris.replication import KeysToDelete, Value

    Session = FileSession[sqlite3.Connection]

_SAFE = ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")
_READING = (*_SAFE, "PRAGMA query_only = ON", "BEGIN", "SELECT 1 FROM sqlite_schema LIMIT 1")
_WRITING = (*_SAFE, "PRAGMA synchronous = FULL", "BEGIN IMMEDIATE")
_ROWIDS = ("rowid", "oid", "_rowid_")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNFINISHED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_PLAIN_ERRORS = {
    sqlite3.SQLITE_READONLY: "DRV003",
    sqlite3.SQLITE_PERM: "DRV003",
    sqlite3.SQLITE_FULL: "DRV004",
    sqlite3.SQLITE_IOERR: "DRV006",
    sqlite3.SQLITE_CANTOPEN: "DRV006",
}
_CLOCK_CALL = re.compile(
    r"\(*(?:current_timestamp|(current_date)"
    r"|(?:datetime\(|(date\()|strftime\('(?:(?-i:%Y-%m-%d)T?(?-i:%H:%M:%[Sf])Z?|(%Y-%m-%d))',)"
    r"'now'(?:,'(?:subsec|subsecond)')?(?:,'(localtime)')?\))\)*",
    re.IGNORECASE,
)
"""An expression, without spaces, that is only the clock, as text."""
_TRIGGERS = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
_FOREIGN = """
SELECT t.name, k."table" FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) k WHERE t.type = 'table'"""
_MARK = "_osiris_table_"
_MARKED = """
SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? COLLATE NOCASE AND name GLOB ? ORDER BY name"""
_DATED = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_DAY = timedelta(days=1)
_BATCH = 10_000
_COUNTED = 1_000_000
"""Larger tables are not counted; SQLite has no row estimates."""

_SHOWN = 60
_INSERT = "INSERT OR ABORT"
"""A table may declare that conflicts are ignored or replace rows: the clause of the statement overrides that."""


@dataclass(frozen=True, slots=True)
class Table(Relation):
    """A table or view; a table without rowid is ordered by its primary key, and a view has no known order."""

    rowid: bool = True


@dataclass(frozen=True, slots=True)
class Column(TargetColumn):
    """A column of a table or view; `key` is its position in the primary key, from 1, else 0.

    `rowid`: the column is an alias of the rowid, which SQLite assigns if no value is given.
    """

    key: int = 0
    rowid: bool = False


class Index(NamedTuple):
    """A unique index: its columns, None for an expression, with their collations."""

    origin: str
    columns: tuple[tuple[str | None, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns, without expressions."""
        return tuple(name for name, _ in self.columns if name)

    @property
    def key(self) -> set[str]:
        """Its columns, in lower case."""
        return {str(name).lower() for name, _ in self.columns}


class SQLite(FileDatabase[sqlite3.Connection]):
    """The sqlite family."""

    name = "sqlite"
    log_suffix = "-wal"
    checks_foreign_keys = "never"
    unsupported_reason = "SQLite has no such values; cast it, or turn it into text or JSON in SQL"
    column_type = staticmethod(column_type)
    can_store = staticmethod(holds_exactly)

    def open(self, _ctx: StepContext, path: Path, *, writing: bool) -> sqlite3.Connection | None:
        """Return a connection in a transaction; None if the database is locked.

        Recovery after a killed writer needs write access, so the file is then opened for that, but with query_only.
        """
        if writing:
            return _opened(path, "rwc", _WRITING)
        try:
            return _opened(path, "ro", _READING)
        except sqlite3.OperationalError as error:
            if _number(error) not in _UNFINISHED:
                raise
        return _opened(path, "rw", _READING)

    @contextmanager
    def in_use(self, session: Session, writing: bool) -> Iterator[None]:
        """Block readers of this run while the file is written; with a write-ahead log, that is not needed."""
        is_shared = not writing or session.rows("PRAGMA journal_mode") == [("wal",)]
        with nullcontext() if is_shared else alone(session.ctx, session.path):
            yield

    def client_errors(self) -> tuple[type[Exception], ...]:
        """Return the exception types of the client library."""
        return (sqlite3.Error,)

    def fail_engine(self, error: Exception, ctx: StepContext, path: Path, _query: str | None) -> NoReturn:
        """Fail with the diagnostic for an error of SQLite."""
        number, reason, shown = _number(error), str(error)[:300], label(ctx, path)
        if number in _DAMAGED:
            fail("DRV010", path=shown, kind="SQLite", reason="it is damaged, encrypted, or not a database")
        if number in _IN_USE:
            fail("DRV011", path=shown, seconds=duration_text(LONGEST_WAIT))
        if number in _PLAIN_ERRORS:
            fail(_PLAIN_ERRORS[number], path=shown, reason=reason, bytes="some")
        fail("DRV013", path=shown, problem=reason if number else "it contains text that is not UTF-8")

    # The catalogue

    def relations(self, session: Session) -> dict[str, Table]:
        """Return the tables and views by name."""
        rows = session.rows(
            "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'view')"
        )
        return {n: Table(n, kind, rowid=not without) for n, kind, without in rows if not n.startswith("sqlite_")}

    def columns(self, session: Session, relation: Relation) -> list[Column]:
        """Return the columns of a table or view, in order."""
        rows = session.rows(
            """SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1""",
            relation.name,
        )
        one_key = max((key for *_, key, _ in rows), default=0) == 1
        return [_column(*row, one_key=one_key) for row in rows]

    def is_unique(self, session: Session, relation: Relation, key: Sequence[str]) -> bool:
        """Return whether a table enforces that a key is unique."""
        names = {name.lower() for name in key}
        if {column.name.lower() for column in self.columns(session, relation) if column.key} == names:
            return True
        return any(index.key == names for index in unique_indexes(session, relation.name))

    def product(self, _session: Session) -> str:
        """Return the name and the version of the engine."""
        return f"SQLite {sqlite3.sqlite_version}"

    def encoding(self, session: Session) -> JsonValue:
        """Return the text encoding of the file."""
        ((encoding,),) = session.rows("PRAGMA encoding")
        return str(encoding)

    def lock_facts(self, path: Path, writable: bool) -> Mapping[str, JsonValue]:
        """Return whether another writer has the file locked; nothing is written here."""
        if not writable:
            return {"locked": None}
        with suppress(sqlite3.OperationalError):
            here = _opened(path, "rw", ("BEGIN IMMEDIATE", "ROLLBACK"))
            if here is None:
                return {"locked": True}
            here.close()
        return {"locked": False}

    # Reading

    def select(self, session: Session, config: StepConfig, _ctx: StepContext) -> Source:
        """Return what a step reads; fails with DAT005, DAT006, DAT012 or DRV012."""
        table: Table = self.relation(session, config.table)
        columns = {column.name: column for column in self.columns(session, table)}
        where = f"table '{table.name}' of {session.label}"
        check_known({"columns": config.columns or (), "dtype": config.dtype}, list(columns), where)
        schema = _fields([columns[name] for name in config.columns or columns], config.dtype)
        order = order_of(table, list(columns.values()))
        plain = f"SELECT {listed([c.name for c in schema])} FROM {self.qualified(session.schema, table.name)}"
        text = plain + (f" ORDER BY {', '.join(order)}" if order else "")
        text += f" LIMIT {config.limit}" if config.limit else ""
        return Source(schema, text, "fixed" if order else "free", detail=(table, order), plain=plain)

    def estimate(self, session: Session, source: Source, config: StepConfig) -> int | None:
        """Return the number of rows that are read; None for a view or a large table."""
        return count_rows(session, source.detail[0], config.limit)

    def batches(
        self, session: Session, source: Source, _config: StepConfig, _ctx: StepContext
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows; fails with DAT001, naming the row, for a value that does not match its column's type."""
        return read_batches(session, source.text, source.schema, source.detail)

    def since(self, source: Source, condition: str) -> Source:
        """Return the source of the rows that fulfil a condition; their positions in the table are unknown."""
        return replace(super().since(source, condition), detail=None)

    def forbid_null(self, _session: Session, _table: str, column: str) -> str:
        """Return how to declare a column NOT NULL, which SQLite cannot change."""
        return f"create the table again with {self.quote(column)} NOT NULL, as SQLite cannot alter that"

    def is_stamped(self, session: Session, table: Relation, column: Field, zone: str | None) -> bool:
        """Return whether the clock gives the values of a column; it is in UTC unless the text says otherwise."""
        columns = {each.name.lower(): each for each in self.columns(session, table)}
        keys = {name for name in (*_ROWIDS, *columns) if name not in columns or not columns[name].nullable}
        texts = [text for (text,) in session.rows(_TRIGGERS, table.name)]
        given = value_given(texts, column.name, partial(of_updates, keys=keys))
        if given is None:
            given = "".join((columns[column.name.lower()].default or "").split())
        match = _CLOCK_CALL.fullmatch(given)
        if match is None:
            return False
        *days, is_local = match.groups()
        return (column.type == "date" or not any(days)) and (is_local is not None or is_zone("utc", zone))

    def at_least(self, column: str, value: Value, kind: str) -> str:
        """Return a condition that holds for all rows at or above a value, and for some below.

        A time is text in one of several spellings, all of which begin with the date, in UTC or up to a day from it;
        everything else is read, to be refused. A decimal may be text.
        """
        name = quote_name(column)
        if isinstance(value, int):
            return f"{f'CAST({name} AS NUMERIC)' if kind.startswith('decimal') else name} >= {value}"
        is_aware = isinstance(value, datetime) and value.tzinfo is not None
        day = (value - _DAY if is_aware else value).isoformat()[:10]
        return f"({name} >= '{day}' OR {name} NOT GLOB '{_DATED}')"

    # Writing

    def identity(self, session: Session, delivery: Delivery) -> str:
        """Return the name of the index that marks the target; empty without one."""
        return ",".join(name for (name,) in session.rows(_MARKED, delivery.table, f"{_MARK}*"))

    def put_mark(self, session: Session, delivery: Delivery, mark: str) -> None:
        """Mark the target with an index that contains no row; a virtual table cannot have one."""
        if not session.rows("SELECT 1 FROM pragma_table_list(?) WHERE type = 'virtual'", delivery.table):
            session.run(f"CREATE INDEX {_MARK}{mark} ON {quote_name(delivery.table)} ((0)) WHERE 0")

    def begin(self, session: Session) -> None:
        """Do nothing: a session that may write starts in its transaction."""

    def load(self, session: Session, delivery: Delivery, waiting: Staged) -> None:
        """Insert all rows; fails with DRV015 if not all exist afterwards."""
        replacing = delivery.mode == "replace"
        counted = replacing or _has_triggers(session, delivery)  # else SQLite's own count is enough
        before = 0 if replacing or not counted else _count(session, delivery)
        _insert(session, delivery, waiting)
        if counted:
            expect_all_written(delivery.ctx, delivery.target, waiting.rows, _count(session, delivery) - before)

    def merge(self, session: Session, delivery: Delivery, waiting: Staged) -> None:
        """Upsert all rows by their key.

        Fails with DAT028 for two keys that the table considers equal, DRV015 as `load`.
        """
        collations = _key_collations(session, delivery)
        counted = _has_triggers(session, delivery)
        if collations or counted:
            stage_keys(session, delivery)
            _insert_keys(session, delivery, waiting)
        for orders in collations:
            check_staged_keys(session, delivery, orders)
        staying = _count(session, delivery) - _count_given(session, delivery, collations) if counted else 0
        names = [column.name for column in delivery.schema]
        update_key = bool(collations) or set(names) == set(delivery.key)
        _insert(session, delivery, waiting, on_conflict(names, delivery.key, update_key=update_key))
        if counted:
            expect_all_written(delivery.ctx, delivery.target, waiting.rows, _count(session, delivery) - staying)

    def loose_columns(self, session: Session, relation: Table, columns: Sequence[Column]) -> dict[str, str]:
        """Return the columns that compare other texts than equal ones as equal, themselves or in a unique index."""
        indexes = unique_indexes(session, relation.name)
        orders = [(str(name).lower(), order) for index in indexes for name, order in index.columns]
        orders += [(column.name.lower(), _collation(session, relation.name, column.name)) for column in columns]
        return {name: f"its collation is {order}" for name, order in orders if order.upper() != "BINARY"}

    def foreign_keys(self, session: Session, _deliveries: Sequence[Delivery]) -> list[ForeignKey]:
        """Return the foreign keys of the database; they are only declared, as it enforces none unless asked to."""
        return [ForeignKey(("main", table), ("main", parent)) for table, parent in session.rows(_FOREIGN)]

    def stage_keys_to_delete(self, session: Session, delivery: Delivery, to_delete: KeysToDelete) -> str:
        """Load the keys of rows to delete into a temporary table; returns its name in SQL."""
        names = gone_columns(delivery)
        keys = ", ".join(f"{quote_name(key)} AS {name}" for key, name in zip(delivery.key, names, strict=True))
        session.run(f"CREATE TEMP TABLE {KEYS_TO_DELETE} AS SELECT {keys} FROM {delivery.quoted} LIMIT 0")
        insert = insert_rows(f"temp.{KEYS_TO_DELETE}", names, _places(names))
        for batch in gone_batches(delivery, to_delete):
            values = [stored_values(column, type_name(column.type)) for column in batch.columns]
            session.connection.executemany(insert, zip(*values, strict=True))
        return f"temp.{KEYS_TO_DELETE}"

    def moment_value(self, moment: datetime) -> Any:  # noqa: ANN401  as of the base
        """Return a time as SQLite stores it."""
        (text,) = stored_values(pa.array([moment], arrow_type(STAMP_TYPE)), STAMP_TYPE)
        return text

    def make_durable(self, session: Session, _delivery: Delivery) -> None:
        """Commit the transaction durably, after readers of the old state have finished; fails with DRV011."""
        fault("sqlite.commit")
        wait_until_free(lambda: _tried(session.connection, ("COMMIT",)), session.ctx, session.path, own=1)
        fault("sqlite.committed")


SQLITE = SQLite()


def _opened(path: Path, mode: str, statements: Sequence[str]) -> sqlite3.Connection | None:
    """Return a connection on which the statements were executed; None if the database is locked.

    Another thread than the one that opens it may fetch rows, but never two at the same time.
    """
    uri = f"file:{quote(str(path))}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0, check_same_thread=False)
    done = None
    try:
        done = _tried(connection, statements)
    finally:
        if not done:
            connection.close()
    return connection if done else None


def _tried(connection: sqlite3.Connection, statements: Sequence[str]) -> bool | None:
    """Execute statements; returns None if the database is locked."""
    try:
        for statement in statements:
            connection.execute(statement).fetchall()
    except sqlite3.OperationalError as error:
        if _number(error) not in _IN_USE:
            raise
        return None
    return True


def _number(error: Exception) -> int | None:
    """Return the primary result code of an error; None if it is not SQLite's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _column(
    name: str, declared: str, needed: int, default: str | None, key: int, hidden: int, *, one_key: bool
) -> Column:
    rowid, computed = key == 1 and one_key and declared.upper() == "INTEGER", hidden > 1
    return Column(
        name,
        type_of(declared),
        declared,
        required=bool(needed) and default is None and not computed and not rowid,
        computed=computed,
        nullable=not (needed or rowid),
        default="generated" if computed else default,
        key=key,
        rowid=rowid,
    )


def unique_indexes(session: Session, table: str) -> list[Index]:
    """Return the unique indexes over all rows of a table, including that of its primary key if it has one."""
    indexes = session.rows("""SELECT name, origin FROM pragma_index_list(?) WHERE "unique" AND NOT partial""", table)
    of_index = "SELECT name, coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno"
    return [Index(origin, tuple(session.rows(of_index, name))) for name, origin in indexes]


def _collation(session: Session, table: str, column: str) -> str:
    """Return the collation of a column itself, which no PRAGMA shows: the one by which it equates two texts."""
    values = f"SELECT {quote_name(column)} AS value FROM {quote_name(table)} WHERE false UNION ALL SELECT 'a'"
    try:
        ((ignores_case, ignores_blanks),) = session.rows(f"SELECT value = 'A', value = 'a ' FROM ({values})")
    except sqlite3.OperationalError:  # it is the application's own
        return "not known here"
    return "NOCASE" if ignores_case else "RTRIM" if ignores_blanks else "BINARY"


def order_of(table: Table, columns: Sequence[Column]) -> list[str]:
    """Return the quoted columns by which a table is ordered; empty if it has no order."""
    if table.kind == "view":
        return []
    if not table.rowid:
        return [quote_name(column.name) for column in sorted(columns, key=lambda c: c.key) if column.key]
    names = {column.name.lower() for column in columns}
    return [name for name in _ROWIDS if name not in names][:1]


def type_problem(kind: str | None) -> str | None:
    """Return why a column cannot be read as a type (None: it has no declared type); None if it can."""
    if kind is None:
        return "SQLite does not say what it holds"
    return None if is_readable(kind) else "SQLite has no such values"


def _fields(columns: Sequence[Column], chosen: Mapping[str, str]) -> Schema:
    """Return columns with their chosen or declared types; fails for all columns without a type."""
    fields: list[Field] = []
    problems: list[Diagnostic] = []
    for column in columns:
        kind = chosen.get(column.name) or column.type
        if kind is not None and not is_type_name(kind):
            problems.append(unknown_type(kind, Location(pointer=join("/config/dtype", column.name))))
        elif why := type_problem(kind):
            hint = (
                f'say what it holds: dtype: {{{column.name}: "decimal(12,2)"}}, int64, utf8 or another type'
                if kind is None
                else None
            )
            type_name = kind or (f"'{column.declared}'" if column.declared else "none")
            problems.append(diagnostic("DAT006", column=column.name, type=type_name, reason=why, hint=hint))
        else:
            fields.append(Field(column.name, str(kind), column.nullable))
    if problems:
        raise_all(problems)
    return tuple(fields)


def count_rows(session: Session, table: Table, limit: int | None = None) -> int | None:
    """Return the number of rows of a table, at most `limit`; None for a view, or if there are too many to count."""
    if table.kind == "view":
        return None
    text = f"SELECT count(*) FROM (SELECT 1 FROM {SQLITE.qualified(session.schema, table.name)} LIMIT ?)"
    ((rows,),) = session.rows(text, min(limit or _COUNTED, _COUNTED))
    return None if rows == _COUNTED else int(rows)


def read_batches(
    session: Session, text: str, schema: Schema, place: tuple[Table, Sequence[str]] | None = None
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows of a SELECT; fails with DAT001 for a value that does not match its column's type.

    `place` is the table, if it is read as a whole, and its order columns: then the message names the row.
    """
    arrow, done = arrow_schema(schema), 0
    cursor = session.connection.execute(text)
    while rows := cursor.fetchmany(_BATCH):
        arrays = []
        for column, values in zip(schema, zip(*rows, strict=True), strict=True):
            array = read_values(values, column.type)
            if array is None:
                _fail_value(session, column, values, done, place)
            arrays.append(array)
        done += len(rows)
        yield pa.RecordBatch.from_arrays(arrays, schema=arrow)


def _fail_value(
    session: Session, column: Field, values: Sequence[object], done: int, place: tuple[Table, Sequence[str]] | None
) -> NoReturn:
    """Fail with DAT001 for the first value that does not match its column's type."""
    if place is None:
        value, hint = "one of its values", f"give '{column.name}' another dtype"
    else:
        number, wrong = next((n, v) for n, v in enumerate(values) if read_values([v], column.type) is None)
        text = repr(wrong)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        value = f"{shown} ({_row(session, *place, done + number)} of '{place[0].name}')"
        hint = f"give '{column.name}' another type with dtype"
    fail("DAT001", column=column.name, value=value, type=column.type, hint=hint)


def _row(session: Session, table: Table, order: Sequence[str], position: int) -> str:
    if not (table.rowid and order):
        return f"row {position + 1}"
    query = f"SELECT {order[0]} FROM {SQLITE.qualified(session.schema, table.name)} ORDER BY 1 LIMIT 1 OFFSET ?"
    ((rowid,),) = session.rows(query, position)
    return f"rowid {rowid}"


def _has_triggers(session: Session, delivery: Delivery) -> bool:
    """Return whether the table has triggers, which may change further rows."""
    query = "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
    return bool(session.rows(query, delivery.table))


def _key_collations(session: Session, delivery: Delivery) -> list[dict[str, str]]:
    """Return the collations by column of each unique index over the key that has others than BINARY."""
    names = {name.lower(): name for name in delivery.key}
    return [
        {names[str(name).lower()]: order for name, order in index.columns}
        for index in unique_indexes(session, delivery.table)
        if index.key == names.keys() and any(order.upper() != "BINARY" for _, order in index.columns)
    ]


def _numbered_column(session: Session, delivery: Delivery) -> str | None:
    """Return the rowid alias column in lower case, in which NULL becomes the next number; None if there is none."""
    if any(index.origin == "pk" for index in unique_indexes(session, delivery.table)):
        return None
    columns = SQLITE.columns(session, Relation(delivery.table))
    return next((column.name.lower() for column in columns if column.rowid), None)


def _count(session: Session, delivery: Delivery) -> int:
    ((rows,),) = session.rows(f"SELECT count(*) FROM {delivery.quoted}")
    return int(rows)


def _count_given(session: Session, delivery: Delivery, collations: list[dict[str, str]]) -> int:
    """Return how many of the staged keys exist in the target."""
    orders = {name: f" COLLATE {quote_name(order)}" for each in collations[:1] for name, order in each.items()}
    names = {quote_name(name): orders.get(name, "") for name in delivery.key}
    equal = " AND ".join(f"there.{name} = given.{name}{order}" for name, order in names.items())
    query = f"SELECT 1 FROM {delivery.quoted} AS there WHERE {equal}"
    ((rows,),) = session.rows(f"SELECT count(*) FROM temp.{KEYS} AS given WHERE EXISTS ({query})")
    return int(rows)


def _insert_keys(session: Session, delivery: Delivery, waiting: Staged) -> None:
    types = {column.name: column.type for column in delivery.schema}
    insert = insert_rows(f"temp.{KEYS}", delivery.key, _places(delivery.key))
    for batch in waiting.open().batches():
        values = [stored_values(batch.column(name), types[name]) for name in delivery.key]
        session.connection.executemany(insert, zip(*values, strict=True))


def _insert(session: Session, delivery: Delivery, waiting: Staged, conflict: str = "") -> None:
    """Insert all rows, one by one; fails with DRV015 unless SQLite counts each as written."""
    names = [column.name for column in delivery.schema]
    statement = insert_rows(delivery.quoted, names, _places(names), _INSERT) + conflict
    connection, written = session.connection, 0
    numbered = _numbered_column(session, delivery)

    def refused(column: Field, array: pa.Array) -> tuple[int, str, str] | None:
        return first_refused(array, column.type, numbered=column.name.lower() == numbered)

    for before, rows in stored_rows(delivery, waiting, refused, stored_values):
        earlier = connection.total_changes
        try:
            written += connection.executemany(statement, rows).rowcount
        except sqlite3.IntegrityError as error:
            done = connection.total_changes - earlier
            position = "" if _has_triggers(session, delivery) else f"row {before + done + 1}: "
            fail_row(delivery.ctx, delivery.target, f"{position}{error}")
    expect_all_written(delivery.ctx, delivery.target, waiting.rows, written)


def _places(columns: Sequence[str]) -> str:
    return f"VALUES ({', '.join('?' * len(columns))})"
