"""The host of a run: holds the project, decides the run key, starts the worker, and writes the session."""

from __future__ import annotations

import os
import platform
import signal
import threading
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
from osiris.errors import Diagnostic, OsirisError, diagnostic, exit_code
from osiris.files import sweep
from osiris.history.row_counts import base_of
from osiris.project_lock import hold_project, wait_for_worker
from osiris.registry import load_registry
from osiris.runner.adapter import WorkerDied, start_worker
from osiris.runner.credentials import digests_of, require_own, resolve_secrets, scrubber_of
from osiris.runner.host.adapters import open_worker, target_of
from osiris.runner.host.continuation import (
    Start,
    Surroundings,
    Wish,
    decide,
    let_go,
    sweep_kept,
    take_over,
    whole_second,
)
from osiris.runner.host.describe import Confirmed, confirm, describe, problems_of
from osiris.runner.host.options import RunOptions, RunResult
from osiris.runner.host.recorder import Recorder, find_oml
from osiris.runner.limits import limits_of
from osiris.runner.protocol import Job, Limits, Secrets
from osiris.runner.retry import pause_before
from osiris.runner.selection import chosen
from osiris.session.lost import acknowledge, close_lost
from osiris.session.stored import now_text
from osiris.session.writing import Session, create_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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
_OUT_OF_REACH = 3
"""Exit code of what may work later: whether to try again is the step's own business."""


_AGAIN = "run the same command again"


_CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What one session is about: the plan and everything that was decided before it began."""

    project: Project
    manifest: Manifest
    config: Config
    options: RunOptions
    start: Start
    secrets: Secrets
    now: float
    sources: Confirmed
    pipeline: Pipeline | None

    @property
    def drifted(self) -> dict[str, list[Diagnostic]]:
        """What is wrong with the sources that would be read, and the targets that would be written.

        One that is out of reach is left to its step, and so is what that step is told to try again.
        """
        retry = {step["id"]: step["config"].get("retry") for step in self.manifest.steps}
        found = {name: problems for name, problems in self.sources.problems.items() if name not in self.start.skip}
        return {
            name: problems
            for name, problems in found.items()
            if exit_code(problems) != _OUT_OF_REACH and pause_before(retry[name], problems, 1) is None
        }

    @property
    def parallel(self) -> int:
        """How many groups of steps may run at once."""
        return int(self.config.get("run.parallel")) or len(os.sched_getaffinity(0))

    @property
    def limits(self) -> Limits:
        """What the worker may use."""
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

    Before the first row of anything, every source is asked whether it still is as planned, and every target that can
    tell whether it takes its rows. `fresh` has the answers of
    those that have just been described for this plan. `progress` gets every event as it is written. `link` is a worker
    that was started before (it may have described), if the run is to run there; it is left open. `pipeline` is what the
    plan was just made of, if it was: what goes wrong in a step then has its place in the file. Fails with RUN004 while
    the project is busy, as `decide` and `chosen` for what the options ask, and as the target for what it lacks.
    """
    what = f"{'replay' if options.replay else 'run'} of '{manifest.name}'"
    with (
        nullcontext() if options.attended else hold_project(project, what, config.get("run.wait")),
        Interrupts() as interrupts,
        nullcontext(link) if link else _worker(project, manifest, config, options) as worker,
    ):
        wait_for_worker(project)
        close_lost(project)
        sweep_temporaries(project)
        now = time.time()
        within, selected = config.get("run.continue_within"), chosen(manifest, options.select)
        wish = Wish(options.new_run, options.run_id, options.resume, within, selected)
        needed = options.replay.needed(manifest) if options.replay else manifest
        registry = options.registry or load_registry()
        resolved = cache(partial(_secrets, project, needed, config, registry, _environ(project, options)))
        sources = cache(lambda: confirm(project, needed, config, registry, resolved(), worker, fresh or {}))
        interrupts.bind(worker)
        here = Surroundings(lambda: digests_of(resolved()), lambda: sources().states)
        replayed = options.replay.start(manifest, selected) if options.replay else None
        start = replayed or decide(project, manifest, wish, here, now)
        sweep_kept(project, start.continues, now, wish.continue_within)
        if start.finished:
            told = partial(acknowledge, project, start.finished)
            return _attended(
                RunResult(start.finished, "complete", 0, str(start.run_key), {}, start.notes, told), options
            )
        attempt = _Attempt(project, manifest, config, options, start, resolved(), now, sources(), pipeline)
        with create_session(project, manifest.name, scrubber_of(resolved()), now) as session:
            return _attended(_run_session(attempt, session, worker, interrupts, progress), options)


