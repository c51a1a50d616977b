"""Watches a connection: ends it when its step is cancelled, or when the server is silent for too long.

A client library waits for an answer as long as the connection lasts, and a connection through something that swallows
packets lasts for hours. But a server that sorts for ten minutes is silent too, and alive: so before a connection is
ended for its silence, the server is asked over another one whether it is still at work on the statement.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NoReturn

from osiris.errors import fail
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.model import JsonValue

    Reason = Literal["cancelled", "silent"]

_POLL = 0.1
SILENCE = 60.0
"""Seconds that a server may be silent while a step waits for it, where the connection does not say."""


class Watch:
    """Ends a connection that is waited for by calling `cut(why)`: `stopped` then tells why.

    After `silence` seconds without an answer it asks `at_work()`, which must answer in a few seconds, and goes on
    waiting as long as that is true.
    """

    def __init__(
        self,
        cut: Callable[[Reason], None],
        cancelled: Callable[[], bool],
        silence: float,
        at_work: Callable[[], bool] = lambda: False,
    ) -> None:
        self.stopped: Reason | None = None
        self.silence = silence
        self._cut, self._cancelled, self._at_work = cut, cancelled, at_work
        self._since: float | None = None
        self._done, self._unwanted = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._done.set()
            self._thread.join()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Say that the block waits for the server; the silence is counted from here."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def end(self) -> None:
        """End the connection: nobody wants more from it."""
        self._unwanted.set()

    def _run(self) -> None:
        while not self._done.wait(_POLL):
            since = self._since
            if self._unwanted.is_set() or self._cancelled():
                self.stopped = "cancelled"
            elif since is not None and time.monotonic() - since > self.silence:
                self._give_up(since)
            if self.stopped:
                self._cut(self.stopped)
                return

    def _give_up(self, since: float) -> None:
        """Stop waiting, unless the server works, or has answered while it was asked."""
        works = self._at_work()
        if self._since != since:
            return
        if works:
            self._since = time.monotonic()
        else:
            self.stopped = "silent"


def fail_broken(watch: Watch | None, where: str, reason: str) -> NoReturn:
    """Fail with why a connection ended: because we ended it, or because it broke."""
    if watch and watch.stopped == "cancelled":
        fail("RUN003", signal="request")
    if watch and watch.stopped == "silent":
        fail("CON015", where=where, seconds=duration_text(watch.silence))
    fail("CON014", where=where, reason=reason)


def connection_string(fields: Mapping[str, JsonValue]) -> str | None:
    """Return the string that a connection has instead of single fields, revealed; fails with CON016 for two."""
    given = [fields[name] for name in ("dsn", "url") if fields.get(name) is not None]
    if len(given) > 1:
        fail("CON016", problem="it has 'dsn' and 'url'; give one of them")
    return str(given[0].reveal()) if given else None
