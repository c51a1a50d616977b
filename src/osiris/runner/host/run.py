"""The host of a run: locks what it uses, decides the run key, starts the worker, and writes the session."""

from __future__ import annotations

import os
import platform
import time
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

from osiris.compiler.build import manifest_bytes
from osiris.compiler.paths import require_allowed_paths
from osiris.connections import load_connections, load_env
from osiris.distribution import DISTRIBUTION, installed_version
from osiris.durable import make_folder, remove_folder, write_file
from osiris.errors import OUT_OF_REACH, Diagnostic, OsirisError, diagnostic, exit_code
from osiris.files import sweep
from osiris.history.row_counts import base_of
from osiris.project_lock import SANDBOXES, hold_run, worker_lock
from osiris.registry import load_registry
from osiris.runner.adapter import WorkerDied, start_worker
from osiris.runner.credentials import digests_of, require_own, resolve_secrets, scrubber_of
from osiris.runner.host.adapters import open_worker, target_of
from osiris.runner.host.continuation import (
    CurrentStates,
    RunRequest,
    Start,
    decide,
    whole_second,
)
from osiris.runner.host.describe import Confirmed, confirm, describe, problems_of
from osiris.runner.host.interrupts import Interrupts
from osiris.runner.host.options import RunOptions, RunResult
from osiris.runner.host.recorder import Recorder, find_oml
from osiris.runner.host.spools import adopt_spools, remove_unused_spools, sweep_spools, take_rows
from osiris.runner.host.uses import uses_of
from osiris.runner.limits import limits_of, usable_cores
from osiris.runner.protocol import Job, Limits, Secrets
from osiris.runner.retry import pause_before
from osiris.runner.selection import chosen, kept_steps, steps_of_pairs
from osiris.session.lost import acknowledge, close_lost
from osiris.session.stored import now_text
from osiris.session.writing import Session, create_session

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager
    from signal import Signals

    from osiris.config import Config
    from osiris.model import Described, JsonValue, Manifest, Pipeline
    from osiris.project import Project
    from osiris.registry import Registry
    from osiris.runner.adapter import Worker

    Progress = Callable[[dict[str, JsonValue]], None]

__all__ = ["RunOptions", "RunResult", "describe", "run", "start_worker"]

_OUTPUT = "worker.log"

_OF_PAIRS = (3, 4)
"""Exit codes of failed pairs that a run has too; for any other it has 1, as other pairs were delivered."""

_AGAIN = "run the same command again"

_NOT_THERE = ("DRV001", "DRV012", "DRV071")
"""Codes of targets that do not exist and that a step may not create; the state of others is `absent`."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The plan of a session and everything decided before it began."""

    project: Project
    manifest: Manifest
    config: Config
    options: RunOptions
    start: Start
    secrets: Secrets
    now: float
    sources: Confirmed
    pipeline: Pipeline | None
    keep: list[str]

    @property
    def drifted(self) -> dict[str, list[Diagnostic]]:
        """Problems of the sources to read and the targets to write, by step.

        Excluded are unavailable ones and those that the step's `retry` covers: the step handles them itself.
        """
        retry = {step["id"]: step["config"].get("retry") for step in self.manifest.steps}
        relevant = {name: problems for name, problems in self.sources.problems.items() if name not in self.start.skip}
        return {
            name: problems
            for name, problems in relevant.items()
            if exit_code(problems) != OUT_OF_REACH and pause_before(retry[name], problems, 1) is None
        }

    @property
    def pairs(self) -> set[str]:
        """The steps of entries of replicate, whose failures do not stop other steps."""
        return {step["id"] for step in self.manifest.steps if "entry" in step}

    @property
    def parallel(self) -> int:
        """Maximum number of step groups to run at once."""
        return int(self.config.get("run.parallel")) or usable_cores()

    @property
    def limits(self) -> Limits:
        """Resource limits of the worker."""
        return limits_of(self.config.get("run.memory"), self.config.get("run.threads"))