def _attended(result: RunResult, options: RunOptions) -> RunResult:
    """Return a result, which is acknowledged at once if nobody else is going to."""
    if not options.attended:
        result.acknowledge()
    return result


def sweep_temporaries(project: Project) -> None:
    """Remove the temporary files that killed processes left in the project's own folders."""
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
    project: Project, manifest: Manifest, config: Config, registry: Registry, environ: Mapping[str, str]
) -> Secrets:
    require_allowed(project, manifest, config, registry)
    data = manifest.data
    return resolve_secrets(project.root, data["connections"], data["sensitive"], registry, environ)


def require_allowed(project: Project, manifest: Manifest, config: Config, registry: Registry) -> None:
    """Fail if a plan uses connections that are not the project's own (CMP050), or files as the rules of paths say."""
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
        recorder = Recorder(session, _summary(attempt, session), progress)
        take_over(attempt.project, attempt.start.kept, attempt.start.continues, session.id)
        _begin(attempt, recorder)
        if interrupts.signal:
            event, found = _cancelled(interrupts.signal)
        elif attempt.drifted:
            event, found = _refuse(attempt, recorder)
        else:
            event, found = _ask(_job(attempt, session), attempt, worker, recorder, interrupts)
        recorder.tell_figures(worker.figures)
        _tidy(attempt.project, session, worker)
        let_go(attempt.project, session.id, ended_well=event == "run_complete" or attempt.options.replay is not None)
        recorder.end(event, [_for_this_command(item, attempt.options) for item in found])
        unfinished.pop_all()
    status = recorder.summary["status"]
    return RunResult(
        session.id,
        status,
        _exit_code(status, recorder.diagnostics, interrupts),
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
        **({"continues": start.continues} if start.continues else {}),
        **({"replays": summary["replays"]} if "replays" in summary else {}),
    )
    for note in start.notes:
        recorder.tell("diagnostic", **note.to_json())
    for reference, digest in summary["connections"].items():
        recorder.tell("connection_resolved", connection=reference, digest=digest)


def _refuse(attempt: _Attempt, recorder: Recorder) -> tuple[str, list[Diagnostic]]:
    """Let the steps fail whose source or target is not as planned, before any other begins."""
    for step in attempt.manifest.steps:
        if problems := attempt.drifted.get(step["id"]):
            name = step["id"]
            recorder.take({"event": "step_start", "step": name, "component": step["component"], "mode": step["mode"]})
            told = [problem.to_json() for problem in problems]
            failed = {"event": "step_failed", "step": name, "duration_ms": 0.0, "rows": 0, "diagnostics": told}
            recorder.take(_placed(attempt, failed))
    return "run_failed", []


def _ask(
    job: Job, attempt: _Attempt, worker: Worker, recorder: Recorder, interrupts: Interrupts
) -> tuple[str, list[Diagnostic]]:
    """Have the job done; returns the event that ends the run, and what is to be said of it."""
    try:
        end = worker.ask(job, attempt.secrets, lambda event: recorder.take(_placed(attempt, event)), recorder.pulse)
    except WorkerDied as died:
        dead = [diagnostic("RUN001", status=died.status, during=recorder.at_work)]
        found = [] if recorder.has_failed else dead
    except OsirisError as error:
        worker.kill()
        found = list(error.diagnostics)
    else:
        recorder.peak(end["peak_memory_bytes"])
        if end["ok"]:
            return "run_complete", []
        stopped = _stopped(end["stopped"], recorder)
        found = [Diagnostic.from_json(item) for item in end["diagnostics"]] or stopped
    return _cancelled(interrupts.signal) if interrupts.signal else ("run_failed", found)


def _cancelled(by: Signals) -> tuple[str, list[Diagnostic]]:
    return "run_cancelled", [diagnostic("RUN003", signal=by.name)]


