"""The context shared by all steps of a job in the worker, and the preparation of one step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.distribution import DISTRIBUTION
from osiris.driver import Kept, StepContext
from osiris.files import fail_os, make_private
from osiris.path_policy import PathPolicy, key_files
from osiris.registry import build_config
from osiris.replication import Cursor, Deletes
from osiris.secret import Secret
from osiris.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.errors import Diagnostic
    from osiris.model import ComponentSpec, JsonValue
    from osiris.registry import Registry
    from osiris.runner.cancellation import Stopper
    from osiris.runner.protocol import Job, Secrets
    from osiris.runner.worker.event_writer import Outbox


@dataclass(frozen=True, slots=True)
class JobContext:
    """One job in the worker, with what its steps share."""

    job: Job
    registry: Registry
    outbox: Outbox
    stopper: Stopper
    connections: Mapping[str, Mapping[str, JsonValue]]
    bindings: Mapping[str, JsonValue]
    kept: Kept = field(default_factory=Kept)


@dataclass(slots=True)
class Ready:
    """A prepared step: its driver, config and context, and the values of the reserved config keys."""

    data: Mapping[str, JsonValue]
    driver: Any
    config: Any
    context: StepContext
    casts: Mapping[str, str]
    timeout: float | None
    retry: Mapping[str, JsonValue] | None
    checks: list[JsonValue]
    counts: Counter[str] = field(default_factory=Counter)


def make_job_context(job: Job, secrets: Secrets, registry: Registry, outbox: Outbox, stopper: Stopper) -> JobContext:
    """Return the context of a job; wraps secrets in `Secret` and sets the scrubber of `outbox`."""
    from osiris.secret import Scrubber

    hidden = {ref: {name: Secret(text) for name, text in fields.items()} for ref, fields in secrets.secret.items()}
    params = {name: Secret(text) for name, text in secrets.params.items()}
    outbox.scrubber = Scrubber(map(Secret, secrets.texts()))
    connections = {ref: {**fields, **hidden.get(ref, {})} for ref, fields in secrets.plain.items()}
    return JobContext(job, registry, outbox, stopper, connections, _bindings(job.bindings, params))


def share_of(job_ctx: JobContext, share: int) -> JobContext:
    """Return a context for one of `share` concurrent groups, with its share of the limits and its own stopper."""
    total = job_ctx.job.limits
    limits = replace(total, memory=total.memory // share, threads=max(1, total.threads // share))
    return replace(job_ctx, job=replace(job_ctx.job, limits=limits), stopper=job_ctx.stopper.branch())


def make_ready(job_ctx: JobContext, data: Mapping[str, JsonValue]) -> Ready:
    """Load a step's driver and build its config and context; fails with CMP001, REG001, REG002 or REG003."""
    spec = job_ctx.registry.get(data["component"])
    _, driver_class = job_ctx.registry.load_driver(spec.name)
    shared = {key: value for key, value in data["config"].items() if key not in spec.config["properties"]}
    counts: Counter[str] = Counter()
    return Ready(
        data=data,
        driver=driver_class(),
        config=config_of(job_ctx, data),
        context=_context(job_ctx, data, counts),
        casts=shared.get("cast", {}),
        timeout=parse_duration(shared.get("timeout")) or job_ctx.job.timeout,
        retry=shared.get("retry"),
        checks=_fill(shared.get("checks", []), job_ctx.job.bindings),
        counts=counts,
    )


def config_of(job_ctx: JobContext, data: Mapping[str, JsonValue]) -> Any:  # noqa: ANN401  the driver's own type
    """Return the config of a step as its driver expects it; fails as `make_ready`."""
    spec = job_ctx.registry.get(data["component"])
    config_class, _ = job_ctx.registry.load_driver(spec.name)
    return build_config(config_class, _fill_config(data["config"], spec, job_ctx.job.bindings))


def _context(job_ctx: JobContext, data: Mapping[str, JsonValue], counts: Counter[str]) -> StepContext:
    step, job = data["id"], job_ctx.job
    artifacts, scratch = Path(job.artifacts) / step, Path(job.scratch) / step
    if job_ctx.registry.owner(data["component"]) != DISTRIBUTION:  # ours create a folder where they use it
        for folder in (artifacts, scratch):
            _make(folder)

    def emit(event: str, fields: Mapping[str, JsonValue]) -> None:
        job_ctx.outbox.send("driver_event", step=step, name=event, fields=dict(fields))

    def warn(problem: Diagnostic) -> None:
        job_ctx.outbox.send("diagnostic", step=step, **problem.to_json())

    def count(metric: str, value: int) -> None:
        counts[metric] += value

    return replace(
        context_of(job_ctx, data["connection"] or "", scratch, artifacts),
        step=step,
        sources=data["inputs"],
        bindings=job_ctx.bindings,
        on_reject=data["config"].get("on_reject", "fail"),
        run_key=f"{job.pipeline}/{job.delivered_as or job.bindings['run.id']}" if job.plan else "",
        plan=job.plan,
        masked=job_ctx.outbox.scrubber.text,
        emit=emit,
        count=count,
        warn=warn,
        cursor=Cursor.of(data["config"]) if data["mode"] == "read" else None,
        deletes=Deletes.of(data["config"]),
        pair=data.get("state"),
    )


def context_of(job_ctx: JobContext, connection: str, scratch: Path, artifacts: Path | None = None) -> StepContext:
    """Return the context of a user of a connection (`@family.alias`; "" for none), within the job's limits."""
    return StepContext(
        step=connection,
        root=Path(job_ctx.job.root),
        artifacts=artifacts or scratch / "artifacts",
        scratch=scratch,
        connection=job_ctx.connections.get(connection, {}),
        threads=job_ctx.job.limits.threads,
        memory=job_ctx.job.limits.memory,
        partitions=job_ctx.job.partitions,
        spool_limit=job_ctx.job.spool_limit,
        cancelled=job_ctx.stopper.requested,
        family=connection.removeprefix("@").partition(".")[0],
        paths=_policy_of(job_ctx),
        kept=job_ctx.kept,
    )


def _policy_of(job_ctx: JobContext) -> PathPolicy:
    """Return the path policy of a job's steps; files with keys are protected."""
    keys: list[Path] = []
    for ref, fields in job_ctx.connections.items():
        family = job_ctx.registry.family(ref.removeprefix("@").partition(".")[0])
        keys += key_files(Path(job_ctx.job.root), fields, family.fields) if family else ()
    return PathPolicy.of(job_ctx.job.paths, tuple(keys))


def _make(folder: Path) -> None:
    try:
        make_private(folder)
    except OSError as error:
        fail_os(error, folder)


def _bindings(texts: Mapping[str, str], params: Mapping[str, Secret]) -> dict[str, JsonValue]:
    """Return the values that SQL may bind: the run's id as text, its start as a time, sensitive parameters as secrets.

    A sensitive parameter without a value, as when a query is described, is NULL, which fits any type.
    """
    values: dict[str, JsonValue] = {name: None for name in texts if name.startswith("param_")}
    values |= {f"param_{name}": value for name, value in params.items()}
    if "run.id" in texts:
        values["run_id"] = texts["run.id"]
    if "run.started_at" in texts:
        values["run_started_at"] = datetime.fromisoformat(texts["run.started_at"])
    return values


def _fill_config(config: JsonValue, spec: ComponentSpec, texts: Mapping[str, str]) -> dict[str, JsonValue]:
    """Fill the run's values into the strings of a config, but not into SQL, where they are bound."""
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
