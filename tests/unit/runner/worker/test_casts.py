import decimal
import random

import numpy as np
import pyarrow as pa
import pytest

from osiris.errors import OsirisError
from osiris.model import Field
from osiris.runner.worker.casts import cast_schema, cast_stream
from osiris.table import stream
from osiris.types import arrow_schema


def cast(values, source, target):
    schema = (Field("x", source), Field("y", "utf8"))
    columns = [pa.array(values, arrow_schema(schema).field(0).type), pa.array(["same"] * len(values))]
    batch = pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema))
    result = cast_stream(stream(schema, [batch], "fixed"), {"x": target}, "s")
    assert result.schema == (Field("x", target), Field("y", "utf8"))
    (batch,) = result.batches()
    assert batch.column(1).to_pylist() == ["same"] * len(values)
    return batch.column(0).to_pylist()


@pytest.mark.parametrize(
    ("values", "source", "target", "expected"),
    [
        ([1, None, 3], "int64", "int8", [1, None, 3]),
        (["007", None], "utf8", "int64", [7, None]),
        ([1.5, float("nan"), None], "float64", "float32", [1.5, pytest.approx(float("nan"), nan_ok=True), None]),
        ([7, 2**53], "int64", "float64", [7.0, 2.0**53]),
        ([decimal.Decimal("1.50")], "decimal(5,2)", "decimal(5,1)", [decimal.Decimal("1.5")]),
        ([12], "int64", "utf8", ["12"]),
        ([7, None], "int64", "decimal(3,2)", [decimal.Decimal("7.00"), None]),
        ([2**63 - 1], "int64", "decimal(76,50)", [decimal.Decimal(2**63 - 1)]),
        ([], "int64", "utf8", []),
        (['{"a": 1}', None, "[]"], "utf8", "json", ['{"a": 1}', None, "[]"]),
        ([["1.5", None], None, [], ["2"]], "list<utf8>", "list<float64>", [[1.5, None], None, [], [2.0]]),
        ([[["1"]], [[], ["2"]]], "list<list<utf8>>", "list<list<int64>>", [[[1]], [[], [2]]]),
        ([[1.5, float("nan")]], "list<float64>", "list<float32>", [[1.5, pytest.approx(float("nan"), nan_ok=True)]]),
        (
            [{"a": "1", "b": 2}],
            'struct<"a":utf8,"b":int64>',
            'struct<"a":int64,"b":int8>',
            [{"a": 1, "b": 2}],
        ),
        ([[{"a": "1"}]], 'list<struct<"a":utf8>>', 'list<struct<"a":int64>>', [[{"a": 1}]]),
        ([["[1]", None]], "list<utf8>", "list<json>", [["[1]", None]]),
        ([1, None], "int64", "json", ["1", None]),
        ([True, None], "bool", "json", ["true", None]),
        ([decimal.Decimal("1.50")], "decimal(5,2)", "json", ["1.50"]),
        ([decimal.Decimal("-120.00"), None], "decimal(5,2)", "int64", [-120, None]),
        ([[decimal.Decimal("7.0")]], "list<decimal(2,1)>", "list<uint64>", [[7]]),
        ([{"a": decimal.Decimal("7.0")}], 'struct<"a":decimal(2,1)>', 'struct<"a":int32>', [{"a": 7}]),
        ([{"a": 7}], 'struct<"a":int64>', 'struct<"a":decimal(2,1)>', [{"a": decimal.Decimal("7.0")}]),
        (["true"], "json", "bool", [True]),
        ([0.1, 1e20, 2.5], "float64", "decimal(40,18)", [decimal.Decimal(x) for x in ("0.1", "1E+20", "2.5")]),
        (
            [61324.02, 0.1, None],
            "float64",
            "decimal(12,2)",
            [decimal.Decimal("61324.02"), decimal.Decimal("0.10"), None],
        ),
    ],
)
def test_exact_casts(values, source, target, expected):
    assert cast(values, source, target) == expected


