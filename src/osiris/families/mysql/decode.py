"""Values of MySQL's result rows as Arrow arrays, a whole column at a time.

A row is the texts of its values, each behind its length. `Cells` are the places of one column's values in a page of
rows, and a decoder reads them all at once with numpy: eight digits are one load, turned into a number by three
multiplications. The loads cost the most, so values of one word are loaded once. What Arrow or our types cannot hold (a
date that is none) raises `Unfit`, never another value.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pyarrow as pa

from osiris.families.sql.columnar import Cells, Unfit, bytes_of
from osiris.families.text_format import characters
from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Decode = Callable[["Page", Cells], pa.Array]
    Words = NDArray[np.uint64]
    Numbers = NDArray[np.int64]

FRONT, SPARE = 32, 32
"""Bytes that a buffer has before its first row and behind its last, so that a load near a value stays inside."""

_NULL, _WIDE = 251, 252
_SIZES = {252: 2, 253: 3, 254: 8}
_POINT, _MINUS, _COLON = ord("."), ord("-"), ord(":")
_ONE_WORD_DIGITS = 18
_MICROSECONDS = 6
_DAY = 86_400_000_000
_TO_MICROSECONDS = np.array([10 ** (_MICROSECONDS - digits) for digits in range(_MICROSECONDS + 1)], np.int64)
_STEPS = tuple(
    tuple(map(np.uint64, step))
    for step in (
        (0x0F0F0F0F0F0F0F0F, 2561, 8),
        (0x00FF00FF00FF00FF, 6553601, 16),
        (0x0000FFFF0000FFFF, 42949672960001, 32),
    )
)
"""How eight digits become a number: two, four, then eight of them at a time."""
_LAST = np.array([0, *((1 << 64) - (1 << (64 - 8 * kept)) for kept in range(1, 9))], np.uint64)
"""What keeps the last 0 to 8 bytes of a word: they are its highest."""
_DIGIT = np.uint64(0x1010101010101010)
"""The bit that digits have; a sign and a point are without it."""
_YEAR_MONTH = np.uint64(0x000F0F000F0F0F0F)
"""What keeps the digits of YYYY-MM-."""


class Page:
    """A buffer of rows, and its bytes seen as words that begin at any of them."""

    def __init__(self, buffer: bytearray) -> None:
        self.buffer = buffer
        self.u1 = np.frombuffer(buffer, np.uint8)
        self.u8 = np.ndarray((len(buffer) - 7,), "<u8", buffer, strides=(1,))


def cells_of(page: Page, starts: Numbers, ends: Numbers, count: int) -> list[Cells]:
    """Return the cells of each column of rows that begin and end there.

    Fails with ValueError if the columns do not end where their rows end.
    """
    at, found = starts, []
    for _ in range(count):
        first = page.u1[at]
        length, at, null = first.astype(np.int64), at + 1, None
        if first.size and first.max() >= _NULL:
            null = length == _NULL
            length[null] = 0
            _lengthen(page, at, length)
        found.append(Cells(at, length, null if null is not None and null.any() else None))
        at = at + length
    if not np.array_equal(at, ends):
        raise ValueError("a row is not as long as its values")
    return found


def _lengthen(page: Page, at: Numbers, length: Numbers) -> None:
    """Read the lengths that need more than a byte, and move the places behind them."""
    for mark, size in _SIZES.items():
        rows = np.flatnonzero(length == mark)
        if len(rows):
            words = page.u8[at[rows]] & ((1 << (8 * size)) - 1)
            length[rows] = words.astype(np.int64)
            at[rows] += size
            if bool((length[rows] > len(page.buffer)).any()):
                raise ValueError("a value is longer than all that came")


def _eight(words: Words) -> Words:
    """Return the numbers that eight digits spell, the last one highest; bytes that are no digit must be 0."""
    for mask, factor, shift in _STEPS:
        words = ((words & mask) * factor) >> shift
    return words


def _digits(page: Page, end: Numbers, count: Numbers | int) -> Words:
    """Return the numbers whose `count` digits (at most 20) end at `end`."""
    counts = np.asarray(count)
    most = int(counts.max()) if counts.size else 0
    total = _eight(page.u8[end - 8] & _LAST[counts if most <= 8 else np.minimum(counts, 8)])
    for done, weight in ((8, 10**8), (16, 10**16)):
        if most > done:
            words = page.u8[end - 8 - done] & _LAST[np.clip(counts - done, 0, 8)]
            total = total + _eight(words) * np.uint64(weight)
    return total


def _one_word(page: Page, end: Numbers, count: Numbers) -> Words | None:
    """Return the `count` digits that end at `end` as the last bytes of words; None if there are more, or others."""
    if count.max(initial=0) > 8:
        return None
    kept = _LAST.take(count, mode="clip")
    words: Words = page.u8[end - 8] & kept
    return None if bool(((words ^ kept) & _DIGIT).any()) else words


def _sign(page: Page, cells: Cells) -> NDArray[np.bool_]:
    negative: NDArray[np.bool_] = page.u1[cells.at] == _MINUS
    return negative if cells.null is None else negative & ~cells.null


def integers(name: str) -> Decode:
    """Return the decoder of whole numbers; zeros in front do not matter."""
    kind = arrow_type(name)
    native = np.dtype(kind.to_pandas_dtype())

    def decode(page: Page, cells: Cells) -> pa.Array:
        end = cells.at + cells.length
        digits = _one_word(page, end, cells.length)
        words = _signed(page, cells, end) if digits is None else _eight(digits)
        return cells.array(kind, words.astype(native))

    return decode


def _signed(page: Page, cells: Cells, end: Numbers) -> Words:
    minus = _sign(page, cells)
    words = _digits(page, end, cells.length - minus)
    np.negative(words, out=words, where=minus)
    return words


def decimals(name: str) -> Decode:
    """Return the decoder of decimals, which are sent with all digits of their scale."""
    kind = arrow_type(name)
    digits, scale = kind.precision, kind.scale
    if digits > _ONE_WORD_DIGITS:
        return parsed(name)

    def decode(page: Page, cells: Cells) -> pa.Array:
        end = cells.at + cells.length
        digits = _one_word(page, end, cells.length) if not scale else _without_point(page, cells, end, scale)
        words = _signed_decimals(page, cells, end, scale) if digits is None else _eight(digits)
        signed = words.view(np.int64)
        wide = np.empty((len(signed), 2), np.int64)
        wide[:, 0], wide[:, 1] = signed, signed >> 63
        return cells.array(kind, wide)

    return decode


def _without_point(page: Page, cells: Cells, end: Numbers, scale: int) -> Words | None:
    """Return the digits of decimals as the last bytes of words; None where they are more than eight, or have a sign."""
    most = int(cells.length.max(initial=0))
    if most > 9 or scale > 7:
        return None
    last = page.u8[end - 8]
    point = np.uint64(8 * (7 - scale))
    if cells.first(last >> point & np.uint64(0xFF) != _POINT) is not None:
        return None
    before = last << np.uint64(8 * scale + 8) if most <= 8 else page.u8[end - 9 - scale]
    kept = _LAST.take(cells.length - scale - 1, mode="clip")
    whole = before & kept
    if cells.first((whole ^ kept) & _DIGIT != 0) is not None:
        return None
    words: Words = whole >> np.uint64(8 * scale) | last & _LAST[scale]
    if cells.null is not None:
        words[cells.null] = 0
    return words


def _signed_decimals(page: Page, cells: Cells, end: Numbers, scale: int) -> Words:
    minus = _sign(page, cells)
    before = cells.length - minus - (scale + 1 if scale else 0)
    words = _digits(page, end - scale - 1 if scale else end, np.maximum(before, 0))
    if scale:
        _expect_point(page, cells, end - scale - 1)
        words = words * np.uint64(10**scale) + _digits(page, end, np.where(cells.length > 0, scale, 0))
    np.negative(words, out=words, where=minus)
    return words


def _expect_point(page: Page, cells: Cells, at: Numbers) -> None:
    if cells.first(page.u1[at] != _POINT) is not None:
        raise ValueError("a decimal has not the digits of its scale")


def parsed(name: str, between: str | None = None) -> Decode:
    """Return the decoder of what Arrow reads from text; `between` is a type that it is read as before."""
    kind, first = arrow_type(name), arrow_type(between or name)
    text = bytes_of("utf8")

    def decode(page: Page, cells: Cells) -> pa.Array:
        return text(page, cells).cast(first).cast(kind)

    return decode


def bits(name: str) -> Decode:
    """Return the decoder of bit fields, whose bytes are a number."""
    kind = arrow_type(name)

    def decode(page: Page, cells: Cells) -> pa.Array:
        words = (page.u8[cells.at + cells.length - 8] & _LAST[np.minimum(cells.length, 8)]).byteswap()
        if name == "bool":
            return cells.array(kind, np.packbits(words != 0, bitorder="little"))
        return cells.array(kind, words.astype(np.dtype(kind.to_pandas_dtype())))

    return decode


def texts(name: str) -> Decode:
    """Return the decoder of texts, which must be UTF-8."""
    plain = bytes_of(name)

    def decode(page: Page, cells: Cells) -> pa.Array:
        array = plain(page, cells)
        storage = array.storage if isinstance(array, pa.ExtensionArray) else array
        if bytes(characters(storage)).isascii():
            return array
        try:
            storage.validate(full=True)
        except pa.ArrowInvalid:
            row = next(row for row, value in enumerate(storage.cast(pa.binary())) if not _is_text(value.as_py()))
            raise Unfit(row, "a text", "it is not UTF-8") from None
        return array

    return decode


def _is_text(value: bytes | None) -> bool:
    try:
        return value is None or isinstance(value.decode(), str)
    except UnicodeDecodeError:
        return False


def blobs(page: Page, cells: Cells) -> pa.Array:
    """Decode bytes."""
    return bytes_of("binary")(page, cells)


def dates(page: Page, cells: Cells) -> pa.Array:
    """Decode dates of the years 1 to 9999."""
    return cells.array(pa.date32(), _days(page, cells).astype(np.int32))


def moments(name: str) -> Decode:
    """Return the decoder of dates with a time, naive or in UTC."""
    kind = arrow_type(name)

    def decode(page: Page, cells: Cells) -> pa.Array:
        time = _within_day(page, cells.at + 19, cells.length - 19)
        return cells.array(kind, _days(page, cells) * _DAY + time)

    return decode


def times(page: Page, cells: Cells) -> pa.Array:
    """Decode times of the day; MySQL's may be negative, and go beyond it."""
    hours = _digits(page, cells.at + 2, 2).astype(np.int64)
    if (row := cells.first((page.u1[cells.at + 2] != _COLON) | (hours > 23))) is not None:
        at = int(cells.at[row])
        shown = page.buffer[at : at + int(cells.length[row])].decode()
        raise Unfit(row, shown, "only times of a day, 00:00:00 to 23:59:59.999999, can be carried")
    return cells.array(pa.time64("us"), _within_day(page, cells.at + 8, cells.length - 8))


