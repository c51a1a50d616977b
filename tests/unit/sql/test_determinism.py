"""The nondeterminism lint, compared with the engine's results for shuffled rows and several threads."""

from __future__ import annotations

import json
import random
from decimal import Decimal

import pyarrow as pa
import pytest

from osiris.model import Field
from osiris.sql import check
from osiris.sql.binding.engine import open_engine
from osiris.sql.nondeterminism.determinism import Finding, diagnostics
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.nondeterminism.rules import findings
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import parse

ROWS, SHUFFLES = 3000, 20
SCHEMA = (
    Field("k", "int32"),
    Field("i", "int64"),
    Field("m", "int64"),
    Field("v", "int64"),
    Field("d", "decimal(12,2)"),
    Field("f", "float64"),
    Field("s", "utf8"),
)

# It is said, and shuffled rows show it.
DIFFERS = [
    ("SELECT now() AS t", "SQL020"),
    ("SELECT localtime AS t", "SQL020"),
    ("SELECT ago(INTERVAL 1 DAY) AS t", "SQL020"),
    ("SELECT i FROM t WHERE random() < 0.5", "SQL021"),
    ("SELECT uuid() AS id", "SQL021"),
    ("SELECT i FROM t ORDER BY random(), i LIMIT 3", "SQL021"),
    ("SELECT * FROM t LIMIT 5", "SQL022"),
    ("SELECT i FROM t FETCH FIRST 5 ROWS ONLY", "SQL022"),
    ("SELECT i FROM t OFFSET 2990", "SQL022"),
    ("SELECT DISTINCT v FROM t LIMIT 5", "SQL022"),
    ("SELECT k, count(*) AS n FROM t GROUP BY k LIMIT 5", "SQL022"),
    ("WITH x AS (SELECT * FROM t WHERE v > 5) SELECT i FROM x LIMIT 5", "SQL022"),
    ("SELECT i FROM t UNION ALL SELECT -i FROM t LIMIT 5", "SQL022"),
    ("SELECT k FROM t WHERE i IN (SELECT i FROM t LIMIT 10)", "SQL022"),
    ("SELECT DISTINCT ON (k) k, i FROM t", "SQL022"),
    ("SELECT * FROM (SELECT k, i FROM t ORDER BY k LIMIT 5) AS x", "SQL023"),
    ("SELECT * FROM (SELECT DISTINCT ON (k) k, i FROM t ORDER BY k) AS x", "SQL023"),
    ("SELECT i, s FROM t ORDER BY s COLLATE NOCASE LIMIT 5", "SQL023"),
    ("SELECT i, row_number() OVER () AS r FROM t", "SQL024"),
    ("SELECT i, lag(i) OVER (PARTITION BY k) AS r FROM t", "SQL024"),
    ("SELECT k, first_value(i) OVER w AS r FROM t WINDOW w AS (PARTITION BY k)", "SQL024"),
    ("SELECT i, sum(v) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS r FROM t", "SQL024"),
    ("SELECT k, first(v) AS r FROM t GROUP BY k", "SQL025"),
    ("SELECT k, any_value(v) AS r FROM t GROUP BY k", "SQL025"),
    ("SELECT k, list(v) FILTER (WHERE m < 5) AS r FROM t GROUP BY k", "SQL025"),
    ("SELECT k, list(DISTINCT m) AS r FROM t GROUP BY k", "SQL025"),
    ("SELECT k, string_agg(s, ',') AS r FROM t GROUP BY k", "SQL025"),
    ("SELECT k, mode(v) AS r FROM t GROUP BY k", "SQL025"),
    ("SELECT k, json_group_array(v) AS r FROM t GROUP BY k", "SQL025"),
    ("SELECT k, lttb(i, v, 10) AS r FROM t GROUP BY k", "SQL025"),
    ("SELECT array(SELECT i FROM t) AS r", "SQL025"),
    ("SELECT approx_quantile(v, 0.5) AS r FROM t", "SQL026"),
    ("SELECT approx_top_k(v, 3) AS r FROM t", "SQL026"),
    ("SELECT sum(f) AS r FROM t", "SQL027"),
    ("SELECT k, avg(f) AS r FROM t GROUP BY k", "SQL027"),
    ("SELECT k, sum(f) OVER (PARTITION BY k) AS r FROM t", "SQL027"),
    ("SELECT k, sum(DISTINCT f) AS r FROM t GROUP BY k", "SQL027"),
    ("SELECT sum(CAST(i AS UHUGEINT) * 12345678901234567) AS r FROM t", "SQL027"),
    ("SELECT k, sum(v / 3) AS r FROM t GROUP BY k", "SQL027"),
    ("SELECT k, sum(d::DOUBLE) AS r FROM t GROUP BY k", "SQL027"),
    *(
        (f"SELECT k, sum({part}make_timestamp(i * 98765432123))) AS r FROM t GROUP BY k", "SQL027")
        for unit in ("epoch", "jd", "julian")
        for part in (f"extract({unit} FROM ", f"date_part('{unit}', ")
    ),
    ("SELECT sum(x) AS r FROM (SELECT sqrt(v) AS x FROM t) AS y", "SQL027"),
    ("WITH y(x) AS (SELECT f FROM t) SELECT sum(CASE WHEN x > 0 THEN x ELSE 0 END) AS r FROM y", "SQL027"),
    ("SELECT wavg(f, m) AS r FROM t", "SQL027"),
    ("SELECT regr_avgx(f, f) AS r FROM t", "SQL027"),
    ("SELECT product(1 + f / 1e13) AS r FROM t", "SQL027"),
    *((f"SELECT {name}(v) AS r FROM t", "SQL027") for name in ("stddev", "var_pop", "sem", "skewness", "kurtosis")),
    *((f"SELECT {name}(v, m) AS r FROM t", "SQL027") for name in ("corr", "covar_pop", "regr_slope", "regr_r2")),
    ("SELECT k, entropy(m ORDER BY m) AS r FROM t GROUP BY k", "SQL027"),
    ("SELECT geomean(v + 1) AS r FROM t", "SQL027"),
    *(
        (f"SELECT sum(x) AS r FROM (SELECT {name}() OVER (ORDER BY v) * f AS x FROM t) AS y", "SQL027")
        for name in ("percent_rank", "cume_dist")
    ),
    ("SELECT k, length(first(s || i)) AS r FROM t GROUP BY k", "SQL025"),
    *(
        (f"SELECT k, {name}(i, m) AS r FROM t GROUP BY k", "SQL025")
        for name in ("arg_max", "arg_min", "max_by", "min_by", "arg_max_null", "arg_min_null")
    ),
    ("SELECT k, max_by(i, m, 3) AS r FROM t GROUP BY k", "SQL025"),
    ("SELECT i, arg_max(i, m) OVER (PARTITION BY k) AS r FROM t", "SQL025"),
    ("SELECT arg_max(i, m) AS r FROM t", "SQL025"),
    ("SELECT arg_max(DISTINCT i, m) AS r FROM t", "SQL025"),
    ("SELECT k, arg_max(i, m ORDER BY v % 2) AS r FROM t GROUP BY k", "SQL030"),
    ("SELECT * FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY m) = 1", "SQL030"),
    (
        "SELECT i FROM (SELECT i, row_number() OVER (PARTITION BY k ORDER BY m DESC) AS n FROM t) AS x WHERE n = 1",
        "SQL030",
    ),
    *(
        (f"SELECT i, {call} OVER w AS r FROM t WINDOW w AS (PARTITION BY k ORDER BY m)", "SQL030")
        for call in (
            "row_number()",
            "ntile(4)",
            "lag(i)",
            "lead(m)",
            "first_value(i)",
            "last_value(i)",
            "nth_value(i, 2)",
            "list(i)",
            "first(i)",
            "sum(f)",
        )
    ),
    *(
        (f"SELECT i, {call} OVER (PARTITION BY k ORDER BY m ROWS 2 PRECEDING) AS r FROM t", "SQL030")
        for call in ("sum(v)", "max(v)", "count(*)", "first_value(m)", "list(m)")
    ),
    ("SELECT i, fill(CASE WHEN i % 3 = 0 THEN f END) OVER (PARTITION BY k ORDER BY m) AS r FROM t", "SQL030"),
    ("SELECT i, row_number(ORDER BY m) OVER (PARTITION BY k) AS r FROM t", "SQL030"),
    (
        "SELECT a.m AS z, row_number() OVER (PARTITION BY k ORDER BY m) AS r FROM (SELECT k, m, {'m': i} AS a FROM t)",
        "SQL030",
    ),
    ("SELECT k, COLUMNS('^i$'), row_number() OVER (PARTITION BY k ORDER BY m) AS r FROM t", "SQL030"),
    ("SELECT #2 AS z, row_number() OVER (PARTITION BY k ORDER BY m) AS r FROM t", "SQL030"),
    *(
        (f"SELECT k, {call} AS r FROM t LEFT JOIN (SELECT DISTINCT m + 9 AS m FROM t) AS o USING (m) {rest}", "SQL030")
        for call, rest in (
            ("m, row_number() OVER (PARTITION BY k ORDER BY o.m)", ""),
            ("list(m ORDER BY o.m)", "GROUP BY k"),
        )
    ),
    ("SELECT i, first_value(i ORDER BY m) OVER (PARTITION BY k) AS r FROM t", "SQL030"),
    (
        "SELECT k, v, count(*) AS n, row_number() OVER (PARTITION BY k ORDER BY count(*)) AS r FROM t GROUP BY k, v",
        "SQL030",
    ),
    *(
        (f"SELECT k, {call} AS r FROM t GROUP BY k", "SQL030")
        for call in (
            "list(i ORDER BY m)",
            "array_agg(i ORDER BY m)",
            "string_agg(i, ',' ORDER BY m)",
            "first(i ORDER BY m)",
            "last(i ORDER BY m DESC)",
            "any_value(i ORDER BY m)",
            "list(s ORDER BY s COLLATE NOCASE)",
            "sum(f ORDER BY m)",
            "stddev(v ORDER BY m)",
        )
    ),
    ("SELECT x.a, t.i FROM (SELECT range AS a FROM range(30)) AS x ASOF JOIN t ON x.a >= t.m", "SQL030"),
    ("SELECT DISTINCT s COLLATE NOCASE AS s FROM t", "SQL028"),
    ("SELECT s COLLATE NOCASE AS s, count(*) AS n FROM t GROUP BY 1", "SQL028"),
    ("SELECT k, min(s COLLATE NOCASE) AS s FROM t GROUP BY k", "SQL028"),
    ("SELECT t.i, u.i AS j FROM t POSITIONAL JOIN (SELECT i FROM t ORDER BY i) AS u", "SQL029"),
]

