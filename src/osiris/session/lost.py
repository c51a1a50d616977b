"""Sessions whose process is gone: each gets its end."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from osiris.durable import remove, remove_folder
from osiris.errors import Diagnostic, OsirisError, diagnostic
from osiris.files import sweep
from osiris.session.disk import cut_torn_line, open_locked, whole_lines
from osiris.session.recovered import read_recovered
from osiris.session.stored import read_summary
from osiris.session.writing import ENDS, STEP_ENDS, STEP_FIGURES, Session, totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue
    from osiris.project import Project


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
    ends = {e["step"]: e for e in events if e["event"] in (*STEP_ENDS, "step_skipped")}
    _catch_up(summary["steps"], ends)
    for step in dict.fromkeys(e["step"] for e in events if e["event"] == "step_start" and e["step"] not in ends):
        session.event("step_failed", step=step, code=problem.code, message=problem.message)
        summary["steps"][step]["status"] = "failed"
    last = next((e for e in events if e["event"] in ENDS), None)
    if last is None:
        last = session.event("run_lost", code=problem.code, message=problem.message)
    summary |= {"status": ENDS[last["event"]], "ended_at": _last_time(events) or summary["started_at"]}
    summary |= {"duration_ms": last.get("duration_ms"), **totals(summary["steps"])}
    summary["diagnostics"] += _untold(summary["diagnostics"], [*ends.values(), last], problem)
    session.summary(summary)
    return summary


def _last_time(events: list[dict[str, Any]]) -> str | None:
    return next((e["ts"] for e in reversed(events) if "ts" in e), None)


def _catch_up(steps: dict[str, Any], ends: Mapping[str, Mapping[str, Any]]) -> None:
    """Let run.json know of the ends of steps what their events say: it is not renewed for each."""
    for name, end in ends.items():
        step = steps[name]
        step["status"] = end["event"].removeprefix("step_")
        if step["status"] == "complete":
            step |= {key: end[key] for key in STEP_FIGURES if key in end}


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
