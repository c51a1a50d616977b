"""Columns of MySQL's rows: short values, long ones and signs, alone and together, are the sent numbers."""

import datetime as dt
import decimal
import random

import numpy as np
import pyarrow as pa
import pytest

from osiris.families.mysql.decode import cells_of, dates, decimals, integers
from osiris.families.sql.columnar import InvalidCell, Page, Rows, bytes_of
from osiris.families.sql.wire import FRONT, SPARE
from osiris.types import arrow_type


def decoded(decode, values):
    """Return the column of the texts `values`, None is NULL, between two other columns."""
    rows = [
        b"\3abc" + (b"\xfb" if text is None else bytes([len(text.encode())]) + text.encode()) + b"\1z"
        for text in values
    ]
    sizes = np.array([len(row) for row in rows], np.int64)
    ends = FRONT + np.cumsum(sizes)
    page = Page(bytearray(b"9" * FRONT + b"".join(rows) + b"9" * SPARE))
    return decode(page, cells_of(Rows(page, ends - sizes, ends), 3)[1])


def mixes(values):
    """Yield the values alone, together, and with NULL between them."""
    yield from ([value] for value in values)
    yield values
    yield [each for value in values for each in (None, value)]
    yield [None] * 3


@pytest.mark.parametrize("most", [2, 8, 9, 16, 19])
@pytest.mark.parametrize("signed", [False, True])
def test_integers(most, signed):
    chance = random.Random(most)
    found = [chance.randrange(10 ** chance.randint(0, most - 1), 10**most) % 2**63 for _ in range(50)]
    values = [-value if signed and value % 2 else value for value in found] + [0]
    for given in mixes(values):
        text = [None if value is None else str(value) for value in given]
        assert decoded(integers("int64"), text).to_pylist() == given


def test_the_ends_of_each_width():
    for bits in (8, 16, 32, 64):
        ends = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
        assert decoded(integers(f"int{bits}"), list(map(str, ends))).to_pylist() == ends
        assert decoded(integers(f"uint{bits}"), [str(2**bits - 1), "0"]).to_pylist() == [2**bits - 1, 0]


def test_zeros_in_front_do_not_matter():
    assert decoded(integers("uint32"), ["0000000042", "0007"]).to_pylist() == [42, 7]
    assert decoded(integers("uint32"), ["00042", "7"]).to_pylist() == [42, 7]


@pytest.mark.parametrize("scale", range(19))
@pytest.mark.parametrize("digits", [1, 7, 8, 9, 18])
@pytest.mark.parametrize("signed", [False, True])
def test_decimals(scale, digits, signed):
    digits = max(digits, scale, 1)
    chance = random.Random(f"{scale} {digits}")
    whole = [chance.randrange(10**digits) for _ in range(20)] + [0, 10**digits - 1]
    values = [decimal.Decimal(-n if signed and n % 3 == 1 else n).scaleb(-scale) for n in whole]
    for given in mixes(values):
        text = [None if value is None else f"{value:.{scale}f}" for value in given]
        array = decoded(decimals(f"decimal({digits},{scale})"), text)
        array.validate(full=True)
        assert array.type == arrow_type(f"decimal({digits},{scale})")
        assert array.to_pylist() == given


@pytest.mark.parametrize("text", ["1.5", "1234567", "12-50", "123456789.5"])
def test_a_decimal_without_the_digits_of_its_scale_is_refused(text):
    with pytest.raises(ValueError, match="digits of its scale"):
        decoded(decimals("decimal(12,2)"), ["0.04", text])


def test_dates():
    chance = random.Random(1)
    days = [dt.date.min, dt.date.max, dt.date(2000, 2, 29), dt.date(1999, 12, 31)]
    days += [dt.date.fromordinal(chance.randrange(1, dt.date.max.toordinal())) for _ in range(500)]
    for given in ([day] for day in days):
        assert decoded(dates, [day.isoformat() for day in given]).to_pylist() == given
    with_null = [each for day in days for each in (day, None)]
    assert decoded(dates, [day and day.isoformat() for day in with_null]).to_pylist() == with_null


@pytest.mark.parametrize("text", ["0000-00-00", "2001-02-29", "2024-00-10", "2024-01-00", "2024-04-31", "0000-01-01"])
def test_days_that_are_none_are_told(text):
    with pytest.raises(InvalidCell) as caught:
        decoded(dates, ["2024-02-29", None, text])
    assert (caught.value.row, caught.value.value) == (2, text)


def test_texts():
    values = ["plain", "", "é", "日本", "\0", None]
    for given in mixes(values[:-1]):
        assert decoded(bytes_of("utf8", not_utf8="it is not UTF-8"), given) == pa.array(given, pa.string())


@pytest.mark.parametrize("size", [0, 1, 250, 251, 252, 253, 254, 255, 256, 0xFFFF, 0x10000, 0x10001])
def test_a_text_may_be_as_long_as_a_mark_of_lengths(size):
    sizes = (size, 253, 3, None, 254, 252, size)
    contents = [None if each is None else b"x" * each for each in sizes]
    rows = [b"\1a" + (b"\xfb" if each is None else lengthened(each)) + b"\2bc" for each in contents]
    ends = FRONT + np.cumsum(np.array([len(row) for row in rows], np.int64))
    page = Page(bytearray(bytes(FRONT) + b"".join(rows) + bytes(SPARE)))
    starts = ends - np.array([len(row) for row in rows], np.int64)
    found = bytes_of("binary")(page, cells_of(Rows(page, starts, ends), 3)[1])
    assert found.to_pylist() == contents


def lengthened(content):
    """Return bytes after their length, as in the protocol."""
    size = len(content)
    if size < 251:
        return bytes([size]) + content
    mark, more = (252, 2) if size < 1 << 16 else (253, 3)
    return bytes([mark]) + size.to_bytes(more, "little") + content