def run(
    project: Project,
    manifest: Manifest,
    config: Config,
    options: RunOptions,
    progress: Progress = lambda _event: None,
    link: Worker | None = None,
    fresh: Mapping[str, Described] | None = None,
    pipeline: Pipeline | None = None,
) -> RunResult:
    """Run a verified plan and return how it ended; a failed step is a result, not an exception.

    Before the first row is read, every source is checked against the plan, and every target that can confirm it is
    asked whether it accepts its rows. `fresh` has the answers of steps just described for this plan. `progress`
    receives every event as it is written. `link` is a worker started in advance to run in; it stays open. `pipeline` is
    the source of the plan if it was just compiled, used to locate problems of steps. Fails as `hold`, as
    `decide` and `chosen` for invalid options, and as the target for missing requirements.
    """
    with (
        nullcontext() if options.attended else hold(project, manifest, config, options),
        options.interrupts or Interrupts() as interrupts,
        nullcontext(link) if link else _worker(project, manifest, config, options) as worker,
    ):
        if not options.attended:
            close_lost(project)
        sweep_temporaries(project)
        now = time.time()
        within, selected = config.get("run.continue_within"), chosen(manifest, options.select)
        request = RunRequest(options.new_run, options.run_id, options.resume, within, selected)
        needed = options.replay.needed(manifest) if options.replay else manifest
        registry = options.registry or load_registry()
        resolved = cache(partial(_secrets, project, needed, config, registry, _environ(project, options), interrupts))
        apart = _without_pairs(needed)
        sources = cache(lambda: confirm(project, apart, config, registry, resolved(), worker, fresh or {}))
        interrupts.bind(worker)
        current = CurrentStates(lambda: digests_of(resolved(), needed.data["connections"]), lambda: sources().states)
        replayed = options.replay.start(manifest, selected) if options.replay else None
        start = _with_missing(replayed or decide(project, manifest, request, current, now), sources)
        sweep_spools(project, manifest.name, start.continues, now, request.continue_within)
        if start.finished:
            confirm_seen = partial(acknowledge, project, start.finished)
            return _attended(
                RunResult(start.finished, "complete", 0, str(start.run_key), {}, start.notes, confirm_seen), options
            )
        attempt = _Attempt(
            project, manifest, config, options, start, resolved(), now, sources(), pipeline, _kept(manifest, options)
        )
        scrubber = scrubber_of(resolved())
        with create_session(project, manifest.name, lambda: scrubber, now) as session:
            return _attended(_run_session(attempt, session, worker, interrupts, progress), options)


def _with_missing(start: Start, sources: Callable[[], Confirmed]) -> Start:
    """Add a warning for each step that is skipped as delivered, and whose target does not exist any more."""
    if not start.deliveries:
        return start
    confirmed = sources()
    absent = {step for step, answer in confirmed.targets.items() if answer["state"] == "absent"}
    absent |= {step for step, items in confirmed.problems.items() if any(each.code in _NOT_THERE for each in items)}
    warnings = [diagnostic("RUN066", step=step) for step in start.deliveries if step in absent]
    return replace(start, notes=(*start.notes, *warnings))


def hold(
    project: Project,
    manifest: Manifest,
    config: Config,
    options: RunOptions,
    on_wait: Callable[[str], None] = lambda _holder: None,
) -> AbstractContextManager[bool]:
    """Hold the locks of a run of a plan, as `hold_run`: no other run has its pipeline or its targets.

    Waits up to `run.wait`, then fails with RUN004. Fails as `chosen` for an invalid selection.
    """
    what = f"{'replay' if options.replay else 'run'} of '{manifest.name}'"
    needed = options.replay.needed(manifest) if options.replay else manifest
    uses = uses_of(needed, project.root, chosen(manifest, options.select))
    if target_of(config, replay=options.replay is not None) == "e2b":
        uses.append(SANDBOXES._replace(reads=True))
    return hold_run(project, manifest.name, what, uses, config.get("run.wait"), on_wait)


def _without_pairs(manifest: Manifest) -> Manifest:
    """Return a plan without the steps of its entries: a pair checks its source and target itself, and fails alone."""
    return replace(manifest, data={**manifest.data, "steps": [s for s in manifest.steps if "entry" not in s]})


def _kept(manifest: Manifest, options: RunOptions) -> list[str]:
    return kept_steps(manifest, options.keep, chosen(manifest, options.select)) if options.keep_in else []


def _attended(result: RunResult, options: RunOptions) -> RunResult:
    """Return a result; acknowledge it at once unless the caller will."""
    if not options.attended:
        result.acknowledge()
    return result


