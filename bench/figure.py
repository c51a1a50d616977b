"""The inputs and results of a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One row of the result. `value` must not exceed `bar`, or must reach it if `at_least`; without a bar it is only
    reported.

    Without a value, nothing could be measured and `detail` says why. `again` are the options that repeat the
    measurement, in addition to the group.
    """

    what: str
    value: float | None
    bar: float | None
    unit: str
    detail: str = ""
    at_least: bool = False
    again: str = ""

    @property
    def missed(self) -> bool:
        """Whether there is a bar and the value misses it."""
        if self.bar is None:
            return False
        return self.value is None or (self.value < self.bar if self.at_least else self.value > self.bar)

    def __str__(self) -> str:
        verdict = "MISSED" if self.missed else "none" if self.value is None else "-" if self.bar is None else "ok"
        bar = "" if self.bar is None else f"{'>=' if self.at_least else '<='} {self.bar:g} {self.unit}"
        return f"{self.what:78} | {bar:9} | {self._value():9} | {verdict:6}"

    def _value(self) -> str:
        if self.value is None:
            return "-"
        return f"{self.value:.3g} {self.unit}" if self.value < 1000 else f"{self.value:.0f} {self.unit}"


@dataclass(frozen=True)
class Bench:
    """The environment of one group: its own empty folder, the large data, the number of counted runs.

    `rows` selects rows of a group that can be measured row by row, and `size` limits the number of data rows.
    """

    folder: Path
    data: Path
    runs: int
    rows: tuple[str, ...] = ()
    size: int | None = None
