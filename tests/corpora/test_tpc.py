"""Every unchanged query of TPC-H and TPC-DS over typed tables: it compiles, runs, and gives the same result as DuckDB.

The texts are those of the tpch and tpcds extensions of DuckDB. The tables are a sample of what these generate at scale
0.03 (TPC-H; comments that no query reads are cut to a word) and 1 (TPC-DS; for q17, two sales have another day), chosen
so that every query has a result with a unique order. So results are compared in order.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest

pytestmark = pytest.mark.long

HERE = Path(__file__).parent
TABLES = HERE.parent / "fixtures"
OSIRIS = str(Path(sys.executable).parent / "osiris")
SUITES = {"tpch": 22, "tpcds": 99}
QUERIES = [(path.parent.name, path.stem) for suite in SUITES for path in sorted((HERE / suite).glob("*.sql"))]
# A plan has no 128-bit integers; their exact home is the widest decimal.
CARRIED = {"HUGEINT": "DECIMAL(38,0)"}
# Averages of decimals, whose last digit depends on what DuckDB knows of the table: it has two ways to one.
ROUNDED = {("tpch", "q01")}


def text_of(suite, query):
    return (HERE / suite / f"{query}.sql").read_text("utf-8")


def step(name, component, mode, needs, **config):
    return {"id": name, "component": component, "mode": mode, "needs": sorted(needs), "config": config}


def pipeline(suite, queries):
    """Return one pipeline in JSON (which is YAML too): a step that reads each table, then two steps per query."""
    tables = {file.stem: f"data/{file.name}" for file in sorted((TABLES / suite).glob("*.parquet"))}
    steps = [step(table, "filesystem.parquet_extractor", "read", [], path=path) for table, path in tables.items()]
    for query in queries:
        text, target = text_of(suite, query), f"output/{query}.parquet"
        steps.append(step(query, "duckdb.processor", "transform", tables.keys() & re.findall(r"\w+", text), query=text))
        steps.append(step(f"{query}_out", "filesystem.parquet_writer", "write", [query], path=target))
    return json.dumps({"oml_version": "0.1.0", "name": suite, "steps": steps}, indent=1)


def run(folder, suite, queries):
    """Run one pipeline; returns the diagnostics by query, or by "" if they concern none."""
    file, text = folder / "pipelines" / f"{suite}.yaml", pipeline(suite, queries)
    file.write_text(text)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [OSIRIS, "run", str(file), "--new-run", "--json"]
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=300)
    said = {}
    for found in json.loads(done.stdout)["diagnostics"]:
        if found["severity"] == "error":
            above = "\n".join(text.splitlines()[: found["line"] or 0])
            ids = re.findall(r'^   "id": "(q\d\d)', above, re.MULTILINE)
            said.setdefault(ids[-1] if ids else "", []).append(f"{found['code']} {found['message']}")
    return said


@pytest.fixture(scope="module")
def suites(tmp_path_factory):
    """By suite: the project's folder after a run, and the diagnostics; a rejected query does not stop the others."""
    found = {}
    for suite in SUITES:
        folder, queries = tmp_path_factory.mktemp(suite), [query for name, query in QUERIES if name == suite]
        shutil.copytree(TABLES / suite, folder / "data")
        (folder / "pipelines").mkdir()
        (folder / "osiris.yaml").write_text("")
        said = run(folder, suite, queries)
        if said:
            said |= run(folder, suite, [query for query in queries if query not in said])
        found[suite] = folder, said
    return found


@pytest.fixture(scope="module")
def engines():
    """By suite: DuckDB alone, over the same files."""
    found = {}
    for suite in SUITES:
        found[suite] = duckdb.connect()
        for file in sorted((TABLES / suite).glob("*.parquet")):
            found[suite].execute(f"CREATE VIEW {file.stem} AS FROM read_parquet('{file}')")
    return found


def answer(engine, text):
    done = engine.execute(text)
    columns = [(name, CARRIED.get(str(kind), str(kind))) for name, kind, *_ in done.description]
    return columns, done.fetchall()


def same(found, expected):
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-9)
    return found == expected


def test_the_corpora_are_whole():
    assert Counter(suite for suite, _ in QUERIES) == SUITES


@pytest.mark.parametrize(("suite", "query"), QUERIES, ids=["-".join(query) for query in QUERIES])
def test_a_query_gives_what_duckdb_gives(suite, query, suites, engines):
    folder, said = suites[suite]
    written = folder / "output" / f"{query}.parquet"
    assert written.exists(), said.get(query, said)
    columns, expected = answer(engines[suite], text_of(suite, query))
    assert any(value for row in expected for value in row), "an answer of nothing proves nothing"
    found_columns, found = answer(engines[suite], f"FROM read_parquet('{written}')")
    assert found_columns == columns
    if (suite, query) in ROUNDED:
        assert len(found) == len(expected)
        assert all(same(*pair) for rows in zip(found, expected, strict=True) for pair in zip(*rows, strict=True))
    else:
        assert found == expected
