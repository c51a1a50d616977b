"""Runs that could not start: a server that is down, a connection that is missing, sources that are not as planned.

Each is a session of kind `refused`, with report and package as any other; nothing continues it, and it continues
nothing, so that a run that was cut off before is still the one that goes on.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.api.scrubbing import project_scrubber
from osiris.api.workspace import find_file, shown
from osiris.durable import make_folder
from osiris.errors import OsirisError, exit_code
from osiris.history.base import base_of
from osiris.history.failure_classes import step_of
from osiris.history.record import REFUSED
from osiris.session import create_session, now_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Manifest
    from osiris.runner.host.run import RunResult
    from osiris.session import Session

    Progress = Callable[[dict[str, JsonValue]], None]

_EXIT_CODES = (3, 4, 6)
"""Of what is missing, of what is not what it claims to be, and of a broken contract."""
_ROOMS = ("CON", "DAT", "DRV", "LCK")
_WORKER = ("RUN001", "RUN002")
_STEP = re.compile(r"/steps/(\d+)(?:/|$)")


@dataclass(frozen=True, slots=True)
class _Subject:
    """What was to run: its name, its file, the modes of its steps by id, and its plan's fingerprint, as far as known.

    `uses` has what each step names its connection by, or how those of its family begin. `plan` is the manifest's bytes.
    """

    name: str
    file: str | None
    steps: Mapping[str, str] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    plan: bytes | None = None


def record_refusal(
    workspace: Workspace, target: object, plan: Manifest | None, problems: Sequence[Diagnostic], progress: Progress
) -> RunResult | None:
    """Record a run that could not start, and return how it ended.

    None, and nothing is recorded, for what was asked wrongly, and where not even the pipeline's name is known.
    """
    from osiris.runner.host.run import RunResult

    subject = _subject_of_plan(workspace, plan) if plan else _subject_of_file(workspace, target)
    if subject is None or not _is_refusal(problems):
        return None
    now = time.time()
    with create_session(workspace.project, subject.name, project_scrubber(workspace), now) as session:
        summary = _record(session, _summary(workspace, session, subject, now), subject, problems, progress)
    code = exit_code(problems) or 1
    return RunResult(session.id, "failed", code, session.id, summary["steps"], tuple(problems))


def _is_refusal(problems: Sequence[Diagnostic]) -> bool:
    codes = {item.code for item in problems if item.severity == "error"}
    return exit_code(problems) in _EXIT_CODES or any(code in _WORKER or code.startswith(_ROOMS) for code in codes)


def _subject_of_plan(workspace: Workspace, manifest: Manifest) -> _Subject:
    from osiris.compiler.build import manifest_bytes
    from osiris.runner.host.find_oml import find_oml

    file = find_oml(workspace.project, manifest.name)
    steps = {step["id"]: step["mode"] for step in manifest.steps}
    uses = {step["id"]: str(step["connection"]) for step in manifest.steps if step["connection"]}
    return _Subject(manifest.name, file, steps, uses, manifest.fingerprint, manifest_bytes(manifest))


def _subject_of_file(workspace: Workspace, target: object) -> _Subject | None:
    """Return what a pipeline's file says of itself, which may be wrong in many ways; None if it has no name."""
    from osiris.oml.parse import load_document

    with suppress(OsirisError, LookupError, TypeError, AttributeError):
        path = find_file(workspace, str(target))
        data = load_document(path, workspace.root).data
        steps = {str(step["id"]): str(step["mode"]) for step in data["steps"]}
        uses = {str(step["id"]): _use(step) for step in data["steps"]}
        return _Subject(str(data["name"]), shown(workspace, path), steps, uses)
    return None


def _record(
    session: Session,
    summary: dict[str, JsonValue],
    subject: _Subject,
    problems: Sequence[Diagnostic],
    progress: Progress,
) -> dict[str, JsonValue]:
    from osiris.runner.host.recorder import Recorder

    make_folder(session.artifacts, private=True)
    recorder = Recorder(session, summary, progress)
    if subject.plan:
        session.keep_plan(subject.plan)
    keys = ("pipeline", "run_key", "run_started_at", "fingerprint", "adapter")
    recorder.start(**{key: recorder.summary[key] for key in keys}, steps=len(subject.steps))
    by_step: dict[str | None, list[Diagnostic]] = {}
    for item in problems:
        by_step.setdefault(_step(item, subject), []).append(item)
    rest = by_step.pop(None, [])
    for name, found in by_step.items():
        told = {"step": name, "mode": subject.steps[str(name)]}
        recorder.take({"event": "step_start", **told})
        diagnostics = [item.to_json() for item in found]
        recorder.take({"event": "step_failed", **told, "duration_ms": 0.0, "rows": 0, "diagnostics": diagnostics})
    recorder.end("run_failed", rest)
    return recorder.summary


def _use(step: Mapping[str, JsonValue]) -> str:
    given = (step.get("config") or {}).get("connection")
    return str(given) if given else f"@{str(step['component']).partition('.')[0]}."


def _step(item: Diagnostic, subject: _Subject) -> str | None:
    """Return the step that an error is of: whose place it has, which it names, or whose connection it names."""
    if item.severity != "error":
        return None
    steps = list(subject.steps)
    place = _STEP.match(item.location.pointer or "")
    named = steps[int(place[1])] if place and int(place[1]) < len(steps) else step_of(item)
    if named in subject.steps:
        return named
    return next((step for step, connection in subject.uses.items() if connection in item.message), None)


def _summary(workspace: Workspace, session: Session, subject: _Subject, now: float) -> dict[str, JsonValue]:
    started = now_text(now)
    return {
        "session": session.id,
        "kind": REFUSED,
        "pipeline": subject.name,
        "fingerprint": subject.fingerprint,
        "adapter": workspace.config.get("run.target"),
        "status": "running",
        "run_key": session.id,
        "run_started_at": started,
        "continues": None,
        "selected": None,
        "started_at": started,
        "ended_at": None,
        "duration_ms": None,
        "engines": {},
        "limits": {},
        "oml": subject.file,
        "base": base_of(workspace.project, subject.name, session.id),
        "connections": {},
        "sources": {},
        "rows_in": 0,
        "rows_out": 0,
        "steps": {name: {"mode": mode, "status": "not_run"} for name, mode in subject.steps.items()},
        "outputs": {},
        "deliveries": {},
        "spools": {},
        "diagnostics": [],
    }
