"""Runs plans, and records runs that could not start."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from osiris.api.pipelines import compile_file, refuse_warnings, save
from osiris.api.replication import report_tables
from osiris.api.workspace import Workspace, find_file, find_plan, load_plan, project_scrubber, shown
from osiris.durable import make_folder
from osiris.errors import OsirisError, diagnostic, exit_code, fail
from osiris.project import PIPELINE_ENDINGS
from osiris.project_lock import SANDBOXES, hold_run
from osiris.session.finding import (
    RECENT,
    find_session,
    is_session_id,
    session_folders,
)
from osiris.session.stored import now_text
from osiris.session.writing import ENDS, create_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.api.plan import Tables
    from osiris.api.workspace import Workspace
    from osiris.compiler.manifest import PlanFile
    from osiris.errors import Diagnostic
    from osiris.model import Described, JsonValue, Manifest, Pipeline
    from osiris.runner.adapter import Link
    from osiris.runner.host.options import RunOptions, RunResult
    from osiris.session.writing import Session

    Event = dict[str, JsonValue]
    Progress = Callable[[Event], None]

_EXIT_CODES = (3, 4, 6)
"""Exit codes of unavailable resources, integrity errors and broken contracts."""
_ROOMS = ("CON", "DAT", "DRV", "LCK")
_WORKER = ("RUN001", "RUN002")
_STEP = re.compile(r"/steps/(\d+)(?:/|$)")


@dataclass(frozen=True, slots=True)
class Plan:
    """A verified plan, notes on it, and the answers of the sources queried to compile it, by step.

    `pipeline` is its source if it was just compiled, else None.
    """

    manifest: Manifest
    notes: tuple[Diagnostic, ...] = ()
    asked: Mapping[str, Described] = field(default_factory=dict)
    pipeline: Pipeline | None = None


def run_target(
    workspace: Workspace,
    target: str | PlanFile | None,
    options: RunOptions,
    progress: Progress,
    *,
    params: Mapping[str, str],
    strict: bool = False,
) -> tuple[RunResult, list[Diagnostic]]:
    """Run the plan found by `plan_of`; returns the result and notes. The caller must call `RunResult.acknowledge`.

    Waits up to `run.wait` for other runs of the pipeline or with its targets, then fails with RUN004. For a local run,
    one worker compiles and runs the plan; it starts while the plan is loaded. A run that could not start also gets a
    session (`record_refusal`); usage errors are raised.
    """
    from osiris.runner.adapter import start_worker

    here = workspace.config.get("run.target") == "local"
    attended = replace(options, attended=True, registry=workspace.registry)
    with start_worker(workspace.root) if here else nullcontext() as worker, ExitStack() as locks:
        return _run_locked(workspace, target, attended, progress, worker, locks, params=params, strict=strict)


def _run_locked(
    workspace: Workspace,
    target: str | PlanFile | None,
    options: RunOptions,
    progress: Progress,
    worker: Link | None,
    locks: ExitStack,
    *,
    params: Mapping[str, str],
    strict: bool,
) -> tuple[RunResult, list[Diagnostic]]:
    """Run a target, whose `locks` the caller releases; imports happen here, while the worker imports its own."""
    from osiris.api.opening import report_lost
    from osiris.api.openlineage import emitting
    from osiris.runner.host.run import run

    emit, finish_emitting = emitting(workspace, progress)
    plan: Plan | None = None
    events: list[Event] = []
    lost: list[Diagnostic] = []
    compiled = partial(plan_of, workspace, target, options, params=params, strict=strict, worker=worker)
    try:
        plan = _hold_plan(workspace, compiled(), compiled, options, locks, progress)
        lost = report_lost(workspace)  # a run that this one waited for may have been killed meanwhile
        tracked = _tracking_ends(events, emit)
        words = (workspace.project, plan.manifest, workspace.config, options, tracked, worker)
        result = run(*words, plan.asked, plan.pipeline)
        result = _failing_on_warnings(result) if strict else result
    except OsirisError as error:
        manifest = plan.manifest if plan else None
        tracked = _tracking_ends(events, progress)
        refused = None if events else record_refusal(workspace, target, manifest, error.diagnostics, tracked)
        if refused is None:
            raise
        result = refused
    finally:
        ended = [str(event["session"]) for event in events if event["event"] in ENDS]
        unreported = _report(workspace, ended, progress, finish_emitting)
    return result, [*(plan.notes if plan else ()), *unreported, *lost]


def _failing_on_warnings(result: RunResult) -> RunResult:
    """Return a run's result, with PRJ013 and its exit code if the run succeeded with warnings."""
    warnings = sum(item.severity == "warning" for item in result.diagnostics)
    if result.exit_code or not warnings:
        return result
    refused = diagnostic("PRJ013", count=warnings)
    return replace(result, diagnostics=(*result.diagnostics, refused), exit_code=exit_code([refused]))


