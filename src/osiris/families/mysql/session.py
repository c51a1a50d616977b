"""Read-only sessions and catalogue queries, shared by all components of the mysql family.

Rows are those of one SELECT, in the order of arrival. A user's query is checked again where it runs; its parameters are
filled in, and its order is made total.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, NoReturn

from osiris.errors import did_you_mean, fail
from osiris.families.mysql.connect import address, connect, fail_lost, keep, numbered, second_connection, watched
from osiris.families.mysql.decode import Packets, cells_of, received
from osiris.families.mysql.errors import NO_TABLE, NOT_GRANTED, TIMED_OUT, fail_server
from osiris.families.mysql.types import carry, decoder, quote_name, type_name
from osiris.families.source_columns import check_known
from osiris.families.sql.columnar import DEFAULT_POLICY, number_rejects
from osiris.families.sql.database import ReaderConfig, Relation, Source
from osiris.families.sql.result import (
    ResultColumn,
    bound_values,
    by_name,
    checked_query,
    filled,
    query_source,
    result_columns,
)
from osiris.families.sql.wire import ConnectionBroken, ServerError, decoded_batches

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from osiris.driver import StepContext
    from osiris.families.mysql.connect import Address, Client
    from osiris.families.mysql.types import ResultField
    from osiris.families.sql.columnar import Batch, RejectPolicy
    from osiris.families.sql.database import Name
    from osiris.families.sql.result import ResultColumn
    from osiris.families.sql.watchdog import Watchdog
    from osiris.model import JsonValue
    from osiris.secret import Secret

SETTINGS = {
    "sql_mode": (
        "'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
    ),
    "time_zone": "'+00:00'",
    "sql_auto_is_null": "0",
    "sql_select_limit": "18446744073709551615",
    "group_concat_max_len": "67108864",
    "max_error_count": "1024",
    "sql_notes": "1",
    "lock_wait_timeout": "60",
    "innodb_lock_wait_timeout": "60",
    "net_write_timeout": "3600",
    "net_read_timeout": "3600",
}
"""Session variables on which values, their text form and timeouts depend."""

_LOST = frozenset((1260, 1264, 1265, 1292, 1301, 1366, 1406, 1411, 1441, 1916, 1918, 1977, 3751))
"""Warnings that mean that a value was truncated, changed, or replaced by NULL."""
_LOST_CONNECTION = frozenset((0, 2006, 2013, 2014, 2055))
_PREPARE, _CLOSE = 0x16, 0x19
_PREPARED = Struct("<IHH")
_TABLES = """
SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS FROM information_schema.TABLES
WHERE TABLE_SCHEMA = %s"""
_NAMED = "AND TABLE_NAME = %s"
_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, IS_NULLABLE = 'NO' FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"""
_CHECKS = (
    "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s AND TABLE_NAME = %s"
)
_KEY = """
SELECT COLUMN_NAME, SUB_PART IS NULL FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX"""
_DIALECT = "mysql"
SYSTEM_SCHEMAS = ("information_schema", "mysql", "performance_schema", "sys")
"""What a query over the catalogue of all schemas leaves out by a constant condition, so that the server does not open
their tables: MariaDB 11.8.9 crashed when it did."""
_EVERY_TABLE = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN %s"
_COLUMNS_OF = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA NOT IN %s AND TABLE_NAME IN %s ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"""

_SHARABLE = """
SELECT TABLE_SCHEMA, TABLE_NAME, ENGINE IS NULL FROM information_schema.TABLES
WHERE TABLE_SCHEMA IN %s AND (ENGINE = 'InnoDB' OR TABLE_TYPE = 'VIEW')"""
_SOON, _TURN = 2, 0.1
"""How many seconds a lock on a table is waited for; how often one who waits for the turn looks whether to stop."""
_IDLE = {
    False: {"wait_timeout": "31536000"},
    True: {"wait_timeout": "31536000", "idle_transaction_timeout": "0", "idle_readonly_transaction_timeout": "0"},
}
"""Session variables that keep an idle session open, by whether the server is MariaDB."""

_ANYTHING = ReaderConfig()


@dataclass(frozen=True, slots=True)
class Session:
    """A connection in use, and its database; a session of `reading` sees one snapshot of it."""

    connection: Client
    target: Address
    watch: Watchdog

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of an internal statement."""
        with self.watch.waiting(), self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def run(self, statement: str) -> int:
        """Run an internal statement without rows; returns its number of warnings."""
        with self.watch.waiting():
            self.connection.query(statement)
        return int(self.connection._result.warning_count)

    @property
    def label(self) -> str:
        """The database's name for messages."""
        return self.target.where

    @property
    def mariadb(self) -> bool:
        """Whether the server is MariaDB."""
        return "mariadb" in self.connection.server_version.lower()


