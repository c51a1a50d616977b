"""A table that others alter while it is read: all rows are from one of its states, or the step fails."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import pytest
from tests.faults.test_servers import READERS, Desk
from tests.patience import SOON, wait_until

from osiris.errors import OsirisError

OLD = [(1, "one"), (2, "two"), (3, None)]
NEW = [(7, "seven"), (8, "eight"), (9, "nine")]
PATIENT = {"connect_timeout": SOON, "read_timeout": SOON}
CHANGED = ("DAT005", "DAT011", "DRV012", "DRV013", "SQL006", "SQL009")
"""Errors of a source that has changed."""


def values(rows):
    return ", ".join(f"({number}, {'NULL' if name is None else repr(name)})" for number, name in rows)


@pytest.fixture
def desk(request, tmp_path):
    """A database with the table `t`, a table of the same form, and others through which `t` can be read."""
    kind = request.param
    desk = Desk(request.getfixturevalue(kind), kind, tmp_path)
    desk.sql("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20), rest INT)")
    desk.sql("CREATE TABLE n (id INT PRIMARY KEY, name VARCHAR(20), rest INT)")
    desk.sql(f"INSERT INTO t (id, name) VALUES {values(OLD)}", "CREATE VIEW v AS SELECT id, name, rest FROM t")
    if kind == "postgres":
        desk.sql("CREATE TABLE p (id INT PRIMARY KEY, name VARCHAR(20), rest INT) PARTITION BY RANGE (id)")
        desk.sql("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)", "INSERT INTO p SELECT * FROM t")
        desk.sql("CREATE MATERIALIZED VIEW m AS SELECT id, name FROM p")
    return desk


def begin(desk, columns=("id", "name"), user=None, **config):
    """Describe a source as a run does, and return a function that then reads its rows."""
    reader = READERS[desk.kind]
    given = {"columns": columns} if "table" in config else {}
    config, driver, ctx = reader.Config(**given, **config), reader.Driver(), desk.ctx(**PATIENT, **(user or {}))
    source = driver.read(config, driver.describe(config, ctx).schema, ctx)

    def finish():
        try:
            return sorted(tuple(row.values()) for row in source.reader().read_all().to_pylist())
        except OsirisError as error:
            return error.diagnostics[0].code

    return finish


WAITING = {
    "postgres": "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
    "mariadb": "information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock%' AND DB = DATABASE()",
}


def waiting(desk):
    """Return how many sessions wait for another session's lock."""
    ((count,),) = desk.sql(f"SELECT COUNT(*) FROM {WAITING[desk.kind]}")
    return count


@contextmanager
def altering(desk, texts):
    """Alter a table in a transaction that ends with the block."""
    with desk.server.connect(desk.database) as client, client.cursor() as cursor:
        for text in ("BEGIN", *texts):
            cursor.execute(text)
        yield
        cursor.execute("COMMIT")


def read_behind(finish, desk, waiters=1):
    """Read in a thread, and return once it waits for a lock."""
    pool = ThreadPoolExecutor(1)
    reading = pool.submit(finish)
    wait_until(lambda: reading.done() or waiting(desk) >= waiters)
    assert not reading.done(), reading.result()
    return reading


FILL = f"INSERT INTO {{}} (id, name) VALUES {values(NEW)}"
ALTERED = {
    "emptied and filled": (["TRUNCATE t", FILL.format("t")], NEW),
    "written anew": (["ALTER TABLE t ADD COLUMN more DOUBLE PRECISION DEFAULT random()"], OLD),
    "swapped": ([FILL.format("n"), "DROP VIEW v", "ALTER TABLE t RENAME TO o", "ALTER TABLE n RENAME TO t"], NEW),
    "column made anew": (
        [
            "DROP VIEW v",
            "ALTER TABLE t DROP COLUMN name",
            "ALTER TABLE t ADD COLUMN name VARCHAR(20) DEFAULT 'x'",
            "UPDATE t SET name = 'y'",
        ],
        [(number, "y") for number, _ in OLD],
    ),
    "retyped": (["DROP VIEW v", "ALTER TABLE t ALTER COLUMN name TYPE INT USING length(name)"], CHANGED),
    "dropped column": (["DROP VIEW v", "ALTER TABLE t DROP COLUMN name"], CHANGED),
    "other column dropped": (["DROP VIEW v", "ALTER TABLE t DROP COLUMN rest"], OLD),
    "gone": (["DROP TABLE t CASCADE"], CHANGED),
}
QUERY = "SELECT id, name FROM t"


@pytest.mark.parametrize("config", [{"table": "t"}, pytest.param({"query": QUERY}, marks=pytest.mark.long)], ids=str)
@pytest.mark.parametrize(("texts", "truth"), ALTERED.values(), ids=ALTERED)
@pytest.mark.parametrize("desk", ["postgres"], indirect=True)
def test_altered_in_postgres_while_a_step_is_about_to_read(desk, config, texts, truth):
    """The reader has to wait for the change, which no earlier snapshot contains."""
    finish = begin(desk, **config)
    with altering(desk, texts):
        reading = read_behind(finish, desk)
    assert_told(reading.result(SOON), truth)


def assert_told(found, truth):
    """The rows are those of the table, or the step reports that it has changed; nothing else."""
    assert found in truth if isinstance(truth, tuple) else found == truth, found


