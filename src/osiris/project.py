"""Where everything of a project lies: the only place with names of folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.path_policy import CONNECTIONS_FILE, ENV_FILE, LOCK_FILE, LOGS, MARKER, STATE

if TYPE_CHECKING:
    from collections.abc import Mapping

PIPELINE_ENDINGS = (".yaml", ".yml", ".oml")
"""How the names of files in pipelines/ end."""


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder; every path is below `root`, which is absolute."""

    root: Path

    @property
    def config_file(self) -> Path:
        """Configuration, and the mark of the root."""
        return self.root / MARKER

    @property
    def connections_file(self) -> Path:
        """Declared connections, without secrets."""
        return self.root / CONNECTIONS_FILE

    @property
    def lock_file(self) -> Path:
        """The pinned schemas of sources; to be committed."""
        return self.root / LOCK_FILE

    @property
    def env_file(self) -> Path:
        """Environment variables of this machine; not to be committed."""
        return self.root / ENV_FILE

    @property
    def pipelines(self) -> Path:
        """OML that people keep."""
        return self.root / "pipelines"

    @property
    def output(self) -> Path:
        """Drafts, and what steps write by default."""
        return self.root / "output"

    @property
    def build(self) -> Path:
        """Compiled plans, one folder per pipeline and fingerprint; to be committed."""
        return self.root / "build"

    @property
    def logs(self) -> Path:
        """One folder per session."""
        return self.root / LOGS

    @property
    def state(self) -> Path:
        """What is under way, and the last compile; can be rebuilt."""
        return self.root / STATE

    @property
    def run_lock(self) -> Path:
        """Held by whoever runs something in this project."""
        return self.state / "run.lock"

    @property
    def worker_lock(self) -> Path:
        """Held by the worker of a run, which may outlive its starter for a moment."""
        return self.state / "worker.lock"

    @property
    def open_sessions(self) -> Path:
        """One empty file per session that has not ended."""
        return self.state / "open"

    @property
    def scratch(self) -> Path:
        """Spools and other temporary files, one folder per session."""
        return self.state / "scratch"

    @property
    def spools(self) -> Path:
        """Outputs of finished steps, kept while their run may be continued, one folder per session."""
        return self.state / "spools"

    @property
    def catalogue(self) -> Path:
        """Records of the packages of all runs, one a line; can be rebuilt from the sessions."""
        return self.state / "runs.jsonl"

    @property
    def cache(self) -> Path:
        """What compiling found before; may be removed at any time."""
        return self.state / "cache" / "compile.sqlite"

    @property
    def wheels(self) -> Path:
        """Packages that were fetched for bare sandboxes, one folder per kind of these; may be removed at any time."""
        return self.state / "cache" / "wheels"

    @property
    def last_compile(self) -> Path:
        """Which manifest was compiled last."""
        return self.state / "last_compile.json"


def find_project(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Project:
    """Return the project of `start`: the nearest folder at or above it that holds osiris.yaml.

    Without `start` it is the folder of `OSIRIS_HOME`, else the working directory, from which the search begins.
    Fails with PRJ001 if there is none.
    """
    begin = Path(start or environ.get("OSIRIS_HOME") or os.curdir)
    folder = Path(os.path.realpath(begin))
    root = next((candidate for candidate in (folder, *folder.parents) if _is_root(candidate)), None)
    if root is None:
        fail("PRJ001", start=begin)
    return Project(root)


def _is_root(folder: Path) -> bool:
    marker = folder / MARKER
    return os.access(marker, os.R_OK) and marker.is_file()
