"""Rows on their way into a table of PostgreSQL, in one transaction with the record of their delivery.

Appended rows go straight into the table while they are read. Rows that take the place of others are taken into a file
before, so that nobody who writes the table has to wait for their source; and the old ones are deleted, not truncated:
those who read meanwhile see the old rows until the commit, and the new ones after it, never an empty table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from osiris.driver import Written
from osiris.errors import fail
from osiris.families.postgres.column_mapping import column_type
from osiris.families.postgres.copy_in import send
from osiris.families.postgres.ledger import claim_delivery, find_delivery, finish_delivery
from osiris.families.postgres.privileges import (
    expect_right_to_make,
    expect_rights,
    expect_rights_to_ledger,
    expect_schema,
)
from osiris.families.postgres.session import relations
from osiris.families.postgres.staging import stage
from osiris.families.postgres.target_table import (
    columns_of,
    expect_table,
    find_table,
    is_unlogged,
    refuse,
    refuse_left,
    under_row_security,
    ways_into,
)
from osiris.families.postgres.transaction import begin, begun, target_of
from osiris.families.postgres.upsert_by_delete import exchange, may_exchange
from osiris.families.sql.dml import create_table
from osiris.families.sql.target_table import ABSENT, THERE, tell_new_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.families.postgres.copy_in import Found, Work
    from osiris.families.postgres.session import Session
    from osiris.families.sql.database import Target
    from osiris.families.sql.staging import Staged
    from osiris.table import RowStream

_LOCK = 0x6F736972
"""The space of our advisory locks."""


def confirm(session: Session, work: Work) -> str:
    """Tell whether the table is there or absent; fails with DAT029, DRV012 or DRV020 unless it takes the rows."""
    begin(session)
    state = _expect_target(session, work)
    expect_rights_to_ledger(session, work.place)
    session.run("COMMIT")
    return state


def _expect_target(session: Session, work: Work) -> str:
    expect_schema(session, work.place)
    if work.create and not find_table(session, work.place):
        expect_right_to_make(session, work.place, work.place.table)
        tell_new_table(work.ctx, work.place.table, relations(session))
        return ABSENT
    refuse(session, work.ctx, work.place, work.schema, work.mode, work.key)
    table = expect_table(session, work.place)
    staged = work.mode == "upsert" or _staged(session, work, ways_into(columns_of(session, table), work.schema))
    expect_rights(session, work, table, temporary=staged)
    return THERE


def look(session: Session, work: Work) -> Written | None:
    """Return what was delivered before, and refuse a table that the rows do not fit, before any of them is read."""
    begin(session)
    earlier = find_delivery(session, work.ctx, target_of(session, work.place))
    if earlier is None:
        _expect_target(session, work)
    session.run("COMMIT")
    return earlier


def append(session: Session, work: Work, rows: RowStream) -> Written:
    """Append rows in one transaction while they are read."""
    return _deliver(session, work, lambda found: _append(session, work, found, rows))


def deliver(session: Session, work: Work, waiting: Staged) -> Written:
    """Write rows that wait in one transaction, in place of others."""
    way = _replace if work.mode == "replace" else _merge
    return _deliver(session, work, lambda found: way(session, work, found, waiting))


def _deliver(session: Session, work: Work, write: Callable[[Found], None]) -> Written:
    """Write everything in one transaction; what another attempt has done meanwhile is seen inside of it."""
    target = target_of(session, work.place)
    earlier = begun(session, lambda: _claim(session, work, target))
    if earlier:
        return earlier
    table = expect_table(session, work.place)
    columns = columns_of(session, table)
    found = ways_into(columns, work.schema)
    if len(found) < len(work.schema):
        _fail_changed(work)
    if is_unlogged(session, work.place):
        reason = "a crash of the server empties it, and the ledger goes on to say that the rows are there"
        work.ctx.emit("unlogged_table", {"table": work.place.shown, "reason": reason})
    write(found)
    if columns_of(session, expect_table(session, work.place)) != columns:
        _fail_changed(work)
    rejected = work.rejected.rows if work.rejected else 0
    if work.rejected:
        work.rejected.keep()
    finish_delivery(session, work.ctx, work.sent["rows"], rejected)
    return Written(work.sent["rows"], work.sent["bytes"], rejected=rejected)


def _append(session: Session, work: Work, found: Found, rows: RowStream) -> None:
    if _staged(session, work, found):
        stage(session, work, found, rows)
    else:
        send(session, work, work.place.quoted, found, rows.batches())


def _staged(session: Session, work: Work, found: Found) -> bool:
    """Tell whether even appended rows go by way of a temporary table: COPY takes no casts, and no row security."""
    return any(how.text for _, how in found) or under_row_security(session, work.place)


def _replace(session: Session, work: Work, found: Found, waiting: Staged) -> None:
    session.run(f"LOCK TABLE {work.place.quoted} IN SHARE ROW EXCLUSIVE MODE")
    session.run(f"DELETE FROM {work.place.quoted}")
    refuse_left(session, work.ctx, work.place)
    _append(session, work, found, waiting.open())


def _merge(session: Session, work: Work, found: Found, waiting: Staged) -> None:
    """Upsert; those into one table take turns: two with their rows in another order would wait for each other."""
    session.rows("SELECT pg_catalog.pg_advisory_xact_lock(%s, pg_catalog.hashtext(%s))", _LOCK, work.place.shown)
    if not may_exchange(session, work, found) or not exchange(session, work, found, waiting):
        stage(session, work, found, waiting.open())


def _claim(session: Session, work: Work, target: Target) -> Written | None:
    """Claim the delivery, and see to it that there is a table that the rows fit."""
    earlier = claim_delivery(session, work.ctx, target)
    if earlier:
        return earlier
    if work.create and not find_table(session, work.place):
        types = {column.name: str(column_type(column.type)) for column in work.schema}
        session.run(create_table(work.place.quoted, types, work.key))
    refuse(session, work.ctx, work.place, work.schema, work.mode, work.key)
    return None


def _fail_changed(work: Work) -> NoReturn:
    problem = "its columns were changed while the rows were on their way"
    fail("DAT029", step=work.ctx.step, table=work.place.shown, problem=problem, hint="run the same command again")
