"""SQL over the outputs of other steps, as a stream."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.patience import SOON

from osiris.components.duckdb_processor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError, fail
from osiris.model import Field
from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.table import stream
from osiris.types import arrow_schema

NUMBERS = (Field("id", "int64"), Field("part", "utf8"), Field("share", "float64"))
SIZE = 50_000


@pytest.fixture
def ctx(tmp_path):
    def make(**changes):
        return StepContext("sum", tmp_path, tmp_path, tmp_path / "scratch", **changes)

    return make


def rows(schema, columns, order="fixed"):
    arrow = arrow_schema(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, arrow, strict=True)]
    return stream(schema, iter([pa.record_batch(arrays, schema=arrow)]), order)


def numbers(batches=4, order="fixed"):
    def made():
        parts = pa.array([f"p{number % 10}" for number in range(SIZE)])
        shares = pa.array([number / SIZE for number in range(SIZE)])
        for number in range(batches):
            ids = pa.array(range(number * SIZE, (number + 1) * SIZE))
            yield pa.record_batch([ids, parts, shares], schema=arrow_schema(NUMBERS))

    return stream(NUMBERS, made(), order)


def transform(query, inputs, ctx):
    """Describe and run a query; returns the schema, the order, and the resulting table."""
    described = Driver().describe(Config(query), {name: source.schema for name, source in inputs.items()}, ctx)
    output = Driver().transform(Config(query), inputs, described.schema, ctx)
    table = pa.Table.from_batches(output.batches(), arrow_schema(described.schema))
    assert output.schema == described.schema
    return described, output.order, table


def problems(query, inputs, ctx):
    with pytest.raises(OsirisError) as caught:
        transform(query, inputs, ctx)
    return caught.value.diagnostics


@pytest.mark.parametrize("name", ["df", "input_df", "numbers", "df_numbers", "load_it", "df_load_it", "LOAD_IT"])
def test_names_of_a_single_input(name, ctx):
    _, _, table = transform(
        f"SELECT count(*) AS n FROM {name}", {"numbers": numbers(1)}, ctx(sources={"numbers": "load-it"})
    )
    assert table.to_pylist() == [{"n": SIZE}]


def test_names_of_several_inputs(ctx):
    inputs = {"a": rows((Field("id", "int64"),), [[1, 2]]), "b": rows((Field("id", "int64"),), [[2, 3]])}
    _, _, table = transform("SELECT a.id FROM df_a AS a JOIN b ON a.id = b.id", inputs, ctx())
    assert table.to_pylist() == [{"id": 2}]
    for name in ("df", "input_df"):
        assert problems(f"SELECT * FROM {name}", inputs, ctx())[0].code == "SQL006"


def test_names_that_clash(ctx):
    inputs = {"a-b": rows((Field("id", "int64"),), [[1]]), "a_b": rows((Field("id", "int64"),), [[1]])}
    (found,) = problems("SELECT 1 AS x", inputs, ctx())
    assert found.code == "CMP010"


def test_no_inputs(ctx):
    described, order, table = transform("SELECT i, i * i AS square FROM range(3) AS t(i)", {}, ctx())
    assert (described.order, order) == ("kept", "fixed")
    assert table.to_pylist() == [{"i": 0, "square": 0}, {"i": 1, "square": 1}, {"i": 2, "square": 4}]


def test_order_is_total(ctx):
    schema = (Field("key", "int64"), Field("text", "utf8"))
    described, order, table = transform(
        "SELECT key, text FROM df ORDER BY key", {"x": rows(schema, [[1, 1, 0], ["b", "a", "c"]])}, ctx()
    )
    assert (described.order, order) == ("fixed", "fixed")
    assert table["text"].to_pylist() == ["c", "a", "b"]


@pytest.mark.parametrize(("given", "found"), [("fixed", "fixed"), ("free", "free")])
def test_rows_that_pass_through_keep_their_order(given, found, ctx):
    described, order, table = transform("SELECT id FROM df WHERE share >= 0.5", {"x": numbers(8, given)}, ctx())
    assert (described.order, order) == ("kept", found)
    ids = table["id"].combine_chunks()
    assert len(ids) == 8 * SIZE // 2
    assert pc.all(pc.greater(ids.slice(1), ids.slice(0, len(ids) - 1))).as_py()


def test_texts_that_tie_under_a_collation_have_no_order(ctx):
    text = rows((Field("a", "utf8"),), [["b", "B", "a"]])
    described, order, _ = transform("SELECT a COLLATE NOCASE AS a FROM df ORDER BY a", {"x": text}, ctx())
    assert (described.order, order) == ("free", "free")


def test_order_is_kept_only_if_no_input_is_without(ctx):
    inputs = {"x": numbers(1), "y": numbers(1, "free")}
    described, order, _ = transform("SELECT id FROM x", inputs, ctx())
    assert (described.order, order) == ("kept", "free")


def test_groups_have_no_order(ctx):
    described, order, _ = transform("SELECT part, count(*) AS n FROM df GROUP BY part", {"x": numbers(1)}, ctx())
    assert (described.order, order) == ("free", "free")


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("SELECT count(*) AS n FROM df AS a JOIN df AS b ON a.id = b.id", SIZE),
        ("SELECT count(*) AS n FROM df WHERE id IN (SELECT id FROM input_df WHERE id < 10)", 10),
        ("WITH x AS (SELECT id FROM df) SELECT count(*) AS n FROM x AS a JOIN x AS b ON a.id = b.id + 1", SIZE - 1),
        (
            """WITH RECURSIVE r AS (
                 SELECT 0 AS id UNION ALL SELECT d.id FROM df AS d JOIN r ON d.id = r.id + 1 WHERE d.id < 5
               ) SELECT count(*) AS n FROM r""",
            5,
        ),
        ("SELECT count(*) AS n FROM (SELECT id, count(*) OVER (PARTITION BY part) AS c FROM df) WHERE c > 1", SIZE),
        ("SELECT count(*) AS n FROM df AS a WHERE EXISTS (SELECT 1 FROM x AS b WHERE b.id = a.id + 1)", SIZE - 1),
    ],
)
def test_an_input_that_is_read_more_than_once(query, count, ctx):
    _, _, table = transform(query, {"x": numbers(1)}, ctx())
    assert table.to_pylist() == [{"n": count}]


def test_an_input_that_is_read_once_is_not_kept(ctx):
    pulled = []

    def watched():
        for batch in numbers(40).batches():
            pulled.append(batch.num_rows)
            yield batch

    output = Driver().transform(
        Config("SELECT id FROM df"), {"x": stream(NUMBERS, watched(), "fixed")}, (Field("id", "int64"),), ctx()
    )
    assert pulled == []
    batches = output.batches()
    next(batches)
    assert 0 < len(pulled) < 40
    assert sum(batch.num_rows for batch in batches) + 2 * SIZE >= 39 * SIZE


def test_values_of_every_type(ctx):
    query = """
        SELECT true AS b, 1::TINYINT AS i8, 18446744073709551615::UBIGINT AS u64, 1.5::FLOAT AS f,
          1.50::DECIMAL(5, 2) AS d,
          sum(id) AS big, 'ž' AS s, 'a'::BLOB AS bin, DATE '2024-02-29' AS day, TIME '01:02:03.5' AS t,
          TIMESTAMP '2024-02-29 01:02:03' AS ts, TIMESTAMP_NS '2024-02-29 01:02:03.123456789' AS ns,
          TIMESTAMPTZ '2024-02-29 01:02:03+01' AS tz, '00000000-0000-0000-0000-000000000001'::UUID AS u,
          '{"a":1}'::JSON AS j, [true, NULL] AS l, {'x': [false]} AS st,
          'a'::ENUM('a') AS e, NULL AS n, [1, 2]::INT[2] AS arr
        FROM df
    """
    described, _, table = transform(query, {"x": rows((Field("id", "int64"),), [[2**62, 2**62, 2**62]])}, ctx())
    assert table.schema.equals(arrow_schema(described.schema))
    (row,) = table.drop_columns(["ns", "u"]).to_pylist()
    assert row == {
        "b": True,
        "i8": 1,
        "u64": 2**64 - 1,
        "f": 1.5,
        "d": decimal.Decimal("1.50"),
        "big": decimal.Decimal(3 * 2**62),
        "s": "ž",
        "bin": b"a",
        "day": dt.date(2024, 2, 29),
        "t": dt.time(1, 2, 3, 500000),
        "ts": dt.datetime.fromisoformat("2024-02-29T01:02:03"),
        "tz": dt.datetime(2024, 2, 29, 0, 2, 3, tzinfo=dt.UTC),
        "j": '{"a":1}',
        "l": [True, None],
        "st": {"x": [False]},
        "e": "a",
        "n": None,
        "arr": [1, 2],
    }
    assert str(table["ns"][0].cast(pa.utf8())) == "2024-02-29 01:02:03.123456789"
    assert str(table["u"][0].as_py()) == "00000000-0000-0000-0000-000000000001"


FILTERS = (
    "f > 1",
    "f = 0.0",
    "f = 'NaN'::DOUBLE",
    "f <> 1",
    "f IS NULL",
    "f IN (1.0, 'NaN'::DOUBLE)",
    "d > 1.1",
    "d = 1.1",
    "s > 'a'",
    "u > 9223372036854775807",
    "NOT f > 1",
    "f BETWEEN 0 AND 1",
)


@pytest.mark.parametrize("condition", FILTERS)
def test_a_streamed_input_is_filtered_as_a_loaded_one(condition, ctx):
    """Comparisons are DuckDB's: NaN is equal to itself and greater than all numbers, NULL is neither."""
    schema = (
        Field("f", "float64"),
        Field("d", "decimal(12,2)"),
        Field("s", "utf8"),
        Field("u", "uint64"),
        Field("n", "int64"),
    )
    money = [decimal.Decimal(text) for text in ("1.10", "2.00", "-3.00", "9999999999.99")]
    columns = [
        [1.0, math.nan, None, -0.0, math.inf],
        [money[0], None, *money[1:]],
        ["a", None, "ä", "", "z"],
        [1, 2, 3, 4, 2**64 - 1],
        [0, 1, 2, 3, 4],
    ]
    once = transform(f"SELECT n FROM df WHERE {condition} ORDER BY n", {"x": rows(schema, columns)}, ctx())[2]
    twice = transform(
        f"SELECT n FROM df WHERE {condition} AND (SELECT count(*) FROM df) = 5 ORDER BY n",
        {"x": rows(schema, columns)},
        ctx(),
    )[2]
    assert once.to_pylist() == twice.to_pylist()


