"""Every command that takes a plan accepts an unchanged one, and none sends a secret to a forged address."""

import json
import socket
import sqlite3

import pytest
from tests.e2e.sessions import Shop
from tests.property.test_forged_plans import signed

PIPELINE = """
oml_version: "0.2.0"
name: everything
params: {least: {type: integer, default: 1}}
steps:
  - {id: pg, component: postgres.extractor, mode: read, needs: [],
     config: {connection: "@postgres.shop", query: "SELECT id, amount FROM orders WHERE id >= ${params.least}"}}
  - {id: my, component: mysql.extractor, mode: read, needs: [],
     config: {connection: "@mysql.shop", query: SELECT id FROM orders ORDER BY id}}
  - {id: lite, component: sqlite.extractor, mode: read, needs: [], config: {connection: "@sqlite.shop", table: orders}}
  - {id: files, component: filesystem.csv_extractor, mode: read, needs: [], config: {path: data/orders.csv}}
  - id: joined
    component: duckdb.processor
    mode: transform
    needs: [pg, my, lite, files]
    config:
      query: |
        SELECT pg.id, pg.amount, f.n FROM pg JOIN my ON pg.id = my.id JOIN lite ON pg.id = lite.id
        CROSS JOIN (SELECT count(*) AS n FROM files) AS f ORDER BY pg.id
      checks: [{unique: [id]}]
  - {id: csv, component: filesystem.csv_writer, mode: write, needs: [joined], config: {path: output/all.csv}}
  - {id: duck, component: duckdb.writer, mode: write, needs: [joined],
     config: {connection: "@duckdb.lake", table: orders, write_mode: upsert, primary_key: [id]}}
"""


ROWS = ("CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER)", "INSERT INTO orders VALUES (1, 10), (2, 20)")


@pytest.fixture
def shop(osiris, postgres, mariadb, tmp_path):
    """A project with sources of all kinds, and the plan of a pipeline that reads them."""
    shop = Shop(osiris, tmp_path / "shop")
    shop.env = {"PG_PASSWORD": postgres.password, "MY_PASSWORD": mariadb.password}
    declared = {"sqlite": {"shop": {"path": "data/shop.sqlite"}}, "duckdb": {"lake": {"path": "output/lake.duckdb"}}}
    for family, server, variable in (("postgres", postgres, "PG"), ("mysql", mariadb, "MY")):
        database = server.new_database()
        server.run(*ROWS, database=database)
        declared[family] = {"shop": server.fields(database) | {"password": f"${{{variable}_PASSWORD}}"}}
    with sqlite3.connect(shop.folder / "data" / "shop.sqlite") as file:
        for statement in ROWS:
            file.execute(statement)
    file.close()
    (shop.folder / "osiris_connections.yaml").write_text(json.dumps({"connections": declared}))
    (shop.folder / "pipelines" / "everything.yaml").write_text(PIPELINE)
    shop.example.unlink()
    shop.plan = shop.json("compile", "pipelines/everything.yaml", env=shop.env)["data"]
    return shop


@pytest.mark.long
def test_an_untouched_plan_is_accepted_by_every_command(shop):
    plan, file = shop.plan["fingerprint"], "pipelines/everything.yaml"
    ran = [
        shop.json("run", *words, "--new-run", env=shop.env)["data"]["session"]
        for words in (("--last-compile",), (plan[:12], "--allow-engine-drift"))
    ]
    orders = shop.orders.read_bytes()
    shop.orders.unlink()
    assert shop._osiris("run", plan, "--run-id", "night", cwd=shop.folder, env=shop.env).returncode == 1
    shop.orders.write_bytes(orders)
    for words in (
        ("run", "--last-compile", "--dry-run"),
        ("run", "--resume", "night"),
        ("run", shop.plan["manifest"], "--select", "csv", "--new-run"),
        ("replay", ran[0]),
        ("explain", plan),
        ("explain", ran[0]),
        ("impact", "@postgres.shop.orders"),
        ("impact", "data/orders.csv"),
        ("lineage", "csv", plan),
        ("lineage", "csv"),
        ("lineage", ran[0], "--format", "openlineage"),
        ("diff", plan, ran[0]),
        ("diff", *ran),
        ("verify", *ran),
        ("preview", file, "joined"),
        ("compile", file, "--check", "--detailed-exitcode"),
        ("logs", "show", ran[0]),
        ("logs", "html", ran[0]),
        ("logs", "aiop", ran[0]),
        ("logs", "bundle", ran[0]),
    ):
        found = shop.json(*words, env=shop.env)
        refused = [
            d for d in found["diagnostics"] if d["code"].startswith("CMP02") or d["code"] in ("CMP040", "CMP050")
        ]
        assert (words, refused) == (words, [])


FOREIGN = {
    "address": lambda fields, port: fields.update(host="127.0.0.1", port=port, user="u"),
    "one field more": lambda fields, _port: fields.update(application_name="${ANY_SECRET}"),
    "one field less": lambda fields, _port: fields.pop("user"),
    "variable": lambda fields, _port: fields.update(password="${ANY_SECRET}"),
}


def test_a_secret_is_sent_only_where_the_project_says(shop):
    """A plan whose connections are not the project's is rejected before any connection is opened."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for kind, change in FOREIGN.items():
            forged = json.loads((shop.folder / shop.plan["manifest"]).read_bytes())
            change(forged["connections"]["@postgres.shop"], listener.getsockname()[1])
            (shop.folder / "forged.json").write_bytes(signed(forged))
            for more in ((), ("--dry-run",)):
                env = {**shop.env, "ANY_SECRET": "s3cr3t-of-ours"}
                found = shop.json("run", "forged.json", "--new-run", *more, code=4, env=env)
                errors = [d for d in found["diagnostics"] if d["severity"] == "error"]
                assert {d["code"] for d in errors} <= {"CMP050", "CMP022"}, (kind, errors)
                assert "@postgres.shop" in errors[0]["message"]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
