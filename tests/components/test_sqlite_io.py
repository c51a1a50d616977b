"""SQLite databases: every type round-trips, no value changes its type, and each write mode does what it promises."""

import datetime as dt
import decimal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import ExitStack

import pyarrow as pa
import pytest
from tests.patience import SOON, wait_until

from osiris.components.sqlite_extractor.driver import Config, Driver
from osiris.components.sqlite_writer.driver import Config as WriterConfig
from osiris.components.sqlite_writer.driver import Driver as Writer
from osiris.driver import StepContext
from osiris.errors import OsirisError, Unavailable
from osiris.families.sqlite.database import SQLITE
from osiris.model import Field
from osiris.table import stream
from osiris.types import schema_of

SPILLED = 300_000
"""Rows that SQLite's cache does not hold: it writes some of them into the file before the commit."""

MOMENT = dt.datetime.fromisoformat("2024-02-29T12:30:00.000001")


@pytest.fixture
def place(tmp_path):
    """`place(run_key="x")` returns the context of a step; its events are `place.events`, its counts `place.counts`."""

    def make(**changes):
        options = {
            "connection": {"database": "data/store.db"},
            "emit": lambda name, fields: make.events.append((name, dict(fields))),
            "count": lambda name, value: make.counts.update({name: value}),
            "plan": "p" if "run_key" in changes else "",
        }
        return StepContext("load", tmp_path, tmp_path, tmp_path / "scratch", **{**options, **changes})

    make.events, make.counts, make.path = [], Counter(), tmp_path / "data" / "store.db"
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

    def call(table="t", planned=None, **config):
        config = Config(table, **config)
        schema = planned or Driver().describe(config, place()).schema
        return Driver().read(config, schema, place()).reader().read_all()

    return call


@pytest.fixture
def run_sql(place):
    """`run_sql(text, ...)` changes the database from outside, and returns the rows of the last statement."""

    def call(*texts):
        place.path.parent.mkdir(exist_ok=True)
        client = sqlite3.connect(place.path)
        try:
            rows = [client.execute(text).fetchall() for text in texts]
            client.commit()
            return rows[-1]
        finally:
            client.close()

    return call


def problems(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return list(caught.value.diagnostics)


def code_of(call, *args, **named):
    return [found.code for found in problems(call, *args, **named)]


def exact_types():
    columns = {
        "bool": pa.array([True, False, None]),
        "int64": pa.array([2**63 - 1, -(2**63), None]),
        "float64": pa.array([0.1, float("-inf"), None]),
        "decimal": pa.array([decimal.Decimal("1.50"), decimal.Decimal("1E-20"), None], pa.decimal128(38, 20)),
        "wide": pa.array([decimal.Decimal(10) ** 60, decimal.Decimal("1E-10"), None], pa.decimal256(76, 10)),
        "utf8": pa.array(["", "žlutý\x00 '\"; --", None]),
        "number_like": pa.array(["007", "1e5", None]),
        "binary": pa.array([b"", b"\x00\xff", None]),
        "date": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
        **{f"time_{unit}": pa.array([3661, 0, None], pa.time32(unit)) for unit in ("s", "ms")},
        **{f"time_{unit}": pa.array([3661, 86_399_999_999, None], pa.time64(unit)) for unit in ("us", "ns")},
        **{f"naive_{unit}": pa.array([0, -1, None], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")},
        "utc": pa.array([MOMENT, MOMENT, None], pa.timestamp("us", "UTC")),
        "uuid": pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2**127).bytes, None], pa.uuid()),
        "json": pa.array(['{"a": 1}', "5", None], pa.json_()),
    }
    return pa.table(columns)


def test_every_type_comes_back_as_it_was(write, read, place):
    rows = exact_types()
    assert write(rows).rows == 3
    found = read()
    assert schema_of(found.schema) == schema_of(rows.schema)
    assert found.equals(rows)
    assert place.counts["rows_read"] == 3


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32()])
def test_narrow_integers_come_back_wide(write, read, kind):
    rows = pa.table({"a": pa.array([0, 2 ** (kind.bit_width - 1) - 1, None], kind)})
    write(rows)
    assert read().equals(pa.table({"a": rows["a"].cast(pa.int64())}))


def test_narrow_floats_come_back_wide(write, read):
    rows = pa.table({"a": pa.array([0.1, 3e38, None], pa.float32())})
    write(rows)
    assert read()["a"].cast(pa.float32()).equals(rows["a"])


