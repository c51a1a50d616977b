"""Pipelines that read only what is new, with the installed command and real databases."""

import hashlib
import json
import os
import sqlite3
import time

import duckdb
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet
from tests.e2e.databases import Side
from tests.general_log import logged

PIPELINE = """
oml_version: "0.3.0"
name: {name}
steps:
  - id: orders
    component: {source}.extractor
    mode: read
    config: {{connection: "@{source}.shop", table: orders, cursor: {cursor}}}
  - id: copy
    component: {target}.writer
    mode: write
    needs: [orders]
    config: {{connection: "@{target}.copy", table: orders_copy, {mode}}}
"""
UPSERT, APPEND = "write_mode: upsert, primary_key: [id]", "write_mode: append"
STAMPED = "{column: updated_at}"


TABLE = {
    "postgres": "id bigint PRIMARY KEY, amount numeric(9,2), updated_at timestamptz NOT NULL DEFAULT now()",
    "mysql": "id bigint PRIMARY KEY, amount numeric(9,2), updated_at timestamp(3) NOT NULL DEFAULT now(3), "
    "KEY (updated_at)",
}


@pytest.fixture(params=["postgres", "mysql"])
def shop(tmp_path, osiris, request):
    """A project with two databases of a server: `shop.run(cursor, mode)` runs the pipeline and returns its JSON."""
    server = request.getfixturevalue({"mysql": "mariadb"}.get(request.param, request.param))
    return Shop(tmp_path, osiris, server, request.param)


class Shop:
    def __init__(self, root, osiris, server, family):
        self.root, self.osiris, self.server, self.family = root, osiris, server, family
        self.source, self.target = server.new_database(), server.new_database()
        fields = {"shop": server.fields(self.source), "copy": server.fields(self.target)}
        secrets = {alias: each.pop("password") for alias, each in fields.items()}
        declared = {alias: {**each, "password": f"${{{alias.upper()}_PASSWORD}}"} for alias, each in fields.items()}
        self.env = {f"{alias.upper()}_PASSWORD": text for alias, text in secrets.items()}
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": {family: declared}}))
        self.sql(f"CREATE TABLE orders ({TABLE[family]})")

    def sql(self, *statements, database=None):
        self.server.run(*statements, database=database or self.source)

    def rows(self, statement, database=None):
        with self.server.connect(database or self.target) as connection, connection.cursor() as client:
            client.execute(statement)
            return list(client.fetchall())

    def writer(self):
        """Return a client of the source in an open transaction; its `execute` writes, `commit` ends it."""
        connection = self.server.connect(self.source)
        client = connection.cursor()
        client.execute("BEGIN")
        return client

    def copied(self):
        return self.rows("SELECT id, amount FROM orders_copy ORDER BY 1, 2")

    def run(self, cursor=STAMPED, mode=UPSERT, *arguments, code=0, name="orders"):
        path = self.root / "pipelines" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(PIPELINE.format(name=name, source=self.family, target=self.family, cursor=cursor, mode=mode))
        done = self.osiris("run", path, "--json", *arguments, cwd=self.root, env=self.env)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


def codes(answer):
    return [each["code"] for each in answer["diagnostics"] if each["severity"] == "error"]


def read(answer):
    return answer["data"]["steps"]["orders"]["rows_in"]


def written(answer):
    return answer["data"]["steps"]["copy"]["rows_out"]


def fill(shop, rows):
    """Insert rows whose stamps are one minute apart."""
    earlier = {"postgres": "now() - {} * interval '1 min'", "mysql": "now(3) - INTERVAL {} MINUTE"}[shop.family]
    for start in range(1, rows + 1, 1000):
        values = (f"({n}, {n}, {earlier.format(n)})" for n in range(start, min(start + 1000, rows + 1)))
        shop.sql(f"INSERT INTO orders VALUES {', '.join(values)}")


@pytest.mark.parametrize("mode", [UPSERT, APPEND])
@pytest.mark.parametrize("cursor", [STAMPED, "{column: updated_at, late: {lag: 1s}}", "{column: id, late: row_xids}"])
def test_a_second_run_reads_only_what_is_new(shop, mode, cursor):
    if shop.family == "mysql" and "row_xids" in cursor:  # MySQL shows no transaction ids of rows
        assert codes(shop.run(cursor, mode, code=2)) == ["STA008"]
        return
    fill(shop, 1000)
    assert written(shop.run(cursor, mode)) == 1000
    shop.sql("INSERT INTO orders (id, amount) VALUES (1001, 5)")
    answer = shop.run(cursor, mode)
    assert read(answer) <= 2
    assert written(answer) == 1
    assert written(shop.run(cursor, mode)) == 0 or "row_xids" in cursor
    assert len(shop.copied()) == 1001


