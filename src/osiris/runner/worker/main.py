"""The worker program: the only process that runs drivers and binds SQL. Started as `python -I -m osiris.runner.worker`.

The main thread works; one thread listens to the host, another sends heartbeats. The pipe to the host is moved away
from file descriptor 1 before any driver is loaded, so that output printed by a driver is not mistaken for an event.
"""

from __future__ import annotations

import gc
import importlib
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.errors import Diagnostic, OsirisError, diagnostic, fail
from osiris.fault import arm
from osiris.files import abandon, make_private, private, take_lock
from osiris.runner import protocol
from osiris.runner.cancellation import Request, Stopped, Stopper
from osiris.runner.limits import dump_nothing, end_with_parent, limit_process, memory_in_use, peak_memory
from osiris.runner.protocol import Job, Secrets
from osiris.runner.worker.event_writer import Outbox
from osiris.runner.worker.failure import caught
from osiris.units import duration_text

if TYPE_CHECKING:
    from osiris.model import JsonValue
    from osiris.runner.worker.job_context import JobContext
    from osiris.runner.worker.running_step import Active
    from osiris.runner.worker.steps import Execution

_LOCK_WAIT = 15.0
_MEMORY_POLL = 0.05

_ENGINE_SHARE = 0.75
"""The share of a job's memory for the engine; the rest is for batches in transit."""

_OFTEN_NEEDED = (
    "osiris.registry",
    "osiris.runner.worker.steps",
    "pyarrow.compute",
    "pyarrow.csv",
    "duckdb",
    "osiris.sql",
)
"""Modules to import in advance, the most useful first."""

_BLAS_THREADS = "OPENBLAS_NUM_THREADS"


