"""Decides what a run is: a new one, the continuation of one that did not end well, or nothing at all."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from osiris.delivery import has_ledger, is_still_there
from osiris.durable import guarded, move, remove, remove_folder
from osiris.errors import Diagnostic, diagnostic, fail
from osiris.project import Project
from osiris.runner.selection import with_read
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
"""Seconds by which a clock may be set back: a run that seems to begin so much later began just now."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


States = Mapping[str, str]
"""What tells that something is as it was: of a connection the digest of its fields, of a step's source its state."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asks for: at most one of a new run, a run id, and the session to resume (`last` for the last).

    `selected` are the steps to run; None for all of them.
    """

    new_run: bool = False
    run_id: str | None = None
    resume: str | None = None
    continue_within: float = 6 * 3600.0
    selected: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """What a run starts from. `run_key` is None if the key is to be the new session's id.

    `finished` is the session that has done it all already; `deliveries` are those of the continued run that are still
    there, by step, `kept` its spools that are intact, and `skip` the steps not to be run, each with the reason.
    `sources` has the states of the sources that the continued run was to read.
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
class Surroundings:
    """What a run that is continued must find as it was; asked for only if one might be.

    `connections` gives the digests of the plain fields that each connection has now, `sources` the states of the
    sources of read steps, as far as they have one.
    """

    connections: Callable[[], States] = dict
    sources: Callable[[], States] = dict


def decide(project: Project, manifest: Manifest, wish: Wish, here: Surroundings, now: float) -> Start:
    """Return what to start from; `now` is the time in seconds since the epoch.

    Only runs of the same steps count, so that what one selection did is never taken for what another one is to do.
    Fails with RUN014 for a bad run id, RUN016 for one that another plan has finished, RUN010 for an
    unknown session, RUN006 for one that cannot be continued, RUN035 for one that another version planned.
    """
    if wish.run_id is not None and not _RUN_ID.fullmatch(wish.run_id):
        fail("RUN014", run_id=wish.run_id)
    start = _decide(project, manifest, wish, here, now)
    return replace(start, skip={**not_selected(manifest, wish.selected), **start.skip})


def _decide(project: Project, manifest: Manifest, wish: Wish, here: Surroundings, now: float) -> Start:
    every = _runs(project, manifest.name)
    start = Start() if wish.new_run else _chosen(project, manifest, every, wish, here, now)
    if start.continues or start.finished:
        return start
    return replace(start, notes=(*start.notes, *_rows_that_stay(manifest, _newest(every))))


def _chosen(
    project: Project, manifest: Manifest, every: list[Summary], wish: Wish, here: Surroundings, now: float
) -> Start:
    runs = [run for run in every if run.get("selected") == wish.selected or "problem" in run]
    if wish.run_id is not None:
        if not _finisher(runs, wish.run_id, manifest.fingerprint):
            _refuse_taken(every, wish.run_id, manifest.fingerprint)
            _refuse_other_version(project, manifest, runs, wish, here, now)
        return _with_id(project.root, manifest, runs, wish.run_id, here)
    if wish.resume is not None:
        return _resume(project.root, manifest, _resumable(project, manifest, runs, wish.resume), here)
    _refuse_other_version(project, manifest, runs, wish, here, now)
    newest = _newest(runs, manifest.fingerprint)
    return _go_on(project, manifest, runs, newest, wish, here, now) if newest else Start()


def _refuse_other_version(
    project: Project, manifest: Manifest, runs: list[Summary], wish: Wish, here: Surroundings, now: float
) -> None:
    """Fail with RUN035 if a run would go on, were it not for another version that made its plan of the same file.

    A new run would deliver the same rows again.
    """
    for run in _last_attempts(runs, wish.run_id):
        if run["fingerprint"] == manifest.fingerprint or not (wish.run_id or _is_recent(run, wish, now)):
            return
        changed = _changed_versions(project, manifest, run)
        if not changed:
            continue
        if run["status"] == "complete" and not _is_untold(project, run, wish, here.connections, now):
            return
        if _goes_on(runs, run, here):
            hint = "use another id" if wish.run_id else None
            fail("RUN035", session=run["session"], status=run["status"], what=", ".join(changed), hint=hint)


def _changed_versions(project: Project, manifest: Manifest, run: Summary) -> list[str]:
    """Return what is of another version in the plan of a run; nothing if its plan is not of the same file."""
    plan = read_plan(project.logs / run["session"])
    return _other_versions(plan, manifest.data) if plan else []


def _last_attempts(runs: list[Summary], run_id: str | None) -> list[Summary]:
    """Return the runs that none continues; with a `run_id` those of that key."""
    continued = {run.get("continues") for run in runs}
    return [run for run in runs if run_id in (None, run["run_key"]) and run["session"] not in continued]


def _goes_on(runs: list[Summary], run: Summary, here: Surroundings) -> bool:
    """Tell whether no other run completed what a run began, and its connections lead to where they led."""
    return _finisher(runs, run["run_key"]) in (None, run["session"]) and not _moved(run, here.connections())


def _other_versions(before: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> list[str]:
    """Name what has different versions in two plans of one file; empty if the files differ, or a plan is damaged."""
    try:
        is_same, made, makes = _asked(before, now) == _asked(now, before), _versions(before), _versions(now)
    except (LookupError, TypeError, AttributeError):
        return []
    if not is_same:
        return []
    return sorted(name for name in made if makes.get(name, made[name]) != made[name])


def _asked(plan: Mapping[str, JsonValue], other: Mapping[str, JsonValue]) -> JsonValue:
    """Return what the file of a plan said, without keys that only one of two versions fills with a default."""
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


def _go_on(
    project: Project,
    manifest: Manifest,
    runs: list[Summary],
    newest: Summary,
    wish: Wish,
    here: Surroundings,
    now: float,
) -> Start:
    """Return what the same command makes of the newest run: its end is told, or it goes on, or another one begins."""
    if _is_untold(project, newest, wish, here.connections, now):
        if changed := _differing(newest["sources"], manifest, here.sources()):
            return Start(notes=(*_damage(newest), _begun_anew(newest, changed)))
        told = diagnostic("RUN032", session=newest["session"])
        return Start(newest["run_key"], finished=newest["session"], notes=(*_damage(newest), told))
    if _finisher(runs, newest["run_key"]):
        return Start(notes=_damage(newest))
    return _continue_unasked(project.root, manifest, newest, wish, here, now)


def _is_untold(project: Project, last: Summary, wish: Wish, connections: Callable[[], States], now: float) -> bool:
    """Tell whether a run is complete and nobody was told, as its process was killed: the same command tells it."""
    if last["status"] != "complete" or not is_unacknowledged(project, last["session"]):
        return False
    return _is_recent(last, wish, now) and not _moved(last, connections())


def _is_recent(last: Summary, wish: Wish, now: float) -> bool:
    """Tell whether a run began within the time in which one is continued unasked."""
    return -_BACKWARDS <= _age(last, now) < wish.continue_within


def _rows_that_stay(manifest: Manifest, last: Summary | None) -> tuple[Diagnostic, ...]:
    """Warn of rows that an unfinished run has added to tables to which a new run adds its own."""
    if last is None or last["status"] == "complete":
        return ()
    added = {step: told["rows"] for step, told in last["deliveries"].items() if not told["files"]}
    adding = _adding(manifest)
    steps = ", ".join(f"step '{step}' {rows} rows" for step, rows in added.items() if rows and step in adding)
    return (diagnostic("RUN056", session=last["session"], status=last["status"], steps=steps),) if steps else ()


def _damage(last: Summary) -> tuple[Diagnostic, ...]:
    """Say that a run's session is damaged, if it is."""
    return (diagnostic("RUN031", session=last["session"], problem=last["problem"]),) if "problem" in last else ()


