"""DuckDB databases: every type round-trips, write modes do what they promise, queries read only their tables."""

import datetime as dt
import decimal
import subprocess
import sys
import threading
import uuid
from collections import Counter

import duckdb
import pyarrow as pa
import pytest
from tests.patience import started

from osiris.components.duckdb_extractor.driver import Config, Driver
from osiris.components.duckdb_writer.driver import Config as WriterConfig
from osiris.components.duckdb_writer.driver import Driver as Writer
from osiris.driver import StepContext
from osiris.errors import OsirisError, Unavailable
from osiris.model import Field
from osiris.table import stream
from osiris.types import schema_of

MOMENT = dt.datetime.fromisoformat("2024-02-29T12:30:00.000001")


@pytest.fixture
def place(tmp_path):
    """`place(run_key="x")` returns the context of a step; its events are `place.events`, its counts `place.counts`."""

    def make(**changes):
        options = {
            "connection": {"path": "data/store.duckdb"},
            "emit": lambda name, fields: make.events.append((name, dict(fields))),
            "count": lambda name, value: make.counts.update({name: value}),
            "plan": "p" if "run_key" in changes else "",
        }
        return StepContext("load", tmp_path, tmp_path, tmp_path / "scratch", **{**options, **changes})

    make.events, make.counts, make.path = [], Counter(), tmp_path / "data" / "store.duckdb"
    return make


@pytest.fixture
def write(place):
    """`write(table, table="t", ...)` checks and writes rows, and returns the writer's report."""

    def call(rows, table="t", ctx=None, size=None, **config):
        schema, ctx = schema_of(rows.schema), ctx or place()
        Writer().check(WriterConfig(table, **config), schema, ctx)
        return Writer().write(WriterConfig(table, **config), stream(schema, rows.to_batches(size), "fixed"), ctx)

    return call


@pytest.fixture
def read(place):
    """`read(table="t")` returns the table that the extractor reads, with the described or a given schema."""

    def call(planned=None, **config):
        config = Config(**({"table": "t"} | config if "query" not in config else config))
        schema = planned or Driver().describe(config, place()).schema
        return Driver().read(config, schema, place()).reader().read_all()

    return call


@pytest.fixture
def run_sql(place):
    """`run_sql(text)` changes the database from outside, and returns the rows of the last statement."""

    def call(text):
        place.path.parent.mkdir(exist_ok=True)
        with duckdb.connect(str(place.path)) as client:
            return client.execute(text).fetchall()

    return call


def problems(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return list(caught.value.diagnostics)


def code_of(call, *args, **named):
    return [found.code for found in problems(call, *args, **named)]


def every_type():
    integers = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    columns = {
        "bool": pa.array([True, False, None]),
        **{str(kind): pa.array([2 ** (kind.bit_width - 1) - 1, 0, None], kind) for kind in integers},
        "float32": pa.array([0.1, float("inf"), None], pa.float32()),
        "float64": pa.array([0.1, float("nan"), None]),
        "decimal": pa.array([decimal.Decimal("1.50"), decimal.Decimal("-2.25"), None], pa.decimal128(38, 2)),
        "utf8": pa.array(["", "žlutý '\"; --", None]),
        "binary": pa.array([b"", b"\x00\xff", None]),
        "date": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
        "time_us": pa.array([dt.time(1, 2, 3, 4), dt.time(0), None], pa.time64("us")),
        "time_ns": pa.array([dt.time(1, 2, 3), dt.time(0), None], pa.time64("ns")),
        **{f"naive_{unit}": pa.array([0, 1, None], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")},
        "utc": pa.array([MOMENT, MOMENT, None], pa.timestamp("us", "UTC")),
        "utc_ns": pa.array([MOMENT, MOMENT, None], pa.timestamp("ns", "UTC")),
        "uuid": pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2**127).bytes, None], pa.uuid()),
        "json": pa.array(['{"a": 1}', "[]", None], pa.json_()),
        "list": pa.array([[1, None], [], None], pa.list_(pa.int64())),
        "struct": pa.array([{"a": 1, "b": ["x"]}, {"a": None, "b": None}, None]),
    }
    return pa.table(columns)