def test_a_target_is_asked_for_earlier_deliveries_only_if_something_is_new(tmp_path, osiris, mariadb):
    shop = Shop(tmp_path, osiris, mariadb, "mysql")
    fill(shop, 10)
    shop.run()
    with logged(mariadb) as nothing_new:
        assert written(shop.run()) == 0
    shop.sql("INSERT INTO orders (id, amount) VALUES (11, 5)")
    with logged(mariadb) as one_row:
        assert written(shop.run()) == 1
    asked = [sum("_osiris_ledger` WHERE run_key" in text for text in each) for each in (nothing_new, one_row)]
    assert asked[0] == 0
    assert asked[1] > 0


def test_who_stamps_the_rows_is_no_part_of_a_state(shop):
    fill(shop, 10)
    shop.run(STAMPED)
    assert written(shop.run("{column: updated_at, stamped_by: server}")) == 0


def test_a_late_row_is_read(shop):
    fill(shop, 10)
    late = shop.writer()
    late.execute("INSERT INTO orders (id, amount) VALUES (100, 1)")
    time.sleep(2.5)
    shop.sql("INSERT INTO orders (id, amount) VALUES (11, 1)")
    shop.run(STAMPED, APPEND)
    assert [row[0] for row in shop.copied()] == list(range(1, 12))
    late.execute("COMMIT")
    shop.run(STAMPED, APPEND)
    assert [row[0] for row in shop.copied()] == [*range(1, 12), 100]
    assert written(shop.run(STAMPED, APPEND)) == 0
    late.connection.close()


STAMP = {
    "sqlite": "DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP",
    "duckdb": "TIMESTAMP NOT NULL DEFAULT get_current_timestamp()",
}
LOCAL = "{column: updated_at, zone: UTC}"


class Files:
    """A project whose source is a database file; its target is one too, or a database of PostgreSQL."""

    def __init__(self, root, osiris, source, target, server=None):
        self.root, self.osiris, self.source, self.target, self.server = root, osiris, source, target, server
        connections = {source: {"shop": {"path": "shop.db"}}}
        self.env = {}
        if server:
            self.database = server.new_database()
            fields = server.fields(self.database)
            self.env = {"COPY_PASSWORD": fields.pop("password")}
            connections[target] = {"copy": {**fields, "password": "${COPY_PASSWORD}"}}
        else:
            connections.setdefault(target, {})["copy"] = {"path": "copy.db"}
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": connections}))
        self.sql(f"CREATE TABLE orders (id bigint PRIMARY KEY, amount bigint, updated_at {STAMP[source]})")

    def open(self, family, path):
        return duckdb.connect(path) if family == "duckdb" else sqlite3.connect(path, isolation_level=None)

    def sql(self, *statements):
        client = self.open(self.source, self.root / "shop.db")
        answers = [client.execute(statement).fetchall() for statement in statements]
        client.close()
        return answers[-1]

    def copied(self):
        query = "SELECT id, amount FROM orders_copy ORDER BY 1, 2"
        if self.server:
            with self.server.connect(self.database) as connection, connection.cursor() as client:
                client.execute(query)
                return client.fetchall()
        client = self.open(self.target, self.root / "copy.db")
        rows = client.execute(query).fetchall()
        client.close()
        return rows

    def run(self, cursor=LOCAL, mode=UPSERT, code=0):
        path = self.root / "pipelines" / "orders.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            PIPELINE.format(name="orders", source=self.source, target=self.target, cursor=cursor, mode=mode)
        )
        done = self.osiris("run", path, "--json", cwd=self.root, env=self.env)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def files(tmp_path, osiris):
    return lambda source, target, server=None: Files(tmp_path, osiris, source, target, server)


@pytest.mark.parametrize("mode", [UPSERT, APPEND])
@pytest.mark.parametrize("ends", [("sqlite", "duckdb"), ("duckdb", "sqlite"), ("sqlite", "sqlite")])
def test_database_files_copy_only_what_is_new(files, ends, mode):
    shop = files(*ends)
    shop.sql(
        "INSERT INTO orders (id, amount) SELECT range, range FROM range(1000)"
        if ends[0] == "duckdb"
        else "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) "
        "INSERT INTO orders (id, amount) SELECT i, i FROM n"
    )
    shop.sql("UPDATE orders SET updated_at = '2024-02-29 12:00:00' WHERE id < 990")
    assert written(shop.run(LOCAL, mode)) == 1000
    shop.sql("INSERT INTO orders (id, amount) VALUES (1000, 5)")
    answer = shop.run(LOCAL, mode)
    assert (read(answer) <= 11, written(answer)) == (True, 1)
    shop.sql("UPDATE orders SET amount = 7, updated_at = CURRENT_TIMESTAMP WHERE id = 1")
    assert written(shop.run(LOCAL, mode)) == 1
    assert written(shop.run(LOCAL, mode)) == 0
    expected = {UPSERT: 1001, APPEND: 1002}[mode]
    assert (len(shop.copied()), (1, 7) in shop.copied()) == (expected, True)


