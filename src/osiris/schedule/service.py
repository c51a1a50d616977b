"""The loop of `osiris schedule`: starts `osiris run` for each due time, in order, one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from signal import SIGTERM
from typing import TYPE_CHECKING

from osiris.api.feeding import find_feeders, lacks_input
from osiris.api.notifications import notify_late
from osiris.api.workspace import pipelines
from osiris.errors import OsirisError, diagnostic
from osiris.files import file_state
from osiris.oml.schedule import Schedule
from osiris.project_lock import hold_lock
from osiris.schedule.due import choose, last_due, next_due
from osiris.schedule.files import PipelineFile, Planned, find_pipelines, planned
from osiris.schedule.record import Entry, load_entries, save_entries
from osiris.schedule.status import SKIPPED, entry_late, find_failed, late_of, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set
    from pathlib import Path

    from osiris.api.feeding import Member
    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.files import FileState
    from osiris.model import JsonValue

    Feeders = Mapping[str, Sequence[Member]]
    """The pipelines that write what each one reads, by its name."""

BUSY = 75
_DONE_BEFORE = ("RUN009", "RUN032")
"""Notes of a command that found its run finished, as after a kill of this service."""
MAX_KILLS = 3
"""How often a run whose process is killed is started in all."""
_TICK = timedelta(minutes=1)
_SKEW = timedelta(days=1)
"""How far the record may be ahead of the clock; beyond that, the clock was wrong before, and schedules start now."""
_RETURN = timedelta(days=1)
"""How long the record of a missing file is kept: files are away for a moment when a repository is updated."""
_STOP = 60.0
"""Seconds that a run gets to end tidily when the service is stopped."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run to start for a due time, with the record of its pipeline.

    `missed` is the first earlier due time that is not caught up.
    """

    pipeline: Planned
    entry: Entry
    due: datetime
    missed: datetime | None = None

    @property
    def run_id(self) -> str:
        """The id of the run, the same whenever and however often it is started."""
        return f"{self.pipeline.name}-{self.due:%Y%m%dT%H%M%SZ}"


@dataclass(slots=True)
class Service:
    """One process that serves the schedules of a project.

    `open_project` opens it again at each tick, so that changed settings apply. `report` gets each event as JSON, with
    its `event`: begin, start, end, skipped or problem. `now` is the clock, in UTC, and `pause` waits for some seconds.
    """

    open_project: Callable[[], Workspace]
    report: Callable[[dict[str, JsonValue]], None]
    now: Callable[[], datetime]
    pause: Callable[[float], None]
    profile: str | None = None
    errors: int | None = subprocess.DEVNULL
    _known: dict[str, tuple[Diagnostic, ...]] = field(default_factory=dict)
    _fed: tuple[list[tuple[Path, FileState]], Feeders] | None = None

    def serve(self, *, once: bool = False) -> int:
        """Run what is due, once or until a signal ends the process; returns how many runs failed.

        Fails with RUN004 if another process serves this project, and as `open_project` at the start.
        """
        workspace, hint = self.open_project(), "one process serves all pipelines of a project"
        with hold_lock(workspace.project.schedule_lock, "osiris schedule", hint=hint):
            self._begin(workspace)
            failed = self.tick()
            while not once:
                self.pause(_until_next_minute(self.now()))
                failed += self.tick()
        return failed

    def _begin(self, workspace: Workspace) -> None:
        """Report what will run, and when."""
        upcoming = {each.name: next_due(each.schedule, self.now()) for each in planned(find_pipelines(workspace))}
        self._report(
            "begin", pipelines=[{"pipeline": name, "next_due": _text(due)} for name, due in upcoming.items() if due]
        )

    def tick(self) -> int:
        """Run everything that is due now; returns how many runs failed, counting a tick that cannot go on as one.

        A project that cannot be read or written now is reported once, and what is due stays due.
        """
        try:
            failed = self._run_due()
        except OsirisError as error:
            self._problems("", error.diagnostics)
            return 1
        self._problems("", ())
        return failed

    def _run_due(self) -> int:
        failed, busy = 0, set[str]()
        self._late(self.open_project())
        while job := self._next(workspace := self.open_project(), busy):
            code = self._skip(workspace, job) or self._run(workspace, job)
            failed += code != 0
            busy |= {job.pipeline.name} if code == BUSY else set()
        return failed

    def _late(self, workspace: Workspace) -> None:
        """Notify of what is late; sessions are read only if the record says that something may be.

        What cannot be sent is reported. Fails with SCH004 if the record cannot be read.
        """
        now, grace = self.now(), timedelta(seconds=workspace.config.get("schedule.late_after"))
        entries = load_entries(workspace.project) or {}
        if not any(entry_late(entry, now, grace) for entry in entries.values() if not entry.absent):
            return
        try:
            problems: Sequence[Diagnostic] = notify_late(workspace, late_of(status_of(workspace, now)))
        except OsirisError as error:
            problems = error.diagnostics
        if problems:
            self._report("problem", diagnostics=[each.to_json() for each in problems])

    def _problems(self, file: str, problems: Sequence[Diagnostic]) -> None:
        """Report the problems of a file, or of a tick (""), unless they are those reported last; no warnings."""
        reported = tuple(each for each in problems if each.severity != "warning")
        if reported and self._known.get(file) != reported:
            self._report("problem", diagnostics=[each.to_json() for each in reported])
        self._known[file] = reported

    def _report(self, event: str, **more: JsonValue) -> None:
        self.report({"at": _text(self.now()), "event": event, **more})

    def _next(self, workspace: Workspace, busy: Set[str]) -> Job | None:
        """Return the run to start now, the one that has been due longest; None if nothing but `busy` ones are due.

        New, changed and removed pipelines, and runs that are skipped, are recorded and reported first.
        """
        now, grace = self.now(), timedelta(seconds=workspace.config.get("schedule.late_after"))
        files = find_pipelines(workspace)
        for file in files:
            self._problems(file.file, file.problems)
        before = load_entries(workspace.project)
        if before is None:
            damaged = diagnostic("SCH001", path=workspace.project.schedule_record.relative_to(workspace.root))
            self._report("problem", diagnostics=[damaged.to_json()])
        entries = _current(files, before or {}, now)
        for name, missed in _given_up(before or {}, entries, now).items():
            self._report("skipped", pipeline=name, missed_since=_text(missed), catch_up=None)
        jobs = self._jobs(planned(files), entries, now, grace)
        if entries != before:
            save_entries(workspace.project, entries)
        return _first(jobs, busy, self._feeders(workspace) if len(jobs) > 1 else {})

    def _jobs(
        self, pipelines: Sequence[Planned], entries: dict[str, Entry], now: datetime, grace: timedelta
    ) -> list[Job]:
        """Return what is due of each pipeline; `entries` get the due times that are skipped for good."""
        jobs: list[Job] = []
        for each in pipelines:
            entry = entries[each.name]
            due, missed = (entry.started, None) if entry.started else choose(each.schedule, entry.handled, now, grace)
            job = Job(each, entry, due or now, missed)
            if due:
                jobs.append(job)
            elif missed:
                entries[each.name] = replace(entry, handled=last_due(each.schedule, entry.handled, now) or now)
                self._skipped(job)
        return jobs

    def _skipped(self, job: Job) -> None:
        """Report what is not caught up."""
        if job.missed:
            catch_up = job.pipeline.schedule.catch_up
            self._report("skipped", pipeline=job.pipeline.name, missed_since=_text(job.missed), catch_up=catch_up)

    def _skip(self, workspace: Workspace, job: Job) -> int:
        """Skip a run whose input a pipeline should have written that did not complete; returns 0 if there is none.

        A run that has begun is resumed. What is skipped is not made up for, like a run that failed.
        """
        feeders = () if job.entry.started else self._feeders(workspace).get(job.pipeline.name, ())
        failed = find_failed(workspace, {each.name for each in feeders}) if feeders else set()
        feeder = next((each for each in feeders if each.problems or each.name in failed), None)
        if feeder is None:
            return 0
        name, now = job.pipeline.name, self.now()
        hint = f"fix the cause, and run {job.pipeline.file}; else its next due time does"
        why = diagnostic(SKIPPED, pipeline=name, why=lacks_input(feeder.name), hint=hint)
        cause = f"{why.code} {why.message}"
        ended = replace(_after(job.entry, job.due, 1), ended=now, exit_code=1, cause=cause)
        save_entries(workspace.project, {**(load_entries(workspace.project) or {}), name: ended})
        missed, due = _text(job.missed or job.due), _text(job.due)
        about = {"pipeline": name, "missed_since": missed, "due": due, "run_id": job.run_id, "catch_up": None}
        self._report("skipped", **about, diagnostics=[why.to_json()])
        return 1

    def _feeders(self, workspace: Workspace) -> Feeders:
        """Return which pipelines feed each one; found again when a file of the project has changed.

        Those that a pipeline feeds in turn are left out: none of them is first. Empty if it cannot be told now: a run
        says why.
        """
        project = workspace.project
        files = (project.config_file, project.connections_file, project.lock_file, project.env_file)
        state = [(path, file_state(path)) for path in (*pipelines(workspace, strict=False), *files)]
        if self._fed is None or self._fed[0] != state:
            every: Feeders = {}
            with suppress(OsirisError):
                every = find_feeders(workspace)
            above = {name: _above(every, name) for name in every}
            fed = {name: [each for each in feeders if name not in above[each.name]] for name, feeders in every.items()}
            self._fed = state, fed
        return self._fed[1]

    def _run(self, workspace: Workspace, job: Job) -> int:
        """Start a run and wait for its end; returns its exit code. What happened is recorded before and after."""
        project, name = workspace.project, job.pipeline.name
        entries = load_entries(project) or {}
        entry = replace(job.entry, started=job.due)
        save_entries(project, {**entries, name: entry})
        self._skipped(job)
        self._report("start", pipeline=name, file=job.pipeline.file, due=_text(job.due), run_id=job.run_id)
        began = self.now()
        code, output = _wait(self._command(workspace, job), self.errors, lambda: self._late(workspace))
        end = _end(code, output)
        seconds = max(0.0, round((self.now() - began).total_seconds(), 1))
        self._report("end", pipeline=name, run_id=job.run_id, exit_code=code, seconds=seconds, **end)
        if code != BUSY:
            ended = replace(_after(entry, job.due, code), ended=self.now(), exit_code=code, cause=end["cause"])
            save_entries(project, {**entries, name: ended})
        return code

    def _command(self, workspace: Workspace, job: Job) -> list[str]:
        words = [sys.executable, "-P", "-m", "osiris.cli.main", "-C", str(workspace.root), "run", job.pipeline.file]
        profile = ["--profile", self.profile] if self.profile else []
        return [*words, "--run-id", job.run_id, "--json", *profile]


def _first(jobs: Sequence[Job], busy: Set[str], feeders: Feeders) -> Job | None:
    """Return the run that has been due longest, of those due at one time one that reads from none of the others.

    A pipeline waits for what is busy and feeds it, directly or through others; None if all wait.
    """
    above = {job.pipeline.name: _above(feeders, job.pipeline.name) for job in jobs}
    ready = [job for job in jobs if busy.isdisjoint({job.pipeline.name, *above[job.pipeline.name]})]
    earliest = min((job.due for job in ready), default=None)
    tied = {job.pipeline.name: job for job in sorted(ready, key=lambda job: job.pipeline.name) if job.due == earliest}
    return next((job for name, job in tied.items() if above[name].isdisjoint(tied)), None)


def _above(feeders: Feeders, name: str) -> set[str]:
    """Return the pipelines that feed one directly or through others; itself too if they feed each other in a circle."""
    above: set[str] = set()
    waiting = [name]
    while waiting:
        new = {each.name for each in feeders.get(waiting.pop(), ())} - above
        above |= new
        waiting += new
    return above


def _current(files: Sequence[PipelineFile], before: Mapping[str, Entry], now: datetime) -> dict[str, Entry]:
    """Return the record for the pipelines as they are now. Those without a schedule are left out."""
    names = {each.file: each.name for each in files}
    others = {name: entry for name, entry in before.items() if name not in names.values()}
    kept = {name: _kept(entry, names, now) for name, entry in others.items()}
    current = {name: entry for name, entry in kept.items() if entry}
    return current | {each.name: _entry(each, before.get(each.name), now) for each in planned(files)}


def _kept(entry: Entry, names: Mapping[str, str | None], now: datetime) -> Entry | None:
    """Return the entry of a pipeline that no file has now; None if it is not expected to return.

    `names` are those of all files. It may return while its file is broken, and for `_RETURN` while that is missing.
    """
    if entry.file in names:
        return None if names[entry.file] else entry
    is_gone = entry.absent is not None and now - entry.absent >= _RETURN
    return None if is_gone else replace(entry, absent=entry.absent or now)


def _entry(each: Planned, entry: Entry | None, now: datetime) -> Entry:
    """Return the entry of a pipeline. A new or changed schedule starts now, as after a clock that was far ahead."""
    cron, zone = each.schedule.cron, each.schedule.zone
    if entry is None:
        return Entry(each.file, cron, zone, now)
    is_valid = (entry.cron, entry.zone) == (cron, zone) and entry.handled <= now + _SKEW
    handled = entry.handled if is_valid else now
    return replace(entry, file=each.file, cron=cron, zone=zone, handled=handled, absent=None)


def _given_up(before: Mapping[str, Entry], entries: Mapping[str, Entry], now: datetime) -> dict[str, datetime]:
    """Return the pipelines whose schedule is gone or another one, each with its first due time that did not run."""
    schedules = {name: (entry.cron, entry.zone) for name, entry in entries.items()}
    ended = {name: entry for name, entry in before.items() if schedules.get(name) != (entry.cron, entry.zone)}
    firsts = {name: next_due(Schedule(entry.cron, entry.zone), entry.handled) for name, entry in ended.items()}
    return {name: first for name, first in firsts.items() if first and first <= now}


def _after(entry: Entry, due: datetime, code: int) -> Entry:
    """Return the entry after a run has ended; a run whose process was killed is started again."""
    if code < 0 and entry.kills + 1 < MAX_KILLS:
        return replace(entry, kills=entry.kills + 1)
    return replace(entry, started=None, kills=0, handled=max(due, entry.handled))


def _wait(command: Sequence[str], errors: int | None, meanwhile: Callable[[], None]) -> tuple[int, bytes]:
    """Run a command to its end, and call `meanwhile` each minute; returns exit code and output.

    If this process is told to stop, so is the command.
    """
    inputs = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=inputs, stdout=subprocess.PIPE, stderr=errors, process_group=0) as process:
        try:
            output = _read(process, meanwhile)
        finally:
            if process.poll() is None:
                _stop(process)
    return process.returncode, output


def _read(process: subprocess.Popen[bytes], meanwhile: Callable[[], None]) -> bytes:
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_TICK.total_seconds())[0]
        with suppress(OsirisError):  # must not end the run; the next tick reports it
            meanwhile()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(SIGTERM)
    try:
        process.communicate(timeout=_STOP)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()


def _end(code: int, output: bytes) -> dict[str, JsonValue]:
    """Return status, session, cause and warnings of a run from its answer, as far as it gave one."""
    try:
        answer = json.loads(output)
        data, diagnostics = answer["data"] or {}, answer["diagnostics"]
    except (ValueError, LookupError, TypeError):
        data, diagnostics = {}, []
    first = next((each for each in diagnostics if each["severity"] == "error"), None)
    cause = f"{first['code']} {first['message']}" if first else None
    if code < 0:
        cause = f"its process was killed by signal {-code}"
    status = data.get("status") or ("busy" if code == BUSY else "failed")
    if code == 0 and any(each["code"] in _DONE_BEFORE for each in diagnostics):
        status = "already complete"
    warnings = [each for each in diagnostics if each["severity"] == "warning"]
    return {"status": status, "session": data.get("session"), "cause": cause if code else None, "warnings": warnings}


def _until_next_minute(now: datetime) -> float:
    return _TICK.total_seconds() - now.second - now.microsecond / 1e6


def _text(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
