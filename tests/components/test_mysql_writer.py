"""MySQL tables: every value arrives unchanged or is rejected; each delivery happens once, completely or not at all."""

import datetime as dt
import decimal
import threading
import uuid
from dataclasses import replace

import pyarrow as pa
import pytest
from tests.general_log import logged
from tests.servers import start_mariadb

from osiris.components.mysql_extractor.driver import Config as ReadConfig
from osiris.components.mysql_extractor.driver import Driver as Reader
from osiris.components.mysql_writer.driver import Config, Driver
from osiris.driver import References, StepContext
from osiris.errors import OsirisError
from osiris.secret import Secret
from osiris.table import stream
from osiris.types import schema_of

D = decimal.Decimal
CASES = {
    "bool": (pa.bool_(), [True, False]),
    "int8": (pa.int8(), [-128, 127]),
    "uint8": (pa.uint8(), [0, 255]),
    "int16": (pa.int16(), [-(2**15), 2**15 - 1]),
    "uint16": (pa.uint16(), [2**16 - 1]),
    "int32": (pa.int32(), [-(2**31), 2**31 - 1]),
    "uint32": (pa.uint32(), [2**32 - 1]),
    "int64": (pa.int64(), [-(2**63), 2**63 - 1]),
    "uint64": (pa.uint64(), [0, 2**64 - 1]),
    "float32": (pa.float32(), [3.4028234663852886e38, 1.401298464324817e-45, 16777217.0]),
    "float64": (pa.float64(), [5e-324, -1.7976931348623157e308, 0.1]),
    "utf8": (pa.utf8(), ["", "NULL", "\\N", 'a"b,c\n\r\t\\', "é 😀\0", "x" * 70_000, " blanks "]),
    "binary": (pa.binary(), [b"", bytes(range(256)), b"\0" * 70_000]),
    "date": (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "time[s]": (pa.time32("s"), [dt.time(23, 59, 59)]),
    "time[us]": (pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999_999)]),
    "timestamp[s]": (pa.timestamp("s"), [dt.datetime(1969, 12, 31, 23, 59, 59)]),  # noqa: DTZ001
    "timestamp[us]": (pa.timestamp("us"), [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)]),  # noqa: DTZ001
    "aware": (pa.timestamp("us", "UTC"), [dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)]),
    "decimal": (pa.decimal128(15, 2), [D("-9999999999999.99"), D("0.01")]),
    "wide decimal": (pa.decimal256(65, 30), [D("-" + "9" * 35 + "." + "9" * 30)]),
    "uuid": (pa.uuid(), [uuid.UUID(int=0).bytes, uuid.UUID(int=2**128 - 1).bytes]),
    "json": (pa.json_(), ['{"b": 1,  "a": [1.0, null]}', "null"]),
}
LENGTH = 2 + max(len(values) for _, values in CASES.values())
EVERYTHING = pa.table(
    {"id": pa.array(range(LENGTH), pa.int64())}
    | {
        name: pa.array([None, *values, *[None] * (LENGTH - 1 - len(values))], kind)
        for name, (kind, values) in CASES.items()
    }
)


@pytest.fixture
def database(mariadb):
    return mariadb.new_database()


@pytest.fixture
def ctx(mariadb, database, tmp_path):
    return context(mariadb, database, tmp_path)


def context(server, database, folder, reader=False, **more):
    fields = server.fields(database, reader=reader)
    connection = fields | {"password": Secret(fields["password"])}
    digest = lambda: {"rows": "known"}  # noqa: E731
    return StepContext("load", folder, folder, folder, connection=connection, plan="p", digest=digest, **more)


@pytest.fixture
def rows_of(mariadb, database):
    def call(query):
        with mariadb.connect(database) as client, client.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    return call


def write(given, ctx, /, **config):
    schema = schema_of(given.schema)
    Driver().check(Config(**config), schema, ctx)
    return Driver().write(Config(**config), stream(schema, given.to_batches(), "fixed"), ctx)


def read(ctx, **config):
    described = Reader().describe(ReadConfig(**config), ctx)
    return Reader().read(ReadConfig(**config), described.schema, ctx).reader().read_all()


