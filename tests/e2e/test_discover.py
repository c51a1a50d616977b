"""`osiris discover` with the installed command: real servers and files; what it shows is what steps output."""

import json
import socket
import sqlite3
import time

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.patience import SOON

ESCAPE = "\x1b[31mred\x07"
TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
SECRETS = ("letmein-canary", TOKEN)
PERSONAL = ("jane7@example.com", "4111111111111111", "Jane Doe 7")


class Project:
    """A project, and `discover(*words)` in it: the exit code, the data, and the complete JSON output."""

    def __init__(self, root, osiris):
        self.root, self._osiris, self.env = root, osiris, {}
        self.connections = {}
        (root / "osiris.yaml").write_text("")
        (root / "pipelines").mkdir()
        (root / "data").mkdir()

    def connect(self, server, database, alias="shop", *, reader=False, **more):
        family = (
            "postgres"
            if hasattr(server, "reader_password") and "postgres" in type(server).__name__.lower()
            else "mysql"
        )
        fields = {**server.fields(database, reader=reader), **more}
        variable = f"PASSWORD_{len(self.env)}"
        self.env[variable] = str(fields["password"])
        self.declare(family, alias, **{**fields, "password": f"${{{variable}}}"})
        return f"@{family}.{alias}"

    def declare(self, family, alias, **fields):
        self.connections.setdefault(family, {})[alias] = fields
        (self.root / "osiris_connections.yaml").write_text(json.dumps({"connections": self.connections}))

    def call(self, *words, env=None, **more):
        return self._osiris(*words, cwd=more.pop("cwd", self.root), env=self.env if env is None else env, **more)

    def discover(self, *words, **more):
        done = self.call("discover", *words, "--json", **more)
        envelope = json.loads(done.stdout)
        return done.returncode, envelope["data"], envelope

    def text(self, *words, **more):
        done = self.call("discover", *words, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pipeline(self, *steps):
        reads = [{"id": f"r{n}", **step} for n, step in enumerate(steps)]
        writes = [
            {
                "id": f"w{n}",
                "component": "filesystem.parquet_writer",
                "mode": "write",
                "needs": [f"r{n}"],
                "config": {"path": f"output/{n}.parquet"},
            }
            for n in range(len(steps))
        ]
        text = json.dumps({"oml_version": "0.1.0", "name": "p", "steps": [*reads, *writes]})
        (self.root / "pipelines" / "p.yaml").write_text(text)

    def compile(self, *words, env=None):
        done = self.call("compile", "pipelines/p.yaml", "--json", *words, env=env)
        envelope = json.loads(done.stdout)
        assert done.returncode == 0, envelope["diagnostics"]
        return codes(envelope)


@pytest.fixture
def project(tmp_path, osiris):
    return Project(tmp_path, osiris)


def codes(envelope):
    return [item["code"] for item in envelope["diagnostics"]]


def by_name(data):
    return {table["name"]: table for table in data["tables"]}


POSTGRES = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE DOMAIN cents AS numeric(12, 2)",
    """CREATE TABLE customers (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "e-mail" text NOT NULL UNIQUE, born date,
        feeling mood DEFAULT 'ok', balance cents, loose numeric, place point, tags text[],
        twice integer GENERATED ALWAYS AS (id * 2) STORED)""",
    """CREATE TABLE orders (
        id bigint, line smallint, customer integer NOT NULL REFERENCES customers, placed timestamptz DEFAULT now(),
        PRIMARY KEY (id, line))""",
    "CREATE VIEW big AS SELECT id, line FROM orders WHERE line > 1",
    f"COMMENT ON TABLE orders IS 'what was bought; ask bob@corp.example {ESCAPE}'",
    "COMMENT ON COLUMN orders.line IS 'from 1'",
    "CREATE TABLE hidden (a int)",
    "REVOKE ALL ON hidden FROM reader",
    "CREATE TABLE partly (open int, closed int)",
    "REVOKE ALL ON partly FROM reader",
    "GRANT SELECT (open) ON partly TO reader",
    "CREATE SCHEMA sales",
    "GRANT USAGE ON SCHEMA sales TO reader",
    "CREATE TABLE sales.regions (code text PRIMARY KEY)",
    "GRANT SELECT ON sales.regions TO reader",
    "CREATE SCHEMA vault",
    "CREATE TABLE vault.gold (a int)",
)