def test_every_type_comes_back_as_it_was(write, read, place):
    rows = every_type()
    assert write(rows).rows == 3
    found = read()
    assert schema_of(found.schema) == schema_of(rows.schema)
    assert found.drop_columns("float64").equals(rows.drop_columns("float64"))
    assert str(found["float64"].to_pylist()) == str(rows["float64"].to_pylist())
    assert place.counts["rows_read"] == 3


@pytest.mark.parametrize(
    ("narrow", "wide"), [(pa.time32("s"), "time[us]"), (pa.time32("ms"), "time[us]"), (pa.timestamp("s", "UTC"), None)]
)
def test_types_that_are_carried_by_a_wider_one(write, read, narrow, wide):
    write(pa.table({"a": pa.array([1, None], narrow)}))
    found = read()
    assert schema_of(found.schema)[0].type == (wide or "timestamp[us,UTC]")
    assert found["a"].cast(narrow).to_pylist() == pa.array([1, None], narrow).to_pylist()


@pytest.mark.parametrize(
    "kind", ["decimal(39,0)", "timestamp[us,Europe/Prague]", "list<decimal(76,1)>", 'struct<"a":timestamp[s,+01:00]>']
)
def test_types_that_duckdb_does_not_have(place, kind):
    assert code_of(Writer().check, WriterConfig("t"), (Field("a", kind),), place()) == ["CMP012"]


def test_names_with_quotes_and_words_of_sql(write, read, run_sql):
    rows = pa.table({'a"b': [1], "select": [2], "a'b; DROP TABLE t; --": [3], "ž": [4], "a.b": [5]})
    name = 'x"; DROP SCHEMA main; --'
    write(rows, name)
    assert read(table=name).equals(rows)
    write(rows, name, schema='s"q', write_mode="upsert", primary_key=['a"b', "select"])
    write(rows, name, schema='s"q', write_mode="upsert", primary_key=['a"b', "select"])
    assert read(table=name, schema='s"q').to_pydict() == rows.to_pydict()
    assert run_sql("SELECT count(*) FROM duckdb_tables()") == [(2,)]


def test_names_that_sql_does_not_tell_apart(place):
    schema = (Field("a", "int64"), Field("A", "int64"), Field("b\n", "utf8"))
    assert code_of(Writer().check, WriterConfig("t"), schema, place()) == ["CMP012"] * 3


def test_modes(write, read):
    first, second = pa.table({"id": [1, 2], "v": ["a", "b"]}), pa.table({"id": [2, 3], "v": ["B", "c"]})
    write(first)
    write(second)
    assert read().to_pydict() == {"id": [1, 2, 2, 3], "v": ["a", "b", "B", "c"]}
    write(second, write_mode="replace")
    assert read().to_pydict() == second.to_pydict()
    for rows in (first, second):
        write(rows, "k", write_mode="upsert", primary_key=["id"])
    assert sorted(read(table="k").to_pylist(), key=lambda row: row["id"]) == [
        {"id": 1, "v": "a"},
        {"id": 2, "v": "B"},
        {"id": 3, "v": "c"},
    ]
    write(first, "k", write_mode="replace")
    write(first.select(["id"]), "k", write_mode="upsert", primary_key=["id"])
    assert read(table="k").to_pydict() == first.to_pydict()


def test_no_rows(write, read):
    nothing = every_type().slice(0, 0)
    assert write(nothing).rows == 0
    assert read().schema.names == nothing.schema.names
    write(pa.table({"a": [1]}), "u")
    write(pa.table({"a": pa.array([], pa.int64())}), "u", write_mode="replace")
    assert read(table="u").num_rows == 0


@pytest.mark.parametrize(("ids", "told"), [([1, 2, 1], "id=1 appears in 2 rows"), ([1, None, 2], "id=NULL has NULL")])
def test_keys_that_name_no_row(write, run_sql, place, ids, told):
    rows = pa.table({"id": ids, "v": [1, 2, 3]})
    (found,) = problems(write, rows, write_mode="upsert", primary_key=["id"])
    assert found.code == "DAT028"
    assert told in found.message
    assert not place.path.exists()


