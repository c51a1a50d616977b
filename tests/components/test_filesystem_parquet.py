"""Parquet files: every type round-trips, the same rows give the same bytes, and memory stays flat."""

import datetime as dt
import decimal
import hashlib
import subprocess
import sys
import textwrap
import uuid
from collections import Counter

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from osiris.components.filesystem_parquet_extractor.driver import Config, Driver
from osiris.components.filesystem_parquet_writer.driver import Config as WriterConfig
from osiris.components.filesystem_parquet_writer.driver import Driver as Writer
from osiris.driver import StepContext, Written
from osiris.errors import OsirisError
from osiris.families.files.parquet_files import row_groups
from osiris.model import Field
from osiris.table import stream
from osiris.types import schema_of


@pytest.fixture
def counts():
    return Counter()


@pytest.fixture
def context(tmp_path, counts):
    return StepContext("step", tmp_path, tmp_path, tmp_path, count=lambda name, value: counts.update({name: value}))


@pytest.fixture
def write(context):
    """`write(table)` checks and writes it, and returns the bytes of the file."""

    def call(table, size=None, path="file.parquet", **config):
        config = WriterConfig(path, **config)
        schema = schema_of(table.schema)
        Writer().check(config, schema, context)
        written = Writer().write(config, stream(schema, table.to_batches(size), "fixed"), context)
        content = (context.root / path).read_bytes()
        assert written == Written(table.num_rows, len(content), (path,))
        assert written.hashes == {path: hashlib.sha256(content).hexdigest()}
        return content

    return call


@pytest.fixture
def read(context):
    """`read()` returns the table that the extractor reads, with the described or a given schema."""

    def call(path="file.parquet", schema=None, **config):
        config = Config(path, **config)
        if schema is None:
            described = Driver().describe(config, context)
            assert described.order == "fixed"
            schema = described.schema
        return Driver().read(config, schema, context).reader().read_all()

    return call


def code_of(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return [found.code for found in caught.value.diagnostics]


def every_type():
    moment = dt.datetime.fromisoformat("2024-02-29T12:30:00.000001")
    columns = {
        "bool": pa.array([True, False, None]),
        **{str(kind): pa.array([1, 0, None], kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
        **{str(kind): pa.array([1, 0, None], kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
        "float32": pa.array([0.1, float("inf"), None], pa.float32()),
        "float64": pa.array([0.1, -0.0, None]),
        "decimal": pa.array([decimal.Decimal("1.50"), decimal.Decimal("-2.25"), None], pa.decimal128(38, 2)),
        "wide": pa.array([decimal.Decimal(10) ** 60, decimal.Decimal("1E-10"), None], pa.decimal256(76, 10)),
        "utf8": pa.array(["", "žlutý\x00", None]),
        "binary": pa.array([b"", b"\x00\xff", None]),
        "date": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
        "time_ms": pa.array([dt.time(1, 2, 3), dt.time(0), None], pa.time32("ms")),
        "time_ns": pa.array([dt.time(1, 2, 3), dt.time(0), None], pa.time64("ns")),
        "naive_ms": pa.array([0, 1, None], pa.timestamp("ms")),
        "naive_us": pa.array([moment, moment, None], pa.timestamp("us")),
        "naive_ns": pa.array([moment, moment, None], pa.timestamp("ns")),
        "utc": pa.array([moment, moment, None], pa.timestamp("us", "UTC")),
        "prague": pa.array([moment, moment, None], pa.timestamp("us", "Europe/Prague")),
        "uuid": pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2**127).bytes, None], pa.uuid()),
        "json": pa.array(['{"a": 1}', "[]", None], pa.json_()),
        "list": pa.array([[1, None], [], None], pa.list_(pa.int64())),
        "struct": pa.array([{"a": 1, "b": ["x"]}, {"a": None, "b": None}, None]),
        "name.with.dots": pa.array([1, 2, 3]),
    }
    return pa.table(columns)


def test_every_type_comes_back_as_it_was(write, read):
    table = every_type()
    write(table)
    found = read()
    assert schema_of(found.schema) == schema_of(table.schema)
    assert found.equals(table)


@pytest.mark.parametrize("digits", [1, 9, 10, 18, 19])
@pytest.mark.parametrize("scale", [0, 1])
def test_decimals_are_the_same_for_other_readers(write, read, context, digits, scale):
    most = decimal.Decimal(10**digits - 1).scaleb(-scale)
    table = pa.table({"a": pa.array([most, -most, 0, None] * 3, pa.decimal128(digits, scale))})
    write(table)
    file = str(context.root / "file.parquet")
    assert read().equals(table)
    assert pq.read_table(file).equals(table)
    assert duckdb.read_parquet(file).types == [f"DECIMAL({digits},{scale})"]
    assert [value for (value,) in duckdb.read_parquet(file).fetchall()] == table["a"].to_pylist()


def test_columns_without_null_stay_so(write, read):
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string())])
    write(pa.table({"a": [1], "b": ["x"]}, schema=schema))
    assert schema_of(read().schema) == (Field("a", "int64", nullable=False), Field("b", "utf8"))


