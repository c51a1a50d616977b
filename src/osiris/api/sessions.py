"""The reading of a session for people: why each step ran or did not, what failed, and the runs before and after it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osiris.api.workspace import Workspace
from osiris.errors import OsirisError
from osiris.history.deliveries import written_to
from osiris.history.findings import findings_of, grave_findings
from osiris.history.reading import Reading, read_run, why_of_steps
from osiris.history.record import caught_up, plan_of
from osiris.secret import Scrubber, Secret
from osiris.session.finding import (
    iter_records,
    iter_sessions,
    open_record,
    open_session,
)
from osiris.session.stored import CONVERSATION, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest
    from osiris.runner.host.run import RunResult

    Run = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Remarks:
    """What is told of a run besides its run.json.

    `findings` is what looks wrong though nothing failed (as in `answer.findings`), `targets` where each step wrote, and
    `after` the newest run that continued it.
    """

    findings: list[dict[str, JsonValue]]
    targets: dict[str, str]
    after: Run | None


@dataclass(frozen=True, slots=True)
class Story(Remarks):
    """Remarks and the reading that they are made of, why every step of the plan ran or did not, and the run before.

    `before` is the run that was continued, as far as it is there.
    """

    reading: Reading
    why: dict[str, str]
    before: Run | None

    @property
    def skipped(self) -> dict[str, str]:
        """The reason of each step that was skipped."""
        return {step.id: step.reason for step in self.reading.run.steps if step.reason}

    @property
    def cause(self) -> Diagnostic | None:
        """The error that all else follows from."""
        return self.reading.root.item if self.reading.root else None

    @property
    def failed(self) -> list[str]:
        """The steps that ended by the cause."""
        return [step.id for step in self.reading.broken]

    def to_json(self) -> dict[str, JsonValue]:
        """Return what failed first, what that blocked, what changed, the last success, and what is stale."""
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
    """Return the remarks on a run; the events of its session are not read."""
    reading = reading_of(workspace, session, outline=True)
    sessions = () if reading.run.status == "complete" else iter_sessions(workspace.project)
    return Remarks(*_remarks(reading, sessions))


def _remarks(
    reading: Reading, sessions: Iterable[Run]
) -> tuple[list[dict[str, JsonValue]], dict[str, str], Run | None]:
    """Return what looks wrong in a run, where it wrote, and the newest of these sessions that continued it."""
    writers = (step for step in reading.run.steps if step.mode == "write")
    targets = {step.id: target for step in writers if (target := written_to(reading, step))}
    after = next((each for each in sessions if each.get("continues") == reading.run.id), None)
    return [each.to_json() for each in findings_of(reading)], targets, after


def marks_of(workspace: Workspace, sessions: Iterable[Mapping[str, JsonValue]]) -> dict[str, str]:
    """Return what looks wrong in complete runs, by session: the kind of the gravest finding of those that have any."""
    complete = (str(each["session"]) for each in sessions if each["status"] == "complete" and each["kind"] == "run")
    findings = {name: grave_findings(read_run(workspace.project, name, outline=True)) for name in complete}
    return {name: each[0].kind for name, each in findings.items() if each}


def story(workspace: Workspace, session: str) -> Story:
    """Return the story of a session."""
    reading = reading_of(workspace, session)
    continued, sessions = reading.run.summary.get("continues"), list(iter_sessions(workspace.project))
    before = next((each for each in sessions if each["session"] == continued), None)
    return Story(*_remarks(reading, sessions), reading, why_of_steps(reading), before)


def reading_of(workspace: Workspace, session: str, **options: Any) -> Reading:  # noqa: ANN401 - those of `read_run`
    """Return the reading of a session, which masks the secrets of the project; options are those of `read_run`."""
    return read_run(workspace.project, session, _cleaner(workspace, session), **options)


def _cleaner(workspace: Workspace, session: str) -> Callable[[str], str]:
    """Return what masks the secrets of the project in a text, and makes its paths relative."""
    scrub = _scrubber(workspace, plan_of(workspace.project.logs / session)).text
    root = f"{workspace.root}/"
    return lambda text: scrub(text.replace(root, ""))


def _scrubber(workspace: Workspace, plan: Manifest | None) -> Scrubber:
    """Return a scrubber for all secrets of the project that are set, and the plan's; the session itself is clean."""
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
    """Return a run.json; of a run that has not ended with how far its events say that it has come."""
    if summary["status"] != "running" or summary.get("kind") == CONVERSATION:
        return summary
    return caught_up(summary, session_lines(workspace, str(summary["session"]), "events"))


def session_lines(workspace: Workspace, session: str, kind: str) -> list[dict[str, JsonValue]]:
    """Return the `events` or `metrics` of a session, as far as they are there; a line that was cut off is left out."""
    return read_lines(workspace.project.logs / session / f"{kind}.jsonl")


def checked_rows(workspace: Workspace, session: str) -> list[dict[str, JsonValue]]:
    """Return the first rows that the broken checks of a session found, each with step and check; never for agents."""
    from osiris.runner.protocol import CHECKED_ROWS

    files = sorted((workspace.project.logs / session / "artifacts").glob(f"*/{CHECKED_ROWS}"))
    return [{"step": file.parent.name, **json.loads(line)} for file in files for line in file.read_bytes().splitlines()]


def run_data(workspace: Workspace, result: RunResult) -> dict[str, JsonValue]:
    """Return how a run ended, what it wrote and where, and what looks wrong in it though nothing failed."""
    remarks = remarks_on(workspace, result.session_id)
    return {
        "session": result.session_id,
        "status": result.status,
        "run_key": result.run_key,
        "steps": dict(result.steps),
        "outputs": show_session(workspace, result.session_id)["outputs"],
        "targets": remarks.targets,
        "findings": remarks.findings,
    }
