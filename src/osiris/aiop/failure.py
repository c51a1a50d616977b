"""`answer.failure`: what failed first, in the words of a package."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.history.causes import clip, event_ids
from osiris.history.failure_classes import class_of, kind_of, subject_of

if TYPE_CHECKING:
    from osiris.errors import Diagnostic
    from osiris.history.reading import Reading
    from osiris.history.record import RecordedStep
    from osiris.model import JsonValue

MOST_STEPS = 20


def failure_of(reading: Reading, longest: int) -> dict[str, JsonValue] | None:
    """Return `answer.failure`, with texts of at most `longest` characters; None if nothing failed."""
    if reading.root is None:
        return None
    number, raw, _ = reading.root
    item = replace(raw, message=reading.clean(raw.message), hint=reading.clean(raw.hint) if raw.hint else None)
    first = reading.broken[0] if reading.broken else None
    end = (reading.ends.get(first.id) if first else None) or reading.end or {}
    return {
        "step": first.id if first else None,
        "steps": [step.id for step in reading.broken[: min(MOST_STEPS, longest // 20)]],
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
        "errors": len(reading.errors),
        "evidence": [*event_ids(end), f"err.{number}"],
    }


def _subject(item: Diagnostic, step: RecordedStep | None) -> dict[str, str]:
    """Return what a message is about; of one about a connection also by which name the pipeline refers to it."""
    found = subject_of(item)
    connection = step.plan.get("connection") if step else None
    if connection and (class_of(item.code) in ("connection", "auth") or item.code.startswith("CON")):
        found.setdefault("connection", connection)
    return found


def kind_of_failure(reading: Reading) -> str:
    """Return the diagnosis of a run that did not end well."""
    return kind_of(reading.root.item.code) if reading.root else "code"
