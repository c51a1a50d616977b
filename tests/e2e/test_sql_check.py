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
    assert all(set(v) == {"ok", "code", "canonical"} for v in verdicts)
    assert verdicts[0] == {"ok": True, "code": None, "canonical": "SELECT\n  'ü' AS x"}


def test_unreadable_file_and_unknown_dialect(osiris, tmp_path):
    done = check(osiris, tmp_path, "--dialect", "duckdb", "nope.sql", "--json")
    assert (done.returncode, json.loads(done.stdout)["diagnostics"][0]["code"]) == (2, "OML026")
    done = check(osiris, tmp_path, "--dialect", "oracle", "--json", stdin="SELECT 1")
    assert (done.returncode, json.loads(done.stdout)["diagnostics"][0]["code"]) == (2, "SQL010")
