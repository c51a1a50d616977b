"""Memory: data larger than it is still sorted, joined and grouped; if a step needs more, the error names the limit."""

import json
import subprocess
import sys

import duckdb
import pyarrow.parquet as pq
import pytest
from tests.conftest import OSIRIS, kept

from osiris.config import load_config
from osiris.runner.protocol import Secrets

MB = 1_000_000
QUERIES = {
    "sort": "SELECT id, k, v, t FROM a ORDER BY k, id",
    "group": "SELECT t, k, count(*) AS n, max(id) AS m FROM a GROUP BY t, k",
    "join": "SELECT a.id, a.t, b.w FROM a JOIN b ON a.k = b.k",
}
SOURCES = {
    "a": "SELECT range AS id, (hash(range) % {rows})::BIGINT AS k, (hash(range + 7) % 1000000) / 100.0 AS v, "
    "'text ' || (hash(range * 3) % {rows})::VARCHAR AS t FROM range({rows})",
    "b": "SELECT (hash(range * 5) % {rows})::BIGINT AS k, (range % 1000)::INTEGER AS w FROM range({rows})",
}
OVERHEAD = 500 * MB
"""Resident memory beyond `run.memory`: the interpreter, its libraries, and rows on their way."""

MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
print(done.stdout + done.stderr)
sys.exit(done.returncode)
"""
"""Runs a command, and prints what the system has counted: the most that one of its processes had resident, in bytes."""


@pytest.fixture
def compute(tmp_path, osiris):
    """`compute("sort", rows, "1GB")` runs a query.

    It returns the written file, the highest resident memory of a process of the run as the system counts it, and the
    same as the run reports it.
    """

    def call(what, rows, memory, *options):
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
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, OSIRIS, "run", "pipelines/p.yaml", "--json", *options],
            cwd=folder,
            env=kept() | {"OSIRIS_RUN__MEMORY": memory},
            capture_output=True,
            text=True,
            timeout=1800,
        )
        assert done.returncode == 0, done.stdout
        resident, _, answer = done.stdout.partition("\n")
        session = json.JSONDecoder().raw_decode(answer)[0]["data"]["session"]
        metrics = (folder / "logs" / session / "metrics.jsonl").read_text()
        run = json.loads((folder / "logs" / session / "run.json").read_text())
        assert ("cut" in run["steps"]["q"]) == ("--partitions" in options)
        values = [json.loads(line) for line in metrics.splitlines()]
        told = max(each["value"] for each in values if each["metric"] == "peak_memory_bytes")
        return folder / "output" / "out.parquet", int(resident), told

    return call


def summed(relation):
    """Return the number of rows of a relation, and a sum over the hashes of whole rows: equal rows have equal sums."""
    return duckdb.sql(f"SELECT count(*), sum(hash(r)::HUGEINT) FROM {relation} AS r").fetchall()[0]


def expected(what, rows):
    """Return the expected sums, computed by a separate engine without limits."""
    duckdb.sql("SET preserve_insertion_order = false")
    for name, query in SOURCES.items():
        duckdb.sql(f"CREATE OR REPLACE TEMP VIEW {name} AS {query.format(rows=rows)}")
    return summed(f"({QUERIES[what]})")


def is_sorted(path):
    """Return whether the rows of a file are in the order of k and id."""
    last = ()
    for batch in pq.ParquetFile(path).iter_batches(columns=["k", "id"]):
        keys = list(zip(batch["k"].to_pylist(), batch["id"].to_pylist(), strict=True))
        if not last < keys[0] or keys != sorted(keys):
            return False
        last = keys[-1]
    return True


def check(compute, what, rows, memory, limit, *options):
    path, resident, told = compute(what, rows, memory, *options)
    print(f"{what}: {rows:,} rows at {memory}: {resident / MB:.0f} MB resident, {told / MB:.0f} MB by its own account")
    assert summed(f"'{path}'") == expected(what, rows)
    assert what != "sort" or is_sorted(path)
    assert resident <= limit
    assert told == pytest.approx(resident, rel=0.05)


@pytest.mark.long
@pytest.mark.parametrize("what", QUERIES)
def test_what_is_larger_than_memory_spills(compute, what):
    check(compute, what, 2_000_000, "200MB", 200 * MB + OVERHEAD)


@pytest.mark.long
@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize("what", QUERIES)
def test_twenty_million_rows_in_one_gigabyte(compute, what, turn):
    check(compute, what, 20_000_000, "1GB", 1_500 * MB)


@pytest.mark.long
@pytest.mark.parametrize("what", ["group", "sort"])
def test_twenty_million_rows_in_parts_in_half_a_gigabyte(compute, what):
    check(compute, what, 20_000_000, "500MB", 500 * MB + OVERHEAD, "--partitions", "32")


def test_memory_that_grows_is_bounded(desk, make_step):
    """The system rejects no single small allocation: the memory in use is checked, and the step is named."""
    steps = [
        make_step("bad", "misbehaving", deed="grow", text=""),
        make_step("out", "file_writer", "write", ["bad"], path="output/x.txt"),
    ]
    result = desk.run(desk.plan(steps))
    assert (result.status, [item.code for item in result.diagnostics]) == ("failed", ["RUN013"])
    assert "step 'bad' exceeded the memory limit of 2000 MB" in result.diagnostics[0].message
    assert result.steps["bad"]["status"] == "failed"
    assert desk.left_over() == []


def test_many_threads_and_mappings_are_no_want_of_memory(desk, make_step):
    """Address space is not limited: a hundred threads and 4 GiB of mappings fit beside a small limit for data."""
    steps = [
        make_step("wide", "misbehaving", deed="spread", text=""),
        make_step("out", "file_writer", "write", ["wide"], path="output/x.txt"),
    ]
    config = load_config(desk.project, {"OSIRIS_RUN__MEMORY": "200MB"})
    result = desk.run(desk.plan(steps), config=config)
    assert (result.status, result.diagnostics) == ("complete", ())
    assert (desk.project.root / "output" / "x.txt").read_text().split() == ["1"]


def test_a_description_that_needs_too_much_says_so(desk, make_step):
    """No step is running then, so the job is named."""
    steps = [make_step("bad", "misbehaving", deed="grow_when_described", text="")]
    job = desk.job("describe", steps)
    with desk.worker() as link:
        end = link.ask(job, Secrets(), lambda _event: None)
    assert not end["ok"]
    assert [item["code"] for item in end["diagnostics"]] == ["RUN045"]
