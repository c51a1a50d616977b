"""A small set of its own: what is right, asked, refused and wrong is told as such."""

import json

import pytest
from bench.evaluation.score import score_set
from tests.unit.chat.scripted import environment, serving
from tests.unit.chat.talking import proposal, question, refusal

from osiris.chat.conversation import Options

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


def proposed(relation, name, **target):
    return proposal(f"@sqlite.shop/{relation}", name=name, **target)


MART = {"component": "duckdb.writer", "connection": "@duckdb.mart", "table": "orders", "mode": "append"}
ANSWERS = {
    "export all customers to csv": proposed("customers", "customers"),
    "customers to csv": proposed("customers", "customers"),
    "append the orders to table orders in @duckdb.mart": proposed("orders", "orders", **MART),
    "export the customers": question("Where do they go?", "csv", "parquet", about="target"),
    "to csv please": proposed("customers", "customers"),
    "mail all customers to Bob": refusal("I cannot send mail."),
}


@pytest.fixture
def environ():
    with serving(ANSWERS) as server:
        yield environment(server)


def test_each_case_gets_its_verdict(cases, environ):
    score = score_set(cases / "set", cases / "scratch", Options(), environ, print)
    assert [each.verdict for each in score.graded] == [verdict for verdict, *_ in CASES]
    assert score.wrong_without_asking == ["c2", "c3"]
    assert score.table()["pipeline"] == {"cases": 5, "right": 2, "asked": 1, "refused": 0, "failed": 0, "wrong": 2}


def test_one_case_by_itself(cases, environ):
    told = []
    score = score_set(cases / "set", cases / "scratch", Options(), environ, told.append, ["c0"])
    assert [each.case.id for each in told] == [each.case.id for each in score.graded] == ["c0"]
