"""Asks a worker for the output schemas of a pipeline's steps, and whether a plan's sources match the plan."""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from osiris.canonical import sha256_hex
from osiris.compiler.build import plan_steps
from osiris.compiler.paths import all_needs
from osiris.compiler.statements import located
from osiris.connections import declared_at, load_connections, load_env
from osiris.errors import OUT_OF_REACH, Diagnostic, diagnostic, exit_code, fail, has_errors, raise_all, sort_diagnostics
from osiris.model import Described, schema_from_json
from osiris.project import Project
from osiris.registry import load_registry
from osiris.runner.adapter import WorkerDied
from osiris.runner.credentials import resolve_secrets
from osiris.runner.host.adapters import query_worker
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
"""Codes located at a key rather than at its value."""

_OF_CONNECTIONS = tuple(f"CON{number:03}" for number in (11, 12, 13, 15, 16, 17, 24, 39, 40, 41, *range(67, 74)))
"""Codes of problems with a connection, whichever step uses it."""

_OPTIONS = {
    "primary_key": ("DAT028",),
    "path": (
        *("DAT004", "DAT013", "DAT029", "DAT045", "DAT046", "DAT047", "DRV001", "DRV003", "DRV005", "DRV006", "DRV007"),
        *("DRV045", "DRV046", "DRV047", "DRV048", "DRV049", "DRV059", "DRV060", "DRV061", "DRV062", "DRV063", "DRV070"),
    ),
    "schema": ("DRV071",),
    "table": ("DAT029", "DAT032", "DAT035", "DRV012", "DRV071"),
}
"""Options, each with the codes of problems with what it names, where the problem has no location of its own."""

_STAND_INS = {"run.id": "run", "run.started_at": "1970-01-01T00:00:00Z"}
"""Values of `${run.…}` outside of a run: only their types matter."""

_NEW_TABLE = "new_table"
"""The event of a writer that will create a missing table."""

LONGEST_ANSWER = 60.0
"""Timeout in seconds to describe or confirm a step where run.step_timeout is not set."""


