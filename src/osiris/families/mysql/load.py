"""Load rows into MySQL: directly into their table, or for an upsert through a temporary one.

Rows are sent by LOAD DATA from memory if the server allows it, else by INSERTs of many rows. An upsert writes directly
into the table where the result is the same. REPLACE updates rows in place if the table has no triggers and no foreign
keys refer to it; else it deletes rows, and those that refer to them. So a user who cannot see all triggers and foreign
keys uses a staging table.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.mysql.encode import FORM, encode_rows, expression, sendable, spelled
from osiris.families.mysql.errors import warned
from osiris.families.mysql.target_table import Column, uniques, with_members
from osiris.families.mysql.types import quote_name
from osiris.families.quarantine import RowRejected, row_json, with_row_numbers
from osiris.families.sql.columnar import reject_null
from osiris.families.sql.deletes import KEYS_TO_DELETE, gone_batches, gone_columns
from osiris.families.sql.sending import PIECE, encoded_columns, move_staged, reject_row, send_rows, trying

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from osiris.families.mysql.session import Session
    from osiris.families.sql.database import Delivery, Staged
    from osiris.replication import KeysToDelete

    Used = Sequence[tuple[Column, str]]
    """Columns of a table, each with the type of what goes there."""

_QUERY = 3

_STAGING = "_osiris_rows"
_NUMBER = "_osiris_row"
_EXACT = {
    *("tinyint", "smallint", "mediumint", "int", "bigint", "decimal"),
    *("date", "time", "datetime", "timestamp", "year", "uuid"),
}
"""Kinds of columns whose equal values are identical, so that an update leaves the key of a row unchanged."""
_SIMPLE = re.compile(r"\w+", re.ASCII)
"""Names that InnoDB's own catalogue stores unchanged."""
_RIGHTS = ("DELETE", "PROCESS", "TRIGGER")
"""Global privileges needed to replace rows, and to see the triggers and foreign keys of a table."""
_GRANTED = """
SELECT COUNT(DISTINCT PRIVILEGE_TYPE) FROM information_schema.USER_PRIVILEGES
WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') AND PRIVILEGE_TYPE IN %s"""
_TRIGGERS = "SELECT 1 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %s AND EVENT_OBJECT_TABLE = %s"
_FOREIGN = """
SELECT 1 FROM information_schema.INNODB_SYS_FOREIGN WHERE LOWER(%s) IN (LOWER(FOR_NAME), LOWER(REF_NAME))"""


def used_columns(session: Session, delivery: Delivery) -> Used:
    """Return the columns that rows have values for, in the order of the rows, each with the type of the values."""
    columns_by_name = {column.name: column for column in delivery.columns}
    return [
        (with_members(session, delivery.quoted, columns_by_name[field.name]), field.type) for field in delivery.schema
    ]


def send(session: Session, delivery: Delivery, table: str, used: Used, batches: Iterable[pa.RecordBatch]) -> None:
    """Send all rows; fails as `send_rows`."""
    ((allowed,),) = session.rows("SELECT @@local_infile")
    take = _load if allowed else _insert
    if not allowed:
        delivery.ctx.emit(
            "batched_inserts", {"table": delivery.table, "reason": "the server allows no LOAD DATA LOCAL"}
        )
    send_rows(session, delivery, batches, partial(_encoded, delivery, used), partial(take, session, table, used))


def _encoded(delivery: Delivery, used: Used, piece: pa.RecordBatch) -> list[pa.Array]:
    """Return the columns of rows in the form to send; raises InvalidValue for a value that the table would change."""

    def encode(array: pa.Array, column: Column, source: str) -> pa.Array:
        if delivery.rejected and column.name in delivery.merged:
            reject_null(array)
        return sendable(array, source, column)

    return encoded_columns(delivery, used, piece, encode)


