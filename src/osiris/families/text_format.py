"""The text format of the values of each type in a file.

`Spelling` reads cells of a known type and rejects other formats of its values; `spell` writes values. Both work on
whole Arrow arrays. Arrow's casts accept more (`007`, `0x1F`, ` 1`, `1e5` for an integer), so every cell is matched
against a pattern before it is cast.
"""

from __future__ import annotations

import decimal
import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


def value_text(value: object) -> str:
    """Return a value as messages show it: text and bytes in quotes, NULL, others as JSON has them."""
    if value is None:
        return "NULL"
    if isinstance(value, (str, bytes)):
        return repr(value)
    return json.dumps(value, ensure_ascii=False, default=str).strip('"')


_DAY = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?"
_MOMENT = rf"{_DAY}[T ]{_CLOCK}"
_INTEGER = r"0|-?[1-9]\d*"
_DECIMAL = r"0(?:\.\d+)?|-?[1-9]\d*(?:\.\d+)?|-0\.\d*[1-9]\d*"
_EXPONENT = r"(?:[eE][+-]?\d+)"
_NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?"

PATTERNS = {
    "bool": r"true|false",
    "integer": _INTEGER,
    "unsigned": r"0|[1-9]\d*",
    "decimal": _DECIMAL,
    "double": rf"{_NUMBER}{_EXPONENT}?|NaN|-?inf",
    "date": _DAY,
    "time": _CLOCK,
    "timestamp": _MOMENT,
    "instant": rf"{_MOMENT}(?:Z|\+00:00)",
}
"""Kind of value to the RE2 pattern of its texts, as recognized in a column without a declared type."""

DECLARED_PATTERNS = {
    "bool": r"(?i:true|false)",
    "timestamp": rf"{_DAY}(?:[T ]{_CLOCK})?",
    "instant": rf"{_MOMENT}(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
}
"""The same for a declared type, which also admits an offset, a date without time, or capital letters."""

_KINDS = (
    (r"bool", "bool"),
    (r"int\d+", "integer"),
    (r"uint\d+", "unsigned"),
    (r"decimal\(.*", "decimal"),
    (r"float\d+", "double"),
    (r"date", "date"),
    (r"time\[.*", "time"),
    (r"timestamp\[.*,UTC\]", "instant"),
    (r"timestamp\[[^,]*\]", "timestamp"),
)
MAX_ROWS = 1 << 16
_ONE_WORD_DIGITS = 18
MAX_BYTES = 128 << 20

# With no more digits than these, every decimal text of a normal float survives a round trip.
_SAFE_DIGITS = {pa.float64(): 15, pa.float32(): 6}


def kind_of(type_name: str) -> str | None:
    """Return the kind of a type's text format, "text" for utf8; None for a type that a text file cannot represent."""
    if type_name == "utf8":
        return "text"
    return next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, type_name)), None)


@dataclass(frozen=True, slots=True)
class Spelling:
    """The text format of one type; `declared` admits `DECLARED_PATTERNS`."""

    type: str
    declared: bool = False

    def read(self, cells: pa.Array) -> pa.Array | None:
        """Return the values of an array of strings, NULL kept; None if any cell does not match the type."""
        kind = kind_of(self.type)
        if kind == "text":
            return cells
        if not self._fits(cells, str(kind)):
            return None
        try:
            values = _cast(cells, str(kind), self.type)
        except pa.ArrowInvalid:
            return None
        if kind in ("integer", "unsigned", "decimal"):  # the pattern has ensured plain digits
            return values
        return values if first_changed(cells, values) is None else None

    def misfits(self, cells: pa.Array) -> Iterator[int]:
        """Yield the index of each cell that `read` rejects."""
        return refused(self.read, cells)

    def _fits(self, cells: pa.Array, kind: str) -> bool:
        if kind == "date" or (kind in ("integer", "unsigned", "decimal") and _is_plain(cells)):
            return True  # the cast rejects the rest
        pattern = (DECLARED_PATTERNS.get(kind) if self.declared else None) or PATTERNS[kind]
        return pc.all(pc.match_substring_regex(cells, whole(pattern))).as_py() is not False