@dataclass(frozen=True, slots=True)
class Table(Relation):
    """A table or view; `kind` is its TABLE_TYPE, `engine` its storage engine."""

    engine: str | None = None


@contextmanager
def reading(ctx: StepContext, config: ReaderConfig = _ANYTHING) -> Iterator[Session]:
    """Open a session that reads one snapshot of the database, that of `ctx.shared` if there is one.

    Steps that share a snapshot use its connection one after another. If an earlier one has left it broken, the table is
    read apart. Errors inside the block become diagnostics: CON011 to CON017, DRV012 to DRV022, SQL009, SQL011, RUN003.
    """
    target = address(ctx.connection, config.schema)
    if ctx.shared:
        with _turn(ctx, ctx.shared.lock), _joined(ctx, ctx.shared.session, target) as session:
            if session:
                yield session
                return
        ctx.emit("snapshot_left", {"table": config.table})
    with opened(ctx, target, query=config.query is not None) as session:
        _set_up(session)
        begin_reading(session)
        yield hold(session, [(target.database, str(config.table))]) if ctx.shared else session


def _set_up(session: Session) -> None:
    session.run(f"SET SESSION {chosen(SETTINGS | _limit(session))}")
    session.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")


@contextmanager
def _turn(ctx: StepContext, lock: threading.Lock) -> Iterator[None]:
    """Hold a lock; fails with RUN003 if the step is cancelled while it waits for it."""
    while not lock.acquire(timeout=_TURN):
        if ctx.cancelled():
            fail("RUN003", signal="request")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _joined(ctx: StepContext, shared: Session, target: Address) -> Iterator[Session | None]:
    """Use a shared connection for one step; None if it is closed. It is closed if a result was not read to its end."""
    connection = shared.connection
    if not connection.open:
        yield None
        return
    watch = watched(connection, target, ctx)
    try:
        with watching(Session(connection, target, watch)) as session:
            yield session
    finally:
        if watch.stopped or connection._result is None:
            connection._force_close()


def share(session: Session, names: Sequence[Name], locked: AbstractContextManager[None]) -> frozenset[Name]:
    """Begin a transaction that locks tables and then sees one state of them; returns those that it sees.

    The first row that is read takes the snapshot, inside `locked`. No table of it can be altered until the transaction
    ends, so none is older than its definition (error 1412). Left out, and so read apart, is a table that cannot be
    locked soon, or has another engine than InnoDB.
    """
    _set_up(session)
    session.run(f"SET SESSION {chosen(_IDLE[session.mariadb])}, lock_wait_timeout = {_SOON}")
    rows = session.rows(_SHARABLE, sorted({database for database, _ in names})) if names else []
    sharable = sorted(((database, table), bool(view)) for database, table, view in rows if (database, table) in names)
    begin_reading(session)
    seen = {name: is_view for name, is_view in sharable if _is_locked(session, name)}
    first = next((name for name, is_view in seen.items() if not is_view), None)
    if first is None:
        return frozenset()
    with locked:
        session.rows(f"SELECT 1 FROM {'.'.join(map(quote_name, first))} LIMIT 1")
    return frozenset(seen)


def _is_locked(session: Session, name: Name) -> bool:
    """Take a metadata lock on a table; returns False if that fails, as it may be in use."""
    import pymysql

    try:
        session.run(f"SELECT 1 FROM {'.'.join(map(quote_name, name))} LIMIT 0")
    except pymysql.MySQLError as error:
        if session.watch.stopped or numbered(error)[0] in _LOST_CONNECTION:
            raise
        return False
    return True


def hold(session: Session, relations: Sequence[Name]) -> Session:
    """Start a new transaction that protects tables and views from being altered or replaced until its end.

    The locks are taken before the snapshot that the session sees. Returns the session.
    """
    begin_reading(session)
    for name in relations:
        _lock(session, name)
    return session


def begin_reading(session: Session) -> None:
    """Begin a transaction that reads; one that is open is ended."""
    session.run("ROLLBACK")
    session.run("START TRANSACTION READ ONLY")