def _age(last: Summary, now: float) -> float:
    return now - datetime.fromisoformat(last["started_at"]).timestamp()


def _continue_unasked(
    root: Path, manifest: Manifest, newest: Summary, wish: Wish, here: Surroundings, now: float
) -> Start:
    """Continue an unfinished run, unless something speaks against it: then start anew, and say why."""
    if note := _left_alone(newest, wish, here.connections(), now):
        return Start(notes=(note,))
    start, changed = _unmixed(root, manifest, newest, here)
    return Start(notes=(_begun_anew(newest, changed),)) if changed else start


def _begun_anew(last: Summary, changed: str) -> Diagnostic:
    return _not_continued(last, f"the {changed} changed since", "nothing to do: the new run reads it as it is now")


def _left_alone(last: Summary, wish: Wish, connections: States, now: float) -> Diagnostic | None:
    """Say why an unfinished run is not continued unasked; None if it is."""
    age = _age(last, now)
    hint = None
    if moved := _moved(last, connections):
        reason, hint = f"{moved} had other fields then", "set them as they were and pass --resume to continue it"
    elif age < -_BACKWARDS:
        reason = "it started later than it is now by this clock"
    elif age >= wish.continue_within:
        reason = f"it started more than {duration_text(wish.continue_within)} ago"
    else:
        return None
    return _not_continued(last, reason, hint)


