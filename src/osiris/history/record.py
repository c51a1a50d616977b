"""A run as its session recorded it: one reading of the files, for all that tell of runs."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from osiris.compiler.manifest import read_shaped
from osiris.errors import Diagnostic, fail
from osiris.secret import masked_problems
from osiris.session.finding import find_session, iter_sessions, open_session, order_of, runs_before, session_folders
from osiris.session.stored import CONVERSATION, iter_lines, read_lines, read_summary
from osiris.session.writing import STEP_ENDS, catch_up, totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from osiris.model import JsonValue, Manifest
    from osiris.project import Project

    Fields = Mapping[str, JsonValue]


FILES = ("run.json", "manifest.json", "events.jsonl", "metrics.jsonl")
"""The files of a session in which its run is recorded."""

REFUSED = "refused"
"""The `kind` of a session whose run could not start: nothing continues it."""

STEP_ENDINGS = (*STEP_ENDS, "step_skipped")
"""Events after which nothing more is done of a step."""

_PLACES = ("schema", "table", "path", "url", "bucket", "key")
_LONGEST_TARGET = 200


@dataclass(frozen=True, slots=True)
class Point:
    """How far a step was: seconds since the run started, and rows until then."""

    seconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One step of a run.

    `plan` is its entry in the manifest (empty if that is gone) and `summary` its entry in run.json. `began` and `ended`
    are seconds since the run started, None if that never happened. `end` is the event of its end, empty until then.
    `error` is what ended it, None if it did not fail. `output` is what is on record as delivered, None if nothing is.
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
        """Name of the component, empty if the plan is gone."""
        return str(self.plan.get("component", ""))

    @property
    def reason(self) -> str | None:
        """Why it was skipped, None if it was not."""
        return self.end.get("reason") if self.end.get("event") == "step_skipped" else None

    @property
    def attempts(self) -> int | None:
        """How often it was tried; None if it did not end."""
        found: int | None = self.summary.get("attempts", self.end.get("attempts"))
        return found

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds that it took; None if nobody saw it end."""
        found: float | None = self.summary.get("duration_ms", self.end.get("duration_ms"))
        return found

    @property
    def needs(self) -> tuple[str, ...]:
        """Steps that this one waits for, those that it reads among them."""
        return tuple(self.plan.get("needs", ()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Steps whose rows this one reads, each once."""
        return tuple(dict.fromkeys(self.plan.get("inputs", {}).values()))


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One session of a run: run.json, the plan (None if it is gone or damaged), its events and metrics, its steps.

    `left_out` counts the events, by name, that there are besides those in `events`.
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
        """The data edges: from the step that gives rows to the one that reads them."""
        return tuple((source, step.id) for step in self.steps for source in step.inputs)


def require_plan(run: RecordedRun) -> Manifest:
    """Return the plan that a run ran; fails with CMP027, and says why there is none."""
    if run.plan is None:
        state = "damaged" if (run.folder / "manifest.json").exists() else "missing"
        why = "it could not start" if run.summary["kind"] == REFUSED else f"its manifest.json is {state}"
        fail("CMP027", what=f"in session {run.id}: {why}", hint="name another run")
    return run.plan


def load_run(folder: Path, most: int | None = None, *, outline: bool = False) -> RecordedRun:
    """Return the run that a session's folder records; FileNotFoundError if it has no readable run.json.

    Of the events that components told, it has only the first `most` of each name. An `outline` has neither events nor
    metrics: enough to compare with, and quick. What failed is told without values of data
    (`osiris.secret.redact_diagnostic`): who reads of a run later, or is an agent, sees columns and counts.
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
    """Return the run.json of a run with what its events say of its steps: it is not renewed for each while it runs."""
    renewed = dict(summary)
    if renewed["status"] != "running":
        return renewed
    steps = {name: dict(step) for name, step in renewed["steps"].items()}
    for event in events:
        if event.get("step") in steps and event["event"] in ("step_start", *STEP_ENDINGS):
            catch_up(steps[event["step"]], event)
    return {**renewed, "steps": steps, **totals(steps)}


def _first(events: Iterable[Fields], most: int | None, left_out: Counter[str]) -> Iterator[Fields]:
    """Give our own events, and the first ones of those that components told; counts the others."""
    told: Counter[str] = Counter()
    for event in events:
        name = event["event"]
        told[name] += "fields" in event
        if most is None or told[name] <= most:
            yield event
        else:
            left_out[name] += 1


def find_run(project: Project, name: str = "last") -> RecordedRun | None:
    """Return the run that a name means (`osiris.session.find_session`); None if it means none."""
    found = find_session(project, name)
    return load_run(project.logs / str(found["session"])) if found else None


def find_own_run(project: Project, name: str = "last") -> RecordedRun | None:
    """Return the run that a name means, where `last` is the newest that is no replay; None if it means none."""
    if name == "last":
        runs = (each for each in iter_sessions(project) if each.get("kind") == "run")
        name = next((str(each["session"]) for each in runs), name)
    return find_run(project, name)


def open_own_run(project: Project, name: str = "last") -> RecordedRun:
    """Return the run that `find_own_run` finds, else what the name means; fails with RUN010 or CHT029 if it is none."""
    return find_own_run(project, name) or load_run(project.logs / str(open_session(project, name)["session"]))


def run_before(project: Project, run: RecordedRun) -> RecordedRun | None:
    """Return the newest run of the same pipeline before this one, however it ended; None if there is none."""
    found = next(runs_before(project, run.pipeline, run.id), None)
    return load_run(project.logs / str(found["session"])) if found else None


def conversation_of(project: Project, run: RecordedRun) -> Fields | None:
    """Return the run.json of the newest conversation before a run that made its pipeline; None if there is none."""
    for folder in session_folders(project):
        is_earlier = f"-{CONVERSATION}-" in folder.name and order_of(folder.name) < order_of(run.id)
        talk = read_summary(folder) if is_earlier else None
        if talk and talk.get("kind") == CONVERSATION:
            same_plan = run.plan is not None and talk.get("fingerprint") == run.summary["fingerprint"]
            if same_plan or (talk.get("file") and talk["file"] == run.summary.get("oml")):
                return talk
    return None


def resume_command(summary: Fields) -> str:
    """Return the command that goes on with a run, given its run.json: with the selection it had, or it is refused.

    One that could not start is started again.
    """
    selected = summary.get("selected")
    only = f" --select {shlex.quote(','.join(selected))}" if selected else ""
    if summary.get("kind") == REFUSED:
        return shlex.join(["osiris", "run", str(summary.get("oml") or summary["fingerprint"])])
    return f"osiris run --resume {summary['session']}{only}"


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from one time of a session to another, both as ISO 8601."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def plan_of(folder: Path) -> Manifest | None:
    """Return the plan that a session ran; None if it is gone, or damaged."""
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
    """Return what the end of a failed step names, with the place and the hint that the run's summary has for it."""
    if status != "failed" or end is None or "code" not in end:
        return None
    same = (item for item in problems if item.code == end["code"] and item.message == end["message"])
    return next(same, None) or Diagnostic(end["code"], end["message"])


def target_of(plan: Fields) -> str | None:
    """Return the file, table or other place of a step's entry in the plan; None if it names none.

    A table stands with its schema and its connection, `public.orders in @postgres.main`.
    """
    config: Fields = plan.get("config") or {}
    named = {key: config[key] for key in _PLACES if isinstance(config.get(key), str | list) and config[key]}
    if "table" in named:
        words = _table_words(named)
    else:
        words = [", ".join(value) if isinstance(value, list) else str(value) for value in named.values()]
    words += [f"in {plan['connection']}"] if plan.get("connection") else []
    return " ".join(words)[:_LONGEST_TARGET] or None


def _table_words(named: Fields) -> list[str]:
    table = ".".join(str(named[key]) for key in ("schema", "table") if key in named)
    return [table, *([f"in {named['path']}"] if "path" in named else [])]
