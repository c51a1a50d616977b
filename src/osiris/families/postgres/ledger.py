"""The ledger of deliveries in PostgreSQL: a row that is written in the transaction that holds the data.

The row is written first, and finished last. So of two attempts at one delivery, the later one waits for the earlier,
though its process may be gone, and then finds what that has done.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.postgres.session import quote_name, relations
from osiris.families.postgres.transaction import begun
from osiris.families.sql.database import LEDGER
from osiris.families.sql.ledger import delivered, digest_column
from osiris.fault import fault

if TYPE_CHECKING:
    from osiris.driver import StepContext, Written
    from osiris.families.postgres.session import Session
    from osiris.families.sql.database import Target

_COLUMNS = """(
    run_key text NOT NULL, step text NOT NULL, fingerprint text NOT NULL, target text NOT NULL,
    "rows" bigint NOT NULL, digest text NOT NULL, written_at text NOT NULL, PRIMARY KEY (run_key, step))"""


def _ledger(session: Session) -> str:
    return f"{quote_name(session.schema)}.{LEDGER}"


def make_ledger(session: Session, ctx: StepContext) -> None:
    """Make the ledger in the schema of the target, in a transaction of its own; a run without a key has none."""
    if not ctx.run_key or LEDGER in relations(session):
        return
    begun(session, lambda: session.run(f"CREATE TABLE IF NOT EXISTS {_ledger(session)} {_COLUMNS}"))
    fault("postgres.make_ledger")
    session.run("COMMIT")


def find_delivery(session: Session, ctx: StepContext, target: Target) -> Written | None:
    """Return what the ledger says that this run has delivered; None if nothing, or if there is no ledger.

    Fails with DRV014 if that was done by another plan.
    """
    if not ctx.run_key or LEDGER not in relations(session):
        return None
    found = session.rows(
        f'SELECT fingerprint, "rows", digest FROM {_ledger(session)} WHERE run_key = %s AND step = %s',
        ctx.run_key,
        ctx.step,
    )
    return delivered(ctx, target, *found[0]) if found else None


def claim_delivery(session: Session, ctx: StepContext, target: Target) -> Written | None:
    """Write the row of a delivery that is yet to be done; returns what another attempt has delivered meanwhile."""
    if not ctx.run_key:
        return None
    claimed = session.rows(
        f"INSERT INTO {_ledger(session)} VALUES (%s, %s, %s, %s, 0, '', '') ON CONFLICT DO NOTHING RETURNING 1",
        *(ctx.run_key, ctx.step, ctx.plan, target.table),
    )
    return None if claimed else find_delivery(session, ctx, target)


def finish_delivery(session: Session, ctx: StepContext, rows: int, rejected: int) -> None:
    """Finish the row, and commit; fails with RUN003 if the step is cancelled by now: then nothing is delivered."""
    if ctx.cancelled():
        fail("RUN003", signal="request")
    if ctx.run_key:
        session.rows(
            f'UPDATE {_ledger(session)} SET "rows" = %s, digest = %s, written_at = %s '
            "WHERE run_key = %s AND step = %s RETURNING 1",
            *(rows, digest_column(ctx, rejected), datetime.now(UTC).isoformat(timespec="milliseconds")),
            *(ctx.run_key, ctx.step),
        )
    fault("postgres.commit")
    session.run("COMMIT")
    fault("postgres.committed")
