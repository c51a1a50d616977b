"""Split the rows of COPY … TO STDOUT (FORMAT binary), and decode them into Arrow arrays one column at a time.

On an idle connection no data is pending: so COPY is sent without the client library, over the socket that it has opened
and authenticated, and the response is read in large chunks. On an encrypted socket the library reads the rows, which
are then put in the same form. A message is a letter, four bytes of length that include themselves, and the payload; `d`
is a row (PostgreSQL frontend/backend protocol, COPY binary format).

A buffer holds rows as sent. `Cells` are the positions of one column's values in it, and a decoder reads them all at
once with numpy: unaligned loads in network byte order. A value that Arrow or our types cannot hold (an infinite date, a
decimal NaN) raises `InvalidCell`; it is never changed.
"""

from __future__ import annotations

import socket
from contextlib import closing
from functools import partial
from os import dup
from struct import Struct, unpack_from
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from osiris.families.sql.columnar import DAY, FIRST_DAY, LAST_DAY, Cells, InvalidCell, Rows
from osiris.families.sql.watchdog import SocketReader
from osiris.families.sql.wire import ConnectionBroken, RowBuffer, ServerError, chain, take_from
from osiris.kernels import compiled
from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import psycopg
    from numpy.typing import NDArray

    from osiris.families.sql.columnar import Decode, Page
    from osiris.families.sql.watchdog import Watchdog
    from osiris.families.sql.wire import Take

_NULL = 255
_DAYS = 10_957
_MICROSECONDS = _DAYS * DAY
_ONE_WORD_DIGITS = 18
_NEGATIVE = 0x4000
_NOT_A_NUMBER = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
_POWERS = np.array([10**e for e in range(_ONE_WORD_DIGITS + 1)], np.int64)


WIDTHS = {
    **dict.fromkeys(("int64", "float64", "time[us]", "timestamp[us]", "timestamp[us,UTC]"), 8),
    **dict.fromkeys(("int32", "uint32", "float32", "date"), 4),
    "bool": 1,
    "int16": 2,
    "uuid": 16,
}
"""The size in bytes of the values of a fixed-width type."""
LARGEST_ROW = 1 << 30
"""The largest row in bytes that the server sends."""

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEAD = len(_SIGNATURE) + 8
_LENGTH = Struct(">i")
_ROW, _READY = ord("d"), b"Z\0\0\0\5"


def copied(connection: psycopg.Connection[Any], query: str, width: int, watch: Watchdog) -> Generator[Rows, None, None]:
    """Yield the rows of a query with `width` columns; raises ServerError, Broken, or psycopg.Error."""
    command = f"COPY ({query}\n) TO STDOUT (FORMAT binary)"
    if connection.pgconn.ssl_in_use:
        with connection.cursor().copy(command.encode()) as copy:
            yield from _rows(_by_library(iter(copy), watch), width)
        return
    with closing(socket.socket(fileno=dup(connection.fileno()))) as sock:
        sock.setblocking(False)
        _send(sock, command, watch)
        with SocketReader(sock, watch) as inflow:
            yield from _rows(partial(take_from, inflow, _is_ready), width)


def _send(sock: socket.socket, command: str, watch: Watchdog) -> None:
    text = command.encode() + b"\0"
    sock.setblocking(True)
    try:
        with watch.waiting():
            sock.sendall(b"Q" + _LENGTH.pack(len(text) + 4) + text)
    except OSError as error:
        raise ConnectionBroken(str(error)) from None
    sock.setblocking(False)


def _is_ready(room: memoryview, used: int) -> bool:
    """Whether the last message is ReadyForQuery."""
    return used > 5 and bytes(room[used - 6 : used - 1]) == _READY


def _by_library(rows: Iterator[bytes | memoryview | bytearray], watch: Watchdog) -> Take:
    """Return a `Take` of the client library's rows, each with the message header that the library removed."""
    rest = memoryview(b"")

    def take(room: memoryview) -> int:
        nonlocal rest
        used = 0
        while used < len(room):
            if not rest:
                with watch.waiting():
                    row = next(rows, None)
                if row is None:
                    break
                rest = memoryview(b"d" + _LENGTH.pack(len(row) + 4) + row)
            part = rest[: len(room) - used]
            room[used : used + len(part)] = part
            rest, used = rest[len(part) :], used + len(part)
        return used

    return take


