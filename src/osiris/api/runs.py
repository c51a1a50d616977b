"""Running plans, and what runs left behind."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from osiris.api.openlineage import telling
from osiris.api.packages import package_missing
from osiris.api.pipelines import compile_file, refuse_warnings, save
from osiris.api.plan import Tables, tables_of
from osiris.api.refusals import record_refusal
from osiris.api.row_diff import row_finder
from osiris.api.workspace import Workspace, find_plan, load_plan, shown
from osiris.errors import OsirisError, diagnostic, fail
from osiris.history.record import REFUSED, caught_up, find_own_run, resume_command
from osiris.project import PIPELINE_ENDINGS
from osiris.project_lock import hold_project
from osiris.session import (
    CONVERSATION,
    RECENT,
    find_session,
    is_session_id,
    iter_records,
    open_record,
    open_session,
    read_lines,
    session_folders,
)
from osiris.session import damaged_sessions as _damaged_sessions
from osiris.session import list_sessions as _list_sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.compare import Difference
    from osiris.compiler.manifest import PlanFile
    from osiris.errors import Diagnostic
    from osiris.model import Described, JsonValue, Manifest, Pipeline
    from osiris.runner.adapter import Link
    from osiris.runner.host.run import RunOptions, RunResult

    Event = dict[str, JsonValue]
    Progress = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether two runs wrote the same: the sessions, the outputs that were compared, and a diagnostic a difference."""

    runs: tuple[str, str]
    outputs: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A verified plan, notes on it, and the answers of the sources that were asked to make it, by step.

    `pipeline` is what it was just made of, None if it was made before.
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
    """Run what `plan_of` finds; returns how it went, and notes on the plan. `RunResult.acknowledge` is the caller's.

    It waits for other runs of the project first, as long as `run.wait` says; fails with RUN004 if that is too short.
    One worker answers for the plan and then runs it, if that is to run here; it starts while the plan is being read.
    A run that could not start has a session too (`record_refusal`); what was asked wrongly is raised.
    """
    from osiris.runner.host.run import run, start_worker

    def busy(holder: str) -> None:
        progress({"event": "project_busy", "holder": holder})

    here = workspace.config.get("run.target") == "local"
    what = f"run of '{target}'" if isinstance(target, str) else "run of a plan"
    attended = replace(options, attended=True)
    with (
        hold_project(workspace.project, what, workspace.config.get("run.wait"), busy) as say,
        start_worker(workspace.root) if here else nullcontext() as worker,
        telling(workspace, progress) as (told, untold),
    ):
        plan: Plan | None = None
        begun: list[Event] = []
        try:
            plan = plan_of(workspace, target, options, params=params, strict=strict, worker=worker)
            say(f"run of '{plan.manifest.name}'")
            words = (workspace.project, plan.manifest, workspace.config, attended, _noting(begun, told), worker)
            result = run(*words, plan.asked, plan.pipeline)
        except OsirisError as error:
            manifest = plan.manifest if plan else None
            refused = None if begun else record_refusal(workspace, target, manifest, error.diagnostics, progress)
            if refused is None:
                raise
            result = refused
        finally:
            unpacked = package_missing(workspace)
    return result, [*(plan.notes if plan else ()), *untold, *unpacked]


def _noting(begun: list[Event], progress: Progress) -> Progress:
    """Return a progress that also notes the first event: from then on there is a session of the run."""

    def noting(event: Event) -> None:
        if not begun:
            begun.append(event)
        progress(event)

    return noting


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would run, and what keeps it from running: notes and problems; `tables` is what the targets said.

    `asked` tells whether sources and targets were asked.
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
    """Return what would run, and what its sources and targets say before the first row; keeps and writes nothing.

    They are asked if it would run here. Fails as a run would that lacks a secret, as `chosen` for what is selected, and
    with SBX003 as a run in bubblewrap would.
    """
    from osiris.runner.credentials import resolve_secrets
    from osiris.runner.host.adapters import check_target
    from osiris.runner.host.describe import confirm
    from osiris.runner.host.run import require_allowed, start_worker
    from osiris.runner.selection import chosen

    plan = plan_of(workspace, target, options, params=params, strict=strict, keep=False)
    manifest, data = plan.manifest, plan.manifest.data
    selected = chosen(manifest, options.select)
    require_allowed(workspace.project, manifest, workspace.config)
    secrets = resolve_secrets(
        workspace.root, data["connections"], data["sensitive"], workspace.registry, workspace.environ
    )
    if workspace.config.get("run.target") != "local":
        steps = [step for step in manifest.steps if not selected or step["id"] in selected]
        check_target(workspace.config, workspace.project, steps, secrets)
        return Rehearsal(manifest, plan.notes, Tables({}, {}), asked=False)
    with start_worker(workspace.root) as worker:
        told = confirm(workspace.project, manifest, workspace.config, secrets, worker, plan.asked)
    found = [
        item
        for step, problems in told.problems.items()
        if not selected or step in selected
        for item in _placed(workspace, plan.pipeline, step, problems)
    ]
    return Rehearsal(manifest, (*plan.notes, *found), tables_of(told.targets), asked=True)


