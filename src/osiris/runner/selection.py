"""Which steps of a plan a selection names: `step`, `step+` with all that come after it, `+step` with all before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import did_you_mean, fail

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from osiris.model import JsonValue, Manifest

    Steps = Sequence[dict[str, JsonValue]]


def matching(plan: Manifest, text: str) -> list[str]:
    """Return the steps that a selection names, as the plan orders them; fails with CMP042 for an unknown one.

    Several selections are separated by commas.
    """
    known = [step["id"] for step in plan.steps]
    found: set[str] = set()
    for word in text.split(","):
        name = word.strip().removeprefix("+").removesuffix("+")
        if name not in known:
            fail("CMP042", plan=plan.name, step=name, hint=did_you_mean(name, known))
        found.add(name)
        found |= _after(plan.steps, {name}) if word.strip().endswith("+") else set()
        found |= _before(plan.steps, {name}) if word.strip().startswith("+") else set()
    return [name for name in known if name in found]


def chosen(plan: Manifest, text: str | None) -> list[str] | None:
    """Return the steps that a selection names and all that they wait for, as the plan orders them; None for all steps.

    Fails as `matching`.
    """
    if text is None:
        return None
    found = _before(plan.steps, matching(plan, text))
    names = [step["id"] for step in plan.steps if step["id"] in found]
    return None if len(names) == len(plan.steps) else names


def with_read(plan: Manifest, names: Collection[str]) -> list[dict[str, JsonValue]]:
    """Return what is in a plan of steps, and of all whose output goes into theirs."""
    found = set(names)
    for step in reversed(plan.steps):
        if step["id"] in found:
            found.update(step["inputs"].values())
    return [step for step in plan.steps if step["id"] in found]


def _after(steps: Steps, names: Collection[str]) -> set[str]:
    found = set(names)
    for step in steps:
        if found.intersection(step["needs"]):
            found.add(step["id"])
    return found


def _before(steps: Steps, names: Collection[str]) -> set[str]:
    found = set(names)
    for step in reversed(steps):
        if step["id"] in found:
            found.update(step["needs"])
    return found
