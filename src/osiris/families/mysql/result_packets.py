"""What MySQL sends for a query, cut into rows.

The client library logs in, sends the query and reads what it says of the columns. The rows are then taken past it, in
large pieces and over the same connection, encrypted or not: the library makes an object of every value. The packets:
three bytes of length, one that counts them, and the content; a row, or the end of all, or an error.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from osiris.families.mysql.decode import FRONT, SPARE, Page
from osiris.families.sql.watchdog import Inflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from osiris.families.mysql.connect import Client
    from osiris.families.sql.watchdog import Watch

SIZE = 2 << 20
"""The bytes that are decoded at once: more do not stay in the processor's cache."""

_HEAD = 4
_FULL = 0xFFFFFF
"""The length of a packet that goes on in the next one."""
_END, _ERROR = 0xFE, 0xFF
_END_SIZE = 9
_IDLE = 0.05
"""Seconds without bytes, after which those that came are looked at: an error may be the last."""
_MORE_RESULTS = 8


class Refusal(Exception):
    """What the server says instead of rows: the number of the error, and its text."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(number)
        self.number, self.message = number, message


class Broken(Exception):
    """The connection ended, or what came over it was not the protocol."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in a page: where each begins and ends. The page is used again afterwards."""

    page: Page
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class Result:
    """The rows of a query that was sent; `warnings` is how many warnings it ended with."""

    def __init__(self, connection: Client, watch: Watch) -> None:
        self.warnings = 0
        self._connection, self._watch = connection, watch

    def rows(self) -> Iterator[Rows]:
        """Yield the rows; raises Refusal or Broken where they do not end as they must."""
        line, cut = self._connection._sock, _Cut()
        if line is None:
            raise Broken("it was closed")
        cut.fill(self._buffered)
        line.setblocking(False)
        with Inflow(line, self._watch) as inflow:
            while True:
                while (rows := cut.next_rows()) is not None:
                    yield rows
                if cut.ended:
                    break
                cut.fill(partial(_take, inflow))
        line.setblocking(True)
        self.warnings = cut.warnings

    def _buffered(self, room: memoryview) -> int:
        """Put what the library has read already there; afterwards its buffer is passed by."""
        with _broken(), self._watch.waiting():
            found = self._connection._rfile.read1(len(room))
        room[: len(found)] = found
        return len(found)


def _take(inflow: Inflow, room: memoryview) -> int:
    """Put bytes there: as many as there is room for, or as come without a pause."""
    taken = 0
    while taken < len(room) and not _looks_like_end(room, taken):
        with _broken():
            got = inflow.read(room[taken:], _IDLE if taken else None)
        if got is None:
            break
        if not got:
            raise Broken("it ended in the middle of the rows")
        taken += got
    return taken


@contextmanager
def _broken() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise Broken(str(error)) from None


def _looks_like_end(room: memoryview, taken: int) -> bool:
    last = bytes(room[max(0, taken - _END_SIZE) : taken])
    return len(last) == _END_SIZE and last[:3] == b"\5\0\0" and last[4] == _END


