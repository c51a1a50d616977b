"""Values that are not valid Arrow never pass from one step to the next, whatever gave them."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from osiris.errors import StepFailed
from osiris.table import finite, stream
from osiris.table.validity import clock
from osiris.types import schema_of

DAY = 86_400 * 10**6


STRING, BYTES = pa.string(), pa.binary()


def texts(*values, kind=STRING, raw=BYTES):
    """Return texts with bytes as they are."""
    return pa.array(values, raw).view(kind)


def decimals(kind, *numbers):
    """Return decimals with these numbers of their last digit."""
    content = b"".join(each.to_bytes(kind.byte_width, "little", signed=True) for each in numbers)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(content)])


def times(unit, *numbers):
    kind = pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
    return pa.array(numbers, pa.int32() if unit in ("s", "ms") else pa.int64()).view(kind)


def arrays(kind, offsets, *more, children=()):
    buffers = [None, pa.py_buffer(np.array(offsets, np.int32)), *map(pa.py_buffer, more)]
    return pa.Array.from_buffers(kind, len(offsets) - 1, buffers, children=children)


TEXTS = texts(b"caf\xe9", None, "žluť".encode())
UTF8, DIGITS, OUTSIDE = "'caf\\xe9'; it is not valid UTF-8", "it has more digits than", "it is outside of a day"
INVALID = {
    "text": (texts(b"ok", b"caf\xe9"), 2, UTF8),
    "end of a text": (texts("ž".encode()[:1], "ž".encode()[1:]), 1, "'\\xc5'; it is not"),
    "surrogate": (texts(None, b"\xed\xa0\x80"), 2, "'\\xed\\xa0\\x80'; it is not"),
    "long text": (texts(b"a" * 999, b"b" * 999 + b"\xff"), 2, f"'{'b' * 20}\\xff'; it is not"),
    "large text": (texts(b"caf\xe9", kind=pa.large_string(), raw=pa.large_binary()), 1, UTF8),
    "text view": (texts(b"ok", b"caf\xe9", kind=pa.string_view(), raw=pa.binary_view()), 2, UTF8),
    "json": (pa.ExtensionArray.from_storage(pa.json_(), texts(b"1", b"caf\xe9")), 2, UTF8),
    "dictionary": (pa.DictionaryArray.from_arrays([1, 2, 0], TEXTS), 3, UTF8),
    "list": (pa.ListArray.from_arrays([0, 0, 1, 3], TEXTS), 2, UTF8),
    "large list": (pa.LargeListArray.from_arrays([0, 0, 1, 3], TEXTS), 2, UTF8),
    "fixed list": (pa.FixedSizeListArray.from_arrays(texts(b"a", b"b", b"c", b"caf\xe9"), 2), 2, UTF8),
    "struct": (pa.StructArray.from_arrays([pa.array([1, 2, 3]), TEXTS], ["a", "b"]), 1, UTF8),
    "slice": (texts(b"ok", b"ok", b"caf\xe9").slice(1), 2, UTF8),
    "decimal": (decimals(pa.decimal128(5, 2), 99_999, 100_000), 2, f"1000.00; {DIGITS} decimal(5,2)"),
    "negative decimal": (decimals(pa.decimal128(5, 2), -(10**7)), 1, f"-100000.00; {DIGITS} decimal(5,2)"),
    "widest decimal": (decimals(pa.decimal128(38, 0), 10**38), 1, f"1{'0' * 38}; {DIGITS} decimal(38,0)"),
    "wide decimal": (decimals(pa.decimal256(40, 0), 10**40), 1, f"1{'0' * 40}; {DIGITS} decimal(40,0)"),
    "list of decimals": (pa.ListArray.from_arrays([0, 1, 2], decimals(pa.decimal128(1, 0), 1, 10)), 2, f"10; {DIGITS}"),
    "24:00": (times("us", 0, DAY), 2, f"24:00:00; {OUTSIDE}"),
    "25:00": (times("us", 90_000_000_000), 1, f"25:00:00; {OUTSIDE}"),
    "before 0:00": (times("ns", -1), 1, f"-00:00:00.000000001; {OUTSIDE}"),
    "short time": (times("ms", 86_399_999, 86_400_500), 2, f"24:00:00.5; {OUTSIDE}"),
    "struct of times": (pa.StructArray.from_arrays([times("s", 0, -3661)], ["x"]), 2, f"-01:01:01; {OUTSIDE}"),
}
BROKEN = {
    "dictionary": pa.DictionaryArray.from_arrays([0, 9], pa.array(["a", "b"]), safe=False),
    "dictionary of invalid texts": pa.DictionaryArray.from_arrays([0, 9], TEXTS, safe=False),
    "text": arrays(pa.string(), [0, 3, 1], b"abc"),
    "text that is not UTF-8": arrays(pa.string(), [0, 3, 1], b"\xff\xff\xff"),
    "negative": arrays(pa.string(), [0, -1, 3], b"abc"),
    "binary": arrays(pa.binary(), [0, 3, 1], b"abc"),
    "list": arrays(pa.list_(pa.int64()), [0, 3, 1], children=[pa.array([1, 2, 3])]),
    "list in a struct": pa.StructArray.from_arrays(
        [arrays(pa.list_(pa.int64()), [0, 3, 1], children=[pa.array([1, 2, 3])])], ["x"]
    ),
    "NULLs": pa.Array.from_buffers(pa.int64(), 1, [pa.py_buffer(b"\1"), pa.py_buffer(bytes(8))], null_count=1),
}
VALID = {
    "texts": pa.array(["a", "žluť", None, "", "😀", "\0"]),
    "no texts": pa.array([], pa.string()),
    "only NULL": pa.nulls(3, pa.string()),
    "before the invalid one": texts(b"ok", b"caf\xe9").slice(0, 1),
    "bytes": pa.array([b"caf\xe9", None]),
    "under NULL": pa.StructArray.from_arrays([TEXTS], ["x"], mask=pa.array([True, False, False])),
    "unused": pa.DictionaryArray.from_arrays([1, 2, 2], TEXTS),
    "decimals": decimals(pa.decimal128(38, 0), 10**38 - 1, 1 - 10**38),
    "times": times("us", 0, DAY - 1),
}


def read(array):
    batch = pa.record_batch({"n": pa.array([0] * len(array), pa.int64()), "x": array})
    before = pa.record_batch({"n": [1, 2], "x": pa.nulls(2, array.type)})
    return [each.num_rows for each in stream(schema_of(batch.schema), [before, batch], "fixed").batches()]


@pytest.mark.parametrize("kind", INVALID)
def test_an_invalid_value_is_named_with_its_column_and_row(kind):
    array, row, words = INVALID[kind]
    with pytest.raises(StepFailed) as caught:
        read(array)
    (found,) = caught.value.diagnostics
    assert (found.code, f"column 'x', row {row + 2}: {words}" in found.message) == ("DAT031", True), found.message


@pytest.mark.parametrize("kind", BROKEN)
def test_an_invalid_array_is_a_fault_of_its_component(kind):
    with pytest.raises(StepFailed, match=r"DAT016.*column 'x' is not valid Arrow"):
        read(BROKEN[kind])


@pytest.mark.parametrize("kind", VALID)
def test_valid_values_pass(kind):
    assert read(VALID[kind]) == [2, len(VALID[kind])]


def test_times_are_written_as_people_do():
    assert [clock(0, "s"), clock(90_000, "s"), clock(-1, "ms"), clock(360_000_000_000, "us")] == [
        "00:00:00",
        "25:00:00",
        "-00:00:00.001",
        "100:00:00",
    ]


READABLE = {
    pa.timestamp(unit, zone): (2**63 - 1) // per_unit
    for unit, per_unit in (("s", 10**6), ("ms", 10**3))
    for zone in (None, "UTC")
}
"""The greatest time of a unit whose microseconds fit 64 bits, which DuckDB computes with."""
UNITS = [f"{unit}{zone}" for unit in ("s", "ms", "us", "ns") for zone in ("", ",UTC")]
INFINITE = {
    **{
        f"timestamp[{unit}] {sign}": (pa.timestamp(*unit.split(",")), sign, 2**63 - 1)
        for unit in UNITS
        for sign in "+-"
    },
    **{f"date {sign}": (pa.date32(), sign, 2**31 - 1) for sign in "+-"},
}


def temporal(kind, *numbers):
    return pa.array(numbers, pa.int32() if kind == pa.date32() else pa.int64()).view(kind)


def given_to_duckdb(column):
    """Return the message with which these rows fail after two others, None if all pass."""
    batches = [pa.record_batch({"x": column.slice(0, 2)}), pa.record_batch({"x": column})]
    try:
        assert list(finite(batch for batch in batches)) == batches
    except StepFailed as failed:
        (found,) = failed.diagnostics
        assert found.code == "DAT031"
        return found.message
    return None


@pytest.mark.parametrize("case", INFINITE)
def test_what_is_infinite_in_duckdb_is_named_with_its_column_and_row(case):
    kind, sign, most = INFINITE[case]
    column = temporal(kind, 0, None, int(f"{sign}{most}"))
    nested = (pa.ListArray.from_arrays([0, 1, 2, 3], column), pa.StructArray.from_arrays([column], ["a"]))
    for each in (column, *nested):
        message = given_to_duckdb(each)
        assert message.startswith("column 'x', row 5: ")
        assert message.endswith("it is infinity in DuckDB")
    assert given_to_duckdb(temporal(kind, 0, None, int(f"{sign}{READABLE.get(kind, most - 1)}"))) is None


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", READABLE, ids=str)
def test_a_time_beyond_the_microseconds_of_duckdb_fails_before_duckdb_reads_it(kind, sign):
    """DuckDB stores such a time and ends with an internal error when it is read."""
    for number in (READABLE[kind] + 1, 2**62, 2**63 - 2):
        message = given_to_duckdb(temporal(kind, 0, None, sign * number))
        assert message.startswith("column 'x', row 5: ")
        assert message.endswith("it is too large for DuckDB")
    rows = pa.table({"x": temporal(kind, sign * READABLE[kind])})
    with duckdb.connect() as engine:
        engine.register("rows", rows)
        assert engine.execute("SELECT x::VARCHAR FROM rows").fetchone()
    with duckdb.connect() as engine:
        engine.register("rows", pa.table({"x": temporal(kind, sign * (READABLE[kind] + 1))}))
        with pytest.raises(duckdb.Error):
            engine.execute("SELECT x::VARCHAR FROM rows").fetchone()


@pytest.mark.parametrize("case", [case for case in INFINITE if not case.startswith(("timestamp[s", "timestamp[ms,"))])
def test_it_is_infinite_there(case):
    kind, sign, most = INFINITE[case]
    rows = pa.table({"x": temporal(kind, int(f"{sign}{most}"))})
    with duckdb.connect() as engine:
        engine.register("rows", rows)
        assert engine.execute("SELECT x::VARCHAR FROM rows").fetchone() == (f"{sign}infinity".removeprefix("+"),)