def _hold_plan(
    workspace: Workspace,
    plan: Plan,
    compiled: Callable[[], Plan],
    options: RunOptions,
    locks: ExitStack,
    progress: Progress,
) -> Plan:
    """Return a plan whose locks are held: compiled again after waiting for runs that may have changed its sources."""
    from osiris.runner.host.run import hold

    busy = partial(report_busy, progress)
    while locks.enter_context(hold(workspace.project, plan.manifest, workspace.config, options, busy)):
        before, plan = plan, compiled()
        if plan.manifest.fingerprint == before.manifest.fingerprint:
            break
        locks.close()
    return plan


def report_busy(progress: Progress, holder: str) -> None:
    """Send progress that another run is waited for."""
    progress({"event": "project_busy", "holder": holder})


def _report(
    workspace: Workspace, ended: Sequence[str], progress: Progress, finish_emitting: Callable[[], list[Diagnostic]]
) -> list[Diagnostic]:
    """Package ended runs and send what reports them; returns warnings.

    A signal only ends the waiting: the runs have ended, so their results stand.
    """
    from osiris.api.notifications import notify_runs
    from osiris.api.reports import package_missing
    from osiris.api.telemetry import send_telemetry

    warnings: list[Diagnostic] = []
    try:
        warnings += package_missing(workspace, ended)
        warnings += notify_runs(workspace, ended, progress)
        warnings += send_telemetry(workspace, ended, progress)
        warnings += finish_emitting()
    except KeyboardInterrupt:
        warnings += [diagnostic("NTF007", session=session) for session in ended]
    return warnings