class _Cut:
    """A buffer that is filled, and cut into the rows that are whole."""

    def __init__(self) -> None:
        self.ended, self.warnings = False, 0
        self._buffer = bytearray(FRONT + SIZE + SPARE)
        self._page = Page(self._buffer)
        self._begin = self._used = FRONT

    def fill(self, take: Callable[[memoryview], int]) -> None:
        """Move what is left to the front and put more behind it."""
        left, whole, begin = self._used - self._begin, self._buffer, self._begin
        size = len(whole) - FRONT - SPARE
        if left > size // 2:
            self._buffer = bytearray(FRONT + 2 * size + SPARE)
            self._page = Page(self._buffer)
        self._buffer[FRONT : FRONT + left] = whole[begin : begin + left]
        self._begin, self._used = FRONT, FRONT + left
        with memoryview(self._buffer) as room:
            self._used += take(room[self._used : -SPARE])

    def next_rows(self) -> Rows | None:
        """Return the rows that are whole and follow each other; None if what comes next is not whole yet."""
        while not self.ended and self._used - self._begin >= _HEAD:
            starts, ends = _split(self._page.u1, self._begin, self._used)
            if len(starts):
                self._begin = int(ends[-1])
                return Rows(self._page, starts, ends)
            end = self._begin + _HEAD + self._length(self._begin)
            if self._length(self._begin) == _FULL:
                return self._joined()
            if end > self._used:
                return None
            if not self._take_note(end):
                starts, self._begin = np.array([self._begin + _HEAD]), end
                return Rows(self._page, starts, np.array([end]))
        return None

    def _length(self, at: int) -> int:
        return int.from_bytes(self._buffer[at : at + 3], "little")

    def _joined(self) -> Rows | None:
        """Return the one row that came in several packets, in a page of its own; None if it is not whole yet."""
        at, parts, length = self._begin, [bytes(FRONT)], _FULL
        while length == _FULL:
            if at + _HEAD > self._used:
                return None
            length = self._length(at)
            if at + _HEAD + length > self._used:
                return None
            parts.append(bytes(self._buffer[at + _HEAD : at + _HEAD + length]))
            at += _HEAD + length
        self._begin = at
        page = Page(bytearray(b"".join((*parts, bytes(SPARE)))))
        return Rows(page, np.array([FRONT]), np.array([len(page.buffer) - SPARE]))

    def _take_note(self, end: int) -> bool:
        """Tell whether the packet that begins here is no row, and note what it says."""
        content = bytes(self._buffer[self._begin + _HEAD : min(end, self._begin + _HEAD + 1024)])
        if content[:1] == bytes([_ERROR]):
            text = content[9:] if content[3:4] == b"#" else content[3:]
            raise Refusal(int.from_bytes(content[1:3], "little"), text.decode("utf-8", "replace"))
        if content[:1] != bytes([_END]) or len(content) > 8:
            return False
        self.warnings, self.ended = int.from_bytes(content[1:3], "little"), True
        if int.from_bytes(content[3:5], "little") & _MORE_RESULTS or end != self._used:
            raise Broken("it sent more than one result")
        self._begin = end
        return True


def _split(octets: NDArray[np.uint8], begin: int, used: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the rows begin and end that follow each other from `begin` on, are whole and under 64 KiB.

    Such a row has a 0 as the third byte of its head. Of all zeros those are heads that lead to a head with the number
    that follows, and that another one leads to; the few that do so by chance are left out by following the rows from
    the first.
    """
    head = np.flatnonzero(octets[begin + 2 : used - 2] == 0) + begin
    ends = head + _HEAD + (octets[head].astype(np.int64) | octets[head + 1].astype(np.int64) << 8)
    whole = ends <= used
    head, ends = head[whole], ends[whole]
    number, after = octets[head + 3], octets[np.minimum(ends, used - _HEAD) + 3]
    follows = (ends > used - _HEAD) | (after == number + np.uint8(1))
    head, ends = head[follows], ends[follows]
    led_to = np.zeros(used + 1, np.bool_)
    led_to[begin] = led_to[ends] = True
    head, ends = head[led_to[head]], ends[led_to[head]]
    if not len(head) or head[0] != begin:
        return head[:0], ends[:0]
    if not np.array_equal(ends[:-1], head[1:]):
        chain = _chain(head, ends)
        head, ends = head[chain], ends[chain]
    first = octets[head + _HEAD]
    notes = np.flatnonzero((first == _ERROR) | ((first == _END) & (ends - head < _HEAD + _END_SIZE)))
    count = int(notes[0]) if len(notes) else len(head)
    return head[:count] + _HEAD, ends[:count]


def _chain(head: NDArray[np.int64], ends: NDArray[np.int64]) -> list[int]:
    """Return which of the places that look like a row's head are one: each begins where the one before ends."""
    places, following = {place: index for index, place in enumerate(head.tolist())}, ends.tolist()
    chain, index = [0], places.get(following[0])
    while index is not None:
        chain.append(index)
        index = places.get(following[index])
    return chain
