"""PostgreSQL tables: every type arrives unchanged, write modes do what they promise, and nothing is written partly."""

import datetime as dt
import decimal
import json
import threading
import time
import uuid

import pyarrow as pa
import pytest
from tests.patience import SOON, once, wait_until
from tests.servers import start_postgres

from osiris.components.postgres_writer.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError, Unavailable
from osiris.families.type_compat import REFRESH
from osiris.model import Field
from osiris.secret import Secret
from osiris.table import stream
from osiris.types import schema_of

D = decimal.Decimal
MOMENT = dt.datetime.fromisoformat("2024-02-29T12:30:00.000001")
LEDGER = 'SELECT run_key, step, target, "rows" FROM public._osiris_ledger ORDER BY 1'


SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
FRESH = """
CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader"""


@pytest.fixture(scope="module")
def database(postgres):
    return postgres.new_database()


@pytest.fixture
def server(postgres, database):
    """A server and the name of an empty database; a new server for each test would take longer."""
    with postgres.connect(database) as connection:
        for (name,) in connection.execute(SCHEMAS).fetchall():
            quoted = name.replace('"', '""')
            connection.execute(f'DROP SCHEMA "{quoted}" CASCADE')
        connection.execute(FRESH)
    return postgres, database


@pytest.fixture
def place(tmp_path, server):
    """`place(run_key="x")` returns the context of a step; its events are `place.events`."""

    def make(reader=False, fields=None, **changes):
        given = {**server[0].fields(server[1], reader=reader), **(fields or {})}
        connection = {**given, "password": Secret(given["password"])}
        options = {
            "connection": connection,
            "emit": lambda name, told: make.events.append((name, dict(told))),
            "plan": "p" if "run_key" in changes else "",
            "digest": lambda: {"kind": "test"},
        }
        options["scratch"] = tmp_path / "scratch"
        return StepContext("load", tmp_path, tmp_path, **{**options, **changes})

    make.events = []
    return make


@pytest.fixture
def write(place):
    """`write(table, table="t", ...)` checks and writes rows, and returns the writer's report."""

    def call(rows, table="t", ctx=None, size=None, **config):
        batches = rows.to_batches(size) if isinstance(rows, pa.Table) else rows[1]
        schema, ctx = schema_of(rows.schema if isinstance(rows, pa.Table) else rows[0]), ctx or place()
        Driver().check(Config(table, **config), schema, ctx)
        return Driver().write(Config(table, **config), stream(schema, batches, "fixed"), ctx)

    return call


@pytest.fixture
def sql(server):
    """`sql(text)` runs a statement as the superuser, and returns its rows."""
    with server[0].connect(server[1]) as connection:
        connection.prepare_threshold = None
        connection.execute("SET timezone = 'UTC'")

        def call(text):
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

        yield call


def problems(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return list(caught.value.diagnostics)


def code_of(call, *args, **named):
    return [found.code for found in problems(call, *args, **named)]


def every_type():
    integers = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    lowest = {kind: 0 if str(kind)[0] == "u" else -(2 ** (kind.bit_width - 1)) for kind in integers}
    highest = {kind: 2 ** (kind.bit_width - (str(kind)[0] != "u")) - 1 for kind in integers}
    big = [D("9" * 20 + "." + "9" * 18), D("-0." + "0" * 17 + "1"), None, D(0)]
    columns = {
        "bool": pa.array([True, False, None, True]),
        **{str(kind): pa.array([lowest[kind], highest[kind], None, 1], kind) for kind in integers},
        "float32": pa.array([1.5, float("inf"), None, -0.0], pa.float32()),
        "float64": pa.array([0.1, float("-inf"), None, 5e-324]),
        "money": pa.array([D("1.50"), D("-10000.25"), None, D("0.00")], pa.decimal128(12, 2)),
        "decimal": pa.array(big, pa.decimal128(38, 18)),
        "wide": pa.array([D("9" * 46 + "." + "7" * 30), D(-1), None, D(0)], pa.decimal256(76, 30)),
        "thousands": pa.array([D(10_000), D(99_999_999), None, D("-1")], pa.decimal128(9, 0)),
        "utf8": pa.array(["", "žlutý '\"; --\r\n\t\\N", None, "x" * 70_000]),
        "binary": pa.array([b"", b"\x00\xff", None, b"y" * 70_000]),
        "date": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None, dt.date(1999, 12, 31)]),
        **{f"time_{unit}": pa.array([0, 86_399, None, 1], pa.time32(unit)) for unit in ("s", "ms")},
        "time_us": pa.array([dt.time(1, 2, 3, 4), dt.time(23, 59, 59, 999_999), None, dt.time(0)], pa.time64("us")),
        **{f"naive_{unit}": pa.array([0, -1, None, 10**9], pa.timestamp(unit)) for unit in ("s", "ms", "us")},
        "utc": pa.array([MOMENT, dt.datetime.fromisoformat("0001-01-01"), None, MOMENT], pa.timestamp("us", "UTC")),
        "uuid": pa.array([uuid.UUID(int=n).bytes if n else None for n in (1, 2**127, 0, 7)], pa.uuid()),
        "json": pa.array(['{"a": 1,  "a": 2}', "[]", None, '"ž"'], pa.json_()),
        "list": pa.array([[1, None], [], None, [-3]], pa.list_(pa.int64())),
        "texts": pa.array([["", None, "NULL", 'a"b,{'], [], None, ["x" * 300]], pa.list_(pa.utf8())),
        "prices": pa.array([[D("1.5"), None], [], None, [D("-0.05")]], pa.list_(pa.decimal128(10, 2))),
        "jsons": pa.array([["1", None], [], None, ["{}"]], pa.list_(pa.utf8())),
    }
    return pa.table({"id": pa.array(range(4), pa.int32()), **columns})


