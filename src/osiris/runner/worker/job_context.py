"""What all steps of one job share in the worker, and how one step is made ready."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.driver import StepContext
from osiris.files import fail_os, make_private
from osiris.path_policy import PathPolicy, key_files
from osiris.registry import build_config
from osiris.secret import Secret
from osiris.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import ComponentSpec, JsonValue
    from osiris.registry import Registry
    from osiris.runner.cancellation import Stopper
    from osiris.runner.protocol import Job, Secrets
    from osiris.runner.worker.event_writer import Outbox


@dataclass(frozen=True, slots=True)
class Place:
    """One job in the worker, with everything that its steps may need."""

    job: Job
    registry: Registry
    outbox: Outbox
    stopper: Stopper
    connections: Mapping[str, Mapping[str, JsonValue]]
    bindings: Mapping[str, JsonValue]


@dataclass(slots=True)
class Ready:
    """A step with its driver, its config and what it may touch; the rest is what its shared config keys say."""

    data: Mapping[str, JsonValue]
    driver: Any
    config: Any
    context: StepContext
    casts: Mapping[str, str]
    timeout: float | None
    retry: Mapping[str, JsonValue] | None
    checks: list[JsonValue]
    counts: Counter[str] = field(default_factory=Counter)


def make_place(job: Job, secrets: Secrets, registry: Registry, outbox: Outbox, stopper: Stopper) -> Place:
    """Return the place of a job; from here on secrets are `Secret`, and nothing that leaves shows them."""
    from osiris.secret import Scrubber

    hidden = {ref: {name: Secret(text) for name, text in fields.items()} for ref, fields in secrets.secret.items()}
    params = {name: Secret(text) for name, text in secrets.params.items()}
    outbox.scrubber = Scrubber([*params.values(), *(s for fields in hidden.values() for s in fields.values())])
    connections = {ref: {**fields, **hidden.get(ref, {})} for ref, fields in secrets.plain.items()}
    return Place(job, registry, outbox, stopper, connections, _bindings(job.bindings, params))


def share_of(place: Place, share: int) -> Place:
    """Return a place for one of `share` groups that run at once: it has its part of the limits, and stops alone."""
    whole = place.job.limits
    limits = replace(whole, memory=whole.memory // share, threads=max(1, whole.threads // share))
    return replace(place, job=replace(place.job, limits=limits), stopper=place.stopper.branch())


def make_ready(place: Place, data: Mapping[str, JsonValue]) -> Ready:
    """Load a step's driver and build its config; fails with CMP001, REG001, REG002 or REG003."""
    spec = place.registry.get(data["component"])
    config_class, driver_class = place.registry.load_driver(spec.name)
    shared = {key: value for key, value in data["config"].items() if key not in spec.config["properties"]}
    counts: Counter[str] = Counter()
    return Ready(
        data=data,
        driver=driver_class(),
        config=build_config(config_class, _fill_config(data["config"], spec, place.job.bindings)),
        context=_context(place, data, counts),
        casts=shared.get("cast", {}),
        timeout=parse_duration(shared.get("timeout")) or place.job.timeout,
        retry=shared.get("retry"),
        checks=_fill(shared.get("checks", []), place.job.bindings),
        counts=counts,
    )


def _context(place: Place, data: Mapping[str, JsonValue], counts: Counter[str]) -> StepContext:
    step, job = data["id"], place.job
    artifacts, scratch = Path(job.artifacts) / step, Path(job.scratch) / step
    for folder in (artifacts, scratch):
        _make(folder)

    def emit(event: str, fields: Mapping[str, JsonValue]) -> None:
        place.outbox.send("driver_event", step=step, name=event, fields=dict(fields))

    def count(metric: str, value: int) -> None:
        counts[metric] += value

    return replace(
        context_of(place, data["connection"] or "", scratch, artifacts),
        step=step,
        sources=data["inputs"],
        bindings=place.bindings,
        on_reject=data["config"].get("on_reject", "fail"),
        run_key=f"{job.pipeline}/{job.delivered_as or job.bindings['run.id']}" if job.plan else "",
        plan=job.plan,
        masked=place.outbox.scrubber.text,
        emit=emit,
        count=count,
    )


def context_of(place: Place, connection: str, scratch: Path, artifacts: Path | None = None) -> StepContext:
    """Return what may be touched by what uses a connection (`@family.alias`; none if empty), within a job's limits."""
    return StepContext(
        step=connection,
        root=Path(place.job.root),
        artifacts=artifacts or scratch / "artifacts",
        scratch=scratch,
        connection=place.connections.get(connection, {}),
        threads=place.job.limits.threads,
        memory=place.job.limits.memory,
        cancelled=place.stopper.requested,
        family=connection.removeprefix("@").partition(".")[0],
        paths=_policy_of(place),
    )


def _policy_of(place: Place) -> PathPolicy:
    """Return which files the steps of a job may use."""
    found: list[Path] = []
    for ref, fields in place.connections.items():
        family = place.registry.family(ref.removeprefix("@").partition(".")[0])
        found += key_files(Path(place.job.root), fields, family.fields) if family else ()
    return PathPolicy.of(place.job.paths, tuple(found))


def _make(folder: Path) -> None:
    try:
        make_private(folder)
    except OSError as error:
        fail_os(error, folder)


def _bindings(texts: Mapping[str, str], params: Mapping[str, Secret]) -> dict[str, JsonValue]:
    """Return what SQL may bind: the run's id as text, its start as a time, sensitive parameters as secrets.

    A sensitive parameter that has no value, as there is none to describe a query with, is NULL, which fits any type.
    """
    values: dict[str, JsonValue] = {name: None for name in texts if name.startswith("param_")}
    values |= {f"param_{name}": value for name, value in params.items()}
    if "run.id" in texts:
        values["run_id"] = texts["run.id"]
    if "run.started_at" in texts:
        values["run_started_at"] = datetime.fromisoformat(texts["run.started_at"])
    return values


def _fill_config(config: JsonValue, spec: ComponentSpec, texts: Mapping[str, str]) -> dict[str, JsonValue]:
    """Put the run's values into the strings of a config, but never into SQL: there they are bound."""
    properties = spec.config["properties"]
    return {key: value if "x-sql" in properties.get(key, {}) else _fill(value, texts) for key, value in config.items()}


def _fill(value: JsonValue, texts: Mapping[str, str]) -> JsonValue:
    if isinstance(value, str):
        for name, text in texts.items():
            value = value.replace(f"${{{name}}}", text)
        return value
    if isinstance(value, list):
        return [_fill(item, texts) for item in value]
    if isinstance(value, dict):
        return {key: _fill(item, texts) for key, item in value.items()}
    return value