class Worker:
    """Runs one job after another until the host closes stdin."""

    def __init__(self, inbox: int, outbox: int, keep: Path | None = None) -> None:
        self._host = os.getppid()
        self._inbox = inbox
        self._lines: queue.SimpleQueue[dict[str, JsonValue] | None] = queue.SimpleQueue()
        self._stopper = Stopper(self._give_up)
        self._outbox = Outbox(outbox, self._stopper, keep)
        self._scratch: Path | None = None
        self._execution: Execution | None = None
        self._leased_until: float | None = None
        self._limits: protocol.Limits | None = None

    def serve(self) -> None:
        """Run jobs until the host exits."""
        signal.signal(signal.SIGTERM, lambda *_: self._terminated())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for target in (self._listen, self._send_heartbeats, self._watch_memory):
            threading.Thread(target=target, daemon=True).start()
        self._warm_up()
        while (line := self._lines.get()) is not None and (secrets := self._lines.get()) is not None:
            self._serve_job(line, secrets)

    def _warm_up(self) -> None:
        """Import common modules until the first job arrives, and exempt them from garbage collection."""
        gc.disable()
        _import_without_threads("numpy")
        _import_without_pandas()
        for module in _OFTEN_NEEDED:
            if self._lines.empty():
                importlib.import_module(module)
        gc.freeze()
        gc.enable()

    def _serve_job(self, line: dict[str, JsonValue], secrets: dict[str, JsonValue]) -> None:
        try:
            ok, error = caught(lambda: self._run_job(line, secrets))
        except Stopped:
            ok, error = False, None
        diagnostics = _problems_of(error)
        request, limits = self._stopper.request, self._limits
        if request and request.reason == "memory" and request.step is None and limits:
            diagnostics = [diagnostic("RUN045", job=line.get("job"), limit=f"{limits.memory / 1e6:.0f} MB")]
        self._limits = None
        sys.stdout.flush()
        left = _left(line)
        self._clean_up()
        self._execution = None
        self._outbox.send(
            "job_end",
            ok=bool(ok),
            stopped=request.reason if request else None,
            diagnostics=[d.to_json() for d in diagnostics],
            peak_memory_bytes=peak_memory(),
            **({"left": left} if left is not None else {}),
        )
        self._stopper.finish()

    def _run_job(self, line: dict[str, JsonValue], secrets: dict[str, JsonValue]) -> bool:
        _check_job(line)
        job = Job.from_json(line)
        from osiris.registry import load_registry
        from osiris.runner.worker.job_context import make_job_context
        from osiris.sql.binding.engine import SharedEngine

        limit_process(job.limits.address_space, job.limits.files)
        self._limits = job.limits
        if job.carried or job.engines:
            from osiris.runner.worker.bundle_check import check_arrived

            check_arrived(job)
        self._scratch = Path(job.scratch)
        make_private(self._scratch)
        os.chdir(job.root)
        job_ctx = make_job_context(job, Secrets.from_json(secrets), load_registry(), self._outbox, self._stopper)
        memory = int(job.limits.memory * _ENGINE_SHARE)
        engine = SharedEngine(self._scratch / "engine", memory=memory, threads=job.limits.threads)
        with closing(job_ctx.kept), engine:
            return self._run(job_ctx) if job.kind in ("run", "preview") else _answer(job_ctx)

    def _run(self, job_ctx: JobContext) -> bool:
        from osiris.runner.worker.steps import Execution

        lock = _take_job_lock(job_ctx.job.lock, self._stopper)
        try:
            self._execution = Execution(job_ctx)
            return self._execution.run()
        finally:
            if lock is not None:
                os.close(lock)

    def _listen(self) -> None:
        """Read lines from the host; control lines take effect at once, others are queued for the main thread."""
        try:
            with os.fdopen(self._inbox, "rb") as lines:
                for line in lines:
                    self._dispatch(protocol.decode(line))
        finally:
            self._host_is_gone()

    def _host_is_gone(self) -> None:
        self._lines.put(None)
        self._stopper.stop(Request("gone"), protocol.GONE_GRACE)

    def _dispatch(self, message: dict[str, JsonValue]) -> None:
        if message.get("control") == "cancel":
            self._stopper.stop(Request("cancelled"), protocol.GRACE)
        elif message.get("control") == "lease":
            self._leased_until = time.monotonic() + message["seconds"]
        else:
            self._lines.put(message)

    def _send_heartbeats(self) -> None:
        """Send heartbeats and progress, and stop steps that exceed their timeout."""
        while True:
            began = time.monotonic()
            time.sleep(protocol.HEARTBEAT)
            self._outbox.send("heartbeat", memory_bytes=memory_in_use())
            if self._leased_until and time.monotonic() > self._leased_until:
                self._leased_until = None
                self._host_is_gone()
            for name, step in list(self._execution.active.items()) if self._execution else []:
                self._send_progress(name, step, time.monotonic() - began)
                if step.overdue and self._execution:
                    self._execution.time_out(name)

    def _watch_memory(self) -> None:
        """Stop the job when it exceeds its resident memory: the system limits only address space, which is generous."""
        while True:
            time.sleep(_MEMORY_POLL)
            limits = self._limits
            if limits is None or memory_in_use() <= limits.resident or self._stopper.requested():
                continue
            if self._execution:
                self._execution.run_out_of_memory()
            else:
                self._stopper.stop(Request("memory"), protocol.GRACE)

    def _send_progress(self, name: str, step: Active, seconds: float) -> None:
        """Send the rows of a step if they are more than was sent before, and once how many they will be.

        The rate is that of the last `seconds`, of the rows it reads until it returns some.
        """
        now = step.progress()
        counted = "rows" if now["rows"] else "rows_in"
        new = now.get(counted, 0) - step.sent.get(counted, 0)
        has_news = new or ("rows_expected" in now and "rows_expected" not in step.sent)
        if has_news and self._execution and self._execution.active.get(name) is step:
            self._outbox.send("step_progress", step=name, **now, rate=round(new / seconds))
            step.sent = now

    def _terminated(self) -> None:
        orphan = os.getppid() != self._host  # which has the number 1 in a container
        self._stopper.stop(
            Request("gone" if orphan else "cancelled"), protocol.GONE_GRACE if orphan else protocol.GRACE
        )

    def _give_up(self) -> None:
        """Clean up in place of a blocked main thread: remove temporary files, and report the step that timed out."""
        self._clean_up()
        if self._execution:
            self._execution.give_up()

    def _clean_up(self) -> None:
        """Remove temporary files of the job."""
        abandon()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _import_without_threads(module: str) -> None:
    """Import a module with a single OpenBLAS thread: the others are not used here, and spin when they start.

    The environment variable is removed afterwards.
    """
    os.environ[_BLAS_THREADS] = "1"
    try:
        importlib.import_module(module)
    finally:
        del os.environ[_BLAS_THREADS]


