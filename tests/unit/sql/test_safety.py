"""What is allowed, and the errors for what is not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.patience import SOON

from osiris.sql import check

DATA = Path(__file__).parent / "data"
ATTACKS = (DATA / "attacks.sql").read_text(encoding="utf-8").splitlines()
INPUTS = ("orders", "customers")


def codes(sql, **options):
    options = {"relations": INPUTS, "parameters": ("run_id",), **options}
    return sorted({found.code for found in check(sql, "duckdb", **options).diagnostics})


@pytest.mark.parametrize("sql", ATTACKS)
def test_attack_is_refused(sql):
    verdict = check(sql, "duckdb", relations=INPUTS, parameters=("run_id",))
    assert not verdict.ok
    assert verdict.canonical is None
    assert verdict.diagnostics
    assert all(found.code.startswith("SQL") for found in verdict.diagnostics)


@pytest.mark.parametrize("sql", [sql for sql in ATTACKS if sql.isascii()])
def test_no_disguise_turns_a_refusal_into_an_acceptance(sql):
    for disguised in (
        sql.swapcase(),
        sql.replace(" ", "\n\t"),
        sql.replace(" ", " /* x */ "),
        sql + " -- x",
        f"({sql})",
    ):
        assert not check(disguised, "duckdb", relations=INPUTS).ok


@pytest.mark.parametrize(
    ("sql", "code", "place", "words"),
    [
        ("SELECT 1 +", "SQL001", (1, 10), "near '+'"),
        ("SELECT 'abc", "SQL001", (None, None), "is not closed"),
        ("SELECT 1;\nDROP TABLE t", "SQL002", (2, 12), "one statement"),
        ("DELETE FROM orders", "SQL003", (1, 1), "DELETE"),
        ("WITH x AS (SELECT 1)\nINSERT INTO orders SELECT * FROM x", "SQL003", (1, 1), "INSERT"),
        ("", "SQL003", (None, None), "empty"),
        ("SELECT *\nFROM orders\nFOR UPDATE", "SQL004", (1, 8), "FOR UPDATE"),
        ("SELECT *\nFROM orders PIVOT (sum(id) FOR id IN (1))", "SQL004", (2, 20), "PIVOT"),
        ("SELECT id,\n  $nope FROM orders", "SQL004", (2, 3), "$nope"),
        ("SELECT id,\n  read_text('x') FROM orders", "SQL005", (2, 3), "'read_text'"),
        ("SELECT * FROM orders\nJOIN read_csv('x') ON true", "SQL005", (2, 6), "'read_csv'"),
        ("SELECT *\nFROM\n  other", "SQL006", (3, 3), "'other'"),
        ("SELECT * FROM a.orders", "SQL006", (1, 15), "'a.orders'"),
        ("SELECT * FROM orders\nJOIN customers", "SQL001", (2, 6), "no ON"),
        ("SELECT * FROM orders\nINNER JOIN customers", "SQL001", (2, 12), "no ON"),
        ("WITH a AS (SELECT 1)\nWITH b AS (SELECT 2) SELECT * FROM b", "SQL001", (2, 1), "'WITH'"),
        ("SELECT * FROM orders *", "SQL001", (1, 22), "'*'"),
        ("SELECT 1,\n 2e3-4e2 AS x", "SQL001", (2, 7), "'e2'"),
        ("SELECT 1,\n count(DISTINCT id, id) FROM orders", "SQL004", (2, 17), "several columns"),
        ("SELECT 'a'::VARCHAR(getenv('HOME')) AS a", "SQL005", (1, 21), "'getenv'"),
        ("SELECT 1 FROM orders ANY JOIN customers USING (id)", "SQL001", (1, 22), "'ANY'"),
        ("SELECT\u00a01", "SQL007", (1, 7), "U+00A0"),
        ("SELECT 1\u200b", "SQL007", (1, 9), "invisible"),
        ("SELECT a\u200db, '\u200d'", "SQL007", (1, 9), "U+200D"),
        ("\u017fELECT 1", "SQL007", (1, 1), "ordinary word"),
        ("SELECT $run_id\nFROM orders\nWHERE a = DATE DATE '2024-05-01'", "SQL001", (3, 16), "near 'DATE'"),
        ("SELECT 1 |> WHERE true", "SQL004", (1, 10), "|>"),
        ("SELECT 1\x00", "SQL007", (1, 9), "control"),
        ("SELECT '\ud800'", "SQL007", (1, 9), "surrogate"),
        ("SELECT 1 /*! x */", "SQL007", (1, 10), "/*!"),
        ("SELECT 1 -- " + "x" * 65536, "SQL008", (None, None), "65536 bytes"),
        ("SELECT " + "1," * 10_001 + "1", "SQL008", (None, None), "20000 words"),
        ("SELECT " + "(" * 101 + "1" + ")" * 101, "SQL008", (1, 108), "100 levels"),
    ],
)
def test_words_and_places(sql, code, place, words):
    verdict = check(sql, "duckdb", relations=INPUTS)
    found = next(d for d in verdict.diagnostics if d.code == code)
    assert (found.location.line, found.location.column) == place
    assert words in found.message


def test_hints():
    def hint(sql):
        return check(sql, "duckdb", relations=INPUTS).diagnostics[0].hint

    assert hint("SELECT * FROM ordrs") == "did you mean 'orders'?"
    assert hint("SELECT uper(name) FROM customers") == "did you mean 'upper'?"
    assert "FILTER" in hint("SELECT * FROM orders PIVOT (sum(id) FOR id IN (1))")
    assert "chr(160)" in hint("SELECT '\u00a0'")


def test_all_problems_are_gathered():
    assert codes("SELECT sleep_ms(1), $x FROM other, read_csv('x')") == ["SQL004", "SQL005", "SQL006"]


@pytest.mark.parametrize("dialect", ["mariadb", "postgresql", "oracle", ""])
def test_unknown_dialect(dialect):
    (found,) = check("SELECT 1", dialect, relations=None).diagnostics
    assert (found.code, found.hint) == ("SQL010", "one of: duckdb, mysql, postgres")


def test_without_a_list_any_plain_name_will_do():
    assert check("SELECT * FROM whatever", "duckdb", relations=None).relations == {"whatever": 1}
    for name in ("a.b", "'x.csv'", '"x/y"', "duckdb_tables", "sqlite_master", "pg_class", '"*"', "'http://x'"):
        assert codes(f"SELECT * FROM {name}", relations=None) == ["SQL006"]


def test_parameters_are_named_and_known():
    verdict = check("SELECT $run_id AS r, $run_id AS s", "duckdb", relations=(), parameters=("run_id", "other"))
    assert verdict.parameters == {"run_id"}
    assert codes("SELECT $1") == codes("SELECT ?") == codes("SELECT $other") == ["SQL004"]


@pytest.mark.long
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 99 + "1" + ")" * 99,
        "SELECT " + "+".join(["id"] * 5000) + " FROM orders",
        "SELECT " + " AND ".join(["id = 1"] * 3000) + " FROM orders",
        "SELECT 1" + " UNION ALL SELECT 1" * 2000,
        "SELECT id IN (" + ", ".join(map(str, range(9000))) + ") FROM orders",
        "SELECT " + "CASE WHEN id = 1 THEN 1 ELSE " * 90 + "1" + " END" * 90 + " FROM orders",
        "SELECT * FROM " + "(SELECT * FROM " * 90 + "orders" + ")" * 90,
    ],
)
def test_large_but_allowed(sql):
    started = time.monotonic()
    verdict = check(sql, "duckdb", relations=INPUTS)
    assert verdict.ok
    assert check(verdict.canonical, "duckdb", relations=INPUTS).canonical == verdict.canonical
    assert time.monotonic() - started < SOON  # a quadratic walk takes minutes


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "- " * 101 + "1",
        "SELECT " + "NOT " * 101 + "true",
        "SELECT " + "[" * 101 + "]" * 101,
        "SELECT id" + "[1]" * 101 + " FROM orders",
        "SELECT id" + "::INT" * 3000 + " FROM orders",
        "SELECT id" + ".upper()" * 1000 + " FROM orders",
        "SELECT id" + "->'a'" * 1000 + " FROM orders",
        "SELECT 2" + " ** 2" * 1000,
        "SELECT " + "CASE WHEN 1 THEN 1 ELSE " * 101 + "1" + " END" * 101,
        "SELECT " + "upper(" * 101 + "'x'" + ")" * 101,
    ],
)
def test_too_deep(sql):
    assert codes(sql) == ["SQL008"]


def test_recursion_limit_is_put_back():
    before = sys.getrecursionlimit()
    check("SELECT " + "+".join(["1"] * 3000), "duckdb", relations=())
    assert sys.getrecursionlimit() == before


def test_nothing_is_logged_or_printed(caplog, capfd):
    for sql in ("CALL x()", "EXPLAIN SELECT 1", "SELECT FROM", "SELECT 'x"):
        check(sql, "duckdb", relations=())
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_importing_the_package_imports_no_parser_and_no_engine():
    assert importlib.util.find_spec("sqlglot")
    code = "import sys, osiris.sql; print([m for m in ('sqlglot', 'duckdb', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_checking_imports_no_engine():
    code = (
        "import sys; from osiris.sql import check; assert check('SELECT 1', 'duckdb', relations=()).ok;"
        "print([m for m in ('duckdb', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
