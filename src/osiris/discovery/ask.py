"""Asks a worker about one source; a source that does not answer in time is given up."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.durable import remove_folder
from osiris.errors import Diagnostic, fail, has_errors, raise_all
from osiris.runner.adapter import WorkerDied
from osiris.runner.host.describe import make_scratch
from osiris.runner.limits import limits_of
from osiris.runner.protocol import Job, Secrets
from osiris.units import duration_text

if TYPE_CHECKING:
    from osiris.config import Config
    from osiris.model import JsonValue
    from osiris.project import Project
    from osiris.runner.per_job_worker import Worker

LONGEST = 120.0
"""Seconds that a source has to tell what it is and what tables it has."""

ROWS = 20.0
"""Seconds that the rows of one table may take."""


@dataclass(frozen=True, slots=True)
class Source:
    """A connection (`@family.alias`, with its fields), or a path."""

    name: str
    path: str | None
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class Asking:
    """A worker that is asked about a source."""

    project: Project
    config: Config
    link: Worker
    source: Source

    def look(self, look: str, limit: float = LONGEST, **more: JsonValue) -> list[dict[str, JsonValue]]:
        """Return what the worker tells within `limit` seconds; `more` is as `runner.discover.Asked` has it.

        Raises what is wrong, or RUN001 or DSC008.
        """
        told: list[dict[str, JsonValue]] = []
        asked = {"look": look, "source": self.source.name, "path": self.source.path, "seconds": ROWS, **more}
        job, late = self._job(asked), threading.Event()

        def give_up() -> None:
            late.set()
            self.link.cancel()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            end = self.link.ask(job, self.source.secrets, told.append)
        except WorkerDied as died:
            self._fail_late(late, limit)
            fail("RUN001", status=died.status, during="discover", hint="run the same command again")
        finally:
            timer.cancel()
            remove_folder(Path(job.scratch))
        self._fail_late(late, limit)
        found = [Diagnostic.from_json(item) for event in [*told, end] for item in event.get("diagnostics", ())]
        if has_errors(found):
            raise_all(found)
        return told

    def _fail_late(self, late: threading.Event, seconds: float) -> None:
        if late.is_set():
            fail("DSC008", source=self.source.name or self.source.path, seconds=duration_text(seconds))

    def _job(self, asked: dict[str, JsonValue]) -> Job:
        scratch = make_scratch(self.project.scratch)
        return Job(
            kind="discover",
            root=str(self.project.root),
            scratch=str(scratch),
            artifacts=str(scratch / "artifacts"),
            limits=limits_of(self.config.get("run.memory"), self.config.get("run.threads")),
            steps=[],
            discover=asked,
            paths=self.config.paths(),
        )