def as_read(array):
    """Return what the client library reads for values of an array."""
    kind = schema_of(pa.schema([("a", array.type)]))[0].type
    if kind == "uuid":
        return [value and uuid.UUID(bytes=value) for value in array.chunk(0).storage.to_pylist()]
    if kind == "json":
        return [value and json.loads(value) for value in array.chunk(0).storage.to_pylist()]
    zone = dt.UTC if kind == "timestamp[us,UTC]" else None
    return [v.replace(tzinfo=zone) if isinstance(v, dt.datetime) else v for v in array.to_pylist()]


@pytest.mark.parametrize("cut", [slice(0, 4), slice(1, 3), slice(0, 2), slice(2, 3), slice(0, 0)])
def test_every_type_arrives_as_it_was(write, sql, cut):
    rows = every_type().slice(cut.start, cut.stop - cut.start)
    told = write(rows)
    assert (told.rows, told.files) == (rows.num_rows, ())
    for name in rows.column_names:
        assert [value for (value,) in sql(f'SELECT "{name}" FROM t ORDER BY id')] == as_read(rows[name]), name
    if rows.num_rows == 4:
        assert sql("SELECT json::text FROM t WHERE id = 0") == [('{"a": 1,  "a": 2}',)]


def test_a_table_is_made_with_the_types_that_fit(write, sql):
    write(every_type(), primary_key="id")
    made = dict(
        sql(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 't'::regclass AND attnum > 0"
        )
    )
    expected = {"int8": "smallint", "uint8": "smallint", "uint16": "integer", "uint32": "bigint"}
    expected |= {"uint64": "numeric(20,0)", "money": "numeric(12,2)", "time_s": "time(0) without time zone"}
    expected |= {"naive_ms": "timestamp(3) without time zone", "utc": "timestamp with time zone", "texts": "text[]"}
    assert {name: made[name] for name in expected} == expected
    assert sql("SELECT indisprimary FROM pg_index WHERE indrelid = 't'::regclass") == [(True,)]


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("bigint", pa.array([1, None], pa.int8())),
        ("numeric", pa.array([D("1.50"), None], pa.decimal128(38, 2))),
        ("numeric", pa.array([2**64 - 1, -1 + 1], pa.uint64())),
        ("numeric(20,4)", pa.array([D("1.50"), None], pa.decimal128(12, 2))),
        ("numeric(3,-2)", pa.array([None, None], pa.decimal128(3, 0)).slice(0, 0)),
        ("double precision", pa.array([0.5, None], pa.float32())),
        ("varchar(3)", pa.array(["žlu", None])),
        ("char(3)", pa.array(["žlu", None])),
        ("text[]", pa.array([["a"], None])),
        ("mood", pa.array(["happy", None])),
        ("moods", pa.array(["happy", None])),
        ("inet", pa.array(["10.0.0.1", None])),
        ("interval", pa.array(["P1DT2H", None])),
        ("int4range", pa.array(["[1,5)", None])),
        ("jsonb", pa.array(['{"a":1}', None], pa.json_())),
        ("json", pa.array(['{"a":1}', None])),
        ("timestamptz", pa.array([MOMENT, None], pa.timestamp("us", "UTC"))),
        ("timestamp(3)", pa.array([1, None], pa.timestamp("ms"))),
    ],
)
def test_a_table_that_is_there_takes_what_it_holds(write, sql, kind, rows):
    sql("CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE DOMAIN moods AS mood")
    if kind == "numeric(3,-2)":
        sql(f"CREATE TABLE t (a {kind})")
        assert code_of(write, pa.table({"a": rows})) == ["DAT029"]
        return
    sql(f"CREATE TABLE t (a {kind}, b int DEFAULT 7)")
    write(pa.table({"a": rows}))
    write(pa.table({"a": rows}), write_mode="replace")
    assert sql("SELECT count(*), count(a), min(b) FROM t") == [(len(rows), len(rows) - rows.null_count, 7)]


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("integer", pa.array([1], pa.int64())),
        ("real", pa.array([1.5])),
        ("numeric(4,1)", pa.array([D("1.50")], pa.decimal128(4, 2))),
        ("numeric(4,2)", pa.array([1], pa.int8())),
        ("double precision", pa.array([D("1.50")], pa.decimal128(4, 2))),
        ("timestamp(0)", pa.array(["2024-03-31"])),
        ("timestamptz", pa.array([MOMENT])),
        ("timestamp", pa.array([MOMENT], pa.timestamp("us", "UTC"))),
        ("text", pa.array([1])),
        ("integer", pa.array(["1"])),
        ("money", pa.array(["1.50"])),
        ("text", pa.array([["a"]])),
        ("integer[]", pa.array([1], pa.int32())),
        ("inet[]", pa.array([[10]])),
        ("text GENERATED ALWAYS AS ('x') STORED", pa.array(["x"])),
    ],
)
def test_a_table_that_cannot_hold_the_rows_is_refused_before_one_is_read(write, sql, kind, rows):
    def never():
        raise AssertionError("a row was asked for")
        yield

    sql(f"CREATE TABLE t (a {kind})")
    found = problems(write, (pa.schema([("a", rows.type)]), never()))
    assert [item.code for item in found] == ["DAT029"]
    assert "'a'" in found[0].message


def test_all_that_does_not_fit_is_told(write, sql):
    sql("CREATE TABLE t (name text, amount integer, needed integer NOT NULL, made integer NOT NULL DEFAULT 1)")
    found = problems(write, pa.table({"nam": ["x"], "amount": ["1"]}))
    assert [item.code for item in found] == ["DAT029"] * 3
    assert any(
        item.hint.startswith(f"did you mean 'name'? {REFRESH}; if the column is new, run ALTER") for item in found
    )
    assert any("needed" in item.message for item in found)
    sql("CREATE VIEW v AS SELECT * FROM t")
    assert code_of(write, pa.table({"name": ["x"]}), "v") == ["DAT029"]


