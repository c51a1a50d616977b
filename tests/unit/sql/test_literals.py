"""A value never becomes syntax."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osiris.sql import check
from osiris.sql.safety.literals import literal, placeholders, substitute


def put(sql, value):
    return substitute(sql, {"params.x": value}, "duckdb")


ENGINE = duckdb.connect()


def value_of(sql):
    return ENGINE.sql(sql).fetchall()[0][0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a'b", "'a''b'"),
        (5, "5"),
        (-5, "(-5)"),
        (0.5, "0.5"),
        (1e-7, "1e-07"),
        (True, "TRUE"),
        (None, "NULL"),
        (dt.date(2024, 2, 29), "DATE '2024-02-29'"),
        (dt.datetime.fromisoformat("2024-02-29T01:02:03"), "TIMESTAMP '2024-02-29 01:02:03'"),
        (dt.datetime(2024, 2, 29, tzinfo=dt.UTC), "TIMESTAMPTZ '2024-02-29 00:00:00+00:00'"),
        (["a", 1], "['a', 1]"),
    ],
)
def test_literals(value, text):
    assert literal(value) == text
    assert put("SELECT ${params.x} AS r", value) == f"SELECT {text} AS r"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": 1}, object(), [float("nan")]])
def test_values_without_a_literal(value):
    assert literal(value) is None
    with pytest.raises(ValueError, match=r"\$\{params\.x\}"):
        put("SELECT ${params.x}", value)


@pytest.mark.parametrize(
    ("sql", "value", "expected"),
    [
        ("SELECT 'a ${params.x} b'", "it's", "SELECT 'a it''s b'"),
        ("SELECT '${params.x}'", 5, "SELECT '5'"),
        ("SELECT '${params.x}'", True, "SELECT 'true'"),
        ("SELECT '${params.x}'", dt.date(2024, 1, 2), "SELECT '2024-01-02'"),
        ('SELECT 1 AS "${params.x}"', 'a"b', 'SELECT 1 AS "a""b"'),
        ("SELECT e'${params.x}'", "a\\'b", "SELECT e'a\\\\''b'"),
        ("SELECT $$${params.x}$$", "it's", "SELECT $$it's$$"),
        ("SELECT 1 -- ${params.x}", "x\nDROP TABLE t", "SELECT 1 -- ${params.x}"),
        ("SELECT /* ${params.x} */ 1", "*/ x", "SELECT /* ${params.x} */ 1"),
        ("SELECT ${params.y}", 1, "SELECT ${params.y}"),
        ("WHERE a IN ${params.x}", [1, 2], "WHERE a IN (1, 2)"),
        ("WHERE a IN (${params.x})", [1, 2], "WHERE a IN (1, 2)"),
        ("WHERE a IN ${params.x}", [], "WHERE a IN (SELECT NULL WHERE FALSE)"),
        ("SELECT unnest(${params.x})", [1, 2], "SELECT unnest([1, 2])"),
    ],
)
def test_where_it_stands(sql, value, expected):
    assert put(sql, value) == expected


@pytest.mark.parametrize("sql", ["SELECT '${params.x}'", 'SELECT "${params.x}"', "SELECT $$${params.x}$$"])
def test_a_list_cannot_stand_in_quotes(sql):
    with pytest.raises(ValueError, match=r"\$\{params\.x\}"):
        put(sql, [1])


def test_a_dollar_cannot_stand_in_dollar_quotes():
    with pytest.raises(ValueError, match=r"\$\{params\.x\}"):
        put("SELECT $$${params.x}$$", "$$ UNION SELECT 1")


def test_bound_values():
    bound = {"run.id": "run_id", "params.token": "param_token"}
    sql = "SELECT ${run.id}, ${params.token}, ${params.x} -- ${run.id}"
    assert substitute(sql, {"params.x": 1}, "duckdb", bound=bound) == "SELECT $run_id, $param_token, 1 -- ${run.id}"
    with pytest.raises(ValueError, match=r"\$\{run\.id\}"):
        substitute("SELECT '${run.id}'", {}, "duckdb", bound=bound)


def test_empty_list_selects_nothing_and_its_opposite_everything():
    for word, rows in (("IN", 0), ("NOT IN", 2)):
        assert (
            value_of(put(f"SELECT count(*) FROM (VALUES (1), (2)) AS t(a) WHERE a {word} (${{params.x}})", [])) == rows
        )


def test_what_each_placeholder_stands_in():
    sql = """SELECT ${a.b}, '${a.b}', e'${a.b}', "${a.b}", $$${a.b}$$ /* ${a.b} */ -- ${a.b}"""
    found = [each.where for each in placeholders(sql, "duckdb")]
    assert found == ["code", "string", "escape string", "name", "dollar string", "comment", "comment"]


@pytest.mark.parametrize("value", ["_id OR 1=1", "$ OR 1=1", "x$", "'", "5"])
@pytest.mark.parametrize("around", ["$run{}", "${}$", "$${}$$", "$run${}$run$", "e{}", "$abc{} "])
def test_what_only_looks_like_a_quote_is_none(around, value):
    """MySQL has no `$…$` quotes: a value there is a literal, whatever surrounds it."""
    text = "SELECT id FROM t WHERE id > " + around
    placed = substitute(text.replace("{}", "${params.x}"), {"params.x": value}, "mysql")
    assert placed == text.replace("{}", literal(value, "mysql"))


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Zs")), max_size=30))
def test_text_stays_text(value):
    for sql in ("SELECT ${params.x} AS r", "SELECT '${params.x}' AS r", "SELECT e'${params.x}' AS r"):
        verdict = check(put(sql, value), "duckdb", relations=())
        assert verdict.ok, (value, [str(d) for d in verdict.diagnostics])
        assert value_of(verdict.canonical) == value


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(st.integers(-(2**62), 2**62), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.dates())
)
def test_values_stay_values(value):
    found = value_of(check(put("SELECT ${params.x} AS r", value), "duckdb", relations=()).canonical)
    assert float(found) == value if isinstance(value, float) else found == value