def _rows(take: Take, width: int) -> Iterator[Rows]:
    copy = _Copy(width)
    while not copy.ended and copy.fill(take):
        while (rows := copy.next_rows()) is not None:
            yield rows
    copy.expect_end()


class _Copy(RowBuffer):
    """The messages of a COPY of rows with `width` columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width
        self._headed = self._closed = False
        self._refusal: ServerError | None = None

    def next_rows(self) -> Rows | None:
        """Return the next consecutive complete rows; None if the next message is incomplete."""
        while not self.ended and (end := self._end()) is not None:
            if self.buffer[self.begin] == _ROW and not self._headed:
                self._remove_header()
            starts, ends = _split(self.page.u1, self.begin, self.used, self._width)
            if len(starts):
                self.begin = int(ends[-1])
                return Rows(self.page, starts, ends)
            if self.buffer[self.begin] == _ROW and self._count() == self._width:
                return self.single(self.begin + 5, end)
            self._read_other(end)
        return None

    def expect_end(self) -> None:
        """Raise the server's Refusal, if any, or Broken if the rows did not end properly."""
        if self._refusal:
            raise self._refusal
        if not self._closed:
            raise ConnectionBroken("it ended in the middle of the rows")

    def _end(self) -> int | None:
        """Return the end of the next message; None if incomplete. Raises ConnectionBroken for an invalid length."""
        if self.used - self.begin < 5:
            return None
        (length,) = _LENGTH.unpack_from(self.buffer, self.begin + 1)
        if not 4 <= length <= LARGEST_ROW:
            raise ConnectionBroken("what it sent is not PostgreSQL's protocol")
        end = int(self.begin + 1 + length)
        return end if end <= self.used else None

    def _remove_header(self) -> None:
        """Remove the format's header from the first row."""
        (length,) = _LENGTH.unpack_from(self.buffer, self.begin + 1)
        if bytes(self.buffer[self.begin + 5 : self.begin + 5 + len(_SIGNATURE)]) != _SIGNATURE:
            raise ConnectionBroken("what it sent is not the binary format")
        self._headed = True
        self.begin += _HEAD
        self.buffer[self.begin] = _ROW
        _LENGTH.pack_into(self.buffer, self.begin + 1, length - _HEAD)

    def _count(self) -> int:
        return int.from_bytes(self.buffer[self.begin + 5 : self.begin + 7], "big", signed=True)

    def _read_other(self, end: int) -> None:
        """Read a message that is not a row of the query."""
        letter = self.buffer[self.begin : self.begin + 1]
        if letter == b"d":
            if self._count() != -1:
                raise ConnectionBroken("a row has another number of values than the query")
            self._closed = True
        elif letter == b"E":
            fields = fields_of(bytes(self.buffer[self.begin + 5 : end]))
            self._refusal = self._refusal or ServerError(fields.get("C", ""), fields.get("M", ""))
        self.ended = letter == b"Z"
        self.begin = end