def describe(
    project: Project,
    prepared: Prepared,
    config: Config,
    link: Worker | None = None,
    *,
    recalled: Mapping[str, Described] | None = None,
) -> tuple[dict[str, Described], list[Diagnostic]]:
    """Return schema and order of every step by id, and notes; raises the located problems of all steps.

    Steps in `recalled` are not described again, and their connections need not be complete. `link` is a worker that was
    started in advance; it stays open, for instance for a run.
    """
    pipeline, answered = prepared.pipeline, dict(recalled or {})
    secrets = _secrets_of_sources(project, prepared, answered)
    fields = _fields(
        plan_steps(prepared), pipeline.sensitive, {name: each.to_json() for name, each in answered.items()}
    )
    answers = _ask(project, config, "describe", fields, secrets, link)
    diagnostics = [placed for answer in answers for placed in problems_of(project.root, pipeline, answer)]
    if has_errors(diagnostics):
        raise_all(diagnostics)
    described = {a["step"]: Described.from_json(a) for a in answers if a["event"] == "described"}
    return {**answered, **described}, sort_diagnostics(diagnostics)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Answers of the pre-flight checks: hashed states of sources that have one, and problems, both by step.

    `targets` has the answers of writers, as returned by `query_targets`.
    """

    states: Mapping[str, str]
    problems: Mapping[str, list[Diagnostic]]
    targets: Mapping[str, dict[str, JsonValue]] = field(default_factory=dict)


def _secrets_of_sources(project: Project, prepared: Prepared, answered: Collection[str]) -> Secrets:
    """Return the fields of the connections of all sources that are not yet described."""
    sources = {
        str(step.connection) for step in prepared.pipeline.steps if step.mode == "read" and step.id not in answered
    }
    connections = {ref: fields for ref, fields in prepared.connections.items() if ref in sources}
    return resolve_secrets(project.root, connections, (), load_registry(), load_env(project.env_file, os.environ))


def confirm(
    project: Project,
    manifest: Manifest,
    config: Config,
    registry: Registry,
    secrets: Secrets,
    link: Worker,
    fresh: Mapping[str, Described],
) -> Confirmed:
    """Check that the sources of a plan still match it, except those in `fresh`, which were just described.

    Also checks that targets accept their rows. Steps that depend on values of the coming run are skipped. Raises only
    problems of the worker; one that was asked to stop leaves some steps unanswered.
    """
    reads = _sources_to_ask(manifest, fresh)
    targets = confirmable_targets(manifest, registry)
    answers = _confirmed(project, manifest, config, secrets, link, [*reads, *targets])
    states = {step["id"]: answers[step["id"]]["state"] for step in reads if step["id"] in answers}
    states |= {name: answer.state for name, answer in fresh.items()}
    return Confirmed(
        {name: sha256_hex(state.encode()) for name, state in states.items() if state},
        _problems(answers),
        {step["id"]: answers[step["id"]] for step in targets if step["id"] in answers},
    )


def rehearse(
    project: Project,
    manifest: Manifest,
    config: Config,
    secrets: Secrets,
    link: Worker,
    confirmed: Confirmed,
    selected: Collection[str] | None,
) -> dict[str, list[Diagnostic]]:
    """Return the problems, by step, of what a run asks targets before it reads rows: foreign keys and states.

    Steps whose source or target is out of reach are not asked again.
    """
    steps = manifest.steps
    skip = {step["id"]: "not selected" for step in steps if selected and step["id"] not in selected}
    skip |= {
        name: "out of reach" for name, problems in confirmed.problems.items() if exit_code(problems) == OUT_OF_REACH
    }
    pairs = [step for step in steps if "state" in step and step["id"] not in skip and not _awaits_run(step)]
    states: dict[str, JsonValue] = {
        step["id"]: {} for step in pairs if not has_errors(confirmed.problems.get(step["id"], ()))
    }
    if not states and not any("entry" in step for step in steps):
        return {}
    fields = {**_fields(steps, manifest.data["sensitive"], {}), "skip": skip, "states": states}
    *answers, end = _ask(project, config, "rehearse", fields, secrets, link)
    if end["diagnostics"]:
        raise_all(Diagnostic.from_json(item) for item in end["diagnostics"])
    return _problems({answer["step"]: answer for answer in answers if answer["event"] == "refused"})


def query_targets(
    project: Project, manifest: Manifest, config: Config, steps: list[dict[str, JsonValue]], environ: Mapping[str, str]
) -> dict[str, dict[str, JsonValue]]:
    """Check targets before a run; returns per step its `state`, and `diagnostics` without a location.

    A target to be created has a `near` table if one with a similar name exists. Raises problems of the worker or of
    the connections.
    """
    connections = {step["connection"]: manifest.data["connections"][step["connection"]] for step in steps}
    secrets = resolve_secrets(project.root, connections, (), load_registry(), environ)
    return _confirmed(project, manifest, config, secrets, None, steps)


def _problems(answers: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, list[Diagnostic]]:
    """Return the problems of steps that have any, by id."""
    wrong = {name: answer["diagnostics"] for name, answer in answers.items() if answer["diagnostics"]}
    return {name: [Diagnostic.from_json(item) for item in items] for name, items in wrong.items()}


def _sources_to_ask(manifest: Manifest, fresh: Collection[str]) -> list[dict[str, JsonValue]]:
    """Return the read steps that were not just described and do not depend on the run."""
    reads = (step for step in manifest.steps if step["mode"] == "read")
    return [step for step in reads if step["id"] not in fresh and not _awaits_run(step)]


def confirmable_targets(manifest: Manifest, registry: Registry) -> list[dict[str, JsonValue]]:
    """Return the write steps that can confirm before the first row that their target accepts it.

    One that waits for another writer of its family is excluded: that writer may create its target.
    """
    writers = {step["id"]: step for step in manifest.steps if step["mode"] == "write"}
    needs = {step["id"]: step["needs"] for step in manifest.steps}
    confirming = (step for step in writers.values() if _confirms(registry, step))
    return [step for step in confirming if not _awaits_run(step) and not _follows(step, writers, needs)]


def _confirms(registry: Registry, step: Mapping[str, JsonValue]) -> bool:
    spec = registry.find(step["component"])
    return spec is not None and "confirm" in spec.capabilities


def _follows(step: dict[str, JsonValue], writers: dict[str, dict[str, JsonValue]], needs: dict[str, list[str]]) -> bool:
    family = step["component"].partition(".")[0]
    above = (writers[name]["component"] for name in all_needs(step["id"], needs) if name in writers)
    return any(component.partition(".")[0] == family for component in above)


def _confirmed(
    project: Project,
    manifest: Manifest,
    config: Config,
    secrets: Secrets,
    link: Worker | None,
    steps: list[dict[str, JsonValue]],
) -> dict[str, dict[str, JsonValue]]:
    """Return the answers of the confirm job, by step."""
    if not steps:
        return {}
    schemas = {step["id"]: Described(schema_from_json(step["schema"] or [])).to_json() for step in manifest.steps}
    parents = {source: schemas[source] for step in steps for source in step["inputs"].values()}
    fields = _fields(steps, manifest.data["sensitive"], parents)
    *answers, end = _ask(project, config, "confirm", fields, secrets, link)
    if end["diagnostics"]:
        raise_all(Diagnostic.from_json(item) for item in end["diagnostics"])
    return _with_near(answers)


def _with_near(answers: Iterable[dict[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
    """Return the answers by step, each with the existing table whose name is similar to a new one's."""
    events = list(answers)
    near = {event["step"]: event["fields"]["near"] for event in events if event.get("name") == _NEW_TABLE}
    confirmed = [answer for answer in events if answer["event"] == "confirmed"]
    return {answer["step"]: {**answer, "near": near.get(answer["step"])} for answer in confirmed}


