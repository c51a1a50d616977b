"""Asks a worker what a pipeline's steps give, and whether the sources of a plan still are what it was made for."""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from osiris.canonical import sha256_hex
from osiris.compiler.build import plan_steps
from osiris.compiler.paths import waited_for
from osiris.compiler.statements import located
from osiris.connections import declared_at, load_connections, load_env
from osiris.errors import Diagnostic, diagnostic, fail, has_errors, raise_all, sort_diagnostics
from osiris.model import Described, schema_from_json
from osiris.project import Project
from osiris.registry import load_registry
from osiris.runner.adapter import WorkerDied
from osiris.runner.credentials import resolve_secrets
from osiris.runner.host.adapters import asked_worker
from osiris.runner.host.passing_job import passing_job
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from osiris.compiler.context import Prepared
    from osiris.config import Config
    from osiris.model import JsonValue, Manifest, Pipeline, Step
    from osiris.registry import Registry
    from osiris.runner.adapter import Worker
    from osiris.runner.protocol import Secrets

_OF_NAMES = ("DAT005",)
"""Codes whose place is that of a key rather than of its value, where the name is one."""

_OF_CONNECTIONS = tuple(
    f"CON{number:03}" for number in (11, 12, 13, 15, 16, 17, 24, 39, 40, 41, 67, 68, 69, 70, 71, 72)
)
"""What is wrong with a connection, whichever step uses it."""

_STAND_INS = {"run.id": "run", "run.started_at": "1970-01-01T00:00:00Z"}
"""Values of `${run.…}` while there is no run: only their types matter."""

_NEW_TABLE = "new_table"
"""The event of a writer whose table is not there, and which will make it."""

LONGEST_ANSWER = 60.0
"""Seconds that a worker has to describe or confirm a step where run.step_timeout says nothing."""