def codes(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return [found.code for found in caught.value.diagnostics]


def table(ids, name="n"):
    return pa.table({"id": pa.array(ids, pa.int32()), "name": pa.array([f"{name} {i}" for i in ids], pa.utf8())})


def assert_same(found, given):
    for name in given.column_names:
        assert found[name].to_pylist() == given[name].to_pylist(), name


def test_every_value_arrives_as_it_is(ctx, tmp_path):
    given = EVERYTHING
    assert write(given, ctx, table="made", primary_key="id").rows == LENGTH
    assert_same(read(ctx, table="made"), given)
    types = {field.name: field.type for field in schema_of(read(ctx, table="made").schema)}
    moments = {"time[s]": "time[us]", "timestamp[s]": "timestamp[us]", "bool": "int8"}
    expected = {field.name: moments.get(field.name, field.type) for field in schema_of(given.schema)}
    assert types == expected


def test_every_value_arrives_where_no_rows_can_be_loaded(database, tmp_path):
    told = []
    with start_mariadb("local-infile=0") as server:
        ctx = context(server, server.database, tmp_path, emit=lambda event, fields: told.append(event))
        write(EVERYTHING, ctx, table="made")
        found = read(ctx, table="made").sort_by("id")
        assert_same(found, EVERYTHING)
        assert codes(write, table([1, 1]), ctx, table="keyed", primary_key="id") == ["DAT032"]
    assert told == ["new_table", "batched_inserts"] * 2


def test_modes(ctx, rows_of):
    write(table([1, 2, 3]), ctx, table="t", primary_key="id")
    write(table([4]), ctx, table="t")
    assert rows_of("SELECT COUNT(*) FROM t") == [(4,)]
    write(table([3, 5], "new"), ctx, table="t", write_mode="upsert", primary_key=["id"])
    assert rows_of("SELECT name FROM t ORDER BY id") == [("n 1",), ("n 2",), ("new 3",), ("n 4",), ("new 5",)]
    write(table([9]), ctx, table="t", write_mode="replace")
    assert rows_of("SELECT * FROM t") == [(9, "n 9")]
    write(table([7]), ctx, table="t", truncate_before=True)
    assert rows_of("SELECT * FROM t") == [(7, "n 7")]
    write(table([]), ctx, table="t", write_mode="replace")
    assert rows_of("SELECT * FROM t") == []


INVISIBLE = {
    "key": "id INT INVISIBLE DEFAULT 0 PRIMARY KEY, name LONGTEXT",
    "value": "id INT PRIMARY KEY, name LONGTEXT INVISIBLE",
    "both": "seen INT, id INT INVISIBLE DEFAULT 0 PRIMARY KEY, name LONGTEXT INVISIBLE",
    "two unique": "seen INT, id INT INVISIBLE DEFAULT 0 PRIMARY KEY, name VARCHAR(40) INVISIBLE UNIQUE",
    "listed": "id INT PRIMARY KEY, name ENUM('n 1', 'n 2', 'n 3', 'm 2', 'm 3', 'ž 😀') INVISIBLE",
}


@pytest.mark.parametrize("files", [0, 1])
@pytest.mark.parametrize("on_reject", ["fail", "quarantine"])
@pytest.mark.parametrize("declared", INVISIBLE)
def test_invisible_columns_are_written_as_others(ctx, mariadb, database, rows_of, declared, on_reject, files):
    mariadb.run(
        f"SET GLOBAL local_infile = {files}",
        f"CREATE TABLE t ({INVISIBLE[declared]}, other INT INVISIBLE DEFAULT 7)",
        database=database,
    )
    ctx = replace(ctx, on_reject=on_reject)
    rows = "SELECT id, name, other FROM t ORDER BY id"
    try:
        for number, mode in enumerate(("append", "upsert", "replace")):
            given = table([[1, 2], [2, 3], [3]][number], "nmn"[number])
            write(given, replace(ctx, plan=mode), table="t", write_mode=mode, primary_key="id")
            assert (
                rows_of(rows)
                == [
                    [(1, "n 1", 7), (2, "n 2", 7)],
                    [(1, "n 1", 7), (2, "m 2", 7), (3, "m 3", 7)],
                    [(3, "n 3", 7)],
                ][number]
            )
    finally:
        mariadb.run("SET GLOBAL local_infile = 1")
    assert read(ctx, table="t").select(["id", "name", "other"]).to_pylist() == [{"id": 3, "name": "n 3", "other": 7}]


@pytest.mark.parametrize("computed", ["VIRTUAL", "STORED", "VIRTUAL INVISIBLE", "STORED INVISIBLE"])
def test_columns_that_the_server_computes_are_not_written(ctx, mariadb, database, computed):
    mariadb.run(f"CREATE TABLE t (id INT PRIMARY KEY, name LONGTEXT AS ('x') {computed})", database=database)
    with pytest.raises(OsirisError) as caught:
        write(table([1]), ctx, table="t")
    assert "its column 'name' is computed by the server" in caught.value.diagnostics[0].message
    write(table([1]).select(["id"]), ctx, table="t")
    assert read(ctx, table="t").to_pylist() == [{"id": 1, "name": "x"}]


def test_an_upsert_never_takes_another_row_for_its_own(ctx, mariadb, database, rows_of):
    mariadb.run(
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20) UNIQUE, more INT DEFAULT 5)",
        "INSERT INTO t VALUES (1, 'n 1', 8), (2, 'other', 8)",
        database=database,
    )
    write(table([1, 3]), ctx, table="t", write_mode="upsert", primary_key="id")
    assert rows_of("SELECT * FROM t ORDER BY id") == [(1, "n 1", 8), (2, "other", 8), (3, "n 3", 5)]
    clash = pa.table({"id": pa.array([9], pa.int32()), "name": ["other"]})
    assert codes(write, clash, ctx, table="t", write_mode="upsert", primary_key="id") == ["DAT032"]
    assert rows_of("SELECT COUNT(*) FROM t") == [(3,)]


