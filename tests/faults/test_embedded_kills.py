"""Kills while rows are written to a database: the same command then converges, nothing is lost or duplicated."""

import json
import random
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import duckdb
import pytest
from tests.chance import FEW, MANY, draw_seed, say_tried
from tests.faults.server_kills import kill

HOST = Path(__file__).with_name("host.py")
ROWS = 15_000
FAMILIES = ("duckdb", "sqlite")
MODES = {"append": {}, "replace": {}, "upsert": {"primary_key": ["id"]}}
ONCE = 'SELECT count(*), count(DISTINCT id) FROM "{}"'
EVENLY = "SELECT count(*), min(times), max(times) FROM (SELECT count(*) AS times FROM append GROUP BY id) AS counted"
LEDGER = 'SELECT count(*), count(DISTINCT run_key), sum("rows") FROM _osiris_ledger'


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "rows.csv"
    with path.open("w") as file:
        file.write("id,name,amount\n")
        file.writelines(f"{n},name {n * n % 9973},{n % 10_000 / 100:.2f}\n" for n in range(ROWS))
    return path


@pytest.fixture
def plan(desk, make_step, source):
    """One table per write mode in a database of each family; none of them exists yet."""
    (desk.project.root / "rows.csv").hardlink_to(source)
    steps = [make_step("rows", "filesystem.csv_extractor", path="rows.csv")]
    for family in FAMILIES:
        for mode, config in MODES.items():
            name = f"{family}-{mode}"
            step = make_step(name, f"{family}.writer", "write", ["rows"], table=mode, write_mode=mode, **config)
            steps.append({**step, "connection": f"@{family}.target"})
    connections = {f"@{family}.target": {"path": f"output/{family}.db"} for family in FAMILIES}
    return desk.write_plan(steps, connections)


def start(desk, plan, run_id):
    return subprocess.Popen(
        [desk.python, HOST, desk.project.root, plan, run_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(desk, plan, run_id):
    """Run to the end; returns the duration and the events."""
    began = time.monotonic()
    host = start(desk, plan, run_id)
    output, error = host.communicate(timeout=300)
    assert host.returncode == 0, (output.decode()[-2000:], error.decode())
    return time.monotonic() - began, [json.loads(line) for line in output.splitlines()]


def kill_after(host, seconds):
    """Kill all processes of a run after a while."""
    time.sleep(seconds)
    children = Path(f"/proc/{host.pid}/task/{host.pid}/children")
    workers = children.read_text().split() if host.poll() is None else []
    kill(host.pid, *map(int, workers))
    _, error = host.communicate(timeout=300)
    assert b"Traceback" not in error, error.decode()


def ask(desk, family, query):
    path = desk.project.root / "output" / f"{family}.db"
    client = duckdb.connect(str(path), read_only=True) if family == "duckdb" else sqlite3.connect(path)
    try:
        return client.execute(query).fetchone()
    finally:
        client.close()


def assert_whole(desk, runs):
    """Each run has delivered once: appended rows exist once per run, others as after one run."""
    for family in FAMILIES:
        assert ask(desk, family, EVENLY) == (ROWS, runs, runs)
        for mode in ("replace", "upsert"):
            assert ask(desk, family, ONCE.format(mode)) == (ROWS, ROWS)
        assert ask(desk, family, LEDGER) == (3 * runs, runs, 3 * ROWS * runs)
    assert desk.left_over() == []


def kill_and_converge(desk, plan, number):
    seed = draw_seed()
    chance = random.Random(seed)
    whole, _ = finish(desk, plan, "reference")
    assert_whole(desk, 1)
    continued, repeated, runs = 0, 0, 1
    for turn in range(number):
        if turn % 3 == 0:
            for path in (desk.project.root / "output").iterdir():
                path.unlink()
            runs = 0
        kill_after(start(desk, plan, f"turn-{turn}"), chance.uniform(0.1, 1.1) * whole)
        whole, events = finish(desk, plan, f"turn-{turn}")
        runs += 1
        assert_whole(desk, runs)
        continued += any(event.get("continues") for event in events)
        repeated += sum(event["event"] == "already_delivered" for event in events)
    say_tried("kills while DuckDB and SQLite are written, each in append, replace and upsert", number)
    print(f"{continued} of {number} continued, {repeated} steps found delivered, one run takes {whole:.2f} s")


def test_some_kills(desk, plan):
    kill_and_converge(desk, plan, FEW)


@pytest.mark.long
def test_many_kills(desk, plan):
    kill_and_converge(desk, plan, MANY)


def test_what_was_delivered_and_not_noted_is_not_delivered_again(desk, plan):
    """As after a kill between the end of the transaction and the host's record of it."""
    _, first = finish(desk, plan, "nightly")
    shutil.rmtree(desk.project.logs)
    _, second = finish(desk, plan, "nightly")
    assert_whole(desk, 1)
    assert sum(event["event"] == "already_delivered" for event in second) == 6
    written = {e["step"]: e for e in first if e["event"] == "step_complete"}
    skipped = {e["step"]: e["rows_out"] for e in second if e["event"] == "step_skipped"}
    (path,) = desk.project.logs.glob("*/run.json")
    deliveries = json.loads(path.read_text())["deliveries"]
    for name in (f"{family}-{mode}" for family in FAMILIES for mode in MODES):
        assert (skipped[name], deliveries[name]["rows"]) == (0, ROWS)
        assert deliveries[name]["digest"] == written[name]["digest"]


def test_what_another_plan_delivered_under_the_same_run_id_is_refused(desk, plan):
    finish(desk, plan, "nightly")
    shutil.rmtree(desk.project.logs)
    data = json.loads(plan.read_text())
    plan.write_text(json.dumps({**data, "fingerprint": "0" * 64}))
    host = start(desk, plan, "nightly")
    output, _ = host.communicate(timeout=300)
    assert host.returncode == 1
    assert "DRV014" in json.loads(output.splitlines()[-1])["codes"]
    assert_whole(desk, 1)
