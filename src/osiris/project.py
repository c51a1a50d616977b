"""The layout of a project: the only module with names of its files and folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.path_policy import BUILD, CONNECTIONS_FILE, ENV_FILE, LOCK_FILE, LOGS, MARKER, PIPELINES, STATE

if TYPE_CHECKING:
    from collections.abc import Mapping

PIPELINE_ENDINGS = (".yaml", ".yml", ".oml")
"""Suffixes of files in pipelines/."""


class _Below:
    """A path below the root of a project."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __get__(self, project: Project, _owner: type[Project]) -> Path:
        return project.root.joinpath(*self._parts)


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder; every path is below `root`, which is absolute."""

    root: Path

    config_file = _Below(MARKER)
    """Configuration; marks the root of a project."""
    connections_file = _Below(CONNECTIONS_FILE)
    """Declared connections, without secrets."""
    lock_file = _Below(LOCK_FILE)
    """The pinned schemas of sources; to be committed."""
    env_file = _Below(ENV_FILE)
    """Environment variables of this machine; not to be committed."""
    pipelines = _Below(PIPELINES)
    """OML files."""
    output = _Below("output")
    """Drafts, and the default folder for outputs."""
    build = _Below(BUILD)
    """Compiled plans, one folder per pipeline and fingerprint; to be committed."""
    logs = _Below(LOGS)
    """One folder per session."""
    state = _Below(STATE)
    """Locks, caches and the last compile; can be rebuilt."""
    shared_lock = _Below(STATE, "shared.lock")
    """Locked for a moment by who reads or changes what all commands share."""
    locks = _Below(STATE, "locks")
    """Two files for each pipeline: one is locked by its run, the other by the worker of that."""
    schedule_lock = _Below(STATE, "schedule.lock")
    """Locked while `osiris schedule` runs the pipelines of this project."""
    schedule_record = _Below(STATE, "schedule.json")
    """What `osiris schedule` has run, by pipeline; without it, missed runs are not caught up."""
    open_sessions = _Below(STATE, "open")
    """One empty file per session that has not ended."""
    scratch = _Below(STATE, "scratch")
    """Spools and other temporary files, one folder per session."""
    spools = _Below(STATE, "spools")
    """Outputs of completed steps, kept while their run may be continued, one folder per session."""
    catalogue = _Below(STATE, "runs.jsonl")
    """Records of the packages of all runs, one per line; can be rebuilt from the sessions."""
    notifications = _Below(STATE, "notifications.jsonl")
    """What was reported, and to which channels, one per line: nothing is sent twice."""
    cache = _Below(STATE, "cache", "compile.sqlite")
    """Cache of compiles; may be removed at any time."""
    wheels = _Below(STATE, "cache", "wheels")
    """Packages downloaded for bare sandboxes, one folder per platform; may be removed at any time."""
    last_compile = _Below(STATE, "last_compile.json")
    """The last compiled manifest."""


def find_project(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Project:
    """Return the project of `start`: the nearest folder at or above it with osiris.yaml.

    `start` defaults to `OSIRIS_HOME`, else to the working directory. Fails with PRJ001 if there is none.
    """
    begin = Path(start or environ.get("OSIRIS_HOME") or os.curdir)
    folder = Path(os.path.realpath(begin))
    markers = (each / MARKER for each in (folder, *folder.parents))
    marker = next((each for each in markers if os.access(each, os.R_OK) and each.is_file()), None)
    if marker is None:
        fail("PRJ001", start=begin)
    return Project(marker.parent)