def sweep_temporaries(project: Project) -> None:
    """Remove temporary files left by killed processes in the project's own folders."""
    for folder in (project.root, project.state, project.catalogue.parent, *project.build.glob("*/*")):
        with suppress(OSError):
            sweep(folder)


def _worker(
    project: Project, manifest: Manifest, config: Config, options: RunOptions
) -> AbstractContextManager[Worker]:
    engines = {} if options.allow_engine_drift else manifest.data["engines"]
    target = target_of(config, replay=options.replay is not None)
    return open_worker(target, project, config, _environ(project, options), engines)


def _environ(project: Project, options: RunOptions) -> Mapping[str, str]:
    return load_env(project.env_file, os.environ) if options.environ is None else options.environ


def _secrets(
    project: Project,
    manifest: Manifest,
    config: Config,
    registry: Registry,
    environ: Mapping[str, str],
    interrupts: Interrupts,
) -> Secrets:
    require_allowed(project, manifest, config, registry)
    data = manifest.data
    with interrupts.set_aside():  # a store may take long, and nothing has begun that must end tidily
        return resolve_secrets(project.root, data["connections"], data["sensitive"], registry, environ)


def require_allowed(project: Project, manifest: Manifest, config: Config, registry: Registry) -> None:
    """Fail if a plan uses connections that differ from the project's (CMP050), or files that `paths` forbids."""
    own = load_connections(project.connections_file)
    require_own(own, manifest.data["connections"])
    require_allowed_paths(manifest, registry, own, project.root, config.paths())


def _run_session(
    attempt: _Attempt, session: Session, worker: Worker, interrupts: Interrupts, progress: Progress
) -> RunResult:
    with ExitStack() as unfinished:
        unfinished.callback(worker.kill)
        make_folder(session.artifacts, private=True)
        session.keep_plan(manifest_bytes(attempt.manifest))
        recorder = Recorder(session, _summary(attempt, session), progress, attempt.pairs)
        adopt_spools(attempt.project, attempt.start.kept, attempt.start.continues, session.id)
        _begin(attempt, recorder)
        if interrupts.signal:
            event, diagnostics = _cancelled(interrupts.signal)
        elif attempt.drifted:
            event, diagnostics = _fail_drifted(attempt, recorder)
        else:
            event, diagnostics = _ask(_job(attempt, session), attempt, worker, recorder, interrupts)
        recorder.record_figures(worker.figures)
        _clean_up(attempt.project, session, worker)
        take_rows(attempt.project.spools / session.id, attempt.keep, attempt.options.keep_in)
        remove_unused_spools(
            attempt.project, session.id, ended_well=event == "run_complete" or attempt.options.replay is not None
        )
        recorder.end(event, [_for_this_command(item, attempt.options) for item in diagnostics])
        unfinished.pop_all()
    status = recorder.summary["status"]
    return RunResult(
        session.id,
        status,
        _exit_code(attempt, recorder, interrupts),
        recorder.summary["run_key"],
        recorder.summary["steps"],
        tuple(recorder.diagnostics),
        session.acknowledge,
    )


def _begin(attempt: _Attempt, recorder: Recorder) -> None:
    for note in attempt.start.notes:
        recorder.note(note)
    summary, start = recorder.summary, attempt.start
    recorder.start(
        pipeline=summary["pipeline"],
        run_key=summary["run_key"],
        run_started_at=summary["run_started_at"],
        fingerprint=summary["fingerprint"],
        adapter=summary["adapter"],
        steps=len(summary["steps"]),
        **_tables(summary["steps"]),
        **({"continues": start.continues} if start.continues else {}),
        **({"replays": summary["replays"]} if "replays" in summary else {}),
    )
    for note in start.notes:
        recorder.tell("diagnostic", **note.to_json())
    for reference, digest in summary["connections"].items():
        recorder.tell("connection_resolved", connection=reference, digest=digest)


def _fail_drifted(attempt: _Attempt, recorder: Recorder) -> tuple[str, list[Diagnostic]]:
    """Record as failed the steps whose source or target drifted from the plan, before any other step begins."""
    for step in attempt.manifest.steps:
        if problems := attempt.drifted.get(step["id"]):
            name = step["id"]
            what: dict[str, JsonValue] = {key: step[key] for key in ("component", "mode", "entry") if key in step}
            recorder.take({"event": "step_start", "step": name, **what})
            diagnostics = [problem.to_json() for problem in problems]
            failed = {"event": "step_failed", "step": name, "duration_ms": 0.0, "rows": 0, "diagnostics": diagnostics}
            recorder.take(_located(attempt, failed))
    return "run_failed", []