def _tracking_ends(events: list[Event], progress: Progress) -> Progress:
    """Return a progress that also records the first event, after which the run has a session, and that of its end."""

    def tracking(event: Event) -> None:
        if not events or event["event"] in ENDS:
            events.append(event)
        progress(event)

    return tracking


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The plan that would run, notes and problems; `tables` are the states of targets.

    `asked` is whether sources and targets were queried.
    """

    manifest: Manifest
    diagnostics: tuple[Diagnostic, ...]
    tables: Tables
    asked: bool


def rehearse(
    workspace: Workspace,
    target: str | None,
    options: RunOptions,
    *,
    params: Mapping[str, str],
    strict: bool = False,
) -> Rehearsal:
    """Run all pre-flight checks of a run and return the plan with its problems; saves and executes nothing.

    If the run is local, sources and targets are queried, also for what pairs ask before their rows: states that do not
    fit, and cycles of foreign keys. Fails as a run would if a secret is missing, as `chosen` for an
    invalid selection, and with SBX003 as a run in bubblewrap.
    """
    from osiris.api.plan import Tables, tables_of
    from osiris.runner.host.adapters import check_target
    from osiris.runner.host.describe import confirm
    from osiris.runner.host.describe import rehearse as refusals
    from osiris.runner.host.run import require_allowed, start_worker
    from osiris.runner.selection import chosen

    plan = plan_of(workspace, target, options, params=params, strict=strict, keep=False)
    manifest, data = plan.manifest, plan.manifest.data
    selected = chosen(manifest, options.select)
    require_allowed(workspace.project, manifest, workspace.config, workspace.registry)
    secrets = workspace.resolve(data["connections"], data["sensitive"])
    if workspace.config.get("run.target") != "local":
        steps = [step for step in manifest.steps if not selected or step["id"] in selected]
        check_target(workspace.config, workspace.project, steps, secrets)
        return Rehearsal(manifest, plan.notes, Tables({}, {}), asked=False)
    with start_worker(workspace.root) as worker:
        project, config, registry = workspace.project, workspace.config, workspace.registry
        answers = confirm(project, manifest, config, registry, secrets, worker, plan.asked)
        refused = refusals(project, manifest, config, secrets, worker, answers, selected)
    diagnostics = [
        item
        for step, problems in (*answers.problems.items(), *refused.items())
        if not selected or step in selected
        for item in _located(workspace, plan.pipeline, step, problems)
    ]
    return Rehearsal(manifest, (*plan.notes, *diagnostics), tables_of(answers.targets), asked=True)


def _located(
    workspace: Workspace, pipeline: Pipeline | None, step: str, problems: Sequence[Diagnostic]
) -> Sequence[Diagnostic]:
    """Return the problems of a step, located in the pipeline file if the plan was just compiled."""
    from osiris.runner.host.describe import problems_of

    if pipeline is None:
        return problems
    return problems_of(workspace.root, pipeline, {"step": step, "diagnostics": [each.to_json() for each in problems]})


def plan_of(
    workspace: Workspace,
    target: str | PlanFile | None,
    options: RunOptions,
    *,
    params: Mapping[str, str],
    strict: bool = False,
    keep: bool = True,
    worker: Link | None = None,
) -> Plan:
    """Return the verified plan of a target.

    A target is a pipeline (compiled, and saved if `keep`), a manifest, a fingerprint, or a plan of `confirmed_plan`.
    None means the plan of the session to resume, else the last compiled plan.
    """
    file = _chosen_plan(workspace, target, options.resume)
    if file is None:
        compiled = compile_file(workspace, str(target), params=params, strict=strict, purpose="run", worker=worker)
        if keep:
            save(workspace, compiled)
        return Plan(compiled.manifest, compiled.diagnostics, compiled.sources.asked, compiled.pipeline)
    if params or workspace.profile not in (None, *workspace.config.profiles):
        fail("PRJ008", problem="--param and --profile are fixed in a plan", hint="run the pipeline with them")
    manifest, drift = load_plan(workspace, file, allow_drift=options.allow_engine_drift)
    reported = report_tables(workspace, manifest, worker)
    notes = [*workspace.config.diagnostics, *_completed(target, file, manifest), *drift, *reported]
    if strict:
        from osiris.compiler.revalidate import lint_plan
        from osiris.registry import load_registry

        refuse_warnings([*notes, *lint_plan(manifest.data, load_registry())])
    return Plan(manifest, tuple(notes))


def _completed(target: str | PlanFile | None, file: PlanFile, manifest: Manifest) -> list[Diagnostic]:
    """Return a note with the full fingerprint if only its first digits were given."""
    typed = target if target == file.asked else manifest.fingerprint
    return [diagnostic("CMP048", asked=typed, found=manifest.fingerprint)] if typed != manifest.fingerprint else []


def _chosen_plan(workspace: Workspace, target: str | PlanFile | None, resume: str | None) -> PlanFile | None:
    from osiris.compiler.manifest import last_compiled

    if target is not None:
        return find_plan(workspace, target) if isinstance(target, str) else target
    if resume:
        return session_plan(workspace, resume)
    last = last_compiled(workspace.project)
    if not last.path.exists():
        fail("CMP027", what=f"{shown(workspace, last.path)}: the plan compiled last no longer exists")
    return last


def session_plan(workspace: Workspace, session: str) -> PlanFile:
    """Return the plan of a session; fails with RUN006 for one that could not start, CMP027 if the plan is missing."""
    from osiris.api.sessions import show_session
    from osiris.compiler.manifest import PlanFile
    from osiris.history.record import REFUSED, find_own_run, resume_command

    own = find_own_run(workspace.project) if session == "last" else None
    run = dict(own.summary) if own else show_session(workspace, session)
    if run["kind"] == REFUSED:
        problem = f"run {run['session']} could not start, and did nothing"
        fail("RUN006", problem=problem, hint=f"start it: {resume_command(run)}")
    path = workspace.project.logs / str(run["session"]) / "manifest.json"
    if not path.exists():
        what = f"in session {run['session']}: its manifest.json is missing"
        fail("CMP027", what=what, hint="run 'osiris run FILE --new-run'")
    return PlanFile(path, str(run["fingerprint"]))


def find_subject(workspace: Workspace, what: str) -> dict[str, JsonValue] | Manifest:
    """Return the run.json of a session, or a plan; fails with CMP027, CMP049, RUN010 or RUN050.

    Sessions take precedence, as a run id, such as a date, may look like the beginning of a fingerprint.
    """
    from osiris.api.sessions import show_session

    run, names = find_session(workspace.project, what), [folder.name for folder in session_folders(workspace.project)]
    if run or what in RECENT or is_session_id(what) or any(name.startswith(what) for name in names):
        return run or show_session(workspace, what)
    file = find_plan(workspace, what)
    if file is None:
        is_pipeline = what.endswith(PIPELINE_ENDINGS)
        fail("RUN050", what=what, hint=f"explain its plan: run 'osiris compile {what}' first" if is_pipeline else None)
    return load_plan(workspace, file)[0]


@dataclass(frozen=True, slots=True)
class _Subject:
    """The pipeline that could not start: its name, file, modes of steps by id, and fingerprint, where known.

    `uses` has each step's connection reference, or the prefix `@family.`. `plan` is the content of manifest.json.
    """

    name: str
    file: str | None
    steps: Mapping[str, str] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    plan: bytes | None = None


def end_sandboxes(workspace: Workspace, *, dry_run: bool = False) -> list[str]:
    """Kill the sandboxes of this project and return their ids; with `dry_run` only return them.

    Fails with SBX020, SBX021 or SBX022, and with RUN004 while a run of the project in a sandbox is in progress.
    """
    from osiris.runner.remote.e2b import kill_sandbox, list_sandboxes

    with hold_run(workspace.project, "", "sandboxes gc", [SANDBOXES]):
        sandboxes = [sandbox["id"] for sandbox in list_sandboxes(workspace.environ, workspace.root)]
        return [number for number in sandboxes if dry_run or kill_sandbox(workspace.environ, number)]


def record_refusal(
    workspace: Workspace, target: object, plan: Manifest | None, problems: Sequence[Diagnostic], progress: Progress
) -> RunResult | None:
    """Record a run that could not start, and return its result.

    Records nothing and returns None for usage errors, and if the pipeline's name is unknown.
    """
    from osiris.runner.host.options import RunResult

    subject = _subject_of_plan(workspace, plan) if plan else _subject_of_file(workspace, target)
    if subject is None or not _is_refusal(problems):
        return None
    now = time.time()
    with create_session(workspace.project, subject.name, partial(project_scrubber, workspace), now) as session:
        summary = _record(session, _summary(workspace, session, subject, now), subject, problems, progress)
    code = exit_code(problems) or 1
    return RunResult(session.id, "failed", code, session.id, summary["steps"], tuple(problems))


def _is_refusal(problems: Sequence[Diagnostic]) -> bool:
    codes = {item.code for item in problems if item.severity == "error"}
    return exit_code(problems) in _EXIT_CODES or any(code in _WORKER or code.startswith(_ROOMS) for code in codes)


def _subject_of_plan(workspace: Workspace, manifest: Manifest) -> _Subject:
    from osiris.compiler.build import manifest_bytes
    from osiris.runner.host.recorder import find_oml

    file = find_oml(workspace.project, manifest.name)
    steps = {step["id"]: step["mode"] for step in manifest.steps}
    uses = {step["id"]: str(step["connection"]) for step in manifest.steps if step["connection"]}
    return _Subject(manifest.name, file, steps, uses, manifest.fingerprint, manifest_bytes(manifest))


def _subject_of_file(workspace: Workspace, target: object) -> _Subject | None:
    """Return the subject of a pipeline file, which may be invalid; None if it cannot be read."""
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
        by_step.setdefault(_step_of(item, subject), []).append(item)
    rest = by_step.pop(None, [])
    for name, problems_of_step in by_step.items():
        step = {"step": name, "mode": subject.steps[str(name)]}
        recorder.take({"event": "step_start", **step})
        diagnostics = [item.to_json() for item in problems_of_step]
        recorder.take({"event": "step_failed", **step, "duration_ms": 0.0, "rows": 0, "diagnostics": diagnostics})
    recorder.end("run_failed", rest)
    return recorder.summary


def _use(step: Mapping[str, JsonValue]) -> str:
    given = (step.get("config") or {}).get("connection")
    return str(given) if given else f"@{str(step['component']).partition('.')[0]}."


def _step_of(item: Diagnostic, subject: _Subject) -> str | None:
    """Return the step of an error: by its location, by the step it names, or by the connection it names."""
    from osiris.history.failures import step_of

    if item.severity != "error":
        return None
    steps = list(subject.steps)
    pointer = item.location.pointer or ""
    place = _STEP.match(pointer)
    step_id = steps[int(place[1])] if place and int(place[1]) < len(steps) else step_of(item)
    if step_id in subject.steps:
        return step_id
    mentioned = f"{item.message} @{pointer.removeprefix('/connections/').replace('/', '.')}"
    return next((step for step, connection in subject.uses.items() if connection in mentioned), None)


def _summary(workspace: Workspace, session: Session, subject: _Subject, now: float) -> dict[str, JsonValue]:
    from osiris.history.record import REFUSED
    from osiris.history.row_counts import base_of

    started = now_text(now)
    return {
        "session": session.id,
        "kind": REFUSED,
        "pipeline": subject.name,
        "fingerprint": subject.fingerprint,
        "adapter": workspace.config.get("run.target"),
        **({"profile": workspace.config.profile} if workspace.config.profile else {}),
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
