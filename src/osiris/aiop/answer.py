"""The answer: what happened, why, what was written, what changed, what to do. Bounded by itself, so never cut."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from osiris.aiop.size_budget import size_of
from osiris.history.deliveries import again, deliveries_of, given_params, retry_of
from osiris.history.failures import class_of, clip, event_ids, kind_of, may_pass, subject_of
from osiris.history.findings import findings_of
from osiris.history.record import REFUSED
from osiris.history.row_counts import COLUMNS, Row, balanced, moved_text, total
from osiris.history.tables import by_entry, causes_of, states_of, tables_of
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.errors import Diagnostic
    from osiris.history.reading import Reading
    from osiris.history.record import RecordedStep
    from osiris.history.row_counts import Finding
    from osiris.history.tables import Table
    from osiris.model import JsonValue

LIMIT = 5_000
"""Bytes of the answer: under 2,000 tokens even at 2.5 bytes for each."""

_STATUSES = ("complete", "failed", "cancelled", "skipped", "not_run", "running")

MOST_STEPS = 20

_MOST = 5
_SHARED = "snapshot_shared"
"""The event that says which tables of an entry are read in one snapshot."""

_AT_ONCE = ("killed", "cancelled", "resource")
"""Failures after which the same command resumes: nothing in the project needs fixing."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The size of an answer: characters of a text, and items of each list."""

    text: int
    links: int
    writers: int
    rows: int
    changes: int
    findings: int


_LEVELS = (
    Bounds(400, 16, 12, 14, 8, 6),
    Bounds(300, 12, 8, 12, 8, 5),
    Bounds(240, 10, 6, 10, 6, 4),
    Bounds(180, 8, 5, 8, 5, 3),
    Bounds(140, 6, 4, 6, 4, 3),
    Bounds(100, 4, 3, 4, 3, 2),
    Bounds(60, 2, 2, 2, 2, 1),
    Bounds(40, 1, 1, 1, 1, 1),
)


def answer_of(reading: Reading) -> dict[str, JsonValue]:
    """Return the fullest answer that stays within `LIMIT`."""
    answer: dict[str, JsonValue] = {}
    tables = tables_of(reading)
    for bounds in _LEVELS:
        answer = _answer(reading, tables, bounds)
        if size_of(answer) <= LIMIT:
            break
    return answer


def _answer(reading: Reading, tables: Sequence[Table], bounds: Bounds) -> dict[str, JsonValue]:
    findings, deliveries = findings_of(reading), deliveries_of(reading)
    failure = failure_of(reading, bounds.text)
    retry = retry_of(reading, deliveries)
    links = reading.chain
    return {
        "run": _run(reading),
        "verdict": _verdict(reading, tables, failure, bounds),
        "failure": failure,
        **({"tables": _tables(reading, tables, bounds)} if tables else {}),
        "chain": {
            "links": [link._asdict() for link in links[: bounds.links]],
            "total": len(links),
            "evidence": event_ids(*(reading.ends.get(link.step) for link in links[:1])) or ["run"],
        },
        "written": {
            "writers": [_short(each.to_json(), bounds) for each in deliveries[: bounds.writers]],
            "total": len(deliveries),
            "rows": total(reading.row_counts, "write", "given"),
            "any_partial": False if all(each.whole for each in deliveries) else None,
            "evidence": ["run"],
        },
        "rows": _rows(reading, bounds),
        "row_errors": _row_errors(reading, bounds),
        "findings": [_short(each.to_json(), bounds) for each in findings[: bounds.findings]],
        "changes": _changes(reading, bounds),
        "retry": {**retry, "why": clip(str(retry["why"]), max(bounds.text, 100))},
        "next": [command._asdict() for command in next_commands(reading)],
    }


def _short(data: dict[str, JsonValue], bounds: Bounds) -> dict[str, JsonValue]:
    free = ("text", "target")
    return {key: clip(item, bounds.text) if key in free and item else item for key, item in data.items()}


