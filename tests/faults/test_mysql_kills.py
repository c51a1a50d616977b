"""Kills while rows go into MySQL: the same command afterwards converges, nothing is lost, nothing comes twice."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pymysql
import pytest
from tests.servers import start_mariadb

HOST = Path(__file__).with_name("host.py")
ROWS = 30_000
MODES = {"append": {}, "replace": {}, "upsert": {"primary_key": ["id"]}}
ONCE = "SELECT COUNT(*), COUNT(DISTINCT id) FROM `{}`"
EVENLY = "SELECT COUNT(*), MIN(times), MAX(times) FROM (SELECT COUNT(*) AS times FROM append GROUP BY id) AS counted"
LEDGER = "SELECT COUNT(*), COUNT(DISTINCT run_key), SUM(`rows`), MIN(LENGTH(digest)) > 2 FROM _osiris_ledger"
TABLES = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
OURS = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'loader'"
SECRET = "first secret"
PATIENCE = 10


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "rows.csv"
    with path.open("w") as file:
        file.write("id,name,amount\n")
        file.writelines(f"{n},name {n * n % 9973},{n % 10_000 / 100:.2f}\n" for n in range(ROWS))
    return path


class Target:
    """A database of a server that is written by a user without other rights."""

    def __init__(self, server):
        self.server, self.name = server, server.new_database()
        rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, CREATE TEMPORARY TABLES"
        server.run(
            f"CREATE USER IF NOT EXISTS loader@'%' IDENTIFIED BY '{SECRET}'",
            f"GRANT {rights} ON `{self.name}`.* TO loader@'%'",
        )

    def ask(self, query):
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    @property
    def fields(self):
        told = {**self.server.fields(self.name), "user": "loader", "password": SECRET}
        return {name: told[name] for name in ("host", "port", "database", "user", "password")}

    def empty(self):
        for (name,) in self.ask(TABLES):
            self.server.run(f"DROP TABLE `{name}`", database=self.name)

    def gone(self):
        """Wait until the sessions of killed workers have ended."""
        until = time.monotonic() + PATIENCE
        while (found := self.ask(OURS)) and time.monotonic() < until:
            time.sleep(0.02)
        return not found


@pytest.fixture
def target(mariadb):
    return Target(mariadb)


@pytest.fixture
def make_plan(desk, make_step, source):
    """`make_plan(target)`: one table per write mode; none of them is there yet."""

    def make(target):
        (desk.project.root / "rows.csv").symlink_to(source)
        steps = [make_step("rows", "filesystem.csv_extractor", path="rows.csv")]
        for mode, config in MODES.items():
            step = make_step(mode, "mysql.writer", "write", ["rows"], table=mode, write_mode=mode, **config)
            steps.append({**step, "connection": "@mysql.target"})
        data = {**desk.plan(steps).data, "connections": {"@mysql.target": target.fields}}
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
    assert SECRET.encode() not in output + error
    return time.monotonic() - began, [json.loads(line) for line in output.splitlines()]


def kill_after(host, seconds, chance):
    """Kill everything that belongs to a run, or its worker only, after a while."""
    time.sleep(seconds)
    children = Path(f"/proc/{host.pid}/task/{host.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()] if host.poll() is None else []
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


def crash(target, pid, seen):
    """Kill the server while rows go into it."""
    until = time.monotonic() + PATIENCE
    with target.server.connect(target.name) as connection, connection.cursor() as cursor:
        while time.monotonic() < until and not seen:
            cursor.execute(f"{OURS} AND INFO LIKE 'LOAD DATA%'")
            seen += cursor.fetchall()
        os.kill(pid, signal.SIGKILL)


def server_process(folder):
    """Return the process of a server, and its command and user, to start it again."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().decode().split("\0")[:-1]
        if words and words[0].endswith("mariadbd") and f"--datadir={folder}/data" in words:
            command = [word for word in words if not word.startswith("--init-file")]
            return int(path.parent.name), command, path.parent.stat().st_uid
    raise LookupError(folder)


def test_a_server_that_dies_and_comes_back(desk, make_plan):
    with start_mariadb("innodb-flush-log-at-trx-commit=1") as server:
        target = Target(server)
        plan = make_plan(target)
        begun = []
        try:
            for turn in range(3):
                pid, command, user = server_process(server.folder)
                seen = []
                killer = threading.Thread(target=crash, args=(target, pid, seen))
                killer.start()
                host = start(desk, plan, f"turn-{turn}")
                output, _ = host.communicate(timeout=60)
                killer.join()
                assert seen, "no LOAD DATA was seen"
                assert host.returncode == 3, output.decode()[-2000:]
                assert {"CON011", "CON014"} & set(json.loads(output.splitlines()[-1])["codes"])
                assert SECRET.encode() not in output
                begun.append(subprocess.Popen(command, user=user, cwd=server.folder, stderr=subprocess.DEVNULL))
                answer(target)
                finish(desk, plan, f"turn-{turn}")
                assert_whole(desk, target, turn + 1)
        finally:
            for process in begun:
                process.kill()
                process.wait()


def answer(target):
    """Wait until the server is there again."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            target.ask("SELECT 1")
        except pymysql.OperationalError:
            time.sleep(0.05)
        else:
            return
