"""Explains a session: why each step ran or did not, what failed, and the runs before and after it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from osiris.api.workspace import Workspace
from osiris.errors import OsirisError
from osiris.history.deliveries import reading_on, written_to
from osiris.history.failures import may_pass
from osiris.history.findings import findings_of, grave_findings
from osiris.history.reading import Reading, read_run, stale_text, why_of_steps
from osiris.history.record import REFUSED, caught_up, plan_of, target_of
from osiris.history.row_counts import moved_text
from osiris.history.tables import Table, tables_of
from osiris.secret import Scrubber, Secret
from osiris.session.finding import (
    is_session_id,
    iter_records,
    iter_sessions,
    open_record,
    open_session,
)
from osiris.session.stored import CONVERSATION, read_lines
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest
    from osiris.runner.host.run import RunResult

    Run = dict[str, JsonValue]

_NAMED = 12
"""Steps that a sentence names."""


@dataclass(frozen=True, slots=True)
class Remarks:
    """Additional information on a run beyond its run.json.

    `findings` are suspicious results (as in `answer.findings`), `sources` what each step read and `targets` where each
    wrote, and `after` the newest run that continued it. `tables` are those of entries of `replicate`, the worst first.
    """

    findings: list[dict[str, JsonValue]]
    sources: dict[str, str]
    targets: dict[str, str]
    after: Run | None
    tables: list[Table] = field(default_factory=list, kw_only=True)


@dataclass(frozen=True, slots=True)
class Story(Remarks):
    """Remarks with their reading, and why every step of the plan ran or did not.

    `before` is the run.json of the continued run, if it still exists.
    """

    reading: Reading
    why: dict[str, str]
    before: Run | None

    @property
    def skipped(self) -> dict[str, str]:
        """The reason of each skipped step."""
        return {step.id: step.reason for step in self.reading.run.steps if step.reason}

    @property
    def cause(self) -> Diagnostic | None:
        """The first cause."""
        return self.reading.root.item if self.reading.root else None

    @property
    def may_pass(self) -> bool:
        """Whether a retry may succeed without any fix."""
        return self.cause is None or may_pass(self.cause.code)

    @property
    def failed(self) -> list[str]:
        """The steps ended by the first cause."""
        return [step.id for step in self.reading.broken]

    def to_json(self) -> dict[str, JsonValue]:
        """Return first cause, failed and blocked steps, changes, last success, stale targets and findings as JSON."""
        reading = self.reading
        return {
            "cause": self.cause.to_json() if self.cause else None,
            "failed": self.failed,
            "blocked": reading.blocked,
            "changes": [change.to_json(number) for number, change in enumerate(reading.changes, 1)],
            "last_success": reading.base_id,
            "stale": [each.to_json() for each in reading.stale],
            "findings": self.findings,
        }


def remarks_on(workspace: Workspace, session: str) -> Remarks:
    """Return the remarks on a run, without reading its events."""
    reading = reading_of(workspace, session, outline=True)
    sessions = () if reading.run.status == "complete" else iter_sessions(workspace.project)
    return Remarks(*_remarks(reading, sessions), tables=tables_of(reading))


def _remarks(
    reading: Reading, sessions: Iterable[Run]
) -> tuple[list[dict[str, JsonValue]], dict[str, str], dict[str, str], Run | None]:
    """Return the findings of a run, its sources and targets, and the newest of these sessions that continued it."""
    after = next((each for each in sessions if each.get("continues") == reading.run.id), None)
    return [each.to_json() for each in findings_of(reading)], *_places(reading), after


def _places(reading: Reading) -> tuple[dict[str, str], dict[str, str]]:
    """Return what each step of a run read, and where each wrote."""
    by_mode: dict[str, dict[str, str]] = {"read": {}, "write": {}}
    for step in reading.run.steps:
        place = target_of(step.plan) if step.mode == "read" else written_to(reading, step)
        if step.mode in by_mode and place:
            by_mode[step.mode][step.id] = place
    return by_mode["read"], by_mode["write"]


def marks_of(workspace: Workspace, sessions: Iterable[Mapping[str, JsonValue]]) -> dict[str, str]:
    """Return the kind of the most severe finding of complete runs, by session; runs without findings are left out."""
    complete = (str(each["session"]) for each in sessions if each["status"] == "complete" and each["kind"] == "run")
    findings = {name: grave_findings(read_run(workspace.project, name, outline=True)) for name in complete}
    return {name: each[0].kind for name, each in findings.items() if each}


def story(workspace: Workspace, session: str) -> Story:
    """Return the explanation of a session."""
    reading = reading_of(workspace, session)
    continued, sessions = reading.run.summary.get("continues"), list(iter_sessions(workspace.project))
    before = next((each for each in sessions if each["session"] == continued), None)
    remarks = _remarks(reading, sessions)
    return Story(*remarks, reading, why_of_steps(reading), before, tables=tables_of(reading))


def reading_of(workspace: Workspace, session: str, **options: Any) -> Reading:  # noqa: ANN401 - those of `read_run`
    """Return the reading of a session with the project's secrets masked; options are those of `read_run`."""
    return read_run(workspace.project, session, _cleaner(workspace, session), **options)