def test_keys_are_columns_that_can_be_compared(place):
    schema, check = (Field("id", "float64"), Field("name", "utf8")), Writer().check
    assert code_of(check, WriterConfig("t", primary_key=["id"]), schema, place()) == ["CMP012"]
    (found,) = problems(check, WriterConfig("t", primary_key=["nam"]), schema, place())
    assert (found.code, found.hint) == ("DAT005", "did you mean 'name'?")


def test_a_table_that_the_rows_do_not_fit(write, run_sql):
    run_sql("CREATE TABLE t (id INTEGER, amount DECIMAL(5, 2), needed VARCHAR NOT NULL, other VARCHAR)")
    rows = pa.table({"id": [1], "amount": pa.array([decimal.Decimal(1)], pa.decimal128(10, 2)), "othr": ["x"]})
    found = problems(write, rows)
    assert [problem.code for problem in found] == ["DAT029"] * 4
    told = "\n".join(f"{problem.message} / {problem.hint}" for problem in found)
    assert "its column 'id' is INTEGER, which cannot hold int64" in told
    assert "its column 'amount' is DECIMAL(5,2), which cannot hold decimal(10,2)" in told
    assert "no column 'othr' / did you mean 'other'?" in told
    assert "'needed' needs a value" in told
    assert run_sql("SELECT count(*) FROM t") == [(0,)]


def test_the_table_is_looked_at_before_the_first_row(run_sql, place):
    run_sql("CREATE TABLE t (id VARCHAR)")

    def batches():
        pytest.fail("a row was read")
        yield

    rows = stream((Field("id", "int64"),), batches(), "fixed")
    assert code_of(Writer().write, WriterConfig("t"), rows, place()) == ["DAT029"]


def test_a_wider_table_takes_the_rows(write, read, run_sql):
    run_sql("CREATE TABLE t (ID BIGINT, moment TIMESTAMP, x DOUBLE, n VARCHAR DEFAULT 'none')")
    small = {
        "id": pa.array([1], pa.int16()),
        "moment": pa.array([1], pa.timestamp("s")),
        "x": pa.array([0.5], pa.float32()),
    }
    write(pa.table(small))
    assert read().to_pylist() == [
        {"ID": 1, "moment": dt.datetime.fromisoformat("1970-01-01T00:00:01"), "x": 0.5, "n": "none"}
    ]


def test_upsert_needs_a_table_with_that_key(write, run_sql):
    run_sql("CREATE TABLE t (id BIGINT, v BIGINT, UNIQUE (v))")
    (found,) = problems(write, pa.table({"id": [1], "v": [1]}), write_mode="upsert", primary_key=["id"])
    assert found.code == "DAT029"
    assert "no PRIMARY KEY or UNIQUE over id" in found.message
    write(pa.table({"id": [1], "v": [1]}), write_mode="upsert", primary_key=["v"])
    run_sql("CREATE UNIQUE INDEX by_id ON t (id)")
    write(pa.table({"id": [1], "v": [1]}), write_mode="upsert", primary_key=["v"])


def test_what_a_constraint_refuses_leaves_the_old_rows(write, read, run_sql):
    run_sql("CREATE TABLE t (id BIGINT PRIMARY KEY CHECK (id < 10)); INSERT INTO t VALUES (1)")
    for rows in ([2, 1], [2, 11], [2, None]):
        assert code_of(write, pa.table({"id": rows})) == ["DAT032"]
    assert code_of(write, pa.table({"id": [5, 5]}), write_mode="replace") == ["DAT032"]
    assert read().to_pydict() == {"id": [1]}


def test_create_if_missing(write, run_sql):
    assert code_of(write, pa.table({"a": [1]}), create_if_missing=False) == ["DRV001"]
    run_sql("CREATE TABLE target (a BIGINT)")
    (found,) = problems(write, pa.table({"a": [1]}), "tarket", create_if_missing=False)
    assert (found.code, found.hint) == ("DRV012", "did you mean 'target'?")
    write(pa.table({"a": [1]}), "target", create_if_missing=False)


def test_a_failing_input_leaves_the_old_rows(write, read, place):
    write(pa.table({"id": [1]}))

    def batches():
        yield from pa.table({"id": [2]}).to_batches()
        raise RuntimeError("the source broke")

    rows = stream((Field("id", "int64"),), batches(), "fixed")
    with pytest.raises(RuntimeError, match="the source broke"):
        Writer().write(WriterConfig("t", write_mode="replace"), rows, place())
    assert read().to_pydict() == {"id": [1]}


