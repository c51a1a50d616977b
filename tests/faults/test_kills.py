"""Kills at random times: the same command then converges, and nothing is left behind."""

import json
import random
import subprocess
import time
from pathlib import Path

import pytest
from tests.chance import FEW, MANY, draw_seed, say_tried
from tests.faults.server_kills import kill

from osiris.session.writing import ENDS, STEP_ENDS

HOST = Path(__file__).with_name("host.py")
ROWS = 150_000


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A CSV file of a few megabytes."""
    path = tmp_path_factory.mktemp("source") / "rows.csv"
    with path.open("w") as file:
        file.write("id,name,amount,day\n")
        for n in range(ROWS):
            file.write(f"{n},name {n * n % 9973},{n % 10_000 / 100:.2f},2026-01-{n % 28 + 1:02d}\n")
    return path


@pytest.fixture
def plan(desk, make_step, source):
    """CSV to two Parquet files, so that some kills find one of them delivered."""
    (desk.project.root / "rows.csv").hardlink_to(source)
    plan = desk.plan(
        [
            make_step("rows", "filesystem.csv_extractor", path="rows.csv"),
            make_step("first", "filesystem.parquet_writer", "write", ["rows"], path="output/first.parquet"),
            make_step("second", "filesystem.parquet_writer", "write", ["rows"], path="output/second.parquet"),
        ]
    )
    path = desk.project.root / "plan.json"
    path.write_text(json.dumps(plan.data))
    return path


def start(desk, plan, run_id):
    return subprocess.Popen(
        [desk.python, HOST, desk.project.root, plan, run_id], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill_after(host, seconds, victims):
    """Kill after a while; processes that have ended are ignored."""
    time.sleep(seconds)
    found = {"host": [host.pid], "worker": children(host.pid)}
    kill(*(pid for name in victims for pid in found[name] if host.poll() is None))
    error = host.communicate(timeout=300)[1]
    assert b"Traceback" not in error, error.decode()


def finish(desk, plan, run_id):
    """Run to the end; returns the duration."""
    began = time.monotonic()
    host = start(desk, plan, run_id)
    error = host.communicate(timeout=300)[1]
    assert host.returncode == 0, error.decode()
    return time.monotonic() - began


def content(desk):
    return [(desk.project.root / "output" / f"{name}.parquet").read_bytes() for name in ("first", "second")]


def assert_ended(folder):
    """Each start has exactly one end, and numbers have no gaps."""
    summary = folder / "run.json"
    if not summary.exists():
        assert (folder / "events.jsonl").read_bytes() == b""
        return
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    started = sorted(e["step"] for e in events if e["event"] == "step_start")
    assert sorted(e["step"] for e in events if e["event"] in STEP_ENDS) == started
    (end,) = [e["event"] for e in events if e["event"] in ENDS]
    assert events[-1]["event"] == end
    assert json.loads(summary.read_text())["status"] == ENDS[end]


def kill_and_converge(desk, plan, victims, number):
    seed = draw_seed()
    chance = random.Random(seed)
    whole = finish(desk, plan, "reference")
    expected = content(desk)
    continued = 0
    for turn in range(number):
        for path in (desk.project.root / "output").iterdir():
            path.unlink()
        kill_after(start(desk, plan, f"turn-{turn}"), chance.uniform(0, 1.15 * whole), victims)
        whole = finish(desk, plan, f"turn-{turn}")
        assert content(desk) == expected
        assert desk.left_over() == []
        last = json.loads((max(desk.project.logs.iterdir()) / "run.json").read_text())
        continued += last["continues"] is not None
        assert {step: told["rows"] for step, told in last["outputs"].items()} == {"first": ROWS, "second": ROWS}
    for folder in desk.project.logs.iterdir():
        assert_ended(folder)
    say_tried(f"kills of {' and '.join(victims)} while files are written", number)
    print(f"{victims}: {continued} of {number} continued, one run takes {whole:.2f} s")


@pytest.mark.parametrize("victims", [["host"], ["worker"], ["host", "worker"]], ids="+".join)
def test_some_kills(desk, plan, victims):
    kill_and_converge(desk, plan, victims, FEW)


@pytest.mark.long
@pytest.mark.parametrize("victims", [["host"], ["worker"], ["host", "worker"]], ids="+".join)
def test_many_kills(desk, plan, victims):
    kill_and_converge(desk, plan, victims, MANY)
