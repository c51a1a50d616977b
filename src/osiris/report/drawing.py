"""What is drawn on pages: a graph in layers, and a run over time in equal spans."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from osiris.history.record import seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue

BOX_WIDTH, BOX_HEIGHT = 200, 52
"""Size of a box in drawing units (pixels at 100 %)."""
_BEND_WIDTH, _GAP, _BETWEEN, _MARGIN = 16, 24, 56, 12
_SWEEPS = 4

MOST_SPANS = 240
"""Maximum spans drawn: longer runs have longer spans, as the page states."""

FEWEST_SPANS = 3
"""Minimum number of spans for a chart."""

_SHORTEST = 1.0
"""Seconds between two signs of life of a worker: shorter spans would be guesses."""


class _Place(NamedTuple):
    """A place in a rank: a node, or where edge number `edge` passes."""

    name: str
    edge: int = -1


@dataclass(frozen=True, slots=True)
class Box:
    """Position of a node: its upper left corner."""

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
    """Return the drawing of a graph with nodes in topological order; deterministic."""
    ranks = _ranks(nodes, edges)
    routes = []
    for number, (source, target) in enumerate(edges):  # an edge passes one place in each rank between its ends
        bends = [_Place(f"{rank}", number) for rank in range(ranks[source] + 1, ranks[target])]
        routes.append([_Place(source), *bends, _Place(target)])
    layers = _layers(nodes, ranks, routes)
    _untangle(layers, routes)
    width = max((_width(layer) for layer in layers), default=0) + 2 * _MARGIN
    centres: dict[_Place, float] = {}
    for layer in layers:
        left = (width - _width(layer)) / 2  # a rank stands in the middle of the drawing
        for place in layer:
            centres[place] = left + _own_width(place) / 2
            left += _own_width(place) + _GAP
    return Drawing(
        width,
        len(layers) * (BOX_HEIGHT + _BETWEEN) - _BETWEEN + 2 * _MARGIN,
        tuple(Box(node, centres[_Place(node)] - BOX_WIDTH / 2, _top(ranks[node])) for node in nodes),
        tuple(
            Curve(source, target, _path([centres[place] for place in route], ranks[source]))
            for (source, target), route in zip(edges, routes, strict=True)
        ),
    )


def _layers(nodes: Sequence[str], ranks: Mapping[str, int], routes: Sequence[Sequence[_Place]]) -> list[list[_Place]]:
    """Return the content of each rank: its nodes in order, then the edges that pass it."""
    layers: list[list[_Place]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for node in nodes:
        layers[ranks[node]].append(_Place(node))
    for source, *bends, _ in routes:
        for rank, bend in enumerate(bends, ranks[source.name] + 1):
            layers[rank].append(bend)
    return layers


def _ranks(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    above: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        above[target].append(source)
    ranks: dict[str, int] = {}
    for node in nodes:
        ranks[node] = 1 + max((ranks[source] for source in above[node]), default=-1)
    return ranks


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
        positions = [position[other] for other in neighbours.get(place, ())]
        return sum(positions) / len(positions) if positions else own[place]

    layer.sort(key=barycentre)


def _width(layer: Sequence[_Place]) -> float:
    return sum(_own_width(place) for place in layer) + _GAP * (len(layer) - 1)


def _own_width(place: _Place) -> int:
    return BOX_WIDTH if place.edge < 0 else _BEND_WIDTH


def _top(rank: int) -> float:
    return _MARGIN + rank * (BOX_HEIGHT + _BETWEEN)


def _path(centres: Sequence[float], rank: int) -> str:
    """Return the path of an edge: a curve between ranks, a straight line next to boxes that it passes."""
    parts = [f"M{centres[0]:g} {_top(rank) + BOX_HEIGHT:g}"]
    for step, (before, after) in enumerate(pairwise(centres), 1):
        top = _top(rank + step)
        middle = top - _BETWEEN / 2
        parts.append(f"C{before:g} {middle:g} {after:g} {middle:g} {after:g} {top:g}")
        if step < len(centres) - 1:
            parts.append(f"V{top + BOX_HEIGHT:g}")
    return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Series:
    """A run over time, in spans of `span` seconds: rows read and written per second, and the most memory, in bytes.

    `read` is what read steps gave, `written` what write steps took. `memory` has None where nothing was measured.
    """

    span: float
    read: tuple[float, ...]
    written: tuple[float, ...]
    memory: tuple[int | None, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return what the page's script draws; `x` is the middle of each span, in seconds since the run started."""
        middles = [round((index + 0.5) * self.span, 3) for index in range(len(self.read))]
        rates = {"read": [round(rate) for rate in self.read], "written": [round(rate) for rate in self.written]}
        return {"x": middles, **rates, "memory": list(self.memory)}


def read_series(run: RecordedRun, seconds: float) -> Series | None:
    """Return a run of that many seconds over time; None if it was too short."""
    span = max(_SHORTEST, seconds / MOST_SPANS)
    number = min(ceil(seconds / span), MOST_SPANS)
    if number < FEWEST_SPANS:
        return None
    read, written = ([0.0] * number for _ in range(2))
    for step in run.steps:
        if step.mode in ("read", "write"):
            _spread(_amounts(step, seconds, span), span, read if step.mode == "read" else written)
    memory: list[int | None] = [None] * number
    start = str(run.summary["started_at"])
    for metric in run.metrics:
        if metric["metric"] == "memory_bytes":
            index = min(max(int(seconds_between(start, metric["ts"]) / span), 0), number - 1)
            memory[index] = max(int(metric["value"]), memory[index] or 0)
    return Series(span, tuple(read), tuple(written), tuple(memory))


def _amounts(step: RecordedStep, seconds: float, span: float) -> Iterator[tuple[float, float, int]]:
    """Yield from when to when a step had how many rows more, once a span."""
    if step.began is None:
        return
    ended = seconds if step.ended is None else step.ended
    last = {int(point.seconds / span): (point.seconds, point.rows) for point in step.progress}
    points = [(step.began, 0), *last.values()]
    final = step.summary.get("rows_out")
    if final is not None:
        points.append((ended, final))
    for (since, before), (until, rows) in pairwise(points):
        if rows > before:  # a step that starts over counts from nothing again
            yield since, until, rows - before


def _spread(amounts: Iterable[tuple[float, float, int]], span: float, rates: list[float]) -> None:
    """Add amounts to the rates of the spans in which they came, evenly."""
    last = len(rates) - 1
    for since, until, rows in amounts:
        first, final = (min(max(int(at / span), 0), last) for at in (since, until))
        if first == final or until <= since:
            rates[first] += rows / span
            continue
        for index in range(first, final + 1):
            inside = min(until, (index + 1) * span) - max(since, index * span)
            rates[index] += rows * max(inside, 0.0) / (until - since) / span


def thinned(series: Series, rows: int = 24) -> list[tuple[float, float, float, float, int | None]]:
    """Return a series as at most `most` table rows: from, until, mean rates, peak memory."""
    number = len(series.read)
    step = -(-number // rows)
    return [
        (
            index * series.span,
            min(index + step, number) * series.span,
            _mean(series.read[index : index + step]),
            _mean(series.written[index : index + step]),
            max((value for value in series.memory[index : index + step] if value is not None), default=None),
        )
        for index in range(0, number, step)
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
