"""A proposal becomes the same text every time, in the form that `osiris fmt` has."""

import pytest
from tests.unit.chat.talking import proposal
from tests.unit.chat.worlds import CHOICES

from osiris.api import format_text
from osiris.chat.oml import render
from osiris.chat.proposal import read
from osiris.oml.parse import parse

ORDERS = "@sqlite.shop/orders"
CUSTOMERS = "@sqlite.shop/customers"
JOINED = """\
SELECT c.country, count(*) AS orders
FROM orders AS o
JOIN customers AS c ON c.id = o.customer_id
GROUP BY c.country"""
TEXT = """\
oml_version: "0.1.0"
name: by_country

steps:
  - id: orders
    component: sqlite.extractor
    mode: read
    needs: []
    config: {connection: "@sqlite.shop", table: orders}

  - id: customers
    component: sqlite.extractor
    mode: read
    needs: []
    config: {connection: "@sqlite.shop", table: customers}

  - id: transform
    component: duckdb.processor
    mode: transform
    needs: [orders, customers]
    config:
      query: |
        SELECT c.country, count(*) AS orders
        FROM orders AS o
        JOIN customers AS c ON c.id = o.customer_id
        GROUP BY c.country

  - id: save
    component: filesystem.csv_writer
    mode: write
    needs: [transform]
    config: {path: output/by_country.csv}
"""


def rendered(value, words=""):
    return render(read("synthesis", value, CHOICES), CHOICES, words)


def config_of(text, step):
    return next(each["config"] for each in parse(text, "x.yaml").data["steps"] if each["id"] == step)


def test_a_join_to_a_file():
    assert rendered(proposal(ORDERS, CUSTOMERS, sql=JOINED, name="by_country")) == TEXT


def test_rows_that_are_copied_into_a_table_need_no_sql():
    value = proposal(
        ORDERS,
        component="duckdb.writer",
        connection="@duckdb.warehouse",
        table="orders",
        mode="upsert",
        key=["id"],
    )
    value["sources"][0]["columns"] = ["id", "total"]

    steps = parse(rendered(value), "x.yaml").data["steps"]

    assert [step["id"] for step in steps] == ["orders", "save"]
    assert steps[0]["config"] == {"connection": "@sqlite.shop", "table": "orders", "columns": ["id", "total"]}
    assert steps[1]["needs"] == ["orders"]
    assert steps[1]["config"] == {
        "connection": "@duckdb.warehouse",
        "table": "orders",
        "write_mode": "upsert",
        "primary_key": ["id"],
    }


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM orders",
        "SELECT 'a: b # c' AS x,\n\t'{y}' AS \"z \"\nFROM orders",
        "SELECT '𝄞 ☂ \"' AS x FROM orders",
        "SELECT\n  id  \n\nFROM orders\n-- so",
        "  SELECT 'a\n  b' AS text FROM orders",
        "SELECT '" + "long " * 60 + "' AS x FROM orders",
        "'''",
        "- a\n- b",
    ],
)
def test_any_sql_is_kept_as_it_is_and_the_form_is_stable(sql):
    text = rendered(proposal(ORDERS, sql=f"{sql};\n"))

    assert config_of(text, "transform")["query"].removesuffix("\n") == sql.strip()
    assert format_text(text, "x.yaml") == text


@pytest.mark.parametrize("path", ["a b/ü: {x}.csv", "'", "#.csv", "- x.csv", "yes", "1.csv", "@x", "a\\b.csv", '"'])
def test_any_path_is_kept_as_it_is(path):
    text = rendered(proposal(ORDERS, path=path))

    assert config_of(text, "save") == {"path": path}
    assert format_text(text, "x.yaml") == text


@pytest.mark.parametrize(
    ("words", "description"),
    [
        ("orders,\n  as csv: 'all' # of them", "orders, as csv: 'all' # of them"),
        ("\x1b[31m\u202eorders", "[31morders"),
        ("x" * 501, "x" * 499 + "…"),
        ("", None),
        ("orders of postgres://ada:hunter2-is-long@db/shop", None),
        ("orders of ${ENVIRONMENT}", None),
    ],
)
def test_the_persons_words_are_the_description_if_they_may_be(words, description):
    text = rendered(proposal(ORDERS), words)

    assert parse(text, "x.yaml").data.get("description") == description
    assert format_text(text, "x.yaml") == text
