"""The view of a run, also compared with an earlier one, as frozen values without HTML."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from osiris.compare.differences import ABSENT, same_output, was_refused
from osiris.compare.lineage import label_of
from osiris.history.changes import changes_of, step_pairs
from osiris.history.reading import intent_of
from osiris.history.record import RecordedStep, seconds_between
from osiris.model import schema_from_json
from osiris.report.drawing import Series, read_series
from osiris.report.template import change_text, duration_text, number_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.history.changes import Change
    from osiris.history.reading import Reading
    from osiris.history.record import RecordedRun
    from osiris.model import JsonValue, Schema

_FIGURES = ("rows_in", "rows_out", "rows_rejected", "checks", "quarantined")

BADGES = {"local": "Local", "bwrap": "Sandbox", "e2b": "E2B"}
"""Names of run targets for people."""

MOST_CHANGES = 20
"""Maximum changes of a plan that are shown; the rest is counted."""

_SOURCES = ("source_schema", "source_data")

_SLOWER, _NOTICED = 0.25, 0.1
"""A duration changed if it differs by this ratio and by these seconds; less is noise."""


class Statement(NamedTuple):
    """SQL that a step runs: the key of its config, the dialect, and the text."""

    key: str
    dialect: str
    text: str


class Retry(NamedTuple):
    """A retry: its number, the failure before it, and the pause in seconds."""

    attempt: int
    code: str
    message: str
    pause: float


@dataclass(frozen=True, slots=True)
class StepReport(RecordedStep):
    """One step of a run, with what people see of it besides what is recorded.

    `label` is what it reads or writes, as people name it. `rows_in` and `rows_out` are None if that is not known;
    `rows_until` is how far it was when it ended before its time. `seconds` is how long it took, `why` the reason that
    it was skipped or stopped. `reads` are its inputs with their columns, `columns` those of its output. `settings` are
    further fields of its config, with their values as JSON.
    """

    version: str
    label: str | None
    after: tuple[str, ...]
    fused: tuple[str, ...]
    delivery: str | None
    order: str | None
    rows_in: int | None
    rows_out: int | None
    rows_rejected: int | None
    rows_until: int | None
    bytes: int | None
    checks: int | None
    seconds: float | None
    why: str | None
    retries: tuple[Retry, ...]
    quarantined: Mapping[str, JsonValue] | None
    digest: Mapping[str, JsonValue] | None
    statements: tuple[Statement, ...]
    settings: tuple[tuple[str, str], ...]
    reads: tuple[tuple[str, Schema], ...]
    columns: Schema

    @property
    def refused(self) -> bool:
        """Return whether its target rejected rows, so that the digest covers rows that it does not contain."""
        return self.output is not None and was_refused(self.output)

    @property
    def rows(self) -> int | None:
        """The rows that it gave or wrote, or had until it ended before its time."""
        return self.rows_until if self.rows_out is None else self.rows_out


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run as people see it. `seconds` is how long it took, None if unknown; `span` how long its steps are drawn.

    `whole` is `seconds` with the checks before the first step. `broken` are the steps that ended by the first cause.
    `answer` is that of the run's package, None if there is none.
    """

    reading: Reading
    badge: str
    description: str | None
    seconds: float | None
    whole: float | None
    span: float
    steps: tuple[StepReport, ...]
    broken: tuple[StepReport, ...]
    comparison: Comparison | None
    series: Series | None
    answer: Mapping[str, JsonValue] | None

    @property
    def status(self) -> str:
        """One of running, complete, failed, cancelled, lost."""
        return self.reading.run.status

    @property
    def waits(self) -> list[tuple[str, str]]:
        """The steps that only wait for others."""
        return [(need, step.id) for step in self.steps for need in step.after]

    @property
    def failed(self) -> list[StepReport]:
        """The steps that failed."""
        return [step for step in self.steps if step.status == "failed"]

    @property
    def slowest(self) -> tuple[StepReport, ...]:
        """The three steps that took longest, the longest first."""
        timed = sorted((step for step in self.steps if step.seconds), key=lambda step: -(step.seconds or 0))
        return tuple(timed[:3])

    @property
    def ordinary(self) -> list[StepReport]:
        """The steps that are drawn and listed one by one: those of no entry of `replicate`."""
        return [step for step in self.steps if "entry" not in step.plan]

    @property
    def rows_in(self) -> int:
        """The rows read from its sources, including readers that did not finish."""
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
    """Return the view of a run; `earlier` is the run to compare with, `answer` as for the page."""
    run = reading.run
    seconds, total, intent = _seconds_of(run), _whole(run), intent_of(reading)
    steps = {step.id: step for step in _step_reports(run)}
    span = max([seconds or 0.0, total or 0.0, *(step.ended or step.began or 0.0 for step in steps.values())])
    return RunReport(
        reading=reading,
        badge=badge_of(run.summary),
        description=intent["text"] if intent["known"] else None,
        seconds=seconds,
        whole=total,
        span=span,
        steps=tuple(steps.values()),
        broken=tuple(steps[each.id] for each in reading.broken),
        comparison=compare_runs(run, earlier) if earlier else None,
        series=read_series(run, span),
        answer=answer,
    )