@pytest.mark.parametrize("mode", [UPSERT, APPEND])
def test_a_database_file_is_copied_to_a_server(files, postgres, mode):
    shop = files("sqlite", "postgres", postgres)
    shop.sql("INSERT INTO orders VALUES (1, 1, '2024-01-01'), (2, 2, '2024-01-02 10:00:00')")
    assert written(shop.run(LOCAL, mode)) == 2
    shop.sql("INSERT INTO orders VALUES (3, 3, '2024-01-02T10:00:00.5'), (4, 4, '2024-01-02 09:00')")
    assert written(shop.run(LOCAL, mode)) == 1
    assert shop.copied() == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("mode", [UPSERT, APPEND])
def test_times_of_sqlite_in_several_spellings(files, mode):
    shop = files("sqlite", "sqlite")
    shop.sql(
        "DROP TABLE orders", "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount, at TIMESTAMPTZ_TEXT(6) NOT NULL)"
    )
    cursor, source = "{column: at, late: none}", shop.root / "shop.db"
    insert = "INSERT INTO orders VALUES (?, 1, ?)"
    with sqlite3.connect(source) as client:
        client.execute("ALTER TABLE orders DROP COLUMN amount")
        client.execute("ALTER TABLE orders ADD COLUMN amount BIGINT")
        insert = "INSERT INTO orders (id, at, amount) VALUES (?, ?, 1)"
        client.executemany(insert, [(1, "2024-05-31T19:00:00Z"), (2, "2024-05-31 19:30:00+00:00")])
    assert written(shop.run(cursor, mode)) == 2
    with sqlite3.connect(source) as client:
        later = [(3, "2024-06-01T00:30:00.000001+05:00"), (4, "2024-05-31 14:31-0500"), (5, "2024-05-31 19:29:59Z")]
        client.executemany(insert, later)
    assert written(shop.run(cursor, mode)) == 2
    assert [row[0] for row in shop.copied()] == [1, 2, 3, 4]
    assert written(shop.run(cursor, mode)) == 0
    with sqlite3.connect(source) as client:
        client.execute(insert, (6, 1717180200))
    assert codes(shop.run(cursor, mode, code=1)) == ["DAT001"]


def test_times_in_seconds_are_compared_with_a_mark_between_them(files):
    shop = files("sqlite", "sqlite")
    table = "CREATE TABLE orders (id BIGINT PRIMARY KEY, amount BIGINT, updated_at TIMESTAMP_TEXT(0) NOT NULL)"
    shop.sql("DROP TABLE orders", table)
    shop.sql("INSERT INTO orders VALUES (1, 1, '2024-01-01 09:59:59'), (2, 2, '2024-01-01 10:00:00')")
    cursor = "{column: updated_at, late: {lag: 500ms}, zone: UTC}"
    assert written(shop.run(cursor, APPEND)) == 2
    assert (written(shop.run(cursor, APPEND)), len(shop.copied())) == (0, 2)


FALLS = {
    "Europe/Prague": ["00:50", "02:10", "02:50", "02:05", "02:40", "02:55", "03:05", "04:30"],
    "Antarctica/Troll": ["00:50", "02:20", "02:50", "01:05", "01:20", "02:10", "02:59", "03:05", "05:30"],
}
"""Times of rows in the order in which they come, while clocks go back by one hour, and by two."""


@pytest.mark.parametrize("mode", [UPSERT, APPEND])
@pytest.mark.parametrize("zone", FALLS)
def test_rows_are_written_once_where_clocks_go_back(files, zone, mode):
    shop = files("sqlite", "duckdb")
    cursor = f"{{column: updated_at, late: {{lag: 15m}}, zone: {zone}}}"
    for number, clock in enumerate(FALLS[zone]):
        shop.sql(f"INSERT INTO orders VALUES ({number}, 1, '2026-10-25 {clock}:00')")
        shop.run(cursor, mode)
    shop.run(cursor, mode)
    assert [row[0] for row in shop.copied()] == list(range(len(FALLS[zone])))


CHANGES = {
    "forward": ("{lag: 15m}", [["2026-03-29 01:50", "2026-03-29 03:05"], ["2026-03-29 01:55"]]),
    "forward by a day": ("{lag: 24h}", [["2026-03-28 02:30", "2026-03-29 03:20"], ["2026-03-28 02:25"]]),
    "back": (
        "none",
        [["2026-10-25 01:15", "2026-10-25 01:30"], ["2026-10-25 01:45"], ["2026-10-25 02:05"], ["2026-10-25 02:06"]],
    ),
}
"""How late rows may be, and the local times of the rows that come before each run."""


