"""Selection of steps: `step`, `step+` with everything downstream, `+step` with everything upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import did_you_mean, fail

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from osiris.model import JsonValue, Manifest

    Steps = Sequence[dict[str, JsonValue]]


def matching(plan: Manifest, text: str) -> list[str]:
    """Return the steps that a selection names, in plan order; fails with CMP042 for an unknown one.

    Several selections are separated by commas.
    """
    names = [step["id"] for step in plan.steps]
    named: set[str] = set()
    for word in text.split(","):
        name = word.strip().removeprefix("+").removesuffix("+")
        if name not in names:
            fail("CMP042", plan=plan.name, step=name, hint=did_you_mean(name, names))
        named.add(name)
        named |= _after(plan.steps, {name}) if word.strip().endswith("+") else set()
        named |= _before(plan.steps, {name}) if word.strip().startswith("+") else set()
    return [name for name in names if name in named]


def chosen(plan: Manifest, text: str | None) -> list[str] | None:
    """Return the steps that a selection names and all their dependencies, in plan order; None for all steps.

    Fails as `matching`.
    """
    if text is None:
        return None
    needed = _before(plan.steps, matching(plan, text))
    names = [step["id"] for step in plan.steps if step["id"] in needed]
    return None if len(names) == len(plan.steps) else names


def kept_steps(plan: Manifest, names: Sequence[str] | None, selected: Collection[str] | None = None) -> list[str]:
    """Return these steps of a plan, or, for None, the selected ones whose output no selected step reads.

    Without a selection, all steps are selected. Fails as `matching`.
    """
    if names is not None:
        return [step for name in names for step in matching(plan, name)]
    steps = [step for step in plan.steps if selected is None or step["id"] in selected]
    read = {source for step in steps for source in step["inputs"].values()}
    return [step["id"] for step in steps if step["id"] not in read]


def with_upstream(plan: Manifest, names: Collection[str]) -> list[dict[str, JsonValue]]:
    """Return the steps of a plan with these names, and all whose output they read, directly or not."""
    upstream = set(names)
    for step in reversed(plan.steps):
        if step["id"] in upstream:
            upstream.update(step["inputs"].values())
    return [step for step in plan.steps if step["id"] in upstream]


def _after(steps: Steps, names: Collection[str]) -> set[str]:
    downstream = set(names)
    for step in steps:
        if downstream.intersection(step["needs"]):
            downstream.add(step["id"])
    return downstream


def _before(steps: Steps, names: Collection[str]) -> set[str]:
    upstream = set(names)
    for step in reversed(steps):
        if step["id"] in upstream:
            upstream.update(step["needs"])
    return upstream


def steps_of_pairs(manifest: Manifest) -> set[str]:
    """Return the steps of pairs with a state, which says what to read, whatever changed in their sources."""
    writers = [step["id"] for step in manifest.steps if "state" in step]
    return {step["id"] for step in with_upstream(manifest, writers)}