@pytest.mark.parametrize(
    ("kind", "rows", "reason"),
    [
        ("varchar(2)", pa.array(["ab", "a  "]), "at most 2 characters"),
        ("char(2)", pa.array(["ab", "a"]), "exactly 2 characters"),
        ("text", pa.array(["a", "b\0c"]), "has no such texts"),
        ("date", pa.array([0, -719_163], pa.int32()).cast(pa.date32()), "not one of 1 to 9999"),
        ("date", pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32()), "not one of 1 to 9999"),
        ("timestamp", pa.array([0, -(2**63)], pa.int64()).cast(pa.timestamp("us")), "not one of 1 to 9999"),
        ("timestamp", pa.array([0, 2_932_897 * 86_400], pa.int64()).cast(pa.timestamp("s")), "not one of 1 to 9999"),
        ("timestamp", pa.array([0, 2**62], pa.int64()).cast(pa.timestamp("s")), "range"),
        ("text[]", pa.array([["a", "b"], ["c", "\0"]]), "has no such texts"),
    ],
)
def test_values_that_would_be_changed_are_refused_and_nothing_is_written(write, sql, kind, rows, reason):
    sql(f"CREATE TABLE t (a {kind})")
    found = problems(write, pa.table({"a": rows}))
    assert [item.code for item in found] == ["DAT015"]
    assert reason in found[0].message
    assert sql("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("timestamp[ns]", "microseconds"),
        ("time[ns]", "microseconds"),
        ("timestamp[us,Europe/Prague]", "cast it to UTC"),
        ('struct<"a":int8>', "JSON"),
        ("list<list<int8>>", "JSON"),
        ("list<timestamp[ns]>", "microseconds"),
    ],
)
def test_types_that_postgresql_does_not_have(place, kind, reason):
    (found,) = problems(Driver().check, Config("t"), (Field("a", kind),), place())
    assert found.code == "CMP012"
    assert reason in found.message


@pytest.mark.parametrize("name", ["", "a\0b", "ž" * 32, "ctid"])
def test_names_that_postgresql_does_not_have(place, name):
    assert code_of(Driver().check, Config("t"), (Field(name, "utf8"),), place()) == ["CMP012"]


def test_names_with_quotes_and_words_of_sql(write, sql):
    rows = pa.table({'a"b': [1], "select": [2], "a'b; DROP TABLE t; --": [3], "ž%s": [4], "a.b": [5], "A.b": [6]})
    name = 'x"; DROP SCHEMA public; -- %s'
    sql('CREATE SCHEMA "s""q"')
    for mode in ("append", "upsert", "upsert", "replace"):
        write(rows, name, schema='s"q', write_mode=mode, primary_key=['a"b', "select"])
    assert sql('SELECT * FROM "s""q"."x""; DROP SCHEMA public; -- %s"') == [(1, 2, 3, 4, 5, 6)]


def test_where_a_table_is(write, sql, place):
    sql("CREATE SCHEMA sales")
    rows = pa.table({"a": [1]})
    write(rows, "sales.one")
    write(rows, "sales.dotted", schema="public")
    write(rows, "two", ctx=place(fields={"schema": "sales"}))
    found = sql("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('sales', 'public') ORDER BY 1, 2")
    assert found == [("public", "sales.dotted"), ("sales", "one"), ("sales", "two")]
    assert code_of(write, rows, "a.b.c") == ["DRV007"]
    assert code_of(write, rows, "sale.one") == ["DRV071"]
    assert code_of(write, rows, "on", schema="sales", create_if_missing=False) == ["DRV012"]


def test_write_modes(write, sql):
    first = pa.table({"id": [1, 2], "name": ["a", "b"]})
    write(first, primary_key=["id"])
    sql("ALTER TABLE t ADD COLUMN more text DEFAULT 'kept'")
    sql("UPDATE t SET more = 'changed' WHERE id = 2")
    second = pa.table({"name": ["B", "c"], "id": [2, 3]})
    assert write(second, write_mode="upsert", primary_key=["id"]).rows == 2
    assert sql("SELECT * FROM t ORDER BY 1") == [(1, "a", "kept"), (2, "B", "changed"), (3, "c", "kept")]
    write(pa.table({"id": [9], "name": ["z"]}), write_mode="replace")
    assert sql("SELECT * FROM t") == [(9, "z", "kept")]
    write(first.slice(0, 0), write_mode="replace")
    assert sql("SELECT * FROM t") == []


def deleted(sql):
    """Return how many rows of the table were ever deleted; the server reports it with a delay."""
    until = time.monotonic() + SOON
    while not (found := sql("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 't'")[0][0]):
        if time.monotonic() > until:
            break
        time.sleep(0.05)
        sql("SELECT pg_stat_clear_snapshot()")
    return found


UPSERT = pa.table({"id": [2, 3], "name": ["B", "c"]})
SEEN = """
CREATE TABLE seen (what text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (TG_OP); RETURN NEW; END $$;
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION see();
TRUNCATE seen"""


def test_rows_are_exchanged_where_nobody_can_tell(write, sql):
    made = "n int GENERATED ALWAYS AS (1) STORED"
    sql(f"CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, {made})")
    sql("INSERT INTO t (name) VALUES ('a'), ('b')")
    assert write(UPSERT, write_mode="upsert", primary_key=["id"]).rows == 2
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "a", 1), (2, "B", 1), (3, "c", 1)]
    assert deleted(sql) == 1


