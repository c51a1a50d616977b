"""What is due, late, failing or running, for each pipeline of a project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeAlias

from osiris.history.failures import cause_code
from osiris.oml.schedule import Schedule
from osiris.schedule.due import next_due
from osiris.schedule.files import PipelineFile, find_pipelines
from osiris.schedule.record import Entry, load_entries
from osiris.session.finding import iter_sessions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

State: TypeAlias = Literal["ok", "late", "failing", "running", "never run", "broken file"]

BAD: tuple[State, ...] = ("late", "failing", "broken file")
"""States that `osiris status --check` reports."""


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """How one pipeline stands; times are in UTC.

    `name` is that of the last readable version of a broken file, if `osiris schedule` knows it. `last` is the run.json
    of its last run. `late` is the first due time that nothing has run for, longer ago than `schedule.late_after`;
    `cause` says why the last run failed, and `problems` what is wrong with the file, or its schedule.
    """

    file: str
    name: str | None
    state: State
    schedule: Schedule | None = None
    last: Mapping[str, JsonValue] | None = None
    next_due: datetime | None = None
    late: datetime | None = None
    cause: str | None = None
    problems: tuple[Diagnostic, ...] = ()


def status_of(
    workspace: Workspace,
    now: datetime,
    files: Sequence[PipelineFile] | None = None,
    sessions: Iterable[Mapping[str, JsonValue]] | None = None,
) -> list[PipelineStatus]:
    """Return the status of each file of pipelines/, sorted by file; reads no source and resolves no secret.

    A run of any origin counts, so it also tells what other schedulers are late with. `now` is in UTC. `files` and
    `sessions`, the newest first, are those of the project, if they are known.
    """
    files = find_pipelines(workspace) if files is None else files
    sessions = iter_sessions(workspace.project) if sessions is None else sessions
    entries = load_entries(workspace.project) or {}
    runs = _last_runs(sessions, {each.name for each in files if each.name})
    grace = timedelta(seconds=workspace.config.get("schedule.late_after"))
    return [_status(workspace, each, entries, runs, now, grace) for each in files]


def late_of(every: Iterable[PipelineStatus]) -> dict[str, datetime]:
    """Return the late pipelines by name, each with the due time that it is late with."""
    return {each.name: each.late for each in every if each.name and each.late}


def _last_runs(
    sessions: Iterable[Mapping[str, JsonValue]], names: Collection[str]
) -> dict[str, Mapping[str, JsonValue]]:
    """Return the run.json of the last run of each pipeline that has one."""
    runs: dict[str, Mapping[str, JsonValue]] = {}
    own = (run for run in sessions if run.get("kind") != "replay" and run["pipeline"] in names)
    fresh = (run for run in own if runs.setdefault(run["pipeline"], run) is run)
    for _ in islice(fresh, len(names)):
        pass
    return runs


def _status(
    workspace: Workspace,
    file: PipelineFile,
    entries: Mapping[str, Entry],
    runs: Mapping[str, Mapping[str, JsonValue]],
    now: datetime,
    grace: timedelta,
) -> PipelineStatus:
    if file.name is None:
        return _broken(file, entries, now, grace)
    entry, last = entries.get(file.name), runs.get(file.name)
    base = _base(workspace, file, entry, last)
    late = late_since(file.schedule, base, now, grace)
    cause = _cause(entry, last)
    states: tuple[tuple[State, object], ...] = (
        ("late", late),
        ("running", last and last["status"] == "running"),
        ("failing", cause),
        ("ok", last),
        ("never run", True),
    )
    state = next(state for state, holds in states if holds)
    upcoming = next_due(file.schedule, now) if file.schedule else None
    return PipelineStatus(file.file, file.name, state, file.schedule, last, upcoming, late, cause, file.problems)


def _broken(file: PipelineFile, entries: Mapping[str, Entry], now: datetime, grace: timedelta) -> PipelineStatus:
    """Return the status of a broken file, with what its last readable version is late with."""
    before = next(((name, entry) for name, entry in entries.items() if entry.file == file.file), None)
    name, late = (before[0], entry_late(before[1], now, grace)) if before else (None, None)
    return PipelineStatus(file.file, name, "broken file", late=late, problems=file.problems)


def late_since(schedule: Schedule | None, handled: datetime, now: datetime, grace: timedelta) -> datetime | None:
    """Return the first due time after `handled` if it is longer ago than `grace`; else None."""
    first = next_due(schedule, handled) if schedule else None
    return first if first and now - first > grace else None


def entry_late(entry: Entry, now: datetime, grace: timedelta) -> datetime | None:
    """Return since when a pipeline is late by its record alone; None if it is not."""
    return late_since(Schedule(entry.cron, entry.zone), entry.handled, now, grace)


def _base(
    workspace: Workspace, file: PipelineFile, entry: Entry | None, last: Mapping[str, JsonValue] | None
) -> datetime:
    """Return the time up to which everything due was handled: by this scheduler, or by a run that started later.

    For a schedule that no process has seen, that is when its file was changed.
    """
    times = [datetime.fromisoformat(last["started_at"])] if last else []
    is_known = entry and file.schedule and (entry.cron, entry.zone) == (file.schedule.cron, file.schedule.zone)
    if entry:
        times.append(entry.handled)
    if not is_known:
        times.append(datetime.fromtimestamp((workspace.root / file.file).stat().st_mtime, UTC))
    return max(times)


def _cause(entry: Entry | None, last: Mapping[str, JsonValue] | None) -> str | None:
    """Return why the last run failed; None if it did not. One that could not begin has no session, only an entry."""
    started = datetime.fromisoformat(last["started_at"]) if last else None
    if entry and entry.exit_code and entry.ended and (started is None or entry.ended > started):
        return entry.cause or f"exit code {entry.exit_code}"
    return _cause_of(last) if last else None


def _cause_of(run: Mapping[str, JsonValue]) -> str | None:
    return None if run["status"] in ("complete", "running") else cause_code(run) or str(run["status"])