def _not_continued(last: Summary, reason: str, hint: str | None) -> Diagnostic:
    return diagnostic("RUN012", session=last["session"], status=last["status"], reason=reason, hint=hint)


def _moved(last: Summary, connections: States) -> str:
    """Name the connections whose plain fields are not what they were in that run; empty if none are."""
    before = last["connections"]
    if before is None:  # nobody knows
        return ""
    names = sorted(ref for ref in {*before, *connections} if before.get(ref) != connections.get(ref))
    return f"connection {', '.join(names)}" if names else ""


def _unmixed(
    root: Path, manifest: Manifest, last: Summary, here: Surroundings, *, resumed: bool = False
) -> tuple[Start, str]:
    """Continue a run without kept outputs of sources that changed; also name those of which something was delivered.

    What was kept of a source that cannot tell whether it changed is used only if the run is `resumed` by name.
    """
    start = _continue(root, manifest, last, keep=True)
    if start.kept:
        stale, unknown = _stale(start, manifest, here.sources())
        told = [diagnostic("RUN034", step=s, source=source, session=last["session"]) for s, source in stale.items()]
        used = {step: source for step, source in unknown.items() if resumed}
        told += [diagnostic("RUN057", step=s, source=source, session=last["session"]) for s, source in used.items()]
        without = [*stale, *(step for step in unknown if step not in used)]
        start = _continue(root, manifest, last, keep=True, without=without)
        start = replace(start, notes=(*start.notes, *told))
    if not _changed(start, manifest, here.sources()):
        return start, ""
    start = _continue(root, manifest, last, keep=False)
    return start, _changed(start, manifest, here.sources())


def _stale(start: Start, manifest: Manifest, sources: States) -> tuple[dict[str, str], dict[str, str]]:
    """Return the steps whose kept output is of a source that changed, and of one that may have; each with it."""
    stale, unknown = {}, {}
    for step in start.kept:
        read = _of_mode(with_read(manifest, [step]), "read")
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
    """Tell whether a source is in the state in which it was; None if one of the two is not known."""
    return before[source] == now[source] if source in before and source in now else None


def _changed(start: Start, manifest: Manifest, sources: States) -> str:
    """Name the sources that would be read again and are not what they were, of which there already is a result.

    One that could not or cannot tell its state counts as unchanged. Empty if there are none.
    """
    above = {*start.deliveries, *start.kept}
    for step in reversed(manifest.steps):
        if step["id"] in above:
            above.update(step["inputs"].values())
    before = {step: state for step, state in start.sources.items() if step in above and step not in start.skip}
    return _differing(before, manifest, sources)


def _differing(before: States, manifest: Manifest, sources: States) -> str:
    """Name the sources whose states are known and differ; empty if there are none."""
    read = [step["id"] for step in manifest.steps if step["mode"] == "read"]
    names = [f"'{step}'" for step in read if step in before and step in sources and before[step] != sources[step]]
    return f"source of step {', '.join(names)}" if names else ""


def _continue_as_asked(
    root: Path, manifest: Manifest, last: Summary, here: Surroundings, *, resumed: bool = False
) -> tuple[Start, str]:
    """Continue a run because somebody asked for it, and as `_unmixed`; fails with RUN006 for another environment."""
    if moved := _moved(last, here.connections()):
        problem = f"{moved} had other fields in run {last['session']}"
        fail("RUN006", problem=problem, hint="restore them, or start a new run with --new-run")
    return _unmixed(root, manifest, last, here, resumed=resumed)


def _resume(root: Path, manifest: Manifest, last: Summary, here: Surroundings) -> Start:
    start, changed = _continue_as_asked(root, manifest, last, here, resumed=True)
    if changed:
        fail("RUN006", problem=f"the {changed} changed since run {last['session']}, which already delivered part of it")
    return start