def test_rows_are_updated_where_a_trigger_looks_on(write, sql):
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    sql(SEEN)
    write(UPSERT, write_mode="upsert", primary_key=["id"])
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, "c")]
    assert sorted(sql("SELECT what FROM seen")) == [("INSERT",), ("UPDATE",)]


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL", "NO ACTION"])
def test_rows_that_others_refer_to_are_updated(write, sql, rule):
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    sql(f"CREATE TABLE u (id bigint REFERENCES t ON DELETE {rule}); INSERT INTO u VALUES (1), (2)")
    write(UPSERT, write_mode="upsert", primary_key=["id"])
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, "c")]
    assert sql("SELECT * FROM u ORDER BY id") == [(1,), (2,)]


def test_who_may_not_delete_may_upsert_none_the_less(write, sql, place, server):
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    sql(f"GRANT INSERT, UPDATE, SELECT ON t TO {server[0].reader}")
    write(UPSERT, ctx=place(reader=True), write_mode="upsert", primary_key=["id"])
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, "c")]


def test_rights_to_columns_are_enough_for_an_upsert(write, sql, place, server):
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    sql(f"GRANT INSERT (id, name), UPDATE (id, name), SELECT ON t TO {server[0].reader}")
    write(UPSERT, ctx=place(reader=True), write_mode="upsert", primary_key=["id"])
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, "c")]


def test_who_waits_for_a_row_that_is_upserted_updates_the_new_one(write, sql, place, server):
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    told = []

    def update():
        with server[0].connect(server[1]) as other:
            told.extend(other.execute("UPDATE t SET name = name || '!' WHERE id = 2 RETURNING name").fetchall())

    def digest():  # requested when all rows are written and the transaction is still open
        thread.start()
        until = time.monotonic() + SOON
        while not sql(waiting)[0][0] and time.monotonic() < until:
            time.sleep(0.02)
        return {}

    thread = threading.Thread(target=update)
    write(UPSERT, ctx=place(run_key="x", digest=digest), write_mode="upsert", primary_key=["id"])
    thread.join()
    assert told == [("B!",)]
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "a"), (2, "B!"), (3, "c")]


def test_rows_are_updated_where_somebody_else_writes_the_table(write, sql, server):
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    with server[0].connect(server[1]) as other:
        other.execute("UPDATE t SET name = 'x' WHERE id = 1")
        write(UPSERT, write_mode="upsert", primary_key=["id"])
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "x"), (2, "B"), (3, "c")]


KEEP = """
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()"""


@pytest.mark.parametrize("keeper", [KEEP, "CREATE RULE keep AS ON DELETE TO t DO INSTEAD NOTHING"])
def test_rows_that_cannot_be_replaced_are_told(write, sql, keeper):
    sql(f"CREATE TABLE t (id bigint, name text); INSERT INTO t VALUES (1, 'a'); {keeper}")
    assert code_of(write, UPSERT, write_mode="replace") == ["DAT029"]
    assert sql("SELECT * FROM t") == [(1, "a")]


def test_row_security_hides_no_rows_from_a_replacement(write, sql, place, server):
    reader = server[0].reader
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')")
    sql(f"ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT ALL ON t TO {reader}")
    sql(f"CREATE POLICY own ON t TO {reader} USING (id > 1) WITH CHECK (true)")
    assert code_of(write, UPSERT, ctx=place(reader=True), write_mode="replace") == ["DAT029"]
    assert write(UPSERT, ctx=place(reader=True)).rows == 2
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, "c")]


def test_an_upsert_that_something_else_refuses_changes_nothing(write, sql):
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text CONSTRAINT once UNIQUE)")
    sql("INSERT INTO t VALUES (1, 'c'), (2, 'b')")
    (found,) = problems(write, UPSERT, write_mode="upsert", primary_key=["id"])
    assert (found.code, "'once'" in found.message) == ("DAT032", True)
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "c"), (2, "b")]


def test_an_upsert_of_nothing_but_the_key(write, sql):
    rows = pa.table({"a": [1, 2], "b": [1, 1]})
    for _ in range(2):
        write(rows, write_mode="upsert", primary_key=["b", "a"])
    assert sql("SELECT * FROM t ORDER BY 1") == [(1, 1), (2, 1)]
    twice = pa.table({"a": [3, 3], "b": [1, 1]})
    assert code_of(write, twice, write_mode="upsert", primary_key=["a", "b"]) == ["DAT028"]


@pytest.mark.parametrize(("ids", "problem"), [([1, 2, 1], "appears in 2 rows"), ([1, None, 2], "has NULL")])
def test_keys_that_do_not_name_one_row(write, sql, ids, problem):
    sql("CREATE TABLE t (id bigint UNIQUE, name text)")
    rows = pa.table({"id": pa.array(ids, pa.int64()), "name": ["a", "b", "c"]})
    (found,) = problems(write, rows, write_mode="upsert", primary_key=["id"])
    assert found.code == "DAT028"
    assert problem in found.message
    assert sql("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize(
    "index",
    ["", "UNIQUE (id, name)", "UNIQUE (id) DEFERRABLE", "partial", "expression"],
)
def test_an_upsert_needs_a_key_of_the_table(write, sql, index):
    sql(f"CREATE TABLE t (id bigint, name text{', ' + index if ' ' in index else ''})")
    more = {"partial": "(id) WHERE id > 0", "expression": "((id + 1))"}
    if index in more:
        sql(f"CREATE UNIQUE INDEX ON t {more[index]}")
    rows = pa.table({"id": [1], "name": ["a"]})
    assert code_of(write, rows, write_mode="upsert", primary_key=["id"]) == ["DAT029"]
    sql("CREATE UNIQUE INDEX ON t (id) INCLUDE (name)")
    if "DEFERRABLE" in index:
        assert code_of(write, rows, write_mode="upsert", primary_key=["id"]) == ["DAT029"]
        sql("ALTER TABLE t DROP CONSTRAINT t_id_key")
    write(rows, write_mode="upsert", primary_key=["id"])
    assert code_of(write, rows, write_mode="upsert", primary_key=["ids"]) == ["DAT005"]


