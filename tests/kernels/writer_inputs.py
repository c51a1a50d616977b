"""The inputs with which the writers of PostgreSQL and MySQL join rows, and invalid ones.

A row of COPY BINARY for PostgreSQL is the number of its values in two bytes, and each value after its length in four,
-1 for NULL. Columns of fixed width are fields of a numpy dtype; others are items of a large binary array, of which
every `step`th counts. MySQL takes text: values separated by commas, texts in quotes, the word NULL.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from tests.kernels.arrow_inputs import NUMBERS, TEXTS, TIMES, array_of, bits, decimal_kind, fixed, lying, nulls
from tests.kernels.cases import Beyond, exact, inputs_of, numbers, odd, some_bytes

from osiris.families.postgres.encode import Fixed, Varying

ROWS = (0, 1, 2, 3, 9, 64, 65, 511, 512, 513, 1023, 1024, 1025)
LOW, HIGH = -(2**63), 2**63 - 1
FORMS = (">i2", ">i4", ">i8", "u1", ">u4", ">f4", ">f8", "V16", "V10", "V3", "V1")
OTHER_FORMS = ("i1", "?", "<i4", ">u2", ">u8", ">f2", ">c8", "S3", "V7", "V33", ">U2", ">M8[us]", "O", ">i2,>i2")


def count_of(chance, *, large=0.3):
    return chance.choice(ROWS) if chance.random() < large else chance.choice((0, 1, 2, 3, 8, chance.randint(0, 40)))


# --- rows of PostgreSQL ----------------------------------------------------------------------------------------------


@inputs_of("postgres_join")
def join(chance, plain):
    count = count_of(chance)
    parts = [Fixed(">i2", chance.randint(0, 1600))] if chance.random() < 0.7 else []
    for _ in range(chance.choice((1, 2, 3, chance.randint(1, 9)))):
        make = chance.choice((_number, _number, _behind_length, _record, _same))
        parts += make(chance, count)
    if chance.random() < 0.02:
        parts += [Fixed("u1", number % 256) for number in range(300)]
    if plain:
        return parts, count
    hostile = chance.choice(
        (_with_another, _with_another, _with_odd, _with_short, _with_lying, _of_another_count, _bare)
    )
    return hostile(chance, parts, count)


def _with_another(chance, parts, count):
    makers = (_other_field, _other_field, _other_array, lambda *given: Varying(_with_nulls(*given)))
    parts.insert(chance.randint(0, len(parts)), chance.choice(makers)(chance, count))
    return parts, count


def _with_odd(chance, parts, count):
    few = (isinstance(part, Varying) or np.ndim(part.values) == 0 for part in parts)
    return [
        part if each else Fixed(part.form, odd(chance, part.values)) for part, each in zip(parts, few, strict=True)
    ], count


def _with_short(chance, parts, count):
    at, short = chance.randint(0, len(parts)), _short(chance, count)
    is_last = all(isinstance(part, Fixed) for part in parts[at:])  # otherwise the next one's bytes follow, for Python
    is_beyond = short.array.type == pa.large_binary() and is_last
    return (Beyond if is_beyond else tuple)(([*parts[:at], short, *parts[at:]], count))


def _with_lying(chance, parts, count):
    wrong, at = _lying_part(chance, count), chance.randint(0, len(parts))
    return (parts, count) if wrong is None else Beyond(([*parts[:at], wrong, *parts[at:]], count))


def _of_another_count(chance, parts, count):
    more = count + 1 if all(isinstance(part, Fixed) for part in parts) else -1
    return parts, chance.choice((count - 1, -1, 0, more))


def _bare(chance, parts, count):
    return chance.choice((tuple, list))(parts if chance.random() < 0.7 else []), count


def _same(chance, count):
    """Return fields of a column with the same width in every row, and sometimes the same value."""
    form = chance.choice(FORMS)
    width = np.dtype(form).itemsize
    return [Fixed(">i4", width), Fixed(form, chance.choice((_scalar(chance, form), _values_of(chance, form, count))))]


def _scalar(chance, form):
    kind = np.dtype(form)
    if kind.kind == "V":
        return np.frombuffer(chance.randbytes(kind.itemsize), kind)[0]
    if kind.kind == "f":
        return chance.choice((0, 1.5, float("nan"), -0.0, float("inf")))
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    drawn = chance.choice((0, 1, low, high, chance.randint(low, high)))
    return chance.choice((drawn, np.int64(drawn) if drawn <= HIGH else drawn, drawn % 2 == 1))


def _values_of(chance, form, count):
    """Return values as Arrow has them: native, and where they are integers, also wider integers or booleans."""
    kind = np.dtype(form)
    native = kind.newbyteorder("=")
    if kind.itemsize > 1 and kind.kind in "iu" and chance.random() < 0.4:
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        ends = (low, high, 0, -1, 1)
        return numbers(min(HIGH, chance.choice((*ends, chance.randint(low, high)))) for _ in range(count))
    if kind.kind in "iu" and chance.random() < 0.2:
        return numbers((chance.random() < 0.5 for _ in range(count)), np.bool_)
    array = np.frombuffer(chance.randbytes(count * kind.itemsize), native).copy()
    return array.astype(kind) if chance.random() < 0.1 else array


def _number(chance, count):
    """Return a column of fixed width that may have NULL: then its records are shortened."""
    from osiris.families.postgres import encode

    null = nulls(chance, count)
    form = chance.choice(FORMS)
    width = np.dtype(form).itemsize
    field = Fixed(form, _values_of(chance, form, count))
    if not null.any():
        return [Fixed(">i4", width), field]
    record = encode._record([Fixed(">i4", np.where(null, -1, width)), field], count)
    return [encode._shortened(record, np.where(null, 4, 4 + width))]


def _record(chance, count):
    """Return the first bytes, any number of them, of records of any width."""
    from osiris.families.postgres import encode

    width = chance.choice((1, 2, 3, 5, 7, 8, 15, 16, 17, 24, 40))
    record = np.frombuffer(chance.randbytes(width * count), f"V{width}")
    return [encode._shortened(record, numbers(chance.choice((0, width, chance.randint(0, width))) for _ in record))]


def _behind_length(chance, count):
    empty = chance.random() < 0.05
    array = _large(chance, [b"" if empty else _bytes_of(chance) for _ in range(count)])
    return [Fixed(">i4", np.diff(_offsets(array))), Varying(array)]


def _bytes_of(chance):
    drawn = chance.random()
    if drawn < 0.02:
        return chance.randbytes(chance.choice((255, 256, 1000, 5000)))
    return chance.randbytes(chance.choice((15, 16, 17, 31, 32, 33))) if drawn < 0.3 else some_bytes(chance)


def _offsets(array):
    return np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]


def _large(chance, items, kind=None, valid=None):
    """Return an array of bytes that may be a slice of a longer one, and may not start at the first byte."""
    before = [b"before" if any(items) else b""] * chance.choice((0, 0, 1, 8, 9))
    behind = [b"behind" if any(items) else b""] * chance.choice((0, 0, 1))
    first = chance.choice((b"", b"", b"first")) if any(items) else b""
    every = [*before, *items, *behind]
    ends = np.cumsum(numbers([len(first), *map(len, every)]))
    data = first + b"".join(every)
    if valid is not None:
        known = numbers([*(True for _ in before), *valid, *(True for _ in behind)], np.bool_)
        valid = np.packbits(known, bitorder="little")
    buffers = [None if valid is None else pa.py_buffer(valid), pa.py_buffer(ends), pa.py_buffer(data)]
    whole = pa.Array.from_buffers(kind or pa.large_binary(), len(every), buffers)
    return exact(whole.slice(len(before), len(items)))


def _with_nulls(chance, count):
    """Return bytes of which some are NULL, with or without bytes under them, or none, without that being declared."""
    null = nulls(chance, count)
    items = [b"" if each and chance.random() < 0.5 else _bytes_of(chance) for each in null]
    return _large(chance, items, valid=~null)


def _other_array(chance, count):
    """Return bytes of another type or step, or in memory that continues after them."""
    way = chance.randrange(5)
    items = [_bytes_of(chance) for _ in range(count)]
    if way == 0:
        texts = [each.decode("utf-8", "ignore") for each in items]
        return Varying(pa.array(texts, pa.large_string()) if chance.random() < 0.5 else pa.array(items, pa.binary()))
    if way == 1:
        step = chance.choice((0, 3, 5))
        return Varying(_large(chance, [_bytes_of(chance) for _ in range(max(count * step, 1))]), step)
    if way == 2:  # every second one, of items that are not records
        return Varying(_large(chance, [_bytes_of(chance) for _ in range(2 * count - (chance.random() < 0.5))]), 2)
    array = _large(chance, items)
    valid, ends, data = array.buffers()
    more = chance.choice((1, 3, 7, 8, 13))
    wide = np.concatenate([np.frombuffer(ends, np.uint8), np.full(more, 0x7F, np.uint8)])
    if way == 3:  # in memory that begins anywhere
        wide = np.concatenate([np.zeros(more, np.uint8), np.frombuffer(ends, np.uint8)])[more:]
    return Varying(pa.Array.from_buffers(array.type, len(array), [valid, pa.py_buffer(wide), data], 0, array.offset))


def _short(chance, count):
    """Return fewer items than rows, though perhaps there are more in memory."""
    step = chance.choice((1, 1, 2))
    have = max(0, (count - 1) * step - chance.randint(0, 1))
    array = _large(chance, [_bytes_of(chance) for _ in range(count * step + 2)])
    array = array.slice(chance.randint(0, 2), have)
    array = array if chance.random() < 0.5 else exact(array)
    return Varying(array, step) if count else Varying(array.cast(pa.binary()))


def _lying_part(chance, count):
    """Return items of which one is outside of the bytes; or None if there are too few."""
    if count < 2:
        return None
    array = _large(chance, [_bytes_of(chance) for _ in range(count)])
    _, ends, data = array.buffers()
    places, size = np.frombuffer(ends, np.int64).copy(), data.size if data else 0
    which = array.offset + chance.randint(1, count - 1)
    far = (-1, LOW, HIGH, 2**32, 2**62, size + 1, size + 8, size + 100, int(places[which - 1]) - 1)
    places[which] = chance.choice((*far, int(places[which + 1]) + 1))
    buffers = [None, pa.py_buffer(places), data]
    return Varying(pa.Array.from_buffers(array.type, len(array), buffers, 0, array.offset))


def _other_field(chance, count):
    """Return a field whose type or values are unusual: numpy casts or rejects them."""
    form = chance.choice((*FORMS, *OTHER_FORMS))
    way = chance.randrange(9)
    if way == 0:
        return Fixed(form, chance.choice((2**15, 2**31, 2**63, 2**64, -1, -(2**31) - 1, 1.9, "7", b"x", None, True)))
    drawn = [chance.choice((0, 1, -1, 127, 2**15, 2**31, 2**32 + 1, LOW, HIGH, 300)) for _ in range(count)]
    if way == 1:
        return Fixed(form, numbers(drawn))
    if way == 2:
        kind = chance.choice(("i1", "i2", "i4", "u1", "u2", "u4", "u8", ">i8", ">i4", ">u2"))
        return Fixed(form, numbers(drawn).astype(kind))
    if way == 3:
        return Fixed(form, numbers(drawn).astype(chance.choice(("f2", "f4", "f8", ">f8"))))
    if way == 4:
        return Fixed(form, numbers((each > 0 for each in drawn), np.bool_))
    if way == 5:  # numpy spreads one over all rows, and takes no other number of them
        return Fixed(form, numbers(drawn[: chance.choice((1, 1, 2, count - 1))]))
    if way == 6:
        wide = numbers(drawn).reshape(count, 1)
        return Fixed(form, np.repeat(wide, chance.choice((1, 2)), 1))
    if way == 7:
        native = np.dtype(form).newbyteorder("=")
        if not native.hasobject:
            return Fixed(form, np.frombuffer(chance.randbytes(count * native.itemsize), native))
    return Fixed(form, drawn)


@inputs_of("postgres_numeric")
def numeric(chance, plain):
    scale = chance.choice((0, 2, 4, 18, 19, 76, chance.randint(0, 76)))
    most = chance.choice((9, 10_000, 10**8, 10**12, 10**16, 10**18, HIGH))
    ends = [0, 1, most, *(10**digits - more for digits in (4, 8, 12, 16, 18) for more in (0, 1))]
    ends = [each for each in ends if each <= most]
    drawn = [chance.choice((*ends, chance.randint(0, most))) * chance.choice((1, -1)) for _ in range(count_of(chance))]
    drawn = [0 for _ in drawn] if chance.random() < 0.05 else drawn
    if plain:
        return numbers(drawn), scale
    if drawn and chance.random() < 0.2:  # of which numpy knows no other sign: the Python function would never end
        drawn[chance.randrange(len(drawn))] = LOW
        return Beyond((odd(chance, numbers(drawn)), scale))
    scale = chance.choice((scale, scale, 77, 100, 32767, 32768, 2**16, -1, -2, -4, -76))
    if chance.random() < 0.3:
        kind = chance.choice(("i4", "i2", ">i8"))
        low, high = np.iinfo(kind).min + 1, np.iinfo(kind).max
        return odd(chance, numbers((min(max(each, low), high) for each in drawn), kind)), scale % 4
    return odd(chance, numbers(drawn)), scale


# --- rows of MySQL ----------------------------------------------------------------------------------------------------

HARD = (
    *TEXTS,
    *("\\", "\\N", "\\\\", "a\\", "null", "NULL ", '"NULL"', '"', "'", "''", "\x1a", "`", "\0\0", "a\0b", "%", "\x7f"),
    *("x" * size for size in (14, 15, 16, 17, 31, 32, 33, 63, 64, 65)),
    *("x" * before + '"' + "x" * behind for before in (0, 7, 8, 14, 15, 16) for behind in (0, 1, 16)),
    *('"' * size for size in (1, 7, 8, 9, 15, 16, 17, 33)),
    *("ž" * 8, "日" * 5 + "x", "😀" * 4, "x" * 15 + "ž", "x" * 14 + "😀"),
)
"""Texts that are hard to quote: because of their content, or of the position of quotes in them."""
OTHER_TYPES = (
    *(pa.null(), pa.binary(), pa.large_binary(), pa.binary(3), pa.date64(), pa.duration("s"), pa.float16()),
    *(pa.bool_(), pa.float32(), pa.json_(pa.string()), pa.uuid(), pa.list_(pa.int32()), pa.string_view()),
    *(pa.timestamp("us", "UTC"), pa.timestamp("ms", "Europe/Prague"), pa.timestamp("ns"), pa.time64("ns")),
    *(pa.decimal128(5, -2), pa.decimal256(12, 2), pa.dictionary(pa.int8(), pa.string())),
)
SENT = [
    *NUMBERS,
    pa.float64(),
    *(kind for kind in TIMES if getattr(kind, "tz", None) is None and "ns" not in str(kind)),
]


@inputs_of("mysql_rows")
def rows(chance, plain):
    count = count_of(chance)
    if chance.random() < 0.01:
        count = chance.choice((4095, 4096, 4097))  # from which on numbers are spelled otherwise
    arrays = [_sent(chance, count, plain=plain) for _ in range(chance.choice((1, 1, 2, 3, chance.randint(1, 9))))]
    if plain:
        return (arrays,)
    way, at = chance.randrange(8), chance.randint(0, len(arrays))
    if way == 0:
        wrong = _lying_texts(chance, count)
        if wrong is not None:
            return Beyond(([*arrays[:at], wrong, *arrays[at:]],))
    elif way == 1:
        arrays.insert(at, array_of(chance, chance.choice((pa.int32(), pa.string())), count + chance.choice((1, 7, 64))))
    elif way == 2:
        arrays.insert(at, _of_another_type(chance, count))
    elif way == 3:
        arrays = chance.choice(([], tuple(arrays)))
    elif way == 4:
        arrays.insert(at, _no_utf8(chance, count))
    elif way == 5:
        arrays.insert(at, _all_known(chance, arrays[at % len(arrays)]))
    return (arrays,)


def _sent(chance, count, *, plain):
    """Return an array of a type that the writer of MySQL sends."""
    drawn = chance.randrange(8)
    if drawn < 2:
        return _texts(chance, count, pa.string())
    if drawn == 2:
        return _texts(chance, count, pa.large_string())
    if drawn == 3:
        kind = decimal_kind(chance)
        if plain:  # a twin leaves decimals of more than a word
            kind = pa.decimal128(min(kind.precision, 18), min(kind.scale, 18, kind.precision))
        if not plain and chance.random() < 0.3:  # numbers of more digits than the type has
            return fixed(kind, bits(chance, count, kind.bit_width // 8), nulls(chance, count))
        return array_of(chance, kind, count)
    return array_of(chance, chance.choice(SENT), count, wild=not plain and chance.random() < 0.7)


def _texts(chance, count, kind):
    null = nulls(chance, count)
    texts = [
        chance.choice(HARD) if chance.random() < 0.7 else some_bytes(chance).decode("utf-8", "ignore") for _ in null
    ]
    array = pa.array([None if each else text for text, each in zip(texts, null, strict=True)], kind)
    if kind == pa.large_string() and chance.random() < 0.5:  # as bytes are sent: in hexadecimal digits
        array = pa.array(
            [None if each else text.encode().hex().upper() for text, each in zip(texts, null, strict=True)], kind
        )
    if count and chance.random() < 0.3:
        array = pa.concat_arrays([array.slice(count // 2), array, array.slice(0, 1)]).slice(count - count // 2, count)
    return exact(array)


def _lying_texts(chance, count):
    texts = array_of(chance, pa.string(), count)
    if chance.random() < 0.7:
        return lying(chance, texts)
    if texts.null_count or count < 2:
        return None
    found = _lying_part(chance, count)
    _, ends, data = found.array.buffers()
    halves = _offsets(found.array).astype(np.int32)  # all that Arrow takes of them for CSV
    if halves[0] >= 0 and (np.diff(halves) >= 0).all() and halves[-1] <= (data.size if data else 0):
        return None
    return pa.Array.from_buffers(pa.large_string(), count, [None, ends, data], 0, found.array.offset)


def _of_another_type(chance, count):
    kind = chance.choice(OTHER_TYPES)
    if chance.random() < 0.3 or kind in OTHER_TYPES[:7] or str(kind).startswith(("string_view", "dict", "decimal128")):
        return pa.nulls(count, kind)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, array_of(chance, kind.storage_type, count))
    return array_of(chance, kind, count, wild=chance.random() < 0.3)


def _no_utf8(chance, count):
    """Return texts that are arbitrary bytes."""
    array = pa.array([some_bytes(chance) for _ in range(count)], pa.binary())
    return exact(pa.Array.from_buffers(pa.string(), count, array.buffers()))


def _all_known(chance, array):
    """Return the same values with a validity bitmap, and those without a null count."""
    buffers = array.buffers()
    if buffers[0] is None and not isinstance(array.type, pa.BaseExtensionType) and array.type != pa.null():
        buffers[0] = pa.py_buffer(b"\xff" * (-(-(array.offset + len(array)) // 8)))
    return pa.Array.from_buffers(array.type, len(array), buffers, -1, array.offset)