def _lock(session: Session, name: Name) -> None:
    """Take a metadata lock on a table by a SELECT of no rows.

    The first statement that reads a row takes the snapshot, so the lock comes first: in an older snapshot a replaced
    table would be empty, and a re-created column would have no values.
    """
    import pymysql

    try:
        session.run(f"SELECT 1 FROM {'.'.join(map(quote_name, name))} LIMIT 0")
    except pymysql.MySQLError as error:
        if numbered(error)[0] not in (NO_TABLE, *NOT_GRANTED):  # the lookup of the table reports these
            raise


def chosen(settings: Mapping[str, str]) -> str:
    """Return settings as the arguments of SET."""
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


def _limit(session: Session) -> dict[str, str]:
    """Return the server's statement timeout setting; empty if the connection has none."""
    seconds = session.target.statement
    if not seconds:
        return {}
    return {"max_statement_time": f"{seconds:g}"} if session.mariadb else {"max_execution_time": f"{seconds * 1e3:.0f}"}


@contextmanager
def no_commits(session: Session) -> Iterator[None]:
    """Keep all clients from writing during the block; waits for that at most 2 s.

    Fails with DRV011 if a statement runs longer, and with DRV020 without the privilege.
    """
    import pymysql

    with second_connection(session.target, 2 * _SOON) as second:
        second.query(f"SET SESSION lock_wait_timeout = {_SOON}")
        try:
            second.query("FLUSH TABLES WITH READ LOCK")
        except pymysql.MySQLError as error:
            number = numbered(error)[0]
            if number in NOT_GRANTED:
                fail_grant(session, ["RELOAD"], "*.*", "*.*, which 'snapshot: lock' needs")
            if number != TIMED_OUT:
                raise
            hint = "run it while no statement writes for longer than that, or leave out 'snapshot: lock'"
            fail("DRV011", path=session.label, seconds=f"{_SOON} s", hint=hint)
        yield


@contextmanager
def opened(ctx: StepContext, target: Address, *, query: bool = False, sends_rows: bool = False) -> Iterator[Session]:
    """Open a session under a watchdog; afterwards it is closed, or kept; errors inside the block become diagnostics."""
    kept = False
    connection, watch = connect(target, ctx, sends_rows=sends_rows)
    try:
        with watching(Session(connection, target, watch), query=query) as session:
            yield session
        kept = not watch.stopped and keep(connection, target, ctx, sends_rows=sends_rows)
    finally:
        if not kept:
            connection._force_close()


@contextmanager
def watching(session: Session, *, query: bool = False) -> Iterator[Session]:
    """Run the watchdog of a session; errors inside the block become diagnostics."""
    import pymysql

    watch, target = session.watch, session.target
    try:
        with watch.running():
            yield session
    except (pymysql.MySQLError, ServerError) as error:
        number, message = numbered(error)
        if watch.stopped or number in _LOST_CONNECTION:
            fail_lost(watch, target, "the server ended it")
        fail_server(number, message, target.where, target.user, query=query)
    except ConnectionBroken as error:
        fail_lost(watch, target, str(error))


def relations(session: Session) -> dict[str, Table]:
    """Return the tables and views of the session's database that the user can see, by name."""
    rows = session.rows(f"{_TABLES} ORDER BY TABLE_NAME", session.target.database)
    return {name: Table(name, kind, rows, engine) for name, kind, engine, rows in rows}


def find(session: Session, name: str) -> Table | None:
    """Return a table or view of the session's database that the user can see; None if there is none."""
    rows = session.rows(f"{_TABLES} {_NAMED}", session.target.database, name)
    tables = {table: Table(table, kind, count, engine) for table, kind, engine, count in rows}
    return tables.get(name)  # the catalogue may ignore case


def relation(session: Session, name: str) -> Table:
    """Return a table or view; fails with DRV012 or DRV020."""
    table = find(session, name)
    if table is None:
        if not may(session, f"SELECT 1 FROM {qualified(session, name)}"):  # it may exist, but be hidden
            fail_grant(session, ["SELECT"], qualified(session, name), f"table '{name}'")
        fail("DRV012", table=name, path=session.target.where, hint=did_you_mean(name, relations(session)))
    return table


