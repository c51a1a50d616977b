"""The dialect of PostgreSQL: what is allowed, its canonical form, and the errors for the rest."""

from __future__ import annotations

import datetime as dt

import pytest

from osiris.sql import check
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.safety.literals import literal, substitute

KNOWN = {"orders": ["id", "amount", "status"], "sales.targets": ["region", "goal"], "Mixed": ["A"], "views": None}


def verdict(sql, relations=None, parameters=()):
    return check(sql, "postgres", relations=relations, parameters=parameters)


def text(sql):
    found = verdict(sql)
    assert found.ok, [str(each) for each in found.diagnostics]
    assert verdict(found.canonical).canonical == found.canonical
    return " ".join(found.canonical.split())


def codes(sql, **options):
    return sorted({found.code for found in verdict(sql, **options).diagnostics})


@pytest.mark.parametrize(
    ("sql", "canonical"),
    [
        ("select a::int, b::numeric(10,2)", "SELECT CAST(a AS INT), CAST(b AS DECIMAL(10, 2))"),
        ("select E'a\\\\b\\'c', $$it's$$, $x$a$$b$x$, 'a\\b'", "SELECT E'a\\\\b''c', 'it''s', 'a$$b', E'a\\\\b'"),
        ("select U&'d\\0061t\\\\'", "SELECT E'dat\\\\'"),
        ("select interval '1 day', interval '1-2' year to month",
         "SELECT INTERVAL '1 day', INTERVAL '1-2' YEAR TO MONTH"),
        ("select a !~ 'x', a not in (1) is null, not a in (1)",
         "SELECT a !~ 'x', (a NOT IN (1)) IS NULL, NOT a IN (1)"),
        ("select j -> 'a' ->> 'b', j #>> '{a}', j ? 'k'", "SELECT j -> 'a' ->> 'b', j #>> '{a}', j ? 'k'"),
        ("select a[1], a[i + 1], a[1:2]", "SELECT a[1], a[i + 1], a[1:2]"),
        ("select 2 ^ 3, |/ 4, @ -5", "SELECT 2 ^ 3, |/ 4, @ -5"),
        ("select date_part('year', a), to_char(a, 'YYYY')", "SELECT DATE_PART('year', a), TO_CHAR(a, 'YYYY')"),
        ("select sum(a) filter (where b) over w from t window w as (order by c)",
         "SELECT SUM(a) FILTER(WHERE b) OVER w FROM t WINDOW w AS (ORDER BY c)"),
        ("table orders", "SELECT * FROM orders"),
        ("select + a, - + 5, +'5' order /* by */ by +1", "SELECT + a, -+ 5, + '5' ORDER BY + 1"),
        ("select jsonb '{}', 'x'::macaddr, 'a'::TSQUERY[]",
         "SELECT CAST('{}' AS JSONB), CAST('x' AS macaddr), CAST('a' AS TSQUERY[])"),
        ("select exists ((select 1) union all (select 2))",
         "SELECT EXISTS( ( SELECT 1 ) UNION ALL ( SELECT 2 ) )"),
        ("select a from t order by a fetch first 2 rows with ties",
         "SELECT a FROM t ORDER BY a FETCH FIRST 2 ROWS WITH TIES"),
    ],
)  # fmt: skip
def test_text_passes_through(sql, canonical):
    assert text(sql) == canonical


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT a INTO b FROM t", "SQL004"),
        ("SELECT a FROM t FOR UPDATE", "SQL004"),
        ("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "SQL004"),
        ("SELECT 1; SELECT 2", "SQL002"),
        ("COPY t TO PROGRAM 'x'", "SQL003"),
        ("SELECT pg_sleep(1)", "SQL005"),
        ("SELECT nextval('s'), setval('s', 1)", "SQL005"),
        ("SELECT query_to_xml('DELETE FROM t', true, true, '')", "SQL005"),
        ("SELECT ts_stat('SELECT 1'), ts_rewrite('a', 'SELECT 1')", "SQL005"),
        ("SELECT lo_import('/etc/passwd'), pg_read_file('x'), dblink('x', 'y')", "SQL005"),
        ("SELECT set_config('a', 'b', false), current_setting('a'), pg_advisory_lock(1)", "SQL005"),
        ("SELECT current_user", "SQL005"),
        ("SELECT user", "SQL005"),
        ("SELECT * FROM pg_authid", "SQL006"),
        ("SELECT * FROM pg_catalog.pg_class", "SQL006"),
        ("SELECT * FROM information_schema.tables", "SQL006"),
        ("SELECT * FROM a.b.c", "SQL006"),
        ("SELECT * FROM 'x.csv'", "SQL006"),
        ("SELECT * FROM pg_ls_dir('.')", "SQL005"),
        ('SELECT "lower"(a) FROM t', "SQL005"),
        ("SELECT public.lower(a) FROM t", "SQL004"),
        ("SELECT (t).pwn FROM t", "SQL004"),
        ("SELECT a::mood FROM t", "SQL004"),
        ("SELECT a::\"MACADDR\", b::public.macaddr, c::mood[] FROM t", "SQL004"),
        ("SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY[1])) AS r", "SQL004"),
        ("SELECT !! a FROM t", "SQL001"),
        ('SELECT "exists"((SELECT 1))', "SQL001"),
        ("SELECT 'pg_class'::regclass", "SQL004"),
        ('SELECT U&"a" FROM t', "SQL004"),
        ("SELECT U&'\\00zz'", "SQL001"),
        ("SELECT a OPERATOR(pg_catalog.+) 1 FROM t", "SQL004"),
        ("SELECT a IS NFC NORMALIZED FROM t", "SQL001"),
        ("SELECT N'a'", "SQL004"),
        ("SELECT $nope", "SQL004"),
        ("SELECT " + "+".join(["1"] * 1500), "SQL008"),
    ],
)  # fmt: skip
def test_refused(sql, code):
    assert codes(sql) == [code]