def _run(reading: Reading) -> dict[str, JsonValue]:
    summary = reading.run.summary
    counts = Counter(step.status for step in reading.run.steps)
    return {
        "session": reading.run.id,
        "kind": "replay" if reading.replays is not None else str(summary.get("kind") or "run"),
        "pipeline": reading.run.pipeline,
        "plan": str(summary["fingerprint"])[:12],
        **{key: summary[key] for key in ("adapter", "started_at", "ended_at", "duration_ms", "run_key")},
        "continues": summary.get("continues"),
        "steps": {"total": len(reading.run.steps)} | {name: counts[name] for name in _STATUSES if counts[name]},
    }


def _tables(reading: Reading, tables: Sequence[Table], bounds: Bounds) -> dict[str, JsonValue]:
    """Return how the tables of each entry of `replicate` fared, and the causes of failures with their tables."""
    entries = by_entry(tables)
    shared = {each["fields"]["entry"]: each["fields"] for each in reading.run.events if each["event"] == _SHARED}
    listed = [_entry(name, group, shared.get(name), bounds) for name, group in entries.items()][: bounds.writers]
    return {"entries": listed, "total": len(entries), "evidence": ["run"]}


def _entry(
    name: str, tables: Sequence[Table], shared: Mapping[str, JsonValue] | None, bounds: Bounds
) -> dict[str, JsonValue]:
    causes = causes_of(tables)
    again = [table.name for table in tables if table.attempts > 1]
    shown = [
        {
            "code": cause.problem.code,
            "cause": clip(cause.problem.message, bounds.text),
            "tables": len(cause.tables),
            "first": [table.name for table in cause.tables[:3]],
        }
        for cause in causes[: max(3, bounds.findings)]
    ]
    snapshot = None
    if shared:
        apart = dict.fromkeys([*shared["apart_first"], *again])
        snapshot = {"shared": shared["tables"], "apart": shared["apart"], "again": len(again)}
        snapshot["apart_first"] = list(apart)[: bounds.findings]
    return {
        "entry": name,
        "tables": len(tables),
        "states": states_of(tables),
        "snapshot": snapshot,
        "causes": shown,
        "causes_total": len(causes),
    }


def _verdict(
    reading: Reading, tables: Sequence[Table], failure: dict[str, JsonValue] | None, bounds: Bounds
) -> dict[str, JsonValue]:
    status, findings = reading.run.status, findings_of(reading)
    grave = next((each.kind for each in findings if each.is_grave), "ok")
    failed = kind_of(reading.root.item.code) if reading.root else "code"
    kind = {"complete": grave, "running": "running"}.get(status, failed)
    text = _sentence(reading, grave, findings, failure)
    if failure and (causes := causes_of(tables)):
        broken, total = sum(len(each.tables) for each in causes), count(len(tables), "table")
        text = f"{broken:,} of {total} failed, of {count(len(causes), 'cause')}. The first: {text}"
    text = clip(text, max(bounds.text, 200 if tables else 100))
    return {"status": status, "kind": kind, "text": text, "evidence": event_ids(reading.end) or ["run"]}


def _sentence(reading: Reading, grave: str, findings: list[Finding], failure: dict[str, JsonValue] | None) -> str:
    run, row_counts = reading.run, reading.row_counts
    moved = moved_text(row_counts)
    if run.status == "running":
        return f"The run has not ended yet; {moved} so far."
    if run.status == "complete":
        return f"The run is complete: {moved}.{_oddity(reading, grave, findings)}"
    if failure is None:
        return f"The run ended as {run.status}."
    if run.summary.get("kind") == REFUSED:
        return f"The run could not start: {failure['code']} {failure['cause']}"
    step = f"Step {failure['step']}" if failure["step"] else "The run"
    words = {"failed": "failed", "cancelled": "was stopped", "lost": "was lost while running"}
    return f"{step} {words[run.status]}: {failure['code']} {failure['cause']}"