def test_a_postgres_database(project, postgres):
    database = postgres.new_database()
    postgres.run(*POSTGRES, database=database)
    shop = project.connect(postgres, database, reader=True)
    code, data, envelope = project.discover(shop)
    assert (code, codes(envelope)) == (0, [])
    tables = by_name(data)
    assert list(tables) == ["big", "customers", "orders", "partly"]
    columns = {c["name"]: c for c in tables["customers"]["columns"]}
    assert [(c["source_type"], c["type"], c["nullable"]) for c in columns.values()] == [
        ("integer", "int32", False),
        ("text", "utf8", False),
        ("date", "date", True),
        ("mood", "utf8", True),
        ("cents", "decimal(12,2)", True),
        ("numeric", None, True),
        ("point", "utf8", True),
        ("text[]", "list<utf8>", True),
        ("integer", "int32", True),
    ]
    assert (columns["id"]["default"], columns["twice"]["default"]) == ("identity", "generated: (id * 2)")
    assert "nothing says how many digits" in columns["loose"]["problem"]
    assert tables["customers"]["unique"] == [["e-mail"]]
    orders = tables["orders"]
    assert (orders["primary_key"], orders["rows"], orders["kind"]) == (["id", "line"], 0, "table")
    assert orders["foreign_keys"] == [{"columns": ["customer"], "table": "customers", "to": ["id"]}]
    assert orders["comment"] == f"what was bought; ask <e-mail> {ESCAPE}"
    assert orders["columns"][1]["comment"] == "from 1"
    assert orders["step"] == {
        "component": "postgres.extractor",
        "mode": "read",
        "config": {"connection": shop, "table": "orders"},
    }
    assert (tables["partly"]["closed"], [c["name"] for c in tables["partly"]["columns"]]) == (["closed"], ["open"])
    assert tables["partly"]["step"]["config"]["columns"] == ["open"]
    assert data["closed"] == [{"name": "hidden", "reason": None}, {"name": "vault.*", "reason": None}]
    assert data["schemas"] == {"public": 5, "sales": 1}
    other = by_name(project.discover(shop, "--table", "sales.*")[1])
    assert other["sales.regions"]["step"]["config"] == {"connection": shop, "table": "regions", "schema": "sales"}


def test_text_is_compact_and_moves_no_terminal(project, postgres):
    database = postgres.new_database()
    postgres.run(*POSTGRES, database=database)
    shop = project.connect(postgres, database, reader=True)
    text = project.text(shop)
    assert "\x1b" not in text
    assert "\\x1b[31mred\\x07" in text
    assert '  line int16 [smallint] not null "from 1"' in text
    assert "  customer int32 [integer] not null → customers(id)" in text
    assert "left out: closed (no privilege to read them)" in text
    assert "left out: hidden (no privilege to read it)" in text
    assert "other schemas: sales (1)" in text
    assert len(text.split("\norders ")[1].split("\npartly ")[0].splitlines()) == 5


def test_a_mysql_database(project, mariadb):
    database = mariadb.new_database()
    mariadb.run(
        """CREATE TABLE customers (
            id int unsigned AUTO_INCREMENT PRIMARY KEY, code char(3) UNIQUE COMMENT 'three letters')""",
        """CREATE TABLE orders (
            id bigint PRIMARY KEY, customer int unsigned, size enum('s', 'l') DEFAULT 's', info json, spot point,
            FOREIGN KEY (customer) REFERENCES customers (id)) COMMENT 'what was bought'""",
        "CREATE VIEW big AS SELECT id FROM orders",
        database=database,
    )
    shop = project.connect(mariadb, database)
    code, data, envelope = project.discover(shop)
    assert (code, codes(envelope)) == (0, [])
    tables = by_name(data)
    assert list(tables) == ["big", "customers", "orders"]
    assert [(c["name"], c["type"], c["nullable"]) for c in tables["orders"]["columns"]] == [
        ("id", "int64", False),
        ("customer", "uint32", True),
        ("size", "utf8", True),
        ("info", "json", True),
        ("spot", None, True),
    ]
    assert tables["orders"]["foreign_keys"] == [{"columns": ["customer"], "table": "customers", "to": ["id"]}]
    assert (tables["orders"]["comment"], tables["big"]["kind"]) == ("what was bought", "view")
    assert tables["customers"]["unique"] == [["code"]]
    assert tables["customers"]["columns"][1]["comment"] == "three letters"
    assert tables["customers"]["columns"][0]["default"] == "auto_increment"


