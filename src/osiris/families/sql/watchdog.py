"""Watches a connection: closes it when its step is cancelled, or when the server is silent for too long.

A client library waits for an answer as long as the connection lasts, which is hours if the network drops packets. But a
server that sorts for ten minutes is silent too: so before a silent connection is closed, the server is asked over
another connection whether the statement is still running.
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
"""Seconds that a server may be silent while a step waits for it, unless the connection sets a timeout."""
_LARGE = 256 << 10
_TICK = 10
"""Milliseconds after which less than a large piece is read: it may be the last."""


class Watchdog:
    """Closes a connection by calling `cut(reason)`; `stopped` is that reason.

    After `silence` seconds without an answer it calls `at_work()`, which must return within a few seconds, and waits on
    as long as that is true.
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
        """Mark that the block waits for the server; the silence is measured from here."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def end(self) -> None:
        """Close the connection as if the step were cancelled."""
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
        """Stop waiting, unless the statement is still running, or the server has answered meanwhile."""
        works = self._at_work()
        if self._since != since:
            return
        if works:
            self._since = time.monotonic()
        else:
            self.stopped = "silent"


def fail_broken(watch: Watchdog | None, where: str, reason: str) -> NoReturn:
    """Fail with the reason why a connection ended: RUN003 or CON015 if the watchdog closed it, else CON014."""
    if watch and watch.stopped == "cancelled":
        fail("RUN003", signal="request")
    if watch and watch.stopped == "silent":
        fail("CON015", where=where, seconds=duration_text(watch.silence))
    fail("CON014", where=where, reason=reason)


def connection_string(fields: Mapping[str, JsonValue]) -> str | None:
    """Return a connection's `dsn` or `url`, revealed; None without one; fails with CON068 if both are set."""
    strings = [fields[name] for name in ("dsn", "url") if fields.get(name) is not None]
    if len(strings) > 1:
        fail("CON068", fields="'dsn' and 'url'", problem="are both set")
    return str(strings[0].reveal()) if strings else None


class SocketReader:
    """Bulk reads from a non-blocking socket, encrypted or not: `with SocketReader(line, watch) as reader:`.

    On exit the socket's low-water mark is one byte again, as other users of the socket expect.
    """

    def __init__(self, line: socket.socket, watch: Watchdog) -> None:
        self._line, self._watch = line, watch
        self._poll = select.poll()

    def __enter__(self) -> Self:
        self._poll.register(self._line, select.POLLIN)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _LARGE)
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):  # the socket may be closed
            self._line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def read(self, buffer: memoryview, patience: float | None = None) -> int | None:
        """Fill the buffer with what has arrived, waiting if nothing has; returns the number of bytes, 0 at the end.

        Returns None if nothing arrives for `patience` seconds.
        """
        count = self._take(buffer)
        if count is not None:
            return count
        began = time.monotonic()
        with self._watch.waiting():
            while count is None and (patience is None or time.monotonic() - began < patience):
                self._poll.poll(_TICK)
                count = self._take(buffer)
        return count

    def _take(self, buffer: memoryview) -> int | None:
        count = 0
        try:
            while count < len(buffer) and (size := self._line.recv_into(buffer[count:])):
                count += size
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return count or None
        return count
