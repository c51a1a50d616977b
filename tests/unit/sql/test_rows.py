"""Which queries certainly return exactly one row per input row."""

import pytest

from osiris.sql import check


def keeps(text):
    verdict = check(text, "duckdb", relations=None)
    assert verdict.ok, verdict.diagnostics
    return verdict.keeps_row_count


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a, b + 1 AS c FROM t",
        "SELECT * EXCLUDE (a) FROM t ORDER BY b",
        "SELECT coalesce(a, 1) AS x, CASE WHEN b THEN 1 ELSE 2 END AS y FROM t AS u",
        "SELECT a, sum(b) FILTER (WHERE b > 1) OVER (PARTITION BY a) AS s FROM t",
        "SELECT row_number() OVER (ORDER BY a) AS n, lag(a) OVER (ORDER BY a) AS before FROM t",
        "FROM t",
    ],
)
def test_a_row_for_each_row(text):
    assert keeps(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t WHERE a > 1",
        "SELECT a FROM t LIMIT 3",
        "SELECT a FROM t OFFSET 1",
        "SELECT DISTINCT a FROM t",
        "SELECT DISTINCT ON (a) a, b FROM t",
        "SELECT a FROM t QUALIFY row_number() OVER () = 1",
        "SELECT a, count(*) AS n FROM t GROUP BY a",
        "SELECT sum(a) AS s FROM t",
        "SELECT count(*) FILTER (WHERE a > 1) AS n FROM t",
        "SELECT a FROM t, u",
        "SELECT a FROM t JOIN u USING (a)",
        "SELECT a FROM t UNION ALL SELECT a FROM t",
        "SELECT a FROM (SELECT a FROM t WHERE a > 1)",
        "WITH u AS (SELECT a FROM t WHERE a > 1) SELECT a FROM u",
        "SELECT (SELECT max(a) FROM t) AS m FROM t",
        "SELECT unnest([a, b]) AS x FROM t",
        "SELECT generate_subscripts([1, 2], 1) AS x FROM t",
        "SELECT regexp_split_to_table(b, 'x') AS x FROM t",
        "SELECT i FROM range(10) AS r(i)",
        "SELECT 1 AS x",
    ],
)
def test_other_numbers_of_rows(text):
    assert not keeps(text)