class _NoPandas:
    """A finder of modules by which there is no pandas."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Raise ModuleNotFoundError for pandas."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _import_without_pandas() -> None:
    """Import pyarrow, and let it look for pandas once without finding it.

    For its first array of a list it would import pandas where that is installed, which takes longer than a small step.
    A driver can still use both: `to_pandas` looks again.
    """
    import pyarrow as pa

    finder: Any = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)


def _left(line: dict[str, JsonValue]) -> list[JsonValue] | None:
    """Return the artifacts of a remote job, which the host fetches; None for a local job."""
    if not line.get("handover"):
        return None
    from osiris.runner.worker.bundle_check import left_in

    return left_in(line["artifacts"])


def _answer(job_ctx: JobContext) -> bool:
    if job_ctx.job.kind == "doctor":
        from osiris.runner.worker.doctor import examine_connections

        return examine_connections(job_ctx)
    if job_ctx.job.kind == "discover":
        from osiris.runner.worker.discover import discover

        return discover(job_ctx)
    if job_ctx.job.kind == "state":
        from osiris.runner.worker.states import answer_states

        return answer_states(job_ctx)
    if job_ctx.job.kind == "rehearse":
        from osiris.runner.worker.states import rehearse

        return rehearse(job_ctx)
    from osiris.runner.worker.describe_job import QUESTIONS

    return QUESTIONS[job_ctx.job.kind](job_ctx)


def _problems_of(error: Exception | None) -> list[Diagnostic]:
    """Return the diagnostics of a job's exception; unexpected ones are also printed."""
    if isinstance(error, OsirisError):
        return list(error.diagnostics)
    if error is None:
        return []
    traceback.print_exception(error)
    return [diagnostic("INT000", kind=type(error).__name__, reason=error)]


def _check_job(line: dict[str, JsonValue]) -> None:
    kind, version = line.get("job"), line.get("protocol")
    if version != protocol.VERSION:
        fail("RUN007", problem=f"protocol {version} is not {protocol.VERSION}")
    if kind not in protocol.JOBS:
        fail("RUN007", problem=f"'{kind}' is not a job")


def _take_job_lock(path: str | None, stopper: Stopper) -> int | None:
    """Take the lock that shows the next run that this worker is still running; fails with RUN004."""
    if path is None:
        return None
    fd = private(path, os.O_RDWR | os.O_CREAT)
    deadline = time.monotonic() + _LOCK_WAIT
    while not take_lock(fd):
        stopper.check()
        if time.monotonic() > deadline:
            waited = f" (waited {duration_text(_LOCK_WAIT)})"
            fail("RUN004", holder="the worker of an earlier run", shares="", waited=waited)
        time.sleep(0.05)
    return fd


def main() -> None:
    """Move the pipes to the host out of drivers' reach, and serve; the optional argument is the folder for events."""
    arm(os.environ, "worker")
    keep = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    inbox, outbox = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    end_with_parent()
    dump_nothing()
    Worker(inbox, outbox, keep).serve()
    sys.stdout.flush()
    os._exit(0)
