"""Entries of `replicate`, with the installed command and real databases."""

import json
import sqlite3

import duckdb
import pytest
import yaml

FILE = """
oml_version: "0.3.0"
name: shop
replicate:
  - id: shop
    from: {{connection: "{source}", tables: {tables}, new_tables: {new}}}
    to: {{{to}}}
    defaults: {{write_mode: {mode}}}
{more}"""


class Project:
    """A project that replicates `source` into `target`, connections with their fields."""

    def __init__(self, root, osiris, connections):
        self.root, self.osiris, self.env = root, osiris, {}
        declared = {}
        for reference, fields in connections.items():
            family, alias = reference.removeprefix("@").split(".")
            if "password" in fields:
                self.env[f"{alias.upper()}_PASSWORD"] = fields["password"]
                fields = {**fields, "password": f"${{{alias.upper()}_PASSWORD}}"}
            declared.setdefault(family, {})[alias] = fields
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": declared}))
        (root / "pipelines").mkdir()
        self.file = root / "pipelines" / "shop.yaml"

    def write(self, source="@sqlite.shop", tables='["*"]', new="report", to=None, mode="upsert", more=""):
        to = to or 'connection: "@duckdb.wh", table: "{table}"'
        self.file.write_text(FILE.format(source=source, tables=tables, new=new, to=to, mode=mode, more=more))

    def call(self, *arguments, code=0):
        """Return the JSON of a command about the file."""
        command, *more = arguments
        done = self.osiris(command, self.file, "--json", *more, cwd=self.root, env=self.env)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def plan(self, *arguments):
        """Return the manifest of a compile."""
        return json.loads((self.root / self.call("compile", *arguments)["data"]["manifest"]).read_text())


def codes(answer):
    return [(each["code"], each["line"]) for each in answer["diagnostics"] if each["severity"] != "note"]


def pairs(plan):
    """Return the tables of a plan: the source, and what the writer has of it."""
    steps = {step["id"]: step for step in plan["steps"]}
    writers = [step for step in steps.values() if step["mode"] == "write"]
    return {steps[each["needs"][0]]["config"]["table"]: each["config"] for each in writers}


@pytest.fixture
def shop(tmp_path, osiris):
    """A project with a SQLite and a DuckDB file."""
    project = Project(tmp_path, osiris, {"@sqlite.shop": {"path": "shop.sqlite"}, "@duckdb.wh": {"path": "wh.duckdb"}})
    project.sql(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INT)",
        "CREATE TABLE codes (code TEXT NOT NULL UNIQUE, name TEXT)",
        "CREATE TABLE empty (a INT, b INT, PRIMARY KEY (a, b))",
        "INSERT INTO orders VALUES (1, 10), (2, 20)",
        "INSERT INTO codes VALUES ('a', 'A')",
    )
    return project


def sql(self, *statements):
    connection = sqlite3.connect(self.root / "shop.sqlite")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def copied(self, table):
    with duckdb.connect(self.root / "wh.duckdb", read_only=True) as connection:
        return sorted(connection.sql(f'SELECT * FROM "{table}"').fetchall())


Project.sql, Project.copied = sql, copied


def test_a_file_becomes_one_pair_of_steps_per_table(shop):
    shop.write()
    plan = shop.plan()
    assert [(step["id"], step["entry"], step["needs"]) for step in plan["steps"]] == [
        ("shop-main-codes-source", "shop", []),
        ("shop-main-codes", "shop", ["shop-main-codes-source"]),
        ("shop-main-empty-source", "shop", []),
        ("shop-main-empty", "shop", ["shop-main-empty-source"]),
        ("shop-main-orders-source", "shop", []),
        ("shop-main-orders", "shop", ["shop-main-orders-source"]),
    ]
    assert {name: config["primary_key"] for name, config in pairs(plan).items()} == {
        "codes": ["code"],
        "empty": ["a", "b"],
        "orders": ["id"],
    }
    assert plan["pipeline"]["replicate"] == [
        {"id": "shop", "connection": "@sqlite.shop", "tables": ["*"], "except": []}
        | {"new_tables": "report", "snapshot": "transaction"}
    ]
    shop.call("run")
    shop.sql("UPDATE orders SET amount = 11 WHERE id = 1", "INSERT INTO orders VALUES (3, 30)")
    shop.call("run")
    assert shop.copied("orders") == [(1, 11), (2, 20), (3, 30)]
    assert shop.copied("codes") == [("a", "A")]
    assert shop.copied("empty") == []