def test_the_ledger_keeps_a_run_from_delivering_twice(write, read, run_sql, place):
    rows = pa.table({"id": [1, 2]})
    first = place(run_key="a/1", digest=lambda: {"value": "of the first"})
    assert write(rows, ctx=first).rows == 2
    again = write(rows.slice(0, 1), ctx=place(run_key="a/1"))
    assert (again.rows, again.bytes, again.earlier) == (2, 0, {"value": "of the first"})
    made = ("new_table", {"table": "t", "near": None})  # when it is asked for, and when it is made
    assert place.events == [made, made, ("already_delivered", {"table": "t", "rows": 2})]
    assert read().num_rows == 2
    write(rows, ctx=place(run_key="a/2"))
    assert read().num_rows == 4
    assert run_sql('SELECT run_key, step, fingerprint, target, "rows" FROM _osiris_ledger ORDER BY ALL') == [
        ("a/1", "load", "p", "t", 2),
        ("a/2", "load", "p", "t", 2),
    ]


def test_the_ledger_tells_another_plan_from_this_one(write, place):
    rows = pa.table({"id": [1]})
    write(rows, ctx=place(run_key="a/1"))
    assert code_of(write, rows, ctx=place(run_key="a/1", plan="other")) == ["DRV014"]


def test_a_query_reads_the_tables_of_its_schema_and_nothing_else(write, read, run_sql, tmp_path):
    write(pa.table({"id": [3, 1, 2], "v": ["c", "a", "b"]}))
    run_sql("CREATE SCHEMA s; CREATE TABLE s.u AS SELECT 7 AS x; CREATE VIEW w AS SELECT id FROM t WHERE id > 1")
    assert read(query="SELECT v, id FROM t WHERE id < 3 ORDER BY id").to_pydict() == {"v": ["a", "b"], "id": [1, 2]}
    assert read(query="SELECT sum(id) AS n FROM w").to_pydict() == {"n": [decimal.Decimal(5)]}
    assert read(query="SELECT x FROM u", schema="s").to_pydict() == {"x": [7]}
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for query, code in {
        "SELECT * FROM u": "SQL006",
        "SELECT * FROM s.u": "SQL006",
        "SELECT * FROM duckdb_tables": "SQL006",
        "SELECT * FROM read_csv('secret.csv')": "SQL005",
        "SELECT * FROM 'secret.csv'": "SQL006",
        "DELETE FROM t": "SQL003",
        "SELECT nothing FROM t": "SQL009",
        "SELECT 1 AS a; SELECT 2 AS b": "SQL002",
    }.items():
        assert code_of(read, query=query)[:1] == [code], query


def test_a_misspelt_column_of_a_query_is_told_with_the_nearest(write, read):
    write(pa.table({"id": [1], "amount": [2]}))
    (found,) = problems(read, query="SELECT amuont FROM t")
    assert found.code == "SQL009"
    assert found.hint.startswith("did you mean 'amount'")