def _within_day(page: Page, end: Numbers, rest: Numbers) -> Numbers:
    """Return the microseconds of times whose HH:MM:SS ends at `end`, with `rest` more bytes of a point and digits."""
    hours, minutes, seconds = (_digits(page, end - back, 2).astype(np.int64) for back in (6, 3, 0))
    count = np.clip(rest - 1, 0, _MICROSECONDS)
    parts = _digits(page, end + 1 + count, count).astype(np.int64) * _TO_MICROSECONDS[count]
    whole: Numbers = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + parts
    return whole


def _days(page: Page, cells: Cells) -> Numbers:
    """Return the days since 1970 of dates that stand at the beginning of the cells."""
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
        raise Unfit(row, shown, "there is no such day")
    found: Numbers = first.take(index, mode="clip") + days - 1
    return found


@functools.cache
def _calendar() -> tuple[Numbers, Numbers]:
    """Return for month 0 to 12 of each year 0 to 9999 the day of its first, and how many it has; month 0 has none."""
    months = np.arange("0000-01", "10000-01", dtype="datetime64[M]")
    starts = months.astype("datetime64[D]").astype(np.int64)
    lengths = (months + 1).astype("datetime64[D]").astype(np.int64) - starts
    first, length = np.zeros((2, 10_000, 13), np.int64)
    first[:, 1:], length[1:, 1:] = starts.reshape(-1, 12), lengths.reshape(-1, 12)[1:]
    return first.ravel(), length.ravel()


def uuids(page: Page, cells: Cells) -> pa.Array:
    """Decode UUIDs, which are sent as text."""
    plain = bytes_of("utf8")(page, cells)
    found = [None if value is None else UUID(value).bytes for value in plain.to_pylist()]
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(found, pa.binary(16)))