def test_bound_values(ctx):
    bindings = {
        "run_id": "r-1",
        "run_started_at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "param_token": Secret("abc'--"),
    }
    query = "SELECT $run_id AS r, $run_started_at AS t, $param_token AS p, id FROM df"
    described, _, table = transform(query, {"x": rows((Field("id", "int64"),), [[7]])}, ctx(bindings=bindings))
    assert [field.type for field in described.schema] == ["utf8", "timestamp[us,UTC]", "utf8", "int64"]
    assert table.to_pylist() == [{"r": "r-1", "t": bindings["run_started_at"], "p": "abc'--", "id": 7}]


def test_a_query_is_checked_where_it_runs(ctx):
    with pytest.raises(OsirisError) as caught:
        Driver().transform(Config("SELECT * FROM read_text('/etc/passwd')"), {}, (Field("content", "utf8"),), ctx())
    assert [found.code for found in caught.value.diagnostics] == ["SQL005"]


def test_another_schema_than_planned(ctx):
    output = Driver().transform(Config("SELECT id FROM df"), {"x": numbers(1)}, (Field("id", "utf8"),), ctx())
    with pytest.raises(OsirisError) as caught:
        next(output.batches())
    (found,) = caught.value.diagnostics
    assert (found.code, "'id' utf8" in found.message, "'id' int64" in found.message) == ("DAT011", True, True)


