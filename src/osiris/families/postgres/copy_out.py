"""What a COPY in binary format sends, cut into rows.

A connection that waits for a command owes the client nothing: so a COPY is sent past the client library, over the
socket that it has opened and authenticated, and all that comes back is taken in large pieces. The library's own way
makes an object of every row. Where the socket is encrypted it is taken, nevertheless, and its rows put in the same
form. The messages: a letter, four bytes of length that count themselves, and the content; `d` is a row.
"""

from __future__ import annotations

import select
import socket
from contextlib import closing
from dataclasses import dataclass
from os import dup
from struct import Struct
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from osiris.families.postgres.decode import SPARE, Page
from osiris.families.sql.watchdog import Inflow

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import psycopg
    from numpy.typing import NDArray

    from osiris.families.sql.watchdog import Watch

SIZE = 2 << 20
"""The bytes that are decoded at once: more do not stay in the processor's cache."""

LARGEST_ROW = 1 << 30
"""The server sends no larger row."""

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEAD = len(_SIGNATURE) + 8
_LENGTH = Struct(">i")
_ROW, _READY = ord("d"), b"Z\0\0\0\5"


class Refusal(Exception):
    """What the server says instead of rows: its fields by letter; C is the SQLSTATE, M the message."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(fields.get("C", ""))
        self.sqlstate, self.message = fields.get("C", ""), fields.get("M", "")


class Broken(Exception):
    """The connection ended, or what came over it was not the protocol."""


class Feed(Protocol):
    """Where bytes come from."""

    def fill(self, room: memoryview) -> int:
        """Put bytes there, as many as there is room for or as there are, and return their number; 0 is the end."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in a page: where each begins, with the number of its values, and ends. The page is used again afterwards."""

    page: Page
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def copied(connection: psycopg.Connection[Any], query: str, width: int, watch: Watch) -> Generator[Rows, None, None]:
    """Yield the rows of a query, which have `width` columns; raises Refusal, Broken, or what psycopg raises."""
    command = f"COPY ({query}\n) TO STDOUT (FORMAT binary)"
    if connection.pgconn.ssl_in_use:
        with connection.cursor().copy(command.encode()) as copy:
            yield from _rows(_Library(iter(copy), watch), width)
        return
    with closing(socket.socket(fileno=dup(connection.fileno()))) as line:
        line.setblocking(False)
        _send(line, command, watch)
        with Inflow(line, watch) as inflow:
            yield from _rows(_Socket(inflow), width)


def _send(line: socket.socket, command: str, watch: Watch) -> None:
    text = command.encode() + b"\0"
    rest = memoryview(b"Q" + _LENGTH.pack(len(text) + 4) + text)
    poll = select.poll()
    poll.register(line, select.POLLOUT)
    while rest:
        try:
            rest = rest[line.send(rest) :]
        except BlockingIOError:
            with watch.waiting():
                poll.poll()
        except OSError as error:
            raise Broken(str(error)) from None


class _Socket:
    """The connection's own socket."""

    def __init__(self, inflow: Inflow) -> None:
        self._inflow = inflow

    def fill(self, room: memoryview) -> int:
        """Take what comes until there is no more room, or the server waits for a command."""
        taken = 0
        while taken < len(room):
            try:
                got = self._inflow.read(room[taken:]) or 0
            except OSError as error:
                raise Broken(str(error)) from None
            taken += got
            if not got or bytes(room[max(0, taken - 6) : taken - 1]) == _READY:
                break
        return taken


class _Library:
    """Rows as the client library gives them, with the messages around them that it has taken off."""

    def __init__(self, rows: Iterator[bytes | memoryview | bytearray], watch: Watch) -> None:
        self._rows, self._watch = rows, watch
        self._rest = memoryview(b"")

    def fill(self, room: memoryview) -> int:
        """Take rows until there is no more room, or no more rows."""
        taken = 0
        while taken < len(room):
            if not self._rest:
                with self._watch.waiting():
                    row = next(self._rows, None)
                if row is None:
                    break
                self._rest = memoryview(b"d" + _LENGTH.pack(len(row) + 4) + row)
            part = self._rest[: len(room) - taken]
            room[taken : taken + len(part)] = part
            self._rest = self._rest[len(part) :]
            taken += len(part)
        return taken


def _rows(feed: Feed, width: int) -> Iterator[Rows]:
    cut = _Cut(width)
    while not cut.ended and cut.fill(feed):
        while (rows := cut.next_rows()) is not None:
            yield rows
    cut.expect_end()


