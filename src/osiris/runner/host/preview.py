"""Asks a worker for the first rows of steps: of a plan that nobody keeps, in a run that leaves nothing behind."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.errors import diagnostic, has_errors, raise_all, sort_diagnostics
from osiris.model import Schema, schema_from_json
from osiris.registry import load_registry
from osiris.runner.adapter import WorkerDied
from osiris.runner.credentials import resolve_secrets
from osiris.runner.host.continuation import whole_second
from osiris.runner.host.describe import problems_of
from osiris.runner.host.passing_job import passing_job
from osiris.runner.selection import with_read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.config import Config
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest, Pipeline
    from osiris.project import Project
    from osiris.runner.adapter import Worker

    Event = dict[str, JsonValue]

_LAST = 1.0
"""So many seconds before a time is over the worker is asked to stop; then it is ended."""


@dataclass(frozen=True, slots=True)
class Look:
    """What to look at: at most `limit` rows of each step in `shown`, made of at most `sample` rows of each source.

    With a `sample` of 0 sources are read to their end.
    """

    shown: Sequence[str]
    limit: int
    sample: int


@dataclass(slots=True)
class Table:
    """The first rows of a step, as JSON values, and how many it has in all; None as long as that is not known."""

    step: str
    schema: Schema = ()
    rows: list[list[JsonValue]] = field(default_factory=list)
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of steps within a time: rows in and out of those that ended, by step, and the first rows of some.

    `cut` are the sources that have more rows than were read; `late`: the time was over before the last step, and then
    `answered` tells whether the worker has stopped by itself and can be asked again.
    """

    rows: Mapping[str, tuple[int, int]]
    tables: Mapping[str, Table]
    cut: Sequence[str]
    late: bool = False
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """What was looked at, in the order of the plan; `cut` are the sources that have more rows than were read."""

    tables: Sequence[Table]
    cut: Sequence[str]


def preview(
    project: Project,
    plan: Manifest,
    pipeline: Pipeline,
    look: Look,
    config: Config,
    environ: Mapping[str, str],
    link: Worker,
) -> Seen:
    """Run what the shown steps are made of, but no writer, and return what they give.

    `pipeline` is what the plan was made of: it has the places of problems. Raises the problems of the step that failed,
    and RUN001 if the worker dies.
    """
    listener = _Listener(project.root, pipeline, look.shown)
    try:
        end = _ask(project, plan, look, config, environ, link, listener)
    except WorkerDied as died:
        raise_all([diagnostic("RUN001", status=died.status, during="preview", hint="run the same command again")])
    found = [*listener.found, *problems_of(project.root, pipeline, end)]
    if has_errors(found):
        raise_all(found)
    return Seen(list(listener.tables.values()), sorted(listener.cut))


def measure(
    project: Project,
    plan: Manifest,
    pipeline: Pipeline,
    look: Look,
    config: Config,
    environ: Mapping[str, str],
    link: Worker,
    seconds: float,
) -> Measured:
    """Run what the shown steps are made of for at most so long, and return what came of it.

    Raises the problems of a step that failed.
    """
    listener = _Listener(project.root, pipeline, look.shown)
    is_over, answered = threading.Event(), True

    def stop() -> None:
        is_over.set()
        link.cancel()

    timers = [threading.Timer(max(0.0, seconds - _LAST), stop), threading.Timer(seconds, link.kill)]
    for timer in timers:
        timer.start()
    found: list[Diagnostic] = []
    try:
        end = _ask(project, plan, look, config, environ, link, listener)
        found = [*listener.found, *problems_of(project.root, pipeline, end)]
    except WorkerDied as died:
        if not is_over.is_set():
            raise_all([diagnostic("RUN001", status=died.status, during="preview", hint="run the same command again")])
        answered = False
    finally:
        for timer in timers:
            timer.cancel()
    if has_errors(found) and not is_over.is_set():
        raise_all(found)
    whole = {name: table for name, table in listener.tables.items() if table.total is not None}
    return Measured(listener.rows, whole, sorted(listener.cut), is_over.is_set(), answered)


def _ask(
    project: Project,
    plan: Manifest,
    look: Look,
    config: Config,
    environ: Mapping[str, str],
    link: Worker,
    listener: _Listener,
) -> Event:
    steps = with_read(plan, look.shown)
    used = {reference: plan.data["connections"][reference] for step in steps if (reference := step["connection"])}
    secrets = resolve_secrets(project.root, used, plan.data["sensitive"], load_registry(), environ)
    with passing_job(
        project,
        config,
        "preview",
        steps=steps,
        bindings={"run.id": "preview", "run.started_at": whole_second(time.time())},
        timeout=config.get("run.step_timeout"),
        parallel=int(config.get("run.parallel")) or len(os.sched_getaffinity(0)),
        spool_limit=config.get("run.spool_limit"),
        show=list(look.shown),
        show_rows=look.limit,
        sample=look.sample,
    ) as job:
        return link.ask(replace(job, spools=str(Path(job.scratch, "spools"))), secrets, listener.take)


class _Listener:
    """Gathers what the worker tells."""

    def __init__(self, root: Path, pipeline: Pipeline, shown: Sequence[str]) -> None:
        self.tables = {step: Table(step) for step in shown}
        self.rows: dict[str, tuple[int, int]] = {}
        self.cut: set[str] = set()
        self.found: list[Diagnostic] = []
        self._root = root
        self._pipeline = pipeline

    def take(self, event: Event) -> None:
        """Take one event; those of a run that say nothing here are passed over."""
        step, name = event.get("step", ""), event["event"]
        if name == "sampled":
            self.cut.add(step)
        elif name == "rows":
            self.tables[step].rows += event["fields"]["rows"]
        elif name == "shown":
            self.tables[step].schema = schema_from_json(event["fields"]["columns"])
            self.tables[step].total = event["total"]
        elif name == "step_complete":
            self.rows[step] = event["rows_in"], event["rows_out"]
        elif name == "step_failed":
            self.found += sort_diagnostics(problems_of(self._root, self._pipeline, event))
