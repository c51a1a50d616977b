"""Which tables are joined, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.chat.rules.answers import Cannot
from osiris.chat.rules.graph import Edge, tree
from osiris.chat.rules.naming import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.chat.choices import Relation
    from osiris.chat.rules.scope import Ref, Scope


@dataclass(frozen=True, slots=True)
class Joined:
    """The table whose rows are read, each once, the JOIN clauses behind it, and all tables."""

    base: Relation
    clauses: tuple[str, ...]
    relations: tuple[Relation, ...]


def join(refs: Sequence[Ref], counted: Sequence[Relation], scope: Scope) -> Joined:
    """Return how the tables of some columns are joined; asks if there are several ways."""
    needed = list({each.id: each for each in (*counted, *(ref.relation for ref in refs))}.values())
    first = next((each for each in scope.main if each in needed), needed[0] if needed else scope.main[0])
    found = {first.id: first}
    edges: list[Edge] = []
    for relation in needed:
        if relation.id not in found:
            for edge in _way(list(found), relation, scope):
                if edge not in edges:
                    edges.append(edge)
                found |= {each.id: each for each in (edge.many, edge.one)}
    roots = tree(edges, list(found))
    if not roots:
        raise Cannot(
            f"{' and '.join(sorted(each.name for each in needed))} hang together only over several rows on both sides, "
            "so rows would come out many times"
        )
    base = found[roots[0]]
    return Joined(base, tuple(_clauses(base, edges, scope)), (base, *(each for each in found.values() if each != base)))


def _way(starts: list[str], goal: Relation, scope: Scope) -> list[Edge]:
    paths = scope.graph.paths(starts, goal.id)
    if not paths:
        raise Cannot(f"I find no way from {', '.join(starts)} to {goal.id}: no key leads there")
    options = [(", ".join(edge.label for edge in path), path) for path in paths]
    picked = scope.pick(f"path {goal.name}", f"By which way do {goal.name} belong to it?", options)
    path: list[Edge] = picked
    for edge in path:
        if not edge.declared:
            pairs = " and ".join(f"{edge.many.name}.{left} = {edge.one.name}.{right}" for left, right in edge.columns)
            scope.assume(f"rows belong together where {pairs}")
    return path


def _clauses(base: Relation, edges: Sequence[Edge], scope: Scope) -> list[str]:
    found, done, rest = [], {base.id}, list(edges)
    while rest:
        edge = next(each for each in rest if each.many.id in done)
        rest.remove(edge)
        done.add(edge.one.id)
        on = " AND ".join(
            f"{edge.one.name}.{name(right)} = {edge.many.name}.{name(left)}" for left, right in edge.columns
        )
        found.append(f"{'LEFT ' if _keeps(edge, scope) else ''}JOIN {edge.one.name} ON {on}")
    return found


def _keeps(edge: Edge, scope: Scope) -> bool:
    """Tell whether rows that refer to nothing are kept; asks if there are any."""
    columns = {each.name: each for each in edge.many.columns or ()}
    shares = [columns[left].profile.get("null_share") for left, _ in edge.columns if columns[left].nullable]
    if not any(share is None or share > 0 for share in shares):
        return False
    text = f"Some {edge.many.name} have no {edge.label.rpartition('.')[2]}. Keep them?"
    options = ("keep them", "leave them out")
    return scope.pick_always(f"keep {edge.label}", text, options, assumed=options[0]) == options[0]