def may(session: Session, statement: str) -> bool:
    """Whether the user may run a statement; the server checks privileges before it looks for a missing table."""
    import pymysql

    try:
        prepared(session, statement)
    except pymysql.MySQLError as error:
        number = numbered(error)[0]
        if number not in (NO_TABLE, *NOT_GRANTED):
            raise
        return number == NO_TABLE
    return True


def table_result(session: Session, table: Table, columns: Sequence[str] | None) -> Source:
    """Return the SELECT of a table's columns, all or those requested, in that order; fails with DAT005 or DAT006.

    A table with a primary key is read in key order, the order in which InnoDB stores it.
    """
    place = (session.target.database, table.name)
    catalogue = session.rows(_COLUMNS, *place)
    if not catalogue:  # a user without SELECT on a table sees that it exists, but none of its columns
        fail_grant(session, ["SELECT"], qualified(session, table.name), f"table '{table.name}'")
    kinds = {name: kind for name, kind, _ in catalogue}
    check_known({"columns": columns or ()}, list(kinds), f"table '{table.name}' of {session.target.where}")
    kinds |= _json_columns(session, place, list(kinds))
    names = columns if columns is not None else list(kinds)  # not *, which leaves invisible columns out
    key = _key(session, table)
    text = f"SELECT {', '.join(_read(name, kinds[name]) for name in names)} FROM {qualified(session, table.name)}"
    source = described(session, text + _in_order_of(key), kinds, {name: bool(needed) for name, _, needed in catalogue})
    return replace(source, order="fixed" if key else "free", rows=table.rows, relations=(place,), plain=text)


def _in_order_of(key: Sequence[str]) -> str:
    return f" FORCE INDEX (PRIMARY) ORDER BY {', '.join(map(quote_name, key))}" if key else ""


def _read(name: str, kind: str) -> str:
    """Return a column's expression: the server sends only six digits of a FLOAT, but all of an equal DOUBLE."""
    quoted = quote_name(name)
    return f"{quoted} * 1e0 AS {quoted}" if kind == "float" else quoted


