"""Sessions whose process is gone: each gets its end, and a damaged one still tells enough to ask the ledgers."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from osiris.durable import remove, remove_folder
from osiris.errors import Diagnostic, OsirisError, diagnostic
from osiris.files import sweep
from osiris.session.stored import cut_torn_line, is_time, open_locked, problem_of, read_lines, read_summary, whole_lines
from osiris.session.writing import ENDS, STEP_ENDS, Session, catch_up, totals

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.project import Project

_ID = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-(\d{3})-(.+)-[0-9a-f]+")


def close_lost(project: Project) -> list[dict[str, JsonValue]]:
    """Give an end to every session whose process is gone, and return their summaries.

    One that cannot be written now, as the disk is full for instance, is left to the next call.
    """
    try:
        markers = sorted(project.open_sessions.iterdir())
    except OSError:
        return []
    return [lost for marker in markers if (lost := _close_if_lost(project, marker.name))]


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
            remove(marker)  # one that is complete waits until somebody is told of it
        return lost
    return None


def is_unacknowledged(project: Project, name: str) -> bool:
    """Tell whether the process of a run that is complete was gone before whoever had asked for it knew."""
    if not (project.open_sessions / name).exists():
        return False
    try:
        os.close(open_locked(project.logs / name / "events.jsonl", flags=os.O_RDWR))
    except OSError:  # its process is about to say so
        return False
    return True


def acknowledge(project: Project, name: str) -> None:
    """Note that whoever asked for a run knows how it ended; what cannot be removed is left to the next call."""
    with suppress(OSError):
        remove(project.open_sessions / name)


def _end_lost(session: Session, summary: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Cut an unterminated line, and give each step that started, then the session, its end."""
    path = session.folder / "events.jsonl"
    content = path.read_bytes()
    cut_torn_line(path)
    events = whole_lines(content)
    session._seq = max((e.get("seq", 0) for e in events), default=0)
    problem = diagnostic("RUN008", session=session.id)
    events = [e for e in events if e.get("step") in (None, *summary["steps"])]
    ends = _end_steps(session, summary["steps"], events, problem)
    last = next((e for e in events if e["event"] in ENDS), None)
    if last is None:
        last = session.event("run_lost", code=problem.code, message=problem.message)
    summary |= {"status": ENDS[last["event"]], "ended_at": _last_time(events) or summary["started_at"]}
    summary |= {"duration_ms": last.get("duration_ms"), **totals(summary["steps"])}
    summary["diagnostics"] += _untold(summary["diagnostics"], [*ends, last], problem)
    session.summary(summary)
    return summary


def _end_steps(
    session: Session, steps: dict[str, Any], events: list[dict[str, Any]], problem: Diagnostic
) -> list[Mapping[str, Any]]:
    """Give each step that started and did not end its end; return the ends that others had before."""
    ends = {e["step"]: e for e in events if e["event"] in (*STEP_ENDS, "step_skipped")}
    for step, end in ends.items():  # run.json is not renewed for each
        catch_up(steps[step], end)
    for step in dict.fromkeys(e["step"] for e in events if e["event"] == "step_start" and e["step"] not in ends):
        session.event("step_failed", step=step, code=problem.code, message=problem.message)
        steps[step]["status"] = "failed"
    return list(ends.values())


def _last_time(events: list[dict[str, Any]]) -> str | None:
    return next((e["ts"] for e in reversed(events) if "ts" in e), None)


def _untold(known: list[Any], ends: list[Mapping[str, Any]], problem: Diagnostic) -> list[JsonValue]:
    """Return what steps and the run ended by and run.json has not; of the `problem` all that there is to say."""
    told = {(item["code"], item["message"]) for item in known}
    failed = [
        (e["code"], e.get("message", ""))
        for e in ends
        if e["event"] not in ("step_complete", "step_cancelled") and "code" in e
    ]
    own = (problem.code, problem.message)
    new = [pair for pair in dict.fromkeys(failed) if pair not in told]
    return [(problem if pair == own else Diagnostic(*pair)).to_json() for pair in new]


def read_recovered(folder: Path) -> dict[str, JsonValue] | None:
    """Return what events, plan and name of a damaged session tell, in the form of run.json; None if it is not damaged.

    `problem` says what is wrong with it, and nothing counts as delivered: whoever continues it asks each ledger. A
    fingerprint that is not known is empty.
    """
    problem, (started, name) = problem_of(folder), _named(folder.name)
    if problem is None or not started:
        return None
    events = read_lines(folder / "events.jsonl")
    start, end = (_first_of(events, names) for names in (["run_start"], ENDS))
    known = {"pipeline": name, "fingerprint": "", "run_key": folder.name, "continues": None}
    known |= {"run_started_at": f"{started[:19]}Z"} | _plan(folder)
    return {
        "session": folder.name,
        "kind": "replay" if "replays" in start else "run",
        "problem": problem,
        "status": ENDS[end.get("event", "run_lost")],
        "started_at": started,
        "ended_at": None,
        "selected": None,
        "connections": None,
        **{key: start.get(key) or value for key, value in known.items()},
        **{key: {} for key in ("steps", "sources", "outputs", "deliveries", "spools")},
        "diagnostics": [],
    }


def _first_of(events: list[dict[str, Any]], names: Collection[str]) -> dict[str, Any]:
    """Return the first event of one of these names, empty if there is none."""
    return next((event for event in events if event["event"] in names), {})


def _named(session: str) -> tuple[str, str]:
    """Return when a session began, and what stands for its pipeline, as its id tells; both empty if it is none."""
    found = _ID.fullmatch(session)
    *time, name = found.groups() if found else [""] * 8
    started = "{}-{}-{}T{}:{}:{}.{}000+00:00".format(*time)
    return (started, name) if is_time(started) else ("", "")


def _plan(folder: Path) -> dict[str, JsonValue]:
    """Return name of the pipeline and fingerprint that the plan of a session has, as far as it can be read."""
    try:
        found = read_plan(folder) or {}
        told = {"pipeline": found["pipeline"]["name"], "fingerprint": found["fingerprint"]}
        return {key: value for key, value in told.items() if value}
    except (LookupError, TypeError):
        return {}


def read_plan(folder: Path) -> dict[str, JsonValue] | None:
    """Return the plan of a session as JSON; None if it cannot be read."""
    try:
        found = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