@pytest.mark.parametrize("source", ["sqlite", "duckdb"])
@pytest.mark.parametrize("mode", [UPSERT, APPEND])
@pytest.mark.parametrize("change", CHANGES)
def test_late_rows_are_written_once_where_clocks_change(files, change, mode, source):
    shop = files(source, "duckdb")
    late, runs = CHANGES[change]
    cursor = f"{{column: updated_at, late: {late}, zone: Europe/Prague}}"
    for number, clocks in enumerate(runs):
        for index, clock in enumerate(clocks):
            shop.sql(f"INSERT INTO orders VALUES ({10 * number + index}, 1, '{clock}:00')")
        shop.run(cursor, mode)
    shop.run(cursor, mode)
    expected = [10 * number + index for number, clocks in enumerate(runs) for index in range(len(clocks))]
    assert [row[0] for row in shop.copied()] == expected


@pytest.mark.parametrize("kind", ["UBIGINT", "UINTEGER", "BIGINT"])
def test_a_lag_is_cut_at_the_least_value_of_the_column(files, kind):
    shop = files("duckdb", "duckdb")
    least = -(2**63) if kind == "BIGINT" else 0
    shop.sql("DROP TABLE orders", f"CREATE TABLE orders (id {kind} NOT NULL PRIMARY KEY, amount BIGINT)")
    shop.sql(f"INSERT INTO orders VALUES ({least + 1}, 1), ({least + 5}, 1)")
    cursor = "{column: id, late: {lag: 10}}"
    assert written(shop.run(cursor, APPEND)) == 2
    shop.sql(f"INSERT INTO orders VALUES ({least + 3}, 1)")
    assert (written(shop.run(cursor, APPEND)), len(shop.copied())) == (1, 3)


def test_decimals_of_sqlite_are_compared_as_numbers(files):
    shop = files("sqlite", "sqlite")
    shop.sql("DROP TABLE orders", "CREATE TABLE orders (id DECIMAL_TEXT(25,0) NOT NULL PRIMARY KEY, amount BIGINT)")
    shop.sql("INSERT INTO orders VALUES ('9', 1)")
    cursor = "{column: id, late: none}"
    assert written(shop.run(cursor)) == 1
    shop.sql("INSERT INTO orders VALUES ('10', 1), ('1000000000000000000000000', 1)")
    assert written(shop.run(cursor)) == 2
    assert (written(shop.run(cursor)), len(shop.copied())) == (0, 3)


@pytest.mark.parametrize(
    ("source", "stamp", "code"),
    [
        ("sqlite", "DATETIME NOT NULL DEFAULT (datetime('now'))", None),
        ("sqlite", "DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))", None),
        ("sqlite", "DATETIME NOT NULL DEFAULT (datetime('now', '-1 day'))", "STA008"),
        ("sqlite", "DATETIME NOT NULL DEFAULT '2024-01-01'", "STA008"),
        ("sqlite", "DATETIME NOT NULL DEFAULT current_date", "STA008"),
        ("sqlite", "DATETIME NOT NULL DEFAULT (datetime('now', 'localtime', 'utc'))", "STA008"),
        ("sqlite", "DATETIME NOT NULL DEFAULT (strftime('%Y-%M-%d %H:%m:%S', 'now'))", "STA008"),
        ("sqlite", "DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%d', 'now'))", "STA008"),
        ("sqlite", "INTEGER NOT NULL DEFAULT (unixepoch())", "STA007"),
        ("duckdb", "TIMESTAMPTZ NOT NULL DEFAULT now()", None),
        ("duckdb", "TIMESTAMP NOT NULL DEFAULT CAST(current_timestamp AT TIME ZONE 'UTC' AS TIMESTAMP)", None),
        ("duckdb", "TIMESTAMP NOT NULL DEFAULT (now() - INTERVAL 1 DAY)::TIMESTAMP", "STA008"),
        ("duckdb", "TIMESTAMP NOT NULL DEFAULT CAST(now() AT TIME ZONE 'Asia/Tokyo' AS TIMESTAMP)", "STA008"),
        ("duckdb", "TIMESTAMP NOT NULL DEFAULT current_date", "STA008"),
        ("duckdb", "TIMESTAMPTZ NOT NULL DEFAULT timezone('UTC', current_localtimestamp())", "STA008"),
    ],
)
def test_which_columns_are_stamped_in_database_files(files, source, stamp, code):
    shop = files(source, "sqlite")
    shop.sql("DROP TABLE orders", f"CREATE TABLE orders (id BIGINT PRIMARY KEY, amount BIGINT, updated_at {stamp})")
    answer = shop.run(LOCAL, code=2 if code else 0)
    assert codes(answer) == ([code] if code else [])