class Checked(Spelling):
    """The text format of one type, whose valid cells stay text."""

    __slots__ = ()

    def read(self, cells: pa.Array) -> pa.Array | None:
        """Return the cells; None if any of them does not match the type."""
        return None if super().read(cells) is None else cells


def refused(read: Callable[[Any], object | None], values: Any) -> Iterator[int]:  # noqa: ANN401  an array or a list
    """Yield the index of each value that `read` rejects; it returns None for values with at least one such."""
    return misfits(lambda low, high: read(values[low:high]) is not None, 0, len(values))


def misfits(fits: Callable[[int, int], bool], low: int, high: int) -> Iterator[int]:
    """Yield the indexes from `low` to before `high` of cells that do not fit; `fits(low, high)` tests a range."""
    if fits(low, high):
        return
    if high - low == 1:
        yield low
        return
    middle = (low + high) // 2
    yield from misfits(fits, low, middle)
    yield from misfits(fits, middle, high)


def characters(texts: pa.Array) -> memoryview:
    """Return the UTF-8 bytes of all strings of an array, concatenated."""
    _validity, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return memoryview(b"")
    ends = memoryview(offsets).cast("i")
    return memoryview(data)[ends[texts.offset] : ends[texts.offset + len(texts)]]


def bounds(texts: pa.Array) -> NDArray[np.int32]:
    """Return the offsets of the strings of an array in its `characters`, and the end of the last one."""
    if not len(texts):
        return np.zeros(1, np.int32)
    offsets = np.frombuffer(texts.buffers()[1], "<i4", len(texts) + 1, 4 * texts.offset)
    relative: NDArray[np.int32] = offsets - offsets[0]
    return relative


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Split a batch so that the text of each piece fits into memory and into one array."""
    if batch.num_rows > MAX_ROWS or (batch.num_rows > 1 and batch.nbytes > MAX_BYTES):
        half = min(batch.num_rows // 2, MAX_ROWS)
        yield from pieces(batch.slice(0, half))
        yield from pieces(batch.slice(half))
    elif batch.num_rows:
        yield batch


def _is_plain(numbers: pa.Array) -> bool:
    """Return whether all texts that Arrow parses as numbers surely have the right format; False if they need a test."""
    data = bytes(characters(numbers))
    if any(mark in data for mark in (b"-", b"+", b"e", b"E")):
        return False
    longer = pc.greater(pc.binary_length(numbers), 1)
    padded = pc.and_not(pc.and_(pc.starts_with(numbers, "0"), longer), pc.starts_with(numbers, "0."))
    bare_point = pc.or_(pc.starts_with(numbers, "."), pc.ends_with(numbers, "."))
    return pc.any(pc.or_(padded, bare_point)).as_py() is not True


@cache
def whole(pattern: str) -> str:
    """Return a pattern that matches the whole cell."""
    return rf"\A(?:{pattern})\z"


def _cast(cells: pa.Array, kind: str, type_name: str) -> pa.Array:
    target = arrow_type(type_name)
    if kind != "time":
        return cells.cast(target)
    moments = pc.binary_join_element_wise("1970-01-01", cells, "T")
    return moments.cast(pa.timestamp(target.unit)).cast(target)


def first_changed(texts: pa.Array, values: pa.Array) -> int | None:
    """Return the index of the first text whose value, as Arrow casts it, differs from the text; None if none does.

    A float must have the shortest digits that identify it. An integer must be decimal; the year of a date or timestamp
    must be 1 to 9999.
    """
    if pa.types.is_floating(values.type):
        return _first_other_float(texts, values)
    if pa.types.is_integer(values.type):
        return _first(pc.match_substring(texts, "x", ignore_case=True))
    if pa.types.is_decimal(values.type):
        return _first_other_decimal(texts, values)
    first = first_without_spelling(values)
    return None if first is None else first[0]


def _first_other_decimal(texts: pa.Array, values: pa.Array) -> int | None:
    """Return the index of the first decimal that Arrow parses wrongly: some with a large exponent become 0."""
    for index in pc.indices_nonzero(pc.match_substring(texts, "e", ignore_case=True)).to_pylist():
        if decimal.Decimal(texts[index].as_py()) != values[index].as_py():
            return int(index)
    return None


def _first_other_float(texts: pa.Array, values: pa.Array) -> int | None:
    unsafe = pc.or_(
        pc.greater(pc.binary_length(texts), _SAFE_DIGITS[values.type]),
        pc.or_(pc.is_inf(values), pc.less(pc.abs(values), np.finfo(values.type.to_pandas_dtype()).smallest_normal)),
    )
    indexes = pc.indices_nonzero(unsafe)
    if not len(indexes):
        return None
    changed = _first(pc.not_equal(_digits(texts.take(indexes)), _digits(values.take(indexes).cast(pa.string()))))
    return None if changed is None else int(indexes[changed].as_py())


def _digits(numbers: pa.Array) -> pa.Array:
    """Return the significant digits of numbers, and one word each for infinity and NaN."""
    bare = pc.replace_substring_regex(pc.ascii_lower(numbers), r"\A[-+]?[0.]*|e.*\z|\.|inity\z", "")
    return pc.utf8_rtrim(bare, "0")


def _first(where: pa.Array) -> int | None:
    index = pc.index(where, pa.scalar(value=True)).as_py()
    return None if index < 0 else int(index)


_DAYS = (-719_162, 2_932_896)  # 0001-01-01 and 9999-12-31, counted from 1970-01-01
_SMALLEST = -(1 << 63)
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def first_without_spelling(values: pa.Array) -> tuple[int, str, str] | None:
    """Return index, text and reason of the first value without an ISO 8601 text: of dates and timestamps.

    Arrow would write a text about the value in its place.
    """
    kind = values.type
    if pa.types.is_date32(kind):
        first = _first_beyond(values, *_DAYS)
    elif pa.types.is_timestamp(kind) and kind.unit != "ns":
        factor = _PER_DAY[kind.unit]
        first = _first_beyond(values, _DAYS[0] * factor, (_DAYS[1] + 1) * factor - 1)
    else:
        return None
    return first and (*first, "its year is not one of 1 to 9999")


def _first_beyond(values: pa.Array, low: int, high: int) -> tuple[int, str] | None:
    """Return index and text of the first date or timestamp whose number is not in a range."""
    numbers = values.view(pa.int32() if values.type.bit_width == 32 else pa.int64())
    limits = pc.min_max(numbers).as_py()
    if limits["min"] is None or (low <= limits["min"] and limits["max"] <= high):
        return None
    first = _first(pc.or_(pc.less(numbers, low), pc.greater(numbers, high)))
    unit = values.type.unit if pa.types.is_timestamp(values.type) else "D"
    return None if first is None else (first, _moment(numbers[first].as_py(), unit))


def _moment(number: int, unit: str) -> str:
    """Return a date (unit `D`) or timestamp as text, of any year; numpy has no text for the smallest number."""
    return str(np.array(number, f"datetime64[{unit}]")) if number > _SMALLEST else f"{number} {unit} since 1970"


_NEAR = 1 << 12
"""If at least this many values lie in a range of this size, each number is formatted once, and looked up."""


def spell(values: pa.Array) -> pa.Array:
    """Return values as strings that `Spelling` reads back, NULL kept."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return values.storage
    numbers = _numbers(values) if len(values) >= _NEAR else None
    if numbers is None or numbers.null_count == len(numbers):
        return _spell_each(values)
    low, high = pc.min_max(numbers).as_py().values()
    if high - low < _NEAR:
        first = low // _NEAR * _NEAR
        return _neighbours(kind, first).take(pc.subtract(numbers, first))
    if pa.types.is_decimal(kind) and kind.scale > 0 and low >= 10**kind.scale:
        return pc.binary_replace_slice(numbers.cast(pa.string()), -kind.scale, -kind.scale, ".")
    return _spell_each(values)


