"""Rows of every type as tables of Arrow, Polars, pandas and DuckDB: each value against one that was written by hand."""

import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import osiris

WIDE = Decimal("1" * 70 + ".20")
KEY = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
NOON = datetime(2024, 2, 29, 12, 0, 0, 5)  # noqa: DTZ001  naive, as in the table
PRAGUE = ZoneInfo("Europe/Prague")
NANOSECONDS = 1_709_208_000_000_000_005
"""2024-02-29 12:00:00.000000005, since 1970."""

# By type: the Arrow type and value of a column, and its value in Python; for some, what libraries give instead.
TYPES = {
    "bool": (pa.bool_(), True),
    "int8": (pa.int8(), -128),
    "int16": (pa.int16(), 32767),
    "int32": (pa.int32(), -(2**31)),
    "int64": (pa.int64(), 2**63 - 1),
    "uint8": (pa.uint8(), 255),
    "uint16": (pa.uint16(), 65535),
    "uint32": (pa.uint32(), 2**32 - 1),
    "uint64": (pa.uint64(), 2**64 - 1),
    "float32": (pa.float32(), 0.5),
    "float64": (pa.float64(), 0.1),
    "decimal(38,2)": (pa.decimal128(38, 2), Decimal("-123456789012345678901234567890123456.78")),
    "decimal(76,2)": (pa.decimal256(76, 2), WIDE),
    "utf8": (pa.string(), "žluť\x00😀"),
    "binary": (pa.binary(), b"\x00\xff"),
    "date": (pa.date32(), date(1, 1, 1)),
    "time[ms]": (pa.time32("ms"), time(23, 59, 59, 1000)),
    "time[us]": (pa.time64("us"), time(23, 59, 59, 1)),
    "timestamp[ms]": (pa.timestamp("ms"), NOON.replace(microsecond=1000)),
    "timestamp[us]": (pa.timestamp("us"), NOON),
    "timestamp[us,UTC]": (pa.timestamp("us", "UTC"), NOON.replace(tzinfo=UTC)),
    "timestamp[us,Europe/Prague]": (pa.timestamp("us", "Europe/Prague"), NOON.replace(tzinfo=PRAGUE)),
    "timestamp[us,+02:00]": (pa.timestamp("us", "+02:00"), NOON.replace(tzinfo=timezone(timedelta(hours=2)))),
    "uuid": (pa.uuid(), KEY),
    "json": (pa.json_(), '{"a":[1,null]}'),
    "list<int64>": (pa.list_(pa.int64()), [1, None]),
    'struct<"a":int64,"b c":utf8>': (pa.struct([("a", pa.int64()), ("b c", pa.string())]), {"a": 1, "b c": None}),
    "list<uuid>": (pa.list_(pa.uuid()), [KEY]),
    'struct<"w":decimal(76,2)>': (pa.struct([("w", pa.decimal256(76, 2))]), {"w": WIDE}),
}
POLARS = {"uuid": str(KEY), "decimal(76,2)": str(WIDE), "list<uuid>": [str(KEY)]}
POLARS['struct<"w":decimal(76,2)>'] = {"w": str(WIDE)}
PANDAS = {"uuid": str(KEY), "list<uuid>": [str(KEY)]}
DUCKDB = {"decimal(76,2)": str(WIDE), 'struct<"w":decimal(76,2)>': {"w": str(WIDE)}}

PIPELINE = """
oml_version: "0.1.0"
name: types
steps:
  - {id: rows, component: filesystem.parquet_extractor, mode: read, config: {path: t.parquet}}
  - {id: out, component: filesystem.parquet_writer, mode: write, config: {path: out.parquet}}
"""