def make_files(folder):
    (folder / "a.csv").write_text("id,when,total\n" + "".join(f"{n},2024-01-{n:02},{n}.50\n" for n in range(1, 29)))
    (folder / "b.csv").write_text("id;name\n1;x,y\n2;z\n")
    (folder / "c.jsonl").write_text('{"a": 1, "b": {"c": [2]}}\n{"a": null}\n')
    parquet.write_table(
        pa.table({"x": pa.array([1, 2], pa.int16()), "t": pa.array([1, 2], pa.date32())}), folder / "d.parquet"
    )
    with duckdb.connect(str(folder / "e.duckdb")) as made:
        made.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL DEFAULT 'x', span INTERVAL)")
        made.execute("CREATE TABLE pets (owner INTEGER REFERENCES people (id)); CREATE VIEW v AS SELECT id FROM people")
        made.execute("COMMENT ON COLUMN people.name IS 'who'; CREATE SCHEMA s; CREATE TABLE s.t (a DATE)")
        made.execute("INSERT INTO people SELECT n, 'p' || n, NULL FROM range(50) t(n)")
    made = sqlite3.connect(folder / "f.db")
    made.executescript(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, odd);"
        "CREATE TABLE pets (owner INT REFERENCES people (id), born DATE, PRIMARY KEY (owner, born)) WITHOUT ROWID;"
        "INSERT INTO people VALUES (1, 'x', 2)"
    )
    made.close()
    (folder / "g.txt").write_text("what is this?")


def test_files_of_all_kinds(project):
    make_files(project.root / "data")
    code, data, envelope = project.discover("data/*")
    assert (code, codes(envelope)) == (0, [])
    tables = by_name(data)
    assert {name: (t["kind"], t["columns"] and [c["type"] for c in t["columns"]]) for name, t in tables.items()} == {
        "data/a.csv": ("CSV file", ["int64", "date", "decimal(38,2)"]),
        "data/b.csv": ("CSV file", ["int64", "utf8"]),
        "data/c.jsonl": ("JSON file", ["int64", "json"]),
        "data/d.parquet": ("Parquet file", ["int16", "date"]),
        "data/e.duckdb": ("DuckDB file", None),
        "data/f.db": ("SQLite file", None),
    }
    assert tables["data/b.csv"]["step"]["config"] == {"path": "data/b.csv", "delimiter": ";"}
    assert [item["name"] for item in data["closed"]] == ["data/g.txt"]
    inside = by_name(project.discover("data/e.duckdb")[1])
    assert inside["people"]["primary_key"] == ["id"]
    assert inside["people"]["rows"] == 50
    assert [c["type"] for c in inside["people"]["columns"]] == ["int32", "utf8", None]
    assert inside["people"]["columns"][1]["comment"] == "who"
    assert inside["pets"]["foreign_keys"] == [{"columns": ["owner"], "table": "people", "to": ["id"]}]
    assert (inside["v"]["kind"], inside["v"]["step"]) == ("view", None)
    assert list(by_name(project.discover("data/e.duckdb", "-t", "s.t")[1])) == ["s.t"]
    inside = by_name(project.discover("data/f.db")[1])
    assert (inside["people"]["unique"], inside["people"]["rows"]) == ([["name"]], 1)
    assert "does not say" in inside["people"]["columns"][2]["problem"]
    assert inside["pets"]["primary_key"] == ["owner", "born"]
    assert inside["pets"]["foreign_keys"] == [{"columns": ["owner"], "table": "people", "to": ["id"]}]


def test_paths_are_those_that_are_typed(project):
    make_files(project.root / "data")
    for where, typed in ((project.root / "data", "a.csv"), (project.root / "pipelines", "data/a.csv")):
        data = project.discover(typed, cwd=where)[1]
        assert data["tables"][0]["step"]["config"]["path"] == "data/a.csv"
    assert [t["name"] for t in project.discover("data", "-t", "*.csv")[1]["tables"]] == ["data/a.csv", "data/b.csv"]
    project.declare("filesystem", "lake", base_dir="data")
    step = project.discover("@filesystem.lake", "-t", "a.csv")[1]["tables"][0]["step"]
    assert step["config"] == {"connection": "@filesystem.lake", "path": "a.csv"}
    project.declare("duckdb", "house", path="data/e.duckdb")
    step = by_name(project.discover("data/e.duckdb")[1])["pets"]["step"]
    assert step["config"] == {"connection": "@duckdb.house", "table": "pets"}


# --- What is found feeds osiris.lock ----------------------------------------------------------------------------------


