"""The order in which pairs of entries write their targets, by the foreign keys among these.

Rows go to parents first. Deletes of a table to which others refer are delivered apart, after those of the others.
docs/decisions/0021-many-tables.md.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from osiris.errors import diagnostic
from osiris.replication import Deletes
from osiris.runner.stages import waits_of
from osiris.runner.worker.failure import caught
from osiris.runner.worker.job_context import config_of, make_ready

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from osiris.driver import ForeignKeyCheck, References
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.stages import Group
    from osiris.runner.worker.job_context import JobContext

    Step = Mapping[str, JsonValue]


_NAMED = 6
"""Foreign keys of a cycle that its message names."""


class Key(NamedTuple):
    """A foreign key among the targets of two groups, by their numbers, when the database checks it, and its name."""

    child: int
    parent: int
    check: ForeignKeyCheck
    name: str = ""


@dataclass(frozen=True, slots=True)
class WriteOrder:
    """The groups of a job, and after them its deletes that are delivered apart, all by their numbers.

    Each begins when those that it `needs` have ended well, and those for which it `waits` in any way. `apart` are the
    groups that have such deletes, in the order of these. `cycles` has, for each group that is refused, the foreign
    keys of its cycle: only its own if its table refers to itself.
    """

    needs: Sequence[Collection[int]]
    waits: Sequence[Collection[int]]
    apart: Sequence[int]
    cycles: Mapping[int, Sequence[Key]]


def write_order(job_ctx: JobContext, groups: Sequence[Group], steps: Mapping[str, Step]) -> WriteOrder:
    """Return the order of the groups of a job, after asking its targets for their foreign keys."""
    keys: list[Key] = []
    hard: set[int] = set()
    for members in _by_connection(job_ctx, groups, steps).values():
        keys += _keys_among(job_ctx, members)
        hard.update(number for number, step in members if (deletes := Deletes.of(step["config"])) and deletes.hard)
    return order_by_keys(waits_of(groups, steps), keys, hard)


def refusal(order: WriteOrder, number: int, groups: Sequence[Group], steps: Mapping[str, Step]) -> Diagnostic:
    """Return why a group of a cycle is not run."""
    keys = order.cycles[number]
    members = sorted({number, *(key.child for key in keys)})
    tables = {each: str(steps[groups[each].steps[-1]]["config"]["table"]) for each in members}
    named = ", ".join(f"{key.name} of {tables[key.child]}" for key in keys[:_NAMED])
    if len(keys) > _NAMED:
        named += f", and {len(keys) - _NAMED} more"
    others = sorted(tables[each] for each in members if each != number)
    problem = f"is in a cycle of foreign keys with {', '.join(map(repr, others))} ({named})"
    if not others:
        problem = f"refers to itself ({named}), and its database checks each row as it arrives, in any order"
    return diagnostic("STA060", step=steps[groups[number].steps[-1]]["id"], table=tables[number], problem=problem)


def _by_connection(
    job_ctx: JobContext, groups: Sequence[Group], steps: Mapping[str, Step]
) -> dict[tuple[str, str], list[tuple[int, Step]]]:
    """Return the writers of pairs that will deliver, with the numbers of their groups."""
    members: dict[tuple[str, str], list[tuple[int, Step]]] = defaultdict(list)
    for number, group in enumerate(groups if job_ctx.job.kind != "preview" else ()):
        step = steps[group.steps[-1]]
        if "entry" in step and step["mode"] == "write" and step["id"] not in job_ctx.job.discard:
            members[step["component"], step["connection"] or ""].append((number, step))
    return members


def _keys_among(job_ctx: JobContext, members: Sequence[tuple[int, Step]]) -> Iterator[Key]:
    """Yield the foreign keys among targets of one connection; none if it fails, as each pair then says why."""
    first = make_ready(job_ctx, members[0][1])
    driver, context = first.driver, first.context
    if not hasattr(driver, "references"):
        return

    def ask() -> References:
        with job_ctx.stopper.armed():
            answer: References = driver.references([config_of(job_ctx, step) for _, step in members], context)
            return answer

    answer, _ = caught(ask)
    for child, parent, name in sorted(answer.keys) if answer else ():
        yield Key(members[child][0], members[parent][0], answer.check, name)


def order_by_keys(needs: Sequence[Collection[int]], keys: Sequence[Key], hard: Collection[int]) -> WriteOrder:
    """Return the order of groups with these needs and foreign keys; those in `hard` delete rows.

    A key within a cycle decides nothing. Pairs need no other groups, so keys among them and needs form no cycle.
    """
    above = _closure(keys)
    used = [key for key in keys if key.child not in above[key.parent]]
    apart = sorted({key.parent for key in used}.intersection(hard))
    deletes = {group: len(needs) + place for place, group in enumerate(apart)}
    needed = [{*each, *_of(each, deletes)} for each in needs] + [{group} for group in apart]
    waits = [set(each) for each in needed]
    for child, parent, *_ in used:
        waits[child].add(parent)
        for number in _of([parent], deletes):
            waits[number].update([child], _of([child], deletes))
    return WriteOrder(needed, waits, apart, _cycles(keys, above))


def _of(groups: Collection[int], deletes: Mapping[int, int]) -> set[int]:
    """Return the numbers of the deletes of groups."""
    return {deletes[group] for group in groups if group in deletes}


def _cycles(keys: Sequence[Key], above: Mapping[int, Collection[int]]) -> dict[int, list[Key]]:
    """Return the groups whose tables cannot be written, as rows would be checked too early, with the keys of the cycle.

    A key is in the cycle of a group if a way along keys leads from the group over it and back.
    """
    closed = [key for key in keys if key.child in above[key.parent] and key.check != "never"]
    refused = [key for key in closed if key.child != key.parent or key.check == "row"]
    groups = {group for key in refused for group in key[:2]}
    return {
        group: [key for key in refused if key.child in above[group] and group in above[key.parent]] for group in groups
    }


def _closure(keys: Sequence[Key]) -> dict[int, set[int]]:
    """Return for each group those to whose tables its own refers, directly or not."""
    above: dict[int, set[int]] = {number: set() for key in keys for number in key[:2]}
    for key in keys:
        above[key.child].add(key.parent)
    for between in above:
        for reached in above.values():
            if between in reached:
                reached |= above[between]
    return above
