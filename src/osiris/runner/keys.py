"""Decides what a run is: a new one, the continuation of one that did not end well, or nothing at all."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from osiris.delivery import is_still_there
from osiris.errors import Diagnostic, diagnostic, fail
from osiris.runner.groups import not_needed
from osiris.session import iter_sessions, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.model import JsonValue, Manifest
    from osiris.project import Project

Summary = dict[str, "JsonValue"]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asks for: at most one of a new run, a run id, and the session to resume (`last` for the last)."""

    new_run: bool = False
    run_id: str | None = None
    resume: str | None = None
    continue_within: float = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Start:
    """What a run starts from. `run_key` is None if the key is to be the new session's id.

    `finished` is the session that has done it all already; `deliveries` are those of the continued run that are still
    there, by step, and `skip` the steps not to be run, each with the reason.
    """

    run_key: str | None = None
    run_started_at: str | None = None
    continues: str | None = None
    finished: str | None = None
    deliveries: dict[str, JsonValue] = field(default_factory=dict)
    skip: dict[str, str] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()


def decide(project: Project, manifest: Manifest, wish: Wish, now: float) -> Start:
    """Return what to start from; `now` is the time in seconds since the epoch.

    Fails with RUN014 for a bad run id, RUN010 for an unknown session, RUN006 for one that cannot be resumed.
    """
    if wish.run_id is not None:
        return _with_id(project, manifest, wish.run_id)
    if wish.resume is not None:
        return _continue(project.root, manifest, _resumable(project, manifest, wish.resume))
    last = next((s for s in _runs(project, manifest.name) if s["fingerprint"] == manifest.fingerprint), None)
    if wish.new_run or last is None or last["status"] == "complete":
        return Start()
    age = now - datetime.fromisoformat(last["started_at"]).timestamp()
    if age < wish.continue_within:
        return _continue(project.root, manifest, last)
    hours = f"{wish.continue_within / 3600:g}"
    return Start(notes=(diagnostic("RUN012", session=last["session"], status=last["status"], hours=hours),))


def _with_id(project: Project, manifest: Manifest, run_id: str) -> Start:
    if not _RUN_ID.fullmatch(run_id):
        fail("RUN014", run_id=run_id)
    earlier = [s for s in _runs(project, manifest.name) if s["run_key"] == run_id]
    if done := next((s for s in earlier if s["status"] == "complete"), None):
        note = diagnostic("RUN009", run_id=run_id, session=done["session"])
        return Start(run_id, finished=done["session"], notes=(note,))
    same = next((s for s in earlier if s["fingerprint"] == manifest.fingerprint), None)
    return _continue(project.root, manifest, same) if same else Start(run_id)


def _resumable(project: Project, manifest: Manifest, session: str) -> Summary:
    last = next(_runs(project, manifest.name), None) if session == "last" else open_session(project, session)
    if last is None:
        fail("RUN006", problem=f"pipeline '{manifest.name}' was never run here")
    if last["status"] == "complete":
        fail("RUN006", problem=f"run {last['session']} is complete")
    if last["fingerprint"] != manifest.fingerprint:
        fail("RUN006", problem=f"run {last['session']} had another plan")
    return last


def _continue(root: Path, manifest: Manifest, last: Summary) -> Start:
    kept = {step: told for step, told in last["deliveries"].items() if is_still_there(root, told["files"])}
    skip = {step: f"delivered by {told['session']}" for step, told in kept.items()}
    skip |= dict.fromkeys(sorted(not_needed(manifest.steps, kept)), "all that read it are delivered")
    note = diagnostic("RUN011", session=last["session"], status=last["status"])
    return Start(
        run_key=last["run_key"],
        run_started_at=last["run_started_at"],
        continues=last["session"],
        deliveries=kept,
        skip=skip,
        notes=(note,),
    )


def _runs(project: Project, pipeline: str) -> Iterator[Summary]:
    return (s for s in iter_sessions(project) if s.get("kind") == "run" and s["pipeline"] == pipeline)


def whole_second(now: float) -> str:
    """Return a time as `${run.started_at}` is spelled: UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")
