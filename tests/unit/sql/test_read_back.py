"""A query in plain words, as written by hand before there was any code."""

from __future__ import annotations

import pytest
from tests.unit.sql.test_grain import CASES, relations

from osiris.sql.explanation.read_back import read_query
from osiris.sql.nondeterminism.row_order import with_total_order


@pytest.mark.parametrize(("schema", "case"), CASES, ids=[case["sql"][:60] for _, case in CASES])
def test_as_written(schema, case):
    found = read_query(case["sql"], relations(schema))
    assert found.filters == case.get("filters", [])
    assert found.joins == case.get("joins", [])
    assert {name: found.columns.get(name) for name in case.get("columns", {})} == case.get("columns", {})
    assert found.sort == case.get("sort", [])
    assert found.limit == (str(case["limit"]) if "limit" in case else None)
    if "notes" in case or "GROUP BY" not in case["sql"]:
        assert found.notes == case.get("notes", [])


def test_an_order_is_shown_as_it_was_written():
    text = with_total_order("SELECT id, status FROM orders ORDER BY status DESC", ["id", "status"])
    assert "DESC" in text
    assert text.endswith("1")
    assert read_query(text, relations("shop")).sort == ["status descending"]


def test_an_order_by_the_name_of_an_output_column_names_that():
    """A source has a column of the same name, which the query does not sort by."""
    text = "SELECT coalesce(o.status, 'none') AS status, c.id FROM orders o JOIN customers c ON c.id = o.customer_id"
    by_output, by_source = (read_query(f"{text} ORDER BY {name}", relations("shop")) for name in ("status", "o.status"))
    assert (by_output.sort, by_source.sort) == (["status"], ["orders.status"])


def test_what_comes_out_once():
    computed = "WITH c AS (SELECT *, lower(status) AS state FROM orders)"
    found = read_query(f"{computed} SELECT state, count(*) AS n FROM c GROUP BY state", relations("shop"))
    assert found.groups == ["state"]
    assert read_query("SELECT DISTINCT status FROM orders", relations("shop")).groups == ["status"]
    assert read_query("SELECT status FROM orders", relations("shop")).groups == []
