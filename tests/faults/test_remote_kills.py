"""Kills while a run works on E2B: its report is true, partial output does not count, and a rerun converges."""

import json
import os
import random
import shutil
import subprocess
import time

import pytest
from tests.chance import MANY, draw_seed, say_tried
from tests.conftest import KEPT, OSIRIS
from tests.faults.server_kills import kill
from tests.parity import told
from tests.parity.cases import AFTER_ORDERS, READ, Case, lay_out, sql, to, write

COUNTED = "SELECT count(*) AS n FROM orders a, orders b, orders c, orders d, orders e"
STEPS = (
    READ,
    write(path="output/first.csv", name="first", needs=AFTER_ORDERS),
    to("sqlite", "orders", name="second", connection="made", needs="needs: [orders, first],"),
    sql(COUNTED, more="needs: [orders, second],"),
    write(path="output/last.csv"),
)
HALF_A_SECOND = 0.5


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "project"
    lay_out(made)
    (made / "case.yaml").write_text(Case(STEPS).text("case"))
    return made


def begin(folder, service):
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    env = kept | service.environment
    words = [OSIRIS, "run", "case.yaml", "--e2b", "--json"]
    return subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def strike(what, host, service, sandbox):
    """Kill one of the four."""
    if what == "host":
        host.kill()
    elif what == "worker":
        for pid in sandbox.pids() if sandbox else ():
            if b"osiris.runner.worker" in cmdline(pid):
                kill(pid)
    elif what == "connection":
        service.faults.cut_output(after=10, times=3)
        with service.unreachable(api=False):
            time.sleep(HALF_A_SECOND)
    elif sandbox:
        sandbox.kill()


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def check_truth(folder):
    """Every recorded delivery exists completely, and nothing else does."""
    for session in sorted((folder / "logs").glob("*")):
        if not (session / "run.json").exists():
            continue
        summary = json.loads((session / "run.json").read_text())
        for output in summary["outputs"].values():
            for file in output.get("files", ()):
                assert (folder / file["path"]).stat().st_size == file["size"]
    for path in (folder / "output").glob("*.csv") if (folder / "output").exists() else ():
        assert path.read_bytes().endswith(b"\n")


def sweep(sandboxes):
    """Remove the files of dead sandboxes, so that they do not pile up until the end of the service."""
    for sandbox in sandboxes:
        if not sandbox.alive:
            shutil.rmtree(sandbox.tree, ignore_errors=True)


def kill_and_converge(folder, service, times):
    seed = draw_seed()
    chance, first = random.Random(seed), len(service.sandboxes)
    for turn in range(times):
        host = begin(folder, service)
        time.sleep(chance.uniform(2.0, 8.0))
        alive = [sandbox for sandbox in service.sandboxes[first:] if sandbox.alive]
        strike(("host", "worker", "connection", "service")[turn % 4], host, service, alive[-1] if alive else None)
        host.communicate(timeout=300)
        service.faults.clear()
        check_truth(folder)
        sweep(service.sandboxes[first:])
    say_tried("kills of host, worker, connection and service of a sandbox, files and SQLite written", times)
    for sandbox in service.sandboxes[first:]:
        sandbox.kill()
    last = begin(folder, service)
    said, err = last.communicate(timeout=300)
    assert last.returncode == 0, said + err
    check_truth(folder)
    files = told.outputs(folder)
    assert files["output/first.csv"] == files["data/orders.csv"]
    assert files["output/last.csv"] == f"n\n{40**5}\n".encode()
    assert len(files["output/made.sqlite"]["orders"]) == 40 * len(
        {row[0] for row in files["output/made.sqlite"][told.LEDGER]}
    )
    assert not list(folder.glob("output/.*"))


def test_some_kills(folder, e2b):
    kill_and_converge(folder, e2b, 5)


@pytest.mark.long
def test_many_kills(folder, e2b):
    kill_and_converge(folder, e2b, MANY)