def _awaits_run(step: Mapping[str, JsonValue]) -> bool:
    """Return whether a step's config uses a value of the run, except in SQL, where values are bound."""
    config = {key: value for key, value in step["config"].items() if key not in step["sql"]}
    return "${run." in json.dumps(config)


def _fields(
    steps: list[dict[str, JsonValue]], sensitive: Collection[str], parents: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """Return the fields of a describe or confirm job; `parents` are the described parent steps."""
    return {"steps": steps, "bindings": {**_STAND_INS, **{f"param_{name}": "" for name in sensitive}}, "known": parents}


def _ask(
    project: Project, config: Config, kind: str, fields: dict[str, JsonValue], secrets: Secrets, link: Worker | None
) -> list[dict[str, JsonValue]]:
    """Return the worker's events; fails with RUN001 if it dies, RUN002 if one step times out."""
    answers: list[dict[str, JsonValue]] = []
    limit = config.get("run.step_timeout") or LONGEST_ANSWER
    late = threading.Event()
    try:
        with (
            passing_job(project, config, kind, **fields) as job,
            nullcontext(link) if link else query_worker(project, config) as worker,
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
    """Cancel the worker when no answer arrives in time: binding evaluates constant expressions, which may not end."""
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
    """Return the diagnostics of an answer, each located at its step where it has no location of its own."""
    diagnostics = [Diagnostic.from_json(item) for item in answer.get("diagnostics", [])]
    if not diagnostics or "step" not in answer:
        return diagnostics
    step = pipeline.step(answer["step"])
    return [_placed(root, pipeline, step, item) for item in diagnostics]


def _placed(root: Path, pipeline: Pipeline, step: Step, item: Diagnostic) -> Diagnostic:
    at = item.location
    if at.file is not None:
        return item
    if item.code in _OF_CONNECTIONS and step.connection:
        declared = load_connections(Project(root).connections_file)
        field = declared_at(declared, step.connection, code=item.code)
        return replace(item, location=field or pipeline.where(step.pointer))
    in_query = at.line is not None or item.code.startswith("SQL")
    pointer = step.pointer + (at.pointer or ("/config/query" if in_query else _option_of(step, item.code)))
    if in_query:
        query = str(step.config.get("query", ""))
        return located(root, pipeline.where(pointer), pointer, item, query, pipeline.text)
    where = pipeline.where_key if item.code in _OF_NAMES else pipeline.where
    return replace(item, location=where(pointer))


def _option_of(step: Step, code: str) -> str:
    """Return the pointer, within its step, to the option that a problem is about; empty if it is about the step."""
    return next((f"/config/{key}" for key, codes in _OPTIONS.items() if code in codes and key in step.config), "")
