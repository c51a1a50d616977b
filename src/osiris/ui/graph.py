"""The graph of datasets and pipelines: which part of it is drawn, without the edges that go back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from osiris.report.drawing import draw

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from osiris.report.drawing import Drawing

    Flows = Mapping[str, tuple[Sequence[str], Sequence[str]]]
    Edge = tuple[str, str]

MOST_BOXES = 60
"""Boxes of a drawing that can still be read."""

PIPELINE, DATASET = "pipeline ", "dataset "
"""Prefixes of the names of boxes."""


class Box(NamedTuple):
    """A box: a dataset or pipeline, its name, and how it is drawn (`read`, `transform` or `write`)."""

    name: str
    is_pipeline: bool
    mode: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawing of boxes by id. `hidden` is how many boxes are not drawn, `back` are the edges that would go back."""

    drawing: Drawing
    boxes: Mapping[str, Box]
    hidden: int
    back: tuple[tuple[Box, Box], ...]


def draw_flows(flows: Flows, start: str | None = None, only: Collection[str] | None = None) -> Graph | None:
    """Return the graph of what pipelines read and write; None if it is empty, or too large to be drawn whole.

    `start` is a dataset: only what leads to it or comes from it is drawn, the nearest boxes. `only` are the boxes
    to draw, by their ids.
    """
    edges = [edge for name, (reads, writes) in sorted(flows.items()) for edge in _edges_of(name, reads, writes)]
    nodes = dict.fromkeys(node for edge in edges for node in edge)
    if only is not None:
        nodes = {node: None for node in nodes if node in only}
    if start is not None:
        nodes = dict.fromkeys(node for node in _around(DATASET + start, edges) if node in nodes)
    shown = list(nodes)[:MOST_BOXES] if start is not None else list(nodes)
    if not shown or len(shown) > MOST_BOXES:
        return None
    kept = [edge for edge in dict.fromkeys(edges) if edge[0] in set(shown) and edge[1] in set(shown)]
    order = _ordered(shown, kept)
    place = {node: index for index, node in enumerate(order)}
    written = {target for _, target in edges}
    boxes = {node: _box(node, node in written) for node in order}
    return Graph(
        draw(order, [edge for edge in kept if place[edge[0]] < place[edge[1]]]),
        boxes,
        len(nodes) - len(shown),
        tuple((boxes[source], boxes[target]) for source, target in kept if place[source] >= place[target]),
    )


def _edges_of(name: str, reads: Iterable[str], writes: Iterable[str]) -> Iterable[Edge]:
    yield from ((DATASET + label, PIPELINE + name) for label in reads)
    yield from ((PIPELINE + name, DATASET + label) for label in writes)


def _box(node: str, is_written: bool) -> Box:
    if node.startswith(PIPELINE):
        return Box(node.removeprefix(PIPELINE), is_pipeline=True, mode="transform")
    return Box(node.removeprefix(DATASET), is_pipeline=False, mode="write" if is_written else "read")


def _around(start: str, edges: Iterable[Edge]) -> list[str]:
    """Return what leads to a node and what comes from it, the nearest first."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for source, target in edges:
        above.setdefault(target, []).append(source)
        below.setdefault(source, []).append(target)
    nearest = {start: 0}
    for following in (above, below):
        distance = {start: 0}
        left = deque([start])
        while left:
            node = left.popleft()
            for further in following.get(node, ()):
                if further not in distance:
                    distance[further] = distance[node] + 1
                    left.append(further)
        nearest = {**distance, **nearest}
    return sorted(nearest, key=lambda node: (nearest[node], node))


def _ordered(nodes: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """Return nodes so that edges go forward; in a circle, the first node that waits for the fewest comes first."""
    waiting: dict[str, set[str]] = {node: set() for node in nodes}
    for source, target in edges:
        waiting[target].add(source)
    order: list[str] = []
    while waiting:
        node = min(waiting, key=lambda each: len(waiting[each]))
        del waiting[node]
        order.append(node)
        for sources in waiting.values():
            sources.discard(node)
    return order
