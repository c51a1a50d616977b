"""The first rows of a stream, and values as JSON."""

import json
from decimal import Decimal

import pyarrow as pa
import pytest

from osiris.model import Field
from osiris.runner.worker.preview_rows import json_values, sampled
from osiris.table import stream

UUID = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, None], pa.binary(16)))
JSON = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1.10}', None]))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (pa.array([1.5, None, float("nan"), float("inf"), 0.1]), [1.5, None, "NaN", "inf", 0.1]),
        (pa.array([0.1], pa.float32()), [0.1]),
        (pa.array([2**63, None], pa.uint64()), [2**63, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array(["", None]), ["", None]),
        (pa.array([Decimal("1.20"), None], pa.decimal128(38, 2)), ["1.20", None]),
        (pa.array([Decimal(10) ** 60], pa.decimal256(76, 3)), ["1" + "0" * 60 + ".000"]),
        (pa.array([0, None], pa.date32()), ["1970-01-01", None]),
        (pa.array([-(10**8)], pa.date32()), ["-100000000 since 1970"]),
        (pa.array([10**18 + 1], pa.timestamp("ns")), ["2001-09-09T01:46:40.000000001"]),
        (pa.array([0], pa.timestamp("us", "UTC")), ["1970-01-01T00:00:00Z"]),
        (pa.array([5], pa.time64("ns")), ["00:00:00.000000005"]),
        (pa.array([b"\x00a", None]), ["0061", None]),
        (UUID, ["30303030-3030-3030-3030-303030303030", None]),
        (JSON, ['{"a": 1.10}', None]),
        (pa.array([[9], [1, None], None, []], pa.list_(pa.int64())).slice(1), [[1, None], None, []]),
        (pa.array([{"a": Decimal("1.2"), "b": [b"x"]}, None]), [{"a": "1.2", "b": ["78"]}, None]),
    ],
)
def test_values_are_told_exactly(values, told):
    assert json_values(values) == told
    json.dumps(told, allow_nan=False)


def batches(*sizes):
    at = 0
    for size in sizes:
        yield pa.RecordBatch.from_pydict({"n": pa.array(range(at, at + size), pa.int64())})
        at += size


@pytest.mark.parametrize(
    ("sizes", "most", "cut"),
    [((3, 3), 6, 0), ((3, 3), 5, 1), ((3, 3), 3, 1), ((3, 0), 3, 0), ((), 3, 0), ((3, 3, 3), 1, 1)],
)
def test_sample_ends_where_it_is_cut(sizes, most, cut):
    cuts = []
    source = stream((Field("n", "int64"),), batches(*sizes), "fixed")
    rows = [n for batch in sampled(source, most, lambda: cuts.append(1)).batches() for n in batch["n"].to_pylist()]
    assert (rows, len(cuts)) == (list(range(min(most, sum(sizes)))), cut)
