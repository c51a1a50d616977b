"""Watches a connection: ends it when its step is cancelled, or when the server is silent for too long.

A client library waits for an answer as long as the connection lasts, and a connection through something that swallows
packets lasts for hours. But a server that sorts for ten minutes is silent too, and alive: so before a connection is
ended for its silence, the server is asked over another one whether it is still at work on the statement.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, NoReturn, Self

from osiris.errors import fail
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.model import JsonValue

    Reason = Literal["cancelled", "silent"]

_POLL = 0.1
SILENCE = 60.0
"""Seconds that a server may be silent while a step waits for it, where the connection does not say."""
_LARGE = 256 << 10
_TICK = 10
"""Milliseconds after which less than a large piece is taken: it may be the last."""


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
    """Return the string that a connection has instead of single fields, revealed; fails with CON068 for two."""
    given = [fields[name] for name in ("dsn", "url") if fields.get(name) is not None]
    if len(given) > 1:
        fail("CON068", fields="'dsn' and 'url'", problem="are both given")
    return str(given[0].reveal()) if given else None


class Inflow:
    """A socket that does not block, encrypted or not, while much comes over it: `with Inflow(line, watch) as inflow:`.

    Afterwards whoever else uses it is woken for every byte again.
    """

    def __init__(self, line: socket.socket, watch: Watch) -> None:
        self._line, self._watch = line, watch
        self._poll = select.poll()

    def __enter__(self) -> Self:
        self._poll.register(self._line, select.POLLIN)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _LARGE)
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):  # it may be closed
            self._line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def read(self, room: memoryview, patience: float | None = None) -> int | None:
        """Put all bytes there that have come, or the next; returns how many, 0 at the end.

        None means that none came for `patience` seconds.
        """
        taken = self._take(room)
        if taken is not None:
            return taken
        begun = time.monotonic()
        with self._watch.waiting():
            while taken is None and (patience is None or time.monotonic() - begun < patience):
                self._poll.poll(_TICK)
                taken = self._take(room)
        return taken

    def _take(self, room: memoryview) -> int | None:
        taken = 0
        try:
            while taken < len(room) and (got := self._line.recv_into(room[taken:])):
                taken += got
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return taken or None
        return taken
