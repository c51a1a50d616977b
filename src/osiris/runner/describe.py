"""Asks a worker for the schemas of a pipeline's steps: the one question between the two halves of the compiler."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.compiler.build import plan_steps
from osiris.connections import load_env
from osiris.errors import Diagnostic, diagnostic, fail, has_errors, raise_all, sort_diagnostics
from osiris.model import Described
from osiris.registry import load_registry
from osiris.runner.adapter import Link, WorkerDied
from osiris.runner.credentials import resolve_secrets
from osiris.runner.limits import limits_of
from osiris.runner.local import start_worker
from osiris.runner.protocol import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.compiler.context import Prepared
    from osiris.config import Config
    from osiris.errors import Location
    from osiris.model import JsonValue, Pipeline, Step
    from osiris.project import Project

_NAME = re.compile(r'(?:(?:\w+|"[^"]+")\.)*(?:(?P<plain>\w+)|"(?P<quoted>[^"]+)")')

_STAND_INS = {"run.id": "", "run.started_at": "1970-01-01T00:00:00Z"}
"""Values of `${run.…}` while there is no run: only their types matter."""

LONGEST_ANSWER = 60.0
"""Seconds that a worker has to describe a whole pipeline where run.step_timeout says nothing."""


def describe(
    project: Project, prepared: Prepared, config: Config, link: Link | None = None
) -> tuple[dict[str, Described], list[Diagnostic]]:
    """Return schema and order of every step by id, and notes; raises with the problems of all steps, with places.

    `link` is a worker that was started before, to hide how long it takes; it is left open, for a run for instance.
    """
    pipeline, since = prepared.pipeline, time.monotonic()
    sources = {str(step.connection) for step in pipeline.steps if step.mode == "read"}
    asked = {ref: fields for ref, fields in prepared.connections.items() if ref in sources}
    secrets = resolve_secrets(asked, (), load_registry(), load_env(project.env_file, os.environ))
    folder = _make_scratch(project.scratch)
    job = Job(
        kind="describe",
        root=str(project.root),
        scratch=str(folder),
        artifacts=str(folder / "artifacts"),
        limits=limits_of(config.get("run.memory"), config.get("run.threads")),
        steps=plan_steps(prepared),
        bindings={**_STAND_INS, **{f"param_{name}": "" for name in pipeline.sensitive}},
    )
    answers: list[dict[str, JsonValue]] = []
    limit = config.get("run.step_timeout") or LONGEST_ANSWER
    try:
        with nullcontext(link) if link else start_worker(project.root) as worker, _cancelled_after(limit, worker):
            answers.append(worker.ask(job, secrets, answers.append))
    except WorkerDied as died:
        _fail_if_late(job, answers, limit, since)
        raise_all([diagnostic("RUN001", status=died.status, during="describe")])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _fail_if_late(job, answers, limit, since)
    found = [placed for answer in answers for placed in _problems(project.root, pipeline, answer)]
    if has_errors(found):
        raise_all(found)
    described = {a["step"]: Described.from_json(a) for a in answers if a["event"] == "described"}
    return described, sort_diagnostics(found)


@contextmanager
def _cancelled_after(seconds: float, worker: Link) -> Iterator[None]:
    """Stop the worker if it has no answer in time: binding runs constant expressions, which can take for ever."""
    timer = threading.Timer(seconds, worker.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _fail_if_late(job: Job, answers: list[dict[str, JsonValue]], limit: float, since: float) -> None:
    if time.monotonic() - since < limit:
        return
    answered = {answer.get("step") for answer in answers}
    late = next((step["id"] for step in job.steps if step["id"] not in answered), job.steps[-1]["id"])
    fail("RUN002", step=late, timeout=f"{limit:g} s to describe", hint="raise run.step_timeout in osiris.yaml")


def _make_scratch(parent: Path) -> Path:
    """Make a folder that bears our process id, and remove those of processes that are gone."""
    parent.mkdir(parents=True, exist_ok=True)
    for other in parent.glob("describe-*-*"):
        try:
            os.kill(int(other.name.split("-")[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(other, ignore_errors=True)
        except PermissionError:
            continue
    return Path(tempfile.mkdtemp(prefix=f"describe-{os.getpid()}-", dir=parent))


def _problems(root: Path, pipeline: Pipeline, answer: dict[str, JsonValue]) -> list[Diagnostic]:
    """Return the diagnostics of an answer, each placed at its step where it has no place of its own."""
    found = [Diagnostic.from_json(item) for item in answer.get("diagnostics", [])]
    if "step" not in answer:
        return found
    step = pipeline.step(answer["step"])
    return [_placed(root, pipeline, step, item) for item in found]


def _placed(root: Path, pipeline: Pipeline, step: Step, item: Diagnostic) -> Diagnostic:
    if item.location.file is not None:
        return item
    inner = item.location.pointer or ("/config/query" if item.code.startswith("SQL") else "")
    at = pipeline.where(step.pointer + inner)
    if item.code.startswith("SQL"):
        name = _name_at(str(step.config.get("query", "")), item.location)
        at = _found_once(name, at, _written(root, pipeline, at))
    return replace(item, location=at)


def _name_at(text: str, at: Location) -> str:
    """Return the name, or the last part of a dotted one, at a place of a text; nothing if there is none."""
    lines = text.splitlines()
    if at.line is None or at.line > len(lines):
        return ""
    parts = _NAME.match(lines[at.line - 1][(at.column or 1) - 1 :])
    return (parts["plain"] or parts["quoted"]) if parts else ""


def _written(root: Path, pipeline: Pipeline, at: Location) -> list[str]:
    """Return the lines of a file from a value on to the next one that has a place; none if they cannot be read."""
    begin = (at.line or 1, at.column or 1)
    places = ((place.line, place.column) for place in pipeline.positions.values() if place.line and place.column)
    try:
        lines = (root / (at.file or "")).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    line, column = min((place for place in places if place > begin), default=(len(lines), None))
    kept = [*lines[: line - 1], *(text[: column and column - 1] for text in lines[line - 1 : line])]
    return ["" if number < begin[0] else text for number, text in enumerate(kept, 1)]


def _found_once(name: str, at: Location, lines: list[str]) -> Location:
    """Return the place of a name that stands only once from a place on; that place itself if it does not."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
    found = [(line, m.start() + 1) for line, text in enumerate(lines, 1) for m in word.finditer(text) if name]
    behind = [place for place in found if place >= (at.line or 1, at.column or 1)]
    return replace(at, line=behind[0][0], column=behind[0][1]) if len(behind) == 1 else at