def _load(session: Session, table: str, used: Used, parts: Iterable[Sequence[pa.Array]], into: str = "INTO") -> int:
    """Send rows by LOAD DATA LOCAL, and return their number; no file is opened, whatever name the server requests.

    With LOCAL, the server only warns of errors that would otherwise stop the statement: a warning raises RowRejected. A
    row that replaces another may count twice.
    """
    from pymysql.protocol import OKPacketWrapper

    connection, sent = session.connection, 0
    with session.watch.waiting():
        connection._execute_command(_QUERY, _load_statement(f"{into} TABLE {table}", used))
        packet = connection._read_packet()
    if not packet.is_load_local_packet():
        fail("DRV013", path=session.target.where, problem="it does not accept LOAD DATA")
    for arrays in parts:
        data = encode_rows(arrays)
        for start in range(0, len(data), PIECE):
            with session.watch.waiting():
                connection.write_packet(bytes(data[start : start + PIECE]))
        sent += len(arrays[0])
    with session.watch.waiting():
        connection.write_packet(b"")
        reply = OKPacketWrapper(connection._read_packet())
    if reply.warning_count and (refused := warned(session.rows("SHOW WARNINGS"))):
        raise refused
    most = sent if into == "INTO" else 2 * sent
    if not sent <= reply.affected_rows <= most:
        raise RowRejected("", f"it took {reply.affected_rows} of {sent}")
    return sent


def _load_statement(target: str, used: Used) -> str:
    places, changes = [], []
    for index, (column, _) in enumerate(used):
        changed = expression(column, f"@v{index}")
        places.append(f"@v{index}" if changed else quote_name(column.name))
        changes += [f"{quote_name(column.name)} = {changed}"] if changed else []
    set_to = f" SET {', '.join(changes)}" if changes else ""
    return f"LOAD DATA LOCAL INFILE 'rows' {target} {FORM} ({', '.join(places)}){set_to}"


def _insert(session: Session, table: str, used: Used, parts: Iterable[Sequence[pa.Array]]) -> int:
    names = ", ".join(quote_name(column.name) for column, _ in used)
    places = ", ".join(expression(column, "%s") or "%s" for column, _ in used)
    statement, sent = f"INSERT INTO {table} ({names}) VALUES ({places})", 0
    for arrays in parts:
        rows = list(zip(*(array.to_pylist() for array in spelled(arrays)), strict=True))
        with session.watch.waiting(), session.connection.cursor() as cursor:
            cursor.executemany(statement, rows)
        sent += len(rows)
    return sent


def stage(session: Session, delivery: Delivery, used: Used, waiting: Staged) -> None:
    """Load columns of the rows into a temporary table, which only this connection sees and which ends with it.

    Its primary key is the key of the rows, or their number if rejected rows are quarantined.
    """
    number = f", CAST(0 AS SIGNED) AS {_NUMBER}" if delivery.rejected else ""
    names = ", ".join(quote_name(column.name) for column, _ in used) + number
    key = _NUMBER if delivery.rejected else ", ".join(map(quote_name, delivery.key))
    session.run(
        f"CREATE TEMPORARY TABLE {_STAGING} (PRIMARY KEY ({key})) ENGINE = InnoDB "
        f"SELECT {names} FROM {delivery.quoted} LIMIT 0"
    )
    taken = [column.name for column, _ in used]
    batches: Iterable[pa.RecordBatch] = (batch.select(taken) for batch in waiting.open().batches())
    if delivery.rejected:
        used = [*used, (Column(_NUMBER, "int64", "bigint"), "int64")]
        batches = with_row_numbers(batches, _NUMBER)
        session.run("START TRANSACTION")  # so that there are savepoints; the next transaction commits it
    send(session, delivery, _STAGING, used, batches)


def stage_keys_to_delete(session: Session, delivery: Delivery, to_delete: KeysToDelete) -> str:
    """Load the keys of rows to delete into a temporary table; returns its name in SQL."""
    names, by_name = gone_columns(delivery), {each[0].name.lower(): each for each in used_columns(session, delivery)}
    keys = ", ".join(f"{quote_name(key)} AS {name}" for key, name in zip(delivery.key, names, strict=True))
    session.run(
        f"CREATE TEMPORARY TABLE {KEYS_TO_DELETE} (PRIMARY KEY ({', '.join(names)})) ENGINE = InnoDB "
        f"SELECT {keys} FROM {delivery.quoted} LIMIT 0"
    )
    used = [by_name[key.lower()] for key in delivery.key]
    used = [(replace(column, name=name), kind) for (column, kind), name in zip(used, names, strict=True)]
    send(
        session,
        replace(delivery, sent=Counter(), rejected=None),
        KEYS_TO_DELETE,
        used,
        gone_batches(delivery, to_delete),
    )
    return KEYS_TO_DELETE


