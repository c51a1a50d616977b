"""What is read of runs and pipelines, kept between requests: thousands of files are read once, not for each page."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from osiris.files import file_state
from osiris.history.record import plan_of, target_of
from osiris.project_lock import is_held
from osiris.schedule.files import find_pipelines, read_file
from osiris.schedule.status import errors_in, status_of
from osiris.session.finding import session_folders
from osiris.session.stored import CONVERSATION, read_summary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.api.pipelines import Names
    from osiris.errors import Diagnostic
    from osiris.files import FileState
    from osiris.model import JsonValue
    from osiris.project import Project
    from osiris.schedule.files import PipelineFile
    from osiris.schedule.status import PipelineStatus

    Run: TypeAlias = Mapping[str, JsonValue]

_MOMENT = 1_000_000_000
"""Nanoseconds after which a change of a folder has another time than the last one, on any file system."""

_KEPT = (
    *("session", "kind", "pipeline", "status", "started_at", "ended_at", "duration_ms", "adapter"),
    *("rows_in", "rows_out", "diagnostics", "run_key", "continues", "replays"),
)
_KEPT_OF_STEPS = ("mode", "status", "rows_rejected")


@dataclass(slots=True)
class Records:
    """Runs and pipelines of one project. The record of an ended run is read once: it does not change any more."""

    _runs: dict[str, Run] = field(default_factory=dict)
    _listed: tuple[int, list[Path]] = (0, [])
    _files: dict[Path, tuple[FileState, PipelineFile]] = field(default_factory=dict)
    _errors: dict[str, tuple[FileState, tuple[Diagnostic, ...]]] = field(default_factory=dict)
    _targets: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _workspace: Workspace | None = None
    _lock: Lock = field(default_factory=Lock)

    def runs(self, workspace: Workspace) -> list[Run]:
        """Return all runs and replays, the newest first: the keys of run.json that lists show."""
        with self._lock:
            folders = self._folders(workspace.project)
            read = {folder.name: self._runs.get(folder.name) or _current(folder) for folder in folders}
            readable = {name: run for name, run in read.items() if run is not None}
            self._runs = {name: run for name, run in readable.items() if run.get("ended_at")}
            return [run for run in readable.values() if run["kind"] != CONVERSATION]

    def _folders(self, project: Project) -> list[Path]:
        """Return the folders of all sessions; they are listed again once one was added or removed."""
        state = file_state(project.logs)
        changed = state[0] if state else 0
        if changed == 0 or self._listed[0] != changed:
            folders = session_folders(project)
            # What changes at once afterwards may have the same time, so the list of a moment ago is not kept.
            self._listed = changed if time.time_ns() - changed > _MOMENT else 0, folders
        return self._listed[1]

    def statuses(self, workspace: Workspace, runs: list[Run], now: datetime) -> list[PipelineStatus]:
        """Return the status of each pipeline; `runs` are those of `runs`, and `now` is in UTC."""
        with self._lock:
            if self._workspace is not workspace:
                self._files, self._errors, self._workspace = {}, {}, workspace
            files = find_pipelines(workspace, self._read)
            return status_of(workspace, now, files, runs, self._check)

    def _check(self, workspace: Workspace, file: str, names: Names) -> tuple[Diagnostic, ...]:
        state, kept = file_state(workspace.root / file), self._errors.get(file)
        if kept is None or kept[0] != state:
            kept = self._errors[file] = state, errors_in(workspace, file, names)
        return kept[1]

    def _read(self, workspace: Workspace, path: Path) -> PipelineFile:
        state, kept = file_state(path), self._files.get(path)
        if kept is None or kept[0] != state:
            kept = self._files[path] = state, read_file(workspace, path)
        return kept[1]

    def targets(self, workspace: Workspace, session: str) -> Mapping[str, str]:
        """Return what each write step of a run writes, by its plan; empty if the plan is gone."""
        if session not in self._targets:
            plan = plan_of(workspace.project.logs / session)
            steps = plan.steps if plan else ()
            self._targets[session] = {
                step["id"]: target_of(step) or step["id"] for step in steps if step["mode"] == "write"
            }
        return self._targets[session]


def _current(folder: Path) -> Run | None:
    """Return what is kept of a session; a run whose process no longer exists is lost, if recorded so or not."""
    run = _summary(folder)
    if run is None or run["status"] != "running" or run["kind"] == CONVERSATION or is_held(folder / "events.jsonl"):
        return run
    again = _summary(folder)  # it may have ended between both looks
    return {**again, "status": "lost"} if again and again["status"] == "running" else again


def _summary(folder: Path) -> Run | None:
    """Return what is kept of a session's run.json; None if it is missing or damaged."""
    run = read_summary(folder)
    if run is None or run.get("kind") == CONVERSATION:
        return run and {key: run[key] for key in ("session", "kind", "status")}
    steps = {name: {key: step.get(key) for key in _KEPT_OF_STEPS} for name, step in run["steps"].items()}
    return {**{key: run.get(key) for key in _KEPT}, "steps": steps, "deliveries": frozenset(run["deliveries"])}
