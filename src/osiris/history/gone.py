"""Rows that a run no longer has: it reads or writes far fewer than the last success did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.history.ledger import Ledger, Row
    from osiris.model import JsonValue

MILD = ("stale", "slower", "warning")
"""Kinds of findings that make no verdict on a run."""

_SHRUNK = 0.5
"""A step has shrunk if it gives at most that part of the rows that it gave in the last success."""
_FEWEST = 20
"""Rows fewer than before, below which nobody minds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation, of a step or (None) of the whole run."""

    kind: str
    text: str
    step: str | None = None
    evidence: tuple[str, ...] = ()

    @property
    def is_grave(self) -> bool:
        """Tell whether it makes a verdict on the run."""
        return self.kind not in MILD

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as it stands in answer.findings."""
        found = self.evidence or ((f"step.{self.step}",) if self.step else ("run",))
        return {"kind": self.kind, "step": self.step, "text": self.text, "evidence": list(found)}


def gone_since(base: Ledger, now: Ledger) -> list[Finding]:
    """Return the findings of rows that are gone since the last success: empty outputs, and steps that have shrunk."""
    return [*_empty_outputs(base, now), *_shrunk(base, now)]


def _empty_outputs(base: Ledger, now: Ledger) -> Iterator[Finding]:
    """Give the writers that wrote no row where the last success wrote some."""
    for row in now.values():
        before = base.get(row.step)
        if row.mode == "write" and row.given == 0 and before and before.given:
            text = f"Step {row.step} wrote no row, and the last success {before.given:,}."
            yield Finding("empty_output", text, row.step, (f"step.{row.step}", "base"))


def _shrunk(base: Ledger, now: Ledger) -> Iterator[Finding]:
    """Give the readers that gave far fewer rows than in the last success, and the transforms that lost far more."""
    for row in now.values():
        before = base.get(row.step)
        if before and row.mode != "write" and _has_shrunk(row, before):
            text = f"Step {row.step} gave {_of(row)}, and the last success {_of(before)}."
            yield Finding("shrunk", text, row.step)


def _of(row: Row) -> str:
    return f"{row.given:,} rows" + (f" of {row.taken:,}" if row.mode == "transform" else "")


def _has_shrunk(row: Row, before: Row) -> bool:
    """Tell whether a step gave far fewer rows; of a transform, for as many as it took."""
    if row.given is None or not before.given or before.given - row.given < _FEWEST:
        return False
    if row.mode == "read":
        return row.given <= _SHRUNK * before.given
    if not row.taken or not before.taken:
        return False
    return row.given / row.taken <= _SHRUNK * before.given / before.taken
