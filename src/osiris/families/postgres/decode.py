"""Values of PostgreSQL's binary format as Arrow arrays, a whole column at a time.

A buffer holds rows as the server sent them. `Cells` are the places of one column's values in it, and a decoder reads
them all at once with numpy: loads at any byte, in the server's byte order. What Arrow or our types cannot hold (a date
that is infinite, a decimal that is no number) raises `Unfit`, never another value.
"""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from osiris.families.sql.columnar import Cells, Unfit, bytes_of
from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Decode = Callable[["Page", "Cells"], pa.Array]

SPARE = 32
"""Bytes that a buffer has behind its last row, so that a load at any value's place stays inside."""

_KINDS = ("i2", "i4", "i8", "u4", "u8", "f4", "f8")
_NULL = 255
_DAYS = 10_957
_MICROSECONDS = _DAYS * 86_400_000_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days since 1970."""
_DAY = 86_400_000_000
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
"""The bytes of all values of a type, where these are as many."""


class Page:
    """A buffer, seen as numbers that begin at any byte."""

    def __init__(self, buffer: bytearray) -> None:
        self.buffer = buffer
        self.u1 = np.frombuffer(buffer, np.uint8)
        self._views = {kind: self._view(f"<{kind}", int(kind[-1])) for kind in _KINDS}

    def _view(self, kind: str, width: int) -> NDArray[Any]:
        return np.ndarray((len(self.buffer) - width + 1,), kind, self.buffer, strides=(1,))

    def load(self, kind: str, at: NDArray[np.int64]) -> NDArray[Any]:
        """Return the numbers that begin there; they are swapped once they are together, which takes a third."""
        return self._views[kind][at].byteswap(inplace=True)


def cells_of(
    page: Page, starts: NDArray[np.int64], ends: NDArray[np.int64], widths: Sequence[int | None]
) -> list[Cells]:
    """Return the cells of each column of rows that begin at `starts`: behind the length of a message, with a count.

    Of a value whose width is known, one byte of its length tells NULL. Fails with ValueError if the columns do not end
    where their rows end.
    """
    at, found = starts + 2, []
    for width in widths:
        if width is None:
            length = page.load("i4", at).astype(np.int64)
            null = length < 0
        else:
            length = np.full(len(at), width)
            null = page.u1[at + 3] == _NULL
        some = bool(null.any())
        if some:
            length[null] = 0
        at = at + 4
        found.append(Cells(at, length, null if some else None))
        at = at + length
    if not np.array_equal(at, ends):
        raise ValueError("a row is not as long as its values")
    return found


def number(view: str, name: str) -> Decode:
    """Return the decoder of numbers of a fixed width, seen through a view of the page."""
    kind = arrow_type(name)
    native = np.dtype(kind.to_pandas_dtype())

    def decode(page: Page, cells: Cells) -> pa.Array:
        return cells.array(kind, page.load(view, cells.at).astype(native, copy=False))

    return decode


def truth(page: Page, cells: Cells) -> pa.Array:
    """Decode booleans."""
    return cells.array(pa.bool_(), np.packbits(page.u1[cells.at], bitorder="little"))


def checked_text(name: str, skip: int = 0) -> Decode:
    """Return the decoder of texts from a server that lets any bytes pass for text."""
    plain = bytes_of(name, skip)

    def decode(page: Page, cells: Cells) -> pa.Array:
        array = plain(page, cells)
        storage = array.storage if isinstance(array, pa.ExtensionArray) else array
        for row, value in enumerate(storage.cast(pa.binary())):
            if value.is_valid:
                try:
                    value.as_py().decode()
                except UnicodeDecodeError:
                    raise Unfit(row, "a text", "it is not UTF-8, and the database does not say what it is") from None
        return array

    return decode


def uuids(page: Page, cells: Cells) -> pa.Array:
    """Decode UUIDs."""
    halves = np.empty((len(cells.at), 2), ">i8")
    halves[:, 0], halves[:, 1] = page.load("i8", cells.at), page.load("i8", cells.at + 8)
    return pa.ExtensionArray.from_storage(pa.uuid(), cells.array(pa.binary(16), halves))


def dates(page: Page, cells: Cells) -> pa.Array:
    """Decode dates of the years 1 to 9999."""
    raw = page.load("i4", cells.at).astype(np.int64)
    days = raw + _DAYS
    if (row := cells.first((days < _FIRST_DAY) | (days > _LAST_DAY))) is not None:
        raise _out_of_time(row, int(raw[row]), 31, "a date")
    return cells.array(pa.date32(), days.astype(np.int32))


def moments(name: str) -> Decode:
    """Return the decoder of timestamps of the years 1 to 9999, naive or in UTC."""
    kind = arrow_type(name)

    def decode(page: Page, cells: Cells) -> pa.Array:
        raw = page.load("i8", cells.at)
        low, high = _FIRST_DAY * _DAY - _MICROSECONDS, (_LAST_DAY + 1) * _DAY - _MICROSECONDS
        if (row := cells.first((raw < low) | (raw >= high))) is not None:
            raise _out_of_time(row, int(raw[row]), 63, "a timestamp")
        return cells.array(kind, raw + _MICROSECONDS)

    return decode


def _out_of_time(row: int, raw: int, bits: int, what: str) -> Unfit:
    infinite = {2**bits - 1: "infinity", -(2**bits): "-infinity"}.get(raw)
    shown = infinite or f"{what} {'before the year 1' if raw < 0 else 'after the year 9999'}"
    return Unfit(row, shown, "only the years 1 to 9999 can be carried")


def times(page: Page, cells: Cells) -> pa.Array:
    """Decode times of the day."""
    raw = page.load("i8", cells.at)
    if (row := cells.first(raw >= _DAY)) is not None:
        raise Unfit(row, "24:00:00", "a day's last time is 23:59:59.999999")
    return cells.array(pa.time64("us"), raw)


def decimals(name: str) -> Decode:
    """Return the decoder of decimals with a scale: digits of base 10000, the first worth 10000 to the `weight`.

    Four digits are loaded as one word and shifted until the last of them is the lowest; numbers of more are rare, and
    read one by one.
    """
    kind = arrow_type(name)
    width, scale = kind.bit_width // 8, kind.scale

    def decode(page: Page, cells: Cells) -> pa.Array:
        head = page.load("i8", cells.at)
        count, weight, sign = head >> 48, (head << 16) >> 48, (head >> 16) & 0xFFFF
        if cells.null is not None:
            count[cells.null] = weight[cells.null] = 0
        if (row := cells.first(sign >= min(_NOT_A_NUMBER))) is not None:
            raise Unfit(row, _NOT_A_NUMBER[int(sign[row])], "a decimal is always a number")
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
        return cells.array(kind, wide)

    return decode


def _small(
    raw: NDArray[np.uint64], count: NDArray[np.int64], exponent: NDArray[np.int64], part: int
) -> NDArray[np.int64]:
    """Return numbers of up to four digits without their signs; `part` is what the last digit is too large by."""
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
    """Return the decoder of arrays of one dimension; `width` is that of an item's bytes, None if it varies."""
    kind = pa.list_(arrow_type(item))

    def decode(page: Page, cells: Cells) -> pa.Array:
        dimensions = page.load("i4", cells.at)
        if (row := cells.first(dimensions > 1)) is not None:
            raise Unfit(row, f"an array of {dimensions[row]} dimensions", "only those of one dimension can be carried")
        if (row := cells.first((dimensions == 1) & (page.load("i4", cells.at + 16) != 1))) is not None:
            raise Unfit(row, "an array that does not begin at 1", "where it begins cannot be carried")
        has = dimensions == 1 if cells.null is None else (dimensions == 1) & ~cells.null
        count = np.where(has, page.load("i4", cells.at + 12), 0).astype(np.int64)
        offsets = np.zeros(len(count) + 1, np.int32)
        np.cumsum(count, out=offsets[1:])
        items = _items(
            page, cells.at, count, offsets, None if bool(page.load("i4", cells.at + 4)[has].any()) else width
        )
        try:
            return cells.array(kind, offsets, children=[inner(page, items)])
        except Unfit as unfit:
            row = int(np.searchsorted(offsets, unfit.row, "right")) - 1
            raise Unfit(row, unfit.value, unfit.reason) from None

    return decode


def _items(
    page: Page, at: NDArray[np.int64], count: NDArray[np.int64], offsets: NDArray[np.int32], width: int | None
) -> Cells:
    if width is not None:
        index = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], count)
        first = np.repeat(at + 24, count)
        return Cells(first + index * (width + 4), np.full(len(index), width, np.int64))
    places, lengths = [], []
    for begin, number_of in zip(at.tolist(), count.tolist(), strict=True):
        place = begin + 20
        for _ in range(number_of):
            (length,) = unpack_from(">i", page.buffer, place)
            places.append(place + 4)
            lengths.append(length)
            place += 4 + max(length, 0)
    found = np.array(lengths, np.int64)
    return Cells(np.array(places, np.int64), np.maximum(found, 0), found < 0)
