"""What all components of the mysql family share: sessions that can only read, and what a database says it has.

Rows are those of one SELECT, in the order in which they come. A query of the user's is checked again where it runs; its
values are put in, and its order is made total.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, NoReturn

from osiris.errors import did_you_mean, fail
from osiris.families.mysql.connect import address, connect, fail_lost, numbered
from osiris.families.mysql.decode import Packets, cells_of, received
from osiris.families.mysql.errors import NO_TABLE, NOT_GRANTED, fail_server
from osiris.families.mysql.types import carry, decoder, quote_name, type_name
from osiris.families.source_columns import check_known
from osiris.families.sql.columnar import COARSE, account
from osiris.families.sql.database import Reading, Relation, Source
from osiris.families.sql.result import (
    ResultColumn,
    bound_values,
    by_spelling,
    checked_query,
    filled,
    query_source,
    result_columns,
)
from osiris.families.sql.wire import Broken, Refusal, decoded_batches

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.families.mysql.connect import Address, Client
    from osiris.families.mysql.types import Told
    from osiris.families.sql.columnar import Batch, Sieve
    from osiris.families.sql.database import Name
    from osiris.families.sql.result import ResultColumn
    from osiris.families.sql.watchdog import Watch
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
"""What values, their texts and the patience of a session depend on."""

_LOST = frozenset((1260, 1264, 1265, 1292, 1301, 1366, 1406, 1411, 1441, 1916, 1918, 1977, 3751))
"""Warnings that mean that a value was cut off, changed, or made NULL."""
_LOST_CONNECTION = frozenset((0, 2006, 2013, 2014, 2055))
_BEGIN = "START TRANSACTION READ ONLY"
_PREPARE, _CLOSE = 0x16, 0x19
_PREPARED = Struct("<IHH")
_TABLES = """
SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s
ORDER BY TABLE_NAME"""
_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, IS_NULLABLE = 'NO', EXTRA LIKE '%%INVISIBLE%%' FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"""
_CHECKS = (
    "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s AND TABLE_NAME = %s"
)
_KEY = """
SELECT COLUMN_NAME, SUB_PART IS NULL FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX"""
_DIALECT = "mysql"
_OWN = ("information_schema", "mysql", "performance_schema", "sys")
_EVERY_TABLE = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN %s"
_COLUMNS_OF = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA NOT IN %s AND TABLE_NAME IN %s ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"""

_ANYTHING = Reading()


@dataclass(frozen=True, slots=True)
class Session:
    """A connection in use, and the database it is about; what `reading` gives sees one state of it."""

    connection: Client
    target: Address
    watch: Watch

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement of ours."""
        with self.watch.waiting(), self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def run(self, statement: str) -> int:
        """Run a statement of ours that gives no rows; returns how many warnings it gave."""
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
    """A table or view, of the kind that the catalogue says, and with its engine."""

    engine: str | None = None


@contextmanager
def reading(ctx: StepContext, config: Reading = _ANYTHING) -> Iterator[Session]:
    """Give a session that reads one state of the database, and closes afterwards.

    What goes wrong inside comes out in our words: CON011 to CON017, DRV012 to DRV022, SQL009, SQL011, RUN003.
    """
    target = address(ctx.connection, config.schema)
    with opened(ctx, target, query=config.query is not None) as session:
        session.run(f"SET SESSION {chosen(SETTINGS | _limit(session))}")
        session.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.run(_BEGIN)
        yield session


def hold(session: Session, relations: Sequence[Name]) -> Session:
    """Return the session in a transaction of its own, until whose end nobody can alter tables and views.

    Nor can others be put in their place, from before the state of the database that it sees.
    """
    session.run("ROLLBACK")
    session.run(_BEGIN)
    for name in relations:
        _lock(session, name)
    return session


def _lock(session: Session, name: Name) -> None:
    """Keep a table as it is until the transaction ends, by reading nothing of it.

    Only afterwards a state is taken, by the first statement that reads a row. In one that is older, the table that
    another one has taken the place of would be empty, and a column that was made anew would have no values.
    """
    import pymysql

    try:
        session.run(f"SELECT 1 FROM {'.'.join(map(quote_name, name))} LIMIT 0")
    except pymysql.MySQLError as error:
        if numbered(error)[0] not in (NO_TABLE, *NOT_GRANTED):  # these are told by who looks for it
            raise


def chosen(settings: Mapping[str, str]) -> str:
    """Return settings as SET takes them."""
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


def _limit(session: Session) -> dict[str, str]:
    """Return the setting with which the server ends what runs too long."""
    seconds = session.target.statement
    if not seconds:
        return {}
    return {"max_statement_time": f"{seconds:g}"} if session.mariadb else {"max_execution_time": f"{seconds * 1e3:.0f}"}


