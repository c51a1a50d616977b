"""The canonical text: stable, free of comments, and with the same result as the original."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.sql import check

QUERIES = (Path(__file__).parent / "data" / "queries.sql").read_text(encoding="utf-8").splitlines()
RELATIONS = ("orders", "customers", "prices", "staff", "docs")


def canonical(sql, relations=RELATIONS):
    verdict = check(sql, "duckdb", relations=relations)
    assert verdict.ok, [str(d) for d in verdict.diagnostics]
    return verdict.canonical


def answer(engine, sql):
    try:
        relation = engine.sql(sql)
        return [str(kind) for kind in relation.types], repr(relation.fetchall())
    except duckdb.Error as error:
        return type(error).__name__


@pytest.mark.parametrize("sql", QUERIES)
def test_same_answer_and_fixed_point(sql, small):
    text = canonical(sql)
    assert canonical(text) == text
    expected = answer(small, sql)
    assert not isinstance(expected, str), expected
    assert answer(small, text) == expected


@pytest.mark.parametrize("sql", QUERIES)
def test_layout_and_comments_make_no_difference(sql):
    spread = sql.replace(" FROM ", "\n\tFROM -- a comment\n ").replace(" WHERE ", " /* another */ WHERE ")
    assert canonical(f"/* first */ {spread} ;") == canonical(sql)


def test_readable():
    assert canonical("select o.id,sum(amount) total from orders o where id>1 group by o.id order by 2 desc -- x") == (
        "SELECT\n  o.id,\n  SUM(amount) AS total\nFROM orders AS o\n"
        "WHERE\n  id > 1\nGROUP BY\n  o.id\nORDER BY\n  2 DESC"
    )


def test_strings_keep_what_looks_like_comments():
    assert canonical("select '/*! x */ -- y' as a") == "SELECT\n  '/*! x */ -- y' AS a"


def test_nothing_is_translated():
    """A parser that knows these functions would rewrite them; here they must stay unchanged."""
    for call in (
        "JARO_WINKLER_SIMILARITY('a', 'A')",
        "TIME_BUCKET(INTERVAL '1' MONTH, x, 'Europe/Prague')",
        "DATE_ADD(x, INTERVAL '1' DAY)",
        "REGEXP_REPLACE(x, 'a', 'b', 'g')",
        "DATE_PART('dow', x)",
        "STRING_AGG(x, ',')",
        "MIN_BY(x, y)",
    ):
        assert canonical(f"select {call} as r from orders") == f"SELECT\n  {call} AS r\nFROM orders"


ENGINE = duckdb.connect()
RESERVED = "SELECT DISTINCT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
WORDS = [word for (word,) in ENGINE.sql(RESERVED).fetchall()]
PLACES = (
    "SELECT b, t.{0} AS c FROM t ORDER BY {0}, b DESC",
    "SELECT b, {0} AS c FROM t ORDER BY t.{0} DESC NULLS LAST, b DESC",
    "SELECT list(b ORDER BY {0} DESC, b DESC) AS c FROM t",
    "SELECT max(b) AS c FROM t GROUP BY {0} ORDER BY {0}",
    "SELECT b, sum(b) OVER (PARTITION BY {0} ORDER BY {0}, b) AS c FROM t ORDER BY 1",
    "WITH {0} AS (SELECT DISTINCT {0} FROM t) SELECT {0}.{0} AS {0} FROM {0} WHERE {0} + 1 > 0 ORDER BY 1",
)


@pytest.mark.parametrize("place", PLACES)
def test_words_of_the_engine_in_quotes_are_names(place):
    for word in [*WORDS, "All", "ALL"]:
        engine = ENGINE.cursor()
        engine.execute(f'CREATE TEMP TABLE t AS SELECT * FROM (VALUES (1, 5), (2, 4), (1, 3)) AS v("{word}", b)')
        sql = place.format(f'"{word}"')
        assert engine.sql(canonical(sql, ["t"])).fetchall() == engine.sql(sql).fetchall(), word
        engine.execute("DROP TABLE t")


def test_all_columns_are_meant_by_the_bare_word_alone():
    assert canonical("SELECT id FROM orders ORDER BY all DESC").endswith("ORDER BY\n  ALL DESC")
    assert canonical("SELECT id FROM orders ORDER BY 'all'").endswith("ORDER BY\n  'all'")
    assert canonical("SELECT id FROM orders ORDER BY orders.all").endswith('ORDER BY\n  orders."all"')


NAMES = st.sampled_from(
    ["id", "amount", "customer_id", "o.id", '"weird ""name"', "1", "'it''s'", "NULL", "true", "1.50"]
)
OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "//", "%", "||", "=", "<>", "<", "AND", "OR", "IS DISTINCT FROM", "LIKE"]
)
EXPRESSIONS = st.recursive(
    NAMES,
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map(" ".join),
        inner.map("({})".format),
        inner.map("(NOT {})".format),
        inner.map("- {}".format),
        inner.map("upper({})".format),
        inner.map("CAST({} AS VARCHAR)".format),
        inner.map("(({}) IS NULL)".format),
        st.tuples(inner, inner).map(lambda pair: "CASE WHEN {} THEN {} END".format(*pair)),
        st.tuples(inner, inner).map(lambda pair: "(({}) IN ({}, 1))".format(*pair)),
        st.tuples(inner, inner).map(lambda pair: "coalesce({}, {})".format(*pair)),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS)
def test_generated_expressions_keep_their_meaning(expression):
    sql = f'SELECT {expression} AS r FROM (SELECT 1 AS id, 2.5 AS amount, 7 AS customer_id, 3 AS "weird ""name") AS o'
    verdict = check(sql, "duckdb", relations=())
    assert verdict.ok, [str(d) for d in verdict.diagnostics]
    assert check(verdict.canonical, "duckdb", relations=()).canonical == verdict.canonical
    before = answer(ENGINE, sql)
    if not isinstance(before, str):
        assert answer(ENGINE, verdict.canonical) == before


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [word for sql in QUERIES[:60] for word in sql.split()] + ["(", ")", ";", "'", '"', "--", "/*", "$"]
        ),
        max_size=40,
    )
)
def test_any_text_gets_a_verdict(words):
    verdict = check(" ".join(words), "duckdb", relations=RELATIONS)
    assert verdict.ok == (verdict.canonical is not None) == (not verdict.diagnostics)
    if verdict.ok:
        assert check(verdict.canonical, "duckdb", relations=RELATIONS) == verdict


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_characters_get_a_verdict(text):
    assert check(text, "duckdb", relations=None).ok in (True, False)