class _Cut:
    """A buffer that is filled, and cut into the messages that are whole."""

    def __init__(self, width: int) -> None:
        self.ended = False
        self._width = width
        self._buffer = bytearray(SIZE + SPARE)
        self._page = Page(self._buffer)
        self._begin = self._used = 0
        self._headed = self._closed = False
        self._refusal: Refusal | None = None

    def fill(self, feed: Feed) -> bool:
        """Move what is left to the front and put more behind it; tells whether more came."""
        left = self._used - self._begin
        whole, begin = self._buffer, self._begin
        if left > (len(whole) - SPARE) // 2:
            self._buffer = bytearray(2 * (len(whole) - SPARE) + SPARE)
            self._page = Page(self._buffer)
        self._buffer[:left] = whole[begin : begin + left]
        self._begin, self._used = 0, left
        with memoryview(self._buffer) as room:
            self._used += feed.fill(room[left:-SPARE])
        return self._used > left

    def next_rows(self) -> Rows | None:
        """Return the rows that are whole and follow each other; None if what comes next is not whole yet."""
        while not self.ended and (end := self._end()) is not None:
            if self._buffer[self._begin] == _ROW and not self._headed:
                self._behead()
            starts, ends = _split(self._page.u1, self._begin, self._used, self._width)
            if len(starts):
                self._begin = int(ends[-1])
                return Rows(self._page, starts, ends)
            if self._buffer[self._begin] == _ROW and self._count() == self._width:
                starts, self._begin = np.array([self._begin + 5]), end
                return Rows(self._page, starts, np.array([end]))
            self._take_note(end)
        return None

    def expect_end(self) -> None:
        """Raise what the server said against the query, or Broken where the rows do not end as they must."""
        if self._refusal:
            raise self._refusal
        if not self._closed:
            raise Broken("it ended in the middle of the rows")

    def _end(self) -> int | None:
        """Return the end of the message that begins here, if it is there."""
        if self._used - self._begin < 5:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, self._begin + 1)
        if not 4 <= length <= LARGEST_ROW:
            raise Broken("what it sent is not PostgreSQL's protocol")
        end = int(self._begin + 1 + length)
        return end if end <= self._used else None

    def _behead(self) -> None:
        """Take the head of the whole format off its first row."""
        (length,) = _LENGTH.unpack_from(self._buffer, self._begin + 1)
        if bytes(self._buffer[self._begin + 5 : self._begin + 5 + len(_SIGNATURE)]) != _SIGNATURE:
            raise Broken("what it sent is not the binary format")
        self._headed = True
        self._begin += _HEAD
        self._buffer[self._begin] = _ROW
        _LENGTH.pack_into(self._buffer, self._begin + 1, length - _HEAD)

    def _count(self) -> int:
        return int.from_bytes(self._buffer[self._begin + 5 : self._begin + 7], "big", signed=True)

    def _take_note(self, end: int) -> None:
        """Pass over a message that is no row of the query."""
        letter = self._buffer[self._begin : self._begin + 1]
        if letter == b"d":
            if self._count() != -1:
                raise Broken("a row has another number of values than the query")
            self._closed = True
        elif letter == b"E":
            self._refusal = self._refusal or Refusal(fields_of(bytes(self._buffer[self._begin + 5 : end])))
        self.ended = letter == b"Z"
        self._begin = end


def _split(bytes_: NDArray[np.uint8], begin: int, used: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the rows begin and end that follow each other from `begin` on, and are whole and under 16 MiB."""
    head = np.flatnonzero(bytes_[begin : used - 6] == _ROW) + begin
    high, low = divmod(width, 256)
    head = head[(bytes_[head + 1] == 0) & (bytes_[head + 5] == high) & (bytes_[head + 6] == low)]
    two, three, four = (bytes_[head + index].astype(np.int64) for index in (2, 3, 4))
    ends = head + 1 + (two << 16 | three << 8 | four)
    if not len(head) or head[0] != begin:
        return head[:0], ends[:0]
    if not np.array_equal(ends[:-1], head[1:]):
        chain = _chain(head, ends)
        head, ends = head[chain], ends[chain]
    inside = int(np.searchsorted(ends, used, "right"))
    return head[:inside] + 5, ends[:inside]


def _chain(head: NDArray[np.int64], ends: NDArray[np.int64]) -> list[int]:
    """Return which of the places that look like a row's head are one: each begins where the one before ends."""
    places, following = {place: index for index, place in enumerate(head.tolist())}, ends.tolist()
    chain, index = [0], places.get(following[0])
    while index is not None:
        chain.append(index)
        index = places.get(following[index])
    return chain


def fields_of(content: bytes) -> dict[str, str]:
    """Return the fields of the server's message by their letters."""
    parts = [part.decode("utf-8", "replace") for part in content.split(b"\0") if part]
    return {part[0]: part[1:] for part in parts}
