"""How a worker is stopped in the middle of anything: an exception in the main thread, and an end to waiting for it.

The main thread may be inside a library; a signal whose handler raises gets it out of sleeps, reads and queries, so that
temporary files are removed on the way. If that takes too long, the process ends anyway.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Reason = Literal["cancelled", "gone", "timeout"]

HARD_EXIT = 75
"""Exit status of a worker that did not stop in time."""


_LAST_WORDS = 1.0
"""Seconds for what is still to be done then; the main thread may hold a lock for it."""


class Stopped(BaseException):
    """Raised in the main thread; not an Exception, so that no driver takes it for a failure of its own."""


@dataclass(frozen=True, slots=True)
class Request:
    """Why to stop; for a timeout, which step took too long."""

    reason: Reason
    step: str | None = None


class Stopper:
    """Asks the main thread to stop; made in the main thread. `on_hard_exit` runs in another thread, before the end."""

    def __init__(self, on_hard_exit: Callable[[], None]) -> None:
        self.request: Request | None = None
        self._on_hard_exit = on_hard_exit
        self._main = threading.main_thread().ident or 0
        self._armed = False
        self._done = threading.Event()
        signal.signal(signal.SIGUSR1, self._interrupt)

    def stop(self, request: Request, grace: float) -> None:
        """Ask to stop, from any thread; after `grace` seconds the process ends. Only the first request counts."""
        if self.request is not None and request.reason != "gone":
            return
        self.request = self.request or request
        threading.Thread(target=self._end_in, args=(grace,), daemon=True).start()
        if self._armed:
            signal.pthread_kill(self._main, signal.SIGUSR1)

    def requested(self) -> bool:
        """Tell whether somebody asked to stop."""
        return self.request is not None

    def check(self) -> None:
        """Raise Stopped in the main thread if somebody asked to stop."""
        if self.request is not None:
            self._armed = False
            raise Stopped

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let a request interrupt what is done inside; only the main thread may enter."""
        self._armed = True
        try:
            self.check()
            yield
        finally:
            self._armed = False

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Hold interruptions back while something short is done that must not be torn."""
        if threading.get_ident() != self._main or not self._armed:
            yield
            return
        self._armed = False
        try:
            yield
        finally:
            self._armed = True
        self.check()

    def finish(self) -> None:
        """Say that the job has ended by itself, and forget the request."""
        self._done.set()
        self._done = threading.Event()
        self.request = None

    def _interrupt(self, _signum: int, _frame: object) -> None:
        if self._armed:
            self._armed = False
            raise Stopped

    def _end_in(self, grace: float) -> None:
        if not self._done.wait(grace):
            last = threading.Thread(target=self._on_hard_exit, daemon=True)
            last.start()
            last.join(_LAST_WORDS)
            os._exit(HARD_EXIT)