def _seconds_of(run: RecordedRun) -> float | None:
    recorded = _in_seconds(run.summary["duration_ms"])
    return _whole(run) if recorded is None else recorded


def badge_of(summary: Mapping[str, JsonValue]) -> str:
    """Return the name of a run's target for people."""
    return BADGES.get(str(summary["adapter"]), str(summary["adapter"]).capitalize())


def _whole(run: RecordedRun) -> float | None:
    """Return the seconds from the start of a run to its end; of a lost one to its last sign of life."""
    start, ended = str(run.summary["started_at"]), run.summary["ended_at"]
    if not ended:
        return None
    signs = [str(metric["ts"]) for metric in run.metrics[-1:]] if run.status == "lost" else []
    return max(seconds_between(start, moment) for moment in (ended, *signs))


def _step_reports(run: RecordedRun) -> Iterator[StepReport]:
    schemas: dict[str, Schema] = {}
    retries = _retries(run)
    sizes = {m["tags"].get("step"): m["value"] for m in run.metrics if m["metric"] in ("bytes_read", "bytes_written")}
    connections = run.plan.data["connections"] if run.plan else {}
    last = _whole(run) if run.status == "lost" else None
    for step in run.steps:
        reads = tuple((name, schemas.get(name, ())) for name in step.inputs)
        schemas[step.id] = _columns(step, reads)
        label = label_of(step.plan, connections) if step.plan and step.mode != "transform" else None
        tries = tuple(retries.get(step.id, ()))
        report = _step(
            step, label=label, bytes=sizes.get(step.id), retries=tries, reads=reads, columns=schemas[step.id]
        )
        yield report if last is None else _until(report, last)


def _columns(step: RecordedStep, reads: tuple[tuple[str, Schema], ...]) -> Schema:
    """Return the columns that a step gives, or writes."""
    if step.mode == "write":
        return tuple(column for _, columns in reads for column in columns)
    return schema_from_json(step.plan.get("schema") or [])


def _until(step: StepReport, last: float) -> StepReport:
    """End a step of a lost run at the last sign of life; its recorded end is when the loss was noticed."""
    if step.began is None or (step.ended is not None and step.ended <= last):
        return step
    ended = max(step.began, last)
    return replace(step, ended=ended, seconds=ended - step.began)


def _retries(run: RecordedRun) -> dict[str, list[Retry]]:
    """Return the retries of each step."""
    retries: dict[str, list[Retry]] = {}
    for event in run.events:
        if event["event"] == "step_retry" and "step" in event:
            words = str(event.get("code", "")), str(event.get("message", ""))
            retries.setdefault(str(event["step"]), []).append(Retry(event["attempt"], *words, event["wait_ms"] / 1000))
    return retries


