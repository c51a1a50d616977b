"""Groups steps into streams and spools, from the edges of the plan alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from osiris.model import JsonValue

MAX_CHAIN = 32
"""Maximum lazy steps in a chain: each adds a frame to the stack of the consumer."""

Drain = Literal["write", "spool", "count"]


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that run together, in topological order; the output of the last is written, spooled or counted."""

    steps: tuple[str, ...]
    drain: Drain


def plan_groups(
    steps: list[dict[str, JsonValue]], skipped: Collection[str] = (), spooled: Collection[str] = ()
) -> list[Group]:
    """Return the groups of steps given in topological order, in execution order.

    The outputs of `spooled` are inspected before any step reads them.
    """
    active = [step for step in steps if step["id"] not in skipped]
    readers = count_readers(active)
    materialized = _waited_for(active).union(spooled)
    position = {step["id"]: i for i, step in enumerate(active)}
    parents: dict[str, list[str]] = {step["id"]: list(dict.fromkeys(step["inputs"].values())) for step in active}
    depth: dict[str, int] = {}
    lazy: set[str] = set()
    groups: list[Group] = []
    for step in active:
        name = step["id"]
        depth[name] = 1 + max(map(depth.__getitem__, lazy.intersection(parents[name])), default=0)
        if readers[name] == 1 and name not in materialized and depth[name] < MAX_CHAIN:
            lazy.add(name)
            continue
        drain = _drain(step, is_read=bool(readers[name]) or name in spooled)
        members = sorted(_members(name, parents, lazy), key=position.__getitem__)
        groups.append(Group(tuple(members), drain))
    return groups


def _drain(step: Mapping[str, JsonValue], *, is_read: bool) -> Drain:
    if step["mode"] == "write":
        return "write"
    return "spool" if is_read else "count"


def _waited_for(steps: list[dict[str, JsonValue]]) -> set[str]:
    """Return the steps that others wait for without reading their output."""
    return {name for step in steps for name in step["needs"] if name not in step["inputs"].values()}


def waits_of(groups: Sequence[Group], steps: Mapping[str, Mapping[str, JsonValue]]) -> list[set[int]]:
    """Return, for each group, the positions of the groups that must end before it starts."""
    home = {name: position for position, group in enumerate(groups) for name in group.steps}
    needs = [[needed for name in group.steps for needed in steps[name]["needs"]] for group in groups]
    return [{home[name] for name in names if name in home} - {position} for position, names in enumerate(needs)]


def count_readers(steps: list[dict[str, JsonValue]]) -> dict[str, int]:
    """Return how often the output of each step is read."""
    readers: dict[str, int] = defaultdict(int)
    for step in steps:
        for parent in step["inputs"].values():
            readers[parent] += 1
    return readers


def not_needed(steps: list[dict[str, JsonValue]], delivered: Collection[str]) -> set[str]:
    """Return the steps whose output is read only by delivered steps, or by steps that are not needed themselves."""
    idle = set(delivered)
    readers: dict[str, list[str]] = defaultdict(list)
    for step in steps:
        for parent in step["inputs"].values():
            readers[parent].append(step["id"])
    for step in reversed(steps):
        if readers[step["id"]] and idle.issuperset(readers[step["id"]]):
            idle.add(step["id"])
    return idle.difference(delivered)


def _members(last: str, parents: dict[str, list[str]], lazy: set[str]) -> set[str]:
    members = {last}
    todo = [last]
    while todo:
        new = [p for p in parents[todo.pop()] if p in lazy]
        members.update(new)
        todo.extend(new)
    return members
