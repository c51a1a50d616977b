"""The comparison with the last success, in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.compare import same_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.history.reading import Reading
    from osiris.history.record import RecordedStep
    from osiris.model import JsonValue

COLUMNS = ["step", "rows_before", "rows_now", "ms_before", "ms_now"]


def delta_of(reading: Reading) -> dict[str, JsonValue]:
    """Return the delta without its lists."""
    run, base, previous = reading.run, reading.base, reading.previous
    told = None
    if reading.base_id:
        summary = base.summary if base else {}
        plan = str(summary.get("fingerprint", ""))[:12]
        started = summary.get("started_at", "")
        told = {"session": reading.base_id, "started_at": started, "plan": plan, "available": base is not None}
    return {
        "base": told,
        "previous": {"session": previous["session"], "status": previous["status"]} if previous else None,
        "same_plan": run.summary["fingerprint"] == base.summary["fingerprint"] if base else None,
        "changes": [],
        "steps": {"columns": COLUMNS, "rows": []},
        "outputs": [],
    }


def step_rows(reading: Reading) -> list[JsonValue]:
    """Return rows and times of each step before and now, those that differ most first; none without a base."""
    if reading.base is None:
        return []
    before, now = ({step.id: step for step in run.steps} for run in (reading.base, reading.run))
    names = dict.fromkeys((*now, *before))
    rows = [_cells(reading, name, before.get(name), now.get(name)) for name in names]
    return sorted(rows, key=_difference)


def _cells(reading: Reading, name: str, before: RecordedStep | None, now: RecordedStep | None) -> list[JsonValue]:
    given = [ledger[name].given if name in ledger else None for ledger in (reading.base_ledger, reading.ledger)]
    times = [step.summary.get("duration_ms") if step else None for step in (before, now)]
    return [name, *given, *times]


def _difference(cells: list[JsonValue]) -> tuple[bool, float]:
    """Return what sorts rows: one side missing first, then by how much the numbers of rows differ."""
    _, before, now, *_ = cells
    if before is None or now is None:
        return (False, 0.0)
    return (True, -abs(now - before) / max(before, now, 1))


def outputs_of(reading: Reading) -> list[JsonValue]:
    """Return for each output whether it has the content that it had in the base."""
    before = _outputs(reading.base.steps) if reading.base else {}
    now = _outputs(reading.run.steps)
    return [{"step": name, "same": same_output(before[name], now[name])} for name in now if name in before]


def _outputs(steps: Iterable[RecordedStep]) -> dict[str, Mapping[str, JsonValue]]:
    return {step.id: step.output for step in steps if step.output is not None}
