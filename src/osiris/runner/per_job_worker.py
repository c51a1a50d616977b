"""Workers that are started anew for each job, since what they may see depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from osiris.runner.adapter import WorkerDied

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from osiris.model import JsonValue
    from osiris.runner.adapter import Link, Listener
    from osiris.runner.protocol import Job, Secrets

    Start = Callable[[Job, Secrets], AbstractContextManager[Link]]


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