def test_a_name_is_the_one_of_the_catalogue():
    assert verdict("SELECT * FROM ORDERS", KNOWN).relations == {"orders": 1}
    assert verdict('SELECT * FROM sales.targets, "Mixed"', KNOWN).relations == {"sales.targets": 1, "Mixed": 1}
    for wrong in ('"Orders"', "mixed", "targets", "public.orders", '"sales.targets"', "pg_temp.orders"):
        assert codes(f"SELECT * FROM {wrong}", relations=KNOWN) == ["SQL006"], wrong


def test_a_cte_hides_only_its_own_name():
    assert verdict("WITH Pg_Class AS (SELECT 1) SELECT * FROM pg_class", ()).ok
    assert codes('WITH "Pg_class" AS (SELECT 1) SELECT * FROM pg_class') == ["SQL006"]
    assert codes("WITH pg_class AS (SELECT * FROM pg_class) SELECT * FROM pg_class") == ["SQL006"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT o.id, orders.amount FROM orders o, orders",
        "SELECT o.ctid FROM orders o",
        "SELECT v.anything FROM views v",
        "SELECT q.id, q.n, q.upper, q.s FROM (SELECT id, 1 AS n, upper(status), sum(amount) AS s FROM orders) q",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT r.n + 1 FROM r) SELECT r.n FROM r",
        "WITH w AS (SELECT * FROM orders) SELECT w.id FROM w ORDER BY w.amount",
        "SELECT g.n, j.key FROM generate_series(1, 2) AS g(n), json_each('{}') j",
        "SELECT u.x, u.place FROM unnest(ARRAY[1]) WITH ORDINALITY AS u(x, place)",
        "SELECT u.x, u.place FROM orders o CROSS JOIN LATERAL unnest(ARRAY[o.id]) WITH ORDINALITY AS u(x, place)",
        "SELECT j.region FROM (orders o JOIN sales.targets t ON o.status = t.region) AS j",
        "SELECT t.region FROM (orders o JOIN sales.targets t ON o.status = t.region)",
        "SELECT v.column1, w.b FROM (VALUES (1)) v, (VALUES (1)) w(b)",
        "SELECT l.id FROM orders o CROSS JOIN LATERAL (SELECT o.id) l",
        "SELECT to_jsonb(o), count(o), o IS NULL FROM orders o",
        "SELECT sales.targets.goal FROM sales.targets",
    ],
)
def test_members_that_are_columns(sql):
    assert verdict(sql, KNOWN).ok, [str(each) for each in verdict(sql, KNOWN).diagnostics]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT o.pwn FROM orders o",
        "SELECT orders.pwn FROM orders",
        "SELECT sales.targets.pwn FROM sales.targets",
        "SELECT q.pwn FROM (SELECT * FROM orders) q",
        "WITH w AS (SELECT id FROM orders) SELECT w.status FROM w",
        "SELECT 1 FROM orders o WHERE EXISTS (SELECT o.pwn)",
        "SELECT j.pwn FROM json_each('{}') j",
        'SELECT o."ID" FROM orders o',
        "SELECT upper(o) FROM orders o",
        "SELECT upper(o.*) FROM orders o",
        "SELECT upper((SELECT o FROM orders o))",
        "SELECT upper(q.x) FROM (SELECT o AS x FROM orders o) q",
        "SELECT upper((array_agg(o))[1]) FROM orders o",
        "SELECT o::integer FROM orders o",
    ],
)
def test_members_that_may_be_calls(sql):
    (code,) = codes(sql, relations=KNOWN)
    assert code == "SQL009"


