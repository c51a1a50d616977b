"""Row counts of a run by step, rows lost since the last success, and the choice of that last success."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

from osiris.session.finding import runs_before
from osiris.session.stored import read_summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue
    from osiris.project import Project

COLUMNS = ["step", "mode", "status", "in", "out", "rejected", "filtered", "combined", "added"]

_WINDOW = re.compile(r"\w+\s*\([^()]*\)\s*over\b", re.IGNORECASE)
_COMBINES = re.compile(
    r"\bjoin\b|\bgroup\s+by\b|\bdistinct\b|\bunion\b(?!\s+all\b)|\bintersect\b|\bexcept\b"
    r"|\b(?:count|sum|avg|min|max|median|mode|first|last|list|any_value|\w*_agg|arg_m\w+|quantile\w*|std\w*|var\w*)\s*\(",
    re.IGNORECASE,
)

MILD = ("stale", "slower", "warning")
"""Kinds of findings that do not affect the verdict on a run."""

_SHRUNK_SHARE = 0.5
"""A step has shrunk if its output is at most this share of that of the last success."""
_MIN_DECREASE = 20
"""Minimum decrease in rows for a finding."""

_NORMAL = 3
"""After this many complete runs in a row with fewer rows, the newest becomes the base."""


@dataclass(frozen=True, slots=True)
class Row:
    """Row counts of one step; all None if it did not complete, as they are unknown then.

    `taken` are input rows, `given` output rows. `filtered` are input rows that a step without grouping or joins neither
    returned nor rejected; `combined` those merged or dropped by a step with them; `added` output rows beyond the input.
    `only_new`: the step has only rows that are new since the last run, so few or none are normal.
    """

    step: str
    mode: str
    status: str
    taken: int | None = None
    given: int | None = None
    rejected: int | None = None
    filtered: int | None = None
    combined: int | None = None
    added: int | None = None
    only_new: bool = False

    @property
    def lost(self) -> int:
        """Rows rejected, filtered or combined; 0 if unknown."""
        return (self.rejected or 0) + (self.filtered or 0) + (self.combined or 0)

    def numbers(self) -> dict[str, JsonValue]:
        """Return in, out, rejected, filtered, combined and added."""
        return dict(zip(COLUMNS[3:], self.cells()[3:], strict=True))

    def cells(self) -> list[JsonValue]:
        """Return the cells of a table with `COLUMNS`."""
        return list(astuple(self))[:-1]


RowCounts = dict[str, Row]


def counts_of(summary: Mapping[str, JsonValue]) -> RowCounts:
    """Return row counts by step from a run.json, which does not record which steps combine rows."""
    return {name: _counted(name, step) for name, step in summary["steps"].items()}


def row_counts_of(run: RecordedRun) -> RowCounts:
    """Return row counts by step, in plan order.

    They are unknown for a source not read because its target already had the rows of an earlier attempt.
    """
    ends = (event for event in run.events if event["event"] == "step_complete" and not event.get("rows_out"))
    unread = {event["step"] for event in ends if event.get("read_to_end") is False}
    combine = {step.id: len(step.inputs) > 1 or combines_rows(sql_of(step)) for step in run.steps}
    return {
        step.id: Row(step.id, step.mode, step.summary["status"])
        if step.id in unread
        else _counted(step.id, step.summary, combines=combine[step.id])
        for step in run.steps
    }


def _counted(name: str, step: Mapping[str, JsonValue], *, combines: bool = False) -> Row:
    row = Row(name, step["mode"], step["status"], only_new=step.get("only_new", False))
    if not {"rows_in", "rows_out"} <= step.keys() or step["status"] == "skipped":
        return row
    taken, given, rejected = step["rows_in"], step["rows_out"], step.get("rows_rejected", 0)
    row = replace(row, taken=taken, given=given, rejected=rejected)
    if taken is None or given is None:
        return row
    over = taken - given - (rejected or 0)
    filtered, combined = (0, max(0, over)) if combines and given else (max(0, over), 0)
    return replace(row, filtered=filtered, combined=combined, added=max(0, -over))


def sql_of(step: RecordedStep) -> str:
    """Return the SQL of a step; empty if it has none."""
    return str((step.plan.get("config") or {}).get("query", ""))


def combines_rows(sql: str) -> bool:
    """Return whether a statement may combine rows: by GROUP BY, DISTINCT, an aggregate, a set operation or a join.

    How many rows it filtered cannot be derived from its input and output counts.
    """
    return bool(_COMBINES.search(_WINDOW.sub("", sql)))


def total(row_counts: RowCounts, mode: str | None, key: str) -> int:
    """Return the sum of `taken`, `given` or `rejected` over the steps of a mode (None: all)."""
    return sum(getattr(row, key) or 0 for row in row_counts.values() if mode in (None, row.mode))


def moved_text(row_counts: RowCounts) -> str:
    """Return a text with the rows that a run read, rejected and wrote."""
    aside = total(row_counts, None, "rejected")
    rejected = f", {aside:,} rejected" if aside else ""
    return (
        f"{total(row_counts, 'read', 'taken'):,} rows read{rejected}, {total(row_counts, 'write', 'given'):,} written"
    )


def balanced(row_counts: RowCounts) -> bool:
    """Return whether the rows of all readers and writers balance: only a transform may add rows."""
    strict = (row for row in row_counts.values() if row.mode != "transform")
    return not any(row.added or (row.mode == "write" and row.filtered) for row in strict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, about a step or (None) the whole run."""

    kind: str
    text: str
    step: str | None = None
    evidence: tuple[str, ...] = ()

    @property
    def is_grave(self) -> bool:
        """Whether it affects the verdict on the run."""
        return self.kind not in MILD

    def to_json(self) -> dict[str, JsonValue]:
        """Return the entry of answer.findings."""
        evidence = self.evidence or ((f"step.{self.step}",) if self.step else ("run",))
        return {"kind": self.kind, "step": self.step, "text": self.text, "evidence": list(evidence)}