def _ask(
    job: Job, attempt: _Attempt, worker: Worker, recorder: Recorder, interrupts: Interrupts
) -> tuple[str, list[Diagnostic]]:
    """Run the job; returns the final event of the run and its diagnostics."""
    try:
        end = worker.ask(job, attempt.secrets, lambda event: recorder.take(_located(attempt, event)), recorder.pulse)
    except WorkerDied as died:
        dead = [diagnostic("RUN001", status=died.status, during=recorder.open_steps)]
        diagnostics = [] if recorder.has_failed else dead
    except OsirisError as error:
        worker.kill()
        diagnostics = list(error.diagnostics)
    else:
        recorder.peak(end["peak_memory_bytes"])
        if end["ok"]:
            return "run_complete", []
        stopped = _stopped(end["stopped"], recorder)
        diagnostics = [Diagnostic.from_json(item) for item in end["diagnostics"]] or stopped
    return _cancelled(interrupts.signal) if interrupts.signal else ("run_failed", diagnostics)


def _cancelled(by: Signals) -> tuple[str, list[Diagnostic]]:
    return "run_cancelled", [diagnostic("RUN003", signal=by.name)]


def _located(attempt: _Attempt, event: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return an event whose step diagnostics are located in the pipeline file, or in the query if that is not known."""
    if event["event"] != "step_failed":
        return event
    if attempt.pipeline is None:
        diagnostics = [_in_query(Diagnostic.from_json(item), event["step"]) for item in event["diagnostics"]]
    else:
        diagnostics = problems_of(attempt.project.root, attempt.pipeline, event)
    return {**event, "diagnostics": [item.to_json() for item in diagnostics]}


def _in_query(item: Diagnostic, step: str) -> Diagnostic:
    at = item.location
    in_query = at.file is None and at.line is not None
    return replace(item, location=replace(at, file=f"query of step '{step}'")) if in_query else item


def _for_this_command(item: Diagnostic, options: RunOptions) -> Diagnostic:
    """Return a diagnostic whose hint fits the typed command: neither --new-run nor a replay continues a run."""
    if item.hint is None:
        return item
    if options.replay:
        return replace(item, hint=item.hint.replace(f"{_AGAIN}; it resumes", f"{_AGAIN}; it starts from the beginning"))
    return replace(item, hint=item.hint.replace(_AGAIN, f"{_AGAIN} without --new-run")) if options.new_run else item


def _stopped(reason: str | None, recorder: Recorder) -> list[Diagnostic]:
    """Return why a worker stopped without a request; empty if a failed step reports it."""
    if reason is None or recorder.has_failed:
        return []
    return [diagnostic("RUN001", status=f"'{reason}'", during=recorder.open_steps)]


def _exit_code(attempt: _Attempt, recorder: Recorder, interrupts: Interrupts) -> int:
    status, code = recorder.summary["status"], exit_code(recorder.diagnostics) or 1
    if status == "cancelled" and interrupts.signal:
        return 128 + interrupts.signal
    failed = {name for name, step in recorder.summary["steps"].items() if step["status"] == "failed"}
    if failed and attempt.pairs.issuperset(failed) and code not in _OF_PAIRS:
        return 1
    return 0 if status == "complete" else code


def _output(delivery: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a delivery without its session."""
    return {name: value for name, value in delivery.items() if name != "session"}


def _states_of_run(attempt: _Attempt) -> dict[str, str]:
    """Return the states of the sources that this run itself reads."""
    return {name: state for name, state in attempt.sources.states.items() if name not in attempt.start.skip}


def _summary(attempt: _Attempt, session: Session) -> dict[str, JsonValue]:
    """Return the content of run.json before the first step."""
    start, manifest, limits, replay = attempt.start, attempt.manifest, attempt.limits, attempt.options.replay
    incremental = steps_of_pairs(manifest)
    return {
        "session": session.id,
        **({"kind": "replay", "replays": replay.to_json()} if replay else {"kind": "run"}),
        "pipeline": manifest.name,
        "fingerprint": manifest.fingerprint,
        "adapter": target_of(attempt.config, replay=replay is not None),
        **({"profile": attempt.config.profile} if attempt.config.profile else {}),
        "status": "running",
        "run_key": session.id if replay else start.run_key or session.id,
        "run_started_at": start.run_started_at or whole_second(attempt.now),
        "continues": start.continues,
        "selected": chosen(manifest, attempt.options.select),
        "started_at": now_text(attempt.now),
        "ended_at": None,
        "duration_ms": None,
        "engines": manifest.data["engines"],
        "environment": environment_of(manifest),
        "settings": _settings(attempt.config),
        "oml": attempt.pipeline.file if attempt.pipeline else find_oml(attempt.project, manifest.name),
        "base": base_of(attempt.project, manifest.name, session.id),
        "limits": {"threads": limits.threads, "memory_bytes": limits.memory},
        "connections": digests_of(attempt.secrets, attempt.manifest.data["connections"]),
        "sources": start.sources | _states_of_run(attempt),
        "rows_in": 0,
        "rows_out": 0,
        "steps": {step["id"]: _step_summary(step, incremental) for step in manifest.steps},
        "outputs": {step: _output(delivery) for step, delivery in start.deliveries.items()},
        "deliveries": dict(start.deliveries),
        "spools": dict(start.kept),
        "diagnostics": [],
    }


def _step_summary(step: Mapping[str, JsonValue], incremental: Collection[str]) -> dict[str, JsonValue]:
    """Return a step in run.json before it runs."""
    new = {"only_new": True} if step["id"] in incremental else {}
    entry = {"entry": step["entry"]} if "entry" in step else {}
    return {"mode": step["mode"], "status": "not_run", **entry, **new}


def _tables(steps: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, JsonValue]:
    """Return how many tables the entries of replicate have; nothing without entries."""
    tables = sum("entry" in step and step["mode"] == "write" for step in steps.values())
    return {"tables": tables} if tables else {}


def _settings(config: Config) -> dict[str, JsonValue]:
    """Return the `run.*` settings, each with its origin."""
    effective = {key: layers[0] for key, layers in config.settings.items() if key.startswith("run.")}
    return {key: {"value": setting.value, "origin": setting.origin} for key, setting in effective.items()}


def _job(attempt: _Attempt, session: Session) -> Job:
    project, config, start, replay = attempt.project, attempt.config, attempt.start, attempt.options.replay
    job = Job(
        kind="run",
        root=str(project.root),
        scratch=str(project.scratch / session.id),
        artifacts=str(session.artifacts),
        limits=attempt.limits,
        steps=attempt.manifest.steps,
        bindings={
            "run.id": start.run_key or session.id,
            "run.started_at": start.run_started_at or whole_second(attempt.now),
        },
        skip=start.skip,
        digest=attempt.options.digest,
        timeout=config.get("run.step_timeout"),
        lock=str(worker_lock(project, attempt.manifest.name)),
        parallel=attempt.parallel,
        partitions=config.get("run.partitions") or 0,
        spools=str(project.spools / session.id),
        spool_limit=config.get("run.spool_limit"),
        kept=start.kept,
        pipeline=attempt.manifest.name,
        plan=attempt.manifest.fingerprint,
        paths=config.paths(),
        keep=attempt.keep,
    )
    return replay.job(job, session.id, session.artifacts.relative_to(project.root).as_posix()) if replay else job


def _clean_up(project: Project, session: Session, worker: Worker) -> None:
    """Save what drivers printed, and remove the scratch folder and empty artifact folders."""
    if worker.output:
        text = session.scrubber().text(worker.output.decode("utf-8", "backslashreplace"))
        write_file(session.artifacts / _OUTPUT, text.encode("utf-8", "backslashreplace"), private=True)
        worker.output.clear()
    remove_folder(project.scratch / session.id)
    if session.artifacts.is_dir():
        for folder in session.artifacts.iterdir():
            with suppress(OSError):
                folder.rmdir()


def environment_of(manifest: Manifest) -> dict[str, JsonValue]:
    """Return the versions of Osiris, Python and the engines pinned by the plan, and the machine type.

    An engine that is not installed is None. Nothing identifies the machine, its user or its folders.
    """
    return {
        "osiris": installed_version(DISTRIBUTION),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "engines": {name: installed_version(name) for name in sorted(manifest.data["engines"])},
    }