@pytest.mark.parametrize("kind", ["uint64", "list<int64>", 'struct<"a":int64>', "timestamp[us,Europe/Prague]"])
def test_types_that_sqlite_does_not_have(place, kind):
    assert code_of(Writer().check, WriterConfig("t"), (Field("a", kind),), place()) == ["CMP012"]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.0, float("nan")]),
        pa.array([None, 0.0, -0.0]),
        pa.array([-0.0], pa.float32()),
        pa.array([-(10**7)], pa.date32()),
        pa.array([10**18], pa.timestamp("us")),
    ],
    ids=["nan", "-0", "narrow -0", "date", "timestamp"],
)
def test_values_that_sqlite_would_change(write, read, array):
    write(pa.table({"a": array.slice(0, 0)}))
    rows = pa.concat_tables([pa.table({"a": pa.nulls(3, array.type)}), pa.table({"a": array})])
    (found,) = problems(write, rows, size=2)
    assert (found.code, f"in row {len(rows)} cannot be written" in found.message) == ("DAT015", True), found.message
    assert read().num_rows == 0


@pytest.mark.parametrize(
    ("declared", "value", "kind", "meant"),
    [
        ("INT", 5, "int64", 5),
        ("UNSIGNED BIG INT", 5, "int64", 5),
        ("VARCHAR(20)", "x", "utf8", "x"),
        ("clob", "x", "utf8", "x"),
        ("DOUBLE PRECISION", 1, "float64", 1.0),
        ("BLOB", b"x", "binary", b"x"),
        ("bool", 1, "bool", True),
        ("DECIMAL(10, 2)", "0.10", "decimal(10,2)", decimal.Decimal("0.10")),
        ("NUMERIC(6)", 12, "decimal(6,0)", decimal.Decimal(12)),
        ("DATE", "2024-02-29", "date", dt.date(2024, 2, 29)),
        ("DATETIME", "2024-02-29 12:30:00.000001", "timestamp[us]", MOMENT),
        ("TIMESTAMP", "2024-02-29T12:30:00.000001", "timestamp[us]", MOMENT),
        ("TIME", "01:02:03.5", "time[us]", dt.time(1, 2, 3, 500_000)),
        ("UUID", str(uuid.UUID(int=7)), "uuid", uuid.UUID(int=7)),
        ("JSON", "[1]", "json", "[1]"),
    ],
)
def test_declared_types(read, run_sql, place, declared, value, kind, meant):
    run_sql(f"CREATE TABLE t (a {declared})")
    client = sqlite3.connect(place.path)
    client.executemany("INSERT INTO t VALUES (?)", [(value,), (None,)])
    client.commit()
    client.close()
    found = read()
    assert schema_of(found.schema)[0].type == kind
    assert found["a"].to_pylist() == [meant, None]


@pytest.mark.parametrize(
    ("declared", "wrong"),
    [
        ("INTEGER", "'abc'"),
        ("INTEGER", "1.5"),
        ("INTEGER", "x'00'"),
        ("REAL", "'abc'"),
        ("TEXT", "x'00'"),
        ("BLOB", "'text'"),
        ("BOOLEAN", "2"),
        ("BOOLEAN", "'true'"),
        ("DECIMAL(5, 2)", "1.234"),
        ("DECIMAL(5, 2)", "123456"),
        ("DECIMAL(5, 2)", "9e999"),
        ("DECIMAL(5, 2)", "'1_0'"),
        ("DATE", "'2024-02-30'"),
        ("DATE", "20240229"),
        ("DATETIME", "1700000000"),
        ("DATETIME", "'2024-01-01 00:00:00Z'"),
        ("TIME", "'25:00:00'"),
        ("UUID", "'no-uuid'"),
        ("JSON", "'{'"),
    ],
)
def test_no_value_is_read_as_another(read, run_sql, declared, wrong):
    run_sql(f"CREATE TABLE t (a {declared})", f"INSERT INTO t (rowid, a) VALUES (1, NULL), (41, {wrong})")
    (found,) = problems(read)
    assert found.code == "DAT001"
    assert "column 'a'" in found.message
    assert "(rowid 41 of 't')" in found.message
    assert "dtype" in found.hint


def test_text_that_is_no_text(read, run_sql):
    run_sql("CREATE TABLE t (a TEXT)", "INSERT INTO t VALUES (CAST(x'ff' AS TEXT))")
    (found,) = problems(read)
    assert found.code == "DRV013"
    assert "not UTF-8" in found.message