def _oddity(reading: Reading, grave: str, findings: list[Finding]) -> str:
    """Return what is odd about a complete run as a sentence; of rejected rows only the steps, not their number."""
    if grave == "rows_rejected":
        return f" Rejected by: {', '.join(row.step for row in reading.row_counts.values() if row.rejected)}."
    return f" But: {findings[0].text}" if grave != "ok" else ""


def _rows(reading: Reading, bounds: Bounds) -> dict[str, JsonValue]:
    row_counts = reading.row_counts
    chosen = sorted(row_counts.values(), key=_weight)[: bounds.rows]
    losses: list[dict[str, JsonValue]] = []
    for row in (each for each in row_counts.values() if each.lost):
        counts = {"rejected": row.rejected or 0, "filtered": row.filtered or 0, "combined": row.combined or 0}
        how = max(counts, key=lambda name: counts[name])
        losses.append({"step": row.step, "how": how, "rows": counts[how]})
    losses.sort(key=lambda loss: (loss["how"] == "combined", -loss["rows"]))
    return {
        "in": total(row_counts, "read", "taken"),
        "out": total(row_counts, "write", "given"),
        "rejected": total(row_counts, None, "rejected"),
        "balanced": balanced(row_counts),
        "steps": {
            "columns": COLUMNS,
            "rows": [row.cells() for row in row_counts.values() if row in chosen],
        },
        "total": len(row_counts),
        "lost": losses[: min(5, bounds.rows)],
        "evidence": ["run"],
    }


def _weight(row: Row) -> tuple[bool, bool, int]:
    """Return the sort key of rows by relevance to a reader."""
    return (
        row.status not in ("failed", "cancelled"),
        not (row.lost or row.added),
        ("write", "read", "transform").index(row.mode),
    )


def _row_errors(reading: Reading, bounds: Bounds) -> dict[str, JsonValue] | None:
    if not reading.groups:
        return None
    largest = sorted(reading.groups, key=lambda group: -group.count)[: min(3, bounds.findings)]
    top = []
    for group in largest:
        example = str(group.examples[0]["value"]) if group.column and group.examples else group.said
        words = {"reason": clip(group.reason, bounds.text), "count": group.count, "example": clip(example, 60)}
        top.append({"id": group.id, "step": group.step, "code": group.code, "column": group.column or None, **words})
    return {
        "total": sum(group.count for group in reading.groups),
        "groups": len(reading.groups),
        "top": top,
        "evidence": [group.id for group in largest],
    }


def _changes(reading: Reading, bounds: Bounds) -> dict[str, JsonValue]:
    base, run = reading.base, reading.run
    keys = ("id", "area", "path", "text")
    numbered = [change.to_json(number) for number, change in enumerate(reading.changes[: bounds.changes], 1)]
    top = [{key: clip(str(each[key]), bounds.text) for key in keys} for each in numbered]
    pairs: dict[str, JsonValue] = dict.fromkeys(("rows_in", "rows_out", "duration_ms"))
    if base is not None:
        old, new = reading.base_row_counts, reading.row_counts
        pairs = {
            "rows_in": {"before": total(old, "read", "taken"), "now": total(new, "read", "taken")},
            "rows_out": {"before": total(old, "write", "given"), "now": total(new, "write", "given")},
            "duration_ms": {"before": base.summary["duration_ms"], "now": run.summary["duration_ms"]},
        }
    return {
        "base": reading.base_id,
        "total": len(reading.changes),
        "areas": dict(Counter(change.area for change in reading.changes)),
        "top": top,
        **pairs,
        "evidence": ["run", "plan", *(["base"] if base else [])] if run.plan else ["run"],
    }


