"""What is due, late, failing or running, for each pipeline of a project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeAlias

from osiris.api.pipelines import declared_names, validate_file
from osiris.history.failures import cause_code
from osiris.oml.schedule import Schedule
from osiris.schedule.due import next_due
from osiris.schedule.files import PipelineFile, find_pipelines
from osiris.schedule.record import Entry, load_entries
from osiris.session.finding import iter_sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from osiris.api.pipelines import Names
    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

State: TypeAlias = Literal["ok", "late", "failing", "skipped", "running", "never run", "broken file"]

BAD: tuple[State, ...] = ("late", "failing", "skipped", "broken file")
"""States that `osiris status --check` reports."""

Check: TypeAlias = "Callable[[Workspace, str, Names], tuple[Diagnostic, ...]]"
"""Returns the errors of a file of the project."""

SKIPPED = "RUN062"
"""The code of a pipeline that was not run, as what it reads was not written."""


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """How one pipeline stands; times are in UTC.

    `name` of a broken file is that of its last readable version if `osiris schedule` has one, else as it is written.
    `last` is the run.json of its last run. `late` is the first due time that nothing has run for, longer ago than
    `schedule.late_after`; `cause` says why the last run failed or was skipped, and `problems` what is wrong with the
    file, or its schedule.
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
    check: Check | None = None,
) -> list[PipelineStatus]:
    """Return the status of each file of pipelines/, sorted by file; reads no source and resolves no secret.

    A run of any origin counts, so it also tells what other schedulers are late with. `now` is in UTC. `files` and
    `sessions`, the newest first, are those of the project, and `check` is `errors_in`, if they are known from before.
    """
    files = find_pipelines(workspace) if files is None else files
    sessions = iter_sessions(workspace.project) if sessions is None else sessions
    entries = load_entries(workspace.project) or {}
    runs = _last_runs(sessions, {name for each in files if (name := each.name or each.written)})
    grace = timedelta(seconds=workspace.config.get("schedule.late_after"))
    names = declared_names(workspace)
    return [_status(workspace, each, entries, runs, now, grace, names, check or errors_in) for each in files]


def errors_in(workspace: Workspace, file: str, names: Names) -> tuple[Diagnostic, ...]:
    """Return the errors of a file of the project; none if it is valid. `names` are as for `validate_file`."""
    checked = validate_file(workspace, workspace.root / file, params={}, names=names)
    return () if checked.ok else tuple(each for each in checked.diagnostics if each.severity == "error")


def find_failed(workspace: Workspace, names: Collection[str]) -> set[str]:
    """Return the pipelines whose last run did not complete, or was skipped for that reason."""
    entries, runs = load_entries(workspace.project) or {}, _last_runs(iter_sessions(workspace.project), names)
    return {name for name in names if _cause(entries.get(name), runs.get(name))}


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
    names: Names,
    check: Check,
) -> PipelineStatus:
    if file.name is None:
        return _broken(file, entries, runs, now, grace)
    entry, last = entries.get(file.name), runs.get(file.name)
    base = _base(workspace, file, entry, last)
    late = late_since(file.schedule, base, now, grace)
    cause = _cause(entry, last)
    problems = check(workspace, file.file, names)
    states: tuple[tuple[State, object], ...] = (
        ("broken file", problems),
        ("late", late),
        ("running", last and last["status"] == "running"),
        ("skipped", cause and cause.startswith(f"{SKIPPED} ")),
        ("failing", cause),
        ("ok", last),
        ("never run", True),
    )
    state = next(state for state, holds in states if holds)
    upcoming = next_due(file.schedule, now) if file.schedule else None
    return PipelineStatus(
        file.file, file.name, state, file.schedule, last, upcoming, late, cause, (*problems, *file.problems)
    )


def _broken(
    file: PipelineFile,
    entries: Mapping[str, Entry],
    runs: Mapping[str, Mapping[str, JsonValue]],
    now: datetime,
    grace: timedelta,
) -> PipelineStatus:
    """Return the status of a broken file, with its last run, and what its last readable version is late with."""
    before = next(((name, entry) for name, entry in entries.items() if entry.file == file.file), None)
    name, late = (before[0], entry_late(before[1], now, grace)) if before else (file.written, None)
    return PipelineStatus(file.file, name, "broken file", last=runs.get(name or ""), late=late, problems=file.problems)


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
