"""Preview the first rows of steps: of a plan that is not saved, in a run that leaves no trace."""

from __future__ import annotations

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
from osiris.runner.host.spools import take_rows
from osiris.runner.limits import usable_cores
from osiris.runner.selection import with_upstream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.config import Config
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest, Pipeline
    from osiris.project import Project
    from osiris.runner.adapter import Worker

    Event = dict[str, JsonValue]

_LAST = 1.0
"""Seconds before the deadline at which the worker is asked to stop; at the deadline it is killed."""


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """What to preview: at most `limit` rows of each step in `shown`, computed from at most `sample` rows per source.

    With a `sample` of 0, sources are read to the end. All rows of `shown` are also left in the folder `keep_in`, if
    given, as `STEP.arrow`: an Arrow stream.
    """

    shown: Sequence[str]
    limit: int
    sample: int
    keep_in: Path | None = None


@dataclass(slots=True)
class Table:
    """The first rows of a step, as JSON values, and its total row count; None if unknown."""

    step: str
    schema: Schema = ()
    rows: list[list[JsonValue]] = field(default_factory=list)
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of steps within a time limit: rows in and out of completed steps, by step, and first rows of some.

    `cut` are sources with more rows than were read. `late`: the time ran out before the last step; `answered` is then
    whether the worker stopped by itself and can be reused.
    """

    rows: Mapping[str, tuple[int, int]]
    tables: Mapping[str, Table]
    cut: Sequence[str]
    late: bool = False
    answered: bool = True


@dataclass(frozen=True, slots=True)
class PreviewRows:
    """The previewed tables, in plan order; `cut` are sources with more rows than were read."""

    tables: Sequence[Table]
    cut: Sequence[str]


def preview(
    project: Project,
    plan: Manifest,
    pipeline: Pipeline,
    request: PreviewRequest,
    config: Config,
    environ: Mapping[str, str],
    link: Worker,
) -> PreviewRows:
    """Run the shown steps and their inputs, but no writer, and return their first rows.

    `pipeline` is the source of the plan, used to locate problems. Raises the problems of a failed step, and RUN001 if
    the worker dies.
    """
    listener = _Listener(project.root, pipeline, request.shown)
    try:
        end = _ask(project, plan, request, config, environ, link, listener)
    except WorkerDied as died:
        raise_all([diagnostic("RUN001", status=died.status, during="preview", hint="run the same command again")])
    diagnostics = [*listener.found, *problems_of(project.root, pipeline, end)]
    if has_errors(diagnostics):
        raise_all(diagnostics)
    return PreviewRows(list(listener.tables.values()), sorted(listener.cut))


def measure(
    project: Project,
    plan: Manifest,
    pipeline: Pipeline,
    request: PreviewRequest,
    config: Config,
    environ: Mapping[str, str],
    link: Worker,
    seconds: float,
) -> Measured:
    """Run the shown steps and their inputs for at most `seconds`, and return the figures.

    Raises the problems of a failed step.
    """
    listener = _Listener(project.root, pipeline, request.shown)
    is_over, answered = threading.Event(), True

    def stop() -> None:
        is_over.set()
        link.cancel()

    timers = [threading.Timer(max(0.0, seconds - _LAST), stop), threading.Timer(seconds, link.kill)]
    for timer in timers:
        timer.start()
    diagnostics: list[Diagnostic] = []
    try:
        end = _ask(project, plan, request, config, environ, link, listener)
        diagnostics = [*listener.found, *problems_of(project.root, pipeline, end)]
    except WorkerDied as died:
        if not is_over.is_set():
            raise_all([diagnostic("RUN001", status=died.status, during="preview", hint="run the same command again")])
        answered = False
    finally:
        for timer in timers:
            timer.cancel()
    if has_errors(diagnostics) and not is_over.is_set():
        raise_all(diagnostics)
    complete = {name: table for name, table in listener.tables.items() if table.total is not None}
    return Measured(listener.rows, complete, sorted(listener.cut), is_over.is_set(), answered)


def _ask(
    project: Project,
    plan: Manifest,
    request: PreviewRequest,
    config: Config,
    environ: Mapping[str, str],
    link: Worker,
    listener: _Listener,
) -> Event:
    steps = with_upstream(plan, request.shown)
    used = {reference: plan.data["connections"][reference] for step in steps if (reference := step["connection"])}
    secrets = resolve_secrets(project.root, used, plan.data["sensitive"], load_registry(), environ)
    with passing_job(
        project,
        config,
        "preview",
        steps=steps,
        bindings={"run.id": "preview", "run.started_at": whole_second(time.time())},
        timeout=config.get("run.step_timeout"),
        parallel=int(config.get("run.parallel")) or usable_cores(),
        spool_limit=config.get("run.spool_limit"),
        show=list(request.shown),
        show_rows=request.limit,
        sample=request.sample,
        keep=list(request.shown) if request.keep_in else [],
    ) as job:
        spools = request.keep_in or Path(job.scratch, "spools")
        end = link.ask(replace(job, spools=str(spools)), secrets, listener.take)
        take_rows(spools, job.keep, request.keep_in)
        return end


class _Listener:
    """Collects the worker's events."""

    def __init__(self, root: Path, pipeline: Pipeline, shown: Sequence[str]) -> None:
        self.tables = {step: Table(step) for step in shown}
        self.rows: dict[str, tuple[int, int]] = {}
        self.cut: set[str] = set()
        self.found: list[Diagnostic] = []
        self._root = root
        self._pipeline = pipeline

    def take(self, event: Event) -> None:
        """Handle one event; irrelevant ones are ignored."""
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