def _placed(
    workspace: Workspace, pipeline: Pipeline | None, step: str, problems: Sequence[Diagnostic]
) -> Sequence[Diagnostic]:
    """Return the problems of a step with their places in the file that the plan was made of, if it just was."""
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

    A target is a pipeline (it is compiled, and saved if `keep`), a manifest, a fingerprint, or what `confirmed_plan`
    gives. Without one it is the plan of the session to resume, else the one that was compiled last.
    """
    file = _chosen_plan(workspace, target, options.resume)
    if file is None:
        compiled = compile_file(workspace, str(target), params=params, strict=strict, worker=worker)
        if keep:
            save(workspace, compiled)
        return Plan(compiled.manifest, compiled.diagnostics, compiled.sources.asked, compiled.pipeline)
    if params or workspace.profile not in (None, *workspace.config.profiles):
        fail("PRJ008", problem="--param and --profile are part of a plan", hint="run the OML with them")
    manifest, drift = load_plan(workspace, file, allow_drift=options.allow_engine_drift)
    notes = [*workspace.config.diagnostics, *_completed(target, file, manifest), *drift]
    if strict:
        from osiris.compiler.revalidate import lint_plan
        from osiris.registry import load_registry

        refuse_warnings([*notes, *lint_plan(manifest.data, load_registry())])
    return Plan(manifest, tuple(notes))


def _completed(target: str | PlanFile | None, file: PlanFile, manifest: Manifest) -> list[Diagnostic]:
    """Return a note with all digits where only the first ones were typed."""
    typed = target if target == file.asked else manifest.fingerprint
    return [diagnostic("CMP048", asked=typed, found=manifest.fingerprint)] if typed != manifest.fingerprint else []


def _chosen_plan(workspace: Workspace, target: str | PlanFile | None, resume: str | None) -> PlanFile | None:
    from osiris.compiler.manifest import last_compiled

    if target is not None:
        return find_plan(workspace, target) if isinstance(target, str) else target
    if resume:
        return _session_plan(workspace, resume)
    last = last_compiled(workspace.project)
    if not last.path.exists():
        fail("CMP027", what=f"{shown(workspace, last.path)}: the plan that was compiled last is gone")
    return last


def _session_plan(workspace: Workspace, session: str) -> PlanFile:
    from osiris.compiler.manifest import PlanFile

    own = find_own_run(workspace.project) if session == "last" else None
    run = dict(own.summary) if own else show_session(workspace, session)
    if run["kind"] == REFUSED:
        problem = f"run {run['session']} could not start, and did nothing"
        fail("RUN006", problem=problem, hint=f"start it: {resume_command(run)}")
    path = workspace.project.logs / str(run["session"]) / "manifest.json"
    if not path.exists():
        fail("CMP027", what=f"in session {run['session']}: its manifest.json is gone", hint="run the pipeline anew")
    return PlanFile(path, str(run["fingerprint"]))


def diff(workspace: Workspace, old: str, new: str) -> list[Difference]:
    """Return what differs between two plans: manifests, fingerprints, or what sessions ran."""
    from osiris.compare import diff as compare

    return compare(_manifest_of(workspace, old), _manifest_of(workspace, new))


def verify(workspace: Workspace, first: str, second: str) -> Verdict:
    """Compare what two sessions wrote, by digest; where the files are still there, find the first row that differs."""
    from osiris.compare import verify as compare

    runs = [show_session(workspace, name) for name in (first, second)]
    found = [item.to_diagnostic() for item in compare(runs[0], runs[1], workspace.root, row_finder(workspace))]
    outputs = sorted({name for run in runs for name in run.get("outputs") or {}})
    return Verdict((runs[0]["session"], runs[1]["session"]), tuple(outputs), tuple(found))


def find_subject(workspace: Workspace, what: str) -> dict[str, JsonValue] | Manifest:
    """Return the run.json of a session, or a plan; fails with CMP027, CMP049, RUN010 or RUN050.

    A session comes first: a run id may be spelled like the beginning of a fingerprint, as a date is.
    """
    run, names = find_session(workspace.project, what), [folder.name for folder in session_folders(workspace.project)]
    if run or what in RECENT or is_session_id(what) or any(name.startswith(what) for name in names):
        return run or show_session(workspace, what)
    file = find_plan(workspace, what)
    if file is None:
        is_pipeline = what.endswith(PIPELINE_ENDINGS)
        fail("RUN050", what=what, hint=f"explain its plan: run 'osiris compile {what}' first" if is_pipeline else None)
    return load_plan(workspace, file)[0]


def list_sessions(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return the run.json of all runs and replays, the newest first."""
    return [_caught_up(workspace, each) for each in _list_sessions(workspace.project)]


def list_records(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return the run.json of all sessions, conversations too, the newest first."""
    return [_caught_up(workspace, each) for each in iter_records(workspace.project)]


def damaged_sessions(workspace: Workspace) -> list[Diagnostic]:
    """Return a warning for each session that no list has, as its run.json is damaged."""
    return _damaged_sessions(workspace.project)


def show_record(workspace: Workspace, session: str) -> dict[str, JsonValue]:
    """Return the run.json of a session as `show_session` does, or of a conversation; fails with RUN010."""
    return _caught_up(workspace, open_record(workspace.project, session))


def show_session(workspace: Workspace, session: str) -> dict[str, JsonValue]:
    """Return the run.json of a session: by id, run id, `last`, or `previous`; fails with RUN010 or CHT029."""
    return _caught_up(workspace, open_session(workspace.project, session))


def _caught_up(workspace: Workspace, summary: dict[str, JsonValue]) -> dict[str, JsonValue]:
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


def _manifest_of(workspace: Workspace, what: str) -> Manifest:
    file = None if find_session(workspace.project, what) else find_plan(workspace, what)
    return load_plan(workspace, file or _session_plan(workspace, what), allow_drift=True)[0]
