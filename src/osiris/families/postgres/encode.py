"""Encode Arrow arrays in PostgreSQL's binary COPY format, a column at a time.

A row is the number of its values, then each value after its length. A column is encoded as parts: fields of the same
width in every row, and bytes of varying length. The parts of all columns are then joined row by row.

A column may not be able to store every value of its type. So each value is checked: the server would round, truncate or
pad most of those that are rejected here, without an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osiris.families.json_text import BadJson, parse
from osiris.families.sql.columnar import DAY, InvalidCell
from osiris.families.text_format import characters, first_without_spelling
from osiris.kernels import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Encode = Callable[[pa.Array], Sequence["Part"]]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_DAYS = 10_957
"""PostgreSQL has more years, but no step that reads supports them."""
_BASE = 10_000
_NEGATIVE = 0x4000
_NULL = -1
_DIMENSION = 20
_NO_DIMENSION = 12
_SHOWN = 60
_LONGEST_NAME = 63
_NUMBER = r"^(?:0(?:\.\d+)?|-?(?:[1-9]\d*(?:\.\d+)?|0\.\d*[1-9]\d*)|NaN|-?Infinity)$"
"""A number in the spelling of the server, so that it is read back as the same text."""
_NAMED = r'"\s*:'
"""The end of a name in a JSON object, which may occur in texts too."""
_FINE = r"[.,]\d{6}\d*[1-9]"
"""A fraction of more than six digits."""
_ZERO = r"(?:^|[^\\])(?:\\\\)*\\u0000"
"""U+0000 as it is escaped in JSON."""
_LETTER = r"^(?:[\x01-\x7f]?|\\[2-3][0-7]{2})$"


@dataclass(frozen=True, slots=True)
class Fixed:
    """A field of fixed width: its numpy type, and its values, or one value for all rows."""

    form: str
    values: Any


@dataclass(frozen=True, slots=True)
class Varying:
    """A field of varying length: every `step`th value of a large binary array."""

    array: pa.Array
    step: int = 1


Part = Fixed | Varying


def encode_rows(columns: Sequence[Sequence[Part]], count: int) -> memoryview:
    """Return rows as COPY takes them, from the parts of each column."""
    parts = [Fixed(">i2", len(columns)), *(part for parts in columns for part in parts)]
    return memoryview(_join(parts, count)[0])


@compiled("postgres_join")
def _join(parts: Sequence[Part], count: int) -> tuple[pa.Buffer, NDArray[np.int64]]:
    """Return the parts joined row by row: their bytes, and the offsets of the rows, with the end of the last."""
    pieces = _pieces(parts, count)
    firsts = np.cumsum([0, *(len(piece.array) for piece in pieces)])
    places = np.empty((count, len(pieces)), np.int64)
    for index, piece in enumerate(pieces):
        places[:, index] = firsts[index] + np.arange(count) * piece.step
    all_pieces = pa.concat_arrays([piece.array for piece in pieces])
    _, buffer, data = pc.take(all_pieces, pa.array(places.ravel()), boundscheck=False).buffers()
    offsets = np.frombuffer(buffer, np.int64)[: places.size + 1 : len(pieces)]
    return (data or pa.py_buffer(b"")).slice(0, int(offsets[-1])), offsets


def _pieces(parts: Sequence[Part], count: int) -> list[Varying]:
    """Return parts as fields of varying length; adjacent fields of fixed width become one."""
    pieces: list[Varying] = []
    run: list[Fixed] = []
    for part in (*parts, None):
        if isinstance(part, Fixed):
            run.append(part)
            continue
        if run:
            record = _record(run, count)
            pieces.append(Varying(_binary(np.arange(count + 1) * record.itemsize, record)))
            run = []
        if part is not None:
            pieces.append(part)
    return pieces


def _record(fields: Sequence[Fixed], count: int) -> NDArray[Any]:
    record = np.empty(count, [(str(index), field.form) for index, field in enumerate(fields)])
    for index, field in enumerate(fields):
        record[str(index)] = field.values
    return record


def _binary(offsets: NDArray[np.int64], data: Any) -> pa.Array:  # noqa: ANN401  anything with a buffer
    buffers = [None, pa.py_buffer(offsets), data if isinstance(data, pa.Buffer) else pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def _shortened(record: NDArray[Any], lengths: NDArray[np.int64]) -> Varying:
    """Return the first bytes of each record, as every second value of an array; the others are the remaining bytes."""
    begins = np.arange(len(record) + 1) * record.itemsize
    offsets = np.empty(2 * len(record) + 1, np.int64)
    offsets[0::2], offsets[1::2] = begins, begins[:-1] + lengths
    return Varying(_binary(offsets, record), 2)


def _cell(fields: Sequence[Fixed], array: pa.Array) -> Sequence[Part]:
    """Return the length and the fields of a value of fixed width; only the length for NULL."""
    width = sum(np.dtype(field.form).itemsize for field in fields)
    null = _nulls(array)
    if null is None:
        return [Fixed(">i4", width), *fields]
    record = _record([Fixed(">i4", np.where(null, _NULL, width)), *fields], len(array))
    return [_shortened(record, np.where(null, 4, 4 + width))]


def _nulls(array: pa.Array) -> NDArray[np.bool_] | None:
    if not array.null_count:
        return None
    null: NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
    return null


def _values(array: pa.Array, kind: Any) -> NDArray[Any]:  # noqa: ANN401  a numpy type
    """Return the values of an array of fixed width; those of NULLs are arbitrary."""
    if not len(array):
        return np.empty(0, kind)
    width = np.dtype(kind).itemsize
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * width)


def _first(wrong: NDArray[np.bool_], array: pa.Array) -> int | None:
    """Return the number of the first row that is wrong and not NULL; None if there is none."""
    null = _nulls(array)
    positions = np.flatnonzero(wrong if null is None else wrong & ~null)
    return int(positions[0]) if len(positions) else None


def number(form: str) -> Encode:
    """Return the encoder of numbers of a numpy type in network byte order, such as `>i4`."""
    native = np.dtype(form).newbyteorder("=")

    def encode(array: pa.Array) -> Sequence[Part]:
        return _cell([Fixed(form, _values(array, native))], array)

    return encode


def truth(array: pa.Array) -> Sequence[Part]:
    """Encode booleans."""
    return _cell([Fixed("u1", _values(array.cast(pa.uint8()), np.uint8))], array)


def uuids(array: pa.Array) -> Sequence[Part]:
    """Encode UUIDs."""
    return _cell([Fixed("V16", _values(array.storage, "V16"))], array)


def dates(array: pa.Array) -> Sequence[Part]:
    """Encode dates of the years 1 to 9999."""
    _expect_years(array)
    days = _values(array, np.int32).astype(np.int64)
    return _cell([Fixed(">i4", days - _DAYS)], array)


def times(array: pa.Array) -> Sequence[Part]:
    """Encode times of the day, in microseconds."""
    return _cell([Fixed(">i8", _values(array, np.int64))], array)


def moments(array: pa.Array) -> Sequence[Part]:
    """Encode timestamps of the years 1 to 9999 in microseconds, naive or in UTC."""
    _expect_years(array)
    return _cell([Fixed(">i8", _values(array, np.int64) - _DAYS * DAY)], array)


def _expect_years(array: pa.Array) -> None:
    if first := first_without_spelling(array):
        raise InvalidCell(*first)


def texts(array: pa.Array) -> Sequence[Part]:
    """Encode texts, or JSON as written."""
    plain = _plain(array)
    _refuse_zero(plain)
    return _behind_length(plain)


def blobs(array: pa.Array) -> Sequence[Part]:
    """Encode bytes."""
    return _behind_length(_plain(array))


def _plain(array: pa.Array) -> pa.Array:
    return _texts(array).cast(pa.binary()).cast(pa.large_binary())


def _span(array: pa.Array) -> tuple[NDArray[np.int64], pa.Buffer | None]:
    _, offsets, data = array.buffers()
    return np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1], data


def _refuse_zero(array: pa.Array) -> None:
    """Raise InvalidCell for a text with U+0000, which PostgreSQL cannot store."""
    if not len(array):
        return
    offsets, data = _span(array)
    if data is None or np.frombuffer(data, np.uint8)[int(offsets[0]) : int(offsets[-1])].all():
        return
    row = pc.index(pc.match_substring(array, b"\0"), True).as_py()
    if row >= 0:
        raise InvalidCell(row, "a text with the character U+0000", "PostgreSQL has no such texts")


def _behind_length(array: pa.Array, version: int | None = None) -> Sequence[Part]:
    """Return the length and the bytes of values, with the version of their format between, if it has one."""
    extra = [] if version is None else [Fixed("u1", version)]
    null = _nulls(array)
    full = array if null is None else pc.fill_null(array, b"")
    lengths = np.diff(_span(full)[0]) if len(full) else np.empty(0, np.int64)
    if null is None:
        return [Fixed(">i4", lengths + len(extra)), *extra, Varying(full)]
    head = Fixed(">i4", np.where(null, _NULL, lengths + len(extra)))
    if not extra:
        return [head, Varying(full)]
    return [_shortened(_record([head, *extra], len(array)), np.where(null, 4, 5)), Varying(full)]


def decimals(array: pa.Array) -> Sequence[Part]:
    """Encode decimals: groups of four digits, aligned at the decimal point; the server strips zero groups."""
    width, scale = array.type.bit_width // 64, array.type.scale
    words = _values(array, f"({width},)<i8").reshape(len(array), width)
    low = words[:, 0].copy()
    if (null := _nulls(array)) is not None:
        low[null] = 0
    small = (words[:, 1:] == (low >> 63)[:, None]).all(1) & (low != np.iinfo(np.int64).min)
    if _first(~small, array) is not None:
        return _long_decimals(array, scale)
    numbers = _numeric(low, scale)
    form = f"V{numbers.shape[1] * 2}"
    return _cell([Fixed(form, numbers.view(form)[:, 0])], array)


@compiled("postgres_numeric")
def _numeric(unscaled: NDArray[np.int64], scale: int) -> NDArray[np.int16]:
    """Return decimals in the format of numeric: per row, the number of groups, weight, sign, scale, and the groups."""
    groups = _groups(np.abs(unscaled), scale)
    sign = np.where(unscaled < 0, _NEGATIVE, 0)
    fields = (len(groups), len(groups) - 1 - -(-scale // 4), sign, scale, *reversed(groups))
    numbers = np.empty((len(unscaled), len(fields)), ">i2")
    for index, field in enumerate(fields):
        numbers[:, index] = field
    return numbers


def _groups(digits: NDArray[np.int64], scale: int) -> list[NDArray[np.int64]]:
    """Return digits in groups of four, the lowest first; one group ends at the decimal point."""
    groups: list[NDArray[np.int64]] = []
    if last := scale % 4:
        groups.append(digits % 10**last * 10 ** (4 - last))
        digits = digits // 10**last
    while digits.any():
        groups.append(digits % _BASE)
        digits = digits // _BASE
    return groups


def _long_decimals(array: pa.Array, scale: int) -> Sequence[Part]:
    """Encode decimals of any length, one by one."""
    size = array.type.bit_width // 8
    raw = _values(array, f"V{size}").tobytes()
    null = _nulls(array)
    cells = [
        None if null is not None and null[row] else _long_decimal(raw[row * size : (row + 1) * size], scale)
        for row in range(len(array))
    ]
    return _behind_length(pa.array(cells, pa.large_binary()))


def _long_decimal(raw: bytes, scale: int) -> bytes:
    value = int.from_bytes(raw, "little", signed=True)
    fraction = -(-scale // 4)
    digits, groups = abs(value) * 10 ** (fraction * 4 - scale), []
    while digits:
        digits, group = divmod(digits, _BASE)
        groups.append(group)
    head = pack(">hhHh", len(groups), len(groups) - 1 - fraction, _NEGATIVE if value < 0 else 0, scale)
    return head + pack(f">{len(groups)}h", *reversed(groups))


def lists(inner: Encode, oid: int) -> Encode:
    """Return the encoder of lists as one-dimensional arrays; `oid` is the type of their items."""

    def encode(array: pa.Array) -> Sequence[Part]:
        null, items = _nulls(array), array.flatten()
        counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy().astype(np.int64)
        try:
            data, joined = _join(inner(items), len(items))
        except InvalidCell as unfit:
            row = int(np.searchsorted(np.cumsum(counts), unfit.row, "right"))
            raise InvalidCell(row, unfit.value, unfit.reason) from None
        offsets = joined[np.concatenate(([0], np.cumsum(counts)))]
        size = np.where(counts > 0, _DIMENSION + np.diff(offsets), _NO_DIMENSION)
        size = size if null is None else np.where(null, _NULL, size)
        numbers = (size, counts > 0, int(items.null_count > 0), oid, counts, 1)
        head = _record([Fixed(">i4", values) for values in numbers], len(array))
        lengths = np.where(size < 0, 4, np.where(counts > 0, 4 + _DIMENSION, 4 + _NO_DIMENSION))
        return [_shortened(head, lengths), Varying(_binary(offsets, data))]

    return encode


def checked(encode: Encode, right: Callable[[pa.Array], pa.Array], reason: str) -> Encode:
    """Return an encoder that also raises InvalidCell for the first value for which `right` is false."""

    def encode_right(array: pa.Array) -> Sequence[Part]:
        parts = encode(array)
        row = pc.index(right(array), False).as_py()
        if row >= 0:
            raise InvalidCell(row, _shown(array[row].as_py()), reason)
        return parts

    return encode_right


def _shown(value: object) -> str:
    return repr(value[:_SHOWN]) if isinstance(value, str) else str(value)


def without_zero(encode: Encode) -> Encode:
    """Return the encoder for JSON that the server parses, which must not contain U+0000."""
    why = "a text within it has the character U+0000, which the database cannot hold"
    return checked(encode, lambda array: pc.invert(pc.match_substring_regex(_texts(array), _ZERO)), why)


def _texts(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def limited(limit: int, *, exact: bool) -> Encode:
    """Return the encoder for a column with a length limit: the server would strip or add blanks."""
    compare = pc.equal if exact else pc.less_equal
    why = f"the column has values of {'exactly' if exact else 'at most'} {limit} characters"

    def right(array: pa.Array) -> pa.Array:
        is_ascii = not np.frombuffer(characters(array), np.int8).min(initial=0) < 0
        return compare((pc.binary_length if is_ascii else pc.utf8_length)(array), limit)

    return checked(texts, right, why)


def rounded_moments(encode: Encode, digits: int) -> Encode:
    """Return the encoder for a column of times or timestamps with fewer than six fractional digits."""
    step = 10 ** (6 - digits)

    def right(array: pa.Array) -> pa.Array:
        count = array.view(pa.int64())
        return pc.equal(pc.multiply(pc.divide(count, step), step), count)

    return checked(encode, right, f"the column has {digits} digits behind the second")


def odd_decimals(digits: int, scale: int) -> Encode:
    """Return the encoder for a column whose scale is negative, or larger than its number of digits.

    Its values end in zeros, or begin with zeros after the decimal point.
    """

    def right(array: pa.Array) -> pa.Array:
        least = pc.round(array, scale if scale < 0 else scale - digits, "towards_zero")
        return pc.equal(least, array if scale < 0 else pa.scalar(0, array.type))

    return checked(decimals, right, f"the column is numeric({digits},{scale})")


def checked_json(array: pa.Array) -> Sequence[Part]:
    """Encode JSON for a column of type jsonb, which stores values and not their text; repeated names are rejected."""
    plain, texts = _plain(array), _texts(array)
    _refuse_zero(plain)
    several = pc.greater(pc.count_substring_regex(texts, _NAMED), 1)
    for row in np.flatnonzero(several.fill_null(False)):
        text = texts[int(row)].as_py()
        try:
            parse(text)
        except BadJson as bad:
            raise InvalidCell(int(row), _shown(text), bad.reason) from None
    return _behind_length(plain, version=1)


fine_moments = checked(
    texts,
    lambda array: pc.invert(pc.match_substring_regex(array, _FINE)),
    "PostgreSQL counts microseconds",
)
names = checked(
    texts,
    lambda array: pc.less_equal(pc.binary_length(array), _LONGEST_NAME),
    f"a name has at most {_LONGEST_NAME} bytes",
)
numbers = checked(
    texts,
    lambda array: pc.match_substring_regex(array, _NUMBER),
    "it is not as PostgreSQL spells a number; cast it to a decimal",
)


def _letters(array: pa.Array) -> Sequence[Part]:
    """Encode values of the one-byte type "char"."""
    return blobs(pa.array([None if text is None else _byte(text) for text in array.to_pylist()], pa.binary()))


def _byte(text: str) -> bytes:
    """Return the byte of a text: zero for an empty one; beyond ASCII it is a backslash and octal digits."""
    return bytes([int(text[1:], 8)]) if len(text) > 1 and text[1:].isdigit() else text.encode()[:1] or b"\0"


letters = checked(_letters, lambda array: pc.match_substring_regex(array, _LETTER), 'a "char" is one letter of ASCII')