def test_a_value_that_does_not_compute(ctx):
    (found,) = problems("SELECT CAST(part AS INT) AS x FROM df", {"x": numbers(1)}, ctx())
    assert (found.code, found.location.line) == ("SQL011", 2)
    assert "p0" in found.message
    assert "memory" not in found.message


def test_a_sum_beyond_38_digits(ctx):
    query = "SELECT 170141183460469231731687303715884105727::HUGEINT AS x FROM df"
    (found,) = problems(query, {"x": numbers(1)}, ctx())
    assert found.code == "SQL011"


@pytest.mark.parametrize("query", ["SELECT sum(id) AS s FROM df", "SELECT count(*) AS n FROM df AS a, df AS b"])
def test_what_an_input_raises_comes_out_as_it_was(query, ctx):
    def broken():
        yield from numbers(1).batches()
        fail("DAT003", file="x.csv", offset=7, encoding="utf-8")

    (found,) = problems(query, {"x": stream(NUMBERS, broken(), "fixed")}, ctx())
    assert found.code == "DAT003"


def test_cancelling_interrupts_the_engine(ctx):
    asked = []
    started = time.monotonic()
    query = "SELECT count(*) AS n FROM range(1000000000) AS a(i), range(1000) AS b(j) WHERE i + j = 7"
    (found,) = problems(query, {}, ctx(cancelled=lambda: len(asked) == 5 or asked.append(1)))
    assert found.code == "RUN003"
    assert time.monotonic() - started < SOON