def feeding(project, target, *words):
    """Discover, then compile steps that use it without any secret; then query the sources, which give the same."""
    data = project.discover(target, *words)[1]
    steps = [
        t["step"] for t in data["tables"] if t["step"] and all(c["type"] for c in t["columns"] or [{"type": None}])
    ]
    project.pipeline(*steps)
    assert project.compile(env={}).count("DSC007") == len(steps)
    assert "DSC007" not in project.compile(env={})
    assert not {"LCK006", "DSC007"} & set(project.compile("--refresh"))
    return len(steps)


def test_compiling_what_was_discovered_needs_no_connection(project, postgres, mariadb):
    database, other = postgres.new_database(), mariadb.new_database()
    postgres.run(*POSTGRES, database=database)
    shop = project.connect(postgres, database, reader=True)
    assert feeding(project, shop, "-t", "orders", "-t", "big", "-t", "sales.regions") == 3
    mariadb.run(
        "CREATE TABLE t (id int PRIMARY KEY, f float, j json, y year, u uuid NOT NULL)",
        "CREATE TABLE heap (a bit(3), b varbinary(3))",
        database=other,
    )
    assert feeding(project, project.connect(mariadb, other)) == 2


def test_compiling_files_that_were_discovered_reads_none(project):
    make_files(project.root / "data")
    assert feeding(project, "data/*") == 4
    project.declare("duckdb", "house", path="data/e.duckdb")
    project.declare("sqlite", "shed", path="data/f.db")
    assert feeding(project, "@duckdb.house", "-t", "pets", "-t", "v") == 2
    assert feeding(project, "@sqlite.shed") == 1


def test_what_is_no_longer_so_feeds_nothing(project, postgres):
    database = postgres.new_database()
    postgres.run("CREATE TABLE t (a int)", "CREATE TABLE u (a int)", database=database)
    shop = project.connect(postgres, database)
    project.discover(shop)
    postgres.run("ALTER TABLE t ADD b int", database=database)
    project.discover(shop, "-t", "u")
    project.pipeline({"component": "postgres.extractor", "mode": "read", "config": {"connection": shop, "table": "t"}})
    assert "DSC007" not in project.compile()
    (project.root / "data" / "x.csv").write_text("a\n1\n")
    project.discover("data/x.csv")
    (project.root / "data" / "x.csv").write_text("a,b\n1,2\n")
    project.pipeline({"component": "filesystem.csv_extractor", "mode": "read", "config": {"path": "data/x.csv"}})
    assert "DSC007" not in project.compile()


# --- What is known is recalled, and never once it is not so -----------------------------------------------------------


CHANGES = (
    "ALTER TABLE t ADD b int",
    "ALTER TABLE t ALTER a SET NOT NULL",
    "ALTER TABLE t ALTER a SET DEFAULT 3",
    "ALTER TABLE t ADD UNIQUE (a)",
    "COMMENT ON COLUMN t.a IS 'new'",
    "CREATE VIEW v AS SELECT 1 AS x",
    "ALTER TABLE u RENAME TO w",
    "GRANT SELECT ON t TO PUBLIC",
    "DROP TABLE w",
)


def test_a_changed_postgres_schema_is_seen(project, postgres):
    database = postgres.new_database()
    postgres.run("CREATE TABLE t (a int)", "CREATE TABLE u (a int)", "INSERT INTO t VALUES (1)", database=database)
    shop = project.connect(postgres, database)
    assert not project.discover(shop)[1]["recalled"]
    postgres.run("INSERT INTO t VALUES (2)", "ANALYZE t", database=database)
    assert "verified unchanged" in project.text(shop)
    for change in CHANGES:
        postgres.run(change, database=database)
        assert not project.discover(shop)[1]["recalled"], change
    assert project.discover(shop)[1]["recalled"]


@pytest.mark.long
def test_other_sources_see_changes_too(project, mariadb):
    database = mariadb.new_database()
    mariadb.run("CREATE TABLE t (a int)", database=database)
    make_files(project.root / "data")
    shop = project.connect(mariadb, database)

    def sqlite_change():
        with sqlite3.connect(project.root / "data" / "f.db") as made:
            made.execute("ALTER TABLE people ADD more TEXT")

    def duckdb_change():
        with duckdb.connect(str(project.root / "data" / "e.duckdb")) as made:
            made.execute("ALTER TABLE pets ADD name VARCHAR")

    changes = {
        shop: lambda: mariadb.run("ALTER TABLE t ADD b int COMMENT 'x'", database=database),
        "data/f.db": sqlite_change,
        "data/e.duckdb": duckdb_change,
        "data/a.csv": lambda: (project.root / "data" / "a.csv").write_text("z\n1\n"),
    }
    for target, change in changes.items():
        assert [project.discover(target)[1]["recalled"] for _ in range(2)] == [False, True], target
        change()
        assert not project.discover(target)[1]["recalled"], target
    assert not project.discover(shop, "--refresh")[1]["recalled"]