def column(kind, value):
    """Return a column with a value, NULL, and the value again."""
    if isinstance(kind, pa.BaseExtensionType):
        stored = value.bytes if isinstance(value, uuid.UUID) else value
        return pa.ExtensionArray.from_storage(kind, pa.array([stored, None, stored], kind.storage_type))
    if kind == pa.list_(pa.uuid()):
        keys = column(pa.uuid(), value[0]).take(pa.array([0, 2]))
        return pa.ListArray.from_arrays(pa.array([0, None, 1, 2], pa.int32()), keys)
    return pa.array([value, None, value], kind)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The output of a pipeline for each type."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "osiris.yaml").write_text("")
    names = {f"c{number}": name for number, name in enumerate(TYPES)}
    pq.write_table(pa.table({short: column(*TYPES[name]) for short, name in names.items()}), folder / "t.parquet")
    (folder / "types.yaml").write_text(PIPELINE)
    output = osiris.run(folder / "types.yaml").output("out")
    return output, {name: short for short, name in names.items()}


def test_the_types_of_the_plan(outputs):
    output, names = outputs
    assert [each.type for each in output.schema] == [*names]
    assert output.arrow().schema.types == [kind for kind, _ in TYPES.values()]


@pytest.mark.parametrize("kind", TYPES)
def test_values(outputs, kind):
    output, names = outputs
    name, value = names[kind], TYPES[kind][1]
    assert output.arrow()[name].to_pylist() == [value, None, value]
    text = POLARS.get(kind, value)
    assert output.polars()[name].to_list() == [text, None, text]
    text = PANDAS.get(kind, value)
    first, none, last = output.pandas()[name].tolist()
    assert (first, none is pd.NA, last) == (text, True, text)
    text = DUCKDB.get(kind, value)
    assert output.duckdb().select(name).fetchall() == [(text,), (None,), (text,)]


def test_times_of_other_units(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    nanoseconds = pa.array([NANOSECONDS, None], pa.timestamp("ns"))
    pq.write_table(pa.table({"ns": nanoseconds, "t": pa.array([5, None], pa.time64("ns"))}), tmp_path / "t.parquet")
    query = "SELECT ns, t, CAST(TIMESTAMP '2024-02-29 12:00:00' AS TIMESTAMP_S) AS s FROM rows"
    (tmp_path / "types.yaml").write_text(f"""
oml_version: "0.1.0"
name: types
steps:
  - {{id: rows, component: filesystem.parquet_extractor, mode: read, config: {{path: t.parquet}}}}
  - {{id: out, component: duckdb.processor, mode: transform, config: {{query: "{query}"}}}}
""")
    output = osiris.run(tmp_path / "types.yaml").output("out")
    assert [each.type for each in output.schema] == ["timestamp[ns]", "time[ns]", "timestamp[s]"]
    frame, table = output.polars(), output.arrow()
    assert frame["ns"].to_physical().to_list() == table["ns"].cast(pa.int64()).to_pylist() == [NANOSECONDS, None]
    assert frame["t"].to_physical().to_list() == table["t"].cast(pa.int64()).to_pylist() == [5, None]
    assert frame["s"].to_list() == table["s"].to_pylist() == [NOON.replace(microsecond=0)] * 2
    assert output.pandas()["ns"][0].value == NANOSECONDS
    texts = output.duckdb().query("out", "SELECT ns::text, t::text, s::text FROM out").fetchall()
    assert texts[0] == ("2024-02-29 12:00:00.000000005", "00:00:00.000000005", "2024-02-29 12:00:00")


def test_seconds_that_polars_cannot_hold(tmp_path):
    output = osiris.python.output.Output("far", None, None, tmp_path / "far.arrow")
    table = pa.table({"s": pa.array([2**62], pa.timestamp("s"))})
    with pa.ipc.new_stream(tmp_path / "far.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(osiris.OsirisError, match=r"RUN058 .* a timestamp is out of range"):
        output.polars()
    assert output.arrow()["s"].cast(pa.int64()).to_pylist() == [2**62]


def test_rows_without_columns(tmp_path):
    output = osiris.python.output.Output("none", None, None, tmp_path / "none.arrow")
    batch = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    with pa.ipc.new_stream(tmp_path / "none.arrow", batch.schema) as writer:
        writer.write_batch(batch)
    assert (output.rows, output.columns, output.schema) == (2, (), ())
    assert output.polars().shape == output.pandas().shape == (2, 0)
    with pytest.raises(osiris.OsirisError, match=r"it has no columns, and DuckDB needs one\n +hint: use .arrow"):
        output.duckdb()
