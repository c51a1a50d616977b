"""A cast text means exactly its value, or is rejected with its row and column: for any text and type.

The meaning of a text is computed with Python's decimals, dates and JSON, for `cast` and for the `dtype` of text files.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from decimal import Decimal, InvalidOperation

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.errors import OsirisError
from osiris.families.text_format import Spelling
from osiris.model import Field
from osiris.runner.worker.casts import cast_stream
from osiris.table import stream
from osiris.types import arrow_type

DIGITS = st.text("0123456789", max_size=24)
NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-", "+", " ", "0x", "00"]),
    DIGITS | st.integers(0, 2**70).map(str) | st.floats(0, allow_infinity=False, allow_nan=False).map(repr),
    st.just("") | DIGITS.map(".{}".format),
    st.sampled_from(["", "", "e1", "E+2", "e-2", "e400", "e-400", "e308", "e38", "e39", "e-45", "e-324"]),
)
WORDS = st.sampled_from(
    ["inf", "-inf", "+Infinity", "NaN", "-nan", "true", "FALSE", "1", "0", "t", "yes", "0xFF", "null", "", "é"]
)
MOMENTS = st.builds(
    "{:04}-{:02}-{:02}{}{}".format,
    st.sampled_from([0, 1, 1677, 1969, 2024, 2262, 2500, 9999, 10_000]),
    st.integers(0, 13),
    st.integers(0, 32),
    st.just("")
    | st.builds("{}{:02}:{:02}:{:02}{}".format, st.sampled_from("T t"), *[st.integers(0, 61)] * 3, st.just(""))
    | st.sampled_from(["T12:30", "T12", "T23:59:59.999999", "T23:59:59.1234567", "T00:00:00.5", " 00:00:00.123456789"]),
    st.sampled_from(["", "", "Z", "+02:00", "-0130", "+14", "+25:00", " "]),
)
DOCUMENTS = st.sampled_from(
    [
        '{"a":1}',
        '{"a":1,"a":2}',
        '[{"a":{"b":1,"b":1}}]',
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e400",
        "[1,]",
        "'a'",
        "nul",
        '"a',
    ]
)
TEXTS = NUMBERS | WORDS | MOMENTS | DOCUMENTS
UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def number(text):
    """Return the number that a text represents in decimal; None if it represents none."""
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text, re.ASCII) is None:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def means_float(kind):
    make = float if kind == "float64" else np.float32

    def means(text, value):
        if math.isnan(value):
            return text.lower().lstrip("+-") == "nan"
        if math.isinf(value) and number(text) is None:
            sign = "-" if value < 0 else ""
            return text.lower().lstrip("+") in (f"{sign}inf", f"{sign}infinity")
        shortest = repr(value) if kind == "float64" else str(make(value))
        return math.isfinite(value) and number(text) == Decimal(shortest)

    return means


def means_number(text, value):
    return number(text) == Decimal(value)


def means_bool(text, value):
    return text.lower() in (("true", "1") if value else ("false", "0"))


def means_date(text, value):
    return dt.date.fromisoformat(text[:10]) == value and len(text) == 10


def means_moment(zoned, unit):
    pattern = r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?)?(Z|[-+]\d\d(?::?\d\d)?)?"

    def means(text, value):
        day, hour, minute, second, fraction, zone = re.fullmatch(pattern, text, re.ASCII).groups()
        start = dt.date.fromisoformat(day)
        seconds = (
            (start.toordinal() - 719163) * 86400 + int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
        )
        if zone and zone != "Z":
            offset = int(zone[1:3]) * 3600 + int(zone[3:].strip(":") or 0) * 60
            seconds -= offset if zone[0] == "+" else -offset
        exact = Decimal(seconds) + Decimal(f"0.{fraction or 0}")
        earliest, latest = -62135596800, 253402300800
        return bool(zone) == zoned and Decimal(value).scaleb(-UNITS[unit]) == exact and earliest <= exact < latest

    return means


def means_document(text, value):
    def once(pairs):
        assert len({name for name, _value in pairs}) == len(pairs)
        return dict(pairs)

    def never(name):
        raise AssertionError(name)

    json.loads(text, object_pairs_hook=once, parse_constant=never)
    return text == value


KINDS = {
    **dict.fromkeys(
        ["int8", "int64", "uint8", "uint64", "decimal(5,2)", "decimal(38,9)", "decimal(76,30)"], means_number
    ),
    **{kind: means_float(kind) for kind in ("float32", "float64")},
    **{f"timestamp[{unit}]": means_moment(zoned=False, unit=unit) for unit in UNITS},
    **{f"timestamp[{unit},UTC]": means_moment(zoned=True, unit=unit) for unit in UNITS},
    "timestamp[us,Europe/Prague]": means_moment(zoned=True, unit="us"),
    "bool": means_bool,
    "date": means_date,
    "json": means_document,
    "binary": lambda text, value: text.encode() == value,
    "utf8": lambda text, value: text == value,
}
MUST = {
    "int8": ["-128", "127", "007"],
    "uint8": ["255", "0"],
    "float64": ["0.1", "1e5", "-2.5E-3", "1e308", "5e-324", "1e23", "-0", "inf", "NaN", "17", "1.50", "0e400"],
    "float32": ["0.1", "1e-45", "3.4028235e38", "16777216"],
    "decimal(5,2)": ["1.550", "1e2", "999.99"],
    "bool": ["true", "FALSE", "1", "0"],
    "date": ["0001-01-01", "9999-12-31"],
    "timestamp[us]": ["2024-02-29", "2024-02-29T12:30:00.123456"],
    "timestamp[us,UTC]": ["2024-02-29T12:30:00+02:00", "2024-02-29 12:30:00.5Z"],
    "timestamp[ns]": ["2262-04-11T23:47:16.854775807"],
    "json": ['{"a": [1, 1.50, null]}', "1e400"],
    "binary": ["é"],
}
NEVER = {
    "int8": ["0xFF", "128", "1.5", "1e0x", " 1"],
    "uint8": ["0xFF", "256"],
    "float64": [
        "1e400",
        "-1e400",
        "1e-400",
        "3e-324",
        "1.23e-322",
        "0.12345678901234567890",
        "9007199254740993",
        "1_0",
        "0x1p3",
    ],
    "float32": ["16777217", "1e39", "2e-45", "1e-46", "0.123456789"],
    "decimal(5,2)": ["1.555", "1000", "NaN", "1e-400", ".00001e-324", "1e400"],
    "date": ["0000-01-01", "2023-02-29"],
    "timestamp[us]": ["0000-12-31T23:59:59", "2024-02-29T12:30:00.1234567"],
    "timestamp[us,UTC]": ["0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00", "2024-02-29T12:30:00"],
    "timestamp[ns]": ["2500-01-01T00:00:00"],
    "json": ["NaN", "[Infinity]", '{"a":1,"a":2}', '[{"a":{"b":1,"b":1}}]', "x", ""],
}


def plain(column):
    return column.cast(pa.int64()).to_pylist() if pa.types.is_timestamp(column.type) else column.to_pylist()


def cast(texts, kind):
    batches = [pa.record_batch({"x": pa.array([text], pa.string())}) for text in texts]
    found = cast_stream(stream((Field("x", "utf8"),), batches, "fixed"), {"x": kind}, "s")
    return [value for batch in found.batches() for value in plain(batch.column(0))]


def is_meant(kind, text, value):
    try:
        return bool(KINDS[kind](text, value))
    except (AssertionError, AttributeError, TypeError, ValueError):
        return False


def check(kind, text):
    try:
        (value,) = cast([text], kind)
    except OsirisError as error:
        (found,) = error.diagnostics
        assert (found.code, "column 'x'" in found.message, "row 1:" in found.message) == ("DAT014", True, True)
    else:
        assert is_meant(kind, text, value), f"{text!r} became {value!r}"


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in MUST.items() for text in texts])
def test_exact_texts_are_cast(kind, text):
    (value,) = cast([text], kind)
    assert is_meant(kind, text, value)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NEVER.items() for text in texts])
def test_texts_that_would_become_another_value_are_refused(kind, text):
    with pytest.raises(OsirisError) as caught:
        cast([MUST[kind][0], None, text], kind)
    (found,) = caught.value.diagnostics
    assert (found.code, "column 'x'" in found.message, "row 3:" in found.message) == ("DAT014", True, True)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(KINDS)), TEXTS)
def test_any_text_keeps_its_meaning(kind, text):
    check(kind, text)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(st.sampled_from(sorted(KINDS)), TEXTS)
def test_any_text_keeps_its_meaning_many_times(kind, text):
    check(kind, text)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(KINDS.keys() - {"json", "binary", "timestamp[us,Europe/Prague]"})), TEXTS)
def test_the_cells_of_a_declared_column_keep_their_meaning(kind, text):
    found = Spelling(kind, declared=True).read(pa.array([text]))
    assert found is None or is_meant(kind, text, *plain(found)) or "[" in kind


def test_a_cast_names_the_row_of_the_whole_stream():
    texts = [str(number) for number in range(5000)]
    texts[4321] = "1e400"
    batches = [pa.record_batch({"x": pa.array(texts[first : first + 1000])}) for first in range(0, 5000, 1000)]
    found = cast_stream(stream((Field("x", "utf8"),), batches, "fixed"), {"x": "float64"}, "s")
    with pytest.raises(OsirisError) as caught:
        list(found.batches())
    assert "row 4,322: '1e400' would change" in caught.value.diagnostics[0].message


def test_types_are_those_of_arrow():
    assert all(arrow_type(kind) for kind in KINDS)
