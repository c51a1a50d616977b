"""Commands that pages start, each as a process of its own: a run goes on if the server ends."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

from osiris.errors import Diagnostic
from osiris.session.finding import session_folders
from osiris.session.stored import read_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.project import Project
    from osiris.ui.settings import Settings

PATIENCE = 30.0
"""Seconds that a page waits for a run to begin; one that asks slow sources first begins later."""


@dataclass(slots=True)
class Start:
    """A command that was started. `session` is that of its run, once there is one."""

    words: Sequence[str]
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    session: str | None = None
    find_session: Callable[[], str | None] = lambda: None

    @property
    def command(self) -> str:
        """The command as people type it."""
        return shlex.join(["osiris", *self.words])

    def problems(self) -> list[Diagnostic]:
        """Return what an ended command reported, errors only; empty while it runs."""
        if self.process.poll() in (None, 0):
            return []
        self.output.seek(0)
        try:
            reported = json.loads(self.output.read())["diagnostics"]
        except (ValueError, LookupError, TypeError):
            return []
        return [Diagnostic.from_json(each) for each in reported if each["severity"] == "error"]


@dataclass(slots=True)
class Starts:
    """The commands that one server has started."""

    _all: list[Start] = field(default_factory=list)

    def start(self, settings: Settings, *words: str) -> Start:
        """Start a command of the project in a session of its own, so that a signal to the server does not reach it."""
        more = ("--profile", settings.profile) if settings.profile else ()
        own = [sys.executable, "-P", "-m", "osiris.cli.main", "-C", str(settings.root), *words, *more, "--json"]
        output = TemporaryFile()  # noqa: SIM115 - is read when the command has ended
        process = subprocess.Popen(
            own,
            env=dict(settings.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        begun = Start((*words, *more), process, output)
        self._all = [each for each in self._all if each.process.poll() is None] + [begun]
        return begun

    def run(self, settings: Settings, project: Project, file: str, pipeline: str) -> Start:
        """Start a run, and wait until it has a session or has ended, but not for long."""
        before = {folder.name for folder in session_folders(project)}
        begun = self.start(settings, "run", file)
        begun.find_session = partial(_session_of, project, pipeline, before)
        end = time.monotonic() + PATIENCE
        while begun.session is None and time.monotonic() < end:
            has_ended = begun.process.poll() is not None
            begun.session = begun.find_session()
            if has_ended:
                break
            time.sleep(0.05)
        return begun

    def has_waiting(self, file: str) -> bool:
        """Return whether a run of a file is at work that has no session yet."""
        runs = [each for each in self._all if each.words[:2] == ("run", file) and each.process.poll() is None]
        for each in runs:
            each.session = each.session or each.find_session()
        return any(each.session is None for each in runs)

    def of(self, session: str) -> Start | None:
        """Return the command at work whose run has this session; None if this server has not started it."""
        running = (each for each in self._all if each.process.poll() is None)
        return next((each for each in running if each.session == session), None)


def _session_of(project: Project, pipeline: str, before: set[str]) -> str | None:
    """Return the newest session of a pipeline that is not one of those before."""
    new = (folder for folder in session_folders(project) if folder.name not in before)
    summaries = (read_summary(folder) for folder in new)
    return next((str(each["session"]) for each in summaries if each and each.get("pipeline") == pipeline), None)


def cancel(start: Start) -> None:
    """Interrupt a command, as Ctrl-C does."""
    start.process.send_signal(signal.SIGINT)
