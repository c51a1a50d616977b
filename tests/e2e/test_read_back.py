"""The description of a plan's outputs, shown before the person confirms it."""

from __future__ import annotations

import json
import sqlite3

import pytest

from osiris import api

CONNECTIONS = "version: 1\nconnections:\n  sqlite:\n    shop: {path: shop.sqlite, default: true}\n"
PIPELINE = """
oml_version: "0.1.0"
name: revenue
steps:
  - id: orders
    component: filesystem.csv_extractor
    mode: read
    config: {path: orders.csv}
  - id: customers
    component: sqlite.extractor
    mode: read
    config: {connection: "@sqlite.shop", table: customers}
  - id: paid
    component: duckdb.processor
    mode: transform
    needs: [orders, customers]
    config:
      query: |
        SELECT o.id, o.amount, c.id AS customer, c.name
        FROM orders o LEFT JOIN customers c ON o.customer_id = c.id WHERE o.status = 'paid'
  - id: revenue
    component: duckdb.processor
    mode: transform
    needs: [paid]
    config:
      query: SELECT name, sum(amount) AS total FROM paid GROUP BY name ORDER BY total DESC LIMIT 10
  - id: report
    component: filesystem.csv_writer
    mode: write
    needs: [revenue]
    config: {path: output/revenue.csv}
  - id: rows
    component: sqlite.writer
    mode: write
    needs: [paid]
    config: {connection: "@sqlite.shop", table: paid, write_mode: upsert, primary_key: [id]}
"""
CUSTOMERS = [(1, "Ana"), (2, "Ana"), (3, "Bo")]

ORDERS = [(1, 1, "paid", 10), (2, 2, "paid", 20), (3, 3, "open", 5), (4, 9, "paid", 7)]


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(CONNECTIONS)
    (tmp_path / "revenue.yaml").write_text(PIPELINE)
    lines = ["id,customer_id,status,amount", *(",".join(map(str, order)) for order in ORDERS)]
    (tmp_path / "orders.csv").write_text("\n".join(lines) + "\n")
    with sqlite3.connect(tmp_path / "shop.sqlite") as base:
        base.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        base.executemany("INSERT INTO customers VALUES (?, ?)", CUSTOMERS)
    base.close()
    return tmp_path


