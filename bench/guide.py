"""Measure the guide in a terminal: the time until its first question, and until the next one after an answer."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from bench.figure import Bench, Figure
from bench.measure import run
from bench.projects import OSIRIS
from tests.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

FIRST = "What do you want to read?"
STEPS = {
    "Group and measure": "Group by which columns?",
    "carrier": "Measure what of each group?",
    "number of rows": "What next?",
    "Sort": "Sort by what?",
    "rows (largest first)": "What next?",
    "Write the result": "Where does it go?",
}
"""Answers after the first source was read, and the question after each."""

THINKING = 2.0
"""Seconds that a person reads the first question, in which the guide imports and discovers the rest."""


def guide(bench: Bench) -> list[Figure]:
    """Start the guide in the project of the demo, which was compiled before, and group its flights."""
    folder = bench.folder / "flights"
    run([OSIRIS, "demo", str(folder)], bench.folder)
    rounds = [_seconds(folder) for _ in range(max(bench.runs, 9) + 1)][1:]
    firsts, steps = zip(*rounds, strict=True)
    slowest = max(min(seconds) for seconds in zip(*steps, strict=True))
    return [
        _figure("osiris new, until the first question", min(firsts), 0.5, median(firsts)),
        _figure("osiris new, the slowest of six steps", slowest, 0.2, median(map(max, steps))),
    ]


def _figure(what: str, seconds: float, bar: float, typical: float) -> Figure:
    return Figure(what, seconds, bar, "s", f"best of 9 or more, median {typical:.2f} s")


def _seconds(folder: Path) -> tuple[float, list[float]]:
    """Return the seconds until the first question, and those of each step."""
    began = time.perf_counter()
    terminal = Terminal(folder).until(FIRST)
    first = time.perf_counter() - began
    time.sleep(THINKING)
    terminal.choose("flights", then="What next?")
    steps = [_seconds_of_step(terminal, *step) for step in STEPS.items()]
    terminal.process.send("\x04")
    terminal.end()
    return first, steps


def _seconds_of_step(terminal: Terminal, answer: str, following: str) -> float:
    terminal.process.send(answer)
    terminal.until(f"{answer}▏")
    began = time.perf_counter()
    terminal.process.send("\r")
    terminal.until(f"{following} ▏")
    return time.perf_counter() - began