def failure_of(reading: Reading, longest: int) -> dict[str, JsonValue] | None:
    """Return `answer.failure`, with texts of at most `longest` characters; None if nothing failed."""
    if reading.root is None:
        return None
    number, raw, _ = reading.root
    item = replace(raw, message=reading.clean(raw.message), hint=reading.clean(raw.hint) if raw.hint else None)
    first = next(iter(reading.broken), None)
    end = _end_of_failure(reading, first)
    return {
        "step": first.id if first else None,
        "steps": [step.id for step in reading.broken[: min(MOST_STEPS, longest // 20)]],
        "component": getattr(first, "component", None) or None,
        "code": item.code,
        "class": class_of(item.code),
        "cause": clip(item.message, longest),
        "place": str(item.location) or None,
        "remedy": clip(item.hint, longest) if item.hint else None,
        "subject": {key: clip(value, longest) for key, value in _subject(item, first).items()},
        **{key: end.get(name) for key, name in (("at", "ts"), ("attempts", "attempts"), ("rows", "rows"))},
        "errors": len(reading.errors),
        "evidence": [*event_ids(end), f"err.{number}"],
    }


def _end_of_failure(reading: Reading, step: RecordedStep | None) -> Mapping[str, JsonValue]:
    """Return the event that ended a step, else the run; empty if there is none."""
    return (reading.ends.get(step.id) if step else None) or reading.end or {}


def _subject(item: Diagnostic, step: RecordedStep | None) -> dict[str, str]:
    """Return the subject of a message; for connections also the reference in the pipeline."""
    subject = subject_of(item)
    connection = step.plan.get("connection") if step else None
    if connection and (class_of(item.code) in ("connection", "auth") or item.code.startswith("CON")):
        subject.setdefault("connection", connection)
    return subject


class Command(NamedTuple):
    """A command, its purpose, and whether it may change targets or files of the project."""

    command: str
    why: str
    changes: bool = False


def next_commands(reading: Reading) -> list[Command]:
    """Return the commands that make sense now, in this order."""
    show, status = f"osiris logs show {reading.run.id}", reading.run.status
    if status == "running":
        return [Command(show, "show its progress")]
    if status != "complete":
        return list(_after_failure(reading))[:_MOST]
    commands = [Command(show, "show rows, files and digests of this run")]
    if reading.base is not None:
        verify = f"osiris verify {reading.base.id} {reading.run.id}"
        commands.append(Command(verify, "check whether it wrote the same data as the last success"))
    return commands


def _after_failure(reading: Reading) -> Iterator[Command]:
    show = f"osiris logs show {reading.run.id}"
    if reading.root is None:
        yield Command(show, "show everything on record about this run")
        return
    code = reading.root.item.code
    kind, useful = class_of(code), may_pass(code)
    yield from _looking(reading, kind)
    meaning, running = [Command(f"osiris explain {code}", "explain the error code")], []
    # Nothing repeats a replay.
    if reading.replays is None and (command := again(reading, deliveries_of(reading), useful=useful)):
        why = "resume; delivered outputs are skipped" if useful else "run again after fixing the cause"
        if kind == "resource":
            why = "resume after freeing space or memory; delivered outputs are skipped"
        running.append(Command(command, why, changes=True))
    yield from (*running, *meaning) if kind in _AT_ONCE else (*meaning, *running)
    yield Command(f"{show} --events", "show all events in order")


def _looking(reading: Reading, kind: str) -> Iterator[Command]:
    """Yield the commands that show or fix the cause."""
    step = reading.broken[0] if reading.broken else None
    connection = step.plan.get("connection") if step else None
    file = reading.run.summary.get("oml")
    if connection and kind in ("connection", "auth", "config"):
        yield Command(f"osiris connections doctor {connection}", "test the connection")
    if file and kind == "schema" and not (step and step.mode == "write"):
        command = shlex.join(["osiris", "compile", file, "--refresh", *given_params(reading.run.plan)])
        yield Command(command, "compile again with the current source schemas", changes=True)
