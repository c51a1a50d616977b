"""Close sessions whose process has ended, and recover from damaged ones what is needed to query the ledgers."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from osiris.durable import remove, remove_folder
from osiris.errors import Diagnostic, OsirisError, diagnostic
from osiris.files import sweep
from osiris.project_lock import hold_project
from osiris.session.stored import (
    complete_lines,
    cut_torn_line,
    is_time,
    open_locked,
    problem_of,
    read_lines,
    read_summary,
)
from osiris.session.writing import ENDS, STEP_ENDS, Session, totals, update_step

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project

_ID = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-(\d{3})-(.+)-[0-9a-f]+")


def close_lost(project: Project) -> list[dict[str, JsonValue]]:
    """Close every session whose process has ended without doing so, and return their summaries.

    One that cannot be written now, for instance because the disk is full, is left to the next call.
    """
    with suppress(OSError, OsirisError):
        if any(project.open_sessions.iterdir()):
            with hold_project(project):
                markers = sorted(project.open_sessions.iterdir())
                return [lost for marker in markers if (lost := _close_if_lost(project, marker.name))]
    return []


def _close_if_lost(project: Project, name: str) -> dict[str, JsonValue] | None:
    folder, marker = project.logs / name, project.open_sessions / name
    try:
        fd = open_locked(folder / "events.jsonl", flags=os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        with suppress(OSError):
            remove(marker)
        return None
    except OSError:  # locked by a living process, or not ours
        return None
    session = Session(name, folder, marker, _events=fd)
    with session, suppress(OsirisError, OSError):
        summary = read_summary(folder)
        ended = summary or read_recovered(folder)
        lost = _end_lost(session, summary) if summary and summary["status"] == "running" else None
        remove_folder(project.scratch / name)
        sweep(folder)
        if not (ended and ended["kind"] == "run" and ended["status"] == "complete"):
            remove(marker)  # a complete one stays open until it is acknowledged
        return lost
    return None


def is_unacknowledged(project: Project, name: str) -> bool:
    """Whether the process of a complete run ended before its caller was informed."""
    if not (project.open_sessions / name).exists():
        return False
    try:
        with hold_project(project):
            os.close(open_locked(project.logs / name / "events.jsonl", flags=os.O_RDWR))
    except OSError:  # its process is alive, and about to acknowledge it
        return False
    return True


def acknowledge(project: Project, name: str) -> None:
    """Record that a run's caller was informed of its end; a marker that cannot be removed is left to the next call."""
    with suppress(OSError):
        remove(project.open_sessions / name)


def _end_lost(session: Session, summary: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Truncate an incomplete line, and write the end of each started step, then of the session."""
    path = session.folder / "events.jsonl"
    content = path.read_bytes()
    cut_torn_line(path)
    events = complete_lines(content)
    session._seq = max((e.get("seq", 0) for e in events), default=0)
    problem = diagnostic("RUN008", session=session.id)
    events = [e for e in events if e.get("step") in (None, *summary["steps"])]
    ends = _end_steps(session, summary["steps"], events, problem)
    last = next((e for e in events if e["event"] in ENDS), None)
    if last is None:
        last = session.event("run_lost", code=problem.code, message=problem.message)
    summary |= {"status": ENDS[last["event"]], "ended_at": _last_time(events) or summary["started_at"]}
    summary |= {"duration_ms": last.get("duration_ms"), **totals(summary["steps"])}
    summary["diagnostics"] += _unreported(summary["diagnostics"], [*ends, last], problem)
    session.summary(summary)
    return summary


def _end_steps(
    session: Session, steps: dict[str, Any], events: list[dict[str, Any]], problem: Diagnostic
) -> list[Mapping[str, Any]]:
    """Write the end of each step that started and did not end; return the existing ends of the others."""
    ends = {e["step"]: e for e in events if e["event"] in (*STEP_ENDS, "step_skipped")}
    for step, end in ends.items():  # run.json is not rewritten at each step's end
        update_step(steps[step], end)
    for step in dict.fromkeys(e["step"] for e in events if e["event"] == "step_start" and e["step"] not in ends):
        session.event("step_failed", step=step, code=problem.code, message=problem.message)
        steps[step]["status"] = "failed"
    return list(ends.values())


def _last_time(events: list[dict[str, Any]]) -> str | None:
    return next((e["ts"] for e in reversed(events) if "ts" in e), None)


def _unreported(recorded: list[Any], ends: list[Mapping[str, Any]], problem: Diagnostic) -> list[JsonValue]:
    """Return the errors of steps and of the run that run.json does not have; `problem` in full, with its hint."""
    reported = {(item["code"], item["message"]) for item in recorded}
    failed = [
        (e["code"], e.get("message", ""))
        for e in ends
        if e["event"] not in ("step_complete", "step_cancelled") and "code" in e
    ]
    lost = (problem.code, problem.message)
    new = [pair for pair in dict.fromkeys(failed) if pair not in reported]
    return [(problem if pair == lost else Diagnostic(*pair)).to_json() for pair in new]


def read_recovered(folder: Path) -> dict[str, JsonValue] | None:
    """Recover a damaged session's run.json from its events, plan and name; None if it is not damaged.

    `problem` says what is damaged. Nothing counts as delivered: a run that resumes it queries each ledger. An unknown
    fingerprint is empty.
    """
    problem, (started, name) = problem_of(folder), _parsed_id(folder.name)
    if problem is None or not started:
        return None
    events = read_lines(folder / "events.jsonl")
    start, end = (_first_of(events, names) for names in (["run_start"], ENDS))
    defaults = {"pipeline": name, "fingerprint": "", "run_key": folder.name, "continues": None}
    defaults |= {"run_started_at": f"{started[:19]}Z"} | _plan(folder)
    return {
        "session": folder.name,
        "kind": "replay" if "replays" in start else "run",
        "problem": problem,
        "status": ENDS[end.get("event", "run_lost")],
        "started_at": started,
        "ended_at": None,
        "selected": None,
        "connections": None,
        **{key: start.get(key) or value for key, value in defaults.items()},
        **{key: {} for key in ("steps", "sources", "outputs", "deliveries", "spools")},
        "diagnostics": [],
    }


def _first_of(events: list[dict[str, Any]], names: Collection[str]) -> dict[str, Any]:
    """Return the first event with one of these names; empty if there is none."""
    return next((event for event in events if event["event"] in names), {})


def _parsed_id(session: str) -> tuple[str, str]:
    """Return the start time and the pipeline in a session's id; both empty if it is not a valid id."""
    match = _ID.fullmatch(session)
    *time, name = match.groups() if match else [""] * 8
    started = "{}-{}-{}T{}:{}:{}.{}000+00:00".format(*time)
    return (started, name) if is_time(started) else ("", "")


def pipeline_of(session: str) -> str:
    """Return the pipeline in a session's id; empty if it is not a valid id."""
    return _parsed_id(session)[1]


def _plan(folder: Path) -> dict[str, JsonValue]:
    """Return the pipeline's name and the fingerprint in a session's plan; empty if it cannot be read."""
    try:
        plan = read_plan(folder) or {}
        fields = {"pipeline": plan["pipeline"]["name"], "fingerprint": plan["fingerprint"]}
        return {key: value for key, value in fields.items() if value}
    except (LookupError, TypeError):
        return {}


def read_plan(folder: Path) -> dict[str, JsonValue] | None:
    """Return the plan of a session as JSON; None if it cannot be read."""
    try:
        plan = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return plan if isinstance(plan, dict) else None