def test_keys_that_the_table_takes_for_equal_are_refused(ctx, mariadb, database):
    mariadb.run("CREATE TABLE t (k VARCHAR(20) PRIMARY KEY)", database=database)
    assert codes(write, pa.table({"k": ["a", "A"]}), ctx, table="t", write_mode="upsert", primary_key="k") == ["DAT032"]
    assert codes(write, pa.table({"k": ["a", "a"]}), ctx, table="t", write_mode="upsert", primary_key="k") == ["DAT028"]
    write(pa.table({"k": ["a", "A", "a "]}), ctx, table="made", write_mode="upsert", primary_key="k")
    assert read(ctx, table="made").num_rows == 3


def test_a_delivery_happens_once(ctx, rows_of):
    told = []
    once = replace(ctx, run_key="nightly", emit=lambda event, fields: told.append(event))
    assert write(table([1, 2]), once, table="t").rows == 2
    again = write(table([1, 2]), once, table="t")
    assert (again.rows, again.earlier, told) == (2, {"rows": "known"}, ["new_table", "already_delivered"])
    assert rows_of("SELECT COUNT(*) FROM t") == [(2,)]
    assert rows_of("SELECT run_key, step, target, `rows` FROM _osiris_ledger") == [("nightly", "load", "t", 2)]
    assert codes(write, table([1]), replace(once, plan="other"), table="t") == ["DRV014"]


def test_two_attempts_at_one_delivery_deliver_once(ctx, rows_of):
    once = replace(ctx, run_key="nightly")
    write(table([0]), ctx, table="t")
    found = []
    attempts = [
        threading.Thread(target=lambda n=n: found.append(write(table(range(20_000)), parted(once, n), table="t").rows))
        for n in range(3)
    ]
    for attempt in attempts:
        attempt.start()
    for attempt in attempts:
        attempt.join()
    assert found == [20_000] * 3
    assert rows_of("SELECT COUNT(*) FROM t") == [(20_001,)]


def parted(ctx, number):
    return replace(ctx, scratch=ctx.scratch / str(number))


