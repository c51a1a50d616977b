"""The ledger of deliveries: a row in the target's own database, written in the transaction that holds the data."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from osiris.driver import Written
from osiris.errors import fail
from osiris.fault import fault

if TYPE_CHECKING:
    from osiris.driver import StepContext
    from osiris.families.sql.database import Database, Delivery, Session, Target

_REJECTED = "rejected"


def find_delivery(session: Session, delivery: Delivery) -> Written | None:
    """Return what the ledger says that this run has delivered; None if nothing, or if there is no ledger.

    Fails with DRV014 if that was done by another plan.
    """
    ctx, database = delivery.ctx, delivery.database
    if not ctx.run_key or not database.has_ledger(session):
        return None
    found = session.rows(
        f"SELECT fingerprint, {database.quote('rows')}, digest FROM {database.ledger(session)} {_which(database)}",
        *(ctx.run_key, ctx.step),
    )
    if not found:
        return None
    earlier = delivered(ctx, delivery.target, *found[0])
    return replace(earlier, ledger=delivery.target.database) if database.is_file else earlier


def delivered(ctx: StepContext, target: Target, fingerprint: str, rows: int, digest: str) -> Written:
    """Return what a row of a ledger says was delivered before; fails with DRV014 if another plan has done it."""
    if fingerprint != ctx.plan:
        fail("DRV014", step=ctx.step, path=target.database, run_key=ctx.run_key)
    ctx.emit("already_delivered", {"table": target.table, "rows": rows})
    found = json.loads(digest) or {}
    return Written(int(rows), 0, rejected=found.pop(_REJECTED, 0), earlier=found)


def digest_column(ctx: StepContext, rejected: int = 0) -> str:
    """Return what the ledger keeps as the digest of a delivery: that of the rows taken, and how many were set aside."""
    return json.dumps({**(ctx.digest() or {}), _REJECTED: rejected} if rejected else ctx.digest())


def make_ledger(session: Session, delivery: Delivery) -> None:
    """Make the ledger in the target's database; a run without a key has none."""
    database = delivery.database
    if delivery.ctx.run_key and not database.has_ledger(session):
        session.run(f"{database.create_verb} {database.ledger(session)} {database.ledger_columns}")


def insert_delivery(session: Session, delivery: Delivery, rows: int) -> None:
    """Write the delivery into the ledger; a run without a key has none."""
    ctx, database = delivery.ctx, delivery.database
    if ctx.run_key:
        values = (ctx.run_key, ctx.step, ctx.plan, delivery.target.table, rows, digest_column(ctx), _now())
        marks = ", ".join(database.placeholder for _ in values)
        session.rows(f"INSERT INTO {database.ledger(session)} VALUES ({marks})", *values)


def record_delivery(session: Session, delivery: Delivery, rows: int) -> None:
    """Write the delivery into the ledger, which is made if need be, last in the transaction that holds the rows."""
    if delivery.ctx.run_key:
        fault("ledger.record")
        make_ledger(session, delivery)
        insert_delivery(session, delivery, rows)


def correct_delivery(session: Session, delivery: Delivery, rows: int, rejected: int) -> None:
    """Put into the ledger how many rows were delivered and how many set aside, once that is known.

    Rows that are sent while they are read were none when it was written: then its time is put there too.
    """
    ctx, database, mark = delivery.ctx, delivery.database, delivery.database.placeholder
    if ctx.run_key:
        changes = {"rows": rows, "digest": digest_column(ctx, rejected)}
        if database.streams_appends:
            changes["written_at"] = _now()
        listed = ", ".join(f"{database.quote(name)} = {mark}" for name in changes)
        session.rows(
            f"UPDATE {database.ledger(session)} SET {listed} {_which(database)}",
            *(*changes.values(), ctx.run_key, ctx.step),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _which(database: Database[Any]) -> str:
    return f"WHERE run_key = {database.placeholder} AND step = {database.placeholder}"