@contextmanager
def opened(ctx: StepContext, target: Address, *, query: bool = False, sends_rows: bool = False) -> Iterator[Session]:
    """Give a session that is watched, and closes afterwards; says in our words what goes wrong in it."""
    import pymysql

    connection, watch = connect(target, ctx, sends_rows=sends_rows)
    try:
        with watch.running():
            yield Session(connection, target, watch)
    except (pymysql.MySQLError, Refusal) as error:
        number, message = numbered(error)
        if watch.stopped or number in _LOST_CONNECTION:
            fail_lost(watch, target, "the server ended it")
        fail_server(number, message, target.where, target.user, query=query)
    except Broken as error:
        fail_lost(watch, target, str(error))
    finally:
        connection._force_close()


def relations(session: Session) -> dict[str, Table]:
    """Return the tables and views of the session's database that the user may see, by name."""
    rows = session.rows(_TABLES, session.target.database)
    return {name: Table(name, kind, rows, engine) for name, kind, engine, rows in rows}


def relation(session: Session, name: str) -> Table:
    """Return a table or view; fails with DRV012 or DRV020."""
    known = relations(session)
    if name not in known:
        if not may(session, f"SELECT 1 FROM {qualified(session, name)}"):  # it may be there, and not be shown
            fail_grant(session, ["SELECT"], qualified(session, name), f"table '{name}'")
        fail("DRV012", table=name, path=session.target.where, hint=did_you_mean(name, known))
    return known[name]


def may(session: Session, statement: str) -> bool:
    """Tell whether the user may run a statement; a table that is not there is looked for after the right to it."""
    import pymysql

    try:
        prepared(session, statement)
    except pymysql.MySQLError as error:
        number = numbered(error)[0]
        if number not in (NO_TABLE, *NOT_GRANTED):
            raise
        return number == NO_TABLE
    return True


def table_result(session: Session, found: Table, columns: Sequence[str] | None) -> Source:
    """Return the columns of a table, all or those asked for, in that order; fails with DAT005 or DAT006.

    A table with a primary key is read in its order, which is that in which InnoDB keeps it.
    """
    place = (session.target.database, found.name)
    told = session.rows(_COLUMNS, *place)
    if not told:  # who has another right to a table is told that it is there, and no columns
        fail_grant(session, ["SELECT"], qualified(session, found.name), f"table '{found.name}'")
    kinds = {name: kind for name, kind, *_ in told}
    check_known({"columns": columns or ()}, list(kinds), f"table '{found.name}' of {session.target.where}")
    kinds |= _json_columns(session, place, list(kinds))
    names = columns if columns is not None else [name for name, *_, hidden in told if not hidden]
    key = _key(session, found)
    text = f"SELECT {', '.join(_read(name, kinds[name]) for name in names)} FROM {qualified(session, found.name)}"
    text += _in_order_of(key)
    source = described(session, text, kinds, {name: bool(needed) for name, _, needed, _ in told})
    return replace(source, order="fixed" if key else "free", rows=found.rows, relations=(place,))


def _in_order_of(key: Sequence[str]) -> str:
    return f" FORCE INDEX (PRIMARY) ORDER BY {', '.join(map(quote_name, key))}" if key else ""


def _read(name: str, kind: str) -> str:
    """Return how a column is read: the server sends six digits of a FLOAT, and all of the DOUBLE that is its equal."""
    quoted = quote_name(name)
    return f"{quoted} * 1e0 AS {quoted}" if kind == "float" else quoted