# It is said, and takes another day, or more rows, to be seen.
UNSEEN = [
    ("SELECT current_date AS t", "SQL020"),
    ("SELECT today() AS t", "SQL020"),
    ("SELECT age(TIMESTAMP '2020-01-01') AS t", "SQL020"),
    ("SELECT reservoir_quantile(v, 0.5) AS r FROM t", "SQL026"),
    ("SELECT m, row_number() OVER (ORDER BY m) AS a, row_number() OVER (ORDER BY m DESC) AS b FROM t", "SQL030"),
]

# A note is said, for nobody knows that no two rows have the same `i`; nothing differs.
UNPROVED = [
    "SELECT k, avg(f ORDER BY i) AS a FROM t GROUP BY k",
    "SELECT k, first(v ORDER BY i) AS a FROM t GROUP BY k",
    "SELECT k, string_agg(s, ',' ORDER BY i) AS b FROM t GROUP BY k",
    "SELECT k, to_json(list(v ORDER BY i)) AS a FROM t GROUP BY k",
    "SELECT to_json(map_from_entries(list((i, v) ORDER BY i))) AS a FROM t",
    "SELECT k, sum(f * m ORDER BY i) AS a FROM t GROUP BY k",
    "SELECT i, sum(f) OVER (PARTITION BY k ORDER BY i) AS r FROM t",
    "SELECT i, lag(v) OVER w AS r FROM t WINDOW w AS (PARTITION BY k ORDER BY i)",
    "SELECT * FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY m, i) = 1",
    "SELECT i, first_value(v ORDER BY i) OVER (PARTITION BY k) AS r FROM t",
    "SELECT v, row_number() OVER (ORDER BY x.i) AS r FROM t AS x JOIN (SELECT DISTINCT k FROM t) AS y ON y.k = x.k",
]

