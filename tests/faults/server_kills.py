"""Kills while rows are written to a server: the loop that its families share. A target returns what it contains."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.chance import draw_seed, say_tried
from tests.patience import wait_until

HOST = Path(__file__).with_name("host.py")
ROWS = 30_000
MODES = {"append": {}, "replace": {}, "upsert": {"primary_key": ["id"]}}
SECRET = "first secret"


def write_source(path):
    """Write the rows that every run delivers."""
    with path.open("w") as file:
        file.write("id,name,amount\n")
        file.writelines(f"{n},name {n * n % 9973},{n % 10_000 / 100:.2f}\n" for n in range(ROWS))
    return path


class Target:
    """A database of a server that is written by a role without other privileges; a family defines the queries."""

    family: str
    quote: str
    ours: str
    tables: str

    def __init__(self, server):
        self.server, self.name = server, server.new_database()
        self.admit()

    def admit(self):
        """Allow the role `loader` to log in."""
        raise NotImplementedError

    def ask(self, query):
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    @property
    def fields(self):
        told = {**self.server.fields(self.name), "user": "loader", "password": SECRET}
        return {name: told[name] for name in ("host", "port", "database", "user", "password")}

    def empty(self):
        for (name,) in self.ask(self.tables):
            self.server.run(f"DROP TABLE {self.quote}{name}{self.quote}", database=self.name)

    def gone(self):
        """Wait until the sessions of killed workers have ended."""
        wait_until(lambda: not self.ask(self.ours))

    def answers(self, error):
        """Return whether the server answers; `error` is what its client library raises if it does not."""
        with suppress(error):
            return bool(self.ask("SELECT 1"))
        return False


def write_plan(desk, make_step, source, target):
    """Write a plan with one table per write mode, none of which exists yet; returns its path."""
    (desk.project.root / "rows.csv").hardlink_to(source)
    steps = [make_step("rows", "filesystem.csv_extractor", path="rows.csv")]
    for mode, config in MODES.items():
        step = make_step(mode, f"{target.family}.writer", "write", ["rows"], table=mode, write_mode=mode, **config)
        steps.append({**step, "connection": f"@{target.family}.target"})
    return desk.write_plan(steps, {f"@{target.family}.target": target.fields})


def start(desk, plan, run_id, root=None):
    return subprocess.Popen(
        [desk.python, HOST, root or desk.project.root, plan, run_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(desk, plan, run_id):
    """Run to the end; returns the duration and the events."""
    began = time.monotonic()
    events = ended_well(start(desk, plan, run_id))
    return time.monotonic() - began, events


def ended_well(host):
    output, error = host.communicate(timeout=300)
    assert host.returncode == 0, (output.decode()[-2000:], error.decode())
    assert SECRET.encode() not in output + error
    return [json.loads(line) for line in output.splitlines()]


def kill(*processes):
    """Kill processes by their ids; a worker ends with its host, maybe before it is killed."""
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_after(host, seconds, chance):
    """Kill all processes of a run, or its worker only, after a while."""
    time.sleep(seconds)
    children = Path(f"/proc/{host.pid}/task/{host.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()] if host.poll() is None else []
    kill(*chance.choice([[host.pid, *workers], workers]))
    _, error = host.communicate(timeout=300)
    assert b"Traceback" not in error, error.decode()


def assert_whole(desk, target, runs):
    """Each run has delivered once: appended rows exist once per run, others as after one run."""
    target.gone()
    evenly = (
        "SELECT COUNT(*), MIN(times), MAX(times) FROM (SELECT COUNT(*) AS times FROM append GROUP BY id) AS counted"
    )
    assert target.ask(evenly) == [(ROWS, runs, runs)]
    for mode in ("replace", "upsert"):
        name = f"{target.quote}{mode}{target.quote}"
        assert target.ask(f"SELECT COUNT(*), COUNT(DISTINCT id) FROM {name}") == [(ROWS, ROWS)]
    count = f"SUM({target.quote}rows{target.quote})"
    ledger = f"SELECT COUNT(*), COUNT(DISTINCT run_key), {count}, MIN(LENGTH(digest)) > 2 FROM _osiris_ledger"
    assert target.ask(ledger) == [(3 * runs, runs, 3 * ROWS * runs, True)]
    assert sorted(target.ask(target.tables)) == [("_osiris_ledger",), ("append",), ("replace",), ("upsert",)]
    assert desk.left_over() == []


def kill_and_converge(desk, plan, target, number):
    seed = draw_seed()
    chance = random.Random(seed)
    whole, _ = finish(desk, plan, "reference")
    assert_whole(desk, target, 1)
    repeated, runs = 0, 1
    for turn in range(number):
        if turn % 3 == 0:
            target.empty()
            runs = 0
        kill_after(start(desk, plan, f"turn-{turn}"), chance.uniform(0.1, 1.1) * whole, chance)
        whole, events = finish(desk, plan, f"turn-{turn}")
        runs += 1
        assert_whole(desk, target, runs)
        repeated += sum(event["event"] == "already_delivered" for event in events)
    say_tried(f"kills while {target.family} is written, in append, replace and upsert", number)
    print(f"{repeated} steps of {number} runs found delivered, one run takes {whole:.2f} s")


def deliver_what_is_not_noted(desk, plan, target):
    """Lose the host's record after a run, as by a kill between the end of a transaction and its record."""
    _, first = finish(desk, plan, "nightly")
    shutil.rmtree(desk.project.logs)
    _, second = finish(desk, plan, "nightly")
    assert_whole(desk, target, 1)
    assert sum(event["event"] == "already_delivered" for event in second) == 3
    written = {e["step"]: e for e in first if e["event"] == "step_complete"}
    skipped = {e["step"]: e["rows_out"] for e in second if e["event"] == "step_skipped"}
    (path,) = desk.project.logs.glob("*/run.json")
    deliveries = json.loads(path.read_text())["deliveries"]
    for name in MODES:
        assert (skipped[name], deliveries[name]["rows"]) == (0, ROWS)
        assert deliveries[name]["digest"] == written[name]["digest"]


def run_twice_at_once(desk, plan, target):
    """Run from two independent projects: only the database keeps them apart."""
    other = desk.project.root.with_name(desk.project.root.name + "-other")
    shutil.copytree(desk.project.root, other, symlinks=True)
    for host in [start(desk, plan, "nightly", root) for root in (desk.project.root, other)]:
        ended_well(host)
    assert_whole(desk, target, 1)
    shutil.rmtree(other)
