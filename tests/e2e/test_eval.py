"""`osiris eval` on a small set of its own: what is right, asked, refused and wrong is told as such."""

import json

import pytest

WORLD = {"kind": "sqlite", "connection": "shop", "targets": {"duckdb": "mart"}, "about": "a small shop"}
SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR, city VARCHAR);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id), placed_on DATE, total DECIMAL(9,2));
"""
CUSTOMERS = "id,name,city\n1,Ada,Bern\n2,Boris,Basel\n3,Chloé,Bern\n"
ORDERS = "id,customer_id,placed_on,total\n1,1,2025-01-03,10.50\n2,1,2025-02-03,4.00\n3,2,2025-02-05,\n"


def gold(sql, kind="csv", mode="replace", **target):
    place = {"kind": kind, "path": None, "connection": None, "table": None, **target}
    return {"sources": [], "columns": [], "mode": mode, "target": place, "sql": sql, "ordered": False}


CASES = [
    ("right", "export all customers to csv", "pipeline", None, gold("SELECT * FROM customers")),
    (
        "right",
        "append the orders to table orders in @duckdb.mart",
        "pipeline",
        None,
        gold("SELECT * FROM orders", "duckdb", "append", connection="mart", table="orders"),
    ),
    ("wrong", "export all customers to csv", "pipeline", None, gold("SELECT * FROM orders")),
    ("wrong", "customers to csv", "pipeline", None, gold("SELECT * FROM customers", path="output/elsewhere.csv")),
    ("asked", "export the customers", "pipeline", None, gold("SELECT * FROM customers")),
    ("right", "export the customers", "question", "to csv please", gold("SELECT * FROM customers")),
    ("right", "mail all customers to Bob", "refusal", None, None),
]


@pytest.fixture
def cases(tmp_path):
    world = tmp_path / "set" / "worlds" / "shop"
    (world / "data").mkdir(parents=True)
    (world / "world.json").write_text(json.dumps(WORLD))
    (world / "schema.sql").write_text(SCHEMA)
    (world / "data" / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    (world / "data" / "orders.csv").write_text(ORDERS)
    lines = [
        {"id": f"c{n}", "world": "shop", "request": request, "expect": expect, "answer": answer, "gold": wanted}
        for n, (_, request, expect, answer, wanted) in enumerate(CASES)
    ]
    (tmp_path / "set" / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_each_case_gets_its_verdict(cases, osiris):
    done = osiris("eval", "--set", "set", "--json", cwd=cases, timeout=300)
    data = json.loads(done.stdout)["data"]
    assert [each["verdict"] for each in data["each"]] == [verdict for verdict, *_ in CASES], data["each"]
    assert data["wrong_without_asking"] == ["c2", "c3"]
    assert done.returncode == 1
    assert data["table"]["all"] == {"cases": 7, "right": 4, "asked": 1, "refused": 0, "failed": 0, "wrong": 2}
    assert data["valid_at_first"] == [5, 5]


def test_some_cases_alone(cases, osiris):
    done = osiris("eval", "--set", "set", "--case", "c0", cwd=cases)
    assert done.returncode == 0
    assert "wrong without asking: none" in done.stdout


@pytest.mark.parametrize("broken", ["", "{}\n", "no json\n"])
def test_a_folder_that_is_no_set_is_refused(broken, tmp_path, osiris):
    (tmp_path / "cases.jsonl").write_text(broken)
    done = osiris("eval", "--set", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "CHT050" in done.stderr


@pytest.mark.long
def test_the_rules_are_never_wrong_without_asking(tmp_path, osiris):
    """The set that is shipped: the floor that a model must pass."""
    done = osiris("eval", "--json", cwd=tmp_path, timeout=1800)
    data = json.loads(done.stdout)["data"]
    assert data["wrong_without_asking"] == []
    assert data["cases"] == 108
    assert data["right"] >= 45
    assert data["valid_at_first"][0] == data["valid_at_first"][1]