def test_a_member_is_named_with_its_nearest():
    (found,) = verdict("SELECT o.amont\nFROM orders o", KNOWN).diagnostics
    assert (found.message, found.hint) == ("'o' has no column 'amont' here", "did you mean 'amount'?")
    assert (found.location.line, found.location.column) == (1, 8)


def test_parameters():
    found = verdict("SELECT $run_id::text", parameters=("run_id",))
    assert (found.canonical.split(), found.parameters) == (["SELECT", "CAST($run_id", "AS", "TEXT)"], {"run_id"})
    assert codes("SELECT @run_id", parameters=("run_id",)) == []
    assert "run_id" not in verdict("SELECT @run_id FROM t", parameters=("run_id",)).parameters


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("it's", "'it''s'"),
        ("a\\'; --", "E'a\\\\''; --'"),
        ([1, 2], "ARRAY[1, 2]"),
        ([], "'{}'"),
        (dt.datetime(2024, 2, 29, tzinfo=dt.UTC), "TIMESTAMPTZ '2024-02-29 00:00:00+00:00'"),
    ],
)
def test_values(value, expected):
    assert literal(value, "postgres") == expected
    assert verdict(substitute("SELECT ${params.x} AS x", {"params.x": value}, "postgres")).ok


def test_values_inside_quotes():
    for sql in ("SELECT 'a ${params.x}'", "SELECT E'a ${params.x}'", 'SELECT "${params.x}" FROM t'):
        filled = substitute(sql, {"params.x": "\\'\"; DROP TABLE t; --"}, "postgres")
        assert verdict(filled).ok, filled


def test_a_total_order():
    assert with_total_order("SELECT\n  a,\n  b\nFROM t\nORDER BY\n  a", ["a", "b"], "postgres").split()[-3:] == [
        "BY",
        "a,",
        "2",
    ]
    ties = "SELECT\n  a,\n  b\nFROM t\nORDER BY\n  a\nFETCH FIRST 1 ROWS WITH TIES"
    assert with_total_order(ties, ["a", "b"], "postgres") == ties


def test_what_changes_from_run_to_run_is_said():
    found = {each.code for each in verdict("SELECT clock_timestamp(), random(), jsonb_agg(a) FROM t").findings}
    assert {"SQL020", "SQL021", "SQL025"} <= found