def test_columns_without_a_type_need_dtype(read, run_sql):
    run_sql("CREATE TABLE t (a, b NUMERIC, c POINT_OF_NO_KIND)", "INSERT INTO t VALUES ('x', 1, 2)")
    found = problems(read)
    assert [problem.code for problem in found] == ["DAT006", "DAT006"]
    assert 'dtype: {a: "decimal(12,2)"}' in found[0].hint
    types = {"a": "utf8", "b": "decimal(9,1)", "c": "uint8"}
    assert read(dtype=types).to_pylist() == [{"a": "x", "b": decimal.Decimal("1.0"), "c": 2}]
    assert code_of(read, dtype={**types, "b": "list<int8>"}) == ["DAT006"]
    assert code_of(read, dtype={**types, "b": "number"}) == ["DAT012"]
    assert code_of(read, dtype={"d": "utf8"}) == ["DAT005"]


def test_order_is_that_of_rowids_or_keys(read, run_sql, place):
    run_sql(
        "CREATE TABLE t (a INTEGER, rowid TEXT, oid TEXT)",
        "CREATE INDEX by_a ON t (a)",
        "INSERT INTO t (_rowid_, a) VALUES (3, 1), (1, 2), (2, 3)",
        "CREATE TABLE k (a INTEGER, b INTEGER, PRIMARY KEY (b, a)) WITHOUT ROWID",
        "INSERT INTO k VALUES (1, 3), (2, 1), (1, 1)",
        "CREATE VIEW v AS SELECT a FROM t",
    )
    assert read(columns=["a"])["a"].to_pylist() == [2, 3, 1]
    assert read("k").to_pylist() == [{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 3}]
    assert [Driver().describe(Config(name), place()).order for name in "tkv"] == ["fixed", "fixed", "free"]
    assert sorted(read("v")["a"].to_pylist()) == [1, 2, 3]


def test_names_with_quotes_and_words_of_sql(write, read, run_sql):
    rows = pa.table({'a"b': [1], "select": [2], "a'b; DROP TABLE t; --": [3], "ž": [4], "a.b": [5]})
    name = 'x"; DROP TABLE _osiris_ledger; --'
    for _ in range(2):
        write(rows, name, write_mode="upsert", primary_key=['a"b', "select"])
    assert read(name).to_pydict() == rows.to_pydict()
    assert run_sql("SELECT count(*) FROM sqlite_schema WHERE type = 'table'") == [(1,)]


def test_names_that_sql_does_not_tell_apart(place):
    schema = (Field("a", "int64"), Field("A", "int64"), Field("", "utf8"))
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
    assert read("k").to_pydict() == {"id": [1, 2, 3], "v": ["a", "B", "c"]}
    write(first, "k", write_mode="replace")
    write(first.select(["id"]), "k", write_mode="upsert", primary_key=["id"])
    assert read("k").to_pydict() == first.to_pydict()


def test_no_rows_and_many(write, read):
    nothing = exact_types().slice(0, 0)
    write(nothing)
    assert read().equals(nothing)
    many = pa.table({"a": list(range(25_000)), "b": [f"text {n}" for n in range(25_000)]})
    write(many, "many", size=999)
    assert read("many").equals(many)
    assert read("many", limit=3, columns=["b"]).to_pydict() == {"b": ["text 0", "text 1", "text 2"]}


@pytest.mark.parametrize(("ids", "told"), [([1, 2, 1], "id=1 appears in 2 rows"), ([1, None, 2], "id=NULL has NULL")])
def test_keys_that_name_no_row(write, place, ids, told):
    (found,) = problems(write, pa.table({"id": ids}), write_mode="upsert", primary_key=["id"])
    assert found.code == "DAT028"
    assert told in found.message
    assert not place.path.exists()


def test_a_table_that_the_rows_do_not_fit(write, run_sql):
    run_sql(
        "CREATE TABLE t (id TEXT, amount DECIMAL(20, 2), needed TEXT NOT NULL, other TEXT, "
        "twice INTEGER GENERATED ALWAYS AS (length(id)), any_value)"
    )
    rows = {"id": [1], "amount": pa.array([decimal.Decimal(1)], pa.decimal128(20, 2)), "othr": ["x"], "any_value": [1]}
    found = problems(write, pa.table({**rows, "twice": [1]}))
    assert [problem.code for problem in found] == ["DAT029"] * 6
    told = "\n".join(f"{problem.message} / {problem.hint}" for problem in found)
    assert "its column 'id' is TEXT, which cannot hold int64" in told
    assert "its column 'amount' is DECIMAL(20, 2), which cannot hold decimal(20,2)" in told
    assert "no column 'othr' / did you mean 'other'?" in told
    assert "its column 'twice' is computed" in told
    assert "its column 'any_value' is of no type" in told
    assert "'needed' needs a value" in told