def test_who_reads_meanwhile_sees_the_old_rows_or_the_new(ctx, rows_of):
    write(table(range(30_000), "old"), ctx, table="t", primary_key="id")
    done = threading.Event()
    work = threading.Thread(
        target=lambda: (write(table(range(20_000)), ctx, table="t", write_mode="replace"), done.set())
    )
    work.start()
    seen = {rows_of("SELECT COUNT(*) FROM t")[0][0]}
    while not done.is_set():
        seen.add(rows_of("SELECT COUNT(*) FROM t")[0][0])
    work.join()
    assert seen <= {30_000, 20_000}


@pytest.mark.parametrize(
    ("made", "given", "code"),
    [
        ("name VARCHAR(20)", pa.table({"name": ["ok", "x" * 21]}), "DAT032"),
        ("name CHAR(20)", pa.table({"name": ["blank "]}), "DAT015"),
        ("name VARCHAR(20) CHARACTER SET latin1", pa.table({"name": ["😀"]}), "DAT032"),
        ("name VARCHAR(20) NOT NULL", pa.table({"name": ["a", None]}), "DAT032"),
        ("name VARCHAR(20) CHECK (name <> 'a')", pa.table({"name": ["a"]}), "DAT032"),
        ("n DOUBLE", pa.table({"n": [float("nan")]}), "DAT015"),
        ("n DOUBLE", pa.table({"n": [float("inf")]}), "DAT015"),
        ("n BINARY(4)", pa.table({"n": [b"123"]}), "DAT015"),
        ("n TIMESTAMP(6) NULL", pa.table({"n": pa.array([-1], pa.timestamp("us", "UTC"))}), "DAT032"),
        ("n DATE", pa.table({"n": pa.array([-800_000], pa.date32())}), "DAT015"),
        ("n INT", pa.table({"n": pa.array([1], pa.int64())}), "DAT029"),
        ("n INT UNSIGNED", pa.table({"n": pa.array([1], pa.int32())}), "DAT029"),
        ("n DATETIME", pa.table({"n": pa.array([1], pa.timestamp("us"))}), "DAT015"),
        ("n ENUM('a', 'b')", pa.table({"n": ["A"]}), "DAT015"),
        ("other INT", pa.table({"n": [1]}), "DAT029"),
        ("n INT, must INT NOT NULL", pa.table({"n": pa.array([1], pa.int32())}), "DAT029"),
        ("n INT, m INT AS (n + 1)", pa.table({"m": pa.array([1], pa.int32())}), "DAT029"),
    ],
)
def test_what_does_not_fit_is_refused_whole(ctx, mariadb, database, rows_of, made, given, code):
    mariadb.run(f"CREATE TABLE t ({made})", database=database)
    assert codes(write, given, ctx, table="t") == [code]
    assert rows_of("SELECT COUNT(*) FROM t") == [(0,)]


def test_values_of_a_list_are_asked_for_only_by_who_writes_them(ctx, mariadb, database, rows_of):
    """The catalogue shows `?` for 😀, and only a temporary table shows the real letters."""
    mariadb.run("CREATE TABLE t (id INT CHECK (id < 5), e ENUM('?', '😀'))", database=database)
    given = pa.table({"id": pa.array([7], pa.int32())})
    with logged(mariadb) as sent:
        Driver().confirm(Config(table="t"), schema_of(given.schema), ctx)
        with pytest.raises(OsirisError, match=r"column 'id': its check does not hold: `id` < 5"):
            write(given, ctx, table="t")
    assert any(text.startswith("LOAD DATA") for text in sent)
    assert [text for text in sent if text.startswith(("CREATE TEMPORARY", "DROP"))] == []
    for mode in ("append", "replace"):
        write(pa.table({"e": ["😀", "?", None]}), replace(ctx, plan=mode), table="t", write_mode=mode)
    assert rows_of("SELECT e FROM t") == [("😀",), ("?",), (None,)]


def test_tables_without_transactions_are_refused(ctx, mariadb, database):
    mariadb.run("CREATE TABLE t (id INT) ENGINE = MyISAM", "CREATE VIEW v AS SELECT id FROM t", database=database)
    given = pa.table({"id": pa.array([1], pa.int32())})
    assert codes(write, given, ctx, table="t") == ["DAT029"]
    assert codes(write, given, ctx, table="v") == ["DAT029"]


