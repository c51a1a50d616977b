"""The reading of a session for people: why each step ran or did not, what failed, and the runs before and after it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.connections import as_written
from osiris.errors import OsirisError
from osiris.history.deliveries import written_to
from osiris.history.findings import findings_of
from osiris.history.reading import Reading, read_outline, read_run
from osiris.history.record import plan_of
from osiris.history.stale import newest_manifests
from osiris.history.why import why_of_steps
from osiris.model import ConnectionRef
from osiris.secret import Scrubber, Secret
from osiris.session import iter_sessions, list_sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest

    Run = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Story:
    """A reading, why every step of the plan ran or did not, and the runs around it.

    `before` is the run that was continued and `after` the newest that continued this one, as far as they are there.
    """

    reading: Reading
    why: dict[str, str]
    before: Run | None
    after: Run | None

    @property
    def findings(self) -> list[dict[str, JsonValue]]:
        """What looks wrong though nothing failed, as `Remarks.findings`."""
        return [each.to_json() for each in findings_of(self.reading)]

    @property
    def targets(self) -> dict[str, str]:
        """Where each step wrote."""
        return _targets(self.reading)

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
            "last_success": reading.last_success,
            "stale": [each.to_json() for each in reading.stale],
            "findings": self.findings,
        }


@dataclass(frozen=True, slots=True)
class Remarks:
    """What is told of a run besides its run.json.

    `findings` is what looks wrong though nothing failed (as in `answer.findings`), `targets` where each step wrote, and
    `after` the newest run that continued it.
    """

    findings: list[dict[str, JsonValue]]
    targets: dict[str, str]
    after: Run | None


def remarks_on(workspace: Workspace, session: str) -> Remarks:
    """Return the remarks on a run; the events of its session are not read."""
    clean = _cleaner(workspace, session)
    reading = read_outline(workspace.project, session, clean, lambda: newest_manifests(workspace.project))
    after = None if reading.run.status == "complete" else _after(iter_sessions(workspace.project), session)
    return Remarks([each.to_json() for each in findings_of(reading)], _targets(reading), after)


def marks_of(workspace: Workspace, sessions: Iterable[Mapping[str, JsonValue]]) -> dict[str, str]:
    """Return what looks wrong in complete runs, by session: the kind of the gravest finding of those that have any."""
    complete = (str(each["session"]) for each in sessions if each["status"] == "complete" and each["kind"] == "run")
    found = {name: findings_of(read_outline(workspace.project, name)) for name in complete}
    return {name: each[0].kind for name, each in found.items() if each and each[0].is_grave}


def _targets(reading: Reading) -> dict[str, str]:
    steps = (step for step in reading.run.steps if step.mode == "write")
    return {step.id: target for step in steps if (target := written_to(reading, step))}


def _after(sessions: Iterable[Run], session: str) -> Run | None:
    return next((each for each in sessions if each.get("continues") == session), None)


def story(workspace: Workspace, session: str) -> Story:
    """Return the story of a session."""
    reading = reading_of(workspace, session)
    continued, sessions = reading.run.summary.get("continues"), list_sessions(workspace.project)
    return Story(
        reading=reading,
        why=why_of_steps(reading),
        before=next((s for s in sessions if s["session"] == continued), None),
        after=_after(sessions, session),
    )


def reading_of(workspace: Workspace, session: str, *, most_told: int | None = None, compare: bool = True) -> Reading:
    """Return the reading of a session, which masks the secrets of the project; options are those of `read_run`."""
    clean = _cleaner(workspace, session)
    return read_run(workspace.project, session, clean, most_told=most_told, compare=compare)


def _cleaner(workspace: Workspace, session: str) -> Callable[[str], str]:
    """Return what masks the secrets of the project in a text, and makes its paths relative."""
    scrub = _scrubber(workspace, plan_of(workspace.project.logs / session)).text
    root = f"{workspace.root}/"
    return lambda text: scrub(text.replace(root, ""))


def _scrubber(workspace: Workspace, plan: Manifest | None) -> Scrubber:
    """Return a scrubber for all secrets of the project that are set, and the plan's; the session itself is clean."""
    from osiris.runner.credentials import resolve_secrets

    found: list[str] = []
    data = plan.data if plan else {}
    for reference, fields in {**_declared(workspace), **(data.get("connections") or {})}.items():
        with suppress(OsirisError):
            secrets = resolve_secrets(workspace.root, {reference: fields}, (), workspace.registry, workspace.environ)
            found += [text for group in secrets.secret.values() for text in group.values()]
    names = (f"OSIRIS_PARAM_{name.upper()}" for name in data.get("sensitive") or ())
    found += [workspace.environ[name] for name in names if name in workspace.environ]
    return Scrubber([Secret(text) for text in found])


def _declared(workspace: Workspace) -> dict[str, Mapping[str, JsonValue]]:
    """Return the fields of all connections as they are written; none where the file cannot be read."""
    with suppress(OsirisError):
        declared = workspace.connections()
        named = [ConnectionRef(family, alias) for family, aliases in declared.declared.items() for alias in aliases]
        return {str(ref): as_written(declared, ref) for ref in named}
    return {}