def _step(step: RecordedStep, **more: Any) -> StepReport:  # noqa: ANN401 - further fields of the report
    until = step.end.get("rows", step.progress[-1].rows if step.progress else None)
    return StepReport(
        **{each.name: getattr(step, each.name) for each in fields(step)},
        after=tuple(need for need in step.needs if need not in step.inputs),
        rows_until=None if "rows_out" in step.summary else until,
        seconds=_in_seconds(step.duration_ms),
        why=step.reason or step.end.get("because"),
        digest=step.summary.get("digest") or (step.output or {}).get("digest"),
        **_recorded(step),
        **more,
    )


def _recorded(step: RecordedStep) -> dict[str, Any]:
    """Return the fields of a step's report that are copied from run.json and the plan."""
    plan = step.plan
    config, sql = plan.get("config", {}), plan.get("sql") or {}
    return {key: step.summary.get(key) for key in _FIGURES} | {
        "version": str(plan.get("version", "")),
        "fused": tuple(plan.get("fused") or ()),
        "delivery": plan.get("delivery"),
        "order": plan.get("order") if step.mode != "write" else None,
        "statements": statements_of(plan),
        "settings": tuple((key, _json(value)) for key, value in config.items() if key not in sql),
    }


def statements_of(plan: Mapping[str, JsonValue]) -> tuple[Statement, ...]:
    """Return the SQL of a step's entry in the plan."""
    config = plan.get("config", {})
    return tuple(Statement(key, dialect, str(config.get(key, ""))) for key, dialect in (plan.get("sql") or {}).items())