# Nothing is said, and nothing differs.
STEADY = [
    "SELECT t.k, t.m, row_number() OVER (PARTITION BY k ORDER BY m) AS r FROM t",
    "SELECT st.m AS z, row_number() OVER (ORDER BY st.m) AS r FROM (SELECT {'m': m} AS st FROM t)",
    "SELECT k, o.m, row_number() OVER (PARTITION BY k ORDER BY m) AS r FROM t LEFT JOIN (SELECT 9 AS m) AS o USING (m)",
    "SELECT k, sum(f::DECIMAL(38, 6)) AS s, sum(f ORDER BY f) AS o, avg(f ORDER BY f, i) AS a FROM t GROUP BY k",
    "SELECT k, list(v ORDER BY v) AS b, mode(v ORDER BY v) AS c, list(v + m ORDER BY m, v) AS d FROM t GROUP BY k",
    "SELECT k, list(DISTINCT m ORDER BY m) AS a, list((k, m) ORDER BY m) AS b, list(1) AS c FROM t GROUP BY 1",
    "SELECT k, approx_count_distinct(v) AS a, histogram(m) AS b, bit_xor(v) AS c FROM t GROUP BY k",
    "SELECT k, arg_max(i, m ORDER BY i) AS a, max_by(i, m, 3 ORDER BY i) AS b, arg_min(k, v) AS c FROM t GROUP BY k",
    (
        "SELECT k, arg_max(m * 2, m) AS a, arg_min(i, (m, i)) AS b, max(struct_pack(a := m, b := i)) AS c "
        "FROM t GROUP BY k"
    ),
    "SELECT exp(avg(ln(v + 1) ORDER BY v)) AS b, list_sort(list(v ORDER BY m)) AS c, sum(v ORDER BY m) AS d FROM t",
    "SELECT k, sum(f * m ORDER BY f, m) AS a, stddev(v ORDER BY v) AS b FROM t GROUP BY k",
    "SELECT i, first_value(i ORDER BY i) OVER () AS s, last_value(k) OVER (PARTITION BY k ORDER BY m) AS l FROM t",
    (
        "SELECT i, rank() OVER w AS a, percent_rank() OVER w AS b, sum(v) OVER w AS c, first_value(m) OVER w AS d, "
        "nth_value(m, 2) OVER w AS e FROM t WINDOW w AS (PARTITION BY k ORDER BY m)"
    ),
    (
        "SELECT i, max(v) OVER (ORDER BY m GROUPS 2 PRECEDING) AS a, sum(v) OVER (ORDER BY m RANGE 2 "
        "PRECEDING) AS b FROM t"
    ),
    (
        "SELECT k, m, row_number() OVER (PARTITION BY k ORDER BY m) AS r, lag(m) OVER (PARTITION BY k ORDER "
        "BY m) AS l FROM t"
    ),
    "SELECT DISTINCT k, m FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY m) = 2",
    "SELECT k, m, sum(v) AS s, row_number() OVER (PARTITION BY k ORDER BY m) AS r FROM t GROUP BY k, m",
    "SELECT k AS a, m AS b, lag(sum(v)) OVER (PARTITION BY k ORDER BY m) AS r FROM t GROUP BY 1, b",
    (
        "SELECT *, row_number() OVER (PARTITION BY k ORDER BY m) AS r FROM (SELECT k, m, sum(v) AS s FROM t "
        "GROUP BY 1, 2) x"
    ),
    (
        "WITH x AS (SELECT DISTINCT k, m FROM t), y(a, b) AS (SELECT k, m FROM x) "
        "SELECT *, ntile(3) OVER (ORDER BY a, b) AS r FROM y"
    ),
    (
        "WITH x AS (SELECT k, max(m) AS z FROM t GROUP BY k), y AS (SELECT m, min(k) AS q FROM t GROUP BY m) SELECT "
        "x.*, y.q, row_number() OVER (ORDER BY x.k, y.m) AS r FROM x JOIN y ON y.q <= x.k SEMI JOIN t ON t.k = x.k"
    ),
    "SELECT k, v, row_number() OVER (ORDER BY i, k, m, v, d, f, s) AS r FROM t",
    "SELECT * FROM t QUALIFY row_number() OVER (PARTITION BY k, s ORDER BY i, m, v, d, f) = 1",
    "SELECT sum(r) AS r FROM (SELECT rank() OVER (ORDER BY m) AS r FROM t) AS x",
    (
        "SELECT x.a, y.z FROM (SELECT range AS a FROM range(30)) AS x "
        "ASOF JOIN (SELECT m, sum(v) AS z FROM t GROUP BY m) AS y ON x.a >= y.m"
    ),
    "SELECT k, count(*) AS n, count(DISTINCT f) AS e, min(f) AS a, max(f) AS b, sum(d) AS t FROM t GROUP BY k",
    "SELECT k, avg(v) AS a, avg(d) AS b, median(f) AS c, quantile_cont(f, 0.3) AS e, mad(f) AS m FROM t GROUP BY k",
    "SELECT k, fsum(f) AS a, kahan_sum(f) AS b, favg(f) AS c FROM t GROUP BY k",
    "SELECT k, sum(v) FILTER (WHERE f > 3) AS a, sum(CASE WHEN f > 2 THEN v ELSE 0 END) AS b FROM t GROUP BY k",
    "SELECT stddev(v ORDER BY v) AS a, corr(v, m ORDER BY v, m) AS b, regr_count(v, f) AS c, wavg(v, m) AS d FROM t",
    "SELECT k, list_sort(list(v)) AS a, len(list(v)) AS b, first(1) AS c FROM t GROUP BY k",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY v) AS p FROM t",
    "SELECT array(SELECT i FROM t ORDER BY i) AS r",
    "SELECT k, i FROM t ORDER BY k LIMIT 5",
    "SELECT DISTINCT ON (k) k, i FROM t ORDER BY k",
    "SELECT * FROM (SELECT k, i FROM t ORDER BY k, i LIMIT 5) AS x",
    "SELECT * FROM (SELECT k, sum(v) AS s FROM t GROUP BY k ORDER BY k LIMIT 5) AS x",
    "SELECT * FROM (SELECT k, m, sum(v) AS s FROM t GROUP BY ALL ORDER BY 1, 2 LIMIT 5) AS x",
    "SELECT i FROM (SELECT i FROM t ORDER BY ALL) AS x LIMIT 5",
    "SELECT count(*) AS n FROM t LIMIT 1",
    "SELECT k FROM t WHERE EXISTS (SELECT 1 FROM t LIMIT 1)",
    "SELECT * FROM range(10) AS r LIMIT 3",
    "SELECT * FROM (VALUES (1), (2)) AS x LIMIT 1",
    "SELECT i FROM t LIMIT 0",
    "SELECT i, row_number() OVER (PARTITION BY k ORDER BY i) AS r FROM t",
    "SELECT i, rank() OVER (PARTITION BY k) AS a, cume_dist() OVER () AS b, sum(v) OVER (PARTITION BY k) AS c FROM t",
    "SELECT count(DISTINCT s COLLATE NOCASE) AS n FROM t WHERE s COLLATE NOCASE = 'aa'",
    "SELECT s COLLATE NOCASE AS s, i FROM t",
    "SELECT '2024-01-01 00:00'::TIMESTAMPTZ AS a, age(DATE '2024-01-02', DATE '2024-01-01') AS b, hash(1) AS c",
]


