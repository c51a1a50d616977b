"""Kills while rows are written to PostgreSQL: the same command then converges, nothing is lost or duplicated."""

import json
import os
import signal

import psycopg
import pytest
from tests.chance import FEW, MANY
from tests.faults import server_kills as kills
from tests.patience import wait_until
from tests.servers import start_postgres


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


def gated_plan(desk, make_step, target):
    """Write a plan whose append waits at a gate in the middle of its COPY, before the other tables are written."""
    steps = []
    for mode, config in kills.MODES.items():
        gate = {"gate": "gate"} if mode == "append" else {"needs": ["append"]}
        steps.append(make_step(f"{mode}-rows", "numbers", rows=kills.ROWS, **gate))
        write = make_step(mode, "postgres.writer", "write", [f"{mode}-rows"], table=mode, write_mode=mode, **config)
        steps.append({**write, "connection": "@postgres.target"})
    return desk.write_plan(steps, {"@postgres.target": target.fields})


def crash(desk, target, host):
    """Kill a session's process while it writes: the server ends all others, and recovers from its log."""
    writing = f"{target.ours} AND state = 'active' AND query ~ '^COPY'"
    wait_until(lambda: (desk.project.root / "here-append-rows").exists() or host.poll() is not None)
    wait_until(lambda: target.ask(writing))
    os.kill(target.ask(writing)[0][0], signal.SIGKILL)
    (desk.project.root / "gate").touch()


def test_a_server_that_dies_and_comes_back(desk, make_step):
    with start_postgres("synchronous_commit=off") as server:
        target = Target(server)
        plan = gated_plan(desk, make_step, target)
        for turn in range(3):
            for name in ("gate", "here-append-rows"):
                (desk.project.root / name).unlink(missing_ok=True)
            host = kills.start(desk, plan, f"turn-{turn}")
            crash(desk, target, host)
            output, _ = host.communicate(timeout=300)
            assert host.returncode == 3, output.decode()[-2000:]
            assert "CON014" in json.loads(output.splitlines()[-1])["codes"]
            assert kills.SECRET.encode() not in output
            wait_until(lambda: target.answers(psycopg.OperationalError))
            kills.finish(desk, plan, f"turn-{turn}")
            kills.assert_whole(desk, target, turn + 1)
