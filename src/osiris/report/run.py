"""What there is to see of a run: plain frozen values, read from its record. Nothing here knows HTML."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from osiris.compare import label_of, was_refused
from osiris.history.intent import intent_of
from osiris.history.record import seconds_between
from osiris.model import schema_from_json
from osiris.report.charts import Series, read_series
from osiris.report.compared import Comparison, compare_runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.errors import Diagnostic
    from osiris.history.reading import Reading
    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue, Schema

BADGES = {"local": "Local", "bwrap": "Sandbox", "e2b": "E2B"}
"""How the places where runs happen are called."""


class Input(NamedTuple):
    """A step that is read, and its columns."""

    step: str
    columns: Schema


class Statement(NamedTuple):
    """SQL that a step runs: the key of its config, the dialect, and the text."""

    key: str
    dialect: str
    text: str


class Retry(NamedTuple):
    """A try that came after a failure: its number, what had failed, and the pause before it in seconds."""

    attempt: int
    code: str
    message: str
    pause: float


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step of a run.

    `label` is what it reads or writes, as people name it. `rows_in` and `rows_out` are None if that is not known;
    `rows_until` is how far it was when it ended before its time. `began` and `ended` are seconds since the run started,
    `seconds` how long it took. `reads` are its inputs with their columns, `columns` those of its output. `settings` are
    further fields of its config, with their values as JSON. `output` is what is on record as delivered.
    """

    id: str
    component: str
    version: str
    mode: str
    status: str
    label: str | None
    inputs: tuple[str, ...]
    after: tuple[str, ...]
    fused: tuple[str, ...]
    delivery: str | None
    order: str | None
    rows_in: int | None
    rows_out: int | None
    rows_rejected: int | None
    rows_until: int | None
    bytes: int | None
    attempts: int | None
    checks: int | None
    began: float | None
    ended: float | None
    seconds: float | None
    error: Diagnostic | None
    reason: str | None
    retries: tuple[Retry, ...]
    quarantined: Mapping[str, JsonValue] | None
    digest: Mapping[str, JsonValue] | None
    output: Mapping[str, JsonValue] | None
    statements: tuple[Statement, ...]
    settings: tuple[tuple[str, str], ...]
    reads: tuple[Input, ...]
    columns: Schema

    @property
    def refused(self) -> bool:
        """Tell whether its target refused rows, so that the digest is of others than those that it took."""
        return self.output is not None and was_refused(self.output)

    @property
    def rows(self) -> int | None:
        """The rows that it gave or wrote, or had until it ended before its time."""
        return self.rows_until if self.rows_out is None else self.rows_out


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run as people see it. `seconds` is how long it took, None if nobody knows; `span` how long its steps are drawn.

    `whole` is `seconds` with the checks before the first step. `summary` is run.json. `failed` are the steps that
    failed, `cause` the error that all else follows from, `broken` the steps that ended by it, and `blocked` those that
    did not finish because of them. `last_success` is a session. `answer` is that of the run's package, None if there
    is none.
    """

    summary: Mapping[str, JsonValue]
    badge: str
    description: str | None
    seconds: float | None
    whole: float | None
    span: float
    steps: tuple[StepReport, ...]
    waits: tuple[tuple[str, str], ...]
    flows: tuple[tuple[str, str], ...]
    failed: tuple[StepReport, ...]
    cause: Diagnostic | None
    broken: tuple[StepReport, ...]
    blocked: tuple[str, ...]
    last_success: str | None
    diagnostics: tuple[Diagnostic, ...]
    comparison: Comparison | None
    series: Series | None
    events: tuple[Mapping[str, JsonValue], ...]
    answer: Mapping[str, JsonValue] | None

    @property
    def status(self) -> str:
        """One of running, complete, failed, cancelled, lost."""
        return str(self.summary["status"])

    @property
    def slowest(self) -> tuple[StepReport, ...]:
        """The three steps that took longest, the longest first."""
        timed = sorted((step for step in self.steps if step.seconds), key=lambda step: -(step.seconds or 0))
        return tuple(timed[:3])

    @property
    def rows_in(self) -> int:
        """The rows that its sources gave, those of readers that did not come to their end among them."""
        return sum((step.rows if step.rows_in is None else step.rows_in) or 0 for step in self.of("read"))

    @property
    def under_way(self) -> int:
        """The rows that writers took and did not deliver."""
        return sum(step.rows_until or 0 for step in self.of("write"))

    def of(self, mode: str) -> tuple[StepReport, ...]:
        """Return the steps of a mode."""
        return tuple(step for step in self.steps if step.mode == mode)

    def count(self, status: str) -> int:
        """Return how many steps have a status."""
        return sum(step.status == status for step in self.steps)


def read_report(
    reading: Reading, earlier: RecordedRun | None = None, answer: Mapping[str, JsonValue] | None = None
) -> RunReport:
    """Return what there is to see of a run; `earlier` is the one that it is compared with, `answer` as for the page."""
    run = reading.run
    seconds, intent = _seconds(run), intent_of(reading)
    steps = tuple(_steps(run))
    whole = _whole(run)
    span = max([seconds or 0.0, whole or 0.0, *(step.ended or step.began or 0.0 for step in steps)])
    flows = run.edges
    return RunReport(
        summary=run.summary,
        badge=BADGES.get(str(run.summary["adapter"]), str(run.summary["adapter"]).capitalize()),
        description=intent.text if intent.known else None,
        seconds=seconds,
        whole=whole,
        span=span,
        steps=steps,
        waits=tuple((need, step.id) for step in steps for need in step.after),
        flows=flows,
        failed=tuple(step for step in steps if step.status == "failed"),
        cause=reading.root.item if reading.root else None,
        broken=tuple(step for step in steps if step.id in {each.id for each in reading.broken}),
        blocked=tuple(reading.blocked),
        last_success=reading.last_success,
        diagnostics=run.diagnostics,
        comparison=compare_runs(run, earlier) if earlier else None,
        series=read_series(run, span),
        events=run.events,
        answer=answer,
    )


def _seconds(run: RecordedRun) -> float | None:
    told = run.summary["duration_ms"]
    return _whole(run) if told is None else float(told) / 1000


def _whole(run: RecordedRun) -> float | None:
    """Return the seconds from the start of a run to its end; of a lost one to its last sign of life."""
    start, ended = str(run.summary["started_at"]), run.summary["ended_at"]
    if not ended:
        return None
    signs = [str(metric["ts"]) for metric in run.metrics[-1:]] if run.status == "lost" else []
    return max(seconds_between(start, moment) for moment in (ended, *signs))


def _steps(run: RecordedRun) -> Iterator[StepReport]:
    schemas: dict[str, Schema] = {}
    told = _told_of_steps(run)
    sizes = {m["tags"].get("step"): m["value"] for m in run.metrics if m["metric"] in ("bytes_read", "bytes_written")}
    connections = run.plan.data["connections"] if run.plan else {}
    last = _whole(run) if run.status == "lost" else None
    for step in run.steps:
        reads = tuple(Input(name, schemas.get(name, ())) for name in step.inputs)
        columns = schema_from_json(step.plan.get("schema") or [])
        if step.mode == "write":
            columns = tuple(column for each in reads for column in each.columns)
        schemas[step.id] = columns
        label = label_of(step.plan, connections) if step.plan and step.mode != "transform" else None
        found = _step(step, label, told.get(step.id, []), sizes.get(step.id), reads, columns)
        yield found if last is None else _until(found, last)


def _until(step: StepReport, last: float) -> StepReport:
    """Let a step of a lost run end at the last sign of life: that it ended was seen only when somebody looked."""
    if step.began is None or (step.ended is not None and step.ended <= last):
        return step
    ended = max(step.began, last)
    return replace(step, ended=ended, seconds=ended - step.began)


def _told_of_steps(run: RecordedRun) -> dict[str, list[Mapping[str, JsonValue]]]:
    """Return the events of each step that are few: not how far it was."""
    told: dict[str, list[Mapping[str, JsonValue]]] = {}
    for event in run.events:
        if event["event"] in ("step_retry", "step_complete", "step_failed", "step_cancelled") and "step" in event:
            told.setdefault(str(event["step"]), []).append(event)
    return told


def _step(
    step: RecordedStep,
    label: str | None,
    events: list[Mapping[str, JsonValue]],
    size: int | None,
    reads: tuple[Input, ...],
    columns: Schema,
) -> StepReport:
    end = next((event for event in reversed(events) if event["event"] != "step_retry"), {})
    took = step.summary.get("duration_ms", end.get("duration_ms"))
    config, sql = step.plan.get("config", {}), step.plan.get("sql") or {}
    until = end.get("rows", step.progress[-1].rows if step.progress else None)
    return StepReport(
        id=step.id,
        component=step.component,
        version=str(step.plan.get("version", "")),
        mode=step.mode,
        status=step.status,
        label=label,
        inputs=step.inputs,
        after=tuple(need for need in step.needs if need not in step.inputs),
        fused=tuple(step.plan.get("fused") or ()),
        delivery=step.plan.get("delivery"),
        order=step.plan.get("order") if step.mode != "write" else None,
        rows_in=step.summary.get("rows_in"),
        rows_out=step.summary.get("rows_out"),
        rows_rejected=step.summary.get("rows_rejected"),
        rows_until=None if "rows_out" in step.summary else until,
        bytes=size,
        attempts=step.summary.get("attempts", end.get("attempts")),
        checks=step.summary.get("checks"),
        began=step.began,
        ended=step.ended,
        seconds=None if took is None else took / 1000,
        error=step.error,
        reason=step.reason or end.get("because"),
        retries=tuple(_retries(events)),
        quarantined=step.summary.get("quarantined"),
        digest=step.summary.get("digest") or (step.output or {}).get("digest"),
        output=step.output,
        statements=tuple(Statement(key, dialect, str(config.get(key, ""))) for key, dialect in sql.items()),
        settings=tuple((key, _json(value)) for key, value in config.items() if key not in sql),
        reads=reads,
        columns=columns,
    )


def _retries(events: list[Mapping[str, JsonValue]]) -> Iterator[Retry]:
    for event in events:
        if event["event"] == "step_retry":
            text = str(event.get("message", ""))
            yield Retry(event["attempt"], str(event.get("code", "")), text, event["wait_ms"] / 1000)


def _json(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
