"""PostgreSQL's answer to COPY … TO STDOUT (FORMAT binary), by its documentation, and invalid answers.

A message is a letter, four bytes of length that include themselves, and the content. A row is a `d` whose content is
the number of values in two bytes, then each value after its length in four, -1 for NULL. A number is four words of two
bytes (the number of base-10000 digits, the weight of the first, the sign, the digits to show) and the digits.
"""

from __future__ import annotations

from struct import pack, unpack

import numpy as np
from tests.kernels.cases import (
    Beyond,
    inputs_of,
    numbers,
    odd,
    page_of,
    places,
    some_bytes,
    touched,
    wrong_place,
)

from osiris.families.sql.columnar import Cells, Rows
from osiris.families.sql.wire import FRONT, SPARE

LENGTHS = (0, 1, 3, 4, 5, 6, 7, 0xFF, 0xFFFF, 0xFFFFFF, 0x1000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
WIDTHS = (None, None, 1, 2, 4, 8, 16)


def value(chance, width):
    """Return a value with its length: of a fixed width, of any, or NULL."""
    if chance.random() < 0.2:
        return b"\xff\xff\xff\xff"
    content = some_bytes(chance) if width is None else chance.randbytes(width)
    if chance.random() < 0.1:  # what looks like a row
        content = (b"d\0\0\0" + pack(">BH", 10, 1))[: len(content)].ljust(len(content), b"d")
    return pack(">i", len(content)) + content


def row(values):
    content = pack(">h", len(values)) + b"".join(values)
    return b"d" + pack(">i", len(content) + 4) + content


def message(chance):
    """Return a message that is not a row of the query."""
    return chance.choice(
        (
            b"c\0\0\0\4",
            b"C\0\0\0\x0bCOPY 3\0",
            b"Z\0\0\0\5I",
            b"d\0\0\0\6\xff\xff",
            row([b"\xff\xff\xff\xff"] * chance.randint(0, 4)),
            b"N\0\0\0\x0cdd\0\0\0\6d\0",
            b"E\0\0\0\x09S\0d\0\0",
        )
    )


def widths_of(chance, most=5):
    return [chance.choice(WIDTHS) for _ in range(chance.randint(0, most))]


def copied(chance, widths, most=12):
    return [row([value(chance, width) for width in widths]) for _ in range(chance.randint(0, most))]


@inputs_of("postgres_split")
def split(chance, plain):
    width = chance.choice((0, 0, 1, 1, 2, 2, 5, 5, 16, chance.choice((99, 255, 256, 257, 1600))))
    made = [row([value(chance, None) for _ in range(width)]) for _ in range(chance.randint(0, 6 if width < 100 else 2))]
    if chance.random() < 0.4:
        made.insert(chance.randint(0, len(made)), message(chance))
    data = b"".join(made)
    begin, used = FRONT, FRONT + len(data)
    if chance.random() < 0.5 and made:  # the last one is not whole yet
        used -= chance.randint(0, len(made[-1]))
    behind = chance.choice((bytes(SPARE), chance.randbytes(SPARE), b"d\0\0\0\6\0\0" * 5))
    octets = page_of(chance.choice((bytes, chance.randbytes))(FRONT) + data + behind).u1
    if plain:
        return octets, begin, used, width
    octets = np.frombuffer(_lying(chance, octets.tobytes(), made), np.uint8).copy()
    cut = chance.choice((len(octets), len(octets), used, chance.randint(0, len(octets))))
    octets = octets[:cut].copy()
    begin = chance.choice((begin, begin, begin + chance.randint(0, 9), chance.randint(0, len(octets) + 1), 0))
    used = chance.choice((used, len(octets), len(octets), used + chance.randint(-20, 70), begin, begin + 6, begin + 7))
    used = max(6, chance.choice((used, used, used, 0, 2**31 - 1, 2**31, 2**40)))  # FRONT is more
    width = chance.choice((width, width, width, 0, 1, 32767, 65535, 65536, -1))
    return odd(chance, octets), begin, used, width


def _lying(chance, data, made):
    """Return bytes where row headers have other lengths, or other counts."""
    changed = bytearray(data)
    heads = list(FRONT + np.cumsum([0, *map(len, made)])[:-1]) if made else []
    for head in chance.sample(heads, min(len(heads), chance.randint(0, 2))):
        length = int.from_bytes(changed[head + 1 : head + 5], "big")
        lie = chance.choice((*LENGTHS, length + chance.randint(-8, 8), chance.randrange(2**24)))
        changed[head + 1 : head + 5] = (lie % 2**32).to_bytes(4, "big")
    return touched(chance, bytes(changed)) if chance.random() < 0.5 else bytes(changed)


@inputs_of("postgres_cells")
def cells(chance, plain):
    widths = widths_of(chance)
    made = copied(chance, widths)
    ends = FRONT + np.cumsum(numbers(map(len, made)))
    starts = ends - numbers(map(len, made)) + 5
    data = bytes(FRONT) + b"".join(made) + chance.choice((bytes(SPARE), b"\xff" * SPARE, chance.randbytes(SPARE)))
    if not plain:
        data = _lengths_that_lie(chance, data, starts)
        data = data[: chance.choice((len(data), len(data), int(ends[-1]) if made else FRONT))]
        widths = chance.choice((widths, widths, widths[1:], [*widths, None], [chance.choice(WIDTHS) for _ in widths]))
        if chance.random() < 0.4:
            starts, ends = places(chance, starts, len(data)), chance.choice((ends, places(chance, ends, len(data))))
        starts, ends = odd(chance, starts), odd(chance, ends)
    some = slice(chance.randint(0, 2), None) if chance.random() < 0.3 else slice(None)
    return Rows(page_of(data), starts[some], ends[some]), chance.choice((tuple, list))(widths)


def _lengths_that_lie(chance, data, starts):
    changed = bytearray(data)
    for start in chance.sample(list(map(int, starts)), min(len(starts), chance.randint(0, 2))):
        at = start + chance.choice((2, 2, 2, 6, 10, chance.randint(0, 30)))
        lie = chance.choice((*LENGTHS, *range(16), int.from_bytes(changed[at : at + 4], "big") + chance.randint(-3, 3)))
        changed[at : at + 4] = (lie % 2**32).to_bytes(4, "big")
    return touched(chance, bytes(changed), FRONT) if chance.random() < 0.4 else bytes(changed)


@inputs_of("columns_load")
def load(chance, plain):
    kind = chance.choice(("i2", "i4", "i8", "u4", "u8", "f4", "f8"))
    size, item = chance.choice((8, 9, 16, chance.randint(8, 300))), int(kind[1])
    data = chance.choice((chance.randbytes(size), b"\xff" * size, b"\x7f\xf0" * size, b"\x80" + bytes(size)))[:size]
    last = len(data) - item
    at = numbers(chance.choice((0, last, chance.randint(0, last))) for _ in range(chance.choice((0, 1, 2, 50))))
    if plain:
        return page_of(data), kind, at
    at = odd(chance, chance.choice((at, places(chance, at, len(data)), at + item)))
    return page_of(data), kind, at


@inputs_of("columns_bytes")
def texts(chance, plain):
    skip = chance.choice((0, 0, 0, 1))
    columns = [some_bytes(chance) for _ in range(chance.choice((0, 1, 2, 7, 60)))]
    if chance.random() < 0.5:
        columns = [each.decode("ascii", "ignore").encode() for each in columns]
    null = numbers((chance.random() < 0.3 for _ in columns), np.bool_) if chance.random() < 0.6 else None
    if null is not None and not null.any():
        null = None
    made = [
        b"\xff" * 4 if null is not None and null[i] else pack(">i", len(each)) + each for i, each in enumerate(columns)
    ]
    ends = FRONT + np.cumsum(numbers(map(len, made)))
    length = numbers(0 if null is not None and null[i] else len(each) for i, each in enumerate(columns))
    at = ends - length
    data = bytes(FRONT) + b"".join(made) + bytes(SPARE)
    if not plain and chance.random() < 0.5:  # the last value is the end of all
        data = data[: FRONT + sum(map(len, made)) + skip]
    page = page_of(data)
    if plain:
        return page, Cells(at, length, null), skip
    if chance.random() < 0.4 and len(at):  # in any order, twice, over each other
        order = numbers(chance.randrange(len(at)) for _ in at)
        at, length, null = at[order], length[order], null if null is None else null[order]
    if chance.random() < 0.5 and len(at):
        return _beyond(chance, page, at, length, null, skip)
    return page, Cells(odd(chance, at), odd(chance, length), null), skip


def _beyond(chance, page, at, length, null, skip):
    """Return texts of which one is outside of the page."""
    which, size = chance.randrange(len(at)), len(page.u1)
    at, length = at.copy(), length.copy()
    if chance.random() < 0.5:
        at[which] = wrong_place(chance, size)
    else:
        length[which] = chance.choice(
            (-1, -(2**31), 2**31 - 1, 2**31, 2**62, 2**63 - 1, size, size - int(at[which]) + 1)
        )
    begin = int(at[which]) + skip
    inside = begin >= 0 and max(begin, begin - skip + int(length[which])) <= size
    return (tuple if inside else Beyond)((page, Cells(odd(chance, at), odd(chance, length), null), skip))


# --- numbers ----------------------------------------------------------------------------------------------------------


def number(unscaled, scale):
    """Return a number as the server sends it."""
    text = str(abs(unscaled)).rjust(scale + 1, "0")
    whole, part = text[: len(text) - scale], text[len(text) - scale :]
    whole, part = whole.rjust(-(-len(whole) // 4) * 4, "0"), part.ljust(-(-len(part) // 4) * 4, "0")
    weight = len(whole) // 4 - 1
    digits = [int((whole + part)[at : at + 4]) for at in range(0, len(whole + part), 4)]
    while digits and digits[0] == 0:
        digits, weight = digits[1:], weight - 1
    while digits and digits[-1] == 0:
        digits.pop()
    weight = weight if digits else 0
    return pack(f">hhHh{len(digits)}h", len(digits), weight, 0x4000 if unscaled < 0 else 0, scale, *digits)


def amount(chance, precision):
    """Return an unscaled number within a decimal's digits: often at the limit of the decimal, or of a word."""
    digits = chance.choice(
        (precision, chance.randint(1, precision), min(precision, chance.choice((4, 5, 8, 16, 18, 19))))
    )
    found = chance.choice((0, 1, 10**digits - 1, 10 ** (digits - 1), chance.randrange(10**digits), 2**63 - 1, 2**63))
    return chance.choice((1, -1)) * min(found, 10**precision - 1)


@inputs_of("postgres_decimals")
def decimals(chance, plain):
    precision = chance.choice((1, 5, 12, 15, 18, 19, 38, 39, 76, chance.randint(1, 76)))
    scale = chance.choice((0, 2, precision, chance.randint(0, precision)))
    many = chance.choice((0, 1, 3, 40))
    values = [None if chance.random() < 0.2 else number(amount(chance, precision), scale) for _ in range(many)]
    if plain:
        values = [each if each is None or _is_short(each, scale) else number(0, scale) for each in values]
    else:
        values = [each if each is None or chance.random() < 0.6 else _no_number(chance, each) for each in values]
    made = [b"\xff" * 4 if each is None else pack(">i", len(each)) + each for each in values]
    at = FRONT + np.cumsum(numbers(map(len, made))) - numbers(len(each or b"") for each in values)
    null = numbers((each is None for each in values), np.bool_)
    length = numbers(len(each or b"") for each in values)
    data = bytes(FRONT) + b"".join(made)
    data += chance.choice((bytes(SPARE), b"\xff" * SPARE, chance.randbytes(SPARE)))
    width = 16 if precision <= 38 else 32
    if not plain:
        data = data[: len(data) - chance.choice((0, 0, SPARE, chance.randint(0, SPARE), SPARE + 1, SPARE + 8))]
        at = odd(chance, chance.choice((at, at, places(chance, at, len(data)))))
        scale, width = chance.choice((scale, scale, scale, 0, 76)), chance.choice((width, width, 16))
        length = odd(chance, length)
        null = odd(chance, null)
    return page_of(data), Cells(at, length, null if null.any() else None), width, scale


def _is_short(value, scale):
    """Return whether a number has up to four base-10000 digits and fits into a word: longer ones are left to Python."""
    count, weight = unpack(">hh", value[:4])
    return count <= 4 and 4 * (weight + 1) + scale <= 18


def _no_number(chance, value):
    """Return a number that is wrong: in its digits, their count, its weight or its sign; or changed anywhere."""
    count, weight, sign, scale = (int.from_bytes(value[at : at + 2], "big", signed=True) for at in (0, 2, 4, 6))
    ends = (-32768, -1, 0, 1, 4, 5, 9, 10, 32767)
    way = chance.randrange(6)
    if way == 0:
        count = chance.choice((*ends, count + 1, count - 1))
    elif way == 1:
        weight = chance.choice((*ends, weight + chance.randint(-3, 3), 18, 19, 20))
    elif way == 2:
        sign = chance.choice((0xC000, 0xD000, 0xF000, 0xC001, 0x8000, 1, 0x4001, 0xFFFF, chance.randrange(2**16)))
    elif way == 3:
        digits = [chance.choice((0, 9999, 10000, 32767, 32768, 65535, chance.randrange(2**16))) for _ in range(count)]
        return value[:8] + pack(f">{len(digits)}H", *digits)
    elif way == 4:
        return touched(chance, value)
    else:  # zeros in front of the digits, and behind them
        zeros = chance.randint(1, 3)
        return (
            pack(">hhHh", count + 2 * zeros, weight + zeros, sign & 0xFFFF, scale)
            + bytes(2 * zeros)
            + value[8:]
            + bytes(2 * zeros)
        )
    return pack(">hhHh", count, weight, sign & 0xFFFF, scale) + value[8:]
