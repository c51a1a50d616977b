"""The rows of a step must add up: what it took is what it gave, rejected and filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.driver import Written
    from osiris.runner.worker.metering import Meter
    from osiris.runner.worker.running_step import Active


def balance(active: Active, stored: Sequence[int | None]) -> tuple[int, int, int]:
    """Return rows in, out and rejected; fails with DAT008 if they do not add up.

    `stored` has, for each input, how many rows were spooled for it; None if it was not spooled.
    """
    step, counts = active.data["id"], active.ready.counts if active.ready else {}
    for meter, rows in zip(active.inputs, stored, strict=True):
        if rows is not None and meter.ended and meter.rows != rows:
            fail("DAT008", step=step, problem=f"{rows} rows were stored for it, and {meter.rows} came back")
    if active.data["mode"] == "transform":
        taken = sum(meter.rows for meter in active.inputs)
        return taken, active.meter.rows, counts.get("rows_rejected", 0)
    if active.written:
        return _of_writer(step, active.inputs[0], active.written)
    rejected = counts.get("rows_rejected", 0)
    given = active.meter.rows + rejected + counts.get("rows_filtered", 0)
    read = counts.get("rows_read", given)
    if active.meter.ended and read != given:
        fail("DAT008", step=step, problem=f"it read {read} rows and accounts for {given}")
    return read, active.meter.rows, rejected


def _of_writer(step: str, edge: Meter, written: Written) -> tuple[int, int, int]:
    if written.earlier is not None:  # delivered by an earlier attempt, as the target's ledger tells; nothing was taken
        return written.rows + written.rejected, written.rows, written.rejected
    if not edge.ended:
        fail("DAT008", step=step, problem=f"it stopped after {edge.rows} rows, before the end of its input")
    if edge.rows != written.rows + written.rejected:
        problem = f"it took {edge.rows} rows, wrote {written.rows} and rejected {written.rejected}"
        fail("DAT008", step=step, problem=problem)
    return edge.rows, written.rows, written.rejected
