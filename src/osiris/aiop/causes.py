"""What failed first, and what it held up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.aiop.classes import class_of, kind_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.aiop.facts import Facts
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.recorded import RecordedStep

MOST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Link:
    """One step in the chain from the root to what it held up."""

    step: str
    state: str
    because: str


def failure_of(facts: Facts, longest: int) -> dict[str, JsonValue] | None:
    """Return `answer.failure`, with texts of at most `longest` characters; None if nothing failed."""
    if facts.root is None or facts.run.status in ("complete", "running"):
        return None
    number, raw = facts.root
    item = replace(raw, message=facts.clean(raw.message), hint=facts.clean(raw.hint) if raw.hint else None)
    first = facts.broken[0] if facts.broken else None
    end = (facts.ends.get(first.id) if first else None) or facts.end or {}
    return {
        "step": first.id if first else None,
        "steps": [step.id for step in facts.broken[: min(MOST_STEPS, longest // 20)]],
        "component": first.component or None if first else None,
        "code": item.code,
        "class": class_of(item.code),
        "cause": clip(item.message, longest),
        "place": str(item.location) or None,
        "remedy": clip(item.hint, longest) if item.hint else None,
        "subject": {key: clip(value, longest) for key, value in _subject(item, first).items()},
        "at": end.get("ts"),
        "attempts": end.get("attempts"),
        "rows": end.get("rows"),
        "errors": len(facts.errors),
        "evidence": [*event_ids(end), f"err.{number}"],
    }


def _subject(item: Diagnostic, step: RecordedStep | None) -> dict[str, str]:
    """Return what a message is about; of one about a connection also by which name the pipeline refers to it."""
    found = subject_of(item)
    connection = step.plan.get("connection") if step else None
    if connection and (class_of(item.code) in ("connection", "auth") or item.code.startswith("CON")):
        found.setdefault("connection", connection)
    return found


def kind_of_failure(facts: Facts) -> str:
    """Return the diagnosis of a run that did not end well."""
    return kind_of(facts.root[1].code) if facts.root else "code"


def links_of(facts: Facts) -> list[Link]:
    """Return the whole chain: failed steps, those that never began, and those that were stopped.

    Each in the order of the plan. Where no step failed those that were stopped are what held up the others.
    """
    if facts.run.status in ("complete", "running"):
        return []
    steps = facts.run.steps
    failed = [
        Link(step.id, "failed", str(facts.ends.get(step.id, {}).get("code", ""))) for step in _in(steps, "failed")
    ]
    stopped = [Link(step.id, "cancelled", _why_stopped(facts, step)) for step in _in(steps, "cancelled", "running")]
    broken = {link.step for link in (*failed, *stopped)}
    blocked = []
    for step in _in(steps, "not_run"):
        above = next((name for name in step.needs if name in broken), None)
        if above:
            broken.add(step.id)
        blocked.append(Link(step.id, "not_run", above or "not reached"))
    return [*failed, *blocked, *stopped] if failed else [*stopped, *blocked]


def _in(steps: tuple[RecordedStep, ...], *statuses: str) -> list[RecordedStep]:
    return [step for step in steps if step.status in statuses]


def _why_stopped(facts: Facts, step: RecordedStep) -> str:
    told: Mapping[str, JsonValue] = facts.ends.get(step.id, {})
    return str(told.get("because") or told.get("code") or "cancelled")


def event_ids(*events: Mapping[str, JsonValue] | None) -> list[str]:
    """Return the evidence ids of events."""
    return [f"ev.{event['seq']}" for event in events if event]


def clip(text: str, longest: int) -> str:
    """Return a text in one line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