def test_what_the_database_itself_brings_along_reaches_nothing(read, run_sql, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    run_sql(f"CREATE VIEW leak AS SELECT * FROM read_csv('{tmp_path}/secret.csv')")
    assert code_of(read, table="leak") == ["DRV013"]
    assert code_of(read, query="SELECT * FROM leak") == ["SQL011"]


def test_a_query_that_fails_while_it_runs(read, run_sql):
    run_sql("CREATE TABLE t AS SELECT 'x' AS a")
    assert code_of(read, query="SELECT CAST(a AS INTEGER) AS n FROM t") == ["SQL011"]


def test_bound_values_of_the_run(write, place):
    write(pa.table({"id": [1, 2], "run": ["x", "y"]}))
    config = Config(query="SELECT id FROM t WHERE run = $run_id")
    ctx = place(bindings={"run_id": "y"})
    schema = Driver().describe(config, ctx).schema
    assert Driver().read(config, schema, ctx).reader().read_all().to_pydict() == {"id": [2]}


def test_columns_limit_and_order(write, place, read):
    write(pa.table({"a": list(range(300_000)), "b": ["x"] * 300_000}), size=1000)
    described = Driver().describe(Config("T", columns=["b", "a"], limit=5), place())
    assert [column.name for column in described.schema] == ["b", "a"]
    assert (described.order, described.rows) == ("fixed", 5)
    assert read(columns=["a"])["a"].to_pylist() == list(range(300_000))
    assert read(columns=["a"], limit=3).to_pydict() == {"a": [0, 1, 2]}
    assert Driver().describe(Config("t"), place()).rows == 300_000
    (found,) = problems(read, columns=["c"])
    assert found.code == "DAT005"


def test_what_is_not_null_and_what_has_no_form_here(read, run_sql, place):
    run_sql("CREATE TABLE t (a BIGINT NOT NULL, b HUGEINT, c INTERVAL); INSERT INTO t VALUES (1, 2, NULL)")
    (found,) = problems(read)
    assert found.code == "DAT006"
    assert read(columns=["a", "b"]).to_pydict() == {"a": [1], "b": [decimal.Decimal(2)]}
    assert Driver().describe(Config("t", columns=["a"]), place()).schema == (Field("a", "int64", nullable=False),)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("1::HUGEINT AS a, {0} AS b", "from source column b"),
        ("[1::HUGEINT] AS a, [1::HUGEINT, {0}] AS b", "in column 'b[]'"),
        ("[{0}]::HUGEINT[1] AS b, 1 AS c", "in column 'b[]'"),
        ("{{'x': 1::HUGEINT, 'y': [{0}]}} AS b", "in column 'b.y[]'"),
        ("{{'x': {0}, 'y': [1::HUGEINT]}} AS b", "in column 'b.x'"),
    ],
)
def test_a_number_of_39_digits_is_named_with_its_place(read, run_sql, columns, told):
    run_sql(f"CREATE TABLE t AS SELECT {columns.format('170141183460469231731687303715884105727::HUGEINT')}")
    for code, config in {"DRV013": {}, "SQL011": {"table": None, "query": "SELECT b FROM t"}}.items():
        (found,) = problems(read, **config)
        assert (found.code, found.message.endswith(told)) == (code, True), found.message


def test_state_and_confirm(write, run_sql, place):
    write(pa.table({"a": [1]}))
    described = Driver().describe(Config("t"), place())
    assert Driver().confirm(Config("t"), described.schema, place()) == described.state
    run_sql("INSERT INTO t VALUES (2)")
    assert Driver().confirm(Config("t"), described.schema, place()) != described.state
    run_sql("ALTER TABLE t ADD COLUMN b VARCHAR")
    (found,) = problems(Driver().confirm, Config("t"), described.schema, place())
    assert found.code == "DAT011"
    assert "'b' utf8" in found.message
    rows = Driver().read(Config("t"), described.schema, place())
    assert code_of(rows.reader().read_all) == ["DAT011"]


def test_missing_things(read, write, place):
    assert code_of(read) == ["DRV001"]
    write(pa.table({"a": [1]}), "orders")
    (found,) = problems(read, table="order")
    assert (found.code, found.hint) == ("DRV012", "did you mean 'orders'?")
    assert code_of(read, table="orders", schema="nowhere") == ["DRV012"]
    for connection in ({}, {"path": "a", "file": "b"}):
        assert code_of(Driver().describe, Config("t"), place(connection=connection)) == ["DRV007"]


@pytest.mark.parametrize("content", [b"", b"hello" * 5000, b"SQLite format 3\x00" * 500])
def test_files_that_are_not_duckdb(read, write, place, content):
    place.path.parent.mkdir()
    place.path.write_bytes(content)
    assert code_of(read) == ["DRV010"]
    assert code_of(write, pa.table({"a": [1]})) == ["DRV010"]
    assert place.path.read_bytes() == content


def test_damaged_files(read, write, place):
    write(pa.table({"a": [f"text {n * n}" for n in range(100_000)]}))
    schema = Driver().describe(Config("t"), place()).schema
    content = bytearray(place.path.read_bytes())
    content[300_000:310_000] = b"\xff" * 10_000
    place.path.write_bytes(content)
    assert code_of(read, planned=schema) == ["DRV010"]
    place.path.write_bytes(content[:20_000])
    assert code_of(read)[0] in {"DRV010", "DRV013"}
    place.path.unlink()
    place.path.mkdir()
    assert code_of(read) == ["DRV005"]


