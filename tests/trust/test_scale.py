"""Sizes: memory stays flat over rows; many steps, columns, runs and large cells work or get a clear error."""

import json
import subprocess
import sys
from itertools import pairwise

import duckdb
import pyarrow.parquet as parquet
import pytest
from tests.chance import say_tried

pytestmark = pytest.mark.trust

MB = 1_000_000


class Shop:
    """A project; `run` compiles and runs one pipeline of it."""

    def __init__(self, folder, osiris):
        self.folder, self.osiris = folder, osiris
        assert osiris("init", str(folder), cwd=folder.parent).returncode == 0

    def __call__(self, *words, ok=True, **env):
        done = self.osiris(*words, "--json", cwd=self.folder, env=env, timeout=3600)
        assert (done.returncode == 0) == ok, done.stdout[-2000:] + done.stderr[-2000:]
        return json.loads(done.stdout)

    def write(self, name, steps):
        text = json.dumps({"oml_version": "0.1.0", "name": name, "steps": steps})
        (self.folder / "pipelines" / f"{name}.yaml").write_text(text)
        return f"pipelines/{name}.yaml"

    def peak(self, session):
        lines = (self.folder / "logs" / session / "metrics.jsonl").read_text().splitlines()
        return max(m["value"] for m in map(json.loads, lines) if m["metric"] == "peak_memory_bytes")


@pytest.fixture
def shop(tmp_path, osiris):
    return Shop(tmp_path / "shop", osiris)


def step(name, component, mode, needs=(), **config):
    return {"id": name, "component": component, "mode": mode, "needs": list(needs), "config": config}


def through_sql(path, query, target):
    return [
        step("rows", "filesystem.parquet_extractor", "read", path=path),
        step("some", "duckdb.processor", "transform", ["rows"], query=query),
        step("out", "filesystem.parquet_writer", "write", ["some"], path=target),
    ]


def peak_of(shop, rows):
    """Return the peak memory of a run over that many rows, after checking its output."""
    source, target = f"data/{rows}.parquet", f"output/{rows}.parquet"
    made = f"SELECT range AS id, (hash(range) % 1000)::INTEGER AS n FROM range({rows})"
    duckdb.sql(f"COPY ({made}) TO '{shop.folder / source}' (FORMAT parquet)")
    file = shop.write(f"rows_{rows}", through_sql(source, "SELECT id, n + 1 AS n FROM rows WHERE n <> 7", target))
    done = shop("run", file)["data"]
    found = duckdb.sql(f"SELECT count(*), sum(id), sum(n) FROM '{shop.folder / target}'").fetchall()
    assert found == duckdb.sql(f"SELECT count(*), sum(id), sum(n + 1) FROM ({made}) WHERE n <> 7").fetchall()
    return shop.peak(done["session"])


def test_memory_is_flat_over_rows(shop):
    few, many = 2_000_000, 8_000_000
    grown = peak_of(shop, many) - peak_of(shop, few)
    assert grown < 60 * MB  # rows of this size would be 96 MB
    say_tried("rows through SQL in flat memory", many)


@pytest.mark.long
def test_memory_is_flat_over_a_hundred_million_rows(shop):
    peaks = [peak_of(shop, rows) for rows in (10**7, 10**8)]
    print([round(peak / MB) for peak in peaks])
    assert peaks[1] - peaks[0] < 9 * 10 * MB
    say_tried("rows through SQL in flat memory", 10**8)


def chain(length):
    first = step("s0", "filesystem.csv_extractor", "read", path="data/orders.csv")
    middle = [
        step(f"s{n}", "duckdb.processor", "transform", [f"s{n - 1}"], query=f"SELECT * FROM s{n - 1}")
        for n in range(1, length - 1)
    ]
    return [first, *middle, step("out", "filesystem.csv_writer", "write", [f"s{length - 2}"], path="output/out.csv")]


