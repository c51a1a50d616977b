"""Findings: suspicious results of a run in which nothing failed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.history.failures import clip
from osiris.history.reading import not_renewed, stale_text
from osiris.history.rejects import first_group
from osiris.history.row_counts import Finding, losses_since, sql_of, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.history.reading import Reading
    from osiris.history.record import RecordedStep
    from osiris.history.row_counts import Row

_JOIN = re.compile(r"\bjoin\b", re.IGNORECASE)
_OTHER_CAUSES = re.compile(r"\bunion\b|\bgroup\s+by\b", re.IGNORECASE)
"""Other SQL that may return many or few rows."""

_FAN_OUT_RATIO = 2.0
_SLOWER_RATIO = 1.5
_SLOWER_MS = 1000.0
"""Minimum slowdown in milliseconds for a finding."""


def findings_of(reading: Reading) -> list[Finding]:
    """Return all findings, the most severe first."""
    if reading.run.status == "running":
        return []
    return [*grave_findings(reading), *_mild_findings(reading)]


def _all_rejected_or_filtered(reading: Reading) -> list[Finding]:
    rejected, filtered = [], []
    for row in reading.row_counts.values():
        if row.mode == "write" or not row.taken or row.given or row.only_new:
            continue
        if row.rejected == row.taken:
            text = f"Step {row.step} rejected all of its {row.taken:,} input rows."
            rejected.append(Finding("all_rejected", text, row.step))
        else:
            text = f"Step {row.step} took {row.taken:,} rows but produced none."
            filtered.append(Finding("all_filtered", text, row.step))
    return rejected + filtered


def grave_findings(reading: Reading) -> list[Finding]:
    """Return the findings that affect the verdict on an ended run."""
    return [
        *_nothing_read(reading),
        *_all_rejected_or_filtered(reading),
        *_nothing_written(reading),
        *_fan_outs(reading),
        *_rejected(reading),
        *losses_since(reading.base_row_counts, reading.row_counts),
    ]


def _nothing_read(reading: Reading) -> Iterator[Finding]:
    rows = reading.row_counts.values()
    readers = [row for row in rows if row.mode == "read" and row.given is not None]
    # A writer whose rows were delivered by an earlier attempt has rows that no source was asked for.
    moved = any(row.taken or (row.mode, row.status) == ("write", "skipped") for row in rows if row.mode != "transform")
    if readers and not any(row.given or row.only_new for row in readers) and not moved:
        names = ", ".join(row.step for row in readers[:3])
        yield Finding(
            "nothing_read", f"No rows were read: the source of {clip(names, 80)} returned none.", readers[0].step
        )


def _nothing_written(reading: Reading) -> Iterator[Finding]:
    writers = [row for row in reading.row_counts.values() if row.mode == "write" and row.given is not None]
    if writers and reading.run.status == "complete" and not any(row.given or row.only_new for row in writers):
        read = total(reading.row_counts, "read", "taken")
        if read:
            yield Finding("nothing_written", f"{read:,} rows were read but none were written.", writers[0].step)


def _fan_outs(reading: Reading) -> Iterator[Finding]:
    for step in reading.run.steps:
        row = reading.row_counts[step.id]
        if step.mode == "transform" and row.given and row.taken and (against := _fans_out(reading, step, row)):
            yield Finding(
                "fan_out", f"Step {step.id} produced {row.given:,} rows from {row.taken:,}, {against}.", step.id
            )


def _fans_out(reading: Reading, step: RecordedStep, row: Row) -> str:
    """Return what makes a join's row count too high, as text; empty if it is not."""
    given, taken = row.given or 0, row.taken or 0
    if given > taken:
        return "more than all of its inputs together"
    sizes = [reading.row_counts[name].given or 0 for name in step.inputs if name in reading.row_counts]
    if len(sizes) < 2 or not _joins(sql_of(step)):
        return ""
    if given > max(sizes):
        return f"more than its largest input ({max(sizes):,})"
    return _growth(row, reading.base_row_counts.get(step.id))


def _mild_findings(reading: Reading) -> Iterator[Finding]:
    """Yield findings that do not affect the verdict: stale targets, a slower run, warnings."""
    if reading.stale:
        step = not_renewed(reading.run)[0]
        yield Finding("stale", reading.clean(stale_text(reading.stale)), step, ("run", f"step.{step}"))
    now = reading.run.summary.get("duration_ms")
    before = reading.base.summary.get("duration_ms") if reading.base else None
    if now and before and now > _SLOWER_RATIO * before and now > before + _SLOWER_MS:
        text = f"The run took {now / 1000:.1f} s; the last success took {before / 1000:.1f} s."
        yield Finding("slower", text, None, ("run", "base"))
    for number, item in enumerate(reading.run.diagnostics, 1):
        if item.severity == "warning":
            text = f"{item.code}: {clip(reading.clean(item.message), 160)}"
            yield Finding("warning", text, None, (f"err.{number}",))


def _growth(row: Row, before: Row | None) -> str:
    """Return the row counts of the last success as text, if the ratio of output to input has grown much since."""
    if not (row.given and row.taken and before and before.given and before.taken):
        return ""
    is_so = row.given / row.taken >= _FAN_OUT_RATIO * before.given / before.taken
    return f"while the last success produced {before.given:,} from {before.taken:,}" if is_so else ""


def _rejected(reading: Reading) -> Iterator[Finding]:
    for row in reading.row_counts.values():
        if row.rejected and row.rejected != row.taken:
            text = f"Step {row.step} rejected {row.rejected:,} of {row.taken:,} rows."
            group = first_group(reading.run, row.step)
            yield Finding("rows_rejected", text, row.step, (f"step.{row.step}", *([group] if group else [])))


def _joins(sql: str) -> bool:
    """Return whether a statement has a join, and nothing else that changes the number of rows much."""
    return bool(_JOIN.search(sql)) and not _OTHER_CAUSES.search(sql)
