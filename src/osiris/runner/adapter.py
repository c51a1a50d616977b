"""The host's end of a worker connection: send one job, read its events, and detect a dead worker.

A local worker is a child process with pipes. One worker serves all jobs, or each job gets its own where what the worker
may access depends on the job.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Any, Protocol

from osiris.errors import fail
from osiris.fault import FAULT, FAULT_LOG
from osiris.kernels import SWITCH
from osiris.runner import protocol
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from osiris.model import JsonValue
    from osiris.runner.protocol import Job, Secrets

    Listener = Callable[[dict[str, JsonValue]], None]
    Start = Callable[[Job, Secrets], AbstractContextManager["Link"]]

SILENCE = 30.0
"""Seconds without a heartbeat after which a worker is considered dead."""

LOST = 256
"""Exit status of a remote worker that can no longer be reached."""

_TICK = 0.2
_CHUNK = 1 << 16
_KEPT_OUTPUT = 1 << 20


class WorkerDied(Exception):
    """The worker exited or was killed before its job ended; `status` is a readable reason."""

    def __init__(self, status: str) -> None:
        self.status = status
        super().__init__(status)


class Child(Protocol):
    """The part of `subprocess.Popen` that a link needs from a worker process."""

    @property
    def pid(self) -> int:
        """Process id."""
        ...

    @property
    def stdin(self) -> IO[bytes] | None:
        """The pipe to the process's input."""
        ...

    @property
    def stdout(self) -> IO[bytes] | None:
        """The pipe from which events are read."""
        ...

    @property
    def stderr(self) -> IO[bytes] | None:
        """The pipe with output printed by drivers."""
        ...

    def kill(self) -> None:
        """Kill the process."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for and return the exit status, negative for a signal; raises subprocess.TimeoutExpired."""
        ...


class Link:
    """A running worker. `output` is what drivers printed, up to 1 MiB; it may contain secrets until it is scrubbed.

    `figures` are metrics of the transport to a remote worker; empty for a local one.
    """

    def __init__(self, process: Child, silence: float = SILENCE) -> None:
        self.output = bytearray()
        self.figures: dict[str, float] = {}
        self._process = process
        self._silence = silence
        self._wseq = 0
        self._heard = 0.0
        self._pending = bytearray()
        self._cutter = protocol.LineCutter()
        self._kill_at: float | None = None
        self._killed_at: float | None = None
        self._killed_for: str | None = None
        self._pulse: Listener = _ignore
        self._in, self._out, self._err = (_fd(pipe) for pipe in (process.stdin, process.stdout, process.stderr))
        for fd in (self._in, self._out, self._err):
            os.set_blocking(fd, False)

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    def ask(
        self, job: Job, secrets: Secrets, listener: Listener, pulse: Listener | None = None
    ) -> dict[str, JsonValue]:
        """Run one job, pass each event to `listener`, and return the last one; raises WorkerDied.

        `pulse` receives the heartbeats. Fails with RUN007 if the worker breaks the protocol. If the listener raises,
        the job stays unfinished, and the link can only be closed.
        """
        self._kill_at = None
        self._pulse = pulse or _ignore
        self._pending += protocol.encode(job.to_json()) + protocol.encode(secrets.to_json())
        self._heard = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for fd in (self._out, self._err):
                selector.register(fd, selectors.EVENT_READ)
            while True:
                for message in self._next(selector):
                    if message["event"] == "job_end":
                        self._keep_output()
                        return message
                    listener(message)

    def cancel(self) -> None:
        """Ask the worker to stop; it is killed if it has not stopped after `protocol.GRACE` seconds.

        May be called from another thread and from a signal handler.
        """
        self._pending += protocol.encode(protocol.CANCEL)
        self._kill_at = time.monotonic() + protocol.GRACE

    def kill(self, why: str | None = None) -> None:
        """End the worker at once."""
        self._killed_at = self._killed_at or time.monotonic()
        self._killed_for = self._killed_for or why
        self._process.kill()

    def close(self) -> None:
        """Close the worker's stdin, so that it exits; kill it if it does not."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(protocol.GONE_GRACE + 1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self, selector: selectors.BaseSelector) -> list[dict[str, JsonValue]]:
        """Send pending lines and return the events received, maybe none; kill a worker that is silent for too long.

        Raises WorkerDied if it is silent for as long again.
        """
        self._flush()
        ready = {key.fd for key, _ in selector.select(_TICK)}
        if self._err in ready and not self._keep_output():
            selector.unregister(self._err)
        if self._out in ready:
            self._heard = time.monotonic()
        self._watch()
        if self._out in ready:
            return self._receive()
        # The pipe of a dead worker does not end while a process that a driver forked keeps it open.
        if self._killed_at and time.monotonic() - max(self._killed_at, self._heard) > self._silence:
            raise WorkerDied(self._status())
        return []

    def _flush(self) -> None:
        """Send pending bytes until the pipe is full; a dead worker is detected at its other pipes.

        A copy is written, as a signal handler or another thread may append meanwhile.
        """
        try:
            while self._pending:
                del self._pending[: os.write(self._in, bytes(self._pending[:_CHUNK]))]
        except (BlockingIOError, BrokenPipeError):
            return

    def _receive(self) -> list[dict[str, JsonValue]]:
        chunk = os.read(self._out, _CHUNK)
        if not chunk:
            raise WorkerDied(self._status())
        messages = [self._understand(line) for line in self._cutter.cut(chunk)]
        for message in messages:
            if message["event"] == "heartbeat":
                self._pulse(message)
        return [message for message in messages if message["event"] != "heartbeat"]

    def _understand(self, line: bytes) -> dict[str, JsonValue]:
        try:
            message = protocol.decode(line)
            number = message.pop("wseq")
            message["event"]
        except (ValueError, TypeError, KeyError):
            fail("RUN007", problem="a line that is not an event")
        self._wseq += 1
        if number != self._wseq:
            fail("RUN007", problem=f"event {number} instead of {self._wseq}")
        return message

    def _watch(self) -> None:
        now = time.monotonic()
        if self._kill_at is not None and now > self._kill_at:
            self.kill(f"no answer to cancel within {duration_text(protocol.GRACE)}")
        if now - self._heard > self._silence:
            self.kill(f"no sign of life for {duration_text(self._silence)}")

    def _keep_output(self) -> bool:
        """Read what drivers have printed; returns False at the end of the stream."""
        try:
            while chunk := os.read(self._err, _CHUNK):
                self.output += chunk[: max(0, _KEPT_OUTPUT - len(self.output))]
        except BlockingIOError:
            return True
        return False

    def _status(self) -> str:
        code = self._process.wait()
        if self._killed_for:
            return self._killed_for
        if code == LOST:
            return "the sandbox or its worker no longer exists"
        return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def _ignore(_message: dict[str, JsonValue]) -> None:
    """Ignore a message."""


def _fd(pipe: object) -> int:
    return pipe.fileno()  # type: ignore[attr-defined, no-any-return]


KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Environment variables passed to a worker: never secrets. Time zone and locale are fixed."""
FIXED = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


