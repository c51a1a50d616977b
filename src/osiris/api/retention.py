"""Removing sessions that are no longer needed: by age, size and number, and never one that still is."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.durable import PRIVATE_FOLDER, move
from osiris.errors import OsirisError, diagnostic, fail
from osiris.fault import fault
from osiris.project_lock import is_held
from osiris.session import CONVERSATION, iter_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.project import Project

    Run = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Limits:
    """What may stay: sessions that began at most `age` seconds ago, the `keep` newest of each pipeline, and at most
    `size` bytes in all, of which the oldest go first. None is no limit.
    """

    age: float | None = None
    size: int | None = None
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A session that stays although a limit says otherwise, and why."""

    session: str
    reason: str


@dataclass(frozen=True, slots=True)
class Swept:
    """What goes (`removed`, the oldest first, with bytes), what had to stay, and how much there was before."""

    removed: tuple[tuple[str, int], ...]
    kept: tuple[Kept, ...]
    bytes_before: int
    sessions_before: int
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def bytes_removed(self) -> int:
        """Return how much goes."""
        return sum(size for _, size in self.removed)

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as plain data, without diagnostics."""
        return {
            "removed": [{"session": name, "bytes": size} for name, size in self.removed],
            "kept": [{"session": each.session, "reason": each.reason} for each in self.kept],
            "bytes_removed": self.bytes_removed,
            "bytes_before": self.bytes_before,
            "sessions_before": self.sessions_before,
        }


def sweep(workspace: Workspace, limits: Limits, *, dry_run: bool = False, now: float | None = None) -> Swept:
    """Remove sessions beyond the limits, or with `dry_run` only say which; fails with PRJ008 if there is no limit.

    Runs in progress stay, the newest success of each pipeline, runs that may still be continued, and those whose
    outputs are kept for that. `now` is in seconds since the epoch.
    """
    if limits == Limits():
        fail("PRJ008", problem="no limit was given", hint="give --older-than, --max-size or --keep")
    project, moment = workspace.project, time.time() if now is None else now
    runs = list(iter_records(project))
    needed = _needed(project, runs, workspace.config.get("run.continue_within"), moment)
    sizes = {run["session"]: _size(project.logs / run["session"]) for run in runs}
    beyond = _beyond(runs, sizes, needed, limits, moment)
    going = [name for name in reversed(beyond) if name not in needed]
    failed = [] if dry_run else [item for name in going if (item := _remove(project, name))]
    if going and not dry_run:
        _renew_indexes(project)
    return Swept(
        tuple((name, sizes[name]) for name in going),
        tuple(Kept(name, needed[name]) for name in beyond if name in needed),
        sum(sizes.values()),
        len(runs),
        tuple(failed),
    )


def _renew_indexes(project: Project) -> None:
    """Let the catalogue of packages, and the page over runs if there is one, name only what is still there."""
    from osiris.aiop import lead_to_newest, load_catalogue
    from osiris.api.reports import write_index

    with suppress(OsirisError, OSError):
        load_catalogue(project)
        lead_to_newest(project)
        write_index(project)


def _beyond(
    runs: Sequence[Run], sizes: dict[str, int], needed: dict[str, str], limits: Limits, now: float
) -> list[str]:
    """Return the sessions that a limit says should go, the newest first; what stays counts against the size."""
    found, seen = dict[str, None](), dict[str, int]()
    for run in runs:
        pipeline = CONVERSATION if run.get("kind") == CONVERSATION else str(run.get("pipeline"))
        seen[pipeline] = seen.get(pipeline, 0) + 1
        too_old = limits.age is not None and _age(run, now) > limits.age
        if too_old or (limits.keep is not None and seen[pipeline] > limits.keep):
            found[run["session"]] = None
    left = sum(size for name, size in sizes.items() if name not in found or name in needed)
    for run in reversed(runs):
        name = run["session"]
        if limits.size is None or left <= limits.size:
            break
        if name not in found:
            found[name] = None
            left -= 0 if name in needed else sizes[name]
    return [run["session"] for run in runs if run["session"] in found]


def _needed(project: Project, runs: Sequence[Run], within: float, now: float) -> dict[str, str]:
    """Return the sessions that have to stay, with the reason."""
    found: dict[str, str] = {}
    succeeded: set[str] = set()
    for run in runs:
        name, pipeline = run["session"], str(run.get("pipeline"))
        if (project.logs / name).is_symlink():
            found[name] = "it is a link to another place"
        elif run["status"] == "running" or is_held(project.logs / name / "events.jsonl"):
            found[name] = "it is under way"
        elif run.get("kind") == "run" and run["status"] == "complete" and pipeline not in succeeded:
            found[name] = f"it is the newest success of '{pipeline}'"
            succeeded.add(pipeline)
        elif (project.spools / name).exists():
            found[name] = "outputs of its steps are kept for the run that continues it"
        elif run.get("kind") == "run" and run["status"] != "complete" and _age(run, now) <= within:
            found[name] = "it may still be continued"
    return found


def _age(run: Run, now: float) -> float:
    return now - datetime.fromisoformat(run["started_at"]).timestamp()


def _size(folder: Path) -> int:
    return sum(_bytes(Path(parent) / file) for parent, _, files in os.walk(folder) for file in files)


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _remove(project: Project, name: str) -> Diagnostic | None:
    """Take a session out of sight at once, then remove it; returns what went wrong."""
    doomed = project.state / "removed"
    try:
        doomed.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        move(project.logs / name, doomed / name)
        for each in doomed.iterdir():  # an earlier sweep may have been killed here
            fault("session.remove")
            shutil.rmtree(each)
    except OSError as error:
        return diagnostic("AIO013", session=name, reason=error.strerror or type(error).__name__)
    return None