def describe(
    project: Project,
    prepared: Prepared,
    config: Config,
    link: Worker | None = None,
    *,
    known: Mapping[str, Described] | None = None,
) -> tuple[dict[str, Described], list[Diagnostic]]:
    """Return schema and order of every step by id, and notes; raises with the problems of all steps, with places.

    `known` answers for steps that are not asked, and whose connection need not be complete. `link` is a worker that
    was started before, to hide how long it takes; it is left open, for a run for instance.
    """
    pipeline, given = prepared.pipeline, dict(known or {})
    secrets = _secrets_of_sources(project, prepared, given)
    fields = _fields(plan_steps(prepared), pipeline.sensitive, {name: each.to_json() for name, each in given.items()})
    answers = _ask(project, config, "describe", fields, secrets, link)
    found = [placed for answer in answers for placed in problems_of(project.root, pipeline, answer)]
    if has_errors(found):
        raise_all(found)
    described = {a["step"]: Described.from_json(a) for a in answers if a["event"] == "described"}
    return {**given, **described}, sort_diagnostics(found)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What is said before a run: the states of sources that can tell one, hashed, and what is wrong, by step.

    `targets` has what writers say of their tables, as `look_at_targets` returns it.
    """

    states: Mapping[str, str]
    problems: Mapping[str, list[Diagnostic]]
    targets: Mapping[str, dict[str, JsonValue]] = field(default_factory=dict)


def _secrets_of_sources(project: Project, prepared: Prepared, known: Collection[str]) -> Secrets:
    """Return the fields of the connections of all sources that are not known."""
    sources = {str(step.connection) for step in prepared.pipeline.steps if step.mode == "read" and step.id not in known}
    asked = {ref: fields for ref, fields in prepared.connections.items() if ref in sources}
    return resolve_secrets(project.root, asked, (), load_registry(), load_env(project.env_file, os.environ))


def confirm(
    project: Project,
    manifest: Manifest,
    config: Config,
    registry: Registry,
    secrets: Secrets,
    link: Worker,
    fresh: Mapping[str, Described],
) -> Confirmed:
    """Ask the sources of a plan whether they still are as planned, but for those in `fresh`, which have just said so.

    Targets are asked whether they take their rows. A step that depends on the run, which is yet to begin, is not asked.
    Raises only what is wrong with the worker. One that was told to stop leaves some without an answer.
    """
    reads = _sources_to_ask(manifest, fresh)
    targets = targets_to_ask(manifest, registry)
    told = _confirmed(project, manifest, config, secrets, link, [*reads, *targets])
    states = {step["id"]: told[step["id"]]["state"] for step in reads if step["id"] in told}
    states |= {name: answer.state for name, answer in fresh.items()}
    return Confirmed(
        {name: sha256_hex(state.encode()) for name, state in states.items() if state},
        _problems(told),
        {step["id"]: told[step["id"]] for step in targets if step["id"] in told},
    )


def look_at_targets(
    project: Project, manifest: Manifest, config: Config, steps: list[dict[str, JsonValue]], environ: Mapping[str, str]
) -> dict[str, dict[str, JsonValue]]:
    """Return what targets say before there is a run: per step its `state`, and `diagnostics` without a place.

    One that would be made has a `near` table if there is one that is called nearly so.
    Raises what is wrong with the worker or with the connections.
    """
    asked = {step["connection"]: manifest.data["connections"][step["connection"]] for step in steps}
    secrets = resolve_secrets(project.root, asked, (), load_registry(), environ)
    return _confirmed(project, manifest, config, secrets, None, steps)


def _problems(told: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, list[Diagnostic]]:
    """Return what is wrong with steps, by id, of those with which something is."""
    wrong = {name: answer["diagnostics"] for name, answer in told.items() if answer["diagnostics"]}
    return {name: [Diagnostic.from_json(item) for item in items] for name, items in wrong.items()}


def _sources_to_ask(manifest: Manifest, fresh: Collection[str]) -> list[dict[str, JsonValue]]:
    """Return the readers that have not just told their state, and do not depend on the run."""
    reads = (step for step in manifest.steps if step["mode"] == "read")
    return [step for step in reads if step["id"] not in fresh and not _awaits_run(step)]


def targets_to_ask(manifest: Manifest, registry: Registry) -> list[dict[str, JsonValue]]:
    """Return the writers that say before the first row whether their target takes it.

    One that waits for another writer of its family is not asked: that one may be what makes its target.
    """
    writers = {step["id"]: step for step in manifest.steps if step["mode"] == "write"}
    needs = {step["id"]: step["needs"] for step in manifest.steps}
    asked = (step for step in writers.values() if _confirms(registry, step))
    return [step for step in asked if not _awaits_run(step) and not _follows(step, writers, needs)]


def _confirms(registry: Registry, step: Mapping[str, JsonValue]) -> bool:
    spec = registry.find(step["component"])
    return spec is not None and "confirm" in spec.capabilities


def _follows(step: dict[str, JsonValue], writers: dict[str, dict[str, JsonValue]], needs: dict[str, list[str]]) -> bool:
    family = step["component"].partition(".")[0]
    above = (writers[name]["component"] for name in waited_for(step["id"], needs) if name in writers)
    return any(component.partition(".")[0] == family for component in above)


def _confirmed(
    project: Project,
    manifest: Manifest,
    config: Config,
    secrets: Secrets,
    link: Worker | None,
    steps: list[dict[str, JsonValue]],
) -> dict[str, dict[str, JsonValue]]:
    """Return the answers of steps that are asked to confirm, by id."""
    if not steps:
        return {}
    schemas = {step["id"]: Described(schema_from_json(step["schema"] or [])).to_json() for step in manifest.steps}
    known = {source: schemas[source] for step in steps for source in step["inputs"].values()}
    fields = _fields(steps, manifest.data["sensitive"], known)
    *answers, end = _ask(project, config, "confirm", fields, secrets, link)
    if end["diagnostics"]:
        raise_all(Diagnostic.from_json(item) for item in end["diagnostics"])
    return _with_near(answers)


def _with_near(answers: Iterable[dict[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
    """Return the answers of steps by id, each with the table whose name is near that of a new one."""
    said = list(answers)
    near = {told["step"]: told["fields"]["near"] for told in said if told.get("name") == _NEW_TABLE}
    confirmed = [answer for answer in said if answer["event"] == "confirmed"]
    return {answer["step"]: {**answer, "near": near.get(answer["step"])} for answer in confirmed}


def _awaits_run(step: Mapping[str, JsonValue]) -> bool:
    """Tell whether a step's config, but for SQL, in which values are bound, has a value of the run in it."""
    config = {key: value for key, value in step["config"].items() if key not in step["sql"]}
    return "${run." in json.dumps(config)


