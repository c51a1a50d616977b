"""Equal values near each other are formatted only once: the texts are those of each value by itself."""

import decimal
from itertools import pairwise

import pyarrow as pa
import pytest

from osiris.families.text_format import bounds, characters, spell
from osiris.types import arrow_type

MANY = 10_000


def one_by_one(values):
    """Return what `spell` gives for few values at a time."""
    return [text for start in range(0, len(values), 7) for text in spell(values[start : start + 7]).to_pylist()]


def numbers(first, step):
    return [None if index % 11 == 5 else first + index * step % 3_000 for index in range(MANY)]


WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@pytest.mark.parametrize("kind", WHOLE)
def test_integers_close_together_and_far_apart(kind):
    size = int(kind.lstrip("uint"))
    low = 0 if kind.startswith("u") else -(2 ** (size - 1))
    high = low + 2**size - 1
    narrow = [None if index % 11 == 5 else low + index % 200 for index in range(MANY)]
    for values in (narrow, [high - index % 200 for index in range(MANY)], [low, high] * (MANY // 2)):
        array = pa.array(values, arrow_type(kind))
        assert spell(array).to_pylist() == [None if value is None else str(value) for value in values]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["decimal(4,2)", "decimal(18,0)", "decimal(18,18)", "decimal(15,2)", "decimal(20,2)"])
@pytest.mark.parametrize("first", [-1_500, 0, 4_095, 7_000])
@pytest.mark.parametrize("step", [1, 977])
def test_decimals(kind, first, step):
    scale = arrow_type(kind).scale
    unscaled = [decimal.Decimal(n).scaleb(-scale) if n is not None else None for n in numbers(first, step)]
    array = pa.array(unscaled, pa.decimal128(38, scale)).cast(arrow_type(kind), safe=False)
    assert spell(array).to_pylist() == one_by_one(array)
    assert spell(array[3:-3]).to_pylist() == one_by_one(array)[3:-3]


def test_large_decimals_have_their_point():
    texts = [f"{whole}.{whole % 1000:03}" for whole in range(10**6, 10**9, 10**5)]
    array = pa.array(map(decimal.Decimal, texts), pa.decimal128(18, 3))
    assert len(array) > 9_000
    assert spell(array).to_pylist() == texts


@pytest.mark.parametrize("first", [-719_162, -5, 8_000, 2_929_000])
def test_dates(first):
    days = pa.array(numbers(first, 1), pa.int32()).cast(pa.date32())
    assert spell(days).to_pylist() == [None if day is None else day.isoformat() for day in days.to_pylist()]
    assert spell(days[5:]).to_pylist() == one_by_one(days)[5:]


def test_dates_beyond_those_that_can_be_spelled():
    for first in (-(2**31), 2**31 - 3_000):
        days = pa.array(numbers(first, 1), pa.int32()).cast(pa.date32())
        assert spell(days).to_pylist() == one_by_one(days)


def test_nothing_but_null():
    for kind in ("int64", "date", "decimal(5,2)"):
        assert spell(pa.nulls(MANY, arrow_type(kind))).to_pylist() == [None] * MANY


def test_bounds_are_places_among_the_characters():
    texts = pa.array(["first", "é", "", None, "last"])[1:]
    data, places = bytes(characters(texts)), bounds(texts).tolist()
    assert [data[a:b].decode() for a, b in pairwise(places)] == ["é", "", "", "last"]
    assert bounds(pa.array([], pa.string())).tolist() == [0]