def _numbers(values: pa.Array) -> pa.Array | None:
    """Return the underlying integers of integers, dates, or decimals of one word; None for other values."""
    kind = values.type
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return values.cast(pa.int64())
    if pa.types.is_date32(kind):
        return values.view(pa.int32()).cast(pa.int64())
    if not pa.types.is_decimal128(kind) or kind.precision > _ONE_WORD_DIGITS:
        return None
    words = np.frombuffer(values.buffers()[1], "<i8", 2 * len(values), 16 * values.offset)
    return pa.array(words[::2], mask=np.asarray(values.is_null()) if values.null_count else None)


@lru_cache(maxsize=64)
def _neighbours(kind: pa.DataType, first: int) -> pa.Array:
    """Return the texts of the values of one type whose numbers are `first` and those after it."""
    numbers = np.arange(2 * _NEAR) + first  # numbers that overflow wrap around, and are never looked up
    if pa.types.is_decimal(kind):
        wide = pa.py_buffer(np.stack((numbers, numbers >> 63), axis=1).copy())
        return _spell_each(pa.Array.from_buffers(kind, len(numbers), [None, wide]))
    if pa.types.is_date32(kind):
        return _spell_each(pa.array(numbers.astype(np.int32)).view(kind))
    return _spell_each(pa.array(numbers))