@pytest.mark.parametrize(
    ("constraint", "named"),
    [
        ("CONSTRAINT once UNIQUE", "'once'"),
        ("CONSTRAINT positive CHECK (a > 0)", "'positive'"),
        ("CONSTRAINT known REFERENCES other (a)", "'known'"),
        ("NOT NULL", "column 'a'"),
        ("CONSTRAINT apart EXCLUDE (a WITH =)", "'apart'"),
    ],
)
def test_a_constraint_that_would_be_violated_is_named_and_nothing_is_written(write, sql, constraint, named):
    sql("CREATE TABLE other (a bigint PRIMARY KEY); INSERT INTO other VALUES (1)")
    comma = "," if "EXCLUDE" in constraint else ""
    sql(f"CREATE TABLE t (a bigint{comma} {constraint})")
    bad = {"'positive'": -5, "'known'": 5, "column 'a'": None}.get(named, 1)
    (found,) = problems(write, pa.table({"a": [1, bad]}))
    assert found.code == "DAT032"
    assert named in found.message
    assert sql("SELECT count(*) FROM t") == [(0,)]


def test_what_a_type_or_a_trigger_refuses(write, sql):
    sql("CREATE TYPE mood AS ENUM ('happy'); CREATE TABLE t (a mood)")
    assert code_of(write, pa.table({"a": ["angry"]})) == ["DAT032"]
    sql("CREATE TABLE u (a inet)")
    assert code_of(write, pa.table({"a": ["no address"]}), "u") == ["DAT032"]
    sql("CREATE TABLE v (a json)")
    assert code_of(write, pa.table({"a": ["{"]}), "v") == ["DAT032"]


def test_a_row_that_a_trigger_refuses_is_named_by_its_number(write, sql):
    sql("CREATE TABLE t (a bigint)")
    body = "BEGIN\n\n IF NEW.a = 3 THEN RAISE EXCEPTION 'no three'; END IF; RETURN NEW; END"
    sql(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
    sql("CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse()")
    (found,) = problems(write, pa.table({"a": [1, 2, 7, 8, 3]}))
    assert (found.code, found.message.endswith("row 5: no three")) == ("DAT032", True)


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_rows_that_a_trigger_drops_are_missed(write, sql, mode):
    sql("CREATE TABLE t (a bigint PRIMARY KEY, b text); INSERT INTO t VALUES (7)")
    sql("CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    sql("CREATE TRIGGER dropping BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.a = 2) EXECUTE FUNCTION drop_it()")
    config = {"primary_key": ["a"]} if mode == "upsert" else {}
    (found,) = problems(write, pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]}), write_mode=mode, **config)
    assert (found.code, "3 rows were sent" in found.message, "but 2 arrived" in found.message) == ("DRV015", True, True)
    assert sql("SELECT a FROM t") == [(7,)]


def test_identity_columns_partitions_and_inheritance(write, sql):
    sql("CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text) ")
    write(pa.table({"name": ["a", "b"]}))
    write(pa.table({"id": [2, 9], "name": ["B", "i"]}), write_mode="upsert", primary_key=["id"])
    assert sql("SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "B"), (9, "i")]
    sql("CREATE TABLE p (a bigint) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (5)")
    write(pa.table({"a": [1, 2]}), "p")
    write(pa.table({"a": [3]}), "p", write_mode="replace")
    assert sql("SELECT * FROM p") == [(3,)]
    assert code_of(write, pa.table({"a": [7]}), "p") == ["DAT032"]


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_a_run_delivers_once(write, sql, place, mode):
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (-1, 'old')")
    rows = pa.table({"id": [1, 2], "name": ["a", "b"]})
    for _ in range(2):
        told = write(rows, ctx=place(run_key="nightly/1"), write_mode=mode, primary_key=["id"])
        assert told.rows == 2
    assert told.earlier == {"kind": "test"}
    assert place.events == [("already_delivered", {"table": "public.t", "rows": 2})]
    assert sql(LEDGER) == [("nightly/1", "load", "public.t", 2)]
    assert sql("SELECT count(*) FROM t WHERE id > 0") == [(2,)]
    assert code_of(write, rows, ctx=place(run_key="nightly/1", plan="other"), write_mode=mode, primary_key=["id"]) == [
        "DRV014"
    ]


def source(kind, *pieces, raising=None):
    def batches():
        for piece in pieces:
            if callable(piece):
                piece()
            else:
                yield from piece.to_batches()
        if raising:
            raise raising

    return kind, batches()


OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'osiris' AND datname = current_database()"


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_a_source_that_fails_leaves_nothing(write, sql, place, mode):
    rows = pa.table({"id": [1, 2]})
    with pytest.raises(ZeroDivisionError):
        write(
            source(rows.schema, rows, raising=ZeroDivisionError()),
            ctx=place(run_key="x"),
            write_mode=mode,
            primary_key=["id"],
        )
    assert sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("_osiris_ledger",)]
    assert sql(LEDGER) == []
    wait_until(lambda: sql(OURS) == [(0,)])  # the server ends a session when it notices that its client has left


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_readers_see_the_old_or_the_new(write, server, mode):
    """The reader's transaction began before, and reads after: it would see a truncated table as empty."""
    rows = pa.table({"id": list(range(100))})
    write(rows, primary_key=["id"])
    with server[0].connect(server[1]) as reader:
        reader.autocommit = False
        reader.execute("SET default_transaction_isolation = 'repeatable read'")
        reader.commit()
        reader.execute("SELECT 1").fetchall()
        seen = set()

        def look():
            seen.update(reader.execute("SELECT count(*), min(id) FROM t").fetchall())

        more = pa.table({"id": list(range(100, 300))})
        write(source(more.schema, look, more, look), write_mode=mode, primary_key=["id"])
        look()
        reader.commit()
        assert seen == {(100, 0)}
        look()
        assert seen - {(100, 0)} == {(200, 100) if mode == "replace" else (300, 0)}


