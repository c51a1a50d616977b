"""The host's end of a worker, whatever carries its lines: asks for one job, reads events, and knows when it is dead.

A worker of this machine is a child process with pipes. It is started once for all jobs, or anew for each where what it
may see depends on the job.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Protocol

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
"""Seconds without a sign of life after which a worker is taken for dead."""

LOST = 256
"""Exit status of a worker elsewhere that nobody can ask any more."""

_TICK = 0.2
_CHUNK = 1 << 16
_KEPT_OUTPUT = 1 << 20


class WorkerDied(Exception):
    """The worker ended, or had to be ended, before its job did; `status` says how, for people."""

    def __init__(self, status: str) -> None:
        self.status = status
        super().__init__(status)


class Child(Protocol):
    """What a link needs of a worker's process: `subprocess.Popen` has it, and so has what only looks like one."""

    @property
    def pid(self) -> int:
        """Process id."""
        ...

    @property
    def stdin(self) -> IO[bytes] | None:
        """The pipe to it."""
        ...

    @property
    def stdout(self) -> IO[bytes] | None:
        """The pipe with its events."""
        ...

    @property
    def stderr(self) -> IO[bytes] | None:
        """The pipe with what drivers print."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status, negative for a signal; raises subprocess.TimeoutExpired."""
        ...


class Link:
    """A running worker. `output` is what drivers printed, as far as it was kept; it may hold secrets until scrubbed.

    `figures` are metrics of the way to the worker, where that is one of its own.
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
        """Have one job done, passing each of its events on, and return its last one; raises WorkerDied.

        `pulse` gets the signs of life.

        Fails with RUN007 if the worker breaks the protocol. An exception of the listener leaves the job unfinished:
        the link is then good for nothing but `close`.
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
        """Tell the worker to stop; it is killed if it has not done so after the grace.

        It may be called from another thread and from a signal handler.
        """
        self._pending += protocol.encode(protocol.CANCEL)
        self._kill_at = time.monotonic() + protocol.GRACE

    def kill(self, why: str | None = None) -> None:
        """End the worker at once."""
        self._killed_for = self._killed_for or why
        self._process.kill()

    def close(self) -> None:
        """Let the worker go: it ends by itself when its stdin does, else it is killed."""
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
        """Send what is waiting, and return the events that came, maybe none; looks after a worker that is quiet."""
        self._flush()
        ready = {key.fd for key, _ in selector.select(_TICK)}
        if self._err in ready and not self._keep_output():
            selector.unregister(self._err)
        if self._out in ready:
            self._heard = time.monotonic()
        self._watch()
        return self._receive() if self._out in ready else []

    def _flush(self) -> None:
        """Send what is waiting, as far as the pipe takes it; a worker that is gone shows at its other pipes.

        A copy is written: meanwhile a signal handler or another thread may add to what is waiting.
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
        """Take what drivers printed so far; returns False if there will be no more."""
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
            return "the sandbox or its worker is gone"
        return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def _ignore(_message: dict[str, JsonValue]) -> None:
    """Do nothing with a message."""


def _fd(pipe: object) -> int:
    return pipe.fileno()  # type: ignore[attr-defined, no-any-return]


KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that a worker gets; secrets are never among them, and time zone and locale are the same everywhere."""
FIXED = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


def start_worker(root: Path, *, python: str | None = None, silence: float = SILENCE) -> Link:
    """Start a worker for the project at `root`, to be closed after use. It imports while the caller goes on.

    It must be started from a thread that lives as long as it does: the system ends it with that thread.
    """
    environment = {name: os.environ[name] for name in (*KEPT, FAULT, FAULT_LOG, SWITCH) if name in os.environ} | FIXED
    process = subprocess.Popen(
        [python or sys.executable, "-I", "-m", "osiris.runner.worker"],
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    return Link(process, silence)


class Boxed:
    """Has each job done by a worker of its own, which `start` gives; to whoever asks it is one worker."""

    def __init__(self, start: Start) -> None:
        self.output = bytearray()
        self.figures: dict[str, float] = {}
        self._start = start
        self._link: Link | None = None
        self._cancelled = False

    def ask(
        self, job: Job, secrets: Secrets, listener: Listener, pulse: Listener | None = None
    ) -> dict[str, JsonValue]:
        """Have one job done, as `Link.ask`; raises WorkerDied if it was cancelled before it began."""
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
        """Tell the worker to stop, now or as soon as there is one. Safe in a signal handler."""
        self._cancelled = True
        if self._link:
            self._link.cancel()

    def kill(self, why: str | None = None) -> None:
        """End the worker at once, if there is one."""
        self._cancelled = True
        if self._link:
            self._link.kill(why)


class Worker(Protocol):
    """What a run needs of a worker, wherever it is: `Link` and `Boxed` are."""

    output: bytearray
    figures: dict[str, float]

    def ask(
        self, job: Job, secrets: Secrets, listener: Listener, pulse: Listener | None = None
    ) -> dict[str, JsonValue]:
        """Have one job done, passing each of its events on, and return its last one; raises WorkerDied."""
        ...

    def cancel(self) -> None:
        """Tell the worker to stop."""
        ...

    def kill(self, why: str | None = None) -> None:
        """End the worker at once."""
        ...