def test_a_trigger_stamps_a_column_of_sqlite(files):
    shop = files("sqlite", "sqlite")
    shop.sql(
        "DROP TABLE orders",
        "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, amount BIGINT, updated_at DATETIME NOT NULL)",
    )
    assert codes(shop.run(code=2)) == ["STA008"]
    shop.sql(
        "CREATE TRIGGER changed AFTER UPDATE OF amount ON orders BEGIN "
        "UPDATE orders SET amount = new.amount, updated_at = datetime('now') WHERE id = new.id; END"
    )
    assert codes(shop.run(code=2)) == ["STA008"]
    shop.sql(
        "CREATE TRIGGER added AFTER INSERT ON orders BEGIN "
        "UPDATE orders SET updated_at = datetime('now') WHERE id = new.id; END"
    )
    assert codes(shop.run()) == []


@pytest.mark.parametrize(
    ("key", "where", "code"),
    [
        ("id BIGINT NOT NULL PRIMARY KEY", "id", None),
        ("id INTEGER PRIMARY KEY", "id", None),
        ("id BIGINT PRIMARY KEY", "rowid", None),
        ("id BIGINT PRIMARY KEY", "_rowid_", None),
        ("id BIGINT PRIMARY KEY", "id", "STA008"),
        ("id BIGINT UNIQUE", "id", "STA008"),
        ("id BIGINT PRIMARY KEY, rowid BIGINT", "rowid", "STA008"),
        ("id BIGINT PRIMARY KEY, rowid BIGINT", "oid", None),
    ],
)
def test_a_trigger_of_sqlite_finds_its_row_by_what_is_never_null(files, key, where, code):
    shop = files("sqlite", "sqlite")
    shop.sql(
        "DROP TABLE orders",
        f"CREATE TABLE orders ({key}, amount BIGINT, updated_at DATETIME NOT NULL DEFAULT '2020-01-01')",
        "CREATE TRIGGER added AFTER INSERT ON orders BEGIN "
        f"UPDATE orders SET updated_at = datetime('now') WHERE {where} = new.{where}; END",
    )
    assert codes(shop.run(code=2 if code else 0)) == ([code] if code else [])


@pytest.mark.parametrize(
    ("when", "table", "body"),
    [
        (
            "AFTER",
            "orders",
            "WHEN new.amount > 1 BEGIN UPDATE orders SET updated_at = datetime('now') WHERE id = new.id; END",
        ),
        ("AFTER", "orders", "BEGIN UPDATE orders SET updated_at = datetime('now', '-1 day') WHERE id = new.id; END"),
        (
            "AFTER",
            "orders",
            "BEGIN UPDATE orders SET updated_at = datetime('now') WHERE id = new.id AND amount > 1; END",
        ),
        (
            "AFTER",
            "orders",
            "BEGIN UPDATE orders SET amount = 1 /* , updated_at = datetime('now') */ WHERE id = new.id; END",
        ),
        ("AFTER", "orders", "BEGIN SELECT 'UPDATE orders SET updated_at = datetime(''now'') WHERE id = new.id;'; END"),
        (
            "AFTER",
            "orders",
            "BEGIN UPDATE orders SET updated_at = datetime('now'), updated_at = 1 WHERE id = new.id; END",
        ),
        ("BEFORE", "orders", "BEGIN UPDATE orders SET updated_at = datetime('now') WHERE id = new.id; END"),
        ("AFTER", "items", "BEGIN UPDATE orders SET updated_at = datetime('now') WHERE id = new.id; END"),
        ("AFTER", "orders", "BEGIN UPDATE items SET updated_at = datetime('now') WHERE id = new.id; END"),
    ],
)
def test_another_trigger_of_sqlite_shows_nothing(files, when, table, body):
    shop = files("sqlite", "sqlite")
    shop.sql(
        "DROP TABLE orders",
        "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, amount BIGINT, updated_at DATETIME NOT NULL)",
        "CREATE TABLE items (id BIGINT PRIMARY KEY, updated_at DATETIME)",
        f"CREATE TRIGGER added {when}\nINSERT ON {table} {body}",
    )
    assert codes(shop.run(code=2)) == ["STA008"]


@pytest.mark.parametrize("source", ["sqlite", "duckdb"])
def test_rows_of_database_files_show_no_transactions(files, source):
    assert codes(files(source, "sqlite").run("{column: id, late: row_xids}", code=2)) == ["STA008"]


