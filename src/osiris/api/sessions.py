"""Explains a session: why each step ran or did not, what failed, and the runs before and after it."""

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
    """Additional information on a run beyond its run.json.

    `findings` are suspicious results (as in `answer.findings`), `targets` where each step wrote, and `after` the newest
    run that continued it.
    """

    findings: list[dict[str, JsonValue]]
    targets: dict[str, str]
    after: Run | None


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
    return Remarks(*_remarks(reading, sessions))


def _remarks(
    reading: Reading, sessions: Iterable[Run]
) -> tuple[list[dict[str, JsonValue]], dict[str, str], Run | None]:
    """Return the findings of a run, its targets, and the newest of these sessions that continued it."""
    writers = (step for step in reading.run.steps if step.mode == "write")
    targets = {step.id: target for step in writers if (target := written_to(reading, step))}
    after = next((each for each in sessions if each.get("continues") == reading.run.id), None)
    return [each.to_json() for each in findings_of(reading)], targets, after


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
    return Story(*_remarks(reading, sessions), reading, why_of_steps(reading), before)


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


def run_data(workspace: Workspace, result: RunResult) -> dict[str, JsonValue]:
    """Return the result of a run with its outputs, targets and findings, as JSON."""
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