def test_a_table_of_others_takes_what_it_can_hold(write, read, run_sql):
    run_sql("CREATE TABLE t (ID INTEGER PRIMARY KEY NOT NULL, v TEXT, n TEXT NOT NULL DEFAULT 'none') STRICT")
    write(pa.table({"id": pa.array([7], pa.int16()), "v": ["1"]}))
    write(pa.table({"v": ["2"]}))
    assert read().to_pylist() == [{"ID": 7, "v": "1", "n": "none"}, {"ID": 8, "v": "2", "n": "none"}]
    run_sql("CREATE TABLE u (amount DECIMAL(15, 2), at DATETIME)")
    rows = pa.table({"amount": pa.array([decimal.Decimal("1234567890123.45")], pa.decimal128(15, 2)), "at": [MOMENT]})
    write(rows, "u")
    assert read("u").equals(rows)


def test_upsert_needs_a_table_with_that_key(write, run_sql):
    run_sql("CREATE TABLE t (id INTEGER, v INTEGER, UNIQUE (v))", "CREATE UNIQUE INDEX part ON t (id) WHERE id > 0")
    (found,) = problems(write, pa.table({"id": [1], "v": [1]}), write_mode="upsert", primary_key=["id"])
    assert found.code == "DAT029"
    assert "no PRIMARY KEY or UNIQUE over id" in found.message
    write(pa.table({"id": [1], "v": [1]}), write_mode="upsert", primary_key=["v"])


def test_what_a_constraint_refuses_leaves_the_old_rows(write, read, run_sql):
    run_sql("CREATE TABLE t (id INTEGER UNIQUE NOT NULL CHECK (id < 10))", "INSERT INTO t VALUES (1)")
    for rows in ([2, 1], [2, 11], [2, None]):
        assert code_of(write, pa.table({"id": rows})) == ["DAT032"]
    assert code_of(write, pa.table({"id": [5, 5]}), write_mode="replace") == ["DAT032"]
    assert read().to_pydict() == {"id": [1]}


def test_create_if_missing(write, run_sql):
    assert code_of(write, pa.table({"a": [1]}), create_if_missing=False) == ["DRV001"]
    run_sql("CREATE TABLE target (a INTEGER)")
    (found,) = problems(write, pa.table({"a": [1]}), "tarket", create_if_missing=False)
    assert (found.code, found.hint) == ("DRV012", "did you mean 'target'?")


def test_the_ledger_keeps_a_run_from_delivering_twice(write, read, run_sql, place):
    rows = pa.table({"id": [1, 2]})
    assert write(rows, ctx=place(run_key="a/1", digest=lambda: {"value": "of the first"})).rows == 2
    again = write(rows.slice(0, 1), ctx=place(run_key="a/1"))
    assert (again.rows, again.bytes, again.earlier) == (2, 0, {"value": "of the first"})
    made = ("new_table", {"table": "t", "near": None})  # when it is asked for, and when it is made
    assert place.events == [made, made, ("already_delivered", {"table": "t", "rows": 2})]
    write(rows, ctx=place(run_key="a/2"))
    assert read().num_rows == 4
    assert run_sql('SELECT run_key, step, fingerprint, target, "rows" FROM _osiris_ledger ORDER BY 1') == [
        ("a/1", "load", "p", "t", 2),
        ("a/2", "load", "p", "t", 2),
    ]
    assert code_of(write, rows, ctx=place(run_key="a/1", plan="other")) == ["DRV014"]


def test_state_and_confirm(write, run_sql, place):
    write(pa.table({"a": [1]}))
    described = Driver().describe(Config("t"), place())
    assert described.rows == 1
    assert Driver().confirm(Config("t"), described.schema, place()) == described.state
    run_sql("ALTER TABLE t ADD COLUMN b TEXT")
    assert Driver().describe(Config("t"), place()).state != described.state
    assert code_of(Driver().confirm, Config("t"), described.schema, place()) == ["DAT011"]
    rows = Driver().read(Config("t"), described.schema, place())
    assert code_of(rows.reader().read_all) == ["DAT011"]


