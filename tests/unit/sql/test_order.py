"""ORDER BY that determines the order completely."""

from __future__ import annotations

import pytest

from osiris.sql import check
from osiris.sql.nondeterminism.row_order import with_total_order


def ordered(sql, *columns):
    text = check(sql, "duckdb", relations=None).canonical
    total = with_total_order(text, columns)
    assert with_total_order(total, columns) == total
    assert check(total, "duckdb", relations=None).canonical == total
    return " ".join(total.split())


@pytest.mark.parametrize(
    ("sql", "columns", "ending"),
    [
        ("SELECT a, b FROM t ORDER BY a", "ab", "ORDER BY a, 2"),
        ("SELECT a, b FROM t ORDER BY b DESC NULLS FIRST", "ab", "ORDER BY b DESC NULLS FIRST, 1"),
        ("SELECT a, b FROM t ORDER BY 2", "ab", "ORDER BY 2, 1"),
        ("SELECT a, b FROM t ORDER BY A, B", "ab", "ORDER BY A, B"),
        ("SELECT a, b FROM t ORDER BY t.a", "ab", "ORDER BY t.a, 1, 2"),
        ("SELECT a, b FROM t ORDER BY a + b", "ab", "ORDER BY a + b, 1, 2"),
        ("SELECT a, b FROM t ORDER BY a LIMIT 3", "ab", "ORDER BY a, 2 LIMIT 3"),
        ("SELECT DISTINCT a, b FROM t ORDER BY a", "ab", "ORDER BY a, 2"),
        ("SELECT a, b FROM t UNION SELECT a, b FROM u ORDER BY b", "ab", "ORDER BY b, 1"),
        ("(SELECT a, b FROM t) ORDER BY a", "ab", "ORDER BY a, 2"),
        ("SELECT a, b FROM t ORDER BY ALL", "ab", "ORDER BY ALL"),
        ("SELECT a, b FROM t ORDER BY ALL DESC", "ab", "ORDER BY ALL DESC"),
        ("SELECT a, a FROM t ORDER BY a", "aa", "ORDER BY a, 1, 2"),
        ("WITH x AS (SELECT 1 AS a) SELECT a FROM x ORDER BY -a", "a", "ORDER BY -a, 1"),
    ],
)
def test_ties_are_broken(sql, columns, ending):
    assert ordered(sql, *columns).endswith(ending)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t",
        "SELECT * FROM (SELECT a FROM t ORDER BY a LIMIT 1) AS x",
        "SELECT a COLLATE NOCASE AS a, b FROM t ORDER BY b",
    ],
)
def test_without_an_order_nothing_changes(sql):
    assert ordered(sql, "a") == " ".join(check(sql, "duckdb", relations=None).canonical.split())


def test_the_first_keys_still_decide(small):
    text = with_total_order("SELECT customer_id, id FROM orders ORDER BY customer_id DESC", ["customer_id", "id"])
    assert small.sql(text).fetchall() == [(9, 5), (3, 4), (2, 3), (1, 1), (1, 2)]