def _cleaner(workspace: Workspace, session: str) -> Callable[[str], str]:
    """Return a function that masks the project's secrets in a text, and makes its paths relative."""
    scrub = _scrubber(workspace, plan_of(workspace.project.logs / session)).text
    root = f"{workspace.root}/"
    return lambda text: scrub(text.replace(root, ""))


def _scrubber(workspace: Workspace, plan: Manifest | None) -> Scrubber:
    """Return a scrubber for all set secrets of the project and of the plan."""
    data = plan.data if plan else {}
    declared: dict[str, Mapping[str, JsonValue]] = {}
    with suppress(OsirisError):
        declared |= workspace.declared()
    names = (f"OSIRIS_PARAM_{name.upper()}" for name in data.get("sensitive") or ())
    given = (workspace.environ[name] for name in names if name in workspace.environ)
    return Scrubber(map(Secret, [*workspace.secret_texts(declared | (data.get("connections") or {})), *given]))


def list_sessions(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return the run.json of all runs and replays, the newest first."""
    return [_up_to_date(workspace, each) for each in iter_sessions(workspace.project)]


def list_records(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return the run.json of all sessions, conversations too, the newest first."""
    return [_up_to_date(workspace, each) for each in iter_records(workspace.project)]


def show_record(workspace: Workspace, session: str) -> dict[str, JsonValue]:
    """Return the run.json of a session as `show_session` does, or of a conversation; fails with RUN010."""
    return _up_to_date(workspace, open_record(workspace.project, session))


def show_session(workspace: Workspace, session: str) -> dict[str, JsonValue]:
    """Return the run.json of a session: by id, run id, `last`, or `previous`; fails with RUN010 or CHT029."""
    return _up_to_date(workspace, open_session(workspace.project, session))


def _up_to_date(workspace: Workspace, summary: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a run.json; that of a running run is updated from its events."""
    if summary["status"] != "running" or summary.get("kind") == CONVERSATION:
        return summary
    return caught_up(summary, session_lines(workspace, str(summary["session"]), "events"))


def session_lines(workspace: Workspace, session: str, kind: str) -> list[dict[str, JsonValue]]:
    """Return the `events` or `metrics` of a session, without a truncated last line."""
    return read_lines(workspace.project.logs / session / f"{kind}.jsonl")


def checked_rows(workspace: Workspace, session: str) -> list[dict[str, JsonValue]]:
    """Return the first rows found by failed checks of a session, each with step and check; never for agents."""
    from osiris.runner.protocol import CHECKED_ROWS

    files = sorted((workspace.project.logs / session / "artifacts").glob(f"*/{CHECKED_ROWS}"))
    return [{"step": file.parent.name, **json.loads(line)} for file in files for line in file.read_bytes().splitlines()]


def run_data(workspace: Workspace, result: RunResult, remarks: Remarks | None = None) -> dict[str, JsonValue]:
    """Return the result of a run with its outputs, targets, findings and tables, as JSON; `remarks` are those on it."""
    remarks = remarks or remarks_on(workspace, result.session_id)
    return {
        "session": result.session_id,
        "status": result.status,
        "run_key": result.run_key,
        "steps": dict(result.steps),
        "outputs": show_session(workspace, result.session_id)["outputs"],
        "targets": remarks.targets,
        "findings": remarks.findings,
        **({"tables": [table.to_json() for table in remarks.tables]} if remarks.tables else {}),
    }


def story_lines(run: Run, story: Story) -> list[str]:
    """Return sentences that explain a session: how it started, what was skipped, how it ended, what to do next."""
    return [
        _beginning(run, story),
        *_left_out(story),
        _end(run, story),
        *_failed_too(story),
        *_blocked(story),
        *([stale_text(story.reading.stale)] if story.reading.stale else []),
        *_prospect(run, story),
    ]


def _beginning(run: Run, story: Story) -> str:
    if run.get("replays"):
        return f"This is a replay of {run['replays']['session']}."
    if run["kind"] == REFUSED:
        return "The run could not start."
    under = f" under run id '{given_id(run)}'" if given_id(run) else ""
    if not run.get("continues"):
        return f"It was a new run{under}."
    before = f", which ended as {story.before['status']}" if story.before else ""
    return f"The run resumed {run['continues']}{before}{under}."


def _left_out(story: Story) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for step, reason in story.skipped.items():
        by_reason.setdefault(reason, []).append(step)
    reasons = "; ".join(f"{_first(steps)} ({reason})" for reason, steps in by_reason.items())
    return [f"Skipped: {reasons}."] if reasons else []


def _end(run: Run, story: Story) -> str:
    done = sum(step["status"] == "complete" for step in run["steps"].values())
    if run["status"] == "complete":
        rows = moved_text(story.reading.row_counts)
        return f"It completed {count(done, 'step')} in {run['duration_ms']:,.0f} ms: {rows}."
    if run["status"] == "running":
        return f"It is still running: {done} of {count(len(run['steps']), 'step')} complete."
    who = f"Step {', '.join(story.failed)} failed" if story.failed else f"It ended as {run['status']}"
    cause = story.cause
    if cause is None:
        return f"{who}."
    place = f"{cause.location}: " if str(cause.location) else ""
    hint = f" Hint: {cause.hint}." if cause.hint and not story.after else ""
    return f"{who} with {cause.code}: {place}{cause.message}.{hint}"


def _failed_too(story: Story) -> list[str]:
    """Return the sentence on the steps that failed of other causes than the first."""
    others = [link for link in story.reading.chain if link.state == "failed" and link.step not in story.failed]
    named = _first([f"{link.step} ({link.because})" for link in others])
    return [f"{count(len(others), 'other step')} failed too: {named}."] if others else []


def _blocked(story: Story) -> list[str]:
    """Return the lines on the steps that did not finish because of the cause, and the last success."""
    if story.cause is None:
        return []
    blocked = story.reading.blocked
    lines = [f"{count(len(blocked), 'step')} did not finish as a consequence: {_first(blocked)}."] if blocked else []
    last = story.reading.base_id
    return [*lines, f"The last success was {last}." if last else "No earlier success of this pipeline is on record."]


def _first(steps: list[str]) -> str:
    """Return the first of some steps, and how many more there are."""
    more = f" and {len(steps) - _NAMED:,} more" if len(steps) > _NAMED else ""
    return ", ".join(steps[:_NAMED]) + more


def _prospect(run: Run, story: Story) -> list[str]:
    if run["status"] == "running" or run.get("replays"):
        return []
    if run["status"] == "complete":
        return [f"Run id '{given_id(run)}' is finished; running it again does nothing."] if given_id(run) else []
    if story.after:
        return resumed_by(story.after)
    if run["kind"] == REFUSED:
        return ["Nothing was started; fix the cause and run the same command again."]
    writers = [step for step in story.reading.run.steps if step.mode == "write"]
    reading = {step.id for step in writers if "state" in step.plan}
    finished = [name for name in run.get("deliveries") or () if name not in reading]
    delivered = f" and does not run {_first(finished)} again" if finished else ""
    fixed = story.may_pass
    first = "" if fixed else "Fix the cause first: "
    return [
        f"{first}'osiris run --resume' continues with this plan{delivered}; a changed pipeline starts a new run.",
        *reading_on(writers, safe=all("state" in step.plan for step in writers), fixed=fixed),
    ]


def given_id(run: Run) -> str | None:
    """Return the run id that was given with --run-id; None if the key is the id of the session that began the run."""
    key = run.get("run_key")
    return key if key and not is_session_id(key) else None


def resumed_by(after: Run | None) -> list[str]:
    """Return the sentence on the run that resumed a run, if there is one."""
    return [f"Run {after['session']} resumed it and is {after['status']}."] if after else []
