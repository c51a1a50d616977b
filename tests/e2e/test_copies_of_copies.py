"""Cursors on tables that Osiris itself writes; with the installed command and real databases."""

import json

import pytest
import yaml
from tests.e2e.databases import Side

PIPELINE = """
oml_version: "0.3.0"
name: {name}
steps:
  - id: orders
    component: {source}.extractor
    mode: read
    config: {{connection: "@{source}.{first}", {what}, cursor: {cursor}}}
  - id: copy
    component: {target}.writer
    mode: write
    needs: [orders]
    config: {{connection: "@{target}.{second}", table: orders, write_mode: upsert, primary_key: [id]}}
"""
STAMP = {
    "postgres": "timestamptz",
    "mysql": "timestamp(6)",
    "sqlite": "DATETIME",
    "duckdb": "timestamptz",
}
STAMPED = "{column: stamp, zone: UTC}"


class Chain:
    """A project with the databases `shop`, `middle` and `last`; the first and the last are of SQLite."""

    def __init__(self, root, osiris, middle):
        self.root, self.osiris, self.middle = root, osiris, middle
        self.shop = Side("sqlite", "shop", root)
        (root / "osiris.yaml").write_text("")
        self.connect(middle.fields)
        columns = f"id bigint NOT NULL PRIMARY KEY, stamp {STAMP[middle.family]} NOT NULL DEFAULT CURRENT_TIMESTAMP"
        if middle.family == "mysql":
            columns = columns.replace("CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP(6)")
        middle.sql(f"CREATE TABLE orders ({columns})", f"CREATE TABLE others ({columns})")
        self.shop.sql("CREATE TABLE orders (id bigint NOT NULL PRIMARY KEY)", "INSERT INTO orders VALUES (1), (2)")

    def connect(self, fields):
        """Write the connections, that of the middle with these fields."""
        declared = {"sqlite": {alias: {"path": f"{alias}.sqlite"} for alias in ("shop", "last")}}
        declared.setdefault(self.middle.family, {})["middle"] = fields
        (self.root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": declared}))

    def fill(self):
        """Copy the orders of the shop to the middle, where a DEFAULT stamps them."""
        self.run("fill", self.shop, self.middle, "{column: id, late: none}")

    def release(self):
        """Give up the pipeline that fills the middle: its plan is left."""
        (self.root / "pipelines" / "fill.yaml").unlink()
        (plan,) = self.root.glob("build/fill/*/manifest.json")
        done = self.osiris("state", "reset", plan, cwd=self.root, env=self.middle.env)
        assert done.returncode == 0, done.stderr

    def read(self, cursor=STAMPED, what="table: orders", **more):
        return self.run("read", self.middle, Side("sqlite", "last", self.root), cursor, what, **more)

    def run(self, name, first, second, cursor, what="table: orders", code=0, **env):
        path = self.root / "pipelines" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        names = {"source": first.family, "first": first.alias, "target": second.family, "second": second.alias}
        path.write_text(PIPELINE.format(name=name, cursor=cursor, what=what, **names))
        done = self.osiris("run", path, "--json", cwd=self.root, env={**self.middle.env, **env})
        assert done.returncode == code, done.stdout + done.stderr
        return [each for each in json.loads(done.stdout)["diagnostics"] if each["severity"] == "error"]


@pytest.fixture
def chain_of(request, tmp_path, osiris):
    def make(family):
        names = {"postgres": "postgres", "mysql": "mariadb"}
        server = request.getfixturevalue(names[family]) if family in names else None
        return Chain(tmp_path, osiris, Side(family, "middle", tmp_path, server))

    return make


@pytest.mark.parametrize("family", STAMP)
def test_open_transactions_say_nothing_of_a_table_that_osiris_writes(chain_of, family):
    chain = chain_of(family)
    chain.read()  # nothing writes the table yet
    chain.fill()
    (problem,) = chain.read(code=2)
    assert problem["code"] == "STA008"
    assert "Osiris itself writes table 'orders'" in problem["message"]
    assert "lag" in problem["hint"]
    assert "osiris state reset FILE" in problem["hint"]
    chain.release()
    chain.read()  # nothing writes the table any more
    chain.fill()
    assert [each["code"] for each in chain.read(code=2)] == ["STA008"]
    chain.read(what="table: others")
    chain.read(cursor="{column: stamp, zone: UTC, late: {lag: 1h}}", code=1)  # another cursor (STA002)
    (chain.root / "last.sqlite").unlink()
    chain.read(cursor="{column: stamp, zone: UTC, late: {lag: 1h}}")
    assert Side("sqlite", "last", chain.root).sql("SELECT id FROM orders ORDER BY id") == [(1,), (2,)]


@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_a_query_of_a_table_that_osiris_writes_is_refused_too(chain_of, family):
    chain = chain_of(family)
    chain.fill()
    (problem,) = chain.read(
        cursor="{column: stamp, zone: UTC, stamped_by: server}", what='query: "SELECT id, stamp FROM orders"', code=2
    )
    assert problem["code"] == "STA008"


def test_a_user_who_may_not_see_the_states_reads_the_tables_beside_them(chain_of, postgres):
    chain = chain_of("postgres")
    chain.fill()
    reader = postgres.fields(chain.middle.database, reader=True)
    chain.connect({**reader, "password": "${READER_PASSWORD}"})
    (problem,) = chain.read(what="table: others", code=2, READER_PASSWORD=postgres.reader_password)
    assert problem["code"] == "STA008"
    assert "pg_read_all_stats" in problem["hint"]
    chain.middle.sql("REVOKE SELECT ON _osiris_state FROM reader", "GRANT pg_read_all_stats TO reader")
    try:
        chain.read(what="table: others", READER_PASSWORD=postgres.reader_password)
        chain.middle.sql("GRANT SELECT ON _osiris_state TO reader")
        (problem,) = chain.read(code=2, READER_PASSWORD=postgres.reader_password)
        assert problem["code"] == "STA008"
    finally:
        chain.middle.sql("REVOKE pg_read_all_stats FROM reader")


def test_states_of_one_schema_say_nothing_of_another(chain_of, postgres):
    chain = chain_of("postgres")
    chain.fill()
    chain.middle.sql("CREATE SCHEMA aside", "CREATE TABLE aside.orders AS TABLE orders WITH NO DATA")
    cursor = "{column: stamp, zone: UTC, stamped_by: server}"
    for first in ("orders", "others"):
        what = f'query: "SELECT id, stamp FROM {first} WHERE id IN (SELECT id FROM aside.orders)"'
        refused = chain.read(cursor=cursor, what=what, code=2 if first == "orders" else 0)
        assert [each["code"] for each in refused] == (["STA008"] if first == "orders" else [])
