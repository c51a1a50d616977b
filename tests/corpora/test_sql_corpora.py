"""Texts that must be rejected, texts that must be accepted, and the allowed effects of the accepted ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

HERE = Path(__file__).parent
OSIRIS = str(Path(sys.executable).parent / "osiris")
BY_LIMITS = {"dos"}  # only time and memory limits can stop these
RESULTS = ("SET threads = 1", "SET TimeZone = 'UTC'")
# what DuckDB reads as a function of one argument where its new spelling is `lambda x:`
OLD_ARROWS = "SET lambda_syntax = 'ENABLE_SINGLE_ARROW'"


def lines(name):
    found = [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines()]
    for entry in found:
        if "parts" in entry:  # texts of megabytes, written short
            entry["sql"] = "".join(text * times for text, times in entry["parts"])
    return found


def check(texts):
    """Return one verdict per text, from the installed command, in order."""
    asked = "".join(json.dumps({"dialect": "duckdb", "sql": text}) + "\n" for text in texts)
    done = subprocess.run(
        [OSIRIS, "sql", "check", "--jsonl", "-"], input=asked.encode(), capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert done.stdout.isascii()
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(texts)
    return verdicts


@pytest.fixture(scope="module")
def attacks():
    entries = lines("duckdb_attacks.jsonl")
    return list(zip(entries, check([entry["sql"] for entry in entries]), strict=True))


@pytest.fixture(scope="module")
def queries():
    entries = lines("duckdb_queries.jsonl")
    return list(zip(entries, check([entry["sql"] for entry in entries]), strict=True))


def short(entry):
    return f"{entry.get('class', '')} {entry['sql'][:200]!r}"


def test_no_attack_is_accepted(attacks):
    assert len(attacks) >= 700
    wrong = [f"{short(e)} -> {v['canonical']!r}" for e, v in attacks if v["ok"] and e["class"] not in BY_LIMITS]
    assert not wrong, "\n".join(wrong)


# Honest, and refused all the same, because the parser reads them as something else; each can be written more plainly.
REFUSED = (
    "|| [3] IF x > 1]",  # a comprehension over a joined list
    "IN (80, 45.25)::INT",  # a cast right behind IN (…)
    "(payload)->'name'->>0",  # an arrow into JSON right behind parentheses
)


def test_no_honest_query_is_refused(queries):
    assert len(queries) >= 300
    wrong = [f"{v['code']} {e['sql']}" for e, v in queries if not v["ok"]]
    assert [text for text in wrong if not any(part in text for part in REFUSED)] == []
    assert len(wrong) == len(REFUSED)


def test_verdicts_have_their_form(attacks, queries):
    for entry, verdict in [*attacks, *queries]:
        assert set(verdict) == {"ok", "code", "reason", "canonical"}, short(entry)
        if verdict["ok"]:
            assert verdict["code"] is None, short(entry)
            assert isinstance(verdict["canonical"], str), short(entry)
        else:
            assert verdict["code"].startswith("SQL"), short(entry)
            assert verdict["canonical"] is None, short(entry)


@pytest.mark.parametrize("name", ["E'\\''", "E'\"'", "E'/*'", "E'$$'", "$$'$$", "$$/*$$", "E'\\\\'"])
def test_a_string_in_the_place_of_a_name_breaks_nothing(name):
    """One bad text must not affect the verdicts on others."""
    first, second = check([f"SELECT 1 AS {name}", "SELECT 1 AS a"])
    assert second["ok"]
    assert first["ok"] or first["code"].startswith("SQL")


def test_what_is_accepted_is_its_own_canonical_text(attacks, queries):
    texts = [verdict["canonical"] for _, verdict in [*attacks, *queries] if verdict["ok"]]
    again = check(texts)
    wrong = [(text, verdict) for text, verdict in zip(texts, again, strict=True) if verdict["canonical"] != text]
    assert not wrong, wrong


def test_the_canonical_text_means_what_was_written(queries):
    """Both texts give the same columns, types and rows in DuckDB itself."""
    engine = duckdb.connect()
    engine.execute((HERE / "duckdb_tables.sql").read_text("utf-8"))
    for statement in RESULTS:
        engine.execute(statement)

    def result(text):
        try:
            rows = engine.execute(text)
            return [(name, str(kind)) for name, kind, *_ in rows.description], repr(rows.fetchall())
        except duckdb.Error as problem:
            return str(problem).splitlines()[0]

    wrong = []
    for entry, verdict in queries:
        if not verdict["ok"]:
            continue
        engine.execute(OLD_ARROWS if " -> " in entry["sql"] else "RESET lambda_syntax")
        written = result(entry["sql"])
        assert not isinstance(written, str), f"not a query of DuckDB: {entry['sql']}: {written}"
        engine.execute("RESET lambda_syntax")
        canonical = result(verdict["canonical"])
        if written != canonical:
            wrong.append(f"{entry['sql']}\n  {verdict['canonical']!r}\n  written   {written}\n  canonical {canonical}")
    assert not wrong, "\n".join(wrong)


CHILD = """
import json, os, resource, sys, threading
import duckdb

resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
STATE = (
    "SELECT name, value FROM duckdb_settings() WHERE name NOT LIKE '%memory%' ORDER BY ALL",
    "SELECT * FROM duckdb_variables() ORDER BY ALL",
    "SELECT database_name, path FROM duckdb_databases() ORDER BY ALL",
    "SELECT schema_name, table_name, estimated_size FROM duckdb_tables() ORDER BY ALL",
    "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    "SELECT function_name FROM duckdb_functions() WHERE NOT internal ORDER BY ALL",
    "SELECT sequence_name, last_value FROM duckdb_sequences() ORDER BY ALL",
    "SELECT extension_name, loaded, installed FROM duckdb_extensions() ORDER BY ALL",
    "SELECT name FROM duckdb_secrets() ORDER BY ALL",
    "FROM orders ORDER BY id",
)
engine = duckdb.connect(config={"memory_limit": "200MB", "threads": 1, "temp_directory": ""})
engine.execute(sys.argv[1])
engine.execute("CREATE SEQUENCE s")
state = lambda: [repr(engine.execute(text).fetchall()) for text in STATE]
before, environment, files = state(), dict(os.environ), sorted(os.listdir())
for text in json.load(sys.stdin):
    limit = threading.Timer(0.2, engine.interrupt)
    limit.start()
    rows = ""
    try:
        rows = repr(engine.execute(text).fetchmany(5))
    except (duckdb.Error, MemoryError):
        pass
    limit.cancel()
    limit.join()
    if sorted(os.listdir()) != files or "canary" in rows:
        print(json.dumps([text, os.listdir(), rows]))
for was, now in zip(before, state()):
    if was != now:
        print(json.dumps([was, now]))
if dict(os.environ) != environment:
    print("environment")
"""


def test_nothing_happens_when_an_accepted_attack_runs(attacks, queries, tmp_path):
    """Without any other protection: no file is read or written, and no setting, object or row changes."""
    texts = [v["canonical"] for e, v in [*attacks, *queries] if v["ok"] and ("class" in e or "like" in e)]
    assert len(texts) >= 50
    for name in ("secret.csv", "secret.json", "secret.tsv"):
        (tmp_path / name).write_text('{"canary": "canary"}\n')
    tables = (HERE / "duckdb_tables.sql").read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, tables],
        input=json.dumps(texts),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ""