def _placed(attempt: _Attempt, event: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return an event in which what is wrong with a step stands at its place in the file, if that is known."""
    if event["event"] != "step_failed" or attempt.pipeline is None:
        return event
    found = problems_of(attempt.project.root, attempt.pipeline, event)
    return {**event, "diagnostics": [item.to_json() for item in found]}


def _for_this_command(item: Diagnostic, options: RunOptions) -> Diagnostic:
    """Return a diagnostic whose hint holds for the command that was typed: neither a new run nor a replay continues."""
    if item.hint is None:
        return item
    if options.replay:
        return replace(item, hint=item.hint.replace(f"{_AGAIN}: it continues", f"{_AGAIN}: it begins anew"))
    return replace(item, hint=item.hint.replace(_AGAIN, f"{_AGAIN} without --new-run")) if options.new_run else item


def _stopped(reason: str | None, recorder: Recorder) -> list[Diagnostic]:
    """Say why a worker stopped that nobody asked to; nothing if a step has said it."""
    if reason is None or recorder.has_failed:
        return []
    return [diagnostic("RUN001", status=f"'{reason}'", during=recorder.at_work)]


def _exit_code(status: str, found: list[Diagnostic], interrupts: Interrupts) -> int:
    if status == "cancelled" and interrupts.signal:
        return 128 + interrupts.signal
    return 0 if status == "complete" else exit_code(found) or 1


def _output(delivery: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a delivery without the session that made it."""
    return {name: value for name, value in delivery.items() if name != "session"}


def _states_of_run(attempt: _Attempt) -> dict[str, str]:
    """Return the states of the sources that this run reads itself."""
    return {name: state for name, state in attempt.sources.states.items() if name not in attempt.start.skip}


def _summary(attempt: _Attempt, session: Session) -> dict[str, JsonValue]:
    """Return run.json as it is before the first step."""
    start, manifest, limits, replay = attempt.start, attempt.manifest, attempt.limits, attempt.options.replay
    return {
        "session": session.id,
        **({"kind": "replay", "replays": replay.to_json()} if replay else {"kind": "run"}),
        "pipeline": manifest.name,
        "fingerprint": manifest.fingerprint,
        "adapter": target_of(attempt.config, replay=replay is not None),
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
        "connections": digests_of(attempt.secrets),
        "sources": start.sources | _states_of_run(attempt),
        "rows_in": 0,
        "rows_out": 0,
        "steps": {step["id"]: {"mode": step["mode"], "status": "not_run"} for step in manifest.steps},
        "outputs": {step: _output(told) for step, told in start.deliveries.items()},
        "deliveries": dict(start.deliveries),
        "spools": dict(start.kept),
        "diagnostics": [],
    }


def _settings(config: Config) -> dict[str, JsonValue]:
    """Return the settings of running, each with who says so."""
    chosen = {key: found[0] for key, found in config.settings.items() if key.startswith("run.")}
    return {key: {"value": setting.value, "origin": setting.origin} for key, setting in chosen.items()}


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
        lock=str(project.worker_lock),
        parallel=attempt.parallel,
        spools=str(project.spools / session.id),
        spool_limit=config.get("run.spool_limit"),
        kept=start.kept,
        pipeline=attempt.manifest.name,
        plan=attempt.manifest.fingerprint,
        paths=config.paths(),
    )
    return replay.job(job, session.id, session.artifacts.relative_to(project.root).as_posix()) if replay else job


def _tidy(project: Project, session: Session, worker: Worker) -> None:
    """Keep what drivers printed, and remove what nobody needs: scratch, and artifact folders that stayed empty."""
    if worker.output:
        text = session.scrubber.text(worker.output.decode("utf-8", "backslashreplace"))
        write_file(session.artifacts / _OUTPUT, text.encode("utf-8", "backslashreplace"), private=True)
        worker.output.clear()
    remove_folder(project.scratch / session.id)
    if session.artifacts.is_dir():
        for folder in session.artifacts.iterdir():
            with suppress(OSError):
                folder.rmdir()


def environment_of(manifest: Manifest) -> dict[str, JsonValue]:
    """Return the versions of Osiris, of Python and of the engines that the plan pins, and the kind of machine.

    An engine that is not installed is None. Nothing names the machine, its user or its folders.
    """
    return {
        "osiris": installed_version(DISTRIBUTION),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "engines": {name: installed_version(name) for name in sorted(manifest.data["engines"])},
    }


class Interrupts:
    """Catches the signals in its `with`; only the main thread can, and elsewhere they are left alone."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._worker: Worker | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            wanted = (each for each in _CAUGHT if signal.getsignal(each) is not signal.SIG_IGN)  # nohup
            self._before = {caught: signal.signal(caught, self._caught) for caught in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        for caught, handler in self._before.items():
            signal.signal(caught, handler)  # type: ignore[arg-type]

    def bind(self, worker: Worker) -> None:
        """Say who is to stop; a signal that came before counts."""
        self._worker = worker
        if self.signal:
            worker.cancel()

    def _caught(self, number: int, _frame: object) -> None:
        again = self.signal is not None
        self.signal = signal.Signals(number)
        if self._worker and again:
            self._worker.kill(f"a second {self.signal.name}")
        elif self._worker:
            self._worker.cancel()
