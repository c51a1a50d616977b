"""The dialect of MySQL and MariaDB: what is allowed, its canonical form, and the errors for the rest."""

from __future__ import annotations

import datetime as dt

import pytest

from osiris.sql import check
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.safety.literals import literal, placeholders, substitute


def verdict(sql, relations=None, parameters=()):
    return check(sql, "mysql", relations=relations, parameters=parameters)


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
        ("select 'a\\'b' as a, \"it's\" as b", "SELECT 'a''b' AS a, 'it''s' AS b"),
        ("select 'a\\\\b' as a, 'x\\%' as b, 'a' 'b' as c", "SELECT 'a\\\\b' AS a, 'x\\\\%' AS b, 'ab' AS c"),
        ("select a || b as x, a && b as y, !a as z", "SELECT a OR b AS x, a AND b AS y, (NOT a) AS z"),
        ("select a not regexp 'x' as a, b rlike 'y' as b", "SELECT a NOT REGEXP 'x' AS a, b REGEXP 'y' AS b"),
        ("select d + interval 1 day as d", "SELECT d + INTERVAL 1 DAY AS d"),
        ("select d - interval '1:30' minute_second as d", "SELECT d - INTERVAL '1:30' MINUTE_SECOND AS d"),
        ("select timestamp '2024-01-01 10:00:00' as t", "SELECT TIMESTAMP '2024-01-01 10:00:00' AS t"),
        ("select cast(a as unsigned) as a, cast(b as char(3)) as b",
         "SELECT CAST(a AS UNSIGNED) AS a, CAST(b AS CHAR(3)) AS b"),
        ("select group_concat(distinct a, b order by c separator '|') as g from t",
         "SELECT GROUP_CONCAT(DISTINCT a, b ORDER BY c SEPARATOR '|') AS g FROM t"),
        ("select count(distinct a, b) as n from a join b", "SELECT COUNT(DISTINCT a, b) AS n FROM a CROSS JOIN b"),
        ("select 1 as x from a join b inner join c on a.x = c.x",
         "SELECT 1 AS x FROM a CROSS JOIN b INNER JOIN c ON a.x = c.x"),
        ("select a from t limit 5, 10", "SELECT a FROM t LIMIT 10 OFFSET 5"),
        ("select utc_date as d, utc_time(3) as t from dual", "SELECT UTC_DATE() AS d, UTC_TIME(3) AS t FROM dual"),
        ("select 0x41 as a, x'42' as b, 5--1 as c", "SELECT 0x41 AS a, x'42' AS b, 5 - -1 AS c"),
        ("select trim(leading 'x' from a) as a, j->>'$.a' as b",
         "SELECT TRIM(LEADING 'x' FROM a) AS a, j ->> '$.a' AS b"),
    ],
)  # fmt: skip
def test_text_passes_through(sql, canonical):
    assert text(sql) == canonical


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("sum( a )", "`sum( a )`"),
        ("1+1", "`1+1`"),
        ("'it''s'", "`it's`"),
        ("(2)", "`2`"),
        ("`a` + 1", "```a`` + 1`"),
        ("'😀'", "`?`"),
    ],
)
def test_a_column_keeps_the_name_of_its_text(sql, name):
    assert text(f"select {sql} from t").endswith(f" AS {name} FROM t")
    assert " AS " not in text(f"select a, t.b, null, true from (select {sql} from t) t").partition("FROM")[0]
    assert f" AS {name} FROM t ) AS t" in text(f"select * from (select {sql} from t) t")


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */", "SQL007"),
        ("SELECT /*+ SET_VAR(x=1) */ 1", "SQL007"),
        ("SELECT a FROM t INTO OUTFILE '/tmp/x'", "SQL001"),
        ("SELECT a FROM t FOR UPDATE", "SQL004"),
        ("SELECT a FROM t LOCK IN SHARE MODE", "SQL004"),
        ("SELECT @a := 1", "SQL004"),
        ("SELECT @@version", "SQL004"),
        ("SELECT SQL_CALC_FOUND_ROWS a FROM t", "SQL004"),
        ("SELECT LOAD_FILE('/etc/passwd')", "SQL005"),
        ("SELECT SLEEP(1), BENCHMARK(1, 1), GET_LOCK('a', 1)", "SQL005"),
        ("SELECT NEXTVAL(s), LASTVAL(s)", "SQL005"),
        ("SELECT s.nextval", "SQL005"),
        ("SELECT current_user", "SQL005"),
        ("SELECT `abs`(1)", "SQL005"),
        ("SELECT db.f(1)", "SQL004"),
        ("SELECT _gbk'a'", "SQL004"),
        ("SELECT N'a'", "SQL004"),
        ("SELECT * FROM mysql.user", "SQL006"),
        ("SELECT * FROM INFORMATION_SCHEMA.tables", "SQL006"),
        ("SELECT * FROM `#mysql50#x`", "SQL006"),
        ("SELECT * FROM `../x`", "SQL006"),
        ('SELECT * FROM "x"', "SQL006"),
        ("SELECT a FROM t FOR SYSTEM_TIME AS OF NOW()", "SQL004"),
        ("SELECT a FROM t PARTITION (p0)", "SQL004"),
        ("SELECT 1; DROP TABLE t", "SQL002"),
        ("HANDLER t OPEN", "SQL001"),
        ("SELECT a FROM t LEFT JOIN u", "SQL001"),
    ],
)  # fmt: skip
def test_refused(sql, code):
    assert code in codes(sql)


