"""Stops a worker at any point: by an exception in the main thread, and a hard exit after a grace period.

The main thread may be inside a library; a signal whose handler raises interrupts sleeps, reads and queries, so that
temporary files are removed on the way out. Other threads check for a request between two batches, and where a driver
checks. If either takes too long, the process exits anyway.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Reason = Literal["cancelled", "gone", "timeout", "failed", "memory"]

HARD_EXIT = 75
"""Exit status of a worker that did not stop in time."""


_LAST_WORDS = 1.0
"""Seconds for the cleanup before a hard exit; it may block on a lock of the main thread."""

_POLL = 0.1


class Stopped(BaseException):
    """Raised where work must stop; not an Exception, so that no driver handles it as a failure of its own."""


@dataclass(frozen=True, slots=True)
class Request:
    """Why to stop. `step` is the step to fail for a timeout or lack of memory, or the one that has failed."""

    reason: Reason
    step: str | None = None


class _MainThread:
    """The main thread; `armed` is the stopper whose request may interrupt it, None while it is uninterruptible."""

    def __init__(self) -> None:
        self.armed: Stopper | None = None
        self._ident = threading.main_thread().ident or 0
        signal.signal(signal.SIGUSR1, self._interrupt)

    @property
    def is_here(self) -> bool:
        """Whether the current thread is the main thread."""
        return threading.get_ident() == self._ident

    def wake(self) -> None:
        """Interrupt the main thread if a stop is requested."""
        if self.armed is not None:
            signal.pthread_kill(self._ident, signal.SIGUSR1)

    def _interrupt(self, _signum: int, _frame: object) -> None:
        if self.armed is not None and self.armed.requested():
            self.armed = None
            raise Stopped


class Stopper:
    """Requests that a job, or one branch of it, stops; the first one must be created in the main thread.

    A branch stops when it is asked to, or when its parent is. `on_hard_exit` runs in another thread before the process
    exits.
    """

    def __init__(self, on_hard_exit: Callable[[], None], parent: Stopper | None = None) -> None:
        self._on_hard_exit = on_hard_exit
        self._parent = parent
        self._main: _MainThread = parent._main if parent else _MainThread()
        self._own: Request | None = None
        self._done = threading.Event()

    @property
    def request(self) -> Request | None:
        """The request to this branch, or to its parent."""
        return self._own or (self._parent.request if self._parent else None)

    def branch(self) -> Stopper:
        """Return a stopper for a part of the work; call its `finish` when that part has ended."""
        return Stopper(self._on_hard_exit, self)

    def stop(self, request: Request, grace: float) -> None:
        """Request a stop, from any thread; after `grace` seconds the process exits. Only the first request counts."""
        if self.request is not None and request.reason != "gone":
            return
        self._own = self._own or request
        threading.Thread(target=self._end_in, args=(grace, self._done), daemon=True).start()
        self._main.wake()

    def requested(self) -> bool:
        """Return whether a stop was requested."""
        return self.request is not None

    def check(self) -> None:
        """Raise Stopped if a stop was requested."""
        if self.request is not None:
            if self._main.is_here:
                self._main.armed = None
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait; raises Stopped as soon as a stop is requested."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _POLL))

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Allow a request to interrupt the block; outside the main thread, only `check` interrupts it."""
        if not self._main.is_here:
            self.check()
            yield
            return
        self._main.armed = self
        try:
            self.check()
            yield
        finally:
            self._main.armed = None

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Defer interruptions during a short block that must be atomic."""
        armed_before = self._main.armed if self._main.is_here else None
        if armed_before is None:
            yield
            return
        self._main.armed = None
        try:
            yield
        finally:
            self._main.armed = armed_before
        armed_before.check()

    def finish(self) -> None:
        """Mark the work as ended and clear the request."""
        self._done.set()
        self._done = threading.Event()
        self._own = None

    def _end_in(self, grace: float, done: threading.Event) -> None:
        if not done.wait(grace):
            last = threading.Thread(target=self._on_hard_exit, daemon=True)
            last.start()
            last.join(_LAST_WORDS)
            os._exit(HARD_EXIT)