def test_a_database_that_others_use(place, write, monkeypatch):
    write(pa.table({"a": [1]}))
    hold = f"import duckdb, sys; c = duckdb.connect({str(place.path)!r}); print('held', flush=True); sys.stdin.read()"
    with started([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        asked = []
        ctx = place(cancelled=lambda: len(asked) == 3 or asked.append(1))
        with pytest.raises(Unavailable) as caught:
            Driver().describe(Config("t"), ctx)
        assert [found.code for found in caught.value.diagnostics] == ["DRV011"]
        asked.clear()
        waits = place(cancelled=lambda: asked.append(1) or (len(asked) == 10 and other.stdin.close()))
        assert Driver().describe(Config("t"), waits).rows == 1
        assert len(asked) >= 10


def test_steps_of_one_run_share_a_database(write, place, read):
    """Two readers at once, and a writer that waits for them."""
    write(pa.table({"a": list(range(250_000))}))
    schema = (Field("a", "int64"),)
    readers = [Driver().read(Config("t"), schema, place()).batches() for _ in range(2)]
    assert [next(reader)["a"][0].as_py() for reader in readers] == [0, 0]
    writer = threading.Thread(target=write, args=(pa.table({"a": [1]}), "u"))
    writer.start()
    writer.join(0.5)
    assert writer.is_alive()
    assert sum(batch.num_rows for reader in readers for batch in reader) > 0
    writer.join()
    assert read(table="u").to_pydict() == {"a": [1]}


def test_a_reader_that_stops_early_lets_go(write, place):
    write(pa.table({"a": list(range(250_000))}))
    rows = Driver().read(Config("t"), (Field("a", "int64"),), place()).batches()
    next(rows)
    rows.close()
    write(pa.table({"a": [1]}), "u")


def test_a_cancelled_writer_stops_and_leaves_the_old_rows(place, write, read):
    write(pa.table({"a": [1]}))
    many = pa.table({"a": list(range(200_000))})
    assert code_of(write, many, ctx=place(cancelled=lambda: True), write_mode="replace") == ["RUN003"]
    assert read().to_pydict() == {"a": [1]}


def test_a_limit_of_file_sizes_leaves_the_old_rows(write, read, tmp_path, place):
    write(pa.table({"a": ["old"]}))
    code = f"""
import resource
from pathlib import Path
import pyarrow as pa
from osiris.components.duckdb_writer.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.model import Field
from osiris.table import stream
root = Path({str(tmp_path)!r})
ctx = StepContext("step", root, root, root / "scratch", connection={{"path": "data/store.duckdb"}})
batches = pa.table({{"a": [f"text {{i * i}}" for i in range(100_000)]}}).to_batches()
resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))
try:
    Driver().write(Config("t", write_mode="replace"), stream((Field("a", "utf8"),), batches, "fixed"), ctx)
except OsirisError as error:
    print([found.code for found in error.diagnostics])
"""
    for limit in (100_000, 1_300_000):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("BYTES", str(limit))], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.strip() == "['DRV006']", (limit, done.stdout, done.stderr)
    assert read().to_pydict() == {"a": ["old"]}


def test_digits_of_a_query_that_the_engine_would_round_away_are_told(read, run_sql, place):
    run_sql("CREATE TABLE t (k VARCHAR, amount DECIMAL(38, 2), fine DECIMAL(38, 10))")
    run_sql("INSERT INTO t VALUES ('a', 1, 2)")
    lossy = "SELECT coalesce(amount, fine) AS b FROM t WHERE k = 'a'"
    for call in (lambda: read(query=lossy), lambda: Driver().describe(Config(query=lossy), place())):
        (found,) = problems(call)
        assert (found.code, "fine is decimal(38,10)" in found.message) == ("SQL031", True)
    exact = "SELECT coalesce(CAST(amount AS DECIMAL(38, 10)), fine) AS b FROM t WHERE k = 'a'"
    assert read(query=exact)["b"].to_pylist() == [1]