def test_the_plan_is_that_of_the_same_steps_in_a_file_but_for_the_entry(shop):
    """Compiled from ordinary steps, every part of each step has the same hash, but for `about`."""
    shop.write(tables="[orders]")
    plan = shop.plan()
    source = {"id": "shop-main-orders-source", "component": "sqlite.extractor", "mode": "read", "needs": []}
    target = {"id": "shop-main-orders", "component": "duckdb.writer", "mode": "write", "needs": [source["id"]]}
    source["config"] = {"connection": "@sqlite.shop", "table": "orders"}
    target["config"] = {"connection": "@duckdb.wh", "table": "orders", "write_mode": "upsert", "primary_key": ["id"]}
    shop.file.write_text(json.dumps({"oml_version": "0.3.0", "name": "shop", "steps": [source, target]}))
    leaves = [{**step["leaves"], "about": None, "inputs": None} for step in plan["steps"]]
    assert [{**step["leaves"], "about": None, "inputs": None} for step in shop.plan()["steps"]] == leaves


def test_a_file_with_steps_alone_has_the_same_plan_in_every_version(shop):
    step = {"id": "orders", "component": "sqlite.extractor", "mode": "read"}
    step["config"] = {"connection": "@sqlite.shop", "table": "orders"}
    plans = []
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        shop.file.write_text(json.dumps({"oml_version": version, "name": "shop", "steps": [step]}))
        plan = shop.plan()
        assert plan["pipeline"].pop("oml_version") == version
        del plan["fingerprint"], plan["leaves"]["pipeline"]
        plans.append(plan)
    assert plans[0] == plans[1] == plans[2]
    assert "lock_version: 1\n" in (shop.root / "osiris.lock").read_text()


def test_new_tables_are_named_until_a_refresh(shop):
    shop.write()
    before = shop.plan()
    shop.sql("CREATE TABLE later (id INTEGER PRIMARY KEY)")
    assert shop.plan()["fingerprint"] == before["fingerprint"]  # compile trusts the pins
    answer = shop.call("run")
    assert codes(answer) == [("LCK011", None)]
    assert "main.later" in answer["diagnostics"][0]["message"]
    assert list(pairs(shop.plan("--refresh"))) == ["codes", "empty", "later", "orders"]
    assert codes(shop.call("run")) == []


def test_a_run_of_a_plan_only_reports_tables(shop):
    shop.write(new="add")
    shop.plan()
    shop.sql("CREATE TABLE later (id INTEGER PRIMARY KEY)", "DROP TABLE codes")
    done = shop.osiris("run", "--last-compile", "--json", cwd=shop.root)
    assert {code for code, _ in codes(json.loads(done.stdout))} >= {"LCK010", "LCK011"}
    assert done.returncode == 1
    assert shop.copied("orders") == [(1, 10), (2, 20)]


def test_new_tables_are_added_by_a_run(shop):
    shop.write(new="add")
    shop.plan()
    shop.sql("CREATE TABLE later (id INTEGER PRIMARY KEY)", "CREATE TABLE odd (a INT)", "INSERT INTO later VALUES (1)")
    answer = shop.call("run")
    assert [each["code"] for each in answer["diagnostics"] if each["code"].startswith("LCK")] == ["LCK012", "LCK013"]
    assert shop.copied("later") == [(1,)]
    assert 'name: "later", key: ["id"]' in (shop.root / "osiris.lock").read_text()
    shop.sql("INSERT INTO later VALUES (2)")
    assert codes(shop.call("run")) == [("LCK013", None)]
    assert shop.copied("later") == [(1,), (2,)]


def test_a_missing_table_fails_alone_and_its_target_stays(shop):
    shop.write()
    shop.call("run")
    shop.sql("DROP TABLE codes", "INSERT INTO orders VALUES (3, 30)")
    answer = shop.call("run", code=1)
    assert {code for code, _ in codes(answer)} >= {"LCK010", "DRV012"}
    assert shop.copied("codes") == [("a", "A")]
    assert shop.copied("orders") == [(1, 10), (2, 20), (3, 30)]
    assert list(pairs(shop.plan("--refresh"))) == ["empty", "orders"]