@compiled("postgres_split")
def _split(bytes_: NDArray[np.uint8], begin: int, used: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the starts and ends of the consecutive complete rows from `begin` on that are under 16 MiB."""
    head = np.flatnonzero(bytes_[begin : used - 6] == _ROW) + begin
    high, low = divmod(width, 256)
    head = head[(bytes_[head + 1] == 0) & (bytes_[head + 5] == high) & (bytes_[head + 6] == low)]
    two, three, four = (bytes_[head + index].astype(np.int64) for index in (2, 3, 4))
    ends = head + 1 + (two << 16 | three << 8 | four)
    if not len(head) or head[0] != begin:
        return head[:0], ends[:0]
    if not np.array_equal(ends[:-1], head[1:]):
        linked = chain(head, ends)
        head, ends = head[linked], ends[linked]
    inside = int(np.searchsorted(ends, used, "right"))
    return head[:inside] + 5, ends[:inside]


def fields_of(content: bytes) -> dict[str, str]:
    """Return the fields of an error message by their letters (protocol chapter "Error and Notice Message Fields")."""
    parts = [part.decode("utf-8", "replace") for part in content.split(b"\0") if part]
    return {part[0]: part[1:] for part in parts}


def cells_of(rows: Rows, widths: Sequence[int | None]) -> list[Cells]:
    """Return the cells of each column; a row starts after the message length, with its number of values.

    Raises ValueError if the columns do not end where their rows end.
    """
    return [Cells(*fields) for fields in _cell_fields(rows, widths)]


@compiled("postgres_cells")
def _cell_fields(
    rows: Rows, widths: Sequence[int | None]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_] | None]]:
    """Return the fields of `Cells` of each column; for a fixed width, one byte of the length shows NULL."""
    page, at, columns = rows.page, rows.starts + 2, []
    for width in widths:
        if width is None:
            length = page.load("i4", at).astype(np.int64)
            null = length < 0
        else:
            length = np.full(len(at), width)
            null = page.u1[at + 3] == _NULL
        has_null = bool(null.any())
        if has_null:
            length[null] = 0
        at = at + 4
        columns.append((at, length, null if has_null else None))
        at = at + length
    if not np.array_equal(at, rows.ends):
        raise ValueError("a row is not as long as its values")
    return columns


def number(view: str, name: str) -> Decode:
    """Return the decoder of fixed-width numbers; `view` is the page's view that loads them, like "i4"."""
    kind = arrow_type(name)
    native = np.dtype(kind.to_pandas_dtype())

    def decode(page: Page, cells: Cells) -> pa.Array:
        return cells.array(kind, page.load(view, cells.at).astype(native, copy=False))

    return decode


def truth(page: Page, cells: Cells) -> pa.Array:
    """Decode booleans."""
    return cells.array(pa.bool_(), np.packbits(page.u1[cells.at], bitorder="little"))


def uuids(page: Page, cells: Cells) -> pa.Array:
    """Decode UUIDs."""
    halves = np.empty((len(cells.at), 2), ">i8")
    halves[:, 0], halves[:, 1] = page.load("i8", cells.at), page.load("i8", cells.at + 8)
    return pa.ExtensionArray.from_storage(pa.uuid(), cells.array(pa.binary(16), halves))


def dates(page: Page, cells: Cells) -> pa.Array:
    """Decode dates of the years 1 to 9999."""
    raw = page.load("i4", cells.at).astype(np.int64)
    days = raw + _DAYS
    if (row := cells.first((days < FIRST_DAY) | (days > LAST_DAY))) is not None:
        raise _out_of_time(row, int(raw[row]), 31, "a date")
    return cells.array(pa.date32(), days.astype(np.int32))


def moments(name: str) -> Decode:
    """Return the decoder of timestamps of the years 1 to 9999, naive or in UTC."""
    kind = arrow_type(name)

    def decode(page: Page, cells: Cells) -> pa.Array:
        raw = page.load("i8", cells.at)
        low, high = FIRST_DAY * DAY - _MICROSECONDS, (LAST_DAY + 1) * DAY - _MICROSECONDS
        if (row := cells.first((raw < low) | (raw >= high))) is not None:
            raise _out_of_time(row, int(raw[row]), 63, "a timestamp")
        return cells.array(kind, raw + _MICROSECONDS)

    return decode


def _out_of_time(row: int, raw: int, bits: int, what: str) -> InvalidCell:
    infinite = {2**bits - 1: "infinity", -(2**bits): "-infinity"}.get(raw)
    shown = infinite or f"{what} {'before the year 1' if raw < 0 else 'after the year 9999'}"
    return InvalidCell(row, shown, "only the years 1 to 9999 can be carried")


def times(page: Page, cells: Cells) -> pa.Array:
    """Decode times of the day."""
    raw = page.load("i8", cells.at)
    if (row := cells.first(raw >= DAY)) is not None:
        raise InvalidCell(row, "24:00:00", "a day's last time is 23:59:59.999999")
    return cells.array(pa.time64("us"), raw)


def decimals(name: str) -> Decode:
    """Return the decoder of decimals with a scale: base-10000 digits, the first times 10000 to the power of `weight`.

    Up to four digits are loaded as one word and shifted down to the last digit; longer numbers are rare, and decoded
    one by one.
    """
    kind = arrow_type(name)
    width, scale = kind.bit_width // 8, kind.scale

    def decode(page: Page, cells: Cells) -> pa.Array:
        return cells.array(kind, _numbers(page, cells, width, scale))

    return decode


@compiled("postgres_decimals")
def _numbers(page: Page, cells: Cells, width: int, scale: int) -> NDArray[np.int64]:
    """Return unscaled decimals of `width` bytes as rows of words; raises InvalidCell for NaN and infinities."""
    head = page.load("i8", cells.at)
    count, weight, sign = head >> 48, (head << 16) >> 48, (head >> 16) & 0xFFFF
    if cells.null is not None:
        count[cells.null] = weight[cells.null] = 0
    if (row := cells.first(sign >= min(_NOT_A_NUMBER))) is not None:
        raise InvalidCell(row, _NOT_A_NUMBER[int(sign[row])], "a decimal is always a number")
    exponent = 4 * (weight + 1 - count) + scale
    small = (count <= 4) & (exponent + 4 * count <= _ONE_WORD_DIGITS)
    words = _small(page.load("u8", cells.at + 8), count, exponent, 10 ** (-scale % 4))
    np.negative(words, out=words, where=sign == _NEGATIVE)
    wide = np.empty((len(words), width // 8), np.int64)
    wide[:, 0] = words
    wide[:, 1:] = (words >> 63)[:, None]
    for row in np.flatnonzero(~small).tolist():
        size = _large(page.buffer, int(cells.at[row]), int(count[row]), int(exponent[row]))
        signed = -size if sign[row] == _NEGATIVE else size
        wide[row] = np.frombuffer(signed.to_bytes(width, "little", signed=True), np.int64)
    return wide


def _small(
    raw: NDArray[np.uint64], count: NDArray[np.int64], exponent: NDArray[np.int64], part: int
) -> NDArray[np.int64]:
    """Return the absolute values of numbers of up to four digits; `part` divides out digits beyond the scale."""
    digits = raw >> (64 - 16 * np.minimum(count, 4)).astype(np.uint64)
    pairs = (digits & 0x0000FFFF0000FFFF) + 10_000 * ((digits >> 16) & 0x0000FFFF0000FFFF)
    total = ((pairs & 0xFFFFFFFF) + 100_000_000 * (pairs >> 32)).astype(np.int64)
    scaled: NDArray[np.int64] = total * _POWERS[np.clip(exponent, 0, _ONE_WORD_DIGITS)]
    return np.where(exponent < 0, total // part, scaled) if part > 1 else scaled


def _large(buffer: bytearray, at: int, count: int, exponent: int) -> int:
    total: int = 0
    for digit in unpack_from(f">{count}h", buffer, at + 8):
        total = total * 10_000 + digit
    return int(total * 10**exponent if exponent >= 0 else total // 10**-exponent)


def lists(inner: Decode, item: str, width: int | None) -> Decode:
    """Return the decoder of one-dimensional arrays; `width` is an item's size in bytes, None if it varies."""
    kind = pa.list_(arrow_type(item))

    def decode(page: Page, cells: Cells) -> pa.Array:
        dimensions = page.load("i4", cells.at)
        if (row := cells.first(dimensions > 1)) is not None:
            raise InvalidCell(
                row, f"an array of {dimensions[row]} dimensions", "only those of one dimension can be carried"
            )
        if (row := cells.first((dimensions == 1) & (page.load("i4", cells.at + 16) != 1))) is not None:
            raise InvalidCell(row, "an array that does not begin at 1", "where it begins cannot be carried")
        has = dimensions == 1 if cells.null is None else (dimensions == 1) & ~cells.null
        count = np.where(has, page.load("i4", cells.at + 12), 0).astype(np.int64)
        offsets = np.zeros(len(count) + 1, np.int32)
        np.cumsum(count, out=offsets[1:])
        items = _items(
            page, cells.at, count, offsets, None if bool(page.load("i4", cells.at + 4)[has].any()) else width
        )
        try:
            return cells.array(kind, offsets, children=[inner(page, items)])
        except InvalidCell as unfit:
            row = int(np.searchsorted(offsets, unfit.row, "right")) - 1
            raise InvalidCell(row, unfit.value, unfit.reason) from None

    return decode


def _items(
    page: Page, at: NDArray[np.int64], count: NDArray[np.int64], offsets: NDArray[np.int32], width: int | None
) -> Cells:
    if width is not None:
        index = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], count)
        first = np.repeat(at + 24, count)
        return Cells(first + index * (width + 4), np.full(len(index), width, np.int64))
    starts, lengths = [], []
    for begin, number_of in zip(at.tolist(), count.tolist(), strict=True):
        place = begin + 20
        for _ in range(number_of):
            (length,) = unpack_from(">i", page.buffer, place)
            starts.append(place + 4)
            lengths.append(length)
            place += 4 + max(length, 0)
    sizes = np.array(lengths, np.int64)
    return Cells(np.array(starts, np.int64), np.maximum(sizes, 0), sizes < 0)
