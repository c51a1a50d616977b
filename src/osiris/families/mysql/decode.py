"""Split the rows of a MySQL result set, and decode them into Arrow arrays one column at a time.

PyMySQL logs in, sends the query and reads the column definitions; rows are then read from its socket directly,
encrypted or not. A packet is three bytes of length, a sequence number and the payload: a row, the end, or an error
(MySQL client/server protocol, text result set).

A row is its values as length-prefixed texts. `Cells` are the positions of one column's values in a page of rows, and a
decoder reads them all at once with numpy: eight digits are one load, converted to a number by three multiplications.
Loads cost the most, so values that fit one word are loaded once. A value that Arrow or our types cannot hold (an
invalid date) raises `InvalidCell`; it is never changed.
"""

from __future__ import annotations

import functools
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from osiris.families.sql.columnar import DAY, Cells, InvalidCell, Page, Rows, bytes_of
from osiris.families.sql.watchdog import SocketReader
from osiris.families.sql.wire import FRONT, SPARE, ConnectionBroken, RowBuffer, ServerError, chain, take_from
from osiris.kernels import compiled
from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from osiris.families.mysql.connect import Client
    from osiris.families.sql.columnar import Decode
    from osiris.families.sql.watchdog import Watchdog

    Words = NDArray[np.uint64]
    Numbers = NDArray[np.int64]

_NULL = 251
_SIZES = {252: 2, 253: 3, 254: 8}
_POINT, _MINUS, _COLON = ord("."), ord("-"), ord(":")
_ONE_WORD_DIGITS = 18
_MICROSECONDS = 6
_TO_MICROSECONDS = np.array([10 ** (_MICROSECONDS - digits) for digits in range(_MICROSECONDS + 1)], np.int64)
_STEPS = tuple(
    tuple(map(np.uint64, step))
    for step in (
        (0x0F0F0F0F0F0F0F0F, 2561, 8),
        (0x00FF00FF00FF00FF, 6553601, 16),
        (0x0000FFFF0000FFFF, 42949672960001, 32),
    )
)
"""Mask, factor and shift of the steps that turn eight digits into a number: by twos, by fours, then all eight."""
_LAST = np.array([0, *((1 << 64) - (1 << (64 - 8 * size)) for size in range(1, 9))], np.uint64)
"""Masks of the last 0 to 8 bytes of a word, which are its highest."""
_DIGIT = np.uint64(0x1010101010101010)
"""The bits that all digits have; a sign and a point lack one."""
_YEAR_MONTH = np.uint64(0x000F0F000F0F0F0F)
"""Mask of the digits in YYYY-MM-."""
_HEAD = 4
_FULL = 0xFFFFFF
"""The length of a packet that continues in the next one."""
_END, _ERROR = 0xFE, 0xFF
_END_SIZE = 9
_MORE_RESULTS = 8


def received(connection: Client, watch: Watchdog, packets: Packets) -> Iterator[Rows]:
    """Yield the rows of a query that was sent; raises ServerError or, for a protocol error, ConnectionBroken."""

    def buffered(room: memoryview) -> int:
        """Copy what PyMySQL has already buffered; afterwards its buffer is bypassed."""
        try:
            with watch.waiting():
                chunk = connection._rfile.read1(len(room))
        except (OSError, ValueError) as error:
            raise ConnectionBroken(str(error)) from None
        room[: len(chunk)] = chunk
        return len(chunk)

    sock = connection._sock
    if sock is None:
        raise ConnectionBroken("it was closed")
    packets.fill(buffered)
    sock.setblocking(False)
    with SocketReader(sock, watch) as inflow:
        while True:
            while (rows := packets.next_rows()) is not None:
                yield rows
            if packets.ended:
                break
            if not packets.fill(partial(take_from, inflow, _looks_like_end)):
                raise ConnectionBroken("it ended in the middle of the rows")
    sock.setblocking(True)


def _looks_like_end(room: memoryview, used: int) -> bool:
    tail = bytes(room[max(0, used - _END_SIZE) : used])
    return len(tail) == _END_SIZE and tail[:3] == b"\5\0\0" and tail[4] == _END