def test_a_renamed_table_is_said_to_be_missing_with_its_new_name(shop):
    shop.write(tables="[codes, orders]")
    shop.plan()
    shop.sql("ALTER TABLE codes RENAME TO codes_2026")
    for command in (("run", shop.file), ("run", "--last-compile")):
        answer = json.loads(shop.osiris(*command, "--json", cwd=shop.root, env=shop.env).stdout)
        (missing,) = [each for each in answer["diagnostics"] if each["code"] == "LCK010"]
        assert missing["hint"].startswith(
            "main.codes: did you mean main.codes_2026? run 'osiris compile FILE --refresh'"
        )
    shop.sql("ALTER TABLE codes_2026 RENAME TO elsewhere")
    (missing,) = [each for each in shop.call("run", code=1)["diagnostics"] if each["code"] == "LCK010"]
    assert "did you mean" not in missing["hint"]


def test_a_resumed_run_is_listed_once_among_the_marks(shop):
    shop.write(mode="upsert, cursor: {column: id, late: none}", tables="[orders, gone]")
    shop.sql("CREATE TABLE gone (id INTEGER PRIMARY KEY)")
    shop.plan()
    shop.sql("DROP TABLE gone")
    shop.call("run", "--run-id", "monday", code=1)
    shop.sql("INSERT INTO orders VALUES (3, 30)")
    shop.call("run", "--run-id", "monday", code=1)
    shown = shop.osiris("state", "show", shop.file, "orders", "--json", cwd=shop.root).stdout
    (state,) = json.loads(shown)["data"]["states"]
    assert [mark["run"] for mark in state["state"]["marks"]] == ["shop/monday", "shop/monday"]
    shown = shop.osiris("state", "show", shop.file, "orders", cwd=shop.root).stdout
    assert "marks of the last 1 run, with the time of writing (UTC):" in shown
    assert shown.count("shop/monday") == 1
    assert "  3  shop/monday" in shown


def test_other_patterns_are_asked_anew(shop):
    shop.write(tables="[orders]")
    assert list(pairs(shop.plan())) == ["orders"]
    shop.write(tables='["*o*"]')
    assert list(pairs(shop.plan())) == ["codes", "orders"]
    assert shop.call("validate")["data"]["files"][0]["steps"][-1] == "shop-main-orders"
    shop.file.write_text(json.dumps({"oml_version": "0.3.0", "name": "shop", "steps": [
        {"id": "a", "component": "sqlite.extractor", "mode": "read",
         "config": {"connection": "@sqlite.shop", "table": "orders"}}]}))  # fmt: skip
    shop.plan()
    assert "replicate:" not in (shop.root / "osiris.lock").read_text()


def test_an_edited_lock_is_refused(shop):
    shop.write()
    shop.plan()
    lock = shop.root / "osiris.lock"
    lock.write_text(lock.read_text().replace('key: ["code"]', 'key: ["name"]'))
    assert codes(shop.call("compile", code=4)) == [("LCK003", 42)]


def test_tables_go_into_folders(shop):
    shop.write(to='folder: "lake/{schema}/{table}"', mode="upsert")
    assert codes(shop.call("validate", code=2)) == [("OML002", 8)]
    text = shop.file.read_text().replace("    defaults: {write_mode: upsert}\n", "")
    shop.file.write_text(text)
    shop.call("run")
    found = duckdb.sql(f"SELECT * FROM '{shop.root}/lake/main/orders/*.parquet'").fetchall()
    assert sorted(found) == [(1, 10), (2, 20)]


def test_what_is_wrong_is_said_before_a_row_is_read(shop):
    shop.sql("CREATE TABLE log (t TEXT)", "CREATE VIEW v AS SELECT 1 AS a")
    shop.write(tables="[orders, ordrs, log, v]", to='connection: "@duckdb.wh", table: raw')
    assert sorted(codes(shop.call("run", code=2))) == [
        ("OML052", 6),  # ordrs
        ("OML054", 6),  # log
        ("OML054", 6),  # v
    ]
    shop.write(tables="[orders, codes]", to='connection: "@duckdb.wh", table: raw')
    assert codes(shop.call("run", code=2)) == [("OML053", 7)]
    assert not (shop.root / "wh.duckdb").exists()
    more = "    tables:\n      log: {primary_key: [t]}\n      x: {write_mode: append}\n"
    shop.write(tables="[orders, log]", more=more)
    assert codes(shop.call("run", code=2)) == [("OML056", 11)]