def _json(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Fact(NamedTuple):
    """One figure of both runs, and by how much it changed; `changed` is False where it is the same."""

    what: str
    before: str
    now: str
    change: str
    changed: bool


class Output(NamedTuple):
    """The output of a step compared with the earlier one; `same` is None if they cannot be compared."""

    step: str
    same: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run against an earlier one of the same pipeline.

    `plan` are the changes of the plan, the first ones if there are many; None if one of the plans is gone. `outputs`
    are by write step; `steps` are those that gave other rows, or took another time. `sources` are read steps whose
    source is not what it was, and `found` says what the run itself found of its sources.
    """

    run: str
    status: str
    started_at: str
    facts: tuple[Fact, ...]
    plan: tuple[str, ...] | None
    plan_changes: int
    sources: tuple[str, ...]
    connections: tuple[str, ...]
    outputs: tuple[Output, ...]
    steps: tuple[Fact, ...]
    found: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Return the changes in one line."""
        outputs = [output.same for output in self.outputs]
        parts = {
            "plan": self.plan_changes,
            "sources": self.sources or self.found,
            "connections": self.connections,
            "output": False in outputs,
        }
        same = bool(outputs) and all(outputs)
        if new := [what for what, is_new in parts.items() if is_new]:
            return f"{_differing(new)}{', the output is the same' if same else ''}".capitalize()
        return "Same plan, sources and output" if same else "Same plan and sources"

    @property
    def figures(self) -> list[str]:
        """Return the changes of rows written and duration, as text."""
        return [
            f"{fact.what} {fact.change}"
            for fact in self.facts
            if fact.changed and fact.what in ("rows out", "duration")
        ]


def compare_runs(run: RecordedRun, earlier: RecordedRun) -> Comparison:
    """Return what is new in a run since an earlier one."""
    changes = changes_of(run, earlier)
    plan = [change.text for change in changes if change.in_plan]
    around = [change for change in changes if not change.in_plan]
    met, changed = _of_sources(around)
    return Comparison(
        run=earlier.id,
        status=earlier.status,
        started_at=str(earlier.summary["started_at"]),
        facts=tuple(_facts(run.summary, earlier.summary)),
        plan=tuple(plan[:MOST_CHANGES]) if None not in (run.plan, earlier.plan) else None,
        plan_changes=len(plan),
        sources=tuple(str(change.step) for change in changed),
        connections=tuple(name for each in around if (name := each.path.removeprefix("connections/")) != each.path),
        outputs=tuple(_output_changes(run, earlier)),
        steps=tuple(_step_facts(run, earlier)),
        found=tuple(change.text for change in met),
    )


def _of_sources(changes: list[Change]) -> tuple[list[Change], list[Change]]:
    """Return source changes detected by a failure, and those detected from the source's state."""
    of_sources = [change for change in changes if change.area in _SOURCES]
    met, recorded = ([each for each in of_sources if (each.old is ABSENT) is is_met] for is_met in (True, False))
    return met, recorded


def _differing(words: list[str]) -> str:
    *first, last = words
    verb = "differ" if first or last.endswith("s") else "differs"
    return f"{', '.join(first)} and {last} {verb}" if first else f"{last} {verb}"


def _facts(now: Mapping[str, JsonValue], before: Mapping[str, JsonValue]) -> Iterator[Fact]:
    yield _words("status", before["status"], now["status"])
    for key, what in (("rows_in", "rows in"), ("rows_out", "rows out")):
        yield _rows(what, before[key], now[key])
    yield _times("duration", *(each.get("duration_ms") for each in (before, now)))
    yield _words("plan", str(before["fingerprint"])[:12], str(now["fingerprint"])[:12])
    yield _words("target", before["adapter"], now["adapter"])


def _step_facts(run: RecordedRun, earlier: RecordedRun) -> Iterator[Fact]:
    """Yield the steps of both runs that gave other rows, then those that took another time."""
    pairs = [(now.id, then.summary, now.summary) for now, then in step_pairs(run.steps, earlier)]
    for name, then, now in pairs:
        if "rows_out" in then and "rows_out" in now and then["rows_out"] != now["rows_out"]:
            yield _rows(f"{name}: rows", then["rows_out"], now["rows_out"])
    times = (_times(f"{name}: time", then.get("duration_ms"), now.get("duration_ms")) for name, then, now in pairs)
    yield from (fact for fact in times if fact.changed)


def _output_changes(run: RecordedRun, earlier: RecordedRun) -> Iterator[Output]:
    before = {step.id: step.output for step in earlier.steps}
    for step in run.steps:
        then, now = before.get(step.id), step.output
        if step.mode != "write" or (then is None and now is None):
            continue
        if then is None or now is None:
            yield Output(step.id, None, "no output before" if then is None else "no output now")
        else:
            yield _output_change(step.id, then, now)


def _output_change(step: str, then: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> Output:
    same = same_output(then, now)
    if same is None:
        return Output(step, None, "the digests cannot be compared")
    if same:
        return Output(step, True, f"the same {number_text(now['rows'])} rows, value by value")
    rows = change_text(then["rows"], now["rows"])
    old, new = (each["digest"]["columns"] for each in (then, now))
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    columns = f"other values in {', '.join(names[:8])}" if names else "other rows"
    return Output(step, False, f"{columns}; rows {rows}")


def _words(what: str, before: JsonValue, now: JsonValue) -> Fact:
    return Fact(what, str(before), str(now), "same" if before == now else "changed", before != now)


def _rows(what: str, before: int, now: int) -> Fact:
    return Fact(what, number_text(before), number_text(now), change_text(before, now), before != now)


def _times(what: str, *milliseconds: float | None) -> Fact:
    before, now = map(_in_seconds, milliseconds)
    shown = duration_text(before), duration_text(now)
    if before is None or now is None:
        return Fact(what, *shown, "-", False)
    least = max(_NOTICED, _SLOWER * before)
    if abs(now - before) < least:
        return Fact(what, *shown, "about the same", False)
    word = "longer" if now > before else "shorter"
    return Fact(what, *shown, f"{duration_text(abs(now - before))} {word}", True)


def _in_seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