def test_a_select_into_a_variable_is_refused_before_it_is_written():
    assert "SQL004" in codes("SELECT a INTO @x FROM t")


def test_a_name_is_the_one_that_is_written():
    known = {"orders": None, "sales.targets": None}
    assert verdict("SELECT * FROM orders, sales.targets", known).relations == {"orders": 1, "sales.targets": 1}
    for wrong in ("Orders", "targets", "`sales.targets`", "Sales.targets"):
        assert codes(f"SELECT * FROM {wrong}", relations=known) == ["SQL006"], wrong
    assert verdict("SELECT 1 FROM DUAL", ()).relations == {}
    assert codes("SELECT 1 FROM `dual`", relations=()) == ["SQL006"]


def test_a_cte_that_only_some_servers_know_is_refused():
    assert verdict("WITH a AS (SELECT 1) SELECT * FROM a", ()).ok
    assert codes("WITH a AS (SELECT 1) SELECT * FROM A") == ["SQL006"]


def test_tables_out_of_json():
    found = verdict("SELECT j.x FROM JSON_TABLE('[1]', '$[*]' COLUMNS (x INT PATH '$')) AS j")
    assert (found.ok, found.relations) == (True, {})


def test_parameters():
    found = verdict("SELECT $run_id AS x", parameters=("run_id",))
    assert (found.canonical.split(), found.parameters) == (["SELECT", "$run_id", "AS", "x"], {"run_id"})
    assert codes("SELECT $other") == ["SQL004"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("it's", "'it''s'"),
        ("a\\'; --", "'a\\\\''; --'"),
        (dt.datetime(2024, 2, 29, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), "TIMESTAMP '2024-02-29 00:00:00'"),
        ([1], None),
    ],
)
def test_values(value, expected):
    assert literal(value, "mysql") == expected


def test_values_inside_quotes():
    value = "\\'\"`; DROP TABLE t; --"
    for sql in ("SELECT 'a ${params.x}' AS a", 'SELECT "a ${params.x}" AS a', "SELECT 1 AS `${params.x}`"):
        filled = substitute(sql, {"params.x": value}, "mysql")
        assert verdict(filled).ok, filled
    assert [each.where for each in placeholders("""SELECT "${a.b}", `${a.b}`, '${a.b}' # ${a.b}""", "mysql")] == [
        "escape string", "name", "escape string", "comment",
    ]  # fmt: skip


def test_a_total_order_is_that_of_the_server():
    found = with_total_order("SELECT\n  a,\n  b\nFROM t\nORDER BY\n  a", ["a", "b"], "mysql")
    assert found.split()[-3:] == ["BY", "a,", "2"]