def test_users_do_not_see_what_others_found(project, postgres):
    database = postgres.new_database()
    postgres.run(
        "CREATE TABLE t (a int)", "CREATE TABLE hidden (a int)", "REVOKE ALL ON hidden FROM reader", database=database
    )
    boss, reader = project.connect(postgres, database), project.connect(postgres, database, "reader", reader=True)
    assert list(by_name(project.discover(boss)[1])) == ["hidden", "t"]
    _, data, _ = project.discover(reader)
    assert (list(by_name(data)), data["recalled"]) == (["t"], False)


def test_a_damaged_cache_is_set_aside_and_said(project):
    make_files(project.root / "data")
    project.discover("data/a.csv")
    cache = project.root / ".osiris" / "cache"
    (cache / "discovery.sqlite").write_bytes(b"no database" * 999)
    code, data, envelope = project.discover("data/a.csv")
    assert (code, codes(envelope), data["recalled"]) == (0, ["DSC002"], False)
    assert (cache / "discovery.sqlite.damaged").exists()
    assert project.discover("data/a.csv")[1]["recalled"]


# --- Rows: profiles, samples, and what never comes out ----------------------------------------------------------------

PEOPLE = ("id", "email", "card", "full_name", "status", "note", "password", "score")


def people(count=40):
    return [
        (
            n,
            f"jane{n}@example.com",
            "4111111111111111",
            f"Jane Doe {n}",
            "paid" if n % 4 else "open",
            f"the token of {n} is {TOKEN}" if n % 2 else f"called jane{n}@example.com, Jane Doe {n}",
            SECRETS[0],
            n,
        )
        for n in range(count)
    ]


def make_people(project, postgres, mariadb):
    """Create the same people in every source; returns the targets, with the words that name the table."""
    texts = ", ".join(f"{name} {{0}}" for name in PEOPLE[1:-1])
    columns = f"id int primary key, {texts}, score bigint"
    values = ", ".join(["%s"] * len(PEOPLE))
    shops = []
    for server in (postgres, mariadb):
        database = server.new_database()
        server.run(f"CREATE TABLE people ({columns.format('varchar(200)')})", database=database)
        with server.connect(database) as connection, connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO people VALUES ({values})", people())
            connection.commit()
        shops.append((project.connect(server, database), "-t", "people"))
    folder, table = (
        project.root / "data",
        pa.Table.from_pylist([dict(zip(PEOPLE, row, strict=True)) for row in people()]),
    )
    parquet.write_table(table, folder / "p.parquet")
    (folder / "p.jsonl").write_text("".join(json.dumps(dict(zip(PEOPLE, row, strict=True))) + "\n" for row in people()))
    with duckdb.connect(str(folder / "p.duckdb")) as made:
        made.register("given", table)
        made.execute("CREATE TABLE people AS SELECT * FROM given")
    with sqlite3.connect(folder / "p.db") as made:
        made.execute(f"CREATE TABLE people ({columns.format('text')})")
        made.executemany(f"INSERT INTO people VALUES ({values.replace('%s', '?')})", people())
    return [*shops, *(((f"data/p.{kind}"),) for kind in ("parquet", "jsonl", "duckdb", "db"))]