def losses_since(base: RowCounts, now: RowCounts) -> list[Finding]:
    """Return the findings of rows lost since the last success.

    First writers that wrote no row where it wrote some, then readers with far fewer rows and transforms with a far
    lower ratio of output to input.
    """
    empty, shrunk = [], []
    for row, before in ((row, base[row.step]) for row in now.values() if row.step in base and not row.only_new):
        if row.mode == "write" and row.given == 0 and before.given:
            text = f"Step {row.step} wrote no rows; an earlier run wrote {before.given:,}."
            empty.append(Finding("empty_output", text, row.step, (f"step.{row.step}", "base")))
        elif row.mode != "write" and _has_shrunk(row, before):
            text = f"Step {row.step} produced {_given(row)}; an earlier run produced {_given(before)}."
            shrunk.append(Finding("shrunk", text, row.step))
    return empty + shrunk


def _given(row: Row) -> str:
    return f"{row.given:,} rows" + (f" of {row.taken:,}" if row.mode == "transform" else "")


def _has_shrunk(row: Row, before: Row) -> bool:
    """Return whether a step returned far fewer rows; for a transform, relative to its input."""
    if row.given is None or not before.given or before.given - row.given < _MIN_DECREASE:
        return False
    if row.mode == "read":
        return row.given <= _SHRUNK_SHARE * before.given
    if not row.taken or not before.taken:
        return False
    return row.given / row.taken <= _SHRUNK_SHARE * before.given / before.taken


def base_of(project: Project, pipeline: str, session: str) -> dict[str, JsonValue]:
    """Return the ids of the last success and of the previous run of a pipeline before a session; None if there is none.

    The last success is the newest complete run without lost rows (`losses_since`); otherwise an empty result would
    become the norm with the next run. If the newest `_NORMAL` complete runs all lost rows, or there is no other, it is
    the newest of them. A run records both in its run.json (`base`) when it starts.
    """
    previous: JsonValue = None
    complete: list[JsonValue] = []
    for each in runs_before(project, pipeline, session):
        previous = previous or each["session"]
        if each["status"] != "complete":
            continue
        own_base = (each.get("base") or {}).get("success")
        before = read_summary(project.logs / str(own_base)) if own_base else None
        if before is None or not losses_since(counts_of(before), counts_of(each)):
            return {"success": each["session"], "previous": previous}
        complete.append(each["session"])
        if len(complete) == _NORMAL:
            break
    return {"success": complete[0] if complete else None, "previous": previous}