def _json_columns(session: Session, place: tuple[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the columns with a JSON_VALID check, which is MariaDB's JSON type."""
    if not session.mariadb:
        return {}
    checks = {clause for (clause,) in session.rows(_CHECKS, *place)}
    return {name: "json" for name in names if f"json_valid({quote_name(name)})" in checks}


def _key(session: Session, table: Table) -> list[str]:
    """Return the primary key of an InnoDB table; empty for other engines and keys on prefixes of columns."""
    if table.engine != "InnoDB":
        return []
    key = session.rows(_KEY, session.target.database, table.name)
    return [name for name, _ in key] if all(full for _, full in key) else []


def described(
    session: Session, text: str, kinds: Mapping[str, str] | None = None, needed: Mapping[str, bool] | None = None
) -> Source:
    """Return the columns of a SELECT as the server describes them, without running it.

    `kinds` are types from the catalogue, `needed` the NOT NULL columns. Fails with DAT006 for unsupported columns, all
    at once, and with SQL009 for duplicate names.
    """
    columns = columns_of(prepared(session, text), kinds or {}, needed or {})
    return Source(tuple(column.field for column in columns), text, "free", detail=columns)


def columns_of(
    fields: Sequence[ResultField], kinds: Mapping[str, str], needed: Mapping[str, bool]
) -> tuple[ResultColumn, ...]:
    """Return the columns of a result; fails with DAT006 for unsupported ones, all at once."""
    columns = ((field.name, type_name(field), partial(carry, field, kinds.get(field.name))) for field in fields)
    return result_columns(columns, needed)


def prepared(session: Session, text: str) -> list[ResultField]:
    """Return the columns of a SELECT, by preparing it without running it."""
    from pymysql.connections import FieldDescriptorPacket

    connection, last = session.connection, session.connection._result
    with session.watch.waiting():
        connection._execute_command(_PREPARE, text)
        number, count, parameters = _PREPARED.unpack(connection._read_packet().get_all_data()[1:9])
        for _ in range(parameters + bool(parameters)):
            connection._read_packet()
        columns = [connection._read_packet(FieldDescriptorPacket) for _ in range(count)]
        if columns:
            connection._read_packet()
        connection._execute_command(_CLOSE, number.to_bytes(4, "little"))
    connection._result = last  # all that the server sends has been read
    return columns


def expect_nothing_lost(session: Session, count: int) -> None:
    """Fail with DAT033 if a warning of the last statement means that values were truncated or changed."""
    if not count:
        return
    warnings = session.rows("SHOW WARNINGS")
    lost = next(((number, text) for _, number, text in warnings if number in _LOST), None)
    if lost is None and count > len(warnings):
        lost = (0, f"{count - len(warnings)} more warnings than the server keeps")
    if lost:
        fail("DAT033", where=session.target.where, problem=f"{lost[1]} (warning {lost[0]})")


def fail_grant(session: Session, rights: Sequence[str], place: str, shown: str) -> NoReturn:
    """Fail with DRV020 and a GRANT statement as hint; `place` is the object of GRANT, `shown` its name in messages."""
    listed = ", ".join(rights)
    fail(
        "DRV020",
        where=session.target.where,
        user=session.target.user,
        reason=f"it lacks the privilege {listed} on {shown}",
        hint=f"run GRANT {listed} ON {place} TO {account(session)}",
    )


def account(session: Session) -> str:
    """Return the user's account as the object of GRANT … TO."""
    ((name,),) = session.rows("SELECT CURRENT_USER()")
    return "@".join(map(quote_name, name.rpartition("@")[::2]))


def qualified(session: Session, name: str) -> str:
    """Return a table's full name, quoted."""
    return f"{quote_name(session.target.database)}.{quote_name(name)}"


def read_query(
    session: Session, text: str, columns: Sequence[ResultColumn], sieve: RejectPolicy = DEFAULT_POLICY
) -> Generator[Batch, None, None]:
    """Yield the rows of a SELECT, sent unchanged.

    A row with an unsupported value is rejected, or fails with DAT031; fails with DAT033 at the end if the server
    changed values.
    """
    result = _send(session, text, columns)
    packets = Packets()
    pages = received(session.connection, session.watch, packets)
    decoders, cells = [decoder(column.carried) for column in columns], partial(cells_of, count=len(columns))
    yield from number_rejects(decoded_batches(pages, columns, decoders, cells, sieve), sieve)
    session.connection._result = result  # all its rows have arrived
    expect_nothing_lost(session, packets.warnings)


def _send(session: Session, text: str, columns: Sequence[ResultColumn]) -> Client:
    """Send a SELECT; returns its result, detached from the client library, which would wait for unread rows."""
    connection = session.connection
    with session.watch.waiting():
        connection.query(text, unbuffered=True)
    result, connection._result = connection._result, None
    result.unbuffered_active, result.connection = False, None
    kinds = {c.field.name: "float" for c in columns if c.field.type == "float32"}
    kinds |= {c.field.name: c.field.type for c in columns if c.field.type in ("json", "uuid")}
    actual = columns_of(result.fields, kinds, {c.field.name: not c.field.nullable for c in columns})
    if [column.field for column in actual] != [column.field for column in columns]:
        raise ConnectionBroken("its rows have other columns than announced")
    return result


def query_result(session: Session, query: str, bindings: Mapping[str, JsonValue | Secret]) -> Source:
    """Check a query against the existing tables, and describe its result.

    Its order is fixed if it has an ORDER BY and the server distinguishes all values of all columns; texts that compare
    as equal (a and A under most collations) may swap places. Fails with SQL001 to SQL009, and with DAT006 for
    unsupported columns.
    """
    tables = ((schema, name, (schema, name)) for schema, name in session.rows(_EVERY_TABLE, SYSTEM_SCHEMAS))
    homes = by_name(session.target.database, tables)
    verdict = checked_query(query, _DIALECT, homes, partial(_columns_named, session))
    values = bound_values(verdict, bindings)

    def literal(value: JsonValue) -> str:
        if isinstance(value, datetime) and value.tzinfo:
            value = value.astimezone(UTC)  # PyMySQL omits the time zone, and the session's is UTC
        return str(session.connection.cursor().mogrify("%s", (value,)))

    def describe(text: str) -> Source:
        return described(session, filled(text, _DIALECT, values, literal))

    return query_source(
        verdict, _DIALECT, homes, describe, lambda source, _total: all(item.carried.ordered for item in source.detail)
    )


def _columns_named(session: Session, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of the named tables and views, by every spelling of their names."""
    by_table: dict[tuple[str, str], list[str]] = {}
    for schema, name, column in session.rows(_COLUMNS_OF, SYSTEM_SCHEMAS, names) if names else ():
        by_table.setdefault((schema, name), []).append(column)
    return by_name(session.target.database, ((*table, columns) for table, columns in by_table.items()))