def test_a_table_that_is_changed_on_the_way_is_refused(write, sql, server):
    sql("CREATE TABLE t (a bigint, b text); CREATE TABLE u (a bigint, b text PRIMARY KEY)")
    rows = pa.table({"a": [1], "b": ["x"]})

    def change():
        sql("ALTER TABLE u ALTER COLUMN a TYPE double precision")

    found = code_of(write, source(rows.schema, rows, change), "u", write_mode="upsert", primary_key=["b"])
    assert found == ["DAT029"]
    assert sql("SELECT count(*) FROM u") == [(0,)]


def concurrently(count, call):
    """Call with 0, 1, … at the same time; returns the results and exceptions."""
    found, barrier = [None] * count, threading.Barrier(count)

    def run(number):
        barrier.wait()
        try:
            found[number] = call(number)
        except OsirisError as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_several_runs_at_once(write, sql, place, mode, tmp_path):
    """Neither the tables nor the ledger exist: all runs create both."""
    rows = pa.table({"id": list(range(500)), "name": ["x"] * 500})

    def call(number):
        ctx = place(run_key=f"run/{number}", scratch=tmp_path / str(number))
        return write(rows, ctx=ctx, write_mode=mode, **({} if mode == "append" else {"primary_key": ["id"]}))

    for written in concurrently(4, call):
        assert getattr(written, "rows", written) == 500
    assert sql("SELECT count(*), count(DISTINCT id) FROM t") == [(2000 if mode == "append" else 500, 500)]
    assert [row[3] for row in sql(LEDGER)] == [500] * 4


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_one_run_twice_at_once(write, sql, place, mode, tmp_path):
    rows = pa.table({"id": list(range(500)), "name": ["x"] * 500})

    def call(number):
        ctx = place(run_key="the same", scratch=tmp_path / str(number))
        return write(rows, ctx=ctx, write_mode=mode, **({} if mode == "append" else {"primary_key": ["id"]}))

    found = concurrently(3, call)
    assert sorted(str(written.earlier) for written in found) == ["None", *["{'kind': 'test'}"] * 2]
    assert sql("SELECT count(*) FROM t") == [(500,)]


def test_wrong_password_and_missing_rights(write, sql, place, server):
    rows = pa.table({"id": [1]})
    (found,) = problems(write, rows, ctx=place(fields={"password": "wr%ong"}))
    assert found.code == "CON012"
    assert "wr%ong" not in str(found)
    (found,) = problems(write, rows, ctx=place(reader=True))
    assert found.code == "DRV020"
    sql("CREATE TABLE t (id bigint PRIMARY KEY)")
    for mode, right in (("append", "INSERT"), ("replace", "INSERT, DELETE"), ("upsert", "INSERT, UPDATE, SELECT")):
        (found,) = problems(write, rows, ctx=place(reader=True), write_mode=mode, primary_key=["id"])
        assert found.code == "DRV020"
        assert found.hint == f'run GRANT {right} ON "public"."t" TO "{server[0].reader}"'
        sql(f"GRANT {right} ON t TO {server[0].reader}")
        write(pa.table({"id": [2]}), ctx=place(reader=True), write_mode=mode, primary_key=["id"])
        sql(f"REVOKE ALL ON t FROM {server[0].reader}; GRANT SELECT ON t TO {server[0].reader}")
    (found,) = problems(write, rows, ctx=place(reader=True, run_key="x"))
    assert found.code == "DRV020"


def test_a_lock_of_somebody_else_may_be_gone_later(write, sql, server):
    sql("CREATE TABLE t (id bigint); CREATE TABLE busy (id bigint)")
    sql(
        "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN LOCK TABLE busy IN SHARE MODE NOWAIT; RETURN NEW; END $$"
    )
    sql("CREATE TRIGGER look BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION look()")
    with server[0].connect(server[1]) as other:
        other.autocommit = False
        other.execute("INSERT INTO busy VALUES (1)")
        with pytest.raises(Unavailable) as caught:
            write(pa.table({"id": [1]}))
    assert [found.code for found in caught.value.diagnostics] == ["DRV011"]
    write(pa.table({"id": [1]}))


def test_runs_that_write_the_same_rows_in_another_order(write, sql, place, tmp_path):
    """Each would wait for a row of the other; instead they run one after the other."""
    write(pa.table({"id": list(range(5000)), "name": ["old"] * 5000}), primary_key=["id"])

    def call(number):
        ids = list(range(5000))[:: 1 if number % 2 else -1]
        ctx = place(run_key=f"run/{number}", scratch=tmp_path / str(number))
        rows = pa.table({"id": ids, "name": [str(number)] * 5000})
        return write(rows, ctx=ctx, write_mode="upsert", primary_key=["id"])

    for written in concurrently(4, call):
        assert getattr(written, "rows", written) == 5000
    assert sql("SELECT count(*), count(DISTINCT name) FROM t") == [(5000, 1)]


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_step_that_is_cancelled_ends_and_writes_nothing(write, sql, place, server, mode):
    sql("CREATE TABLE t (id bigint PRIMARY KEY)")
    stop = threading.Event()
    rows = pa.table({"id": [1]})

    with server[0].connect(server[1]) as other:
        other.autocommit = False
        other.execute("INSERT INTO t VALUES (1)")
        once(lambda: sql(f"{OURS} AND wait_event_type = 'Lock'") != [(0,)], stop.set)
        began = time.monotonic()
        found = code_of(write, rows, ctx=place(cancelled=stop.is_set), write_mode=mode, primary_key=["id"])
        assert time.monotonic() - began < SOON
        other.rollback()
    assert found == ["RUN003"]
    assert sql("SELECT count(*) FROM t") == [(0,)]