def outputs(osiris, folder, *args):
    done = osiris("compile", "revenue.yaml", "--explain", "--json", *args, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return {output["step"]: output for output in json.loads(done.stdout)["data"]["plan"]["read_back"]}


def test_each_output_is_read_back(osiris, shop):
    assert osiris("discover", "@sqlite.shop", cwd=shop).returncode == 0
    found = outputs(osiris, shop)
    report, rows = found["report"], found["rows"]
    assert report["grain"] == [{"name": "name", "of": "customers.name"}]
    assert report["grain_text"] == "one row per customers.name"
    assert (report["target"], report["mode"]) == ("output/revenue.csv", "replace")
    assert report["sources"] == {"customers": "@sqlite.shop.customers", "orders": "orders.csv"}
    paid, revenue = report["steps"]
    assert paid["filters"] == ["orders.status = 'paid'"]
    assert paid["joins"] == [
        "orders with customers on orders.customer_id = customers.id; unmatched rows of orders kept"
    ]
    assert (revenue["columns"]["total"], revenue["sort"], revenue["limit"]) == (
        "sum of amount",
        ["total descending"],
        "10",
    )
    assert (rows["target"], rows["mode"], rows["key"]) == ("@sqlite.shop.paid", "upsert", ["id"])
    assert rows["grain"] is None  # orders come from a file: nobody knows that their ids are unique


def test_keys_that_nobody_has_seen_are_not_guessed(osiris, shop):
    join = outputs(osiris, shop)["report"]["steps"][0]["joins"][0]
    assert join.endswith("; rows may multiply")


def test_it_is_shown_as_lines_and_on_the_page(osiris, shop):
    shown = osiris("compile", "revenue.yaml", "--explain", "--html", "plan.html", cwd=shop).stdout
    assert "output/revenue.csv (step report, write mode replace)\n  one row per customers.name\n" in shown
    assert "one row per customers.name" in (shop / "plan.html").read_text(encoding="utf-8")
    assert "one row per" not in osiris("compile", "revenue.yaml", cwd=shop).stdout


def test_each_sql_step_tells_how_it_can_be_cut(osiris, shop):
    done = osiris("compile", "revenue.yaml", "--explain", "--json", cwd=shop)
    paid, revenue = json.loads(done.stdout)["data"]["plan"]["cuts"]
    together = {
        name: {"how": "bucket", "columns": [key]} for name, key in (("orders", "customer_id"), ("customers", "id"))
    }
    assert (paid["step"], paid["feeds"], paid["merge"]) == ("paid", together, None)
    assert revenue["feeds"] == {"paid": {"how": "bucket", "columns": ["name"]}}
    assert "ORDER BY" not in revenue["part"]
    assert revenue["merge"].endswith("LIMIT 10")
    shown = osiris("compile", "revenue.yaml", "--explain", cwd=shop).stdout
    assert "paid can be computed in parts (customers by id, orders by customer_id). " in shown
    assert "revenue can be computed in parts (paid by name), then merged. " in shown
    assert "cuts" not in json.loads(osiris("compile", "revenue.yaml", "--json", cwd=shop).stdout)["data"]["plan"]


def test_one_task_has_its_reason_and_place(osiris, shop):
    text = PIPELINE.replace(
        "SELECT name, sum(amount) AS total FROM paid GROUP BY name", "SELECT sum(amount) AS total FROM paid"
    )
    (shop / "revenue.yaml").write_text(text)
    done = osiris("compile", "revenue.yaml", "--explain", "--json", cwd=shop)
    _, revenue = json.loads(done.stdout)["data"]["plan"]["cuts"]
    assert revenue["reason"] == "sum() without GROUP BY puts all rows together."
    assert (revenue["line"], revenue["column"]) == (2, 3)
    shown = osiris("compile", "revenue.yaml", "--explain", cwd=shop).stdout
    assert (
        "revenue is one task. sum() without GROUP BY puts all rows together. (line 2, column 3 of its statement)"
        in shown
    )


def test_keys_may_be_given(shop):
    workspace = api.open_project(shop, {})
    compiled = api.compile_file(workspace, shop / "revenue.yaml", params={})
    report, _ = api.outputs_of(workspace, compiled, {"customers": [("id",)]})
    assert not report.steps[0].joins[0].endswith("multiply")


def compiled(folder):
    workspace = api.open_project(folder, {})
    return workspace, api.compile_file(workspace, folder / "revenue.yaml", params={})


def test_measured_against_plain_python(shop):
    found = api.read_back(*compiled(shop), 120.0)
    paid = [order for order in ORDERS if order[2] == "paid"]
    names = dict(CUSTOMERS)
    matched = [order for order in paid if order[1] in names]
    groups = {names.get(order[1]) for order in paid}
    people = {order[1] for order in matched}
    assert found.rows == {
        "orders": (len(ORDERS), len(ORDERS)),
        "customers": (len(CUSTOMERS), len(CUSTOMERS)),
        "paid": (len(ORDERS) + len(CUSTOMERS), len(paid)),
        "revenue": (len(paid), len(groups)),
    }
    assert found.remarks == (
        (
            f"orders with customers: {len(matched)} of {len(paid)} rows match, "
            f"{len(paid) - len(matched)} of them kept without a match, no row multiplied"
        ),
        (
            f"{len(groups - {None})} different customers.name for {len(people)} different customers.id: "
            "rows of different customers become one"
        ),
    )
    assert (found.cut, found.missing) == ((), ())
    totals = {name: sum(order[3] for order in paid if names.get(order[1]) == name) for name in groups}
    assert {name: int(total) for name, total in found.outputs["report"].rows} == totals
    assert not (shop / "output").exists()
    with sqlite3.connect(shop / "shop.sqlite") as base:
        assert base.execute("SELECT count(*) FROM sqlite_master WHERE name = 'paid'").fetchone() == (0,)
    base.close()


def test_what_is_not_there_in_time_is_said_to_be_missing(shop):
    found = api.read_back(*compiled(shop), 0.2)
    assert found.missing == ("orders", "customers", "paid", "revenue")
    assert list(found.lines()) == ["not measured: orders, customers, paid, revenue"]


def test_measured_on_a_terminal(osiris, shop):
    done = osiris("compile", "revenue.yaml", "--measure", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert "one row per customers.name" in done.stdout
    assert "orders: 4 rows in, 4 rows out" in done.stdout or "not measured" in done.stdout
