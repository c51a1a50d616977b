"""The ledger of deliveries: a row in the target's own database, written in the transaction that holds the data."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from osiris.driver import Written
from osiris.errors import fail
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.driver import StepContext
    from osiris.families.sql.target_table import Target
    from osiris.model import JsonValue

LEDGER = "_osiris_ledger"
CREATE_LEDGER = f"""CREATE TABLE IF NOT EXISTS {LEDGER} (
    run_key TEXT NOT NULL, step TEXT NOT NULL, fingerprint TEXT NOT NULL, target TEXT NOT NULL,
    "rows" BIGINT NOT NULL, digest TEXT NOT NULL, written_at TEXT NOT NULL, PRIMARY KEY (run_key, step))"""
_REJECTED = "rejected"


class Cursor(Protocol):
    """What both database clients give back for a statement."""

    def fetchone(self) -> tuple[JsonValue, ...] | None:
        """Return the next row."""
        ...


class Execute(Protocol):
    """Runs a statement of ours with its values, as both database clients do."""

    def __call__(self, statement: str, values: Sequence[JsonValue], /) -> Cursor:
        """Return where its rows can be fetched."""
        ...


def find_delivery(execute: Execute, ctx: StepContext, target: Target) -> Written | None:
    """Return what the ledger, which must be there, says that this run has delivered; None if nothing.

    Fails with DRV014 if that was done by another plan.
    """
    row = execute(
        f'SELECT fingerprint, "rows", digest FROM {LEDGER} WHERE run_key = ? AND step = ?', (ctx.run_key, ctx.step)
    ).fetchone()
    return None if row is None else replace(delivered(ctx, target, *row), ledger=target.database)


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


def record_delivery(execute: Execute, ctx: StepContext, target: Target, rows: int) -> None:
    """Write the delivery into the ledger, last in the transaction that holds the rows; a run without a key has none.

    Fails with RUN003 if the step is cancelled by now: what is not committed is not delivered.
    """
    if ctx.cancelled():
        fail("RUN003", signal="request")
    if not ctx.run_key:
        return
    fault("ledger.record")
    execute(CREATE_LEDGER, ())
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    values = (ctx.run_key, ctx.step, ctx.plan, target.table, rows, digest_column(ctx), now)
    execute(f"INSERT INTO {LEDGER} VALUES (?, ?, ?, ?, ?, ?, ?)", values)