def _json_columns(session: Session, place: tuple[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return which columns are JSON by a check, as MariaDB keeps them."""
    if not session.mariadb:
        return {}
    checks = {clause for (clause,) in session.rows(_CHECKS, *place)}
    return {name: "json" for name in names if f"json_valid({quote_name(name)})" in checks}


def _key(session: Session, found: Table) -> list[str]:
    """Return the primary key of a table that InnoDB keeps in its order."""
    if found.engine != "InnoDB":
        return []
    key = session.rows(_KEY, session.target.database, found.name)
    return [name for name, _ in key] if all(whole for _, whole in key) else []


def described(
    session: Session, text: str, kinds: Mapping[str, str] | None = None, needed: Mapping[str, bool] | None = None
) -> Source:
    """Return the columns of a SELECT as the server describes them, without running it.

    `kinds` are types that the catalogue tells, `needed` the columns that hold no NULL. Fails with DAT006 for columns
    that are not carried, all at once, and with SQL009 where two have one name.
    """
    columns = columns_of(prepared(session, text), kinds or {}, needed or {})
    return Source(tuple(column.field for column in columns), text, "free", detail=columns)


def columns_of(found: Sequence[Told], kinds: Mapping[str, str], needed: Mapping[str, bool]) -> tuple[ResultColumn, ...]:
    """Return the columns that the server tells of; fails with DAT006 for those that are not carried, all at once."""
    told = ((each.name, type_name(each), partial(carry, each, kinds.get(each.name))) for each in found)
    return result_columns(told, needed)


def prepared(session: Session, text: str) -> list[Told]:
    """Return what the server tells of the columns of a SELECT; it prepares it, and runs nothing."""
    from pymysql.connections import FieldDescriptorPacket

    connection = session.connection
    with session.watch.waiting():
        connection._execute_command(_PREPARE, text)
        number, count, parameters = _PREPARED.unpack(connection._read_packet().get_all_data()[1:9])
        for _ in range(parameters + bool(parameters)):
            connection._read_packet()
        columns = [connection._read_packet(FieldDescriptorPacket) for _ in range(count)]
        if columns:
            connection._read_packet()
        connection._execute_command(_CLOSE, number.to_bytes(4, "little"))
    return columns


def expect_nothing_lost(session: Session, count: int) -> None:
    """Fail with DAT033 if one of the warnings of the last statement means that values were cut off or changed."""
    if not count:
        return
    told = session.rows("SHOW WARNINGS")
    lost = next(((number, text) for _, number, text in told if number in _LOST), None)
    if lost is None and count > len(told):
        lost = (0, f"{count - len(told)} more warnings than the server keeps")
    if lost:
        fail("DAT033", where=session.target.where, problem=f"{lost[1]} (warning {lost[0]})")


def fail_grant(session: Session, rights: Sequence[str], place: str, shown: str) -> NoReturn:
    """Fail with DRV020, and the statement that gives the rights; `place` is where, as GRANT takes it."""
    ((account,),) = session.rows("SELECT CURRENT_USER()")
    to = "@".join(map(quote_name, account.rpartition("@")[::2]))
    listed = ", ".join(rights)
    fail(
        "DRV020",
        where=session.target.where,
        user=session.target.user,
        reason=f"it has no right to {listed} on {shown}",
        hint=f"run GRANT {listed} ON {place} TO {to}",
    )


def qualified(session: Session, name: str) -> str:
    """Return a table's full name, quoted."""
    return f"{quote_name(session.target.database)}.{quote_name(name)}"


def read_query(
    session: Session, text: str, columns: Sequence[ResultColumn], sieve: Sieve = COARSE
) -> Generator[Batch, None, None]:
    """Yield the rows of a SELECT, sent as it is.

    A value that cannot be carried is set aside, or fails with DAT031; fails with DAT033 at the end if the server lost
    some.
    """
    _send(session, text, columns)
    packets = Packets()
    pages = received(session.connection, session.watch, packets)
    decoders, cells = [decoder(column.carried) for column in columns], partial(cells_of, count=len(columns))
    yield from account(decoded_batches(pages, columns, decoders, cells, sieve), sieve)
    expect_nothing_lost(session, packets.warnings)


def _send(session: Session, text: str, columns: Sequence[ResultColumn]) -> None:
    """Send a SELECT, and let the client library forget it: it would wait for the rows that it has not seen."""
    connection = session.connection
    with session.watch.waiting():
        connection.query(text, unbuffered=True)
    result, connection._result = connection._result, None
    result.unbuffered_active, result.connection = False, None
    kinds = {c.field.name: "float" for c in columns if c.field.type == "float32"}
    kinds |= {c.field.name: c.field.type for c in columns if c.field.type in ("json", "uuid")}
    found = columns_of(result.fields, kinds, {c.field.name: not c.field.nullable for c in columns})
    if [column.field for column in found] != [column.field for column in columns]:
        raise Broken("its rows have other columns than it told before")


def query_result(session: Session, query: str, bindings: Mapping[str, JsonValue | Secret]) -> Source:
    """Check a query against the tables that are there, and return what it gives.

    Its order is fixed if it has an ORDER BY, and the server tells all values of all columns apart; texts that it takes
    for equal (a and A, under most collations) may change places. Fails with SQL001 to SQL009, and with DAT006 for
    columns that are not carried.
    """
    tables = ((schema, name, (schema, name)) for schema, name in session.rows(_EVERY_TABLE, _OWN))
    homes = by_spelling(session.target.database, tables)
    verdict = checked_query(query, _DIALECT, homes, partial(_columns_named, session))
    values = bound_values(verdict, bindings)

    def literal(value: JsonValue) -> str:
        if isinstance(value, datetime) and value.tzinfo:
            value = value.astimezone(UTC)  # the library leaves the zone out, and the session's is UTC
        return str(session.connection.cursor().mogrify("%s", (value,)))

    def describe(text: str) -> Source:
        return described(session, filled(text, _DIALECT, values, literal))

    return query_source(
        verdict, _DIALECT, homes, describe, lambda source, _total: all(each.carried.ordered for each in source.detail)
    )


def _columns_named(session: Session, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of tables and views of these names, by all names that mean them."""
    found: dict[tuple[str, str], list[str]] = {}
    for schema, name, column in session.rows(_COLUMNS_OF, _OWN, names) if names else ():
        found.setdefault((schema, name), []).append(column)
    return by_spelling(session.target.database, ((*table, columns) for table, columns in found.items()))
