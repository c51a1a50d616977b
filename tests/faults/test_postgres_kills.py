"""Kills while rows go into PostgreSQL: the same command afterwards converges, nothing is lost, nothing comes twice."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from tests.servers import start_postgres

HOST = Path(__file__).with_name("host.py")
ROWS = 30_000
MODES = {"append": {}, "replace": {}, "upsert": {"primary_key": ["id"]}}
ONCE = "SELECT count(*), count(DISTINCT id) FROM {}"
EVENLY = "SELECT count(*), min(times), max(times) FROM (SELECT count(*) AS times FROM append GROUP BY id) AS counted"
LEDGER = """SELECT count(*), count(DISTINCT run_key), sum("rows"), min(length(digest)) > 2 FROM _osiris_ledger"""
TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^(pg_cat|info)'"
OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'osiris'"
PATIENCE = 10


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "rows.csv"
    with path.open("w") as file:
        file.write("id,name,amount\n")
        file.writelines(f"{n},name {n * n % 9973},{n % 10_000 / 100:.2f}\n" for n in range(ROWS))
    return path


class Target:
    """A database of a server that is written by a role without other rights."""

    def __init__(self, server):
        self.server, self.name = server, server.new_database()
        if not self.ask("SELECT 1 FROM pg_roles WHERE rolname = 'loader'"):
            server.run("CREATE ROLE loader LOGIN PASSWORD 'first secret'")
        server.run("GRANT CREATE ON SCHEMA public TO loader", database=self.name)

    def ask(self, query):
        with self.server.connect(self.name) as connection:
            return connection.execute(query).fetchall()

    @property
    def fields(self):
        told = {**self.server.fields(self.name), "user": "loader", "password": "first secret"}
        return {name: told[name] for name in ("host", "port", "database", "user", "password")}

    def empty(self):
        for (name,) in self.ask(TABLES):
            self.server.run(f"DROP TABLE public.{name}", database=self.name)

    def gone(self):
        """Wait until the sessions of killed workers have ended."""
        until = time.monotonic() + PATIENCE
        while (found := self.ask(OURS)) and time.monotonic() < until:
            time.sleep(0.02)
        return not found


@pytest.fixture
def target(postgres):
    return Target(postgres)


@pytest.fixture
def make_plan(desk, make_step, source):
    """`make_plan(target)`: one table per write mode; none of them is there yet."""

    def make(target, modes=MODES):
        (desk.project.root / "rows.csv").symlink_to(source)
        steps = [make_step("rows", "filesystem.csv_extractor", path="rows.csv")]
        for mode in modes:
            step = make_step(mode, "postgres.writer", "write", ["rows"], table=mode, write_mode=mode, **MODES[mode])
            steps.append({**step, "connection": "@postgres.target"})
        data = {**desk.plan(steps).data, "connections": {"@postgres.target": target.fields}}
        path = desk.project.root / "plan.json"
        path.write_text(json.dumps(data))
        return path

    return make


def start(desk, plan, run_id):
    return subprocess.Popen(
        [desk.python, HOST, desk.project.root, plan, run_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(desk, plan, run_id):
    """Run to the end; returns how long it took, and the events."""
    began = time.monotonic()
    host = start(desk, plan, run_id)
    output, error = host.communicate(timeout=60)
    assert host.returncode == 0, (output.decode()[-2000:], error.decode())
    return time.monotonic() - began, [json.loads(line) for line in output.splitlines()]


def workers_of(host):
    children = Path(f"/proc/{host.pid}/task/{host.pid}/children")
    return [int(pid) for pid in children.read_text().split()] if host.poll() is None else []


def kill_after(host, seconds, chance):
    """Kill everything that belongs to a run, or its worker only, after a while."""
    time.sleep(seconds)
    workers = workers_of(host)
    for pid in chance.choice([[host.pid, *workers], workers]):
        if host.poll() is None:
            os.kill(pid, signal.SIGKILL)
    _, error = host.communicate(timeout=60)
    assert b"Traceback" not in error, error.decode()


def assert_whole(desk, target, runs):
    """Each of the runs has delivered once: what is appended is there as often, the rest as if there was one run."""
    assert target.gone()
    assert target.ask(EVENLY) == [(ROWS, runs, runs)]
    for mode in ("replace", "upsert"):
        assert target.ask(ONCE.format(mode)) == [(ROWS, ROWS)]
    assert target.ask(LEDGER) == [(3 * runs, runs, 3 * ROWS * runs, True)]
    assert sorted(target.ask(TABLES)) == [("_osiris_ledger",), ("append",), ("replace",), ("upsert",)]
    assert desk.left_over() == []


def kill_and_converge(desk, plan, target, number):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
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
    print(f"{repeated} steps of {number} runs found delivered, one run takes {whole:.2f} s")


def test_some_kills(desk, make_plan, target):
    kill_and_converge(desk, make_plan(target), target, 5)


@pytest.mark.long
def test_many_kills(desk, make_plan, target):
    kill_and_converge(desk, make_plan(target), target, 50)


def test_what_was_delivered_and_not_noted_is_not_delivered_again(desk, make_plan, target):
    """As after a kill between the end of the transaction and the host's note of it."""
    plan = make_plan(target)
    _, first = finish(desk, plan, "nightly")
    shutil.rmtree(desk.project.logs)
    _, second = finish(desk, plan, "nightly")
    assert_whole(desk, target, 1)
    assert sum(event["event"] == "already_delivered" for event in second) == 3
    ends = [{e["step"]: e for e in events if e["event"] == "step_complete"} for events in (first, second)]
    for name in MODES:
        assert ends[1][name]["rows_out"] == ROWS
        assert ends[1][name]["digest"] == ends[0][name]["digest"]


def test_two_runs_at_once(desk, make_plan, target):
    """From two projects that know nothing of each other: only the database keeps them apart."""
    plan = make_plan(target)
    other = desk.project.root.with_name(desk.project.root.name + "-other")
    shutil.copytree(desk.project.root, other, symlinks=True)
    hosts = [
        subprocess.Popen([desk.python, HOST, root, plan, "nightly"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for root in (desk.project.root, other)
    ]
    for host in hosts:
        output, error = host.communicate(timeout=60)
        assert host.returncode == 0, (output.decode()[-2000:], error.decode())
    assert_whole(desk, target, 1)
    shutil.rmtree(other)


def crash(target, seen):
    """Kill a session's process while it writes: the server ends all others, and begins again from its log."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and not seen:
        seen += target.ask(f"{OURS} AND state = 'active' AND query ~ '^COPY'")
    for (pid,) in seen[:1]:
        os.kill(pid, signal.SIGKILL)


def test_a_server_that_dies_and_comes_back(desk, make_plan):
    with start_postgres("synchronous_commit=off") as server:
        target = Target(server)
        plan = make_plan(target)
        for turn in range(3):
            seen = []
            killer = threading.Thread(target=crash, args=(target, seen))
            killer.start()
            host = start(desk, plan, f"turn-{turn}")
            output, _ = host.communicate(timeout=60)
            killer.join()
            assert seen, "no COPY was seen"
            assert host.returncode == 3, output.decode()[-2000:]
            assert "CON014" in json.loads(output.splitlines()[-1])["codes"]
            assert b"first secret" not in output
            answer(target)
            finish(desk, plan, f"turn-{turn}")
            assert_whole(desk, target, turn + 1)


def answer(target):
    """Wait until the server is there again."""
    import psycopg

    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            target.ask("SELECT 1")
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