@pytest.mark.parametrize("length", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_many_steps_in_a_chain_compile(shop, length):
    found = shop("compile", shop.write("chain", chain(length)))
    assert found["ok"]
    say_tried("steps in a chain, compiled", length)


def test_hundreds_of_steps_in_a_chain_run(shop):
    shop("run", shop.write("chain", chain(300)))
    assert (shop.folder / "output/out.csv").read_bytes() == (shop.folder / "data/orders.csv").read_bytes()


def test_thousands_of_columns(shop):
    names = [f"c{n}" for n in range(4096)]
    row = [str(n * 7) for n in range(4096)]
    (shop.folder / "data/wide.csv").write_text(f"{','.join(names)}\n{','.join(row)}\n")
    shop("run", shop.write("wide", [
        step("rows", "filesystem.csv_extractor", "read", path="data/wide.csv"),
        step("some", "duckdb.processor", "transform", ["rows"], query="SELECT * FROM rows"),
        step("out", "filesystem.parquet_writer", "write", ["some"], path="output/wide.parquet"),
    ]))  # fmt: skip
    table = parquet.read_table(shop.folder / "output/wide.parquet")
    assert (table.column_names, [str(v) for v in table.to_pylist()[0].values()]) == (names, row)
    say_tried("columns of a table", 4096)


@pytest.mark.parametrize("size", [40 * MB, pytest.param(100 * MB, marks=pytest.mark.long)])
@pytest.mark.parametrize("query", [None, "SELECT * FROM rows", "SELECT count(*) AS n FROM rows"])
def test_a_huge_cell_is_carried_whole_or_refused(shop, size, query):
    """Whichever engine reads the file: no row with it may be missing."""
    with (shop.folder / "data/huge.csv").open("w") as file:
        file.write("id,text\n1,a\n2,")
        for _ in range(size // MB):
            file.write("x" * MB)
        file.write("\n3,b\n")
    steps = [step("rows", "filesystem.csv_extractor", "read", path="data/huge.csv")]
    if query:
        steps.append(step("some", "duckdb.processor", "transform", ["rows"], query=query))
    steps.append(step("out", "filesystem.parquet_writer", "write", [steps[-1]["id"]], path="output/huge.parquet"))
    done = shop.osiris("run", shop.write("huge", steps), "--json", cwd=shop.folder, timeout=3600)
    answer = json.loads(done.stdout)
    codes = [each["code"] for each in answer["diagnostics"] if each["severity"] == "error"]
    if done.returncode == 0:
        table = parquet.read_table(shop.folder / "output/huge.parquet")
        expected = [{"n": 3}] if query and "count" in query else [(1, 1), (2, size), (3, 1)]
        found = (
            table.to_pylist() if "n" in table.column_names else [(r["id"], len(r["text"])) for r in table.to_pylist()]
        )
        assert found == expected
    assert done.returncode == 0 or (codes and "INT000" not in codes)
    say_tried("rows with a huge cell", 3)


RUNS = """
import json, os, resource, sys, threading
from pathlib import Path
from osiris.cli.main import main

def state():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"files": len(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
            "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
            "memory": pages * resource.getpagesize(),
            "scratch": sum(1 for _ in Path(".osiris").rglob("*") if "scratch" in str(_) or "spools" in str(_))}

said, sys.stdout = sys.stdout, open(os.devnull, "w")
for number in range(int(sys.argv[1])):
    assert main(["run", "--new-run", "pipelines/example.yaml"]) == 0
    if number in (9, int(sys.argv[1]) - 1):
        print(json.dumps(state()), file=said, flush=True)
"""


@pytest.mark.parametrize("runs", [30, pytest.param(500, marks=pytest.mark.long)])
def test_runs_in_one_process_leave_nothing_behind(shop, runs):
    command = [sys.executable, "-c", RUNS, str(runs)]
    done = subprocess.run(command, cwd=shop.folder, capture_output=True, text=True, check=False, timeout=3600)
    assert done.returncode == 0, done.stderr[-2000:]
    states = [json.loads(line) for line in done.stdout.splitlines()]
    for early, late in pairwise(states):
        assert {k: late[k] for k in ("files", "threads", "children", "scratch")} == {
            k: early[k] for k in ("files", "threads", "children", "scratch")
        }
        assert late["memory"] - early["memory"] < 20 * MB
    say_tried("runs in one process without a leak", runs)
