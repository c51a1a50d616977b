"""`osiris sql check`: one verdict, or one per line."""

import json


def check(osiris, cwd, *args, stdin=None):
    return osiris("sql", "check", *args, cwd=cwd, stdin=stdin)


def test_one_statement(osiris, tmp_path):
    good = check(osiris, tmp_path, "--dialect", "duckdb", stdin="select a  from t -- x\n")
    assert (good.returncode, good.stdout, good.stderr) == (0, "SELECT\n  a\nFROM t\n", "")
    (tmp_path / "q.sql").write_text("SELECT 1;\nDROP TABLE t")
    bad = check(osiris, tmp_path, "--dialect", "duckdb", "q.sql", "--json")
    envelope = json.loads(bad.stdout)
    assert (bad.returncode, envelope["ok"], envelope["data"]["ok"]) == (1, False, False)
    assert envelope["data"]["code"] == envelope["diagnostics"][0]["code"]
    assert envelope["diagnostics"][0]["line"] == 2


def test_lines(osiris, tmp_path):
    lines = [
        '{"dialect": "duckdb", "sql": "SELECT \'ü\' AS x"}',
        '{"dialect": "duckdb", "sql": "COPY t TO \'x\'"}',
        "not json",
        '["duckdb"]',
        '{"sql": 7, "dialect": "nope"}',
    ]
    done = check(osiris, tmp_path, "--jsonl", stdin="\n".join(lines) + "\n")
    assert done.returncode == 0
    assert done.stdout.isascii()
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [v["ok"] for v in verdicts] == [True, False, False, False, False]
    assert all(set(v) == {"ok", "code", "reason", "canonical"} for v in verdicts)
    assert verdicts[0] == {"ok": True, "code": None, "reason": None, "canonical": "SELECT\n  'ü' AS x"}


def test_unreadable_file_and_unknown_dialect(osiris, tmp_path):
    done = check(osiris, tmp_path, "--dialect", "duckdb", "nope.sql", "--json")
    assert (done.returncode, json.loads(done.stdout)["diagnostics"][0]["code"]) == (2, "OML026")
    done = check(osiris, tmp_path, "--dialect", "oracle", "--json", stdin="SELECT 1")
    assert (done.returncode, json.loads(done.stdout)["diagnostics"][0]["code"]) == (2, "SQL010")


def test_a_catalogue(osiris, tmp_path):
    """Only its tables may be read, and a name after a dot must be one of its columns."""
    (tmp_path / "c.json").write_text('{"orders": ["id"], "sales.targets": null}')
    for sql, code in (
        ("SELECT o.id FROM orders o", None),
        ("SELECT t.goal FROM sales.targets t", None),
        ("SELECT o.pwn FROM orders o", "SQL009"),
        ("SELECT * FROM customers", "SQL006"),
    ):
        done = check(osiris, tmp_path, "--dialect", "postgres", "--catalog", "c.json", "--json", stdin=sql)
        assert (done.returncode, json.loads(done.stdout)["data"]["code"]) == (1 if code else 0, code)
    (tmp_path / "c.json").write_text('["orders"]')
    line = '{"dialect": "mysql", "sql": "SELECT id FROM orders"}\n{"dialect": "mysql", "sql": "SELECT id FROM other"}\n'
    done = check(osiris, tmp_path, "--jsonl", "--catalog", "c.json", stdin=line)
    assert [json.loads(each)["code"] for each in done.stdout.splitlines()] == [None, "SQL006"]


def test_a_catalogue_that_is_none(osiris, tmp_path):
    for text in ("nope", "7", '{"orders": "id"}', "[1]"):
        (tmp_path / "c.json").write_text(text)
        done = check(osiris, tmp_path, "--dialect", "mysql", "--catalog", "c.json", stdin="SELECT 1")
        assert (done.returncode, "--catalog" in done.stderr) == (2, True), text