def _with_id(root: Path, manifest: Manifest, runs: list[Summary], run_id: str, here: Surroundings) -> Start:
    """Return what an id begins, goes on with or has done; there is no starting anew under the same id."""
    done = _finisher(runs, run_id, manifest.fingerprint)
    if done:
        return Start(run_id, finished=done, notes=(diagnostic("RUN009", run_id=run_id, session=done),))
    last = _newest(runs, manifest.fingerprint, run_id)
    if last is None:
        return Start(run_id)
    start, changed = _continue_as_asked(root, manifest, last, here)
    if changed:
        mixed = diagnostic("RUN020", what=changed, session=last["session"], delivered=", ".join(start.deliveries))
        return replace(start, notes=(*start.notes, mixed))
    return start


def _refuse_taken(runs: list[Summary], run_id: str, fingerprint: str) -> None:
    """Fail with RUN016 if another plan has finished a run id."""
    if other := _finisher([run for run in runs if run["fingerprint"] != fingerprint], run_id):
        fail("RUN016", run_id=run_id, session=other)


def _adding(manifest: Manifest) -> set[str]:
    """Return the writers that add rows to those that are there."""
    writers = _of_mode(manifest.steps, "write")
    return {step["id"] for step in writers if step["config"].get("write_mode", "append") == "append"}


def _resumable(project: Project, manifest: Manifest, runs: list[Summary], session: str) -> Summary:
    """Return the run to go on with: the newest, or the newest attempt at what the named session attempted."""
    named = _newest(runs) if session == "last" else _of_session(project, runs, session)
    if named is None:
        fail("RUN006", problem=f"pipeline '{manifest.name}' has never run here")
    if named["status"] == "complete":
        fail("RUN006", problem=f"run {named['session']} is complete")
    if named["fingerprint"] not in ("", manifest.fingerprint):
        fail("RUN006", problem=f"run {named['session']} ran another plan")
    if named not in runs:
        fail("RUN006", problem=f"run {named['session']} selected other steps", hint="use the same --select")
    if done := _finisher(runs, named["run_key"]):
        fail("RUN006", problem=f"run {named['session']} was completed by run {done}")
    return _newest(runs, manifest.fingerprint, named["run_key"]) or named


def _newest(runs: list[Summary], fingerprint: str | None = None, run_key: str | None = None) -> Summary | None:
    """Return the newest run of that plan and key, as far as given; one that another one continued never is.

    A damaged one whose plan is not known may be of this plan.
    """
    continued = {run.get("continues") for run in runs}
    plans = (None,) if fingerprint is None else ("", fingerprint)
    wanted = (run for run in runs if plans == (None,) or run["fingerprint"] in plans)
    wanted = (run for run in wanted if run_key in (None, run["run_key"]))
    return next((run for run in wanted if run["session"] not in continued), None)


def _finisher(runs: list[Summary], run_key: str, fingerprint: str | None = None) -> str | None:
    """Return the session that completed a run key, by that plan if one is given."""
    done = (run for run in runs if run["status"] == "complete" and run["run_key"] == run_key)
    return next((run["session"] for run in done if fingerprint in (None, run["fingerprint"])), None)


def _of_session(project: Project, runs: list[Summary], session: str) -> Summary:
    same = (run for run in runs if run["session"] == session)
    return next(same, None) or open_session(project, session)


def _continue(root: Path, manifest: Manifest, last: Summary, *, keep: bool, without: Collection[str] = ()) -> Start:
    delivered = {step: told for step, told in last["deliveries"].items() if _is_there(root, told)}
    left_out = not_selected(manifest, last.get("selected"))
    selected = [step for step in manifest.steps if step["id"] not in left_out]
    needless = not_needed(selected, delivered)
    unusable = {*delivered, *needless, *_refused(manifest, last), *_secretive(manifest), *without}
    kept, damaged = find_kept(Project(root), last, unusable) if keep else ({}, [])
    skip = {step: f"delivered by {told['session']}" for step, told in delivered.items()}
    skip |= {step: f"its output was kept by {told['session']}" for step, told in kept.items()}
    skip |= dict.fromkeys(sorted(needless), "all that read it are delivered")
    above = not_needed(selected, skip)
    skip |= dict.fromkeys(sorted(above), "all that read it are delivered, or their output was kept")
    note = diagnostic("RUN011", session=last["session"], status=last["status"])
    return Start(
        run_key=last["run_key"],
        run_started_at=last["run_started_at"],
        continues=last["session"],
        deliveries=delivered,
        kept=kept,
        skip={**left_out, **skip},
        sources=last.get("sources") or {},
        notes=(*_damage(last), note, *damaged),
    )


