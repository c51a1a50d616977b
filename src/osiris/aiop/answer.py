"""The answer: what happened, why, what was written, what changed, what to do. Bounded by itself, so never cut."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.aiop.commands import next_commands
from osiris.aiop.failure import failure_of, kind_of_failure
from osiris.aiop.size_budget import size_of
from osiris.history.causes import clip, event_ids
from osiris.history.deliveries import deliveries_of, retry_of
from osiris.history.findings import findings_of
from osiris.history.ledger import COLUMNS, Row, balanced, moved_text, total
from osiris.history.record import REFUSED

if TYPE_CHECKING:
    from osiris.history.gone import Finding
    from osiris.history.reading import Reading
    from osiris.model import JsonValue

LIMIT = 5_000
"""Bytes of the answer: under 2,000 tokens even at 2.5 bytes for each."""

_STATUSES = ("complete", "failed", "cancelled", "skipped", "not_run", "running")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an answer holds: characters of a text, and items of each list."""

    text: int
    links: int
    writers: int
    rows: int
    changes: int
    findings: int


_LEVELS = (
    Bounds(400, 16, 12, 14, 8, 6),
    Bounds(300, 12, 8, 12, 8, 5),
    Bounds(240, 10, 6, 10, 6, 4),
    Bounds(180, 8, 5, 8, 5, 3),
    Bounds(140, 6, 4, 6, 4, 3),
    Bounds(100, 4, 3, 4, 3, 2),
    Bounds(60, 2, 2, 2, 2, 1),
    Bounds(40, 1, 1, 1, 1, 1),
)


def answer_of(reading: Reading) -> dict[str, JsonValue]:
    """Return the fullest answer that stays within `LIMIT`."""
    answer: dict[str, JsonValue] = {}
    for bounds in _LEVELS:
        answer = _answer(reading, bounds)
        if size_of(answer) <= LIMIT:
            break
    return answer


def _answer(reading: Reading, bounds: Bounds) -> dict[str, JsonValue]:
    found, deliveries = findings_of(reading), deliveries_of(reading)
    failure = failure_of(reading, bounds.text)
    retry = retry_of(reading, deliveries)
    links = reading.chain
    return {
        "run": _run(reading),
        "verdict": _verdict(reading, found, failure, bounds),
        "failure": failure,
        "chain": {
            "links": [
                {"step": link.step, "state": link.state, "because": link.because} for link in links[: bounds.links]
            ],
            "total": len(links),
            "evidence": event_ids(*(reading.ends.get(link.step) for link in links[:1])) or ["run"],
        },
        "written": {
            "writers": [_short(each.to_json(), bounds) for each in deliveries[: bounds.writers]],
            "total": len(deliveries),
            "rows": total(reading.ledger, "write", "given"),
            "any_partial": False if all(each.whole for each in deliveries) else None,
            "evidence": ["run"],
        },
        "rows": _rows(reading, bounds),
        "row_errors": _row_errors(reading, bounds),
        "findings": [_short(each.to_json(), bounds) for each in found[: bounds.findings]],
        "changes": _changes(reading, bounds),
        "retry": {**retry, "why": clip(str(retry["why"]), max(bounds.text, 100))},
        "next": [command.to_json() for command in next_commands(reading)],
    }


def _short(data: dict[str, JsonValue], bounds: Bounds) -> dict[str, JsonValue]:
    free = ("text", "target")
    return {key: clip(item, bounds.text) if key in free and item else item for key, item in data.items()}


def _run(reading: Reading) -> dict[str, JsonValue]:
    summary = reading.run.summary
    counts = Counter(step.status for step in reading.run.steps)
    return {
        "session": reading.run.id,
        "kind": run_kind(reading),
        "pipeline": reading.run.pipeline,
        "plan": str(summary["fingerprint"])[:12],
        "adapter": summary["adapter"],
        "started_at": summary["started_at"],
        "ended_at": summary["ended_at"],
        "duration_ms": summary["duration_ms"],
        "run_key": summary["run_key"],
        "continues": summary.get("continues"),
        "steps": {"total": len(reading.run.steps)} | {name: counts[name] for name in _STATUSES if counts[name]},
    }


def run_kind(reading: Reading) -> str:
    """Return what a session is: a run, a replay, or the start of a run that was refused."""
    return "replay" if reading.replays is not None else str(reading.run.summary.get("kind") or "run")