def test_no_rows(write, read):
    table = every_type().slice(0, 0)
    write(table)
    assert read().equals(table)


@pytest.mark.parametrize("compression", ["snappy", "zstd", "none"])
def test_bytes_do_not_depend_on_batches(write, compression):
    table = pa.concat_tables([every_type()] * 3000)
    config = {"compression": compression, "row_group_rows": 1000}
    whole = write(table.combine_chunks(), **config)
    assert write(table, **config) == whole
    assert write(table.combine_chunks(), size=777, **config) == whole
    assert write(pa.concat_tables([table.slice(5, 3), table]).combine_chunks().slice(3), **config) == whole
    used = {column.compression for column in columns_of(whole)}
    assert used == {{"none": "UNCOMPRESSED"}.get(compression, compression.upper())}


def columns_of(content):
    footer = pq.ParquetFile(pa.BufferReader(content)).metadata
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    return [group.column(i) for group in groups for i in range(group.num_columns)]


def test_row_groups_depend_on_rows_alone():
    texts = pa.array(["x" * (i * 37 % 100) for i in range(5000)])
    lists = pa.array([[["y" * (i % 7)]] * (i % 5) if i % 11 else None for i in range(5000)])
    table = pa.table(
        {"a": texts, "b": lists, "c": pa.array(range(5000)), "d": pa.array([[1] * (i % 3) for i in range(5000)])}
    )

    def cut(size):
        parts = row_groups(iter(table.to_batches(size)), table.schema, 600, 20_000)
        return [part.num_rows for part in parts]

    whole = cut(None)
    assert sum(whole) == 5000
    assert len(set(whole)) > 1
    assert max(whole) <= 600
    assert all(cut(size) == whole for size in (1, 13, 600, 4999))


def test_a_value_larger_than_a_group_has_its_own():
    table = pa.table({"a": ["x" * 100, "y", "z" * 100, "w"]})
    assert [part.num_rows for part in row_groups(iter(table.to_batches()), table.schema, 10, 50)] == [1, 2, 1]


def test_columns_and_limit(write, read, counts):
    write(pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [True, False, None]}))
    assert read(columns=["c", "a"]).to_pydict() == {"c": [True, False, None], "a": [1, 2, 3]}
    counts.clear()
    assert read(limit=2, columns=["a"]).to_pydict() == {"a": [1, 2]}
    assert counts["rows_read"] == 2
    assert 0 < counts["bytes_read"] < 5000
    assert code_of(read, columns=["d"]) == ["DAT005"]


def test_files_of_a_pattern_follow_each_other(write, read):
    for number in (2, 1, 3):
        write(pa.table({"a": [number] * 2}), path=f"part-{number}.parquet")
    assert read("part-*.parquet").to_pydict() == {"a": [1, 1, 2, 2, 3, 3]}
    assert read("part-*.parquet", limit=3).to_pydict() == {"a": [1, 1, 2]}
    write(pa.table({"a": ["x"]}), path="part-4.parquet")
    with pytest.raises(OsirisError) as caught:
        read("part-*.parquet")
    (found,) = caught.value.diagnostics
    assert found.code == "DAT004"
    assert found.message.endswith("column 'a' is utf8, and int64 in part-1.parquet")


def test_other_encodings_of_the_same_types(read, tmp_path):
    texts = pa.array(["x", None, "x"])
    columns = {"a": texts.cast(pa.large_string()), "b": texts.dictionary_encode(), "c": texts.cast(pa.string_view())}
    pq.write_table(pa.table(columns), tmp_path / "file.parquet")
    assert read().equals(pa.table(dict.fromkeys("abc", texts)))