class Packets(RowBuffer):
    """The packets of a result set; `warnings` is the count in its last one."""

    warnings = 0

    def next_rows(self) -> Rows | None:
        """Return the next consecutive complete rows; None if the next packet is incomplete."""
        while not self.ended and self.used - self.begin >= _HEAD:
            starts, ends = _split(self.page.u1, self.begin, self.used)
            if len(starts):
                self.begin = int(ends[-1])
                return Rows(self.page, starts, ends)
            end = self.begin + _HEAD + self._length(self.begin)
            if self._length(self.begin) == _FULL:
                return self._joined()
            if end > self.used:
                return None
            if not self._read_end(end):
                return self.single(self.begin + _HEAD, end)
        return None

    def _length(self, at: int) -> int:
        return int.from_bytes(self.buffer[at : at + 3], "little")

    def _joined(self) -> Rows | None:
        """Return a row that spans several packets, in its own page; None if it is incomplete."""
        at, parts, length = self.begin, [bytes(FRONT)], _FULL
        while length == _FULL:
            if at + _HEAD > self.used:
                return None
            length = self._length(at)
            if at + _HEAD + length > self.used:
                return None
            parts.append(bytes(self.buffer[at + _HEAD : at + _HEAD + length]))
            at += _HEAD + length
        self.begin = at
        page = Page(bytearray(b"".join((*parts, bytes(SPARE)))))
        return Rows(page, np.array([FRONT]), np.array([len(page.buffer) - SPARE]))

    def _read_end(self, end: int) -> bool:
        """Read the next packet if it is not a row, and return whether it is not; raises ServerError for an error."""
        content = bytes(self.buffer[self.begin + _HEAD : min(end, self.begin + _HEAD + 1024)])
        if content[:1] == bytes([_ERROR]):
            text = content[9:] if content[3:4] == b"#" else content[3:]
            raise ServerError(int.from_bytes(content[1:3], "little"), text.decode("utf-8", "replace"))
        if content[:1] != bytes([_END]) or len(content) > 8:
            return False
        self.warnings, self.ended = int.from_bytes(content[1:3], "little"), True
        if int.from_bytes(content[3:5], "little") & _MORE_RESULTS or end != self.used:
            raise ConnectionBroken("it sent more than one result")
        self.begin = end
        return True


