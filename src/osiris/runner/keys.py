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
    from collections.abc import Callable, Mapping
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


def decide(
    project: Project, manifest: Manifest, wish: Wish, connections: Callable[[], Mapping[str, str]], now: float
) -> Start:
    """Return what to start from; `now` is the time in seconds since the epoch.

    `connections` gives the digests of the plain fields that each connection has now; it is asked only if a run might
    be continued. Fails with RUN014 for a bad run id, RUN016 for one that another plan has finished, RUN010 for an
    unknown session, RUN006 for one that cannot be continued.
    """
    if wish.run_id is not None and not _RUN_ID.fullmatch(wish.run_id):
        fail("RUN014", run_id=wish.run_id)
    if wish.new_run:
        return Start()
    runs = _runs(project, manifest.name)
    if wish.run_id is not None:
        return _with_id(project.root, manifest, runs, wish.run_id, connections)
    if wish.resume is not None:
        last = _resumable(project, manifest, runs, wish.resume)
        _refuse_moved(last, connections())
        return _continue(project.root, manifest, last)
    newest = _newest(runs, manifest.fingerprint)
    if newest is None or _finisher(runs, newest["run_key"]):
        return Start()
    if note := _left_alone(newest, wish, connections(), now):
        return Start(notes=(note,))
    return _continue(project.root, manifest, newest)


def _left_alone(last: Summary, wish: Wish, connections: Mapping[str, str], now: float) -> Diagnostic | None:
    """Say why an unfinished run is not continued unasked; None if it is."""
    age = now - datetime.fromisoformat(last["started_at"]).timestamp()
    hint = None
    if moved := _moved(last, connections):
        reason, hint = f"{moved} had other fields then", "set them as they were and pass --resume to continue it"
    elif age < 0:
        reason = "it started later than it is now by this clock"
    elif age >= wish.continue_within:
        reason = f"it started more than {wish.continue_within / 3600:g} h ago"
    else:
        return None
    return diagnostic("RUN012", session=last["session"], status=last["status"], reason=reason, hint=hint)


def _moved(last: Summary, connections: Mapping[str, str]) -> str:
    """Name the connections whose plain fields are not what they were in that run; empty if none are."""
    before = last.get("connections") or {}
    names = sorted(ref for ref in {*before, *connections} if before.get(ref) != connections.get(ref))
    return f"connection {', '.join(names)}" if names else ""


def _refuse_moved(last: Summary, connections: Mapping[str, str]) -> None:
    if moved := _moved(last, connections):
        problem = f"{moved} had other fields in run {last['session']}"
        fail("RUN006", problem=problem, hint="set them as they were, or run it anew")


def _with_id(
    root: Path,
    manifest: Manifest,
    runs: list[Summary],
    run_id: str,
    connections: Callable[[], Mapping[str, str]],
) -> Start:
    done = _finisher(runs, run_id, manifest.fingerprint)
    if done:
        return Start(run_id, finished=done, notes=(diagnostic("RUN009", run_id=run_id, session=done),))
    if other := _finisher(runs, run_id):
        fail("RUN016", run_id=run_id, session=other)
    last = _newest(runs, manifest.fingerprint, run_id)
    if last is None:
        return Start(run_id)
    _refuse_moved(last, connections())
    return _continue(root, manifest, last)


def _resumable(project: Project, manifest: Manifest, runs: list[Summary], session: str) -> Summary:
    """Return the run to go on with: the newest, or the newest attempt at what the named session attempted."""
    named = _newest(runs) if session == "last" else open_session(project, session)
    if named is None:
        fail("RUN006", problem=f"pipeline '{manifest.name}' was never run here")
    if named["status"] == "complete":
        fail("RUN006", problem=f"run {named['session']} is complete")
    if named["fingerprint"] != manifest.fingerprint:
        fail("RUN006", problem=f"run {named['session']} had another plan")
    if done := _finisher(runs, named["run_key"]):
        fail("RUN006", problem=f"what run {named['session']} began was completed by run {done}")
    return _newest(runs, manifest.fingerprint, named["run_key"]) or named


def _newest(runs: list[Summary], fingerprint: str | None = None, run_key: str | None = None) -> Summary | None:
    """Return the newest run of that plan and key, as far as given.

    Names of sessions sort by a clock that may be set back, so a run that another one continued is never the newest.
    """
    continued = {run.get("continues") for run in runs}
    wanted = (run for run in runs if fingerprint in (None, run["fingerprint"]) and run_key in (None, run["run_key"]))
    return next((run for run in wanted if run["session"] not in continued), None)


def _finisher(runs: list[Summary], run_key: str, fingerprint: str | None = None) -> str | None:
    """Return the session that completed a run key, by that plan if one is given."""
    done = (run for run in runs if run["status"] == "complete" and run["run_key"] == run_key)
    return next((run["session"] for run in done if fingerprint in (None, run["fingerprint"])), None)


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


def _runs(project: Project, pipeline: str) -> list[Summary]:
    return [s for s in iter_sessions(project) if s.get("kind") == "run" and s["pipeline"] == pipeline]


def whole_second(now: float) -> str:
    """Return a time as `${run.started_at}` is spelled: UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")
