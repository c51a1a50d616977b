"""Rows on their way into a table of MySQL, in one InnoDB transaction with the record of their delivery.

They wait in a file, so that no transaction is open while their source is read. Rows that replace others come behind a
DELETE, not a TRUNCATE, which would commit by itself: those who read meanwhile see the old rows until the commit, and
the new ones after it. Rows of an upsert go into a temporary table first, before the transaction begins, or straight
into the table where that does the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.driver import Written
from osiris.errors import fail
from osiris.families.mysql.column_mapping import Column
from osiris.families.mysql.connect import address, numbered
from osiris.families.mysql.constraint_errors import ROW, refusal
from osiris.families.mysql.load_data import refuse_row, replace_rows, send, set_aside, trying
from osiris.families.mysql.privileges import expect_rights, expect_rights_to_ledger
from osiris.families.mysql.session import SETTINGS, chosen, opened, qualified, quote_name, relations
from osiris.families.mysql.target_table import (
    correct_delivery,
    find_delivery,
    make_ledger,
    make_table,
    record_delivery,
    refuse,
    uniques,
)
from osiris.families.mysql.upsert_by_replace import may_replace
from osiris.families.quarantine import divide, row_text, setting_aside, with_numbers
from osiris.families.sql.database import Target
from osiris.families.sql.target_table import ABSENT, THERE, tell_new_table
from osiris.families.sql.upsert_order import move_in_turns
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from osiris.families.mysql.load_data import Used, Work
    from osiris.families.mysql.session import Session
    from osiris.families.quarantine import Refused
    from osiris.families.sql.staging import Staged

_STAGING = "_osiris_rows"
_NUMBER = "_osiris_row"
_TWICE = 1062
_IN_USE = (1020, 1205, 1213)
_ATTEMPTS = 4


def look(work: Work) -> Written | None:
    """Return what was delivered before, and refuse a table that the rows do not fit, before any of them is read."""
    target = address(work.ctx.connection, work.database)
    with opened(work.ctx, target) as session:
        place = Target(work.table, target.where)
        earlier = find_delivery(session, work.ctx, place)
        if earlier is None:
            _expect_target(session, work, place)
        return earlier


def confirm(work: Work) -> str:
    """Tell whether the table is there or absent; fails with DAT029, DRV012 or DRV020 unless it takes the rows."""
    target = address(work.ctx.connection, work.database)
    with opened(work.ctx, target) as session:
        state = _expect_target(session, work, Target(work.table, target.where))
        expect_rights_to_ledger(session, corrected=work.ctx.on_reject == "quarantine")
        return state


def _expect_target(session: Session, work: Work, target: Target) -> str:
    there = not work.create or work.table in relations(session)
    if there:
        refuse(session, work.ctx, target, work.schema, work.merged)
    expect_rights(session, work.table, [field.name for field in work.schema], work.mode, there=there)
    if not there:
        tell_new_table(work.ctx, work.table, relations(session))
    return THERE if there else ABSENT


def deliver(work: Work, waiting: Staged) -> Written:
    """Write everything in one transaction; what another attempt has done meanwhile is seen inside of it."""
    import pymysql

    target = address(work.ctx.connection, work.database)
    for attempt in range(_ATTEMPTS):
        with setting_aside(work.ctx) as rejected, opened(work.ctx, target, sends_rows=True) as session:
            session.run(f"SET SESSION {chosen(SETTINGS)}")
            try:
                return _deliver(session, replace(work, rejected=rejected), Target(work.table, target.where), waiting)
            except pymysql.MySQLError as error:
                number, message = numbered(error)
                if number in ROW:
                    refuse_row(session, work, refusal(number, message))
                if number not in _IN_USE:
                    raise
        work.ctx.emit("delivery_again", {"table": work.table, "attempt": attempt + 1})
    return fail("DRV011", path=target.where, seconds=f"{SETTINGS['innodb_lock_wait_timeout']} s")


def _deliver(session: Session, work: Work, target: Target, waiting: Staged) -> Written:
    if work.create and work.table not in relations(session):
        make_table(session, work.table, work.schema, work.key)
    make_ledger(session, work.ctx)
    columns = refuse(session, work.ctx, target, work.schema, work.merged)
    used = [(columns[field.name], field.type) for field in work.schema]
    staged = bool(work.merged) and not may_replace(session, work, columns)
    if staged:
        _stage(session, work, used, waiting)
    session.run("START TRANSACTION")
    if not _claimed(session, work, target, waiting):
        session.run("ROLLBACK")
        earlier = find_delivery(session, work.ctx, target)
        return earlier or fail("DRV011", path=target.database, seconds="0 s")
    session.rows(f"SELECT 1 FROM {qualified(session, work.table)} LIMIT 0")  # from now on nobody can change the table
    columns = refuse(session, work.ctx, target, work.schema, work.merged)
    if work.mode == "replace":
        session.run(f"DELETE FROM {qualified(session, work.table)}")
    if not work.merged:
        send(session, work, qualified(session, work.table), used, waiting.open().batches())
    elif not staged and may_replace(session, work, columns):
        _replace(session, work, used, waiting)
    else:
        if not staged:
            _stage(session, work, used, waiting)
        _merge(session, work, waiting.rows)
    return _finish(session, work, waiting)


def _finish(session: Session, work: Work, waiting: Staged) -> Written:
    """Commit; what was set aside is on disk by then, and counted in the ledger."""
    rejected = work.rejected.rows if work.rejected else 0
    if work.rejected:
        work.rejected.keep()
    if rejected:
        correct_delivery(session, work.ctx, waiting.rows - rejected, rejected)
    if work.ctx.cancelled():
        fail("RUN003", signal="request")
    fault("mysql.commit")
    session.run("COMMIT")
    fault("mysql.committed")
    return Written(waiting.rows - rejected, waiting.size, rejected=rejected)


def _claimed(session: Session, work: Work, target: Target, waiting: Staged) -> bool:
    import pymysql

    try:
        record_delivery(session, work.ctx, target, waiting.rows)
    except pymysql.IntegrityError as error:
        if numbered(error)[0] != _TWICE:
            raise
        return False
    return True


def _stage(session: Session, work: Work, used: Used, waiting: Staged) -> None:
    """Take columns of the rows into a temporary table, which nobody else sees and which ends with the connection.

    Their keys are unique there, or where rows are set aside their numbers are.
    """
    number = f", CAST(0 AS SIGNED) AS {_NUMBER}" if work.rejected else ""
    names = ", ".join(quote_name(column.name) for column, _ in used) + number
    key = _NUMBER if work.rejected else ", ".join(map(quote_name, work.key))
    session.run(
        f"CREATE TEMPORARY TABLE {_STAGING} (PRIMARY KEY ({key})) ENGINE = InnoDB "
        f"SELECT {names} FROM {qualified(session, work.table)} LIMIT 0"
    )
    taken = [column.name for column, _ in used]
    batches: Iterable[pa.RecordBatch] = (batch.select(taken) for batch in waiting.open().batches())
    if work.rejected:
        used = [*used, (Column(_NUMBER, "bigint", "bigint", 0, 0, 0, False, False), "int64")]
        batches = with_numbers(batches, _NUMBER)
        session.run("START TRANSACTION")  # so that there are savepoints; the next transaction commits it
    send(session, work, _STAGING, used, batches)


def _replace(session: Session, work: Work, used: Used, waiting: Staged) -> None:
    """Put rows in the places of those with their keys; a temporary table of the keys alone tells that none repeats."""
    _stage(session, work, [each for each in used if each[0].name in work.key], waiting)
    replace_rows(session, work, used, waiting.open().batches())


def _merge(session: Session, work: Work, count: int) -> None:
    """Merge all staged rows: at once, or if some are to be set aside, by parts of them."""
    if work.rejected is None:
        _merge_part(session, work, "TRUE")
        return

    def attempt(where: str) -> None:
        with trying(session):
            _merge_part(session, work, where)

    def refuse(row: int, refused: Refused) -> None:
        names = [field.name for field in work.schema]
        listed = ", ".join(map(quote_name, names))
        for values in session.rows(f"SELECT {listed} FROM {_STAGING} WHERE {_NUMBER} = {row}"):
            set_aside(session, work, row, row_text(dict(zip(names, values, strict=True))), refused)
        session.run(f"DELETE FROM {_STAGING} WHERE {_NUMBER} = {row}")

    def move(which: str) -> None:
        parts = f"{which} AND s.{_NUMBER} >= {{}} AND s.{_NUMBER} < {{}}"
        divide(count, lambda first, end: attempt(parts.format(first, end)), refuse)

    move_in_turns(session, (_STAGING, _NUMBER), [*map(quote_name, work.key)], move, refuse)


def _merge_part(session: Session, work: Work, where: str) -> None:
    """Update the rows that are there and insert the others; the key is set too: an equal one may be spelled otherwise.

    One statement does both where the key is all that is unique: it would take a row that is equal in anything unique.
    """
    table, names = qualified(session, work.table), [quote_name(field.name) for field in work.schema]
    keys = list(map(quote_name, work.key))
    insert = (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(f's.{name}' for name in names)} FROM {_STAGING} s"
    )
    if len(uniques(session, work.table)) == 1:
        changes = ", ".join(f"{name} = VALUES({name})" for name in names)
        session.run(f"{insert} WHERE {where} ON DUPLICATE KEY UPDATE {changes}")
        return
    using, changes = f"USING ({', '.join(keys)})", ", ".join(f"t.{name} = s.{name}" for name in names)
    session.run(f"UPDATE {table} t JOIN {_STAGING} s {using} SET {changes} WHERE {where}")
    session.run(f"{insert} LEFT JOIN {table} t {using} WHERE {where} AND t.{keys[0]} IS NULL")
