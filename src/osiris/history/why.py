"""Why each step of a run ran, or did not: what is new since the last success, in itself or in what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.history.changes import DRIFT

if TYPE_CHECKING:
    from osiris.history.changes import Change
    from osiris.history.reading import Reading

_FIRST = "no complete run of this pipeline is known before this one"
_SAME = "nothing changed; sources are read anew"


def why_of_steps(reading: Reading) -> dict[str, str]:
    """Return the reason of every step, in the order of the plan."""
    told = _not_run(reading)
    own = _own_changes(reading)
    found: dict[str, str] = {}
    for step in reading.run.steps:
        above = next((name for name in step.needs if name in own), None)
        if above:
            own.setdefault(step.id, f"an input changed: step '{above}'")
        found[step.id] = told.get(step.id) or (own.get(step.id, _SAME) if reading.base else _FIRST)
    return found


def _not_run(reading: Reading) -> dict[str, str]:
    """Say of steps that did not run why, and of those whose source is not as planned what is wrong with it."""
    told: dict[str, str] = {}
    for step in reading.run.steps:
        if step.reason:
            told[step.id] = f"skipped: {step.reason}"
        elif step.status == "not_run":
            told[step.id] = "not begun yet" if reading.run.status == "running" else "not reached"
        elif step.error and step.error.code == DRIFT:
            texts = [change.text for change in reading.changes if change.step == step.id]
            told[step.id] = f"its source changed: {'; '.join(texts)}" if texts else "its source changed"
    return told


def _own_changes(reading: Reading) -> dict[str, str]:
    own: dict[str, str] = {}
    for change in reading.changes:
        for step in _steps_of(change, reading):
            own.setdefault(step, _text(change))
    return own


def _steps_of(change: Change, reading: Reading) -> list[str]:
    """Return the steps that a change is of; of a connection those that use it."""
    root, _, name = change.path.partition("/")
    if root == "connections":
        return [step.id for step in reading.run.steps if step.plan.get("connection") == name.partition("/")[0]]
    return [change.step] if change.step else []


def _text(change: Change) -> str:
    root, _, rest = change.path.partition("/")
    if root == "sources":
        return "its source changed"
    if root == "connections":
        return f"{rest.partition('/')[0]} has other fields"
    leaf = rest.partition("/")[2]
    return f"{leaf.partition('/')[0]} changed: {change.text.removeprefix(f'steps/{change.step}/')}" if leaf else "new"
