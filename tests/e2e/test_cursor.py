"""Pipelines that read only what is new, with the installed command and real databases."""

import json
import time

import pytest
import yaml

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
UPSERT, APPEND = "write_mode: upsert, primary_key: id", "write_mode: append"
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
    if shop.family == "mysql" and "row_xids" in cursor:
        pytest.skip("MySQL shows no transaction ids of rows")
    fill(shop, 1000)
    assert written(shop.run(cursor, mode)) == 1000
    shop.sql("INSERT INTO orders (id, amount) VALUES (1001, 5)")
    answer = shop.run(cursor, mode)
    assert read(answer) <= 2
    assert written(answer) == 1
    assert written(shop.run(cursor, mode)) == 0 or "row_xids" in cursor
    assert len(shop.copied()) == 1001


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