@compiled("mysql_split")
def _split(octets: NDArray[np.uint8], begin: int, used: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the starts and ends of the consecutive complete rows from `begin` on that are under 64 KiB.

    The third byte of such a row's header is 0. Of all zero bytes, headers are those whose packet leads to a header with
    the next sequence number, and to which another packet leads; the few that do so by chance are dropped by following
    the rows from the first.
    """
    head = np.flatnonzero(octets[begin + 2 : used - 2] == 0) + begin
    ends = head + _HEAD + (octets[head].astype(np.int64) | octets[head + 1].astype(np.int64) << 8)
    complete = ends <= used
    head, ends = head[complete], ends[complete]
    number, after = octets[head + 3], octets[np.minimum(ends, used - _HEAD) + 3]
    follows = (ends > used - _HEAD) | (after == number + np.uint8(1))
    head, ends = head[follows], ends[follows]
    led_to = np.zeros(used + 1, np.bool_)
    led_to[begin] = led_to[ends] = True
    head, ends = head[led_to[head]], ends[led_to[head]]
    if not len(head) or head[0] != begin:
        return head[:0], ends[:0]
    if not np.array_equal(ends[:-1], head[1:]):
        linked = chain(head, ends)
        head, ends = head[linked], ends[linked]
    first = octets[head + _HEAD]
    final = np.flatnonzero((first == _ERROR) | ((first == _END) & (ends - head < _HEAD + _END_SIZE)))
    count = int(final[0]) if len(final) else len(head)
    return head[:count] + _HEAD, ends[:count]


def cells_of(rows: Rows, count: int) -> list[Cells]:
    """Return the cells of each of `count` columns.

    Raises ValueError if the columns do not end where their rows end.
    """
    return [Cells(*fields) for fields in _cell_fields(rows, count)]


@compiled("mysql_cells")
def _cell_fields(rows: Rows, count: int) -> list[tuple[Numbers, Numbers, NDArray[np.bool_] | None]]:
    """Return the fields of `Cells` of each column."""
    page, at, columns = rows.page, rows.starts, []
    for _ in range(count):
        first = page.u1[at]
        length, at, null = first.astype(np.int64), at + 1, None
        if first.size and first.max() >= _NULL:
            null = length == _NULL
            length[null] = 0
            _lengthen(page, first, at, length)
        columns.append((at, length, null if null is not None and null.any() else None))
        at = at + length
    if not np.array_equal(at, rows.ends):
        raise ValueError("a row is not as long as its values")
    return columns


def _lengthen(page: Page, first: NDArray[np.uint8], at: Numbers, length: Numbers) -> None:
    """Read the lengths of more than one byte, and move the positions past them; both arrays change in place."""
    for mark, size in _SIZES.items():
        rows = np.flatnonzero(first == mark)
        if len(rows):
            words = page.u8[at[rows]] & ((1 << (8 * size)) - 1)
            length[rows] = words.astype(np.int64)
            at[rows] += size
            if bool((length[rows] > len(page.buffer)).any()):
                raise ValueError("a value is longer than all that came")


def _eight(words: Words) -> Words:
    """Return the numbers spelled by eight digits each, the last in the highest byte; other bytes must be 0."""
    for mask, factor, shift in _STEPS:
        words = ((words & mask) * factor) >> shift
    return words


def _digits(page: Page, end: Numbers, count: Numbers | int) -> Words:
    """Return the numbers whose `count` digits (at most 20) end at `end`."""
    counts = np.asarray(count)
    most = int(counts.max()) if counts.size else 0
    total = _eight(page.u8[end - 8] & _LAST[counts if most <= 8 else np.minimum(counts, 8)])
    for skipped, weight in ((8, 10**8), (16, 10**16)):
        if most > skipped:
            words = page.u8[end - 8 - skipped] & _LAST[np.clip(counts - skipped, 0, 8)]
            total = total + _eight(words) * np.uint64(weight)
    return total


def _one_word(page: Page, end: Numbers, count: Numbers) -> Words | None:
    """Return the `count` digits that end at `end` as the last bytes of words; None if more than 8 or not all digits."""
    if count.max(initial=0) > 8:
        return None
    mask = _LAST.take(count, mode="clip")
    words: Words = page.u8[end - 8] & mask
    return None if bool(((words ^ mask) & _DIGIT).any()) else words


def _sign(page: Page, cells: Cells) -> NDArray[np.bool_]:
    negative: NDArray[np.bool_] = page.u1[cells.at] == _MINUS
    return negative if cells.null is None else negative & ~cells.null


def integers(name: str) -> Decode:
    """Return the decoder of integers, which may have leading zeros."""
    kind = arrow_type(name)
    native = np.dtype(kind.to_pandas_dtype())

    def decode(page: Page, cells: Cells) -> pa.Array:
        return cells.array(kind, _integers(page, cells, native))

    return decode


@compiled("mysql_integers")
def _integers(page: Page, cells: Cells, native: np.dtype[Any]) -> NDArray[Any]:
    """Return integers of any length."""
    end = cells.at + cells.length
    digits = _one_word(page, end, cells.length)
    words = _signed(page, cells, end, 0) if digits is None else _eight(digits)
    return words.astype(native)


def decimals(name: str) -> Decode:
    """Return the decoder of decimals, which are sent with all fractional digits of their scale."""
    kind = arrow_type(name)
    if kind.precision > _ONE_WORD_DIGITS:
        return parsed(name)

    def decode(page: Page, cells: Cells) -> pa.Array:
        return cells.array(kind, _decimals(page, cells, kind.scale))

    return decode


@compiled("mysql_decimals")
def _decimals(page: Page, cells: Cells, scale: int) -> Numbers:
    """Return unscaled decimals of at most 18 digits as rows of two words (128 bits)."""
    end = cells.at + cells.length
    digits = _one_word(page, end, cells.length) if not scale else _without_point(page, cells, end, scale)
    words = _signed(page, cells, end, scale) if digits is None else _eight(digits)
    signed = words.view(np.int64)
    wide = np.empty((len(signed), 2), np.int64)
    wide[:, 0], wide[:, 1] = signed, signed >> 63
    return wide


def _without_point(page: Page, cells: Cells, end: Numbers, scale: int) -> Words | None:
    """Return the digits of decimals as the last bytes of words; None if any has more than eight, or a sign."""
    most = int(cells.length.max(initial=0))
    if most > 9 or scale > 7:
        return None
    last = page.u8[end - 8]
    point = np.uint64(8 * (7 - scale))
    if cells.first(last >> point & np.uint64(0xFF) != _POINT) is not None:
        return None
    shifted = last << np.uint64(8 * scale + 8) if most <= 8 else page.u8[end - 9 - scale]
    mask = _LAST.take(cells.length - scale - 1, mode="clip")
    integer_digits = shifted & mask
    if cells.first((integer_digits ^ mask) & _DIGIT != 0) is not None:
        return None
    words: Words = integer_digits >> np.uint64(8 * scale) | last & _LAST[scale]
    if cells.null is not None:
        words[cells.null] = 0
    return words


def _signed(page: Page, cells: Cells, end: Numbers, scale: int) -> Words:
    """Return unscaled numbers of any length that have `scale` digits after the decimal point."""
    minus = _sign(page, cells)
    integer_digits = cells.length - minus - (scale + 1 if scale else 0)
    words = _digits(page, end - scale - 1 if scale else end, np.maximum(integer_digits, 0))
    if scale:
        if cells.first(page.u1[end - scale - 1] != _POINT) is not None:
            raise ValueError("a decimal has not the digits of its scale")
        words = words * np.uint64(10**scale) + _digits(page, end, np.where(cells.length > 0, scale, 0))
    np.negative(words, out=words, where=minus)
    return words


def parsed(name: str, between: str | None = None) -> Decode:
    """Return the decoder of types that Arrow casts from text; `between` is an intermediate type of the cast."""
    kind, intermediate = arrow_type(name), arrow_type(between or name)
    text = bytes_of("utf8")

    def decode(page: Page, cells: Cells) -> pa.Array:
        return text(page, cells).cast(intermediate).cast(kind)

    return decode


def bits(name: str) -> Decode:
    """Return the decoder of BIT columns, whose bytes are a big-endian number."""
    kind = arrow_type(name)

    def decode(page: Page, cells: Cells) -> pa.Array:
        words = (page.u8[cells.at + cells.length - 8] & _LAST[np.minimum(cells.length, 8)]).byteswap()
        if name == "bool":
            return cells.array(kind, np.packbits(words != 0, bitorder="little"))
        return cells.array(kind, words.astype(np.dtype(kind.to_pandas_dtype())))

    return decode


def dates(page: Page, cells: Cells) -> pa.Array:
    """Decode dates of the years 1 to 9999."""
    return cells.array(pa.date32(), _dates(page, cells))


@compiled("mysql_dates")
def _dates(page: Page, cells: Cells) -> NDArray[np.int32]:
    return _days(page, cells).astype(np.int32)


def moments(name: str) -> Decode:
    """Return the decoder of DATETIME and TIMESTAMP columns."""
    kind = arrow_type(name)

    def decode(page: Page, cells: Cells) -> pa.Array:
        return cells.array(kind, _moments(page, cells))

    return decode


@compiled("mysql_moments")
def _moments(page: Page, cells: Cells) -> Numbers:
    return _days(page, cells) * DAY + _within_day(page, cells, 19)


def times(page: Page, cells: Cells) -> pa.Array:
    """Decode times of the day."""
    return cells.array(pa.time64("us"), _times(page, cells))


@compiled("mysql_times")
def _times(page: Page, cells: Cells) -> Numbers:
    """Return microseconds since midnight; raises InvalidCell for MySQL's negative times and those over a day."""
    hours = _digits(page, cells.at + 2, 2).astype(np.int64)
    if (row := cells.first((page.u1[cells.at + 2] != _COLON) | (hours > 23))) is not None:
        at = int(cells.at[row])
        shown = page.buffer[at : at + int(cells.length[row])].decode()
        raise InvalidCell(row, shown, "only times of a day, 00:00:00 to 23:59:59.999999, can be carried")
    return _within_day(page, cells, 8)


def _within_day(page: Page, cells: Cells, size: int) -> Numbers:
    """Return the microseconds of times whose HH:MM:SS ends after `size` bytes; a point and digits may follow."""
    end, rest = cells.at + size, cells.length - size
    hours, minutes, seconds = (_digits(page, end - offset, 2).astype(np.int64) for offset in (6, 3, 0))
    count = np.clip(rest - 1, 0, _MICROSECONDS)
    parts = _digits(page, end + 1 + count, count).astype(np.int64) * _TO_MICROSECONDS[count]
    total: Numbers = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + parts
    if cells.null is not None:
        total[cells.null] = 0
    return total


def _days(page: Page, cells: Cells) -> Numbers:
    """Return the days since 1970 of the dates at the beginning of the cells."""
    words = page.u8[cells.at] & _YEAR_MONTH
    for mask, factor, shift in _STEPS[:2]:
        words = ((words & mask) * factor) >> shift
    years, tens_of_months = words & np.uint64(0xFFFF), words >> np.uint64(32)
    index = (years * 13 + tens_of_months // 10).view(np.int64)
    days = (page.u1[cells.at + 8] & 15) * 10 + (page.u1[cells.at + 9] & 15)
    if cells.null is not None:
        index[cells.null], days[cells.null] = 14, 1
    first, length = _calendar()
    if (row := cells.first((days < 1) | (days > length.take(index, mode="clip")))) is not None:
        at = int(cells.at[row])
        shown = page.buffer[at : at + int(cells.length[row])].decode()
        raise InvalidCell(row, shown, "there is no such day")
    epoch_days: Numbers = first.take(index, mode="clip") + days - 1
    return epoch_days


@functools.cache
def _calendar() -> tuple[Numbers, Numbers]:
    """Return the first day since 1970 and the length of months 0 to 12 of years 0 to 9999; month 0 has no days."""
    months = np.arange("0000-01", "10000-01", dtype="datetime64[M]")
    starts = months.astype("datetime64[D]").astype(np.int64)
    lengths = (months + 1).astype("datetime64[D]").astype(np.int64) - starts
    first, length = np.zeros((2, 10_000, 13), np.int64)
    first[:, 1:], length[1:, 1:] = starts.reshape(-1, 12), lengths.reshape(-1, 12)[1:]
    return first.ravel(), length.ravel()


def uuids(page: Page, cells: Cells) -> pa.Array:
    """Decode UUIDs, which are sent as text."""
    plain = bytes_of("utf8")(page, cells)
    storage = [None if value is None else UUID(value).bytes for value in plain.to_pylist()]
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(storage, pa.binary(16)))
