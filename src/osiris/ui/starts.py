"""Commands that pages start, each as a process of its own: a run goes on if the server ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from osiris.errors import Diagnostic
from osiris.project import Project
from osiris.session.finding import session_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.ui.settings import Settings

PATIENCE = 30.0
"""Seconds that a page waits for a run to begin; one that asks slow sources first begins later."""


@dataclass(slots=True)
class Start:
    """A command that was started, the folder of the sessions of its project, and which there were `before` it."""

    words: Sequence[str]
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    logs: Path
    before: frozenset[str]
    _session: str | None = None

    def session(self) -> str | None:
        """Return the session of its run, once there is one."""
        if self._session is None:
            self._session = (self._result()["data"] or {}).get("session") if self.has_ended() else self._open_session()
        return self._session

    def has_ended(self) -> bool:
        """Return whether its process has ended."""
        return self.process.poll() is not None

    def problems(self) -> list[Diagnostic]:
        """Return what an ended command reported, errors only; empty while it runs."""
        reported = self._result()["diagnostics"] if self.process.poll() else ()
        return [Diagnostic.from_json(each) for each in reported if each["severity"] == "error"]

    def _result(self) -> dict[str, Any]:
        """Return what an ended command printed; nothing of one that was killed."""
        self.output.seek(0)
        with suppress(ValueError):
            printed: dict[str, Any] = json.loads(self.output.read())
            return printed
        return {"data": {}, "diagnostics": []}

    def _open_session(self) -> str | None:
        """Return the new session whose events its process writes, once it has a run.json: it has that file open.

        It may also read those of an earlier run, to record it as lost.
        """
        with suppress(OSError):
            files = [file.readlink() for file in Path(f"/proc/{self.process.pid}/fd").iterdir()]
            own = (file.parent for file in files if file.name == "events.jsonl")
            new = (each for each in own if each.parent == self.logs and each.name not in self.before)
            return next((each.name for each in new if (each / "run.json").is_file()), None)
        return None


@dataclass(slots=True)
class Starts:
    """The commands that one server has started."""

    _all: list[Start] = field(default_factory=list)

    def start(self, settings: Settings, *words: str) -> Start:
        """Start a command of the project in a session of its own, so that a signal to the server does not reach it."""
        more = ("--profile", settings.profile) if settings.profile else ()
        own = [sys.executable, "-P", "-m", "osiris.cli.main", "-C", str(settings.root), *words, *more, "--json"]
        project = Project(settings.root)
        before = frozenset(folder.name for folder in session_folders(project))
        output = TemporaryFile()  # noqa: SIM115 - is read when the command has ended
        process = subprocess.Popen(
            own,
            env=dict(settings.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        begun = Start((*words, *more), process, output, project.logs.resolve(), before)
        self._all = [each for each in self._all if not each.has_ended()] + [begun]
        return begun

    def run(self, settings: Settings, file: str) -> Start:
        """Start a run, and wait until it has a session or has ended, but not for long."""
        begun = self.start(settings, "run", file)
        end = time.monotonic() + PATIENCE
        while not begun.session() and not begun.has_ended() and time.monotonic() < end:
            time.sleep(0.05)
        return begun

    def has_waiting(self, file: str) -> bool:
        """Return whether a run of a file is at work that has no session yet."""
        runs = [each for each in self._all if each.words[:2] == ("run", file) and not each.has_ended()]
        return not all(each.session() for each in runs)

    def of(self, session: str) -> Start | None:
        """Return the command at work whose run has this session; None if this server has not started it."""
        return next((each for each in self._all if not each.has_ended() and each.session() == session), None)


def cancel(start: Start) -> None:
    """Interrupt a command, as Ctrl-C does."""
    start.process.send_signal(signal.SIGINT)
