"""At each fault point that a run reaches, each time that it does, in each kind: the same command again loses nothing.

The truth is counted in the targets. A run that says that it is complete has delivered once; one that does not
is repeated, without the fault, and has then delivered once.
"""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time

import duckdb
import psycopg
import pymysql
import pytest
from tests.chance import draw_seed, say_tried
from tests.conftest import OSIRIS, kept

from osiris.fault import KINDS

ROWS = 5_000
STEP = """\
  - id: to_{name}
    component: {family}.writer
    mode: write
    inputs: {{df: "${{rows.df}}"}}
    config: {{connection: "@{family}.shop", table: orders, write_mode: append}}
"""
HEAD = """\
oml_version: "0.1.0"
name: orders
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/a.csv}}
  - id: to_file
    component: filesystem.csv_writer
    mode: write
    inputs: {df: "${rows.df}"}
    config: {path: output/b.csv}
"""


class Lab:
    """A project whose pipeline writes a file and some databases; `counts` says how many rows each has."""

    def __init__(self, folder, servers):
        self.folder, self.servers = folder, servers
        families = ["sqlite", "duckdb", *servers]
        steps = [STEP.format(name=family, family=family) for family in families]
        connections = {family: {"shop": {"path": f"data/shop.{family}"}} for family in ("sqlite", "duckdb")}
        for family, fields in servers.items():
            connections[family] = {"shop": {**fields, "password": "${SHOP_PASSWORD}"}}
            self.password = fields["password"]
        (folder / "data").mkdir(parents=True)
        (folder / "osiris.yaml").write_text("{}\n")
        (folder / "osiris_connections.yaml").write_text(json.dumps({"connections": connections}))
        (folder / "data" / "a.csv").write_text("id,name\n" + "".join(f"{n},name {n}\n" for n in range(ROWS)))
        (folder / "orders.yaml").write_text(HEAD + "".join(steps))

    def counts(self):
        found = {}
        path = self.folder / "output" / "b.csv"
        found["file"] = len(path.read_text().splitlines()) - 1 if path.exists() else 0
        query = "SELECT count(*), count(DISTINCT id) FROM orders"
        with sqlite3.connect(self.folder / "data" / "shop.sqlite") as file:
            found["sqlite"] = file.execute(query).fetchone()
        with duckdb.connect(self.folder / "data" / "shop.duckdb") as file:
            found["duckdb"] = file.execute(query).fetchone()
        for family, fields in self.servers.items():
            found[family] = _asked(family, fields, query)
        return found

    def expected(self):
        return {"file": ROWS, **dict.fromkeys(("sqlite", "duckdb", *self.servers), (ROWS, ROWS))}

    def run(self, fault="", log=None):
        env = kept() | ({"OSIRIS_FAULT": fault} if fault else {}) | {"OSIRIS_FAULT_LOG": str(log or os.devnull)}
        env |= {"SHOP_PASSWORD": str(self.password)} if self.servers else {}
        with subprocess.Popen(
            [OSIRIS, "run", "orders.yaml"],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as host:
            if fault.endswith(":hang"):
                while host.poll() is None and " hang" not in (log.read_text() if log.exists() else ""):
                    time.sleep(0.02)
                os.killpg(host.pid, signal.SIGKILL)
            told = host.communicate(timeout=120)[0].decode()
        assert "Traceback" not in told, told
        assert "INT000" not in told, told
        return host.returncode, told


def _asked(family, fields, query):
    if family == "postgres":
        names = {"dbname": fields["database"], **{k: fields[k] for k in ("host", "port", "user", "password")}}
        with psycopg.connect(**names) as connection:
            return connection.execute(query).fetchone()
    with pymysql.connect(**fields) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()


def reached(lab, folder):
    """Each point that a whole run reaches, with how often it does."""
    log = folder / "reached.log"
    code, told = lab.run(log=log)
    assert code == 0, told
    found = {}
    for line in log.read_text().splitlines():
        name, number = line.split()
        found[name] = max(found.get(name, 0), int(number))
    return found


def try_one(make_lab, folder, name, number, kind):
    lab = make_lab(folder)
    fault = f"{name}:{number}:{kind}"
    code, told = lab.run(fault, folder.parent / f"{folder.name}.log")
    again, then = (0, "") if code == 0 else lab.run()
    assert again == 0, (fault, told, then)
    assert lab.counts() == lab.expected(), (fault, code, told, then)
    left = [path.name for path in (folder / ".osiris" / "open").glob("*")]
    assert left == [] or code == 0, (fault, left)
    shutil.rmtree(folder)
    return code


def loop(make_lab, tmp_path, number=None):
    """Try all points in all kinds, or so many by chance."""
    seed = draw_seed()
    points = reached(make_lab(tmp_path / "whole"), tmp_path)
    every = [(name, n, kind) for name, count in sorted(points.items()) for n in range(1, count + 1) for kind in KINDS]
    chosen = random.Random(seed).sample(every, number) if number else every
    codes = [try_one(make_lab, tmp_path / str(turn), *each) for turn, each in enumerate(chosen)]
    say_tried("faults at fault points (kill, error, hang, no space, torn write), then the same command", len(chosen))
    print(f"{len(chosen)} of {len(every)} faults at {len(points)} points; {codes.count(0)} were survived at once")


def test_some_faults(tmp_path):
    loop(lambda folder: Lab(folder, {}), tmp_path, 4)


@pytest.mark.long
def test_all_faults(tmp_path):
    loop(lambda folder: Lab(folder, {}), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("family", ["postgres", "mysql"])
def test_all_faults_of_servers(tmp_path, family, request):
    server = request.getfixturevalue({"mysql": "mariadb"}.get(family, family))
    loop(lambda folder: Lab(folder, {family: server.fields(server.new_database())}), tmp_path)


@pytest.mark.parametrize("point", ["host/file.rename", "host/journal.append", "worker/sqlite.committed"])
def test_a_kill_at_its_last_time(tmp_path, point):
    """The last of each: run.json says complete, or is about to; the rows are in, and nobody knows."""
    points = reached(Lab(tmp_path / "whole", {}), tmp_path)
    assert try_one(lambda folder: Lab(folder, {}), tmp_path / "one", point, points[point], "kill") in (-9, 0, 1)
