"""Memory: what is larger than it is sorted, joined and grouped all the same; what needs more is told which limit."""

import json

import duckdb
import pytest

from osiris.runner.limits import limits_of
from osiris.runner.protocol import Secrets

MB = 1_000_000
QUERIES = {
    "sort": "SELECT id, k, v, t FROM a ORDER BY k, id",
    "group": "SELECT t, k, count(*) AS n, max(v) AS m FROM a GROUP BY t, k",
    "join": "SELECT a.id, a.t, b.w FROM a JOIN b ON a.k = b.k",
}
SOURCES = {
    "a": "SELECT range AS id, (hash(range) % {rows})::BIGINT AS k, (hash(range + 7) % 1000000) / 100.0 AS v, "
    "'text ' || (hash(range * 3) % {rows})::VARCHAR AS t FROM range({rows})",
    "b": "SELECT (hash(range * 5) % {rows})::BIGINT AS k, (range % 1000)::INTEGER AS w FROM range({rows})",
}
OVERHEAD = 500 * MB
"""Resident memory beyond `run.memory`: the interpreter, its libraries, and rows on their way."""


@pytest.fixture
def compute(tmp_path, osiris):
    """`compute("sort", rows, "1GB")` gives the rows written, and the most memory in use in bytes, of a run."""

    def call(what, rows, memory):
        folder = tmp_path / what
        osiris("init", str(folder), cwd=tmp_path)
        for name, query in SOURCES.items():
            duckdb.sql(f"COPY ({query.format(rows=rows)}) TO '{folder}/data/{name}.parquet' (FORMAT parquet)")
        steps = [
            {
                "id": name,
                "component": "filesystem.parquet_extractor",
                "mode": "read",
                "needs": [],
                "config": {"path": f"data/{name}.parquet"},
            }
            for name in SOURCES
            if name == "a" or what == "join"
        ]
        steps += [
            {
                "id": "q",
                "component": "duckdb.processor",
                "mode": "transform",
                "needs": [step["id"] for step in steps],
                "config": {"query": QUERIES[what]},
            },
            {
                "id": "out",
                "component": "filesystem.parquet_writer",
                "mode": "write",
                "needs": ["q"],
                "config": {"path": "output/out.parquet"},
            },
        ]
        oml = {"oml_version": "0.1.0", "name": what, "steps": steps}
        (folder / "pipelines" / "p.yaml").write_text(json.dumps(oml))
        done = osiris("run", "pipelines/p.yaml", "--json", cwd=folder, env={"OSIRIS_RUN__MEMORY": memory}, timeout=1800)
        assert done.returncode == 0, done.stdout
        session = json.loads(done.stdout)["data"]["session"]
        metrics = (folder / "logs" / session / "metrics.jsonl").read_text()
        values = [json.loads(line) for line in metrics.splitlines()]
        ((count,),) = duckdb.sql(f"SELECT count(*) FROM '{folder}/output/out.parquet'").fetchall()
        return count, max(each["value"] for each in values if each["metric"] == "peak_memory_bytes")

    return call


def expected(what, rows):
    """Return the number of rows, counted by an engine of our own without limits."""
    duckdb.sql("SET preserve_insertion_order = false")
    for name, query in SOURCES.items():
        duckdb.sql(f"CREATE OR REPLACE TEMP VIEW {name} AS {query.format(rows=rows)}")
    return duckdb.sql(f"SELECT count(*) FROM ({QUERIES[what]})").fetchall()[0][0]


def check(compute, what, rows, memory, limit):
    count, peak = compute(what, rows, memory)
    print(f"{what}: {rows:,} rows at {memory}: {peak / MB:.0f} MB resident")
    assert count == expected(what, rows)
    assert peak <= limit


@pytest.mark.parametrize("what", QUERIES)
def test_what_is_larger_than_memory_spills(compute, what):
    check(compute, what, 2_000_000, "200MB", 200 * MB + OVERHEAD)


@pytest.mark.long
@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize("what", QUERIES)
def test_twenty_million_rows_in_one_gigabyte(compute, what, turn):
    check(compute, what, 20_000_000, "1GB", 1_500 * MB)


def test_memory_that_grows_is_bounded(desk, make_step):
    """Piece by piece no single piece is refused by the system: what is in use is looked at, and the step is named."""
    steps = [
        make_step("bad", "misbehaving", deed="grow", text=""),
        make_step("out", "file_writer", "write", ["bad"], path="output/x.txt"),
    ]
    result = desk.run(desk.plan(steps))
    assert (result.status, [item.code for item in result.diagnostics]) == ("failed", ["RUN013"])
    assert "step 'bad' needs more than the limit of 2000 MB" in result.diagnostics[0].message
    assert result.steps["bad"]["status"] == "failed"
    assert desk.left_over() == []


def test_many_threads_and_mappings_are_no_want_of_memory():
    """Addresses are plenty: a hundred stacks and a large reserve fit beside a small limit for data."""
    limits = limits_of(200 * MB, 2)
    stacks = 100 * (8 << 20)
    assert limits.address_space - limits.resident > stacks + (4 << 30)


def test_a_description_that_needs_too_much_says_so(desk, make_step):
    """No step is at work then, so the job is named."""
    steps = [make_step("bad", "misbehaving", deed="grow_when_described", text="")]
    job = desk.job("describe", steps)
    with desk.worker() as link:
        end = link.ask(job, Secrets(), lambda _event: None)
    assert not end["ok"]
    assert [item["code"] for item in end["diagnostics"]] == ["RUN045"]