def test_a_connection_that_ends_on_the_way(write, sql, place):
    rows = pa.table({"id": list(range(100_000))})

    def end():
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'osiris'")

    with pytest.raises(Unavailable) as caught:
        write(source(rows.schema, rows, end, rows), ctx=place(run_key="x"))
    assert [found.code for found in caught.value.diagnostics] == ["CON014"]
    assert sql(LEDGER) == []
    assert write(rows, ctx=place(run_key="x")).rows == 100_000
    assert sql("SELECT count(*) FROM t") == [(100_000,)]


def test_no_secret_in_what_is_told(write, sql, place, server):
    sql("CREATE TABLE t (a bigint CONSTRAINT once UNIQUE)")
    found = problems(write, pa.table({"a": [1, 1]}))
    found += problems(write, pa.table({"a": [1, 1]}), ctx=place(fields={"port": 1}))
    found += problems(write, pa.table({"a": [1, 1]}), ctx=place(fields={"database": "no such"}))
    assert [item.code for item in found] == ["DAT032", "CON011", "CON013"]
    assert server[0].password not in str(found)


def test_many_rows_in_pieces_of_every_size(write, sql):
    count = 50_000
    rows = pa.table(
        {
            "id": list(range(count)),
            "name": [None if n % 7 == 0 else "x" * (n % 50) for n in range(count)],
            "tags": pa.array([None if n % 5 == 0 else [str(n)] * (n % 3) for n in range(count)]),
        }
    )
    for index, size in enumerate((1000, 7777, None)):
        write(rows, f"t{index}", size=size, batch_size=(1, 333, 16384)[index] if index else 777)
        assert sql(f"SELECT count(*), count(name), sum(length(name)), sum(cardinality(tags)) FROM t{index}") == [
            (
                count,
                count - rows["name"].null_count,
                sum(len(v) for v in rows["name"].to_pylist() if v),
                sum(len(v) for v in rows["tags"].to_pylist() if v),
            )
        ]


def test_rows_without_columns_of_the_table_and_without_rows(write, sql):
    sql("CREATE TABLE t (a bigint DEFAULT 3, b text)")
    assert write(pa.table({"b": pa.array([], pa.utf8())})).rows == 0
    write(pa.table({"b": ["x"]}))
    assert sql("SELECT * FROM t") == [(3, "x")]


def test_what_is_committed_survives_the_server(tmp_path):
    """The step overrides a server that does not wait for its disk; and the server soon notices a lost client."""
    with start_postgres("synchronous_commit=off") as server:
        fields = server.fields()
        connection = {**fields, "password": Secret(fields["password"])}
        ctx = StepContext("load", tmp_path, tmp_path, tmp_path / "s", connection=connection)
        schema = (Field("a", "int64"),)
        rows = stream(schema, pa.table({"a": [1]}).to_batches(), "fixed")
        with server.connect() as other:
            other.execute("CREATE TABLE seen (setting text); CREATE TABLE t (a bigint)")
            other.execute(
                "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN INSERT INTO seen SELECT current_setting('synchronous_commit') || current_setting("
                "'tcp_keepalives_idle'); RETURN NEW; END $$"
            )
            other.execute("CREATE TRIGGER see BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION see()")
            Driver().write(Config("t"), rows, ctx)
            assert other.execute("SELECT setting FROM seen").fetchall() == [("on15",)]


CONNECTIONS = """
connections:
  postgres:
    target: {host: %(host)s, port: %(port)s, database: "%(database)s", user: "%(user)s", password: "${TARGET_PASSWORD}"}
"""
PIPELINE = """
oml_version: "0.1.0"
name: load
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, needs: [], config: {path: rows.csv}}
  - {id: out, component: postgres.writer, mode: write, needs: [rows], config: {connection: "@postgres.target", %s}}
"""


@pytest.fixture
def project(tmp_path, osiris, server):
    """`project(config)` runs a pipeline that writes two rows, with the installed command; returns its code and JSON."""

    def run(config, password=None, **changes):
        fields = {**server[0].fields(server[1]), **changes}
        (tmp_path / "osiris.yaml").write_text("")
        (tmp_path / "osiris_connections.yaml").write_text(CONNECTIONS % fields)
        (tmp_path / "rows.csv").write_text("id,name\n1,a\n2,b\n")
        (tmp_path / "load.yaml").write_text(PIPELINE % config)
        env = {"TARGET_PASSWORD": password or fields["password"]}
        done = osiris("run", "load.yaml", "--json", "--new-run", cwd=tmp_path, env=env)
        logs = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("logs/**/*") if path.is_file())
        assert env["TARGET_PASSWORD"] not in logs + done.stdout + done.stderr
        told = json.loads(done.stdout)
        errors = [item for item in told["diagnostics"] if item["severity"] == "error"]
        return done.returncode, [(item["code"], item["line"]) for item in errors]

    return run


