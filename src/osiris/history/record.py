"""A run as recorded by its session, read once for all consumers."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from osiris.errors import Diagnostic, fail
from osiris.secret import masked_problems
from osiris.session.finding import find_session, iter_sessions, open_session, order_of, runs_before, session_folders
from osiris.session.stored import CONVERSATION, iter_lines, read_lines, read_summary
from osiris.session.writing import STEP_ENDS, totals, update_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from osiris.model import JsonValue, Manifest
    from osiris.project import Project

    Fields = Mapping[str, JsonValue]


FILES = ("run.json", "manifest.json", "events.jsonl", "metrics.jsonl")
"""The files of a session that record its run."""

REFUSED = "refused"
"""The `kind` of a session whose run could not start; it cannot be continued."""

STEP_ENDINGS = (*STEP_ENDS, "step_skipped")
"""Events that end a step."""

_PLACES = ("schema", "table", "path", "url", "bucket", "key")
_LONGEST_TARGET = 200


@dataclass(frozen=True, slots=True)
class Point:
    """Progress of a step: seconds since the run started, and rows until then."""

    seconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One step of a run.

    `plan` is its entry in the manifest (empty if that is missing) and `summary` its entry in run.json. `began` and
    `ended` are seconds since the run started, None if that did not happen. `end` is its final event, empty until then.
    `error` is the cause of its failure, None if it did not fail. `output` is its recorded delivery, None if none.
    """

    id: str
    mode: str
    status: str
    plan: Fields
    summary: Fields
    began: float | None
    ended: float | None
    end: Fields
    error: Diagnostic | None
    output: Fields | None
    progress: tuple[Point, ...]

    @property
    def component(self) -> str:
        """Name of the component; empty if the plan is missing."""
        return str(self.plan.get("component", ""))

    @property
    def reason(self) -> str | None:
        """Why it was skipped; None if it was not."""
        return self.end.get("reason") if self.end.get("event") == "step_skipped" else None

    @property
    def attempts(self) -> int | None:
        """Number of attempts; None if it did not end."""
        attempts: int | None = self.summary.get("attempts", self.end.get("attempts"))
        return attempts

    @property
    def duration_ms(self) -> float | None:
        """Duration in milliseconds; None if its end was not recorded."""
        duration: float | None = self.summary.get("duration_ms", self.end.get("duration_ms"))
        return duration

    @property
    def needs(self) -> tuple[str, ...]:
        """Steps that this one waits for, including its inputs."""
        return tuple(self.plan.get("needs", ()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Steps whose output this one reads, each once."""
        return tuple(dict.fromkeys(self.plan.get("inputs", {}).values()))


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One session of a run: run.json, plan (None if missing or damaged), events, metrics and steps.

    `left_out` counts, by name, the recorded events that are not in `events`.
    """

    folder: Path
    summary: Fields
    plan: Manifest | None
    events: tuple[Fields, ...]
    metrics: tuple[Fields, ...]
    steps: tuple[RecordedStep, ...]
    diagnostics: tuple[Diagnostic, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The session's id."""
        return str(self.summary["session"])

    @property
    def pipeline(self) -> str:
        """Name of the pipeline."""
        return str(self.summary["pipeline"])

    @property
    def status(self) -> str:
        """One of running, complete, failed, cancelled, lost."""
        return str(self.summary["status"])

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """The data edges, as (producing step, reading step)."""
        return tuple((source, step.id) for step in self.steps for source in step.inputs)


def require_plan(run: RecordedRun) -> Manifest:
    """Return the plan of a run; fails with CMP027 and the reason if there is none."""
    if run.plan is None:
        state = "damaged" if (run.folder / "manifest.json").exists() else "missing"
        why = "it could not start" if run.summary["kind"] == REFUSED else f"its manifest.json is {state}"
        fail("CMP027", what=f"in session {run.id}: {why}", hint="name another run")
    return run.plan


def load_run(folder: Path, most: int | None = None, *, outline: bool = False) -> RecordedRun:
    """Return the run recorded in a session folder; raises FileNotFoundError if it has no readable run.json.

    Of component events, only the first `most` of each name are loaded. An `outline` has neither events nor metrics:
    fast, and enough to compare with. Data values in diagnostics are redacted (`osiris.secret.redact_diagnostic`), as
    agents read runs too.
    """
    summary = read_summary(folder)
    if summary is None:
        raise FileNotFoundError(folder / "run.json")
    plan, summary = plan_of(folder), masked_problems(summary)
    left_out: Counter[str] = Counter()
    lines = () if outline else _first(iter_lines(folder / "events.jsonl"), most, left_out)
    events = tuple(masked_problems(line) if {"code", "message"} <= line.keys() else line for line in lines)
    metrics = () if outline else tuple(read_lines(folder / "metrics.jsonl"))
    summary = summary if outline else caught_up(summary, events)
    diagnostics = tuple(Diagnostic.from_json(item) for item in summary["diagnostics"])
    steps = tuple(_steps(summary, plan, events, diagnostics))
    return RecordedRun(folder, summary, plan, events, metrics, steps, diagnostics, left_out)


def _steps(
    summary: Fields, plan: Manifest | None, events: Iterable[Fields], problems: tuple[Diagnostic, ...]
) -> Iterator[RecordedStep]:
    planned = {step["id"]: step for step in plan.steps} if plan else {}
    of_step: dict[str, list[Fields]] = {name: [] for name in summary["steps"]}
    for event in events:
        if event.get("step") in of_step:
            of_step[event["step"]].append(event)
    for name, own in of_step.items():
        yield _step(name, planned.get(name, {}), own, summary, problems)


def caught_up(summary: Fields, events: Iterable[Fields]) -> dict[str, JsonValue]:
    """Return a run.json brought up to date from events, as a running run does not rewrite it for each step."""
    renewed = dict(summary)
    if renewed["status"] != "running":
        return renewed
    steps = {name: dict(step) for name, step in renewed["steps"].items()}
    for event in events:
        if event.get("step") in steps and event["event"] in ("step_start", *STEP_ENDINGS):
            update_step(steps[event["step"]], event)
    return {**renewed, "steps": steps, **totals(steps)}


def _first(events: Iterable[Fields], most: int | None, left_out: Counter[str]) -> Iterator[Fields]:
    """Yield our own events and the first `most` component events of each name; count the others in `left_out`."""
    counts: Counter[str] = Counter()
    for event in events:
        name = event["event"]
        counts[name] += "fields" in event
        if most is None or counts[name] <= most:
            yield event
        else:
            left_out[name] += 1


def find_run(project: Project, name: str = "last") -> RecordedRun | None:
    """Return the run that a name refers to (`osiris.session.find_session`); None if there is none."""
    summary = find_session(project, name)
    return load_run(project.logs / str(summary["session"])) if summary else None


def find_own_run(project: Project, name: str = "last") -> RecordedRun | None:
    """Return the run that a name refers to; `last` is the newest that is not a replay. None if there is none."""
    if name == "last":
        runs = (each for each in iter_sessions(project) if each.get("kind") == "run")
        name = next((str(each["session"]) for each in runs), name)
    return find_run(project, name)


def open_own_run(project: Project, name: str = "last") -> RecordedRun:
    """Return the run that `find_own_run` finds, else any session of that name; fails with RUN010 or CHT029."""
    return find_own_run(project, name) or load_run(project.logs / str(open_session(project, name)["session"]))


def run_before(project: Project, run: RecordedRun) -> RecordedRun | None:
    """Return the newest earlier run of the same pipeline, whatever its status; None if there is none."""
    summary = next(runs_before(project, run.pipeline, run.id), None)
    return load_run(project.logs / str(summary["session"])) if summary else None


def conversation_of(project: Project, run: RecordedRun) -> Fields | None:
    """Return the run.json of the newest earlier conversation that created the run's pipeline; None if there is none."""
    for folder in session_folders(project):
        is_earlier = f"-{CONVERSATION}-" in folder.name and order_of(folder.name) < order_of(run.id)
        summary = read_summary(folder) if is_earlier else None
        if summary and summary.get("kind") == CONVERSATION:
            same_plan = run.plan is not None and summary.get("fingerprint") == run.summary["fingerprint"]
            if same_plan or (summary.get("file") and summary["file"] == run.summary.get("oml")):
                return summary
    return None


def resume_command(summary: Fields) -> str:
    """Return the command that resumes a run, given its run.json, with the same selection, as required.

    A run that could not start is started again.
    """
    selected = summary.get("selected")
    only = f" --select {shlex.quote(','.join(selected))}" if selected else ""
    if summary.get("kind") == REFUSED:
        return shlex.join(["osiris", "run", str(summary.get("oml") or summary["fingerprint"])])
    return f"osiris run --resume {summary['session']}{only}"


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds between two times in ISO 8601."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def plan_of(folder: Path) -> Manifest | None:
    """Return the plan of a session; None if it is missing or damaged."""
    from osiris.compiler.manifest import read_shaped

    return read_shaped(folder / "manifest.json")


def _step(
    name: str, plan: Fields, events: list[Fields], summary: Fields, problems: tuple[Diagnostic, ...]
) -> RecordedStep:
    entry, start = summary["steps"][name], str(summary["started_at"])
    end = next((event for event in reversed(events) if event["event"] in STEP_ENDINGS), None)
    started, progress = ([each for each in events if each["event"] == kind] for kind in ("step_start", "step_progress"))
    return RecordedStep(
        id=name,
        mode=str(entry["mode"]),
        status=str(entry["status"]),
        plan=plan,
        summary=entry,
        began=seconds_between(start, started[0]["ts"]) if started else None,
        ended=seconds_between(start, end["ts"]) if end else None,
        end=end or {},
        error=_error(entry["status"], end, problems),
        output=summary["outputs"].get(name),
        progress=tuple(Point(seconds_between(start, event["ts"]), event["rows"]) for event in progress),
    )


def _error(status: str, end: Fields | None, problems: tuple[Diagnostic, ...]) -> Diagnostic | None:
    """Return the error that ended a failed step, with location and hint from the run's summary where recorded."""
    if status != "failed" or end is None or "code" not in end:
        return None
    same = (item for item in problems if item.code == end["code"] and item.message == end["message"])
    return next(same, None) or Diagnostic(end["code"], end["message"])


def target_of(plan: Fields) -> str | None:
    """Return the file, table or other target of a step's entry in the plan; None if it names none.

    A table has its schema and connection, such as `public.orders in @postgres.main`.
    """
    config: Fields = plan.get("config") or {}
    target_fields = {key: config[key] for key in _PLACES if isinstance(config.get(key), str | list) and config[key]}
    if "table" in target_fields:
        words = _table_words(target_fields)
    else:
        words = [", ".join(value) if isinstance(value, list) else str(value) for value in target_fields.values()]
    words += [f"in {plan['connection']}"] if plan.get("connection") else []
    return " ".join(words)[:_LONGEST_TARGET] or None


def _table_words(target_fields: Fields) -> list[str]:
    table = ".".join(str(target_fields[key]) for key in ("schema", "table") if key in target_fields)
    return [table, *([f"in {target_fields['path']}"] if "path" in target_fields else [])]
