"""Receiving much from a server: the system wakes whoever waits for large pieces only.

A server sends in pieces of some KB. To be woken for each of them, and to take it, costs more than to read it.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from osiris.families.sql.watchdog import Watch

_LARGE = 256 << 10
_TICK = 10
"""Milliseconds after which less than a large piece is taken: it may be the last."""


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