def test_a_table_whose_rows_are_versioned_is_refused_for_that(ctx, mariadb, database):
    mariadb.run("CREATE TABLE t (id INT) ENGINE = InnoDB WITH SYSTEM VERSIONING", database=database)
    with pytest.raises(OsirisError) as caught:
        write(pa.table({"id": pa.array([1], pa.int32())}), ctx, table="t")
    assert "versions of its rows" in str(caught.value)


def test_types_that_mysql_has_not_are_refused_before_anything_runs(ctx):
    columns = {
        "a": pa.array([[1]]),
        "b": pa.array([1], pa.timestamp("ns")),
        "c": pa.array([1], pa.timestamp("us", "Europe/Prague")),
        "d": pa.array([D(1)], pa.decimal256(66, 0)),
        "e" * 65: [1],
    }
    for name, column in columns.items():
        schema = schema_of(pa.table({name: column}).schema)
        assert codes(Driver().check, Config(table="t"), schema, ctx) == ["CMP012"], name


def test_a_missing_table_or_right_is_told(ctx, mariadb, database, tmp_path):
    assert codes(write, table([1]), ctx, table="t", create_if_missing=False) == ["DRV012"]
    reader = context(mariadb, database, tmp_path, reader=True)
    assert codes(write, table([1]), reader, table="t") == ["DRV020"]
    mariadb.run("CREATE TABLE t (id INT, name TEXT)", database=database)
    assert codes(write, table([1]), reader, table="t") == ["DRV020"]
    wrong = replace(ctx, connection={**ctx.connection, "password": Secret("wrong")})
    assert codes(write, table([1]), wrong, table="t") == ["CON012"]


def test_a_key_that_nothing_keeps_unique_is_refused(ctx, mariadb, database):
    mariadb.run("CREATE TABLE t (id INT, name TEXT, KEY (id))", database=database)
    assert codes(write, table([1]), ctx, table="t", write_mode="upsert", primary_key="id") == ["DAT029"]


def test_a_target_that_others_hold_is_told(ctx, mariadb, database):
    write(table([1]), ctx, table="t", primary_key="id")
    stop = threading.Event()
    with mariadb.connect(database) as other, other.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("UPDATE t SET name = 'held'")
        threading.Timer(1, stop.set).start()
        cancelled = replace(ctx, cancelled=stop.is_set)
        assert codes(write, table([2]), cancelled, table="t", write_mode="replace") == ["RUN003"]
        cursor.execute("ROLLBACK")


# Foreign keys


@pytest.fixture
def people(mariadb, database):
    """Return the configs of two tables, of which the second refers to the first."""
    key = "id INT PRIMARY KEY, person INT"
    mariadb.run(
        f"CREATE TABLE people ({key})",
        f"CREATE TABLE orders ({key}, FOREIGN KEY (person) REFERENCES people (id))",
        database=database,
    )
    return [Config(table=name, write_mode="upsert", primary_key="id") for name in ("people", "orders")]


def test_no_system_schema_is_opened_to_find_foreign_keys(ctx, mariadb, people):
    with mariadb.connect() as client, client.cursor() as cursor:
        cursor.execute("FLUSH TABLES")
        assert Driver().references(people, ctx).keys == {(1, 0, "orders_ibfk_1")}
        for schema in ("mysql", "performance_schema", "sys"):
            cursor.execute(f"SHOW OPEN TABLES FROM {schema}")
            assert [name for _, name, *_ in cursor.fetchall()] == []


def test_foreign_keys_are_found_while_other_tables_come_and_go(ctx, mariadb, people):
    """The server opens the tables of all other databases to answer."""
    other, stop = mariadb.new_database(), threading.Event()

    def change():
        made = f"CREATE TABLE `{other}`.a (id INT PRIMARY KEY, b INT REFERENCES a (id))"
        while not stop.is_set():
            mariadb.run(made, f"ALTER TABLE `{other}`.a ADD c INT", f"DROP TABLE `{other}`.a")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        keys = frozenset({(1, 0, "orders_ibfk_1")})
        assert {Driver().references(people, ctx) for _ in range(100)} == {References(keys, "row")}
    finally:
        stop.set()
        changing.join()