THROUGH = {
    "view": ({"table": "v"}, "t", NEW),
    "view in a query": ({"query": "SELECT id, name FROM v ORDER BY id"}, "t", NEW),
    "partitions": ({"table": "p"}, "p1", NEW),
    "partitions in a query": ({"query": "SELECT id, name FROM public.p"}, "p1", NEW),
    "several": ({"query": "SELECT a.id, a.name FROM t AS a JOIN n AS b ON a.id = b.id"}, "t", []),
}


@pytest.mark.parametrize("role", ["owner", "one who may read single columns"])
@pytest.mark.parametrize(("config", "table", "truth"), THROUGH.values(), ids=THROUGH)
@pytest.mark.parametrize("desk", ["postgres"], indirect=True)
def test_whatever_a_table_of_postgres_is_read_through(desk, config, table, truth, role):
    user = None
    if role != "owner":
        user = {"user": desk.server.reader, "password": desk.server.reader_password}
        for name in "tnvp":
            desk.sql(f"REVOKE ALL ON {name} FROM reader", f"GRANT SELECT (id, name) ON {name} TO reader")
    finish = begin(desk, user=user, **config)
    with altering(desk, [f"TRUNCATE {table}", FILL.format(table)]):
        reading = read_behind(finish, desk)
    assert reading.result(SOON) == truth


@pytest.mark.parametrize("config", [{"table": "m"}, {"query": "SELECT id, name FROM m"}], ids=str)
@pytest.mark.parametrize("how", ["refreshed", "made anew"])
@pytest.mark.parametrize("desk", ["postgres"], indirect=True)
def test_a_materialized_view_that_is_filled_again(desk, config, how):
    finish = begin(desk, **config)
    desk.sql("TRUNCATE p", FILL.format("p"))
    made = ["DROP MATERIALIZED VIEW m", "CREATE MATERIALIZED VIEW m AS SELECT id, name FROM p"]
    with altering(desk, made if how == "made anew" else ["REFRESH MATERIALIZED VIEW m"]):
        reading = read_behind(finish, desk)
    assert reading.result(SOON) == NEW


COUNT = 200_000
"""More rows than the sockets and the step hold together while nobody takes any."""


@pytest.mark.parametrize("desk", ["postgres", "mariadb"], indirect=True)
def test_who_alters_a_table_waits_for_who_reads_it(desk):
    """In the middle of the rows the table is unchanged: the remaining rows have the same columns."""
    series = {"postgres": "generate_series(1, {}) AS s(seq)", "mariadb": "seq_1_to_{}"}[desk.kind].format(COUNT)
    desk.sql("CREATE TABLE long_one (id INT PRIMARY KEY, name VARCHAR(400))")
    desk.sql(f"INSERT INTO long_one SELECT seq, REPEAT('x', 400) FROM {series}")
    reader = READERS[desk.kind]
    config, driver, ctx = reader.Config(table="long_one", batch_size=1000), reader.Driver(), desk.ctx(**PATIENT)
    batches = driver.read(config, driver.describe(config, ctx).schema, ctx).batches()
    read = [next(batches)]
    with ThreadPoolExecutor(1) as pool, closing(batches):
        alter = pool.submit(desk.sql, "ALTER TABLE long_one DROP COLUMN name, ADD COLUMN name VARCHAR(400) DEFAULT 'y'")
        wait_until(lambda: waiting(desk))
        read += batches
        alter.result(SOON)
    rows = [(row["id"], row["name"][:1]) for batch in read for row in batch.to_pylist()]
    assert rows == [(number, "x") for number in range(1, COUNT + 1)]
    assert desk.sql("SELECT MIN(name), MAX(name) FROM long_one") == [("y", "y")]


IN_MARIADB = {
    "swapped": ("RENAME TABLE t TO o, n TO t", NEW),
    "written anew": ("ALTER TABLE t ENGINE = InnoDB", OLD),
    "column added": ("ALTER TABLE t ADD COLUMN more INT DEFAULT 5", OLD),
    "other column dropped": ("ALTER TABLE t DROP COLUMN rest", OLD),
    "column made anew": (
        "ALTER TABLE t DROP COLUMN name, ADD COLUMN name VARCHAR(20) DEFAULT 'x'",
        [(1, "x"), (2, "x"), (3, "x")],
    ),
    "retyped": ("ALTER TABLE t MODIFY name TEXT(100), MODIFY id BIGINT", CHANGED),
    "dropped column": ("ALTER TABLE t DROP COLUMN name", CHANGED),
    "emptied": ("TRUNCATE t", []),
    "gone": ("DROP TABLE t", CHANGED),
}


@pytest.mark.parametrize(
    "config", [{"query": QUERY}, *(pytest.param({"table": name}, marks=pytest.mark.long) for name in "tv")], ids=str
)
@pytest.mark.parametrize(("text", "truth"), IN_MARIADB.values(), ids=IN_MARIADB)
@pytest.mark.parametrize("desk", ["mariadb"], indirect=True)
def test_altered_in_mariadb_while_a_step_is_about_to_read(desk, config, text, truth):
    """One session reads the table, another waits with an ALTER, and the step waits behind both."""
    if config == {"table": "v"} and text == IN_MARIADB["other column dropped"][0]:
        truth = CHANGED  # it has that column
    finish = begin(desk, **config)
    desk.sql(FILL.format("n"))
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        stack.enter_context(altering(desk, ["SELECT * FROM t"]))
        alter = pool.submit(desk.sql, text)
        wait_until(lambda: waiting(desk))
        reading = read_behind(finish, desk, 2)
        stack.close()
        alter.result(SOON)
        assert_told(reading.result(SOON), truth)