FILES = """
oml_version: "0.3.0"
name: inbox
steps:
  - id: orders
    component: filesystem.{kind}_extractor
    mode: read
    config: {{path: "{path}", cursor: files}}
  - id: copy
    component: {target}.writer
    mode: write
    needs: [orders]
    config: {{connection: "@{target}.copy", table: orders_copy, {mode}}}
"""


class Inbox(Files):
    """A project whose source are files of a kind in the folder `in`."""

    def __init__(self, root, osiris, kind="csv", target="sqlite"):
        self.root, self.osiris, self.kind, self.target, self.server, self.env = root, osiris, kind, target, None, {}
        self.path = f"in/*.{kind}"
        connections = {target: {"copy": {"path": "copy.db"}}}
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": connections}))
        (root / "in").mkdir()

    def put(self, name, *rows, age=3600):
        """Write a file of rows (id, amount), last modified `age` seconds ago."""
        path = self.root / "in" / f"{name}.{self.kind}"
        if self.kind == "parquet":
            columns = {"id": [row[0] for row in rows], "amount": [row[1] for row in rows]}
            parquet.write_table(pa.table(columns), path)
        elif self.kind == "json":
            path.write_text("\n".join(json.dumps({"id": key, "amount": amount}) for key, amount in rows))
        else:
            path.write_text("".join(["id,amount\n", *(f"{key},{amount}\n" for key, amount in rows)]))
        when = time.time_ns() - int(age * 1e9)
        os.utime(path, ns=(when, when))
        return path

    def run(self, mode=APPEND, code=0):
        path = self.root / "pipelines" / "inbox.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(FILES.format(kind=self.kind, path=self.path, target=self.target, mode=mode))
        done = self.osiris("run", path, "--json", cwd=self.root, env=self.env)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def state(self):
        client = sqlite3.connect(self.root / "copy.db")
        ((version, content),) = client.execute("SELECT version, content FROM _osiris_state").fetchall()
        client.close()
        return version, json.loads(content)


@pytest.mark.parametrize("mode", [UPSERT, APPEND])
@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_only_new_and_changed_files_are_read(tmp_path, osiris, kind, mode):
    inbox = Inbox(tmp_path, osiris, kind)
    first, second = inbox.put("a", (1, 1), (2, 2)), inbox.put("b", (3, 3))
    assert (read(inbox.run(mode)), len(inbox.copied())) == (3, 3)
    assert (read(inbox.run(mode)), inbox.state()[0]) == (0, 1)
    inbox.put("c", (4, 4))
    assert read(inbox.run(mode)) == 1
    inbox.put("b", (3, 30), (5, 5), age=1800)
    assert read(inbox.run(mode)) == 2
    rows = [(1, 1), (2, 2), *([(3, 3)] if mode == APPEND else []), (3, 30), (4, 4), (5, 5)]
    assert inbox.copied() == rows
    content = first.read_bytes()
    first.unlink()
    assert read(inbox.run(mode)) == 0
    first.write_bytes(content)
    os.utime(second)
    assert (read(inbox.run(mode)), inbox.copied()) == (0, rows)


def test_the_state_of_files_has_what_shows_that_they_are_unchanged(tmp_path, osiris):
    inbox = Inbox(tmp_path, osiris)
    path = inbox.put("a", (1, 1))
    answer = inbox.run()
    assert "STA058" in [each["code"] for each in answer["diagnostics"]]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    status = path.stat()
    entry = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": digest}
    version, state = inbox.state()
    assert (version, state["position"]) == (1, {"files": {"in/a.csv": entry}})
    assert state["columns"] == {"id": "int64", "amount": "int64"}


def test_a_file_with_the_size_and_time_of_before_is_not_opened(tmp_path, osiris):
    inbox = Inbox(tmp_path, osiris)
    path = inbox.put("a", (1, 1))
    inbox.run()
    when = path.stat().st_mtime_ns
    path.write_text("id,amount\n1,7\n")
    os.utime(path, ns=(when, when))
    assert (read(inbox.run()), inbox.copied()) == (0, [(1, 1)])


def test_a_file_that_was_modified_just_before_it_was_read_is_digested_again(tmp_path, osiris):
    inbox = Inbox(tmp_path, osiris)
    path = inbox.put("a", (1, 1), age=-3600)
    when = path.stat().st_mtime_ns
    inbox.run()
    assert read(inbox.run()) == 0
    path.write_text("id,amount\n1,7\n")
    os.utime(path, ns=(when, when))
    assert (read(inbox.run()), inbox.copied()) == (1, [(1, 1), (1, 7)])


