"""The rows of a run, step by step: in + added = out + rejected + filtered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue

COLUMNS = ["step", "mode", "status", "in", "out", "rejected", "filtered", "added"]


@dataclass(frozen=True, slots=True)
class Row:
    """The rows of one step; all None if it did not end well, as nobody counted them then."""

    step: str
    mode: str
    status: str
    taken: int | None = None
    given: int | None = None
    rejected: int | None = None

    @property
    def filtered(self) -> int | None:
        """Rows that were taken and neither given nor rejected."""
        return None if self._over is None else max(0, self._over)

    @property
    def added(self) -> int | None:
        """Rows that were given beyond those that were taken."""
        return None if self._over is None else max(0, -self._over)

    @property
    def lost(self) -> int:
        """Rows that were rejected or filtered; 0 if that is not known."""
        return (self.rejected or 0) + (self.filtered or 0)

    @property
    def _over(self) -> int | None:
        if self.taken is None or self.given is None:
            return None
        return self.taken - self.given - (self.rejected or 0)

    def numbers(self) -> dict[str, JsonValue]:
        """Return in, out, rejected, filtered and added."""
        return dict(zip(COLUMNS[3:], self.cells()[3:], strict=True))

    def cells(self) -> list[JsonValue]:
        """Return what stands in a table with `COLUMNS`."""
        numbers = (self.taken, self.given, self.rejected, self.filtered, self.added)
        return [self.step, self.mode, self.status, *numbers]


Ledger = dict[str, Row]


def ledger_of(run: RecordedRun) -> Ledger:
    """Return the rows of each step, in the order of the plan."""
    return {step.id: _row(step) for step in run.steps}


def _row(step: RecordedStep) -> Row:
    told: Mapping[str, JsonValue] = step.summary
    if "rows_in" not in told:
        return Row(step.id, step.mode, step.status)
    return Row(step.id, step.mode, step.status, told["rows_in"], told["rows_out"], told.get("rows_rejected", 0))


def total(ledger: Ledger, mode: str | None, key: str) -> int:
    """Return the sum of `taken`, `given` or `rejected` over the steps of a mode, or over all."""
    return sum(getattr(row, key) or 0 for row in ledger.values() if mode in (None, row.mode))


def balanced(ledger: Ledger) -> bool:
    """Tell whether no reader or writer has rows that it cannot account for: only a transform may make rows."""
    strict = (row for row in ledger.values() if row.mode != "transform")
    return not any(row.added or (row.mode == "write" and row.filtered) for row in strict)