def test_a_step_waits_for_an_entry_by_its_id(shop):
    shop.write(
        more="""\
steps:
  - {id: sum, component: duckdb.extractor, mode: read, needs: [shop],
     config: {connection: "@duckdb.wh", query: "SELECT sum(amount) AS a FROM orders"}}
  - {id: out, component: filesystem.csv_writer, mode: write, needs: [sum], config: {path: output/sum.csv}}
"""
    )
    shop.call("validate")
    shop.copied_before = (
        duckdb.connect(shop.root / "wh.duckdb")
        .execute("CREATE TABLE orders (id BIGINT PRIMARY KEY, amount BIGINT)")
        .close()
    )
    shop.call("run")
    assert (shop.root / "output" / "sum.csv").read_text() == "a\n30\n"


ODD = ["a.b", 'with "quotes"', "Ünïcode", "UPPER", "x-y", "a b", "t" * 60]


@pytest.fixture
def server(request, tmp_path, osiris):
    """A project from and to databases of a server, PostgreSQL or MariaDB."""
    family = {"postgres": "postgres", "mariadb": "mysql"}[request.param]
    started = request.getfixturevalue(request.param)
    source, target = started.new_database(), started.new_database()
    connections = {f"@{family}.shop": started.fields(source), f"@{family}.wh": started.fields(target)}
    project = Project(tmp_path, osiris, connections)
    project.family, project.source, project.target, project.server = family, source, target, started
    return project


@pytest.mark.parametrize("server", ["postgres", "mariadb"], indirect=True)
def test_five_hundred_tables_with_odd_names_views_and_without_key(server):
    quote = '"{}"' if server.family == "postgres" else "`{}`"
    names = [quote.format(name.replace('"', '""') if server.family == "postgres" else name) for name in ODD]
    statements = [f"CREATE TABLE {name} (id INT PRIMARY KEY, v INT)" for name in names]
    statements += [f"CREATE TABLE t{number} (id INT PRIMARY KEY, v INT)" for number in range(480)]
    statements += ["CREATE TABLE nokey (v INT)", "CREATE VIEW v AS SELECT * FROM t1"]
    statements += [
        "CREATE TABLE uniq (a INT NOT NULL UNIQUE, b INT UNIQUE)",
        "CREATE TABLE two (a INT NOT NULL UNIQUE, b INT NOT NULL UNIQUE)",
    ]
    if server.family == "postgres":
        statements += ["CREATE TABLE part (id INT PRIMARY KEY) PARTITION BY RANGE (id)"]
        statements += ["CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (9)"]
    server.server.run(*statements, database=server.source)
    schema = "public" if server.family == "postgres" else server.source
    to = f'connection: "@{server.family}.wh", table: "{{table}}"'
    source = f"@{server.family}.shop"
    more = (
        "    tables:\n      nokey: {write_mode: append}\n      v: {primary_key: [id]}\n      two: {primary_key: [b]}\n"
    )
    server.write(source=source, tables='["*"]', to=to, more=more)
    assert codes(server.call("compile", code=2)) == [("OML051", 7)]  # the dot of a name would separate a schema
    home = "public" if server.family == "postgres" else server.target
    to = f'connection: "@{server.family}.wh", table: "\\"{home}\\".{{table}}"'
    server.write(source=source, tables=f"['\"{schema}\".*']", to=to, more=more)
    plan = server.plan()
    found = pairs(plan)
    assert len(found) == len(ODD) + 480 + 4 + (server.family == "postgres")
    assert {*ODD, "nokey", "v"} <= {*found}
    assert found["nokey"].get("primary_key") is None
    assert found["uniq"]["primary_key"] == ["a"]
    assert found["two"]["primary_key"] == ["b"]
    assert "part_1" not in found
    ids = [step["id"] for step in plan["steps"]]
    assert len({*ids}) == len(ids)
    assert max(map(len, ids)) <= 64


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
@pytest.mark.parametrize("server", ["postgres", "mariadb"], indirect=True)
def test_pairs_that_quarantine_rows_leave_nothing_to_each_other_in_a_connection(server, mode):
    names = [f"t{number}" for number in range(6)]
    tables = [f"CREATE TABLE {name} (id INT PRIMARY KEY, v INT)" for name in names]
    rows = [f"INSERT INTO {name} VALUES (1, 10), (2, -1)" for name in names]
    server.server.run(*tables, *rows, database=server.source)
    server.server.run(*(f"{table[:-1]}, CHECK (v > 0))" for table in tables), database=server.target)
    to = f'connection: "@{server.family}.wh", table: "{{table}}"'
    mode = f"{mode}, on_reject: quarantine"
    server.write(source=f"@{server.family}.shop", to=to, mode=mode)
    assert server.call("run")["data"]["status"] == "complete"
    with server.server.connect(server.target) as connection, connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SELECT * FROM {name}")
            assert [tuple(row) for row in cursor.fetchall()] == [(1, 10)], name


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
def test_a_table_without_a_privilege_is_named(server):
    server.server.run(
        "CREATE TABLE open (id INT PRIMARY KEY)",
        "CREATE TABLE closed (id INT PRIMARY KEY)",
        f'REVOKE ALL ON closed FROM "{server.server.reader}"',
        database=server.source,
    )
    fields = server.server.fields(server.source, reader=True)
    server.env["SHOP_PASSWORD"] = fields["password"]
    path = server.root / "osiris_connections.yaml"
    declared = yaml.safe_load(path.read_text())
    declared["connections"]["postgres"]["shop"]["user"] = fields["user"]
    path.write_text(yaml.safe_dump(declared))
    server.write(source="@postgres.shop", to='connection: "@postgres.wh", table: "{table}"')
    assert codes(server.call("compile", code=2)) == [("OML055", 6)]