def test_missing_things(read, write, place):
    assert code_of(read) == ["DRV001"]
    write(pa.table({"a": [1]}), "orders")
    (found,) = problems(read, "order")
    assert (found.code, found.hint) == ("DRV012", "did you mean 'orders'?")
    (found,) = problems(read, "orders", columns=["b"])
    assert found.code == "DAT005"
    assert code_of(Driver().describe, Config("t"), place(connection={})) == ["DRV007"]


@pytest.mark.parametrize("content", [b"hello" * 5000, b"SQLite format 3\x00" * 500])
def test_files_that_are_not_sqlite(read, write, place, content):
    place.path.parent.mkdir()
    place.path.write_bytes(content)
    assert code_of(read) == ["DRV010"]
    assert code_of(write, pa.table({"a": [1]})) == ["DRV010"]
    assert place.path.read_bytes() == content


def test_damaged_files(read, write, place):
    write(pa.table({"a": [f"text {n * n}" for n in range(50_000)]}))
    content = bytearray(place.path.read_bytes())
    content[300_000:310_000] = b"\xff" * 10_000
    place.path.write_bytes(content)
    assert code_of(read) == ["DRV010"]
    place.path.write_bytes(content[:20_000])
    assert code_of(read) == ["DRV010"]
    place.path.unlink()
    place.path.mkdir()
    assert code_of(read) == ["DRV005"]


def test_a_snapshot_is_one_even_while_others_write(write, read, run_sql, place):
    run_sql("PRAGMA journal_mode = WAL", "CREATE TABLE t (a INTEGER)")
    write(pa.table({"a": list(range(25_000))}))
    rows = Driver().read(Config("t"), (Field("a", "int64"),), place()).batches()
    seen = next(rows).num_rows
    write(pa.table({"a": [0]}), write_mode="replace")
    assert seen + sum(batch.num_rows for batch in rows) == 25_000
    assert read().num_rows == 1


def test_a_database_that_others_use(place, write, run_sql):
    write(pa.table({"a": [1]}))
    client = sqlite3.connect(place.path, check_same_thread=False)
    client.execute("BEGIN EXCLUSIVE")
    asked = []
    with pytest.raises(Unavailable) as caught:
        Driver().describe(Config("t"), place(cancelled=lambda: len(asked) == 3 or asked.append(1)))
    assert [found.code for found in caught.value.diagnostics] == ["DRV011"]
    asked = []  # again and again while the writer waits
    waits = place(cancelled=lambda: asked.append(1) or (len(asked) == 10 and client.rollback()))
    assert write(pa.table({"a": [2]}), ctx=waits).rows == 1
    assert len(asked) >= 10
    client.close()


def test_a_commit_waits_for_readers_of_other_processes_but_not_for_ever(place, write, read):
    write(pa.table({"a": [1]}))
    reader = sqlite3.connect(place.path)
    reader.execute("BEGIN")
    assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]
    began = time.monotonic()
    context = place(cancelled=lambda: time.monotonic() > began + 2 * SOON)
    assert code_of(write, pa.table({"a": [2]}), ctx=context) == ["DRV011"]
    assert time.monotonic() - began < 2 * SOON  # or it would have waited until it was cancelled
    reader.close()
    assert read().to_pydict() == {"a": [1]}


@pytest.mark.parametrize("added", [1, SPILLED])
def test_a_writer_does_not_keep_a_step_that_reads_from_opening_the_database_again(place, write, added):
    """A step has its source open when it inspects its target, which may be in the same file."""
    write(pa.table({"a": list(range(25_000))}))
    outcome, asked, more = [], [], pa.table({"a": list(range(added))})
    rows = Driver().read(Config("t"), (Field("a", "int64"),), place()).batches()
    next(rows)
    waits = place(cancelled=lambda: asked.append(1))
    other = threading.Thread(target=lambda: outcome.append(write(more, "u", waits).rows), daemon=True)
    other.start()
    wait_until(lambda: len(asked) >= 10)
    began = time.monotonic()
    try:
        assert outcome == []  # it waits for the reader
        context = place(cancelled=lambda: time.monotonic() > began + SOON)
        assert Driver().describe(Config("t"), context).schema == (Field("a", "int64"),)
        assert sum(batch.num_rows for batch in rows) > 0
        other.join(SOON)
        assert outcome == [added]
    finally:
        rows.close()
        other.join(SOON)