@pytest.mark.long
def test_profiles_are_the_same_everywhere_and_tell_nothing_of_people(project, postgres, mariadb):
    profiles = []
    for target in make_people(project, postgres, mariadb):
        printed = json.dumps(project.discover(*target)[1])
        assert not any(word in printed for word in ("paid", "jane", "Doe"))
        code, data, envelope = project.discover(*target, "--profile", "--samples", "masked")
        assert (code, codes(envelope)) == (0, [])
        printed = json.dumps(data) + project.text(*target, "--profile", "--samples", "masked")
        assert [word for word in (*PERSONAL, *SECRETS, "Doe", "411111") if word in printed] == []
        (table,) = data["tables"]
        profile = table["profile"]
        assert (profile["rows"], profile["whole"], profile["method"]) == (40, True, "all rows")
        assert len(profile["samples"]["rows"]) == 5
        profiles.append((profile["columns"], profile["samples"]["rows"][1]))
    assert all(profile == profiles[0] for profile in profiles)
    columns, row = profiles[0]
    assert {name: told.get("personal") for name, told in columns.items() if "personal" in told} == {
        "email": "e-mail",
        "card": "card or account",
        "full_name": "name",
        "note": "secret",
        "password": "secret",
    }
    assert columns["status"]["values"] == [{"value": "paid", "share": 0.75}, {"value": "open", "share": 0.25}]
    assert (columns["score"]["min"], columns["score"]["max"], columns["id"]["distinct"]) == ("0", "39", 40)
    assert row == ["1", "<e-mail>", "<card or account>", "<name>", "paid", "<secret>", "<secret>", "1"]
    kept = (project.root / ".osiris" / "cache" / "discovery.sqlite").read_bytes()
    hidden = [*PERSONAL, *SECRETS, *project.env.values()]
    assert [word for word in hidden if word.encode() in kept] == []


def test_rows_as_they_are_have_no_secrets_and_are_not_kept(project, postgres, mariadb):
    for target in make_people(project, postgres, mariadb)[::2]:
        data = project.discover(*target, "--samples", "raw")[1]
        printed = json.dumps(data)
        assert "jane1@example.com" in printed
        assert "columns" not in data["tables"][0]["profile"]
        assert [word for word in SECRETS if word in printed + project.text(*target, "--samples", "raw")] == []
    kept = (project.root / ".osiris" / "cache" / "discovery.sqlite").read_bytes()
    assert b"jane1@example.com" not in kept


def test_large_tables_are_sampled_and_it_is_said_how(project, postgres, mariadb):
    database, other = postgres.new_database(), mariadb.new_database()
    postgres.run(
        "CREATE TABLE t (id int, filler text)",
        "INSERT INTO t SELECT n, repeat('x', 50) FROM generate_series(1, 60000) n",
        "ANALYZE t",
        database=database,
    )
    mariadb.run(
        "CREATE TABLE t (id int PRIMARY KEY, filler varchar(60))",
        "INSERT INTO t SELECT seq, repeat('x', 50) FROM seq_1_to_60000",
        "ANALYZE TABLE t",
        database=other,
    )
    with duckdb.connect(str(project.root / "data" / "t.duckdb")) as made:
        made.execute("CREATE TABLE t AS SELECT n::INTEGER AS id, 'x' AS filler FROM range(1, 400001) t(n)")
    with sqlite3.connect(project.root / "data" / "t.db") as made:
        made.execute("CREATE TABLE t (id INTEGER, filler TEXT)")
        made.executemany("INSERT INTO t VALUES (?, 'x')", ((n,) for n in range(1, 60001)))
    sources = {
        project.connect(postgres, database): "rows of random blocks",
        project.connect(mariadb, other): "the first and the last rows by key",
        "data/t.duckdb": "random rows of random blocks",
        "data/t.db": "the first and the last rows",
    }
    for target, method in sources.items():
        (table,) = project.discover(target, "--profile")[1]["tables"]
        profile = table["profile"]
        assert not profile["whole"]
        assert profile["method"].endswith(f" rows: {method}")
        assert 8_000 < profile["rows"] <= 15_000
        seen = [int(profile["columns"]["id"][key]) for key in ("min", "max")]
        assert seen[0] < 0.1 * table["rows"] < 0.85 * table["rows"] < seen[1], (target, seen)


def test_a_column_that_cannot_be_read_keeps_none_of_the_others(project, postgres):
    database = postgres.new_database()
    postgres.run(
        "CREATE TABLE t (a int, forever date)",
        "INSERT INTO t VALUES (1, 'infinity'), (2, '2024-01-01')",
        "CREATE TABLE empty ()",
        database=database,
    )
    code, data, envelope = project.discover(project.connect(postgres, database), "--profile")
    assert (code, codes(envelope)) == (0, ["DSC006", "DSC005"])
    assert "t.forever" in envelope["diagnostics"][1]["message"]
    assert by_name(data)["t"]["profile"]["columns"].keys() == {"a"}


