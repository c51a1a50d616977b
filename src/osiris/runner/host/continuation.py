"""Decides how to start a run: as a new one, by continuing an unfinished one, or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from osiris.delivery import has_ledger, is_still_there
from osiris.errors import Diagnostic, diagnostic, fail
from osiris.project import Project
from osiris.runner.host.spools import find_kept_spools
from osiris.runner.selection import steps_of_pairs, with_upstream
from osiris.runner.stages import not_needed
from osiris.session.finding import open_session, session_folders
from osiris.session.lost import is_unacknowledged, read_plan, read_recovered
from osiris.session.stored import read_summary
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from osiris.model import JsonValue, Manifest

Summary = dict[str, "JsonValue"]

_CHECK_FAILED = "DAT030"
_BACKWARDS = 15 * 60.0
"""Tolerance in seconds for a clock that was set back: a run starting that far in the future counts as recent."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:+_-]{0,127}")
"""Includes the ids of schedulers, such as Airflow's `scheduled__2026-11-30T00:00:00+00:00`."""


States = Mapping[str, str]
"""Used to detect changes: the digest of the fields of each connection, or the state of each step's source."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the caller asks for: at most one of a new run, a run id, and the session to resume (`last`: the newest).

    `selected` are the steps to run; None for all. `continue_within` is in seconds.
    """

    new_run: bool = False
    run_id: str | None = None
    resume: str | None = None
    continue_within: float = 6 * 3600.0
    selected: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """How a run starts. `run_key` is None if the new session's id is the key.

    `finished` is the session that already completed the run. Of a continued run, `deliveries` are the deliveries that
    still exist, by step, and `kept` its intact spools. `skip` has the steps not to run, each with the reason, and
    `sources` the states of the sources that the continued run was to read.
    """

    run_key: str | None = None
    run_started_at: str | None = None
    continues: str | None = None
    finished: str | None = None
    deliveries: dict[str, JsonValue] = field(default_factory=dict)
    kept: dict[str, JsonValue] = field(default_factory=dict)
    skip: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class CurrentStates:
    """The current states that a continued run must find unchanged; computed only when needed.

    `connections` returns the digests of each connection's plain fields, `sources` the states of the read steps'
    sources, where they have one.
    """

    connections: Callable[[], States] = dict
    sources: Callable[[], States] = dict


def decide(project: Project, manifest: Manifest, request: RunRequest, current: CurrentStates, now: float) -> Start:
    """Return how to start; `now` is in seconds since the epoch.

    Only runs with the same selection of steps count. Fails with RUN014 for an invalid run id, RUN016 for one that
    another plan has finished, RUN010 for an unknown session, RUN006 for one that cannot be continued, and RUN035 for
    one that another version planned.
    """
    if request.run_id is not None and not _RUN_ID.fullmatch(request.run_id):
        fail("RUN014", run_id=request.run_id)
    start = _decide(project, manifest, request, current, now)
    return replace(start, skip={**not_selected(manifest, request.selected), **start.skip})


def _decide(project: Project, manifest: Manifest, request: RunRequest, current: CurrentStates, now: float) -> Start:
    every = _runs(project, manifest.name)
    start = Start() if request.new_run else _chosen(project, manifest, every, request, current, now)
    if start.continues or start.finished:
        return start
    return replace(start, notes=(*start.notes, *_leftover_rows(manifest, _newest(every))))


def _chosen(
    project: Project, manifest: Manifest, every: list[Summary], request: RunRequest, current: CurrentStates, now: float
) -> Start:
    runs = [run for run in every if run.get("selected") == request.selected or "problem" in run]
    if request.run_id is not None:
        if not _finisher(runs, request.run_id, manifest.fingerprint):
            _refuse_used_id(every, request.run_id, manifest.fingerprint)
            _refuse_other_version(project, manifest, runs, request, current, now)
        return _with_id(project.root, manifest, runs, request.run_id, current)
    if request.resume is not None:
        return _resume(project.root, manifest, _resumable(project, manifest, runs, request.resume), current)
    _refuse_other_version(project, manifest, runs, request, current, now)
    newest = _newest(runs, manifest.fingerprint)
    return _continue_newest(project, manifest, runs, newest, request, current, now) if newest else Start()