def test_tables_are_listed_the_worst_first_and_failures_by_cause(shop):
    shop.sql(*(f"CREATE TABLE t{n:02} (id INTEGER PRIMARY KEY, v INT NOT NULL)" for n in range(30)))
    shop.write(mode="upsert, cursor: {column: id, late: none}", tables='["t*", orders]')
    shop.call("run")
    shop.sql("DROP TABLE t03", "DROP TABLE t07", "INSERT INTO orders VALUES (3, 30)")
    answer = shop.call("run", code=1)
    states = {each["name"]: each["state"] for each in answer["data"]["tables"]}
    assert [*states.values()].count("nothing new") == 28
    assert [name for name, state in states.items() if state == "failed"] == ["t03", "t07"]
    assert states["orders"] == "rows written"
    (since,) = (each["since"] for each in answer["data"]["tables"] if each["name"] == "orders")
    assert (since["from"], since["to"]) == ("2", "3")
    assert len([each for each in answer["diagnostics"] if each["code"] == "DRV012"]) == 2  # --json has everything
    done = shop.osiris("run", shop.file, cwd=shop.root, env=shop.env)
    assert "shop  31 tables, 0 rows written: 2 failed, 29 nothing new" in done.stdout
    assert done.stdout.index("t03") < done.stdout.index("orders")
    assert "… and 11 more tables, 0 rows written: 11 nothing new" in done.stdout
    assert done.stderr.count("DRV012") == 1
    assert "shop-main-t03-source: failed" in done.stderr
    assert "(2 tables: t03, t07)" in done.stderr
    explained = " ".join(shop.osiris("explain", "last", cwd=shop.root, env=shop.env).stdout.split())
    assert "Step shop-main-t03-source failed with DRV012" in explained
    assert "1 other step failed too: shop-main-t07-source (DRV012)." in explained
    shown = shop.osiris("logs", "show", "previous", cwd=shop.root, env=shop.env).stdout
    assert "from 2 to 3" in shown
    assert shop.osiris("logs", "html", cwd=shop.root, env=shop.env).returncode == 0
    (session,) = [each.name for each in (shop.root / "logs").iterdir() if each.name.endswith("3")] or [""]
    page = (shop.root / "logs" / session / "report.html").read_text()
    assert page.index('id="tables"') < page.index('id="time"')
    assert 'id="pipeline"' not in page


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
def test_the_package_says_which_tables_share_a_snapshot_and_what_holds_a_mark_back(server):
    import psycopg

    stamp = "at timestamptz NOT NULL DEFAULT clock_timestamp()"
    tables = [f"CREATE TABLE t{n} (id INT PRIMARY KEY, {stamp})" for n in range(3)]
    server.server.run(*tables, "INSERT INTO t0 VALUES (1)", database=server.source)
    to = 'connection: "@postgres.wh", table: "{table}"'
    mode = "upsert, cursor: {column: at, stamped_by: server}"
    server.write(source="@postgres.shop", to=to, mode=mode)
    fields = server.server.fields(server.source)
    with psycopg.connect(
        dbname=server.source, **{k: fields[k] for k in ("host", "port", "user", "password")}
    ) as open_one:
        open_one.execute("INSERT INTO t0 VALUES (2)")
        answer = server.call("run")
    (since,) = (each["since"] for each in answer["data"]["tables"] if each["name"] == "public.t0")
    assert since["from"] is None
    assert "transaction" in since["held_back_by"]
    package = json.loads(server.osiris("logs", "aiop", cwd=server.root, env=server.env).stdout)
    (entry,) = package["answer"]["tables"]["entries"]
    assert (entry["snapshot"]["shared"], entry["snapshot"]["apart"]) == (3, 0)


