"""How a worker is stopped in the middle of anything: an exception in the main thread, and an end to waiting for it.

The main thread may be inside a library; a signal whose handler raises gets it out of sleeps, reads and queries, so that
temporary files are removed on the way. Other threads stop where they look whether they should: between two batches, and
where a driver asks. If either takes too long, the process ends anyway.
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
"""Seconds for what is still to be done then; the main thread may hold a lock for it."""

_POLL = 0.1


class Stopped(BaseException):
    """Raised where work is to stop; not an Exception, so that no driver takes it for a failure of its own."""


@dataclass(frozen=True, slots=True)
class Request:
    """Why to stop; for a timeout or for want of memory, which step is to fail, and after a failure, which has."""

    reason: Reason
    step: str | None = None


class _MainThread:
    """The main thread; `armed` is the stopper whose request interrupts what it does, None while nothing may."""

    def __init__(self) -> None:
        self.armed: Stopper | None = None
        self._ident = threading.main_thread().ident or 0
        signal.signal(signal.SIGUSR1, self._interrupt)

    @property
    def is_here(self) -> bool:
        """Tell whether this is the main thread."""
        return threading.get_ident() == self._ident

    def wake(self) -> None:
        """Look whether what it does is to be interrupted."""
        if self.armed is not None:
            signal.pthread_kill(self._ident, signal.SIGUSR1)

    def _interrupt(self, _signum: int, _frame: object) -> None:
        if self.armed is not None and self.armed.requested():
            self.armed = None
            raise Stopped


class Stopper:
    """Asks a job to stop, or one branch of it; the first is made in the main thread.

    A branch stops when it is asked to, or when the whole is. `on_hard_exit` runs in another thread, before the end.
    """

    def __init__(self, on_hard_exit: Callable[[], None], whole: Stopper | None = None) -> None:
        self._on_hard_exit = on_hard_exit
        self._whole = whole
        self._main: _MainThread = whole._main if whole else _MainThread()
        self._own: Request | None = None
        self._done = threading.Event()

    @property
    def request(self) -> Request | None:
        """Return what was asked of this branch, or of the whole."""
        return self._own or (self._whole.request if self._whole else None)

    def branch(self) -> Stopper:
        """Return a stopper for a part of the work, to be finished when that has ended."""
        return Stopper(self._on_hard_exit, self)

    def stop(self, request: Request, grace: float) -> None:
        """Ask to stop, from any thread; after `grace` seconds the process ends. Only the first request counts."""
        if self.request is not None and request.reason != "gone":
            return
        self._own = self._own or request
        threading.Thread(target=self._end_in, args=(grace, self._done), daemon=True).start()
        self._main.wake()

    def requested(self) -> bool:
        """Tell whether somebody asked to stop."""
        return self.request is not None

    def check(self) -> None:
        """Raise Stopped if somebody asked to stop."""
        if self.request is not None:
            if self._main.is_here:
                self._main.armed = None
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait, unless somebody asks to stop: then raise Stopped."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _POLL))

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let a request interrupt what is done inside; in other threads than the main one, only where it is checked."""
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
        """Hold interruptions back while something short is done that must not be torn."""
        held = self._main.armed if self._main.is_here else None
        if held is None:
            yield
            return
        self._main.armed = None
        try:
            yield
        finally:
            self._main.armed = held
        held.check()

    def finish(self) -> None:
        """Say that the work has ended by itself, and forget the request."""
        self._done.set()
        self._done = threading.Event()
        self._own = None

    def _end_in(self, grace: float, done: threading.Event) -> None:
        if not done.wait(grace):
            last = threading.Thread(target=self._on_hard_exit, daemon=True)
            last.start()
            last.join(_LAST_WORDS)
            os._exit(HARD_EXIT)