def test_a_source_that_is_no_longer_as_planned(write, read, context):
    write(pa.table({"a": [1], "b": [2]}))
    schema = Driver().describe(Config("file.parquet"), context).schema
    for changed in ({"a": [1]}, {"b": [2], "a": [1]}, {"a": ["x"], "b": [2]}, {"a": [1], "b": [2], "c": [3]}):
        write(pa.table(changed))
        assert code_of(read, schema=schema) == ["DAT011"]
    assert read(schema=schema[:1], columns=["a"]).to_pydict() == {"a": [1]}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\xff" * 100 + b"PAR1"])
def test_files_that_are_not_parquet(read, tmp_path, content):
    (tmp_path / "file.parquet").write_bytes(content)
    assert code_of(read) == ["DAT013"]


def test_a_damaged_file(write, read, context, tmp_path):
    content = bytearray(write(pa.table({"a": [f"text {i}" for i in range(10_000)]})))
    schema = Driver().describe(Config("file.parquet"), context).schema
    content[100:2000] = b"\xff" * 1900
    (tmp_path / "file.parquet").write_bytes(content)
    assert code_of(read, schema=schema) == ["DAT013"]


def test_names_that_appear_twice(read, tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "file.parquet")
    assert code_of(read) == ["DAT004"]


def test_nothing_to_read(read, tmp_path):
    assert code_of(read) == ["DRV001"]
    (tmp_path / "file.parquet").mkdir()
    assert code_of(read) == ["DRV005"]


@pytest.mark.parametrize("kind", ["time[s]", "timestamp[s]", "timestamp[s,UTC]", 'struct<"a":list<timestamp[s]>>'])
def test_units_that_parquet_does_not_have(context, kind):
    assert code_of(Writer().check, WriterConfig("out.parquet"), (Field("a", kind),), context) == ["CMP012"]


def test_bad_paths_and_names(context):
    check = Writer().check
    assert code_of(check, WriterConfig("a\x00b"), (Field("a", "int64"),), context) == ["DRV007"]
    assert code_of(check, WriterConfig("a"), (Field("a", "int64"), Field("a", "utf8")), context) == ["CMP012"]


def test_a_failing_input_leaves_the_old_file(context, tmp_path):
    (tmp_path / "out.parquet").write_bytes(b"old")

    def batches():
        yield from pa.table({"a": [1]}).to_batches()
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        Writer().write(WriterConfig("out.parquet"), stream((Field("a", "int64"),), batches(), "fixed"), context)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out.parquet", b"old")]


def test_a_limit_of_file_sizes_leaves_nothing(tmp_path):
    code = """
        import resource, sys
        from pathlib import Path
        import pyarrow as pa
        from osiris.components.filesystem_parquet_writer.driver import Config, Driver
        from osiris.driver import StepContext
        from osiris.errors import OsirisError
        from osiris.model import Field
        from osiris.table import stream
        root = Path.cwd()
        ctx = StepContext("step", root, root, root)
        batches = pa.table({"a": [f"text {i * i}" for i in range(400_000)]}).to_batches()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            Driver().write(Config("out.parquet"), stream((Field("a", "utf8"),), batches, "fixed"), ctx)
        except OsirisError as error:
            print([found.code for found in error.diagnostics])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "['DRV006']", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_footers_tell_how_many_rows_there_are_and_whether_all_is_as_planned(write, context, tmp_path):
    write(pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]}), path="one.parquet")
    config = Config("*.parquet")
    described = Driver().describe(config, context)
    assert (described.rows, Driver().describe(Config("*.parquet", limit=2), context).rows) == (3, 2)
    assert Driver().confirm(config, described.schema, context) == described.state
    write(pa.table({"a": [1], "b": ["x"]}), path="two.parquet")
    assert Driver().describe(config, context).rows == 4
    assert Driver().confirm(config, described.schema, context) != described.state
    write(pa.table({"a": ["1"], "b": ["x"]}), path="two.parquet")
    assert code_of(Driver().confirm, config, described.schema, context) == ["DAT011"]
    assert Driver().confirm(Config("*.parquet", columns=["b"]), described.schema[1:], context)


def test_a_file_without_columns_is_refused(read, tmp_path):
    """Neither DuckDB nor SQLite has a table without columns; CSV and JSON files without columns are refused, too."""
    pq.write_table(pa.table({}), tmp_path / "file.parquet")
    assert code_of(read) == ["DAT004"]