def _refused(manifest: Manifest, last: Summary) -> set[str]:
    """Return the steps whose output a check refused, or what they were made of: kept, it would be refused for ever."""
    broken = any(told["code"] == _CHECK_FAILED for told in last.get("diagnostics") or ())
    failed = [step for step, told in last["steps"].items() if broken and told["status"] == "failed"]
    return {step["id"] for step in with_read(manifest, failed)}


def _secretive(manifest: Manifest) -> set[str]:
    """Return the steps whose output depends on a sensitive parameter: nothing tells whether it has the same value."""
    spellings = [f"{before}{name}" for name in manifest.data["sensitive"] for before in ("params.", "param_")]
    found: set[str] = set()
    for step in manifest.steps if spellings else ():
        config = json.dumps(step["config"])
        if found.intersection(step["inputs"].values()) or any(each in config for each in spellings):
            found.add(step["id"])
    return found


def not_selected(manifest: Manifest, selected: list[str] | None) -> dict[str, str]:
    """Return the steps that a selection (None: all) leaves out, each with the reason."""
    return {step["id"]: "not selected" for step in manifest.steps if selected and step["id"] not in selected}


def _is_there(root: Path, told: Mapping[str, JsonValue]) -> bool:
    return is_still_there(root, told["files"]) and has_ledger(root, told.get("ledger"))


def _runs(project: Project, pipeline: str) -> list[Summary]:
    """Return all runs of a pipeline, the newest first; of a damaged one what can still be told."""
    found = (read_summary(folder) or read_recovered(folder) for folder in session_folders(project))
    return [run for run in found if run and run.get("kind") == "run" and run["pipeline"] == pipeline]


def whole_second(now: float) -> str:
    """Return a time as `${run.started_at}` is spelled: UTC, ISO 8601, to the second."""
    return datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")


def find_kept(
    project: Project, last: Mapping[str, JsonValue], needless: Collection[str]
) -> tuple[dict[str, JsonValue], list[Diagnostic]]:
    """Return what run `last` kept of steps whose output is still needed, and a note for each that is damaged.

    A spool that all its readers were done with is not there any more, and nothing is said of it.
    """
    folder = project.spools / last["session"]
    candidates = {step: told for step, told in (last.get("spools") or {}).items() if step not in needless}
    present = {step: told for step, told in candidates.items() if (folder / told["file"]["path"]).exists()}
    intact = {step: told for step, told in present.items() if is_still_there(folder, [told["file"]])}
    return intact, [diagnostic("RUN019", step=step, session=last["session"]) for step in present if step not in intact]


def take_over(project: Project, kept: Mapping[str, JsonValue], last: str | None, session: str) -> None:
    """Make the spools that run `last` kept those of a session, and remove what else it left there."""
    if last is None:
        return
    wanted = {told["file"]["path"] for told in kept.values()}
    with guarded(project.spools / last):
        for path in (project.spools / last).glob("*"):
            if path.name not in wanted:
                remove(path)
        if kept:
            move(project.spools / last, project.spools / session)
            return
    remove_folder(project.spools / last)


def let_go(project: Project, session: str, *, ended_well: bool) -> None:
    """Remove the spools of a session that nobody will continue, or its folder if there is nothing in it."""
    folder = project.spools / session
    if ended_well or (folder.is_dir() and not any(folder.iterdir())):
        remove_folder(folder)


def sweep_kept(project: Project, wanted: str | None, now: float, within: float) -> None:
    """Remove what no run will use: of sessions that ended well, are gone, or began too long ago, but not of `wanted`.

    `now` is in seconds since the epoch, `within` the seconds in which a run may be continued.
    """
    for folder in project.spools.glob("*"):
        if folder.name != wanted and not _may_be_continued(project.logs / folder.name, now, within):
            remove_folder(folder)


def _may_be_continued(session: Path, now: float, within: float) -> bool:
    run = read_summary(session)
    if run is None or run["status"] == "complete":
        return False
    return now - datetime.fromisoformat(run["started_at"]).timestamp() <= within