def _spell_each(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(values), "NaN", values.cast(pa.string()))
    if pa.types.is_decimal(kind):
        return _spell_decimals(values)
    texts = values.cast(pa.string())
    if pa.types.is_timestamp(kind):
        texts = pc.binary_replace_slice(texts, 10, 11, "T")
    if pa.types.is_time(kind) or pa.types.is_timestamp(kind):
        return _short_fraction(texts, zoned=pa.types.is_timestamp(kind) and kind.tz is not None)
    return texts


def _short_fraction(texts: pa.Array, *, zoned: bool) -> pa.Array:
    """Drop trailing zeros of a fraction of a second, and the point if no digits are left."""
    bare = pc.utf8_rtrim(texts, "Z") if zoned else texts
    fractional = pc.greater_equal(pc.find_substring(bare, "."), 0)
    short = pc.if_else(fractional, pc.utf8_rtrim(pc.utf8_rtrim(bare, "0"), "."), bare)
    return pc.binary_join_element_wise(short, "Z", "") if zoned else short


def _spell_decimals(values: pa.Array) -> pa.Array:
    texts = values.cast(pa.string())
    scientific = pc.greater_equal(pc.find_substring(texts, "E"), 0)
    if not pc.any(scientific).as_py():
        return texts
    # Arrow writes small numbers as 1E-10: those are formatted from their digits.
    small = values.filter(scientific)
    scale, size = small.type.scale, small.type.byte_width
    make = pa.decimal128 if size == 16 else pa.decimal256
    unscaled = pa.Array.from_buffers(make(small.type.precision, 0), len(small), small.buffers(), offset=small.offset)
    digits = unscaled.cast(pa.string())
    negative = pc.starts_with(digits, "-")
    padded = pc.utf8_lpad(pc.utf8_ltrim(digits, "-"), scale + 1, "0")
    plain = pc.binary_join_element_wise(
        pc.utf8_slice_codeunits(padded, 0, -scale), pc.utf8_slice_codeunits(padded, -scale), "."
    )
    signed = pc.if_else(negative, pc.binary_join_element_wise("-", plain, ""), plain)
    return pc.replace_with_mask(texts, pc.fill_null(scientific, fill_value=False), signed)
