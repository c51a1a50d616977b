"""Queries that count rows lost and multiplied by joins, and objects that share a name, compared with plain Python."""

from __future__ import annotations

import contextlib
import random

import duckdb
import pytest
from tests.unit.sql.test_grain import CASES, SCHEMAS, fill, relations

from osiris import sql
from osiris.sql.explanation.probes import NameProbe, probes_of


@pytest.fixture
def shop():
    engine = duckdb.connect()
    fill(engine, "shop", random.Random(4))
    yield engine
    engine.close()


def rows(engine, table):
    found = engine.sql(f"FROM {table}")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


@pytest.mark.parametrize("side", ["", "LEFT "])
@pytest.mark.parametrize("seed", range(5))
def test_joins_are_counted(side, seed):
    engine = duckdb.connect()
    fill(engine, "shop", random.Random(seed))
    text = f"SELECT o.id, i.line FROM orders o {side}JOIN items i ON i.order_id = o.id WHERE o.status = 'paid'"
    (probe,) = probes_of(text, relations("shop"))
    paid = [order for order in rows(engine, "orders") if order["status"] == "paid"]
    matches = [sum(item["order_id"] == order["id"] for item in rows(engine, "items")) for order in paid]
    matched = sum(1 for each in matches if each)
    after = sum(max(each, 1) for each in matches) if side else sum(matches)
    assert engine.sql(probe.query).fetchall() == [(len(paid), matched, after)]


def test_what_the_numbers_say():
    text = "SELECT o.id FROM orders o JOIN items i ON i.order_id = o.id"
    (probe,) = probes_of(text, relations("shop"))
    assert probe.text((100, 97, 250)) == (
        "orders with items: 97 of 100 rows match, 3 of them dropped, 153 rows more by several matches"
    )
    (kept,) = probes_of(text.replace("JOIN", "LEFT JOIN"), relations("shop"))
    assert kept.text((100, 97, 100)) == (
        "orders with items: 97 of 100 rows match, 3 of them kept without a match, no row multiplied"
    )


def test_namesakes_are_counted(shop):
    shop.execute("DELETE FROM customers; INSERT INTO customers (id, name) VALUES (1, 'Ana'), (2, 'Ana'), (3, 'Bo')")
    shop.execute("DELETE FROM orders")
    shop.execute("INSERT INTO orders (id, customer_id) VALUES (1, 1), (2, 2), (3, 3), (4, 9)")
    text = "SELECT c.name, count(*) AS n FROM orders o LEFT JOIN customers c ON o.customer_id = c.id GROUP BY c.name"
    probe = next(each for each in probes_of(text, relations("shop")) if isinstance(each, NameProbe))
    (numbers,) = shop.sql(probe.query).fetchall()
    assert numbers == (2, 3)
    assert probe.text(numbers) == (
        "2 different customers.name for 3 different customers.id: rows of different customers become one"
    )
    assert probe.text((3, 3)) == ""


def test_a_key_among_the_groups_asks_nothing():
    text = "SELECT id, name, count(*) AS n FROM customers GROUP BY id, name"
    assert probes_of(text, relations("shop")) == []


@pytest.mark.parametrize(("schema", "case"), CASES, ids=[case["sql"][:60] for _, case in CASES])
def test_probes_are_statements_that_may_run(schema, case):
    engine = duckdb.connect()
    fill(engine, schema, random.Random(1))
    for probe in probes_of(case["sql"], relations(schema)):
        assert sql.check(probe.query, "duckdb", relations=SCHEMAS[schema].keys(), parameters=()).ok
        with contextlib.suppress(duckdb.ConversionException):  # keys of the other type: 'a' is no number
            (numbers,) = engine.sql(probe.query).fetchall()
            assert all(number >= 0 for number in numbers)
