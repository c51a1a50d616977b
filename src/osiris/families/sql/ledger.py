"""The ledger of deliveries: a table in the target database, written in the same transaction as the data."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from osiris.driver import Written
from osiris.errors import fail
from osiris.families.sql.database import LEDGER, REPEATED, STATE
from osiris.fault import fault

if TYPE_CHECKING:
    from osiris.driver import StepContext
    from osiris.families.sql.database import Database, Delivery, Session, Target

_REJECTED = "rejected"


def find_delivery(session: Session, delivery: Delivery) -> Written | None:
    """Return this run's delivery in the ledger; None if there is none, or no ledger.

    Fails with DRV014 if it was made by another plan.
    """
    ctx, database = delivery.ctx, delivery.database
    if not ctx.run_key or not database.has_own(session, LEDGER):
        return None
    entries = session.rows(
        f"SELECT fingerprint, {database.quote('rows')}, digest FROM {database.own(session, LEDGER)} {_which(database)}",
        *(ctx.run_key, ctx.step),
    )
    if not entries:
        return None
    earlier = delivered(ctx, delivery.target, *entries[0])
    if database.find(session, delivery.table) is None:
        ctx.emit("target_missing", {"table": delivery.target.table})
    return replace(earlier, ledger=delivery.target.database) if database.is_file else earlier


def delivered(ctx: StepContext, target: Target, fingerprint: str, rows: int, digest: str) -> Written:
    """Return the earlier delivery that a row of a ledger records; fails with DRV014 if it was made by another plan."""
    if fingerprint != ctx.plan:
        fail("DRV014", step=ctx.step, path=target.database, run_key=ctx.run_key)
    ctx.emit("already_delivered", {"table": target.table, "rows": rows})
    digests = json.loads(digest) or {}
    return Written(int(rows), 0, rejected=digests.pop(_REJECTED, 0), earlier=digests)


def digest_column(ctx: StepContext, rejected: int = 0) -> str:
    """Return the ledger's `digest` of a delivery as JSON: the digest of its input, and the number of rejected rows."""
    return json.dumps({**(ctx.digest() or {}), _REJECTED: rejected} if rejected else ctx.digest())


def own_tables(delivery: Delivery) -> list[str]:
    """Return which of our own tables a delivery needs: the ledger, if the run has a key, and those of states."""
    ledger, states = [LEDGER] if delivery.ctx.run_key else [], [STATE, REPEATED] if delivery.ctx.pair else []
    return ledger + states


def make_own(session: Session, delivery: Delivery) -> None:
    """Create our own tables that a delivery needs in the target database."""
    database = delivery.database
    columns = {LEDGER: database.ledger_columns, **database.state_columns}
    for table in own_tables(delivery):
        if not database.has_own(session, table):
            session.run(f"{database.create_verb} {database.own(session, table)} {columns[table]}")


def insert_delivery(session: Session, delivery: Delivery, rows: int) -> None:
    """Write the delivery into the ledger, unless the run has no key."""
    ctx, database = delivery.ctx, delivery.database
    if ctx.run_key:
        values = (ctx.run_key, ctx.step, ctx.plan, delivery.target.table, rows, digest_column(ctx), _now())
        marks = ", ".join(database.placeholder for _ in values)
        session.rows(f"INSERT INTO {database.own(session, LEDGER)} VALUES ({marks})", *values)


def record_delivery(session: Session, delivery: Delivery, rows: int) -> None:
    """Write the delivery into the ledger, created if needed, as the last step of the transaction of the rows."""
    if delivery.ctx.run_key:
        fault("ledger.record")
        make_own(session, delivery)
        insert_delivery(session, delivery, rows)


def correct_delivery(session: Session, delivery: Delivery, rows: int, rejected: int) -> None:
    """Update the ledger with the numbers of delivered and rejected rows, once they are known.

    For rows that are sent while they are read, the entry was written first: its time is updated too.
    """
    ctx, database, mark = delivery.ctx, delivery.database, delivery.database.placeholder
    if ctx.run_key:
        changes = {"rows": rows, "digest": digest_column(ctx, rejected)}
        if database.streams_appends:
            changes["written_at"] = _now()
        listed = ", ".join(f"{database.quote(name)} = {mark}" for name in changes)
        session.rows(
            f"UPDATE {database.own(session, LEDGER)} SET {listed} {_which(database)}",
            *(*changes.values(), ctx.run_key, ctx.step),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _which(database: Database[Any]) -> str:
    return f"WHERE run_key = {database.placeholder} AND step = {database.placeholder}"