def _verdict(
    reading: Reading, found: list[Finding], failure: dict[str, JsonValue] | None, bounds: Bounds
) -> dict[str, JsonValue]:
    status = reading.run.status
    grave = next((each.kind for each in found if each.is_grave), "ok")
    kind = {"complete": grave, "running": "running"}.get(status) or kind_of_failure(reading)
    text = clip(_sentence(reading, grave, found, failure), max(bounds.text, 100))
    return {"status": status, "kind": kind, "text": text, "evidence": event_ids(reading.end) or ["run"]}


def _sentence(reading: Reading, grave: str, found: list[Finding], failure: dict[str, JsonValue] | None) -> str:
    run, ledger = reading.run, reading.ledger
    moved = moved_text(ledger)
    if run.status == "running":
        return f"The run has not ended yet; {moved} so far."
    if run.status == "complete":
        odd = f" But: {found[0].text}" if grave != "ok" else ""
        return f"The run is complete: {moved}.{odd}"
    if failure is None:
        return f"The run ended as {run.status}."
    if run.summary.get("kind") == REFUSED:
        return f"The run could not start: {failure['code']} {failure['cause']}"
    step = f"Step {failure['step']}" if failure["step"] else "The run"
    words = {"failed": "failed", "cancelled": "was stopped", "lost": "was lost at work"}
    return f"{step} {words[run.status]}: {failure['code']} {failure['cause']}"


def _rows(reading: Reading, bounds: Bounds) -> dict[str, JsonValue]:
    ledger = reading.ledger
    chosen = sorted(ledger.values(), key=_weight)[: bounds.rows]
    losses = [_loss(row) for row in ledger.values() if row.lost]
    losses.sort(key=lambda loss: (loss["how"] == "combined", -loss["rows"]))
    return {
        "in": total(ledger, "read", "taken"),
        "out": total(ledger, "write", "given"),
        "rejected": total(ledger, None, "rejected"),
        "balanced": balanced(ledger),
        "steps": {
            "columns": COLUMNS,
            "rows": [row.cells() for row in sorted(chosen, key=lambda row: reading.plan_order(row.step))],
        },
        "total": len(ledger),
        "lost": losses[: min(5, bounds.rows)],
        "evidence": ["run"],
    }


def _weight(row: Row) -> tuple[bool, bool, int]:
    """Return what sorts rows by how much a reader wants to see them."""
    return (
        row.status not in ("failed", "cancelled"),
        not (row.lost or row.added),
        ("write", "read", "transform").index(row.mode),
    )


def _loss(row: Row) -> dict[str, JsonValue]:
    counts = {"rejected": row.rejected or 0, "filtered": row.filtered or 0, "combined": row.combined or 0}
    how = max(counts, key=lambda name: counts[name])
    return {"step": row.step, "how": how, "rows": counts[how]}


def _row_errors(reading: Reading, bounds: Bounds) -> dict[str, JsonValue] | None:
    if not reading.groups:
        return None
    largest = sorted(reading.groups, key=lambda group: -group.count)[: min(3, bounds.findings)]
    told = []
    for group in largest:
        words: dict[str, JsonValue] = {
            "id": group.id,
            "step": group.step,
            "code": group.code,
            "column": group.column or None,
        }
        example = str(group.examples[0]["value"]) if group.column and group.examples else group.said
        words |= {"reason": clip(group.reason, bounds.text), "count": group.count, "example": clip(example, 60)}
        told.append(words)
    return {
        "total": sum(group.count for group in reading.groups),
        "groups": len(reading.groups),
        "top": told,
        "evidence": [group.id for group in largest],
    }


def _changes(reading: Reading, bounds: Bounds) -> dict[str, JsonValue]:
    base, run = reading.base, reading.run
    keys = ("id", "area", "path", "text")
    numbered = [change.to_json(number) for number, change in enumerate(reading.changes[: bounds.changes], 1)]
    top = [{key: clip(str(each[key]), bounds.text) for key in keys} for each in numbered]
    pairs: dict[str, JsonValue] = dict.fromkeys(("rows_in", "rows_out", "duration_ms"))
    if base is not None:
        old, new = reading.base_ledger, reading.ledger
        pairs = {
            "rows_in": {"before": total(old, "read", "taken"), "now": total(new, "read", "taken")},
            "rows_out": {"before": total(old, "write", "given"), "now": total(new, "write", "given")},
            "duration_ms": {"before": base.summary["duration_ms"], "now": run.summary["duration_ms"]},
        }
    return {
        "base": reading.base_id,
        "total": len(reading.changes),
        "areas": dict(Counter(change.area for change in reading.changes)),
        "top": top,
        **pairs,
        "evidence": ["run", "plan", *(["base"] if base else [])] if run.plan else ["run"],
    }