def test_no_thread_is_left(ctx):
    before = threading.active_count()
    for _ in range(3):
        output = Driver().transform(Config("SELECT id FROM df"), {"x": numbers(20)}, (Field("id", "int64"),), ctx())
        batches = output.batches()
        next(batches)
        batches.close()
        del output, batches
    assert threading.active_count() == before


def test_a_chain_of_processors(ctx):
    source = numbers(10)
    for _ in range(5):
        source = Driver().transform(Config("SELECT id + 1 AS id, part, share FROM df"), {"x": source}, NUMBERS, ctx())
    total, ids = 0, []
    for batch in source.batches():
        total += batch.num_rows
        ids.append(batch["id"][0].as_py())
    assert (total, ids[0], ids == sorted(ids)) == (10 * SIZE, 5, True)


LIMITED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from osiris.components.duckdb_processor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
folder = Path(sys.argv[1])
ctx = StepContext("big", folder, folder, folder / "scratch", memory=256 << 20, threads=2)
config = Config(sys.argv[2])
try:
    schema = Driver().describe(config, {}, ctx).schema
    rows = sum(batch.num_rows for batch in Driver().transform(config, {}, schema, ctx).batches())
    print("rows", rows)
except OsirisError as error:
    print(*(str(found) for found in error.diagnostics))
print("left", sorted(path.name for path in (folder / "scratch").glob("*")) if (folder / "scratch").exists() else [])
"""


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT list_sum(range(3000000000)) AS x", "RUN013 step 'big' exceeded the memory limit of 268 MB"),
        ("SELECT list(i) AS x FROM range(100000000) AS t(i)", "RUN013 step 'big' exceeded the memory limit of 268 MB"),
        ("SELECT md5(i::VARCHAR) AS x FROM range(3000000) AS t(i) ORDER BY x", "rows 3000000"),
    ],
)
def test_memory(query, said, tmp_path):
    """In a separate process, because only the limits of the process include what DuckDB allocates."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), query], capture_output=True, text=True, timeout=120, check=True
    )
    told = done.stdout.splitlines()
    assert told[0].startswith(said) or said in told[0]
    assert told[1] == "left []"
    assert "SET " not in done.stdout


def test_spec_and_driver_agree():
    spec = load_registry().get("duckdb.processor")
    assert list(spec.config["properties"]) == list(Config.__dataclass_fields__)
    assert spec.config["properties"]["query"]["x-sql"] == "duckdb"
    assert (spec.inputs, spec.output, spec.modes) == ((0, None), True, ("transform",))


def test_examples_of_the_spec_run(ctx):
    orders = (
        Field("id", "int64"),
        Field("customer_id", "int64"),
        Field("amount", "decimal(12,2)"),
        Field("region", "utf8"),
        Field("updated_at", "date"),
    )
    customers = (Field("id", "int64"), Field("name", "utf8"))
    for example in load_registry().get("duckdb.processor").examples:
        query = example["config"]["query"]
        inputs = {"orders": orders, "customers": customers} if "df_orders" in query else {"orders": orders}
        assert Driver().describe(Config(query), inputs, ctx()).schema


def test_family_file():
    assert "path" in load_registry().family("duckdb").fields["properties"]
    assert (Path(__file__).parents[2] / "src/osiris/families/duckdb/family.yaml").is_file()