def test_a_step_that_opens_a_database_waits_for_the_one_that_writes_it(place, write):
    write(pa.table({"a": [1]}))
    described = []
    other = threading.Thread(target=lambda: described.append(Driver().describe(Config("t"), place())), daemon=True)
    with SQLITE.opened(place(), place.path, writing=True) as session:
        session.connection.executemany("INSERT INTO t VALUES (?)", ((number,) for number in range(SPILLED)))
        other.start()
        other.join(0.5)
        assert described == []
        SQLITE.make_durable(session, None)
    other.join(SOON)
    assert [each.rows for each in described] == [1 + SPILLED]


def test_a_writer_begins_while_the_one_before_ends(place, write):
    """The lock is free once the one before has committed; its session ends later."""
    write(pa.table({"a": [1]}))
    waits_for_nobody = place(cancelled=lambda: True)
    with ExitStack() as after:
        with SQLITE.opened(place(), place.path, writing=True) as session:
            session.connection.execute("COMMIT")
            after.enter_context(SQLITE.opened(place(), place.path, writing=True))
        assert code_of(Driver().describe, Config("t"), waits_for_nobody) == ["DRV011"]
    assert Driver().describe(Config("t"), waits_for_nobody).rows == 1


def test_a_cancelled_writer_stops_and_leaves_the_old_rows(place, write, read):
    write(pa.table({"a": [1]}))
    many = pa.table({"a": list(range(25_000))})
    asked = []
    ctx = place(cancelled=lambda: len(asked) == 3 or asked.append(1))
    assert code_of(write, many, ctx=ctx, size=1000, write_mode="replace") == ["RUN003"]
    assert read().to_pydict() == {"a": [1]}


def test_what_a_killed_writer_left_is_undone(place, write, read):
    write(pa.table({"a": [1]}))
    code = f"""
import os, sqlite3
client = sqlite3.connect({str(place.path)!r}, isolation_level=None)
client.execute("PRAGMA cache_size = 1")
client.execute("BEGIN IMMEDIATE")
client.execute("INSERT INTO t SELECT value FROM (WITH RECURSIVE n (value) AS "
    "(SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 100000) SELECT value FROM n)")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=300)
    assert place.path.with_name("store.db-journal").stat().st_size > 0
    assert read().to_pydict() == {"a": [1]}


def test_readers_see_the_old_or_the_new(place, write):
    """While rows are replaced again and again, no reader sees a part of them."""
    write(pa.table({"a": list(range(20_000))}))
    done, seen = threading.Event(), Counter()

    def look():
        client = sqlite3.connect(place.path, timeout=SOON)
        while not done.is_set():
            seen.update(client.execute("SELECT count(*) FROM t").fetchone())
        client.close()

    reader = threading.Thread(target=look)
    reader.start()
    wait_until(seen.total)
    for size in (15_000, 20_000, 15_000):
        write(pa.table({"a": list(range(size))}), write_mode="replace")
    done.set()
    reader.join()
    assert set(seen) <= {15_000, 20_000}


def test_what_the_database_itself_brings_along_reaches_nothing(write, read, run_sql):
    write(pa.table({"a": [1]}))
    run_sql("CREATE VIEW v AS SELECT load_extension('x') AS a")
    assert code_of(read, "v", dtype={"a": "utf8"}) == ["DRV013"]


def test_a_limit_of_file_sizes_leaves_the_old_rows(write, read, tmp_path):
    write(pa.table({"a": ["old"]}))
    code = f"""
import resource
from pathlib import Path
import pyarrow as pa
from osiris.components.sqlite_writer.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.model import Field
from osiris.table import stream
root = Path({str(tmp_path)!r})
ctx = StepContext("step", root, root, root / "scratch", connection={{"path": "data/store.db"}})
batches = pa.table({{"a": [f"text {{i * i}}" for i in range(100_000)]}}).to_batches()
resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))
try:
    Driver().write(Config("t", write_mode="replace"), stream((Field("a", "utf8"),), batches, "fixed"), ctx)
except OsirisError as error:
    print([found.code for found in error.diagnostics])
"""
    for limit in (100_000, 1_900_000):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("BYTES", str(limit))], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.strip() == "['DRV006']", (limit, done.stdout, done.stderr)
    assert read().to_pydict() == {"a": ["old"]}
