"""How often a query reads each relation, and whether it keeps their order."""

from __future__ import annotations

import pytest

from osiris.sql import check


def reads(sql):
    verdict = check(sql, "duckdb", relations=("A", "b"))
    assert verdict.ok, [str(d) for d in verdict.diagnostics]
    return verdict.relations


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", {}),
        ("SELECT * FROM a", {"A": 1}),
        ("SELECT * FROM A AS b", {"A": 1}),
        ("SELECT * FROM a, b, a AS c", {"A": 2, "b": 1}),
        ("SELECT * FROM a UNION ALL SELECT * FROM a", {"A": 2}),
        ("SELECT (SELECT max(id) FROM b), id FROM a", {"A": 1, "b": 1}),
        ("SELECT * FROM a WHERE EXISTS (SELECT 1 FROM a AS x WHERE x.id = a.id)", {"A": 2}),
        ("WITH x AS (SELECT * FROM a) SELECT * FROM x", {"A": 1}),
        ("WITH x AS (SELECT * FROM a) SELECT * FROM x, x AS y", {"A": 2}),
        ("WITH x AS (SELECT * FROM a) SELECT 1", {"A": 1}),
        ("WITH x AS (SELECT * FROM a), y AS (SELECT * FROM x, x AS z) SELECT * FROM y, y AS w", {"A": 4}),
        ("WITH a AS (SELECT * FROM b) SELECT * FROM a", {"b": 1}),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", {"A": 1}),
        ("SELECT * FROM (WITH a AS (SELECT 1 AS id) SELECT * FROM a), a", {"A": 1}),
        ("WITH a AS (SELECT 1 AS id) SELECT * FROM (SELECT * FROM a)", {}),
        (
            "WITH RECURSIVE r AS (SELECT id FROM a UNION ALL SELECT b.id FROM b JOIN r ON b.id = r.id) FROM r",
            {"A": 2, "b": 2},
        ),
        ("WITH RECURSIVE r AS (SELECT id FROM a) SELECT * FROM r", {"A": 1}),
        ("SELECT * FROM range(3), unnest([1]), a", {"A": 1}),
    ],
)
def test_counts(sql, expected):
    assert reads(sql) == expected


def test_counts_stay_quick_where_they_explode():
    ctes = ", ".join(f"c{i} AS (SELECT 1 FROM c{i - 1}, c{i - 1} AS x)" for i in range(1, 200))
    assert reads(f"WITH c0 AS (SELECT * FROM a), {ctes} SELECT * FROM c199") == {"A": 2**199}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM a ORDER BY id",
        "(SELECT id FROM a) ORDER BY id",
        "SELECT id FROM a UNION ALL SELECT id FROM b ORDER BY ALL",
        "SELECT DISTINCT id FROM a ORDER BY 1 LIMIT 3",
        "FROM a ORDER BY id",
    ],
)
def test_ordered(sql):
    assert check(sql, "duckdb", relations=("a", "b")).ordered


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM a",
        "SELECT * FROM (SELECT id FROM a ORDER BY id)",
        "SELECT sum(id) OVER (ORDER BY id) FROM a",
        "SELECT n FROM a ORDER BY n COLLATE NOCASE",
        "WITH x AS (SELECT n COLLATE NOCASE AS n FROM a) SELECT n FROM x ORDER BY n",
    ],
)
def test_not_ordered(sql):
    assert not check(sql, "duckdb", relations=("a", "b")).ordered


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT 1", True),
        ("VALUES (1), (2)", True),
        ("SELECT * FROM range(9)", True),
        ("SELECT id + 1 AS x, upper(n) AS n FROM a WHERE id > 3 LIMIT 10", True),
        ("SELECT x FROM (SELECT id AS x FROM a) WHERE x > 1", True),
        ("SELECT count(*) FROM a", False),
        ("SELECT id, count(*) FROM a GROUP BY id", False),
        ("SELECT DISTINCT id FROM a", False),
        ("SELECT id FROM a, b", False),
        ("SELECT id FROM a JOIN b USING (id)", False),
        ("SELECT id FROM a UNION ALL SELECT id FROM b", False),
        ("SELECT row_number() OVER () FROM a", False),
        ("SELECT (SELECT max(id) FROM b) FROM a", False),
        ("SELECT id FROM (SELECT DISTINCT id FROM a)", False),
        ("WITH x AS (SELECT id FROM a) SELECT id FROM x", False),
    ],
)
def test_keeps_order(sql, kept):
    assert check(sql, "duckdb", relations=("a", "b")).keeps_order == kept