@pytest.mark.parametrize(
    ("values", "source", "target"),
    [
        ([300], "int64", "int8"),
        ([-1], "int64", "uint8"),
        ([0.1], "float64", "float32"),
        ([1.5], "float64", "int64"),
        ([2**53 + 1], "int64", "float64"),
        ([decimal.Decimal("1.55")], "decimal(5,2)", "decimal(5,1)"),
        ([decimal.Decimal("1.55")], "decimal(5,2)", "int64"),
        ([0.125], "float64", "decimal(5,2)"),
        ([float("inf")], "float64", "decimal(5,2)"),
        ([decimal.Decimal("0.12345678901234567890")], "decimal(38,20)", "float64"),
        ([decimal.Decimal(300)], "decimal(5,0)", "int8"),
        (["seven"], "utf8", "int64"),
        ([10], "int64", "decimal(3,2)"),
        ([2**60], "int64", "decimal(30,18)"),
        ([0.1, float("nan")], "float64", "float32"),
        (["1.50", "12345678901234567890123456789012345678901"], "json", "float64"),
        (['{"a": 1}', "x y"], "utf8", "json"),
        ([float("nan")], "float64", "json"),
        ([["1.5"], ["1e400"]], "list<utf8>", "list<float64>"),
        ([["x"]], "list<utf8>", "list<int64>"),
        ([[1], None, [2**53 + 1]], "list<int64>", "list<float64>"),
        ([[[0.1]]], "list<list<float64>>", "list<list<float32>>"),
        ([{"a": "0.1", "b": 300}], 'struct<"a":utf8,"b":int64>', 'struct<"a":utf8,"b":int8>'),
        ([{"a": "1e400"}], 'struct<"a":utf8>', 'struct<"a":float64>'),
        ([["{"]], "list<utf8>", "list<json>"),
    ],
)
def test_casts_that_would_change_a_value_fail(values, source, target):
    with pytest.raises(OsirisError) as caught:
        cast(values, source, target)
    assert [d.code for d in caught.value.diagnostics] == ["DAT014"]
    assert "column 'x'" in caught.value.diagnostics[0].message


def test_all_problems_of_a_cast_are_told():
    with pytest.raises(OsirisError) as caught:
        cast_schema((Field("amount", "int64"),), {"amuont": "int8", "amount": "money"}, "s")
    assert sorted(d.code for d in caught.value.diagnostics) == ["DAT005", "DAT012"]
    assert "did you mean 'amount'?" in [d.hint for d in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        *(("list<int64>", "utf8"), ("utf8", "list<int64>"), ("date", "bool"), ("uuid", "utf8")),
        *((kind, "json") for kind in ("binary", "list<utf8>", "date", "time[us]", "timestamp[us]", "uuid")),
        *((kind, "uuid") for kind in ("bool", "int64", "float64", "decimal(38,0)", "date", "list<utf8>")),
        *(("uuid", kind) for kind in ("bool", "int64", "float64", "decimal(38,0)", "date", "list<utf8>")),
        *(("json", kind) for kind in ("date", "time[us]", "timestamp[us]", "timestamp[us,UTC]", "uuid", "list<int64>")),
        *(("json", 'struct<"a":int64>'), ("list<json>", "list<date>")),
        *(("list<utf8>", "list<uuid>"), ("list<date>", "list<json>"), ('struct<"a":utf8>', 'struct<"b":utf8>')),
    ],
)
def test_types_that_have_no_form_in_each_other_are_told_before_there_is_a_row(source, target):
    with pytest.raises(OsirisError) as caught:
        cast_schema((Field("ids", source), Field("y", "utf8")), {"ids": target}, "s")
    (found,) = caught.value.diagnostics
    assert (found.code, found.location.pointer) == ("DAT014", "/config/cast/ids")
    assert found.message == f"step 's', column 'ids': not exact as {target}: {source} has no form in it"


@pytest.mark.parametrize(
    ("values", "source", "target", "remedy"),
    [
        (["x"], "utf8", "int64", "convert it in a SQL step: TRY_CAST gives NULL where CAST fails"),
        (["[]"], "json", "int64", "convert it in a SQL step: TRY_CAST gives NULL where CAST fails"),
        ([1.5], "float64", "int64", "round it in a SQL step"),
        ([decimal.Decimal("1.5")], "decimal(2,1)", "int64", "round it in a SQL step"),
        ([1], "timestamp[us]", "timestamp[s]", "round it in a SQL step"),
        ([2], "int64", "bool", "convert it in a SQL step"),
        ([300], "int64", "int8", "convert it in a SQL step"),
        ([b"x"], "binary", "uuid", "convert it in a SQL step"),
    ],
)
def test_the_hint_suits_the_type(values, source, target, remedy):
    with pytest.raises(OsirisError) as caught:
        cast(values, source, target)
    assert caught.value.diagnostics[0].hint == f"leave 'x' out of cast, then it stays {source}; or {remedy}"


@pytest.mark.parametrize(("digits", "scale"), [(12, 2), (18, 6), (38, 10), (38, 20), (60, 40)])
def test_a_decimal_becomes_the_nearest_float(digits, scale):
    chosen = random.Random(digits)
    values = [decimal.Decimal(chosen.randrange(-(10**15), 10**15)).scaleb(-scale) for _ in range(2000)]
    values = [value for value in values if abs(value) < 10 ** (digits - scale)]
    source = f"decimal({digits},{scale})"
    assert cast(values, source, "float64") == [float(value) for value in values]
    nested = cast([[value] for value in values], f"list<{source}>", "list<float64>")
    assert nested == [[float(value)] for value in values]
    short = [value for value in values if len(value.as_tuple().digits) < 7] + [decimal.Decimal("0.10")]
    assert cast(short, source, "float32") == np.array([str(value) for value in short]).astype("f4").tolist()
