"""Nodes with unexpected parts: a rejection with a code, whatever the parser produces."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from osiris import sql

DIALECTS = ("duckdb", "mysql", "postgres")
TEXTS = (
    "SELECT '{}' IS JSON WITH UNIQUE KEYS",
    "SELECT '{}' IS JSON WITHOUT UNIQUE KEYS",
    "SELECT '{}' IS JSON OBJECT WITH UNIQUE KEYS FROM t",
    "SELECT JSON_OBJECT('a': 1 WITH UNIQUE KEYS)",
)
NODES = sorted(
    {each for each in vars(exp).values() if isinstance(each, type) and issubclass(each, exp.Expr)},
    key=lambda each: each.__name__,
)
LEAVES = st.sampled_from(
    ["a", "1", "'x'", "NULL", "(SELECT 1)", "*", "t.a", "$1", "INTERVAL '1' DAY", "ARRAY[1]", "{}"]
)
WORDS = "WITH UNIQUE KEYS|IS JSON|OVER|FILTER|WITHIN GROUP|AT TIME ZONE|ESCAPE|COLLATE|USING|FOR UPDATE|TABLESAMPLE|AS"
JOINS = st.sampled_from([*WORDS.split("|"), "(", ")", ",", "+", "=", "FROM t", "CAST(", "JSON_OBJECT(", "WHERE", "->"])
FUNCTIONS = st.sampled_from([each.sql_name() for each in NODES if issubclass(each, exp.Func) and each.is_var_len_args])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_flag_in_the_place_of_a_part_is_no_mistake_of_ours(text, dialect):
    verdict = sql.check(text, dialect, relations={"t": None})
    assert verdict.ok or all(each.code.startswith("SQL") for each in verdict.diagnostics)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(words=st.lists(st.one_of(LEAVES, JOINS, FUNCTIONS), min_size=1, max_size=9), dialect=st.sampled_from(DIALECTS))
def test_any_words_get_a_verdict(words, dialect):
    verdict = sql.check("SELECT " + " ".join(words), dialect, relations={"t": None})
    assert verdict.ok or verdict.diagnostics


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data(), dialect=st.sampled_from(DIALECTS))
def test_any_node_that_is_written_out_gets_a_verdict(data, dialect):
    """Each kind of node, with flags, texts and other nodes as its parts."""
    kind = data.draw(st.sampled_from(NODES))
    part = st.sampled_from([True, "a", exp.column("a"), exp.Literal.string("x"), exp.select("1"), exp.to_table("t")])
    parts = {key: data.draw(part) for key in kind.arg_types}
    try:
        text = exp.select(kind(**parts)).from_("t").sql(dialect)
    except Exception:  # noqa: BLE001  sqlglot cannot write it: there is no text to check
        return
    verdict = sql.check(text, dialect, relations={"t": None})
    assert verdict.ok or all(each.code.startswith("SQL") for each in verdict.diagnostics)


def test_keys_that_are_unique_are_read():
    verdict = sql.check("SELECT '{}' IS JSON WITH UNIQUE KEYS", "postgres", relations={"t": None})
    assert verdict.diagnostics
    assert [each for each in verdict.diagnostics if each.location.line is None] == []  # none is about the whole text