def _fields(
    steps: list[dict[str, JsonValue]], sensitive: Collection[str], known: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """Return the fields of a job that asks steps; `known` answers for others."""
    return {"steps": steps, "bindings": {**_STAND_INS, **{f"param_{name}": "" for name in sensitive}}, "known": known}


def _ask(
    project: Project, config: Config, kind: str, fields: dict[str, JsonValue], secrets: Secrets, link: Worker | None
) -> list[dict[str, JsonValue]]:
    """Return all that the worker tells; fails with RUN001 if it dies, RUN002 if one step takes too long."""
    answers: list[dict[str, JsonValue]] = []
    limit = config.get("run.step_timeout") or LONGEST_ANSWER
    late = threading.Event()
    try:
        with (
            passing_job(project, config, kind, **fields) as job,
            nullcontext(link) if link else asked_worker(project, config) as worker,
            _cancelled_when_silent(limit, answers, worker, late),
        ):
            answers.append(worker.ask(job, secrets, answers.append))
    except WorkerDied as died:
        if not late.is_set():
            raise_all([diagnostic("RUN001", status=died.status, during=kind)])
    if late.is_set():
        answered = {answer.get("step") for answer in answers}
        step = next((step["id"] for step in fields["steps"] if step["id"] not in answered), fields["steps"][-1]["id"])
        fail(
            "RUN002",
            step=step,
            timeout=f"{duration_text(limit)} to {kind}",
            hint="raise run.step_timeout in osiris.yaml",
        )
    return answers


@contextmanager
def _cancelled_when_silent(
    seconds: float, answers: list[dict[str, JsonValue]], worker: Worker, late: threading.Event
) -> Iterator[None]:
    """Stop the worker when no answer comes in time: binding runs constant expressions, which can take for ever."""
    done = threading.Event()

    def watch() -> None:
        heard = -1
        while len(answers) > heard:
            heard = len(answers)
            if done.wait(seconds):
                return
        late.set()
        worker.cancel()

    threading.Thread(target=watch, name="patience", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def problems_of(root: Path, pipeline: Pipeline, answer: dict[str, JsonValue]) -> list[Diagnostic]:
    """Return the diagnostics of an answer, each placed at its step where it has no place of its own."""
    found = [Diagnostic.from_json(item) for item in answer.get("diagnostics", [])]
    if "step" not in answer:
        return found
    step = pipeline.step(answer["step"])
    return [_placed(root, pipeline, step, item) for item in found]


def _placed(root: Path, pipeline: Pipeline, step: Step, item: Diagnostic) -> Diagnostic:
    at = item.location
    if at.file is not None:
        return item
    if item.code in _OF_CONNECTIONS and step.connection:
        declared = load_connections(Project(root).connections_file)
        return replace(item, location=declared_at(declared, step.connection) or pipeline.where(step.pointer))
    in_query = at.line is not None or item.code.startswith("SQL")
    pointer = step.pointer + (at.pointer or ("/config/query" if in_query else ""))
    if in_query:
        query = str(step.config.get("query", ""))
        return located(root, pipeline.where(pointer), pointer, item, query, pipeline.text)
    where = pipeline.where_key if item.code in _OF_NAMES else pipeline.where
    return replace(item, location=where(pointer))
