"""Kills while rows are written to PostgreSQL: the same command then converges, nothing is lost or duplicated."""

import json
import os
import signal
import threading
import time

import psycopg
import pytest
from tests.chance import FEW, MANY
from tests.faults import server_kills as kills
from tests.servers import start_postgres

_UNTIL_COPY = 120
"""Seconds until a run is at its first COPY, on a busy machine."""


class Target(kills.Target):
    """A database of PostgreSQL."""

    family, quote = "postgres", '"'
    ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'osiris'"
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^(pg_cat|info)'"

    def admit(self):
        if not self.ask("SELECT 1 FROM pg_roles WHERE rolname = 'loader'"):
            self.server.run(f"CREATE ROLE loader LOGIN PASSWORD '{kills.SECRET}'")
        self.server.run("GRANT CREATE ON SCHEMA public TO loader", database=self.name)


@pytest.fixture
def target(postgres):
    return Target(postgres)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return kills.write_source(tmp_path_factory.mktemp("source") / "rows.csv")


@pytest.fixture
def make_plan(desk, make_step, source):
    """`make_plan(target)`: one table per write mode; none of them exists yet."""
    return lambda target: kills.write_plan(desk, make_step, source, target)


def test_some_kills(desk, make_plan, target):
    kills.kill_and_converge(desk, make_plan(target), target, FEW)


@pytest.mark.long
def test_many_kills(desk, make_plan, target):
    kills.kill_and_converge(desk, make_plan(target), target, MANY)


def test_what_was_delivered_and_not_noted_is_not_delivered_again(desk, make_plan, target):
    kills.deliver_what_is_not_noted(desk, make_plan(target), target)


def test_two_runs_at_once(desk, make_plan, target):
    kills.run_twice_at_once(desk, make_plan(target), target)


def crash(target, seen):
    """Kill a session's process while it writes: the server ends all others, and recovers from its log."""
    until = time.monotonic() + _UNTIL_COPY
    while time.monotonic() < until and not seen:
        seen += target.ask(f"{target.ours} AND state = 'active' AND query ~ '^COPY'")
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
            host = kills.start(desk, plan, f"turn-{turn}")
            output, _ = host.communicate(timeout=300)
            killer.join()
            assert seen, "no COPY was seen"
            assert host.returncode == 3, output.decode()[-2000:]
            assert "CON014" in json.loads(output.splitlines()[-1])["codes"]
            assert kills.SECRET.encode() not in output
            target.answer(psycopg.OperationalError)
            kills.finish(desk, plan, f"turn-{turn}")
            kills.assert_whole(desk, target, turn + 1)