def test_profiles_of_servers_are_recalled_with_their_age(project, postgres):
    database = postgres.new_database()
    postgres.run("CREATE TABLE t (a int, b int)", "INSERT INTO t VALUES (1, 2)", database=database)
    shop = project.connect(postgres, database)
    assert "rows may have changed since" not in project.text(shop, "--profile")
    postgres.run("INSERT INTO t VALUES (3, 4)", database=database)
    assert "rows may have changed since" in project.text(shop, "--profile")
    profile = project.discover(shop, "--profile", "--refresh")[1]["tables"][0]["profile"]
    assert (profile["rows"], profile["recalled"]) == (2, False)
    profile = project.discover(shop, "--profile", "--column", "b")[1]["tables"][0]["profile"]
    assert (profile["columns"].keys(), profile["recalled"]) == ({"b"}, False)


# --- Many tables, and all that can be wrong ---------------------------------------------------------------------------


@pytest.mark.long
def test_two_thousand_tables(project, postgres):
    database = postgres.new_database()
    postgres.run(
        """DO $$ BEGIN FOR n IN 1..2000 LOOP
            EXECUTE format('CREATE TABLE t%s (id int NOT NULL, a bigint, b boolean, c date)', lpad(n::text, 4, '0'));
            IF n % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$""",
        database=database,
    )
    shop = project.connect(postgres, database)
    began = time.monotonic()
    done = project.call("discover", shop)
    took = time.monotonic() - began
    lines = done.stdout.splitlines()
    assert len(lines) < 110
    assert "… and 1,900 more tables; narrow with --table 'PATTERN'" in lines
    assert f"next: osiris discover {shop} --table t0001" in done.stderr
    assert took < SOON
    code, data, _ = project.discover(shop)
    assert (code, len(data["tables"]), data["detail"], data["recalled"]) == (0, 2000, "names", True)
    narrow = project.discover(shop, "-t", "t000*")[1]
    assert (narrow["detail"], [len(t["columns"]) for t in narrow["tables"]]) == ("columns", [4] * 9)
    assert codes(project.discover(shop, "--profile")[2]) == ["DSC003"]
    postgres.run(f'DROP DATABASE "{database}"')


