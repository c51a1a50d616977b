"""Upserts into MySQL: by way of a temporary table, or straight into the table where nobody can see a difference.

REPLACE gives rows their new values in place if no trigger and no foreign key looks at the table; else it deletes them,
and with them what refers to them. So whoever may not see all triggers and foreign keys goes by way of a staging table.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.families.mysql.load_data import replace_rows, send, used_columns
from osiris.families.mysql.session import quote_name
from osiris.families.mysql.target_table import Column, uniques
from osiris.families.quarantine import divide, row_text, with_numbers
from osiris.families.sql.sending import move_in_turns, set_aside, trying

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from osiris.families.mysql.load_data import Used
    from osiris.families.mysql.session import Session
    from osiris.families.quarantine import Refused
    from osiris.families.sql.database import Delivery
    from osiris.families.sql.staging import Staged


_STAGING = "_osiris_rows"
_NUMBER = "_osiris_row"
_EXACT = {
    *("tinyint", "smallint", "mediumint", "int", "bigint", "decimal"),
    *("date", "time", "datetime", "timestamp", "year", "uuid"),
}
"""Kinds of columns of which equal values are the same value: the key of a row that is there would stay as it is."""
_SIMPLE = re.compile(r"\w+", re.ASCII)
"""Names that InnoDB's own catalogue has as they are."""
_RIGHTS = ("DELETE", "PROCESS", "TRIGGER")
"""What it takes on all databases to replace rows, and to see what looks at a table."""
_GRANTED = """
SELECT COUNT(DISTINCT PRIVILEGE_TYPE) FROM information_schema.USER_PRIVILEGES
WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') AND PRIVILEGE_TYPE IN %s"""
_TRIGGERS = "SELECT 1 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %s AND EVENT_OBJECT_TABLE = %s"
_FOREIGN = """
SELECT 1 FROM information_schema.INNODB_SYS_FOREIGN WHERE LOWER(%s) IN (LOWER(FOR_NAME), LOWER(REF_NAME))"""


def stage(session: Session, delivery: Delivery, used: Used, waiting: Staged) -> None:
    """Take columns of the rows into a temporary table, which nobody else sees and which ends with the connection.

    Their keys are unique there, or where rows are set aside their numbers are.
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
        batches = with_numbers(batches, _NUMBER)
        session.run("START TRANSACTION")  # so that there are savepoints; the next transaction commits it
    send(session, delivery, _STAGING, used, batches)


def replace_directly(session: Session, delivery: Delivery, waiting: Staged) -> None:
    """Put rows in the places of those with their keys; a temporary table of the keys alone tells that none repeats."""
    used = used_columns(delivery)
    stage(session, delivery, [each for each in used if each[0].name in delivery.key], waiting)
    replace_rows(session, delivery, used, waiting.open().batches())


def merge_staged(session: Session, delivery: Delivery, count: int) -> None:
    """Merge all staged rows: at once, or if some are to be set aside, by parts of them."""
    if delivery.rejected is None:
        _merge_part(session, delivery, "TRUE")
        return

    def attempt(where: str) -> None:
        with trying(session, delivery):
            _merge_part(session, delivery, where)

    def refuse(row: int, refused: Refused) -> None:
        names = [field.name for field in delivery.schema]
        listed = ", ".join(map(quote_name, names))
        for values in session.rows(f"SELECT {listed} FROM {_STAGING} WHERE {_NUMBER} = {row}"):
            set_aside(session, delivery, row, row_text(dict(zip(names, values, strict=True))), refused)
        session.run(f"DELETE FROM {_STAGING} WHERE {_NUMBER} = {row}")

    def move(which: str) -> None:
        parts = f"{which} AND s.{_NUMBER} >= {{}} AND s.{_NUMBER} < {{}}"
        divide(count, lambda first, end: attempt(parts.format(first, end)), refuse)

    move_in_turns(session, (_STAGING, _NUMBER), [*map(quote_name, delivery.key)], move, refuse)


def _merge_part(session: Session, delivery: Delivery, where: str) -> None:
    """Update the rows that are there and insert the others; the key is set too: an equal one may be spelled otherwise.

    One statement does both where the key is all that is unique: it would take a row that is equal in anything unique.
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
    """Tell whether to replace rows by their key does exactly what an upsert is to do."""
    return (
        session.mariadb
        and delivery.rejected is None
        and _is_whole(delivery)
        and len(uniques(session, delivery.table)) == 1
        and session.rows("SELECT @@local_infile") == [(1,)]
        and _alone(session, delivery.table)
    )


def _is_whole(delivery: Delivery) -> bool:
    """Tell whether rows have values for all columns, and keys of which equal ones are the same."""
    given, columns = {field.name for field in delivery.schema}, delivery.columns
    exact = all(column.kind in _EXACT for column in columns if column.name in delivery.key)
    return exact and all(column.computed or column.name in given for column in columns)


def _alone(session: Session, table: str) -> bool:
    """Tell whether neither a trigger nor a foreign key looks at a table, and the user would see them."""
    database = session.target.database
    if not (_SIMPLE.fullmatch(database) and _SIMPLE.fullmatch(table)):
        return False
    if session.rows(_GRANTED, _RIGHTS) != [(len(_RIGHTS),)]:
        return False
    return not session.rows(_TRIGGERS, database, table) and not session.rows(_FOREIGN, f"{database}/{table}")