def lint(sql, free=("t",), schema=SCHEMA):
    dialect = DIALECTS["duckdb"]
    found = findings(parse(sql, dialect.load_grammar())[0], sql, dialect)
    assert tuple(Finding.from_json(json.loads(json.dumps(each.to_json()))) for each in found) == found
    return diagnostics(found, {"t": schema}, free)


def codes(sql, **how):
    return {each.code for each in lint(sql, **how)}


def made_up(seed):
    chance = random.Random(seed)
    columns = {
        "k": ([chance.randrange(20) for _ in range(ROWS)], pa.int32()),
        "i": (range(ROWS), pa.int64()),
        "m": ([chance.randrange(20) for _ in range(ROWS)], pa.int64()),
        "v": ([chance.randrange(5000) for _ in range(ROWS)], pa.int64()),
        "d": ([Decimal(chance.randrange(10**6)) / 100 for _ in range(ROWS)], pa.decimal128(12, 2)),
        "f": ([chance.uniform(-1e6, 1e6) * 10 ** chance.randrange(-6, 6) for _ in range(ROWS)], pa.float64()),
        "s": ([chance.choice(["Aa", "aA", "AA", "aa", "b", "B"]) for _ in range(ROWS)], pa.string()),
    }
    return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Return the results of every query, over the same rows in twenty orders, with one thread and with eight.

    A query that is known to differ is asked until it does.
    """
    table, chance = made_up(7), random.Random(1)
    seen = {sql: set() for sql in (*STEADY, *UNPROVED, *dict(DIFFERS))}
    texts = {sql: check(sql, "duckdb", relations=["t"]).canonical for sql in seen}
    for turn in range(SHUFFLES):
        order = chance.sample(range(ROWS), ROWS)
        batches = table.take(pa.array(order)).combine_chunks().to_batches(max_chunksize=100)
        engine = open_engine(tmp_path_factory.mktemp("scratch"), memory=1 << 30, threads=1 + turn % 2 * 7)
        engine.register("t", pa.Table.from_batches(batches))
        for sql, got in seen.items():
            if len(got) > 1:
                continue
            if turn == 0:
                texts[sql] = with_total_order(texts[sql], engine.sql(texts[sql]).columns)
            result = engine.sql(texts[sql])
            got.add(tuple(sorted(map(repr, result.fetchall()))))
        engine.close()
    return seen


@pytest.mark.parametrize(("sql", "code"), DIFFERS)
def test_what_differs_is_said(sql, code, answers):
    assert len(answers[sql]) > 1
    assert code in codes(sql)


@pytest.mark.parametrize("sql", STEADY)
def test_of_what_is_steady_nothing_is_said(sql, answers):
    assert len(answers[sql]) == 1
    assert codes(sql) == set()


@pytest.mark.parametrize("sql", UNPROVED)
def test_of_what_cannot_be_proved_to_tie_never_no_more_than_a_note_is_said(sql, answers):
    assert len(answers[sql]) == 1
    assert {(each.code, each.severity) for each in lint(sql)} == {("SQL030", "note")}


@pytest.mark.parametrize(("sql", "code"), UNSEEN)
def test_what_no_short_test_can_show_is_said_too(sql, code):
    assert codes(sql) == {code}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t LIMIT 5",
        "WITH x AS (SELECT * FROM T WHERE v > 5) SELECT i FROM (SELECT i FROM x) AS y LIMIT 5",
        "SELECT i FROM t UNION ALL SELECT -i FROM t LIMIT 5",
        "SELECT i, row_number() OVER () AS r FROM t",
        "SELECT array(SELECT i FROM t) AS r",
    ],
)
def test_rows_that_pass_through_in_a_fixed_order_are_determined(sql):
    assert codes(sql, free=()) == set()
    assert codes(sql, free=["T"]) != set()


@pytest.mark.parametrize(
    ("sql", "floats"),
    [
        ("SELECT sum(A) FROM t", "a"),
        ("SELECT avg(x) FROM (SELECT a * b AS x FROM t) AS y", "ab"),
        ("SELECT sum(coalesce(a, 0) - y.b) FROM t AS y", "ab"),
        ("SELECT sum(a) FROM (SELECT * FROM t) AS y JOIN t AS z ON z.b = y.b", "a"),
        ("WITH x AS (SELECT a AS q FROM t UNION ALL SELECT b FROM t) SELECT sum(q) FROM x", "a"),
        ("WITH a AS (SELECT sum(a) / count(*) AS a FROM t) SELECT a FROM a", "a"),
        ("SELECT sum(COLUMNS(*)) FROM t", "ab"),
        ("SELECT (SELECT sum(o.a) FROM t) FROM t AS o", "a"),
    ],
)
def test_a_sum_is_named_only_where_floats_reach_it(sql, floats):
    exact = {name: Field(name, "decimal(9,2)") for name in "ab"}
    assert codes(sql, schema=tuple(exact.values())) == set()
    for name in floats:
        assert codes(sql, schema=tuple((exact | {name: Field(name.upper(), "float32")}).values())) == {"SQL027"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT *, row_number() OVER (PARTITION BY K ORDER BY v) AS r FROM t",
        (
            "SELECT * FROM (SELECT * FROM t WHERE v > 3) AS x QUALIFY row_number() OVER (PARTITION BY x.k ORDER "
            "BY v DESC) = 1"
        ),
        "WITH x AS (SELECT k AS a, * FROM t) SELECT *, lag(a) OVER (PARTITION BY k ORDER BY v) AS r FROM x",
        "SELECT k, list(w ORDER BY w.v) AS r FROM t AS w GROUP BY k",
    ],
)
def test_rows_that_tie_in_all_columns_are_one_and_the_same(sql):
    columns = (Field("k", "int64"), Field("V", "int64"))
    assert codes(sql, schema=columns) == set()
    assert codes(sql, schema=(*columns, Field("other", "int64"))) == {"SQL030"}


@pytest.mark.parametrize(
    "source",
    [
        "(SELECT k, unnest([1, 2]) AS m FROM t GROUP BY k)",
        "(SELECT * REPLACE (1 AS k) FROM (SELECT k, sum(v) AS m FROM t GROUP BY k))",
        "(SELECT 1 AS k, x.m FROM (SELECT k, sum(v) AS m FROM t GROUP BY k) AS x)",
        "(SELECT 1 AS k, x.* EXCLUDE (k) FROM (SELECT k, sum(v) AS m FROM t GROUP BY k) AS x)",
        "(SELECT * FROM (SELECT DISTINCT k FROM t) AS x, (SELECT DISTINCT m FROM t) AS y)",
        "(SELECT k, m FROM t GROUP BY ROLLUP (k, m))",
        "(SELECT DISTINCT ON (m) k, m FROM t)",
        "(SELECT DISTINCT k, m FROM t)",
        "(SELECT k, m FROM t UNION SELECT i, v FROM t)",
        "(SELECT m AS k, i AS m FROM t)",
        "(SELECT k, m FROM t)",
    ],
)
def test_a_key_of_something_else_tells_no_rows_apart(source):
    sql = f"SELECT k, m, row_number() OVER (ORDER BY k) AS r FROM {source} AS z"
    assert "SQL030" in codes(sql)


def test_a_name_that_a_query_gives_anew_is_no_key():
    assert codes("SELECT i AS i, m, row_number() OVER (ORDER BY m) AS r FROM t") == {"SQL030"}
    assert codes("SELECT m, row_number() OVER (ORDER BY m) AS r FROM t QUALIFY r < 9") == set()


@pytest.mark.parametrize("name", ["percent_rank", "cume_dist"])
def test_a_share_is_a_float_though_no_column_is(name):
    sql = f"SELECT sum(x) AS r FROM (SELECT {name}() OVER (ORDER BY v) AS x FROM t) AS y"
    assert codes(sql, schema=(Field("v", "int64"),)) == {"SQL027"}


def test_one_of_several_extremes_has_the_text_that_decides():
    (found,) = lint("SELECT k, max_by(i + 1, m, 3) AS r FROM t GROUP BY k")
    assert found.hint == "write max_by(i + 1, m, 3 ORDER BY i + 1)"
    assert found.severity == "warning"


def test_a_finding_has_its_place_and_an_alternative():
    clock, first, limit = lint("WITH x AS (SELECT 1) SELECT k, current_date,\n  first(i) FROM t GROUP BY k LIMIT 3")
    by_code = {each.code: each for each in (clock, limit, first)}
    assert {code: (at.location.line, at.location.column) for code, at in by_code.items()} == {
        "SQL020": (1, 32),
        "SQL022": (2, 30),
        "SQL025": (2, 3),
    }
    assert by_code["SQL020"].hint == "write ${run.started_at}"
    assert {each.severity for each in by_code.values()} == {"warning"}
    assert lint("SELECT geomean(f) FROM t")[0].hint == "write exp(avg(ln(x) ORDER BY x))"