def start_worker(root: Path, *, python: str | None = None, silence: float = SILENCE) -> Link:
    """Start a worker for the project at `root`; the caller must close it. It imports in the background.

    Start it from a thread that lives as long as the worker: the system ends the worker with that thread. Fails with
    RUN068.
    """
    environment = {name: os.environ[name] for name in (*KEPT, FAULT, FAULT_LOG, SWITCH) if name in os.environ} | FIXED
    command = [python or sys.executable, "-I", "-m", "osiris.runner.worker"]
    return Link(start_process(command, cwd=root, env=environment), silence)


def start_process(command: list[str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401  those of Popen
    """Start a process in a session of its own, with pipes for its streams; fails with RUN068 if the system refuses."""
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True, **options
        )
    except OSError as error:
        fail("RUN068", program=command[0], reason=error.strerror)


class PerJobWorker:
    """Runs each job in a worker of its own, created by `start`; has the interface of one worker."""

    def __init__(self, start: Start) -> None:
        self.output = bytearray()
        self.figures: dict[str, float] = {}
        self._start = start
        self._link: Link | None = None
        self._cancelled = False

    def ask(
        self, job: Job, secrets: Secrets, listener: Listener, pulse: Listener | None = None
    ) -> dict[str, JsonValue]:
        """Run one job, as `Link.ask`; raises WorkerDied if it was cancelled before it began."""
        with self._start(job, secrets) as link:
            self._link = link
            if self._cancelled:
                raise WorkerDied("cancelled")
            try:
                return link.ask(job, secrets, listener, pulse)
            finally:
                self.output += link.output
                self._link = None

    def cancel(self) -> None:
        """Ask the worker to stop, now or as soon as it exists. Safe in a signal handler."""
        self._cancelled = True
        if self._link:
            self._link.cancel()

    def kill(self, why: str | None = None) -> None:
        """Kill the worker, if there is one."""
        self._cancelled = True
        if self._link:
            self._link.kill(why)


class Worker(Protocol):
    """The interface of a worker, local or remote: `Link` and `PerJobWorker` implement it."""

    output: bytearray
    figures: dict[str, float]

    def ask(
        self, job: Job, secrets: Secrets, listener: Listener, pulse: Listener | None = None
    ) -> dict[str, JsonValue]:
        """Run one job, pass each event to `listener`, and return the last one; raises WorkerDied."""
        ...

    def cancel(self) -> None:
        """Ask the worker to stop."""
        ...

    def kill(self, why: str | None = None) -> None:
        """End the worker at once."""
        ...
