"""Rows on their way into a table of MySQL, in one InnoDB transaction with the record of their delivery.

They wait in a file, so that no transaction is open while their source is read. LOAD DATA takes them from memory where
the server allows that, else they go in INSERTs of many rows. Rows that replace others come behind a DELETE, not a
TRUNCATE, which would commit by itself: those who read meanwhile see the old rows until the commit, and the new ones
after it. Rows of an upsert go into a temporary table first, before the transaction begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from osiris.driver import Written
from osiris.errors import fail
from osiris.families.cells import Unfit
from osiris.families.embedded import Target
from osiris.families.mysql import SETTINGS, chosen, opened, qualified, quote_name, relations
from osiris.families.mysql_connect import address, numbered
from osiris.families.mysql_encode import FORM, encode_rows, expression, sendable
from osiris.families.mysql_target import find_delivery, make_ledger, make_table, record_delivery, refuse, uniques

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.embedded import Staged
    from osiris.families.mysql import Session
    from osiris.families.mysql_held import Column
    from osiris.model import Schema

_STAGING = "_osiris_rows"
_QUERY = 3
_TWICE = 1062
_IN_USE = (1205, 1213)
_ROW = frozenset((1048, 1062, 1216, 1217, 1264, 1265, 1292, 1364, 1366, 1406, 1451, 1452, 3819, 4025))
_HARMLESS = frozenset((1287, 1681))
"""Warnings that something is out of date."""
_ATTEMPTS = 4
_PIECE = 4 << 20
"""The bytes that are sent at once."""


@dataclass(frozen=True, slots=True)
class Work:
    """One delivery: where it goes, how, and the columns of the rows."""

    ctx: StepContext
    table: str
    database: str | None
    schema: Schema
    mode: Literal["append", "replace", "upsert"]
    key: Sequence[str]
    create: bool
    batch: int

    @property
    def merged(self) -> Sequence[str]:
        """Return the key of an upsert; none otherwise."""
        return self.key if self.mode == "upsert" else ()


def look(work: Work) -> Written | None:
    """Return what was delivered before, and refuse a table that the rows do not fit, before any of them is read."""
    target = address(work.ctx.connection, work.database)
    with opened(work.ctx, target) as session:
        place = Target(work.table, target.where)
        earlier = find_delivery(session, work.ctx, place)
        if earlier is None and not (work.create and work.table not in relations(session)):
            refuse(session, work.ctx, place, work.schema, work.merged)
        return earlier


def deliver(work: Work, waiting: Staged) -> Written:
    """Write everything in one transaction; what another attempt has done meanwhile is seen inside of it."""
    import pymysql

    target = address(work.ctx.connection, work.database)
    for attempt in range(_ATTEMPTS):
        with opened(work.ctx, target, sends_rows=True) as session:
            session.run(f"SET SESSION {chosen(SETTINGS)}")
            try:
                return _deliver(session, work, Target(work.table, target.where), waiting)
            except pymysql.MySQLError as error:
                number, message = numbered(error)
                if number in _ROW:
                    _refuse_row(work, message)
                if number not in _IN_USE:
                    raise
        work.ctx.emit("delivery_again", {"table": work.table, "attempt": attempt + 1})
    return fail("DRV011", path=target.where, seconds=SETTINGS["innodb_lock_wait_timeout"])


def _refuse_row(work: Work, problem: str) -> NoReturn:
    fail("DAT032", step=work.ctx.step, table=work.table, problem=problem)


def _deliver(session: Session, work: Work, target: Target, waiting: Staged) -> Written:
    if work.create and work.table not in relations(session):
        make_table(session, work.table, work.schema, work.key)
    make_ledger(session, work.ctx)
    columns = refuse(session, work.ctx, target, work.schema, work.merged)
    used = [columns[field.name] for field in work.schema]
    if work.merged:
        _stage(session, work, used, waiting)
    session.run("START TRANSACTION")
    if not _claimed(session, work, target, waiting):
        session.run("ROLLBACK")
        earlier = find_delivery(session, work.ctx, target)
        return earlier or fail("DRV011", path=target.database, seconds="0")
    session.rows(f"SELECT 1 FROM {qualified(session, work.table)} LIMIT 0")  # from now on nobody can change the table
    refuse(session, work.ctx, target, work.schema, work.merged)
    if work.merged:
        _merge(session, work)
    else:
        if work.mode == "replace":
            session.run(f"DELETE FROM {qualified(session, work.table)}")
        _send(session, work, qualified(session, work.table), used, waiting)
    if work.ctx.cancelled():
        fail("RUN003", signal="request")
    session.run("COMMIT")
    return Written(waiting.rows, waiting.size)


def _claimed(session: Session, work: Work, target: Target, waiting: Staged) -> bool:
    import pymysql

    try:
        record_delivery(session, work.ctx, target, waiting.rows)
    except pymysql.IntegrityError as error:
        if numbered(error)[0] != _TWICE:
            raise
        return False
    return True


def _stage(session: Session, work: Work, used: Sequence[Column], waiting: Staged) -> None:
    """Take the rows into a temporary table, which nobody else sees and which ends with the connection."""
    names = ", ".join(quote_name(column.name) for column in used)
    key = ", ".join(map(quote_name, work.key))
    session.run(
        f"CREATE TEMPORARY TABLE {_STAGING} (PRIMARY KEY ({key})) ENGINE = InnoDB "
        f"SELECT {names} FROM {qualified(session, work.table)} LIMIT 0"
    )
    _send(session, work, _STAGING, used, waiting)


def _merge(session: Session, work: Work) -> None:
    """Update the rows that are there and insert the others.

    One statement does both where the key is all that is unique: it would take a row that is equal in anything unique.
    """
    table, names = qualified(session, work.table), [quote_name(field.name) for field in work.schema]
    rest = [quote_name(field.name) for field in work.schema if field.name not in work.key]
    keys = list(map(quote_name, work.key))
    insert = (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(f's.{name}' for name in names)} FROM {_STAGING} s"
    )
    if len(uniques(session, work.table)) == 1:
        changes = ", ".join(f"{name} = VALUES({name})" for name in rest or keys[:1])
        session.run(f"{insert} ON DUPLICATE KEY UPDATE {changes}")
        return
    using = f"USING ({', '.join(keys)})"
    if rest:
        changes = ", ".join(f"t.{name} = s.{name}" for name in rest)
        session.run(f"UPDATE {table} t JOIN {_STAGING} s {using} SET {changes}")
    session.run(f"{insert} LEFT JOIN {table} t {using} WHERE t.{keys[0]} IS NULL")


def _send(session: Session, work: Work, table: str, used: Sequence[Column], waiting: Staged) -> None:
    ((allowed,),) = session.rows("SELECT @@local_infile")
    if allowed:
        _load(session, work, table, used, waiting)
    else:
        work.ctx.emit("batched_inserts", {"table": work.table, "reason": "the server allows no LOAD DATA LOCAL"})
        _insert(session, work, table, used, waiting)


def _load(session: Session, work: Work, table: str, used: Sequence[Column], waiting: Staged) -> None:
    """Let the server ask for a file, and send it the rows: the client opens no file, whatever the server asks for.

    With rows from a client the server goes on where it would stop otherwise, and only warns.
    """
    from pymysql.protocol import OKPacketWrapper

    connection = session.connection
    with session.watch.waiting():
        connection._execute_command(_QUERY, _load_statement(table, used))
        packet = connection._read_packet()
    if not packet.is_load_local_packet():
        fail("DRV013", path=session.target.where, problem="it does not take rows with LOAD DATA")
    for arrays in _pieces(work, used, waiting):
        data = encode_rows([column.name for column in used], arrays)
        for start in range(0, len(data), _PIECE):
            with session.watch.waiting():
                connection.write_packet(bytes(data[start : start + _PIECE]))
    with session.watch.waiting():
        connection.write_packet(b"")
        told = OKPacketWrapper(connection._read_packet())
    if told.warning_count:
        _refuse_warned(session, work)
    if told.affected_rows != waiting.rows:
        _refuse_row(work, f"it took {told.affected_rows} of {waiting.rows}")


def _refuse_warned(session: Session, work: Work) -> None:
    for _, number, message in session.rows("SHOW WARNINGS"):
        if number not in _HARMLESS:
            _refuse_row(work, message)


def _load_statement(table: str, used: Sequence[Column]) -> str:
    places, changes = [], []
    for index, column in enumerate(used):
        changed = expression(column, f"@v{index}")
        places.append(f"@v{index}" if changed else quote_name(column.name))
        changes += [f"{quote_name(column.name)} = {changed}"] if changed else []
    set_to = f" SET {', '.join(changes)}" if changes else ""
    return f"LOAD DATA LOCAL INFILE 'rows' INTO TABLE {table} {FORM} ({', '.join(places)}){set_to}"


def _insert(session: Session, work: Work, table: str, used: Sequence[Column], waiting: Staged) -> None:
    names = ", ".join(quote_name(column.name) for column in used)
    places = ", ".join(expression(column, "%s") or "%s" for column in used)
    statement = f"INSERT INTO {table} ({names}) VALUES ({places})"
    for arrays in _pieces(work, used, waiting):
        rows = list(zip(*(array.to_pylist() for array in arrays), strict=True))
        with session.watch.waiting(), session.connection.cursor() as cursor:
            cursor.executemany(statement, rows)


def _pieces(work: Work, used: Sequence[Column], waiting: Staged) -> Iterator[list[pa.Array]]:
    """Yield the columns of the next rows, ready to be sent; fails with DAT015 for a value that would be changed."""
    for batch in waiting.open().batches():
        size = max(1, min(work.batch, _PIECE * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, size):
            piece = batch.slice(start, size)
            yield [
                _column(work, array, field.type, column)
                for array, field, column in zip(piece.columns, work.schema, used, strict=True)
            ]


def _column(work: Work, array: pa.Array, source: str, column: Column) -> pa.Array:
    try:
        return sendable(array, source, column)
    except Unfit as unfit:
        fail("DAT015", step=work.ctx.step, column=column.name, value=unfit.value, reason=unfit.reason)
