"""MySQL's answer to a query in its text protocol, by its documentation, and invalid answers.

A packet is three bytes of length, a packet number, and the content. A row is the texts of its values, each after its
length: one byte below 251, or 252, 253 or 254 and two, three or eight more; 251 alone is NULL.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
from tests.kernels.cases import inputs_of, numbers, odd, page_of, places, some_bytes, touched

from osiris.families.sql.columnar import Cells, Rows
from osiris.families.sql.wire import FRONT, SPARE

NULL = b"\xfb"
END, ERROR = b"\xfe\0\0\2\0", b"\xff\x28\4#42000no"


def lengthened(content, mark=None):
    """Return a value after its length, in the shortest form, or in that of a mark."""
    size = len(content)
    if mark is None:
        mark = 0 if size < 251 else 252 if size < 1 << 16 else 253
    more = {0: 0, 252: 2, 253: 3, 254: 8}[mark]
    return (bytes([mark]) + size.to_bytes(more, "little") if more else bytes([size])) + content


def value(chance):
    if chance.random() < 0.2:
        return NULL
    if chance.random() < 0.05:
        return lengthened(chance.randbytes(chance.choice((250, 251, 252, 253, 254, 255, 256, 300))))
    return lengthened(some_bytes(chance))


def packet(number, content):
    return len(content).to_bytes(3, "little") + bytes([number % 256]) + content


@inputs_of("mysql_split")
def split(chance, plain):
    width, first = chance.choice((1, 1, 2, 5, 16, 300)), chance.choice((0, 3, 250, chance.randrange(256)))
    contents = [b"".join(value(chance) for _ in range(width)) for _ in range(chance.choice((0, 1, 2, 9, 40)))]
    if chance.random() < 0.3:
        contents += [chance.choice((END, ERROR))]
    if chance.random() < 0.02:
        contents.insert(chance.randint(0, len(contents)), lengthened(chance.randbytes(0x10000)))
    made = [packet(first + number, content) for number, content in enumerate(contents)]
    data = b"".join(made)
    begin, used = FRONT, FRONT + len(data)
    if chance.random() < 0.5 and made:
        used -= chance.randint(0, len(made[-1]))
    data = chance.choice((bytes, chance.randbytes))(FRONT) + data + chance.choice((bytes, chance.randbytes))(SPARE)
    if plain:
        return page_of(data).u1, begin, used
    octets = np.frombuffer(_lying(chance, data, made), np.uint8)[: chance.choice((len(data), used, len(data)))].copy()
    begin = chance.choice((begin, begin, begin, begin + chance.randint(0, 9), chance.randint(0, len(octets) + 1)))
    used = chance.choice((used, used, len(octets), used + chance.randint(-20, 40), begin, begin + 3, begin + 4))
    return odd(chance, octets), begin, max(used, FRONT)


def _lying(chance, data, made):
    """Return bytes where packet headers have other lengths or numbers, and first values other marks."""
    changed = bytearray(data)
    heads = list(FRONT + np.cumsum([0, *map(len, made)])[:-1]) if made else []
    for head in chance.sample(heads, min(len(heads), chance.randint(0, 2))):
        length = int.from_bytes(changed[head : head + 3], "little")
        lie = chance.choice((0, 1, 4, 8, 9, 0xFFFF, 0x10000, 0xFFFFFF, length + chance.randint(-6, 6)))
        way = chance.randrange(3)
        if way == 0:
            changed[head : head + 3] = (lie % 2**24).to_bytes(3, "little")
        elif way == 1:
            changed[head + 3] = (changed[head + 3] + chance.choice((1, 255, 128))) % 256
        else:
            changed[head + 4] = chance.choice((0xFB, 0xFC, 0xFD, 0xFE, 0xFF, 0))
    return touched(chance, bytes(changed)) if chance.random() < 0.4 else bytes(changed)


@inputs_of("mysql_cells")
def cells(chance, plain):
    count = chance.choice((0, 1, 2, 5, 17))
    rows = [[value(chance) for _ in range(count)] for _ in range(chance.choice((0, 1, 2, 9, 40)))]
    if not plain:
        rows = [[_long_form(chance, each) for each in row] for row in rows]
    made = [packet(number, b"".join(row)) for number, row in enumerate(rows)]
    ends = FRONT + np.cumsum(numbers(map(len, made)))
    starts = ends - numbers(map(len, made)) + 4
    data = bytes(FRONT) + b"".join(made) + chance.choice((bytes(SPARE), b"\xfb" * SPARE, chance.randbytes(SPARE)))
    if not plain:
        if chance.random() < 0.5:
            data = touched(chance, data, FRONT)
        data = data[: chance.choice((len(data), len(data), len(data) - SPARE))]
        count = chance.choice((count, count, count, count + 1, max(count - 1, 0)))
        if chance.random() < 0.4:
            starts = places(chance, starts, len(data), FRONT)
        if chance.random() < 0.2:
            ends = places(chance, ends, len(data), FRONT)
        starts, ends = odd(chance, starts), odd(chance, ends)
    some = slice(chance.randint(0, 2), None) if chance.random() < 0.3 else slice(None)
    return Rows(page_of(data), starts[some], ends[some]), count


def _long_form(chance, each):
    """Return a value whose length is in another form, or wrong; or the one mark without a meaning."""
    if chance.random() < 0.8 or each == NULL or each[0] > 250:
        return each
    content = each[1:]
    way = chance.randrange(4)
    if way == 0:
        return lengthened(content, chance.choice((252, 253, 254)))
    if way == 1:
        lie = chance.choice((0, 2**16, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 9))
        return b"\xfe" + lie.to_bytes(8, "little") + content
    return chance.choice((b"\xff", bytes([251]), bytes([min(len(content) + 1, 250)]))) + content


def column(chance, plain, texts, *, wrong=()):
    """Return a page and the cells of texts, None is NULL, as a column between others; hostile ones are changed."""
    if not plain:
        texts = [_no_text(chance, each, wrong) for each in texts]
    made = [NULL if each is None else lengthened(each) for each in texts]
    between = chance.choice((b"", b"\x03abc", b"\xfb", b"\x019", b"\x02-1"))
    ends = FRONT + np.cumsum(numbers(len(between) + len(each) for each in made))
    length = numbers(len(each or b"") for each in texts)
    at = ends - length
    null = numbers((each is None for each in texts), np.bool_)
    front = chance.choice((bytes(FRONT), b"9" * FRONT, chance.randbytes(FRONT)))
    data = front + b"".join(between + each for each in made) + chance.choice((bytes(SPARE), b"9" * SPARE, b"." * SPARE))
    if not plain:
        data = data[: len(data) - chance.choice((0, 0, SPARE, SPARE, SPARE + 1))]
        if chance.random() < 0.3:
            at = np.where(null, at, places(chance, at, len(data), FRONT))  # the bytes of a NULL are never read
        if chance.random() < 0.2:
            length = np.where(null, length, _lengths(chance, length))
        at, length, null = odd(chance, at), odd(chance, length), odd(chance, null)
    return page_of(data), Cells(at, length, null if null.any() else None)


def _lengths(chance, length):
    changed = length.copy()
    for _ in range(2 if len(changed) else 0):
        which = chance.randrange(len(changed))
        beside = min(max(int(changed[which]), -9), 99) + chance.choice((-1, 1))
        changed[which] = chance.choice((-1, 0, 1, 8, 9, 16, 20, 21, 2**31, 2**63 - 1, -(2**63), beside, beside))
    return changed


def _no_text(chance, text, wrong):
    way = chance.randrange(10)
    if text is None or way > 4:
        return text
    if way == 0 and wrong:
        return chance.choice(wrong)
    if way == 1:
        return touched(chance, text)
    if way == 2:
        return text[: chance.randint(0, len(text))]
    if way == 3:
        at = chance.randint(0, len(text))
        return text[:at] + chance.choice((b"-", b"+", b" ", b".", b"0", b"\0", b"e", b":", b"/", b"9" * 9)) + text[at:]
    return chance.choice((b"", b"-", b"--1", b"+1", b".", b"-.", b"9" * 20, b"1e5", b"NULL", b"\xff" * 8, text + text))


def some(chance, make, most=40):
    """Return values, and sometimes NULL everywhere or nowhere."""
    share = chance.choice((0, 0, 0.2, 1))
    return [None if chance.random() < share else make() for _ in range(chance.choice((0, 1, 2, 9, most)))]


@inputs_of("mysql_integers")
def integers(chance, plain):
    native = np.dtype(chance.choice(("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")))
    low, high = np.iinfo(native).min, np.iinfo(native).max
    high = min(high, 10**19 - 1) if plain else high  # a twin leaves numbers of more than 19 digits
    width, digits = chance.choice((0, 0, 0, 5, 10)), chance.randint(1, 19)

    def one():
        drawn = chance.randrange(10 ** chance.randint(1, digits)) * chance.choice((1, 1, -1))
        number = chance.choice((0, low, high, min(max(drawn, low), high), min(max(drawn, low), high)))
        return (
            str(number).rjust(width, "0" if number >= 0 else "").encode() if width and number >= 0 else b"%d" % number
        )

    page, found = column(chance, plain, some(chance, one), wrong=(b"%d" % (high + 1), b"%d" % (low - 1), b"9" * 30))
    return page, found, native


@inputs_of("mysql_decimals")
def decimals(chance, plain):
    precision = chance.choice((1, 5, 8, 9, 12, 15, 18, chance.randint(1, 18)))
    scale = min(chance.choice((0, 2, precision, chance.randint(0, precision))), 17 if plain else 18)

    def one():
        unscaled = chance.choice((0, 1, 10**precision - 1, chance.randrange(10**precision), chance.randrange(100)))
        text = str(min(unscaled, 10**precision - 1)).rjust(scale + 1, "0")
        sign = "-" if unscaled and chance.random() < 0.3 else ""
        return (sign + (text[:-scale] + "." + text[-scale:] if scale else text)).encode()

    wrong = (
        b"1.5",
        b"1234567",
        b"12-50",
        b"123456789.5",
        b".50",
        b"-.50",
        b"1.2.3",
        b"99999999999999999999.99",
        b"1,50",
    )
    page, found = column(chance, plain, some(chance, one), wrong=wrong)
    return page, found, scale if plain else chance.choice((scale, scale, scale, 0, 7, 8, 18))


DAYS = (
    *(b"0000-00-00", b"0000-01-01", b"2024-00-10", b"2024-02-00", b"2023-02-29", b"1900-02-29", b"2024-02-30"),
    *(
        b"2024-13-01",
        b"2024-99-99",
        b"2024-04-31",
        b"9999-12-32",
        b"20240101",
        b"2024-1-1",
        b"2024/01/01",
        b"99999-1-01",
    ),
)


def day(chance):
    ends = ("0001-01-01", "9999-12-31", "1970-01-01", "1969-12-31", "2000-02-29", "1900-02-28", "2024-02-29")
    drawn = dt.date.fromordinal(chance.randint(1, dt.date.max.toordinal())).isoformat()
    return chance.choice((*ends, drawn, drawn, drawn)).encode()


def clock(chance, digits):
    drawn = f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"
    part = str(chance.choice((0, 1, 10**digits - 1, chance.randrange(10**digits)))).rjust(digits, "0") if digits else ""
    return (chance.choice(("00:00:00", "23:59:59", drawn, drawn)) + (f".{part}" if digits else "")).encode()


@inputs_of("mysql_dates")
def dates(chance, plain):
    return column(chance, plain, some(chance, lambda: day(chance)), wrong=(*DAYS, b"-001-01-01", b"20\xb24-01-01"))


@inputs_of("mysql_moments")
def moments(chance, plain):
    digits = chance.choice((0, 0, 1, 3, 6, chance.randint(0, 6)))
    times = (b"24:00:00", b"99:99:99", b"23:59:60", b"00:00:00.1234567", b"00:00:00.", b"aa:bb:cc", b"1:2:3", b"")
    wrong = [chance.choice((*DAYS, b"2024-02-29")) + b" " + chance.choice((*times, b"00:00:00")) for _ in range(5)]
    page, found = column(
        chance, plain, some(chance, lambda: day(chance) + b" " + clock(chance, digits)), wrong=(*wrong, *DAYS)
    )
    return page, found


@inputs_of("mysql_times")
def times(chance, plain):
    digits = chance.choice((0, 0, 1, 3, 6, chance.randint(0, 6)))
    wrong = (
        *(b"24:00:00", b"838:59:59.999999", b"-00:00:00.000001", b"-01:00:00", b"100:00:00", b"23:60:00", b"23:59:60"),
        *(b"00:00:00.1234567", b"00:00:00.", b"0:00:00", b"aa:bb:cc", b"00-00-00", b"00:00", b"::"),
    )
    return column(chance, plain, some(chance, lambda: clock(chance, digits)), wrong=wrong)