def test_the_state_of_files_is_reset(tmp_path, osiris):
    inbox = Inbox(tmp_path, osiris)
    inbox.put("a", (1, 1))
    inbox.run()
    done = osiris("state", "reset", tmp_path / "pipelines" / "inbox.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (read(inbox.run()), inbox.copied()) == (1, [(1, 1), (1, 1)])
    assert (read(inbox.run()), len(inbox.copied())) == (0, 2)


def test_a_pattern_whose_files_are_gone_reads_nothing(tmp_path, osiris):
    inbox = Inbox(tmp_path, osiris)
    path = inbox.put("a", (1, 1))
    inbox.run()
    path.unlink()
    assert (read(inbox.run()), inbox.copied()) == (0, [(1, 1)])


def test_a_new_file_with_other_columns_is_refused_and_read_once_it_fits(tmp_path, osiris):
    inbox = Inbox(tmp_path, osiris)
    inbox.put("a", (1, 1))
    inbox.run()
    path = inbox.root / "in" / "b.csv"
    path.write_text("id,total\n2,2\n")
    assert codes(inbox.run(code=6)) == ["DAT011"]
    path.write_text("id,amount\n2,2\n")
    assert (read(inbox.run()), inbox.copied()) == (1, [(1, 1), (2, 2)])


LAKE = """
oml_version: "0.3.0"
name: lake
steps:
  - id: orders
    component: sqlite.extractor
    mode: read
    config: {{connection: "@sqlite.shop", table: orders, cursor: {cursor}}}
  - id: copy
    component: filesystem.parquet_writer
    mode: write
    needs: [orders]
    config: {{path: "{path}"{more}}}
"""


class Lake(Files):
    """A project that appends the new rows of a SQLite table to a published folder."""

    def __init__(self, root, osiris):
        super().__init__(root, osiris, "sqlite", "sqlite")
        self.folder = root / "lake" / "orders"

    def run(self, *arguments, cursor=LOCAL, path="lake/orders/", more="", code=0, env=None):
        pipeline = self.root / "pipelines" / "lake.yaml"
        pipeline.parent.mkdir(exist_ok=True)
        pipeline.write_text(LAKE.format(cursor=cursor, path=path, more=more))
        done = self.osiris("run", pipeline, "--json", *arguments, cwd=self.root, env={**self.env, **(env or {})})
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def add(self, *keys, at=None):
        for key in keys:
            self.sql(f"INSERT INTO orders VALUES ({key}, {key}, {'datetime()' if at is None else repr(at)})")

    def manifest(self):
        return json.loads((self.folder / "_osiris_manifest.json").read_text())

    def copied(self):
        files = [self.folder / file["path"] for file in self.manifest()["files"]]
        rows = [row for file in files for row in parquet.ParquetFile(file).read().to_pylist()]
        return sorted(row["id"] for row in rows)


@pytest.fixture
def lake(tmp_path, osiris):
    return Lake(tmp_path, osiris)


def test_a_folder_gets_the_new_rows_beside_the_earlier_ones(lake):
    lake.add(1, 2, at="2024-01-01 10:00:00")
    assert written(lake.run()) == 2
    lake.add(3)
    assert (written(lake.run()), lake.copied()) == (1, [1, 2, 3])
    before = lake.manifest()
    assert (before["rows"], before["state"]["version"], len(before["files"])) == (3, 2, 2)
    assert written(lake.run()) == 0
    assert {**lake.manifest(), "state": None} == {**before, "state": None}
    numbers = [file["path"].split("-")[1] for file in before["files"]]
    assert numbers == ["00000", "00001"]


def test_equal_rows_of_two_runs_have_two_files(lake):
    lake.sql("DROP TABLE orders", "CREATE TABLE orders (id BIGINT, amount BIGINT, updated_at DATE NOT NULL)")
    cursor = "{column: updated_at, late: none}"
    lake.sql("INSERT INTO orders VALUES (1, 1, '2024-01-01')")
    lake.run(cursor=cursor)
    lake.sql("INSERT INTO orders VALUES (1, 1, '2024-01-01')")
    lake.run(cursor=cursor)
    first, second = (file["sha256"] for file in lake.manifest()["files"])
    assert (first == second, lake.copied()) == (True, [1, 1])


def test_a_folder_with_partitions_is_appended_to(lake):
    lake.add(1, 2, at="2024-01-01 10:00:00")
    lake.run(more=", partition_by: [amount]")
    lake.sql("INSERT INTO orders VALUES (3, 2, datetime())")
    lake.run(more=", partition_by: [amount]")
    paths = [file["path"].rsplit("-", 1)[0] for file in lake.manifest()["files"]]
    assert paths == ["amount=1/part-00000", "amount=2/part-00000", "amount=2/part-00001"]
    assert lake.copied() == [1, 2, 3]


@pytest.mark.parametrize("cursor", [LOCAL, "{column: id, late: none}", "{column: id, late: {lag: 2}}"])
@pytest.mark.parametrize("more", ["", ", partition_by: [amount]", ", partition_by: [kind, amount]"])
def test_a_night_without_new_rows_leaves_the_folder_as_it_is(lake, cursor, more):
    stamp = "updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP"
    columns = f"id INTEGER NOT NULL PRIMARY KEY, amount BIGINT, {stamp}, kind TEXT DEFAULT 'a'"
    lake.sql("DROP TABLE orders", f"CREATE TABLE orders ({columns})")
    lake.sql("INSERT INTO orders (id, amount, updated_at) VALUES (1, 1, '2024-01-01'), (2, 2, '2024-01-01 10:00:00')")
    lake.run(cursor=cursor, more=more)
    before = lake.manifest()["files"]
    assert written(lake.run(cursor=cursor, more=more)) == 0
    assert (lake.manifest()["files"], lake.copied()) == (before, [1, 2])


@pytest.mark.parametrize("point", ["folder.append", "folder.unlink"])
def test_a_run_that_was_killed_appends_once(lake, point):
    lake.add(1, at="2024-01-01 10:00:00")
    lake.run()
    lake.add(2)
    leftover = lake.folder / f"part-00007-{'0' * 32}.osiris.parquet"
    leftover.write_bytes(b"")  # of a killed writer: removed after the manifest was written
    lake.run("--run-id", "night", env={"OSIRIS_FAULT": f"{point}:1:kill"}, code=1)
    for _ in range(2):
        lake.run("--run-id", "night")
        assert (lake.copied(), lake.manifest()["state"]["version"]) == ([1, 2], 2)


def test_a_folder_with_rows_of_others_is_refused(lake):
    lake.add(1)
    pipeline = lake.root / "pipelines" / "whole.yaml"
    pipeline.parent.mkdir()
    pipeline.write_text(
        LAKE.format(cursor="X", path="lake/orders/", more="").replace(", cursor: X", "").replace("lake\n", "whole\n")
    )
    assert lake.osiris("run", pipeline, cwd=lake.root).returncode == 0
    assert codes(lake.run(code=1)) == ["STA006"]
    assert "state" not in lake.manifest()


def test_a_single_file_keeps_no_state(lake):
    answer = lake.run(path="lake/orders.parquet", code=2)
    assert ("STA023", "/steps/1/config/path") in [(each["code"], each["pointer"]) for each in answer["diagnostics"]]


def test_the_state_of_a_folder_is_reset(lake):
    lake.add(1, at="2024-01-01 10:00:00")
    lake.add(2, at="2024-01-02 10:00:00")
    lake.run()
    done = lake.osiris("state", "reset", lake.root / "pipelines" / "lake.yaml", "--json", cwd=lake.root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (written(lake.run()), lake.copied()) == (2, [1, 1, 2, 2])


@pytest.mark.parametrize("family", ["postgres", "mysql", "duckdb", "sqlite"])
def test_a_column_that_can_be_null_gets_the_statement_that_forbids_it(request, tmp_path, osiris, family):
    server = {"postgres": "postgres", "mysql": "mariadb"}.get(family)
    side = Side(family, "shop", tmp_path, request.getfixturevalue(server) if server else None)
    default = "DEFAULT 5 COMMENT 'never NULL'" if family == "mysql" else ""
    side.sql(f"CREATE TABLE orders (id bigint PRIMARY KEY, num bigint {default})")
    (tmp_path / "osiris.yaml").write_text("")
    declared = {family: {"shop": side.fields}}
    if family != "sqlite":
        declared["sqlite"] = {"copy": {"path": "copy.sqlite"}}
    else:
        declared["sqlite"]["copy"] = {"path": "copy.sqlite"}
    (tmp_path / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": declared}))
    path = tmp_path / "orders.yaml"
    cursor = "{column: num, late: none}"
    path.write_text(PIPELINE.format(name="orders", source=family, target="sqlite", cursor=cursor, mode=UPSERT))
    done = osiris("compile", path, "--json", cwd=tmp_path, env=side.env)
    (problem,) = (each for each in json.loads(done.stdout)["diagnostics"] if each["severity"] == "error")
    assert problem["code"] == "STA007"
    advice, *_ = problem["hint"].partition(", or use another column")
    statement = advice.removeprefix("give its NULLs a value and ").removeprefix("run ")
    if family == "sqlite":
        assert statement == 'create the table again with "num" NOT NULL, as SQLite cannot alter that'
        return
    side.sql(statement)
    assert osiris("compile", path, "--json", cwd=tmp_path, env=side.env).returncode == 0
    if family == "mysql":
        side.sql("INSERT INTO orders (id) VALUES (1)")
        assert side.sql("SELECT num FROM orders") == [(5,)]
        assert "never NULL" in side.sql("SHOW CREATE TABLE orders")[0][1]