def replace_directly(session: Session, delivery: Delivery, waiting: Staged) -> None:
    """Replace the rows with the same keys; a temporary table of the keys detects duplicates first."""
    used = used_columns(session, delivery)
    stage(session, delivery, [each for each in used if each[0].name in delivery.key], waiting)
    take = partial(_load, session, delivery.quoted, used, into="REPLACE INTO")
    send_rows(session, delivery, waiting.open().batches(), partial(_encoded, delivery, used), take)


def merge_staged(session: Session, delivery: Delivery, count: int) -> None:
    """Merge all staged rows: at once, or in parts if rejected rows are quarantined."""
    if delivery.rejected is None:
        _merge_part(session, delivery, "TRUE")
        return

    names = [field.name for field in delivery.schema]

    def attempt(where: str) -> None:
        with trying(session, delivery):
            _merge_part(session, delivery, where)

    def take_out(row: int, refused: RowRejected) -> None:
        listed = ", ".join(map(quote_name, names))
        for values in session.rows(f"SELECT {listed} FROM {_STAGING} WHERE {_NUMBER} = {row}"):
            reject_row(session, delivery, row, row_json(dict(zip(names, values, strict=True))), refused)

    move_staged(session, delivery, (_STAGING, _NUMBER), count, attempt, take_out)


def _merge_part(session: Session, delivery: Delivery, where: str) -> None:
    """Update existing rows and insert the others; the key is set too, as equal keys may be spelled differently.

    If the key is the only unique index, one statement does both: it would match a row by any unique index.
    """
    table, names = delivery.quoted, [quote_name(field.name) for field in delivery.schema]
    keys = list(map(quote_name, delivery.key))
    insert = (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(f's.{name}' for name in names)} FROM {_STAGING} s"
    )
    if len(uniques(session, delivery.table)) == 1:
        changes = ", ".join(f"{name} = VALUES({name})" for name in names)
        session.run(f"{insert} WHERE {where} ON DUPLICATE KEY UPDATE {changes}")
        return
    using, changes = f"USING ({', '.join(keys)})", ", ".join(f"t.{name} = s.{name}" for name in names)
    session.run(f"UPDATE {table} t JOIN {_STAGING} s {using} SET {changes} WHERE {where}")
    session.run(f"{insert} LEFT JOIN {table} t {using} WHERE {where} AND t.{keys[0]} IS NULL")


def may_replace(session: Session, delivery: Delivery) -> bool:
    """Return whether replacing rows by their key has the same result as an upsert."""
    return (
        session.mariadb
        and delivery.rejected is None
        and _is_whole(delivery)
        and len(uniques(session, delivery.table)) == 1
        and session.rows("SELECT @@local_infile") == [(1,)]
        and _alone(session, delivery.table)
    )


def _is_whole(delivery: Delivery) -> bool:
    """Return whether rows have values for all columns, and keys whose equal values are identical."""
    given, columns = {field.name for field in delivery.schema}, delivery.columns
    exact = all(column.kind in _EXACT for column in columns if column.name in delivery.key)
    return exact and all(column.computed or column.name in given for column in columns)


def _alone(session: Session, table: str) -> bool:
    """Return whether a table has no triggers and no foreign keys to it, and the user would see them."""
    database = session.target.database
    if not (_SIMPLE.fullmatch(database) and _SIMPLE.fullmatch(table)):
        return False
    if session.rows(_GRANTED, _RIGHTS) != [(len(_RIGHTS),)]:
        return False
    return not session.rows(_TRIGGERS, database, table) and not session.rows(_FOREIGN, f"{database}/{table}")
