"""A layered drawing of a graph without circles: ranks by longest path, their order by barycentre, curves between.

An edge that passes several ranks gets a place of its own in each, so that it runs beside the boxes and not under them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BOX_WIDTH, BOX_HEIGHT = 200, 52
"""Size of a box in units of the drawing, which are pixels where it is shown as it is."""
_BEND_WIDTH, _GAP, _BETWEEN, _MARGIN = 16, 24, 56, 12
_SWEEPS = 4


class _Place(NamedTuple):
    """A place in a rank: a node, or where edge number `edge` passes."""

    name: str
    edge: int = -1


@dataclass(frozen=True, slots=True)
class Box:
    """Where a node stands: its upper left corner."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Curve:
    """An edge from a node to another; `path` is what SVG calls path data."""

    source: str
    target: str
    path: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes and curves in a rectangle of that size."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    curves: tuple[Curve, ...]


def draw(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> Drawing:
    """Return the drawing of a graph whose nodes stand in topological order; the same graph gives the same drawing."""
    ranks = _ranks(nodes, edges)
    routes = [_route(number, edge, ranks) for number, edge in enumerate(edges)]
    layers: list[list[_Place]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for node in nodes:
        layers[ranks[node]].append(_Place(node))
    for (source, _), route in zip(edges, routes, strict=True):
        for step, bend in enumerate(route[1:-1], 1):
            layers[ranks[source] + step].append(bend)
    _untangle(layers, routes)
    width = max((_width(layer) for layer in layers), default=0) + 2 * _MARGIN
    centres = {place: x for layer in layers for place, x in _spread(layer, width).items()}
    return Drawing(
        width,
        len(layers) * (BOX_HEIGHT + _BETWEEN) - _BETWEEN + 2 * _MARGIN,
        tuple(Box(node, centres[_Place(node)] - BOX_WIDTH / 2, _top(ranks[node])) for node in nodes),
        tuple(
            Curve(source, target, _path([centres[place] for place in route], ranks[source]))
            for (source, target), route in zip(edges, routes, strict=True)
        ),
    )


def _ranks(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    above: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        above[target].append(source)
    ranks: dict[str, int] = {}
    for node in nodes:
        ranks[node] = 1 + max((ranks[source] for source in above[node]), default=-1)
    return ranks


def _route(number: int, edge: tuple[str, str], ranks: Mapping[str, int]) -> list[_Place]:
    """Return the places that an edge passes, one in each rank from its source to its target."""
    source, target = edge
    bends = [_Place(f"{rank}", number) for rank in range(ranks[source] + 1, ranks[target])]
    return [_Place(source), *bends, _Place(target)]


def _untangle(layers: list[list[_Place]], routes: Sequence[Sequence[_Place]]) -> None:
    """Sort each rank by the mean position of its neighbours, downwards and upwards in turn."""
    above: dict[_Place, list[_Place]] = {}
    below: dict[_Place, list[_Place]] = {}
    for route in routes:
        for upper, lower in pairwise(route):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    for sweep in range(_SWEEPS):
        neighbours, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for fixed, layer in pairwise(order):
            _sort(layer, neighbours, {place: index for index, place in enumerate(fixed)})


def _sort(layer: list[_Place], neighbours: Mapping[_Place, list[_Place]], position: Mapping[_Place, int]) -> None:
    """Sort one rank by those of a neighbouring one; a place without neighbours keeps its own position."""
    own = {place: index for index, place in enumerate(layer)}

    def barycentre(place: _Place) -> float:
        found = [position[other] for other in neighbours.get(place, ())]
        return sum(found) / len(found) if found else own[place]

    layer.sort(key=barycentre)


def _width(layer: Sequence[_Place]) -> float:
    return sum(_own_width(place) for place in layer) + _GAP * (len(layer) - 1)


def _own_width(place: _Place) -> int:
    return BOX_WIDTH if place.edge < 0 else _BEND_WIDTH


def _spread(layer: Sequence[_Place], width: float) -> dict[_Place, float]:
    """Return the middle of each place; the rank stands in the middle of the drawing."""
    centres: dict[_Place, float] = {}
    left = (width - _width(layer)) / 2
    for place in layer:
        centres[place] = left + _own_width(place) / 2
        left += _own_width(place) + _GAP
    return centres


def _top(rank: int) -> float:
    return _MARGIN + rank * (BOX_HEIGHT + _BETWEEN)


def _path(centres: Sequence[float], rank: int) -> str:
    """Return the path of an edge: a curve between ranks, a straight line beside the boxes of each that it passes."""
    parts = [f"M{centres[0]:g} {_top(rank) + BOX_HEIGHT:g}"]
    for step, (before, after) in enumerate(pairwise(centres), 1):
        top = _top(rank + step)
        middle = top - _BETWEEN / 2
        parts.append(f"C{before:g} {middle:g} {after:g} {middle:g} {after:g} {top:g}")
        if step < len(centres) - 1:
            parts.append(f"V{top + BOX_HEIGHT:g}")
    return " ".join(parts)
