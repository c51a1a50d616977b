"""The rows of a run, step by step: in + added = out + rejected + filtered + combined."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue

COLUMNS = ["step", "mode", "status", "in", "out", "rejected", "filtered", "combined", "added"]

_WINDOW = re.compile(r"\w+\s*\([^()]*\)\s*over\b", re.IGNORECASE)
_COMBINES = re.compile(
    r"\bjoin\b|\bgroup\s+by\b|\bdistinct\b|\bunion\b(?!\s+all\b)|\bintersect\b|\bexcept\b"
    r"|\b(?:count|sum|avg|min|max|median|mode|first|last|list|any_value|\w*_agg|arg_m\w+|quantile\w*|std\w*|var\w*)\s*\(",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Row:
    """The rows of one step; all None if it did not end well, as nobody counted them then."""

    step: str
    mode: str
    status: str
    taken: int | None = None
    given: int | None = None
    rejected: int | None = None
    combines: bool = False

    @property
    def filtered(self) -> int | None:
        """Rows that were taken and neither given nor rejected, of a step that makes no row of several."""
        return None if self._over is None else 0 if self._is_combined else max(0, self._over)

    @property
    def combined(self) -> int | None:
        """Rows that went into others, as GROUP BY and joins have it, or that such a step left out."""
        return None if self._over is None else max(0, self._over) if self._is_combined else 0

    @property
    def added(self) -> int | None:
        """Rows that were given beyond those that were taken."""
        return None if self._over is None else max(0, -self._over)

    @property
    def lost(self) -> int:
        """Rows that were rejected, filtered or combined; 0 if that is not known."""
        return (self.rejected or 0) + (self.filtered or 0) + (self.combined or 0)

    @property
    def _is_combined(self) -> bool:
        return self.combines and bool(self.given)

    @property
    def _over(self) -> int | None:
        if self.taken is None or self.given is None:
            return None
        return self.taken - self.given - (self.rejected or 0)

    def numbers(self) -> dict[str, JsonValue]:
        """Return in, out, rejected, filtered, combined and added."""
        return dict(zip(COLUMNS[3:], self.cells()[3:], strict=True))

    def cells(self) -> list[JsonValue]:
        """Return what stands in a table with `COLUMNS`."""
        numbers = (self.taken, self.given, self.rejected, self.filtered, self.combined, self.added)
        return [self.step, self.mode, self.status, *numbers]


Ledger = dict[str, Row]


def counts_of(summary: Mapping[str, JsonValue]) -> Ledger:
    """Return the rows of each step as a run.json has them, which does not tell which steps combine rows."""
    return {name: _row(name, step) for name, step in summary["steps"].items()}


def ledger_of(run: RecordedRun) -> Ledger:
    """Return the rows of each step, in the order of the plan."""
    return {step.id: _row(step.id, step.summary, combines=_combines(step)) for step in run.steps}


def _row(name: str, told: Mapping[str, JsonValue], *, combines: bool = False) -> Row:
    if not {"rows_in", "rows_out"} <= told.keys():
        return Row(name, told["mode"], told["status"])
    counts = told["rows_in"], told["rows_out"], told.get("rows_rejected", 0)
    return Row(name, told["mode"], told["status"], *counts, combines=combines)


def _combines(step: RecordedStep) -> bool:
    return len(step.inputs) > 1 or combines_rows(sql_of(step))


def sql_of(step: RecordedStep) -> str:
    """Return the SQL of a step, empty if it has none."""
    return str((step.plan.get("config") or {}).get("query", ""))


def combines_rows(sql: str) -> bool:
    """Tell whether a statement makes one row of several: by GROUP BY, DISTINCT, an aggregate, a set operation, a join.

    How many rows it left out cannot be told from how many it took and gave.
    """
    return bool(_COMBINES.search(_WINDOW.sub("", sql)))


def total(ledger: Ledger, mode: str | None, key: str) -> int:
    """Return the sum of `taken`, `given` or `rejected` over the steps of a mode, or over all."""
    return sum(getattr(row, key) or 0 for row in ledger.values() if mode in (None, row.mode))


def moved_text(ledger: Ledger) -> str:
    """Return how many rows a run read from its sources, set aside and wrote."""
    aside = total(ledger, None, "rejected")
    told = f", {aside:,} set aside" if aside else ""
    return f"{total(ledger, 'read', 'taken'):,} rows read{told}, {total(ledger, 'write', 'given'):,} written"


def balanced(ledger: Ledger) -> bool:
    """Tell whether no reader or writer has rows that it cannot account for: only a transform may make rows."""
    strict = (row for row in ledger.values() if row.mode != "transform")
    return not any(row.added or (row.mode == "write" and row.filtered) for row in strict)
