"""Digits that DuckDB would round silently: reported before a row is read, at the expression, with a remedy."""

from __future__ import annotations

import pytest

from osiris.errors import OsirisError
from osiris.model import Field
from osiris.sql import check
from osiris.sql.binding.bind import bind

T = (
    Field("amount", "decimal(38,2)"),
    Field("fine", "decimal(38,4)"),
    Field("whole", "decimal(38,0)"),
    Field("n", "int64"),
    Field("price", "decimal(12,2)"),
    Field("k", "utf8"),
)
COUNTED = "WITH RECURSIVE r(v, i) AS (SELECT {first}, 1 UNION ALL SELECT {next}, i + 1 FROM r WHERE i < 3) FROM r"


def told(sql):
    verdict = check(sql, "duckdb", relations=["t"])
    assert verdict.ok, [str(found) for found in verdict.diagnostics]
    try:
        bind(verdict, {"t": T}, {})
    except OsirisError as error:
        return [*error.diagnostics]
    return []


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT CASE WHEN amount > 0 THEN amount * 1.15 ELSE amount END AS b FROM t", "amount * 1.15"),
        ("SELECT k, sum(CASE WHEN k = 'a' THEN amount * 1.15 ELSE amount END) AS b FROM t GROUP BY k", "amount * 1.15"),
        ("SELECT coalesce(amount, fine) AS b FROM t", "fine"),
        ("SELECT coalesce(whole, 0.5) AS b FROM t", "0.5"),
        ("SELECT if(k = 'a', fine, amount) AS b FROM t", "fine"),
        ("SELECT [amount, fine] AS b FROM t", "fine"),
        ("SELECT list_append([amount], fine) AS b FROM t", "fine"),
        ("SELECT coalesce({'a': amount}, {'a': fine}) AS b FROM t", "{'a': fine}"),
        ("SELECT lag(n, 1, 0.5) OVER (ORDER BY k) AS b FROM t", "0.5"),
        ("WITH x AS (SELECT amount * 1.5 AS q, amount FROM t) SELECT greatest(q, amount) AS b FROM x", "q"),
        ("SELECT amount AS b FROM t UNION ALL SELECT fine FROM t", "fine"),
        ("SELECT n, amount AS b FROM t UNION ALL BY NAME SELECT fine AS b, n FROM t", "fine"),
        (COUNTED.format(first="1.0 AS v", next="v * 1.15").replace("r(v", "r(b"), None),
        ("SELECT fine AS b FROM t EXCEPT SELECT amount FROM t", "fine"),
    ],
)
def test_a_value_that_would_lose_digits_is_refused(sql, value):
    sql = sql.replace("SELECT v * 1.15", "SELECT b * 1.15")
    (found,) = told(sql)
    assert found.code == "SQL031"
    assert found.location.line
    assert f"column 'b': {value or 'b * 1.15'} is " in found.message


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k FROM t WHERE fine IN (SELECT amount FROM t)",
        "SELECT k FROM t WHERE (SELECT max(coalesce(u.amount, u.fine)) FROM t AS u WHERE u.k = t.k) > 1",
        COUNTED.format(first="1", next="v / 2"),
    ],
)
def test_it_is_seen_outside_of_what_is_selected(sql):
    assert [found.code for found in told(sql)] == ["SQL031"]


def test_it_names_both_types_and_the_cast_that_helps():
    (found,) = told("SELECT CASE WHEN amount > 0 THEN amount * 1.15 ELSE amount END AS b FROM t")
    assert "decimal(38,4)" in found.message
    assert "decimal(38,2)" in found.message
    assert "CAST(amount AS DECIMAL(18, 2))" in found.hint
    assert "CAST(amount * 1.15 AS DECIMAL(38,2))" in found.hint


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT coalesce(CAST(amount AS DECIMAL(18, 2)) * 1.15, CAST(amount AS DECIMAL(18, 2))) AS b FROM t",
        "SELECT CASE WHEN k = 'a' THEN CAST(amount * 1.15 AS DECIMAL(38, 2)) ELSE amount END AS b FROM t",
        "SELECT CASE WHEN k = 'a' THEN amount * 1.15::DOUBLE ELSE amount END AS b FROM t",
        "SELECT coalesce(whole, 0.0) AS a, coalesce(amount, 0) AS b, coalesce(amount, -0.50) AS c FROM t",
        "SELECT coalesce(price * 1.15, price) AS a, coalesce(n * 1.15, n) AS b FROM t",
        "SELECT lag(n, 1, 0) OVER (ORDER BY k) AS a FROM t",
        "SELECT amount + fine AS a, amount * fine AS b FROM t WHERE amount = fine",
        "SELECT amount FROM t UNION ALL SELECT 1.5 UNION ALL SELECT n FROM t",
        COUNTED.format(first="1", next="floor(v / 2)"),
        COUNTED.format(first="DATE '2024-01-01'", next="v + INTERVAL 1 DAY"),
        COUNTED.format(first="CAST(1 AS DECIMAL(18, 4))", next="CAST(v * 1.15 AS DECIMAL(18, 4))"),
    ],
)
def test_what_keeps_its_digits_passes(sql):
    assert told(sql) == []