def test_what_is_wrong_is_said(project, postgres, mariadb):
    database = postgres.new_database()
    postgres.run(*POSTGRES, database=database)
    shop = project.connect(postgres, database, reader=True)
    there = {"host": "127.0.0.1", "user": "reader", "database": database, "password": "${WRONG}"}
    project.env["WRONG"] = "wr0ng-secret-canary"
    project.declare("postgres", "wrong", **there, port=postgres.port)
    project.declare("mysql", "wrong", **there, port=mariadb.port)
    project.declare("postgres", "gone", **there, port=1)
    project.declare("postgres", "unset", **{**there, "password": "${NOT_SET}"}, port=1)
    project.declare("graphql", "shop", endpoint="https://example.invalid")
    (project.root / "data" / "broken.parquet").write_bytes(b"PAR1 is all that is right")
    (project.root / "data" / "broken.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    (project.root / "data" / "orders.csv").write_text("a\n1\n")
    (project.root / "data" / "what.bin").write_bytes(b"\x00\x01")
    expected = {
        (shop, "-t", "ordres"): ("DRV012", 1, "did you mean 'orders'?"),
        (shop, "-t", "hidden"): ("DRV020", 1, "GRANT SELECT ON"),
        (shop, "-t", "vault.gold"): ("DRV020", 1, "GRANT"),
        (shop, "--profile", "-t", "orders", "--column", "lien"): ("DAT005", 2, "did you mean 'line'?"),
        (shop, "--column", "line"): ("PRJ008", 2, "--profile"),
        ("@postgres.wrong",): ("CON012", 3, ""),
        ("@mysql.wrong",): ("CON012", 3, ""),
        ("@postgres.gone",): ("CON011", 3, ""),
        ("@postgres.unset",): ("CON005", 3, ""),
        ("@postgres.nope",): ("CON003", 3, ""),
        ("@graphql.shop",): ("DSC001", 2, "step's config"),
        ("data/ordres.csv",): ("DRV001", 1, "did you mean 'data/orders.csv'?"),
        ("data/*.xlsx",): ("DRV001", 1, ""),
        ("data/broken.parquet",): ("DAT013", 1, ""),
        ("data/broken.db",): ("DRV010", 1, ""),
        ("s3://bucket/x.csv",): ("DRV007", 2, ""),
    }
    for words, (code, status, hint) in expected.items():
        returned, _, envelope = project.discover(*words)
        assert (codes(envelope), returned) == ([code], status), words
        assert hint in (envelope["diagnostics"][0]["hint"] or ""), words
        assert "wr0ng-secret-canary" not in json.dumps(envelope)
    data = project.discover("data/what.bin")[1]
    assert data["closed"][0]["reason"] == "its name and its first bytes do not say what it is"


def test_what_is_wrong_with_one_keeps_none_of_the_others(project, postgres, mariadb):
    database, other = postgres.new_database(), mariadb.new_database()
    postgres.run("CREATE TABLE a (x int)", "CREATE TABLE held (x int)", "CREATE TABLE z (x int)", database=database)
    mariadb.run(
        "CREATE TABLE a (x int)",
        "CREATE TABLE gone (x int)",
        "CREATE VIEW broken AS SELECT x FROM gone",
        "DROP TABLE gone",
        database=other,
    )
    folder = project.root / "data"
    with duckdb.connect(str(folder / "e.duckdb")) as made:
        made.execute("CREATE TABLE a (x INT); CREATE TABLE gone (x INT); CREATE VIEW broken AS SELECT x FROM gone")
        made.execute("DROP TABLE gone")
    with sqlite3.connect(folder / "f.db") as made:
        made.executescript("CREATE TABLE a (x INT); CREATE VIEW broken AS SELECT x FROM gone")
    lake = folder / "lake"
    lake.mkdir()
    (lake / "a.csv").write_text("x\n1\n")
    (lake / "broken.csv").write_bytes(b"x\n\xff\xfe\n")
    expected = {
        project.connect(postgres, database): (["a", "z"], "held", "lock timeout"),
        project.connect(mariadb, other): (["a"], "broken", "references invalid"),
        "data/e.duckdb": (["a"], "broken", "Catalog"),
        "data/f.db": (["a"], "broken", "gone"),
        "data/lake/*": (["data/lake/a.csv"], "data/lake/broken.csv", "utf-8"),
    }
    with postgres.connect(database) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE held")
        for target, (good, bad, reason) in expected.items():
            code, data, envelope = project.discover(target)
            assert (code, codes(envelope)) == (0, []), target
            assert [table["name"] for table in data["tables"] if table["columns"]] == good, target
            (closed,) = data["closed"]
            assert closed["name"] == bad, target
            assert reason in closed["reason"], target


def test_mysql_rights_are_kept(project, mariadb):
    database = mariadb.new_database()
    mariadb.run(
        "CREATE TABLE seen (open int, closed int)",
        "CREATE TABLE filled (a int)",
        "CREATE TABLE hidden (a int)",
        "CREATE USER half@'%' IDENTIFIED BY 'half'",
        f"GRANT SELECT (open), INSERT (closed) ON `{database}`.seen TO half@'%'",
        f"GRANT INSERT ON `{database}`.filled TO half@'%'",
        database=database,
    )
    project.env["HALF"] = "half"
    project.declare(
        "mysql", "half", host="127.0.0.1", port=mariadb.port, database=database, user="half", password="${HALF}"
    )
    code, data, envelope = project.discover("@mysql.half")
    refused = project.discover("@mysql.half", "-t", "filled")
    mariadb.run("DROP USER half@'%'")
    assert (code, codes(envelope)) == (0, [])
    (table,) = data["tables"]
    assert (table["name"], [c["name"] for c in table["columns"]], table["closed"]) == ("seen", ["open"], ["closed"])
    assert table["step"]["config"]["columns"] == ["open"]
    assert data["closed"] == [{"name": "filled", "reason": None}]
    assert (refused[0], codes(refused[2])) == (1, ["DRV020"])


def test_a_server_that_is_silent_is_given_up(project):
    with socket.create_server(("127.0.0.1", 0)) as asleep:
        port = asleep.getsockname()[1]
        for family in ("postgres", "mysql"):
            fields = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "connect_timeout": 1}
            project.declare(family, "asleep", **fields)
            began = time.monotonic()
            returned, _, envelope = project.discover(f"@{family}.asleep")
            assert (codes(envelope), returned) == (["CON015"], 3)
            assert time.monotonic() - began < SOON


def test_a_locked_table_does_not_hold_for_long(project, postgres):
    database = postgres.new_database()
    postgres.run("CREATE TABLE t (a int)", database=database)
    shop = project.connect(postgres, database)
    with postgres.connect(database) as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE t")
        began = time.monotonic()
        returned, _, envelope = project.discover(shop)
        assert (codes(envelope), returned) == (["DRV013"], 1)
        assert time.monotonic() - began < SOON
