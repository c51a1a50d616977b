"""What a run did over time: rows and memory in equal spans, few enough to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from osiris.history.record import seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue

MOST_SPANS = 240
"""So many spans are drawn at most: a longer run has longer ones, which the page says."""

FEWEST_SPANS = 3
"""With fewer there is nothing to see over time."""

_SHORTEST = 1.0
"""Seconds between two signs of life of a worker: shorter spans would be guesses."""


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
    """Return a run of that many seconds over time; None if it was too short to tell."""
    span = max(_SHORTEST, seconds / MOST_SPANS)
    number = min(ceil(seconds / span), MOST_SPANS)
    if number < FEWEST_SPANS:
        return None
    read, written = ([0.0] * number for _ in range(2))
    for step in run.steps:
        if step.mode in ("read", "write"):
            _spread(_amounts(step, seconds, span), span, read if step.mode == "read" else written)
    return Series(span, tuple(read), tuple(written), _memory(run, span, number))


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


def _memory(run: RecordedRun, span: float, number: int) -> tuple[int | None, ...]:
    most: list[int | None] = [None] * number
    start = str(run.summary["started_at"])
    for metric in run.metrics:
        if metric["metric"] == "memory_bytes":
            index = min(max(int(seconds_between(start, metric["ts"]) / span), 0), number - 1)
            most[index] = max(int(metric["value"]), most[index] or 0)
    return tuple(most)


def thinned(series: Series, rows: int = 24) -> list[tuple[float, float, float, float, int | None]]:
    """Return a series as at most so many rows of a table: since when, until when, mean rates, most memory."""
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
