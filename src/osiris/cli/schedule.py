"""`osiris schedule`: run pipelines when they are due; `osiris status`: what is due, late or failing."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from signal import SIGINT, Signals
from typing import TYPE_CHECKING

from osiris.cli.command import PROFILE, answers, console, flag, opened, take_warnings
from osiris.cli.render import Answer, diagnostic_lines, table
from osiris.errors import Diagnostic, Location, diagnostic
from osiris.units import count

if TYPE_CHECKING:
    from osiris.api import Workspace
    from osiris.cli.render import Line
    from osiris.model import JsonValue
    from osiris.schedule.status import PipelineStatus

_STYLES = {
    "complete": "ok",
    "already complete": "ok",
    "skipped": "ok",
    "failed": "error",
    "lost": "error",
    "busy": "warning",
}


@answers("schedule", flag("--once", "Run what is due now, then exit."), PROFILE)
def schedule(once: bool, profile: str | None) -> Answer:
    """Run pipelines when their schedules say so.

    A pipeline's file says when it runs, under 'schedule'. This command runs until Ctrl-C and reads the files again each
    minute. Runs start one after the other, each with a run id of its pipeline and due time, so that nothing runs twice.
    With --json, each line is an event.
    """
    import subprocess

    from osiris.schedule.service import Service

    errors = None if console().verbose else subprocess.DEVNULL
    service = Service(lambda: _opened(profile), _report, _now, time.sleep, profile, errors)
    try:
        failed = service.serve(once=once)
    except KeyboardInterrupt as stopped:
        number = getattr(stopped, "number", SIGINT)
        line = "stopped; if a run was in progress, the next start resumes it"
        return Answer({"stopped": Signals(number).name}, [line], exit_code=128 + number)
    return Answer({"failed": failed}, exit_code=1 if failed else 0)


def _opened(profile: str | None) -> Workspace:
    """Open the project; what could not be reported of lost runs is an event."""
    workspace = opened(profile)
    if problems := take_warnings():
        diagnostics: list[JsonValue] = [each.to_json() for each in problems]
        _report({"at": f"{_now():%Y-%m-%dT%H:%M:%SZ}", "event": "problem", "diagnostics": diagnostics})
    return workspace


def _now() -> datetime:
    return datetime.now(UTC)


def _report(event: dict[str, JsonValue]) -> None:
    """Print an event of the service."""
    console().event(event, _event_lines(event))


def _event_lines(event: dict[str, JsonValue]) -> list[Line]:
    kind = event["event"]
    if kind == "problem":
        return diagnostic_lines([Diagnostic.from_json(each) for each in event["diagnostics"]])
    head = [("dim", f"{event['at']}  ")]
    if kind == "begin":
        return [[*head, ("", _plan(event["pipelines"]))]]
    if kind == "start":
        return [[*head, ("", f"started    {event['pipeline']}  run id {event['run_id']}")]]
    if kind == "skipped" and "diagnostics" in event:
        reasons = diagnostic_lines([Diagnostic.from_json(each) for each in event["diagnostics"]])
        return [[*head, ("warning", "skipped  "), ("", f"  {event['pipeline']}  run id {event['run_id']}")], *reasons]
    if kind == "skipped":
        why = f"catch_up: {event['catch_up']}" if event["catch_up"] else "its schedule was changed or removed"
        words = f"{event['pipeline']}  missed since {event['missed_since']} ({why})"
        return [[*head, ("", f"skipped    {words}")]]
    status, session = event["status"], f"  session {event['session']}" if event["session"] else ""
    why = f"  {event['cause']}" if event["cause"] else ""
    text = f"  {event['pipeline']}  {event['seconds']:g} s{session}{why}"
    warnings = diagnostic_lines([Diagnostic.from_json(each) for each in event["warnings"]])
    return [[*head, (_STYLES.get(status, ""), status.ljust(9)), ("", text)], *warnings]


def _plan(pipelines: list[dict[str, str]]) -> str:
    """Return how many pipelines will run, and the first of them."""
    if not pipelines:
        return "no pipeline has a schedule"
    first = min(pipelines, key=lambda each: each["next_due"])
    scheduled = count(len(pipelines), "pipeline")
    return f"scheduled  {scheduled}, the next is {first['pipeline']} at {first['next_due']}"


_COLUMNS = ("pipeline", "status", "schedule", "last run (UTC)", "next due (UTC)")


@answers("status", flag("--check", "Exit 1 if a pipeline is late, failing, skipped or broken."), PROFILE)
def status(check: bool, profile: str | None) -> Answer:
    """Show what is due, late or failing.

    Each pipeline has a line with its schedule, its last run and when it is due next. It is late if it was due more than
    schedule.late_after ago and has not run since.
    """
    from osiris.schedule.status import status_of

    workspace = opened(profile)
    every = status_of(workspace, _now())
    text = table([_row(each) for each in every], _COLUMNS) if every else ["no pipelines yet"]
    notes = [problem for each in every for problem in each.problems if problem.severity == "note"]
    answer = Answer({"pipelines": [_data(each) for each in every]}, text, notes)
    return _checked(workspace, every, answer) if check else answer


def _checked(workspace: Workspace, every: list[PipelineStatus], answer: Answer) -> Answer:
    """Return the answer with what is late, failing, skipped or broken; notifies of what is late."""
    from osiris.api.notifications import notify_late
    from osiris.schedule.status import BAD, late_of

    bad = [each for each in every if each.state in BAD]
    problems = [problem for each in bad for problem in _problems(each)]
    problems += notify_late(workspace, late_of(every))
    return replace(answer, diagnostics=[*answer.diagnostics, *problems], exit_code=1 if bad else 0)


def _problems(each: PipelineStatus) -> list[Diagnostic]:
    """Return what `--check` reports of a pipeline."""
    at = Location(each.file)
    late = [diagnostic("SCH002", at=at, name=each.name, due=_minute(each.late))] if each.late else []
    failed = each.last if each.last and each.last["status"] != "complete" else None
    hint = f"see 'osiris explain {failed['session']}'" if failed else None
    hint = "fix the cause, and run the pipeline" if each.state == "skipped" else hint
    failing = [diagnostic("SCH003", at=at, name=each.name, cause=each.cause, hint=hint)] if each.cause else []
    broken = [problem for problem in each.problems if problem.severity != "note"]
    return [*broken, *late, *failing]


def _row(each: PipelineStatus) -> list[str]:
    when = each.schedule
    zone = f" {when.zone}" if when and when.zone != "UTC" else ""
    last = datetime.fromisoformat(each.last["started_at"]) if each.last else None
    name, cron = each.name or each.file, f"{when.cron}{zone}" if when else ""
    return [name, each.state, cron, _minute(last), _minute(each.next_due)]


def _minute(instant: datetime | None) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}" if instant else ""


def _data(each: PipelineStatus) -> dict[str, JsonValue]:
    when, last = each.schedule, each.last
    return {
        "file": each.file,
        "name": each.name,
        "state": each.state,
        "schedule": {"cron": when.cron, "zone": when.zone, "catch_up": when.catch_up} if when else None,
        "last": {key: last.get(key) for key in ("session", "status", "started_at", "ended_at", "run_key")}
        if last
        else None,
        "next_due": each.next_due.isoformat() if each.next_due else None,
        "late_since": each.late.isoformat() if each.late else None,
        "cause": each.cause,
        "problems": [problem.to_json() for problem in each.problems],
    }