ENTRY = """
  - id: {id}
    from: {{connection: "@sqlite.shop", tables: [{tables}]}}
    to: {{{to}}}
    defaults: {{write_mode: {mode}, cursor: {{column: {cursor}, late: none}}}}
"""
STEPS = """
steps:
  - {id: read, component: sqlite.extractor, mode: read,
     config: {connection: "@sqlite.shop", table: orders, cursor: {column: id, late: none}}}
  - {id: save, component: duckdb.writer, mode: write, needs: [read],
     config: {connection: "@duckdb.wh", schema: MAIN, table: ORDERS}}
"""
WAREHOUSE = 'connection: "@duckdb.wh", table: '


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize(
    ("second", "steps", "line"),
    [
        ({"to": f'{WAREHOUSE} "{{table}}"'}, "", 11),
        ({"to": f"{WAREHOUSE} '\"Orders\"'"}, "", 11),
        ({"to": f'{WAREHOUSE} "MAIN.{{table}}"'}, "", 11),
        ({"tables": "people", "to": f'{WAREHOUSE} "orders"'}, "", 11),
        (None, STEPS, 6),
    ],
    ids=["table", "quoted", "schema", "source", "step"],
)
def test_two_states_of_one_table_are_no_plan(shop, second, steps, line, mode):
    shop.sql("CREATE TABLE people (id INTEGER PRIMARY KEY, amount INT)")
    first = {"id": "one", "tables": "orders", "to": f'{WAREHOUSE} "{{table}}"', "mode": mode, "cursor": "id"}
    entries = [first, *([{**first, "id": "two", **second}] if second else [])]
    shop.file.write_text(
        'oml_version: "0.3.0"\nname: shop\nreplicate:' + "".join(ENTRY.format(**each) for each in entries) + steps
    )
    for command in ("compile", "run"):
        (problem,) = (each for each in shop.call(command, code=2)["diagnostics"] if each["severity"] == "error")
        assert (problem["code"], problem["line"]) == ("CMP009", line), problem
        assert "another table" in problem["hint"]


def test_two_states_of_one_folder_are_no_plan(shop):
    first = {"id": "one", "tables": "orders", "to": 'folder: "lake/{table}"', "mode": "append", "cursor": "id"}
    second = {**first, "id": "two", "to": 'folder: "lake/../lake/orders/"'}
    entries = "".join(ENTRY.format(**each) for each in (first, second)).replace("write_mode: append, ", "")
    shop.file.write_text(f'oml_version: "0.3.0"\nname: shop\nreplicate:{entries}')
    problems = shop.call("compile", code=2)["diagnostics"]
    assert [(each["code"], each["line"]) for each in problems if each["severity"] == "error"] == [("CMP009", 11)]


def test_pipelines_with_one_state_run_one_after_another(shop):
    """The second run starts from the state that the first has left."""
    entry = {"id": "one", "tables": "orders", "to": f'{WAREHOUSE} "{{table}}"', "mode": "append", "cursor": "id"}
    for name in ("shop", "more"):
        text = f'oml_version: "0.3.0"\nname: {name}\nreplicate:' + ENTRY.format(**entry)
        shop.file.with_name(f"{name}.yaml").write_text(text)
    done = shop.osiris("run", "--all", "--json", cwd=shop.root)
    assert done.returncode == 0, done.stdout
    with duckdb.connect(str(shop.root / "wh.duckdb")) as warehouse:
        assert warehouse.execute("SELECT count(*) FROM orders").fetchall() == [(2,)]