def test_the_installed_command(project, sql):
    assert project("table: t, mode: overwrite") == (0, [])
    assert project("table: public.t, write_mode: merge, upsert_keys: [id]") == (6, [("DAT029", 6)])
    sql("ALTER TABLE t ADD PRIMARY KEY (id)")
    assert project("table: public.t, write_mode: merge, upsert_keys: [id]") == (0, [])
    assert project("table: t, batch_size: 1") == (1, [("DAT032", 6)])
    assert sql("SELECT * FROM t ORDER BY id") == [(1, "a"), (2, "b")]


def test_the_installed_command_says_where_the_mistake_is(project, sql, server):
    assert project("table: x._osiris_ledger")[0] == 2
    assert project("table: t, write_mode: upsert")[0] == 2
    assert project("table: t", password="wrong one") == (3, [("CON012", 4)])
    assert project("table: t", port=1) == (3, [("CON011", 4)])
    reader = {"user": server[0].reader, "password": server[0].reader_password}
    assert project("table: t", **reader) == (1, [("DRV020", 6)])
    assert project("table: nowhere.t") == (1, [("DRV071", 6)])


def test_a_table_that_a_crash_empties_is_told(write, sql, place):
    sql("CREATE UNLOGGED TABLE t (a bigint)")
    write(pa.table({"a": [1]}))
    ((event, told),) = place.events
    assert (event, told["table"], "a crash of the server empties it" in told["reason"]) == (
        "unlogged_table",
        "public.t",
        True,
    )


def test_tables_that_inherit_keep_their_rows(write, sql):
    """An append affects only the one table; a delete, or an upsert by key, would do the wrong thing."""
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text); CREATE TABLE child () INHERITS (t)")
    sql("INSERT INTO child VALUES (1, 'child')")
    write(UPSERT)
    for mode, why in (("replace", "would be deleted too"), ("upsert", "unique in each of them alone")):
        (found,) = problems(write, UPSERT, write_mode=mode, primary_key=["id"])
        assert (found.code, "inherit from it (child)" in found.message, why in found.message) == ("DAT029", True, True)
    assert sql("SELECT name FROM ONLY t ORDER BY id") == [("B",), ("c",)]
    assert sql("SELECT name FROM child") == [("child",)]
    write(UPSERT, "child", write_mode="replace")
    sql("DROP TABLE child")
    write(UPSERT, write_mode="replace")


TWICE = '{"a": [{"b": 1, "c": {"x": 1}, "b": 2}]}'


@pytest.mark.parametrize(
    ("kind", "value", "taken"),
    [
        ("jsonb", pa.array([TWICE], pa.json_()), False),
        ("jsonb", pa.array(['{"\\u0061": 1, "a": 2}'], pa.json_()), False),
        ("jsonb", pa.array(['{"a": "\\"a\\": 1, \\"a\\": 2", "b": {"a": 1}}'], pa.json_()), True),
        ("json", pa.array([TWICE], pa.json_()), True),
        ("interval", pa.array(["1.0000001 seconds"]), False),
        ("interval", pa.array(["PT0.123456S"]), True),
        ("interval", pa.array(["PT0.123456000S"]), False),
        ("interval", pa.array(["1 day 02:00:00"]), True),
        ("interval[]", pa.array([["1 day", "P1D", None]]), True),
        ("interval[]", pa.array([["1 day", "24 h"]]), False),
        ("inet[]", pa.array([["10.0.0.1", "10.0.0.1/32", None]]), True),
        ("inet[]", pa.array([["010.0.0.1"]]), False),
        ("tsvector", pa.array(["the fat cat the"]), False),
        ("tsvector", pa.array(["'cat':3 'fat':2"]), True),
        ("xml", pa.array(['<?xml version="1.0" encoding="UTF-8"?><a/>']), False),
        ("jsonpath", pa.array(["$.a"]), False),
        ("box", pa.array(["(0,3),(3,0)"]), False),
        ("int4range", pa.array(["[1,5]"]), False),
        ("macaddr", pa.array(["08-00-2B-01-02-05"]), False),
        ("pg_lsn", pa.array(["0/00AB"]), False),
        ("timetz", pa.array(["12:00:00.1234567+00"]), False),
        ("tsrange", pa.array(["[2024-01-01 00:00:00.0000001,)"]), False),
        ("numrange", pa.array(["[1.0000001,2)"]), True),
    ],
)
def test_values_that_a_column_would_change_without_a_word(write, sql, kind, value, taken):
    sql(f"CREATE TABLE t (id bigint, a {kind})")
    rows = pa.table({"id": [1], "a": value})
    if taken:
        write(rows)
    else:
        (found,) = problems(write, rows)
        assert (found.code, "column 'a'" in found.message, "in row 1" in found.message) == ("DAT015", True, True)
    assert sql("SELECT count(*) FROM t") == [(taken,)]


LOOSE = "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"


@pytest.mark.parametrize("extra", ["", ", more int DEFAULT 5"])
@pytest.mark.parametrize("kind", ["text COLLATE loose", "citext"])
def test_keys_that_are_equal_and_differ(write, sql, kind, extra):
    """The new row replaces the other, including its key; and two such input rows have the same key."""
    sql(f"{LOOSE}; CREATE EXTENSION IF NOT EXISTS citext SCHEMA public")
    sql(f"CREATE TABLE t (id {kind} PRIMARY KEY, name text{extra}); INSERT INTO t VALUES ('a', 'old'), ('x', 'kept')")
    write(pa.table({"id": ["A", "b"], "name": ["new", "b"]}), write_mode="upsert", primary_key=["id"])
    assert sql('SELECT id, name FROM t ORDER BY id COLLATE "C"') == [("A", "new"), ("b", "b"), ("x", "kept")]
    twice = pa.table({"id": ["c", "C"], "name": ["1", "2"]})
    (found,) = problems(write, twice, write_mode="upsert", primary_key=["id"])
    assert (found.code, "appears in 2 rows" in found.message) == ("DAT028", True)
