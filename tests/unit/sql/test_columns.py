"""Unknown column names, if the columns of the inputs are known."""

from __future__ import annotations

import pytest

from osiris.sql.check_text import check

KNOWN = {"orders": ["id", "amount", "status"], "customers": ["id", "name"], "other": None}


@pytest.mark.parametrize("dialect", ["postgres", "mysql", "duckdb"])
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT amout FROM orders", "there is no column 'amout' here"),
        ("SELECT o.amout FROM orders AS o", "'o' has no column 'amout' here"),
        ("SELECT id FROM orders WHERE stauts = 'x'", "there is no column 'stauts' here"),
        ("SELECT count(*) AS n FROM orders GROUP BY statsu ORDER BY n", "there is no column 'statsu' here"),
        ("SELECT (SELECT max(nane) FROM customers) FROM orders", "there is no column 'nane' here"),
    ],
)
def test_a_wrong_column_is_refused_with_the_nearest_name(dialect, sql, said):
    found = check(sql, dialect, relations=KNOWN).diagnostics
    assert [(each.code, each.message) for each in found] == [("SQL009", said)]
    assert found[0].hint.startswith("did you mean")
    assert found[0].location.column > 1


@pytest.mark.parametrize("dialect", ["postgres", "mysql", "duckdb"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT O.ID, Amount FROM orders AS O",
        "SELECT id AS a FROM orders UNION SELECT id FROM customers ORDER BY a",
        "SELECT amount AS a FROM orders ORDER BY a",
        "SELECT AMOUNT AS TOTAL FROM orders ORDER BY TOTAL",
        "SELECT (SELECT max(name) FROM customers AS c WHERE c.id = amount) FROM orders",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r",
        "SELECT anything, o.id FROM orders AS o, other",
    ],
)
def test_what_may_be_there_is_not_judged(dialect, sql):
    assert check(sql, dialect, relations=KNOWN).ok


def test_units_of_time_and_words_of_lambdas_are_no_columns():
    assert check("SELECT TIMESTAMPDIFF(HOUR, amount, amount) FROM orders", "mysql", relations=KNOWN).ok
    assert check("SELECT GET_FORMAT(DATE, 'ISO') FROM orders", "mysql", relations=KNOWN).ok
    assert check("SELECT [x + 1 for x in [id]] FROM orders", "duckdb", relations=KNOWN).ok
