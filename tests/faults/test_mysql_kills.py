"""Kills while rows are written to MySQL: the same command then converges, nothing is lost or duplicated."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pymysql
import pytest
from tests.chance import FEW, MANY
from tests.faults import server_kills as kills
from tests.patience import SOON, wait_until
from tests.servers import start_mariadb


class Target(kills.Target):
    """A database of MariaDB."""

    family, quote = "mysql", "`"
    ours = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'loader'"
    tables = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"

    def admit(self):
        rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, CREATE TEMPORARY TABLES"
        self.server.run(
            f"CREATE USER IF NOT EXISTS loader@'%' IDENTIFIED BY '{kills.SECRET}'",
            f"GRANT {rights} ON `{self.name}`.* TO loader@'%'",
        )


class Direct(Target):
    """A database whose role sees enough of the server that an upsert goes directly into the table."""

    ours = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'replacer'"

    def admit(self):
        self.name = self.name.replace(" ", "_")
        self.server.run(
            f"CREATE DATABASE {self.name}",
            f"CREATE USER IF NOT EXISTS replacer@'%' IDENTIFIED BY '{kills.SECRET}'",
            f"GRANT ALL PRIVILEGES ON {self.name}.* TO replacer@'%'",
            "GRANT DELETE, PROCESS, TRIGGER ON *.* TO replacer@'%'",
        )

    @property
    def fields(self):
        return super().fields | {"user": "replacer"}


@pytest.fixture
def target(mariadb):
    return Target(mariadb)


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
def test_some_kills_while_rows_are_replaced(desk, make_plan, mariadb):
    target = Direct(mariadb)
    kills.kill_and_converge(desk, make_plan(target), target, FEW)


@pytest.mark.long
def test_many_kills(desk, make_plan, target):
    kills.kill_and_converge(desk, make_plan(target), target, MANY)


def test_what_was_delivered_and_not_noted_is_not_delivered_again(desk, make_plan, target):
    kills.deliver_what_is_not_noted(desk, make_plan(target), target)


def test_two_runs_at_once(desk, make_plan, target):
    kills.run_twice_at_once(desk, make_plan(target), target)


def crash(target, pid, seen):
    """Kill the server while rows are written to it."""
    until = time.monotonic() + 2 * SOON
    with target.server.connect(target.name) as connection, connection.cursor() as cursor:
        while time.monotonic() < until and not seen:
            cursor.execute(f"{target.ours} AND INFO LIKE 'LOAD DATA%'")
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


@pytest.mark.long
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
                host = kills.start(desk, plan, f"turn-{turn}")
                output, _ = host.communicate(timeout=300)
                killer.join()
                assert seen, "no LOAD DATA was seen"
                assert host.returncode == 3, output.decode()[-2000:]
                assert {"CON011", "CON014"} & set(json.loads(output.splitlines()[-1])["codes"])
                assert kills.SECRET.encode() not in output
                begun.append(subprocess.Popen(command, user=user, cwd=server.folder, stderr=subprocess.DEVNULL))
                wait_until(lambda: target.answers(pymysql.OperationalError))
                kills.finish(desk, plan, f"turn-{turn}")
                kills.assert_whole(desk, target, turn + 1)
        finally:
            for process in begun:
                process.kill()
                process.wait()