def _refuse_other_version(
    project: Project, manifest: Manifest, runs: list[Summary], request: RunRequest, current: CurrentStates, now: float
) -> None:
    """Fail with RUN035 if a run would be continued had not another version compiled its plan from the same file.

    A new run would deliver the same rows again.
    """
    for run in _last_attempts(runs, request.run_id):
        if run["fingerprint"] == manifest.fingerprint or not (request.run_id or _is_recent(run, request, now)):
            return
        changed = _changed_versions(project, manifest, run)
        if not changed:
            continue
        if run["status"] == "complete" and not _is_unreported(project, run, request, current.connections, now):
            return
        if _would_continue(runs, run, current):
            hint = "use another id" if request.run_id else None
            fail("RUN035", session=run["session"], status=run["status"], what=", ".join(changed), hint=hint)


def _changed_versions(project: Project, manifest: Manifest, run: Summary) -> list[str]:
    """Return what has another version in the plan of a run; empty if its plan is of another file."""
    plan = read_plan(project.logs / run["session"])
    return _other_versions(plan, manifest.data) if plan else []


def _last_attempts(runs: list[Summary], run_id: str | None) -> list[Summary]:
    """Return the runs that no other run continues; with a `run_id`, only those with that key."""
    continued = {run.get("continues") for run in runs}
    return [run for run in runs if run_id in (None, run["run_key"]) and run["session"] not in continued]


def _would_continue(runs: list[Summary], run: Summary, current: CurrentStates) -> bool:
    """Return whether no other run completed this run, and its connections are unchanged."""
    return _finisher(runs, run["run_key"]) in (None, run) and not _changed_connections(run, current.connections())


