"""Arrow arrays for tests: every type, extreme values, with and without NULLs, slices of others, exact memory."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
from tests.kernels.cases import exact, some_bytes

UNITS = ("s", "ms", "us", "ns")
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
FLOATS = (
    *(0x0000000000000000, 0x8000000000000000, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000),
    *(0xFFF8000000000000, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF, 0x7FF8000000000123, 1, 0x8000000000000001),
    *(0x000FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x3FB999999999999A, 0x433FFFFFFFFFFFFF),
)
"""Bits of floats: both zeros, infinity, NaN of all kinds, the least and the largest."""
TEXTS = (
    *(
        "",
        "a",
        '"',
        '""',
        ",",
        ";",
        "\t",
        "\r",
        "\n",
        "\r\n",
        "\ufeff",
        "\ufeffx",
        "x\ufeff",
        " ",
        "=1+1",
        "+1",
        "-1",
        "@x",
    ),
    *(
        "=",
        "+",
        "-",
        "+1.5",
        "-1.5",
        "-1.",
        "-.5",
        "--1",
        "+-1",
        " =1",
        "\t1",
        "\r1",
        "\n=1",
        " \n\t@",
        "\ufeff=1",
        "\uff1d1",
    ),
    *(
        "\uff0b1",
        "\uff0d1",
        "\uff20x",
        "\ufeff \uff1d",
        "\u00a0=1",
        "\f=1",
        "\v=1",
        "1",
        "1=1",
        "NULL",
        "é",
        "日本",
        "😀",
        "\0",
    ),
    *("a,b", 'a"b', "a\nb", "x" * 7, "x" * 8, "x" * 9, "x" * 100, '"' * 20, "-1e5", "+٣", "-1\n", "-1\r\n"),
)


def rows_of(chance):
    return chance.choice((0, 1, 2, 3, 8, 9, 64, 65, chance.randint(0, 300)))


def nulls(chance, rows):
    """Return for each row whether it is NULL: none, all, or some."""
    share = chance.choice((0, 0, 0.1, 0.5, 1))
    return np.array([chance.random() < share for _ in range(rows)], np.bool_)


def bits(chance, rows, width):
    """Return bytes of `width` for each row: random ones, or extremes."""
    ends = (b"\0", b"\xff", b"\x80", b"\x7f")
    each = (bytes(width), b"\xff" * width, bytes(width - 1) + chance.choice(ends), b"\xff" * (width - 1) + b"\x7f")
    return b"".join(chance.choice((*each, chance.randbytes(width), chance.randbytes(width))) for _ in range(rows))


def fixed(kind, data, null):
    valid = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    return pa.Array.from_buffers(kind, len(null), [valid, pa.py_buffer(data)])


def integers(chance, kind, null):
    low, high = (np.iinfo(kind.to_pandas_dtype()).min, np.iinfo(kind.to_pandas_dtype()).max)
    some = chance.choice((10, 1000, high))
    drawn = (chance.choice((0, low, high, chance.randint(max(low, -some), min(some, high)))) for _ in null)
    return fixed(kind, np.array(list(drawn), kind.to_pandas_dtype()).tobytes(), null)


def floats(chance, kind, null):
    if kind.bit_width == 64:
        words = [chance.choice((*FLOATS, chance.getrandbits(64))) for _ in null]
        return fixed(kind, struct.pack(f"<{len(words)}Q", *words), null)
    singles = (0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF, 1, 0x7F7FFFFF, 0x3DCCCCCD)
    words = [chance.choice((*singles, chance.getrandbits(32))) for _ in null]
    return fixed(kind, struct.pack(f"<{len(words)}I", *words), null)


def decimals(chance, kind, null):
    most, width = 10**kind.precision - 1, kind.bit_width // 8
    drawn = (0, 1, most, 10 ** (kind.precision - 1), 10 ** min(kind.scale, kind.precision - 1))
    values = [chance.choice((*drawn, chance.randint(0, most))) * chance.choice((1, -1)) for _ in null]
    return fixed(kind, b"".join(each.to_bytes(width, "little", signed=True) for each in values), null)


def moments(chance, kind, null, low, high):
    drawn = (low, high, 0, -1, 1, low + 1, high - 1)
    drawn = [chance.choice((*filter(lambda each: low <= each <= high, drawn), chance.randint(low, high))) for _ in null]
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        whole = 10 ** (3 * chance.choice((0, UNITS.index(kind.unit))))
        drawn = [max(low, each - each % whole) for each in drawn]
    return fixed(kind, np.array(drawn, f"i{kind.bit_width // 8}").tobytes(), null)


def _moments_of(chance, kind, null, *, wild=False):
    if pa.types.is_date(kind):
        low, high = (-(2**31), 2**31 - 1) if wild else (FIRST_DAY, LAST_DAY)
    elif wild:
        low, high = -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1
    elif pa.types.is_time(kind):
        low, high = 0, 86400 * 1000 ** UNITS.index(kind.unit) - 1
    else:
        day = 86400 * 1000 ** UNITS.index(kind.unit)
        # The values beside these are infinity in DuckDB.
        low, high = max(FIRST_DAY * day, -(2**63) + 2), min((LAST_DAY + 1) * day - 1, 2**63 - 2)
    return moments(chance, kind, null, low, high)


def booleans(chance, kind, null):
    return fixed(kind, chance.randbytes(-(-len(null) // 8)), null)


def texts(chance, kind, null):
    """Return texts of valid UTF-8, or bytes; NULLs may have bytes too."""
    is_text = pa.types.is_string(kind)
    made = []
    for each in null:
        drawn = chance.choice(TEXTS).encode() if chance.random() < 0.5 else some_bytes(chance)
        drawn = drawn.decode("utf-8", "ignore").encode() if is_text else drawn
        made.append(b"" if each and chance.random() < 0.7 else drawn)
    if made and chance.random() < 0.1:
        made[chance.randrange(len(made))] = b"x" * chance.choice((127, 128, 129, 1000))
    before = "ž".encode() * chance.choice((0, 0, 1, 4))
    ends = np.cumsum(np.array([len(before), *map(len, made)], np.int64)).astype(np.int32)
    valid = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    return pa.Array.from_buffers(kind, len(null), [valid, pa.py_buffer(ends), pa.py_buffer(before + b"".join(made))])


NUMBERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
TIMES = [
    pa.date32(),
    *(pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
    *(pa.timestamp(unit) for unit in UNITS),
    *(pa.timestamp(unit, "UTC") for unit in UNITS),
]
SPELLED = [pa.bool_(), *NUMBERS, pa.float32(), pa.float64(), *TIMES, pa.string()]


def decimal_kind(chance):
    precision = chance.choice((1, 4, 12, 18, 19, 38, 39, 76, chance.randint(1, 76)))
    scale = chance.choice((0, 2, precision, chance.randint(0, precision)))
    scale = min(scale, precision)
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def array_of(chance, kind, rows, *, wild=False):
    """Return an array of a type; `wild`: dates of any year. It may be a slice of a larger one."""
    before = chance.choice((0, 0, 1, 7, 8, 9)) if chance.random() < 0.5 else 0
    null = nulls(chance, before + rows + chance.choice((0, 0, 3)))
    return exact(_whole(chance, kind, null, wild=wild).slice(before, rows))


def _whole(chance, kind, null, *, wild):
    if pa.types.is_list(kind):
        return _lists(chance, kind, null, wild=wild)
    if pa.types.is_struct(kind):
        inner = [array_of(chance, field.type, len(null), wild=wild) for field in kind]
        return pa.StructArray.from_arrays(inner, fields=list(kind), mask=pa.array(null))
    if pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind):
        return fixed(kind, bits(chance, len(null), kind.byte_width), null)
    if pa.types.is_temporal(kind):
        return _moments_of(chance, kind, null, wild=wild)
    makers = (
        (pa.types.is_boolean, booleans),
        (pa.types.is_integer, integers),
        (pa.types.is_floating, floats),
        (pa.types.is_decimal, decimals),
    )
    return next((make for fits, make in makers if fits(kind)), texts)(chance, kind, null)


def _lists(chance, kind, null, *, wild):
    sizes = [0 if each and chance.random() < 0.7 else chance.choice((0, 0, 1, 2, 5)) for each in null]
    first = chance.choice((0, 0, 2))
    ends = np.cumsum(np.array([first, *sizes], np.int64)).astype(np.int32)
    items = array_of(chance, kind.value_type, int(ends[-1]) + chance.choice((0, 1)), wild=wild)
    valid = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    return pa.Array.from_buffers(kind, len(null), [valid, pa.py_buffer(ends)], children=[items])


def lying(chance, array):
    """Return texts of which one is outside their bytes, none NULL; or None if there are too few."""
    if len(array) < 2 or array.null_count:
        return None
    _, ends, data = array.buffers()
    places = np.frombuffer(ends, np.int32).copy()
    which = array.offset + chance.randint(1, len(array) - 1)
    far = (data.size if data else 0) + chance.choice((1, 8, 100))
    places[which] = chance.choice(
        (-1, -(2**31), 2**31 - 1, far, int(places[which - 1]) - 1, int(places[which + 1]) + 1)
    )
    return pa.Array.from_buffers(array.type, len(array), [None, pa.py_buffer(places), data], offset=array.offset)