def _other_versions(before: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> list[str]:
    """Name what has different versions in two plans of one file; empty if the files differ or a plan is damaged."""
    try:
        is_same, versions_before, versions_now = (
            _compiled_content(before, now) == _compiled_content(now, before),
            _versions(before),
            _versions(now),
        )
    except (LookupError, TypeError, AttributeError):
        return []
    if not is_same:
        return []
    return sorted(
        name for name in versions_before if versions_now.get(name, versions_before[name]) != versions_before[name]
    )


def _compiled_content(plan: Mapping[str, JsonValue], other: Mapping[str, JsonValue]) -> JsonValue:
    """Return the compiled content of a plan's file, without config keys that only one of two versions has."""
    theirs = {step["id"]: step["config"] for step in other["steps"]}
    steps = [
        {
            **{key: step[key] for key in ("id", "component", "mode", "inputs")},
            "config": {key: value for key, value in step["config"].items() if key in theirs.get(step["id"], ())},
        }
        for step in plan["steps"]
    ]
    return [plan["pipeline"]["name"], plan["connections"], steps]


def _versions(plan: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    components = {step["component"]: [step["version"], step["spec"]] for step in plan["steps"]}
    return {"osiris": plan["osiris"], **plan["engines"], **components}


def _continue_newest(
    project: Project,
    manifest: Manifest,
    runs: list[Summary],
    newest: Summary,
    request: RunRequest,
    current: CurrentStates,
    now: float,
) -> Start:
    """Decide on the newest run, given the same command: report its end, continue it, or start a new one."""
    if _is_unreported(project, newest, request, current.connections, now):
        if changed := _differing(newest["sources"], manifest, current.sources()):
            return Start(notes=(*_damage(newest), _started_new(newest, changed)))
        finished = diagnostic("RUN032", session=newest["session"])
        return Start(newest["run_key"], finished=newest["session"], notes=(*_damage(newest), finished))
    if _finisher(runs, newest["run_key"]):
        return Start(notes=_damage(newest))
    return _continue_by_default(project.root, manifest, newest, request, current, now)


def _is_unreported(
    project: Project, last: Summary, request: RunRequest, connections: Callable[[], States], now: float
) -> bool:
    """Return whether a run is complete but was never reported, as its process was killed."""
    if last["status"] != "complete" or not is_unacknowledged(project, last["session"]):
        return False
    return _is_recent(last, request, now) and not _changed_connections(last, connections())


def _is_recent(last: Summary, request: RunRequest, now: float) -> bool:
    """Return whether a run is recent enough to be continued by default."""
    return -_BACKWARDS <= _age(last, now) < request.continue_within


def _leftover_rows(manifest: Manifest, last: Summary | None) -> tuple[Diagnostic, ...]:
    """Warn of rows that an unfinished run appended to tables to which the new run appends again."""
    if last is None or last["status"] == "complete":
        return ()
    added = {step: delivery["rows"] for step, delivery in last["deliveries"].items() if not delivery["files"]}
    adding = _adding(manifest)
    steps = ", ".join(f"{rows:,} rows in step '{step}'" for step, rows in added.items() if rows and step in adding)
    return (diagnostic("RUN056", session=last["session"], status=last["status"], steps=steps),) if steps else ()


def _damage(last: Summary) -> tuple[Diagnostic, ...]:
    """Return a note if a run's session is damaged."""
    return (diagnostic("RUN031", session=last["session"], problem=last["problem"]),) if "problem" in last else ()


def _age(last: Summary, now: float) -> float:
    return now - datetime.fromisoformat(last["started_at"]).timestamp()


def _continue_by_default(
    root: Path, manifest: Manifest, newest: Summary, request: RunRequest, current: CurrentStates, now: float
) -> Start:
    """Continue an unfinished run, or start a new one with a note on why not."""
    if note := _why_not_continued(newest, request, current.connections(), now):
        return Start(notes=(note,))
    start, changed = _without_stale(root, manifest, newest, current)
    return Start(notes=(_started_new(newest, changed),)) if changed else start


def _started_new(last: Summary, changed: str) -> Diagnostic:
    return _not_continued(last, f"the {changed} has changed since", "nothing to do: the new run reads it as it is now")


def _why_not_continued(last: Summary, request: RunRequest, connections: States, now: float) -> Diagnostic | None:
    """Return why an unfinished run is not continued by default; None if it is."""
    age = _age(last, now)
    hint = None
    if moved := _changed_connections(last, connections):
        reason, hint = (
            f"the fields of {moved} have changed",
            "to resume that run, restore them and pass --resume",
        )
    elif age < -_BACKWARDS:
        reason = "it started later than it is now by this clock"
    elif age >= request.continue_within:
        reason = f"it started more than {duration_text(request.continue_within)} ago"
    else:
        return None
    return _not_continued(last, reason, hint)


def _not_continued(last: Summary, reason: str, hint: str | None) -> Diagnostic:
    return diagnostic("RUN012", session=last["session"], status=last["status"], reason=reason, hint=hint)


def _changed_connections(last: Summary, connections: States) -> str:
    """Name the connections whose plain fields changed since that run; empty if none did."""
    before = last["connections"]
    if before is None:  # unknown
        return ""
    names = sorted(ref for ref in {*before, *connections} if before.get(ref) != connections.get(ref))
    return f"connection {', '.join(names)}" if names else ""


def _without_stale(
    root: Path, manifest: Manifest, last: Summary, current: CurrentStates, *, resumed: bool = False
) -> tuple[Start, str]:
    """Continue a run without kept outputs of changed sources; also name changed sources already partly delivered.

    A kept output whose source cannot be checked for changes is used only if the run is `resumed` explicitly.
    """
    start = _continue(root, manifest, last, keep=True)
    if start.kept:
        stale, unknown = _stale(start, manifest, current.sources())
        notes = [diagnostic("RUN034", step=s, source=source, session=last["session"]) for s, source in stale.items()]
        used = {step: source for step, source in unknown.items() if resumed}
        notes += [diagnostic("RUN057", step=s, source=source, session=last["session"]) for s, source in used.items()]
        without = [*stale, *(step for step in unknown if step not in used)]
        start = _continue(root, manifest, last, keep=True, without=without)
        start = replace(start, notes=(*start.notes, *notes))
    if not _changed(start, manifest, current.sources()):
        return _warning_of_unknown_changes(start, manifest, current.sources()), ""
    start = _continue(root, manifest, last, keep=False)
    return start, _changed(start, manifest, current.sources())


def _warning_of_unknown_changes(start: Start, manifest: Manifest, sources: States) -> Start:
    """Add a warning if sources are read again of which results exist, and it is unknown whether they have changed."""
    steps = [step for step in _read_again(start, manifest) if _is_same(step, start.sources, sources) is None]
    if not steps:
        return start
    earlier = " and ".join(f"step '{step}'" for step in {**start.deliveries, **start.kept})
    read = " and ".join(f"step '{step}'" for step in steps)
    warning = diagnostic("RUN067", steps=read, session=start.continues, earlier=earlier)
    return replace(start, notes=(*start.notes, warning))


def _stale(start: Start, manifest: Manifest, sources: States) -> tuple[dict[str, str], dict[str, str]]:
    """Return the steps whose kept output is of a changed source, and of one that may have changed; each with it."""
    stale, unknown = {}, {}
    for step in start.kept:
        read = _of_mode(with_upstream(manifest, [step]), "read")
        same = {each["id"]: _is_same(each["id"], start.sources, sources) for each in read}
        changed = [source for source, is_same in same.items() if is_same is False]
        if changed:
            stale[step] = changed[0]
        elif None in same.values():
            unknown[step] = next(source for source, is_same in same.items() if is_same is None)
    return stale, unknown


def _of_mode(steps: Iterable[Mapping[str, JsonValue]], mode: str) -> list[Mapping[str, JsonValue]]:
    return [step for step in steps if step["mode"] == mode]


def _is_same(source: str, before: States, now: States) -> bool | None:
    """Return whether the state of a source is unchanged; None if one of the two states is unknown."""
    return before[source] == now[source] if source in before and source in now else None


def _changed(start: Start, manifest: Manifest, sources: States) -> str:
    """Name the changed sources that would be read again although results of them exist; empty if there are none.

    A source without a state, then or now, counts as unchanged.
    """
    again = _read_again(start, manifest)
    return _differing({step: state for step, state in start.sources.items() if step in again}, manifest, sources)


def _read_again(start: Start, manifest: Manifest) -> list[str]:
    """Return the steps that read a source again although results of it were delivered or kept."""
    above = {*start.deliveries, *start.kept}
    for step in reversed(manifest.steps):
        if step["id"] in above:
            above.update(step["inputs"].values())
    left_out = {*start.skip, *steps_of_pairs(manifest)}
    return [step["id"] for step in _of_mode(manifest.steps, "read") if step["id"] in above - left_out]


def _differing(before: States, manifest: Manifest, sources: States) -> str:
    """Name the sources whose two states are known and differ; empty if there are none."""
    pairs = steps_of_pairs(manifest)
    read = [step["id"] for step in manifest.steps if step["mode"] == "read" and step["id"] not in pairs]
    names = [f"'{step}'" for step in read if step in before and step in sources and before[step] != sources[step]]
    return f"source of step {', '.join(names)}" if names else ""


def _continue_on_request(
    root: Path, manifest: Manifest, last: Summary, current: CurrentStates, *, resumed: bool = False
) -> tuple[Start, str]:
    """Continue a run explicitly, as `_without_stale`; fails with RUN006 if connections changed."""
    if moved := _changed_connections(last, current.connections()):
        problem = f"{moved} had other fields in run {last['session']}"
        fail("RUN006", problem=problem, hint="restore them, or start a new run with --new-run")
    return _without_stale(root, manifest, last, current, resumed=resumed)


def _resume(root: Path, manifest: Manifest, last: Summary, current: CurrentStates) -> Start:
    start, changed = _continue_on_request(root, manifest, last, current, resumed=True)
    if changed:
        fail("RUN006", problem=f"the {changed} changed since run {last['session']}, which already delivered part of it")
    return start


def _with_id(root: Path, manifest: Manifest, runs: list[Summary], run_id: str, current: CurrentStates) -> Start:
    """Return the start of a run id: a new run, a continuation, or a finished one; an id is never restarted."""
    if done := _finisher(runs, run_id, manifest.fingerprint):
        return _finished(manifest, done, current)
    last = _newest(runs, manifest.fingerprint, run_id)
    if last is None:
        return Start(run_id)
    start, changed = _continue_on_request(root, manifest, last, current)
    if changed:
        delivered = " and ".join(f"step '{step}'" for step in start.deliveries)
        mixed = diagnostic("RUN020", what=changed, session=last["session"], delivered=delivered)
        return replace(start, notes=(*start.notes, mixed))
    return start


def _finished(manifest: Manifest, done: Summary, current: CurrentStates) -> Start:
    """Return that nothing is left to do; fails with RUN016 if the run would have gone elsewhere.

    It is not delivered elsewhere under the same id: of several targets, only some may have moved.
    """
    run_id, session = done["run_key"], done["session"]
    moved = manifest.data["connections"] and _changed_connections(done, current.connections())
    if moved:
        fail("RUN016", run_id=run_id, by=f"with other fields of {moved}", session=session)
    names = ", ".join(f"'{name}'" for name in manifest.data["sensitive"])
    unknown = f"; sensitive parameters are not compared, as they are not recorded: {names}" if names else ""
    note = diagnostic("RUN009", run_id=run_id, session=session, unknown=unknown)
    return Start(run_id, finished=session, notes=(note,))


def _refuse_used_id(runs: list[Summary], run_id: str, fingerprint: str) -> None:
    """Fail with RUN016 if another plan has completed this run id."""
    if other := _finisher([run for run in runs if run["fingerprint"] != fingerprint], run_id):
        fail("RUN016", run_id=run_id, by="by another plan", session=other["session"])


def _adding(manifest: Manifest) -> set[str]:
    """Return the steps that write in append mode, except those with a state, which says what is new."""
    writers = [step for step in _of_mode(manifest.steps, "write") if "state" not in step]
    return {step["id"] for step in writers if step["config"].get("write_mode", "append") == "append"}


def _resumable(project: Project, manifest: Manifest, runs: list[Summary], session: str) -> Summary:
    """Return the run to resume: the newest, or the newest attempt with the named session's run key."""
    requested = _newest(runs) if session == "last" else _of_session(project, runs, session)
    if requested is None:
        fail("RUN006", problem=f"pipeline '{manifest.name}' has never run here")
    if requested["status"] == "complete":
        fail("RUN006", problem=f"run {requested['session']} is complete")
    if requested["fingerprint"] not in ("", manifest.fingerprint):
        fail("RUN006", problem=f"run {requested['session']} ran another plan")
    if requested not in runs:
        fail("RUN006", problem=f"run {requested['session']} selected other steps", hint="use the same --select")
    if done := _finisher(runs, requested["run_key"]):
        fail("RUN006", problem=f"run {requested['session']} was completed by run {done['session']}")
    return _newest(runs, manifest.fingerprint, requested["run_key"]) or requested


def _newest(runs: list[Summary], fingerprint: str | None = None, run_key: str | None = None) -> Summary | None:
    """Return the newest run of that plan and key, where given, that no other run continued.

    A damaged run whose plan is unknown may be of this plan.
    """
    continued = {run.get("continues") for run in runs}
    plans = (None,) if fingerprint is None else ("", fingerprint)
    candidates = (run for run in runs if plans == (None,) or run["fingerprint"] in plans)
    candidates = (run for run in candidates if run_key in (None, run["run_key"]))
    return next((run for run in candidates if run["session"] not in continued), None)


def _finisher(runs: list[Summary], run_key: str, fingerprint: str | None = None) -> Summary | None:
    """Return the run that completed a run key, with that plan if one is given."""
    done = (run for run in runs if run["status"] == "complete" and run["run_key"] == run_key)
    return next((run for run in done if fingerprint in (None, run["fingerprint"])), None)


def _of_session(project: Project, runs: list[Summary], session: str) -> Summary:
    same = (run for run in runs if run["session"] == session)
    return next(same, None) or open_session(project, session)


def _continue(root: Path, manifest: Manifest, last: Summary, *, keep: bool, without: Collection[str] = ()) -> Start:
    # What is left of a pair is known to its state: skipping it would leave out what is new since.
    recorded = {step["id"]: last["deliveries"].get(step["id"]) for step in manifest.steps if "state" not in step}
    delivered = {step: spool for step, spool in recorded.items() if spool and _still_exists(root, spool)}
    left_out = not_selected(manifest, last.get("selected"))
    selected = [step for step in manifest.steps if step["id"] not in left_out]
    needless = not_needed(selected, delivered)
    unusable = {*delivered, *needless, *_failed_checks(manifest, last), *_uses_sensitive(manifest), *without}
    unusable |= steps_of_pairs(manifest)
    spools, damaged = find_kept_spools(Project(root), last, unusable) if keep else ({}, [])
    skip = {step: f"delivered by {spool['session']}" for step, spool in delivered.items()}
    skip |= {step: f"its output was kept by {spool['session']}" for step, spool in spools.items()}
    skip |= dict.fromkeys(sorted(needless), "all that read it are delivered")
    above = not_needed(selected, skip)
    skip |= dict.fromkeys(sorted(above), "all that read it are delivered, or their output was kept")
    note = diagnostic("RUN011", session=last["session"], status=last["status"])
    return Start(
        run_key=last["run_key"],
        run_started_at=last["run_started_at"],
        continues=last["session"],
        deliveries=delivered,
        kept=spools,
        skip={**left_out, **skip},
        sources=last.get("sources") or {},
        notes=(*_damage(last), note, *damaged),
    )


def _failed_checks(manifest: Manifest, last: Summary) -> set[str]:
    """Return the steps that failed a check, and their inputs: if kept, their output would fail again."""
    broken = any(item["code"] == _CHECK_FAILED for item in last.get("diagnostics") or ())
    failed = [step for step, item in last["steps"].items() if broken and item["status"] == "failed"]
    return {step["id"] for step in with_upstream(manifest, failed)}


def _uses_sensitive(manifest: Manifest) -> set[str]:
    """Return the steps that depend on a sensitive parameter, whose value cannot be compared with the earlier one."""
    spellings = [f"{before}{name}" for name in manifest.data["sensitive"] for before in ("params.", "param_")]
    dependent: set[str] = set()
    for step in manifest.steps if spellings else ():
        config = json.dumps(step["config"])
        if dependent.intersection(step["inputs"].values()) or any(each in config for each in spellings):
            dependent.add(step["id"])
    return dependent


def not_selected(manifest: Manifest, selected: list[str] | None) -> dict[str, str]:
    """Return the steps that a selection (None: all) excludes, each with the reason."""
    return {step["id"]: "not selected" for step in manifest.steps if selected and step["id"] not in selected}


def _still_exists(root: Path, delivery: Mapping[str, JsonValue]) -> bool:
    return is_still_there(root, delivery["files"]) and has_ledger(root, delivery.get("ledger"))


def _runs(project: Project, pipeline: str) -> list[Summary]:
    """Return all runs of a pipeline, newest first; of a damaged one, what can be recovered."""
    summaries = (read_summary(folder) or read_recovered(folder) for folder in session_folders(project))
    return [run for run in summaries if run and run.get("kind") == "run" and run["pipeline"] == pipeline]


def whole_second(now: float) -> str:
    """Return a time in the format of `${run.started_at}`: UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")
