"""Servers that fall silent, die, are full or reject logins: a step ends in time, with our messages, and can be
repeated.
"""

import json
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from tests.faults.proxy import When, faulty, struck
from tests.faults.test_disk_full import can_mount
from tests.servers import start_mariadb, start_postgres

from osiris.components.mysql_extractor import driver as mysql_extractor
from osiris.components.mysql_writer import driver as mysql_writer
from osiris.components.postgres_extractor import driver as postgres_extractor
from osiris.components.postgres_writer import driver as postgres_writer
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.secret import Secret
from osiris.table import stream
from osiris.types import schema_of

READERS = {"postgres": postgres_extractor, "mariadb": mysql_extractor}
WRITERS = {"postgres": postgres_writer, "mariadb": mysql_writer}
COUNT = 60_000
ROWS = pa.table({"id": list(range(COUNT)), "name": ["a name that takes some place"] * COUNT})
SLACK = 60.0
"""How long one may be that answers at its own pace, on a machine that has other work."""


class Desk:
    """A database of a server; `write` and `read` go through a port, and return the outcome and the duration."""

    def __init__(self, server, kind, root):
        self.server, self.kind, self.root = server, kind, root
        self.database = server.new_database()
        self.told, self.found = [], None

    def ctx(self, **fields):
        given = {**self.server.fields(self.database), "sslmode": "disable", **fields}
        given = {"connect_timeout": SLACK, "read_timeout": SLACK, **given, "password": Secret(given["password"])}
        return StepContext(
            "step",
            self.root,
            self.root,
            self.root / "scratch",
            given,
            run_key="run/1",
            plan="p",
            digest=lambda: {"kind": "test"},
            emit=lambda name, _fields: self.told.append(name),
        )

    def write(self, mode="append", rows=ROWS, **fields):
        writer = WRITERS[self.kind]
        source = stream(schema_of(rows.schema), rows.to_batches(5000), "fixed")
        config = writer.Config("t", write_mode=mode, primary_key=["id"])
        return self._timed(lambda: writer.Driver().write(config, source, self.ctx(**fields)).rows)

    def read(self, query=None, **fields):
        reader = READERS[self.kind]
        config = reader.Config(query=query) if query else reader.Config(table="t")

        def call():
            driver, ctx = reader.Driver(), self.ctx(**fields)
            described = driver.describe(config, ctx)
            return driver.read(config, described.schema, ctx).reader().read_all().num_rows

        return self._timed(call)

    def read_behind(self, fault):
        """Return a call for `struck`."""
        return lambda port, silence: self.read(port=port, **limits(fault, silence))

    def write_behind(self, fault, mode):
        """Return a call for `struck`."""
        return lambda port, silence: self.write(mode, port=port, **limits(fault, silence))

    def _timed(self, call):
        began = time.monotonic()
        try:
            return call()
        except OsirisError as error:
            (self.found,) = error.diagnostics
            found = self.found
            assert found.code not in CODES.values() or time.monotonic() - began < 2 * SLACK
            assert self.server.password not in str(found)
            return found.code

    def sql(self, *texts):
        with self.server.connect(self.database) as client, client.cursor() as cursor:
            for text in texts:
                cursor.execute(text)
            return list(cursor.fetchall()) if cursor.description else []


def limits(fault, silence):
    """Return the timeouts of a connection; one that dies is noticed without any."""
    return {"connect_timeout": silence, "read_timeout": silence} if fault == "silent" else {}


@pytest.fixture(params=READERS)
def desk(request, tmp_path):
    return Desk(request.getfixturevalue(request.param), request.param, tmp_path)


CODES = {"silent": "CON015", "dead": "CON014"}
LEDGER = {
    "postgres": (b"UPDATE", b"_osiris_ledger", b"COMMIT"),
    "mariadb": (b"INSERT INTO", b"_osiris_ledger", b"COMMIT"),
}


@pytest.mark.parametrize("fault", CODES)
def test_while_connecting(desk, fault):
    for received in (0, 20):
        assert struck(desk.server.port, fault, When(received=received), desk.read_behind(fault)) == CODES[fault]


@pytest.mark.parametrize("fault", CODES)
def test_while_reading(desk, fault):
    desk.write()
    assert struck(desk.server.port, fault, When(received=1_000_000), desk.read_behind(fault)) == CODES[fault]
    assert desk.read() == COUNT


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
@pytest.mark.parametrize("fault", CODES)
def test_while_writing(desk, fault, mode):
    assert struck(desk.server.port, fault, When(sent=1_000_000), desk.write_behind(fault, mode)) == CODES[fault]
    assert desk.write(mode) == COUNT
    assert desk.sql("SELECT COUNT(*) FROM t") == [(COUNT,)]


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("passed", [False, True], ids=["commit lost", "answer lost"])
@pytest.mark.parametrize("fault", CODES)
def test_while_committing(desk, fault, passed, mode):
    """Nobody knows then whether it was delivered, until the same is done again: the ledger knows."""
    when = When(texts=LEDGER[desk.kind], passed=passed)
    assert struck(desk.server.port, fault, when, desk.write_behind(fault, mode)) == CODES[fault]
    assert desk.write(mode) == COUNT
    assert desk.told.count("already_delivered") == passed
    assert desk.sql("SELECT COUNT(*) FROM t") == [(COUNT,)]


RETRIED = """
oml_version: "0.1.0"
name: retried
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: rows.csv}}
  - {id: load, component: %s.writer, mode: write, needs: [rows],
     config: {table: retried, retry: {max: 1, backoff: 50ms, "on": [unavailable]}}}
"""


def test_a_step_that_finds_its_own_delivery_when_it_is_retried_has_no_warning(desk, osiris):
    """Its answer was lost, not its commit. RUN065 would say that another run has delivered the rows."""
    family = "mysql" if desk.kind == "mariadb" else desk.kind
    (desk.root / "osiris.yaml").write_text("")
    (desk.root / "rows.csv").write_text("id\n1\n2\n3\n")
    (desk.root / "pipelines").mkdir()
    (desk.root / "pipelines" / "retried.yaml").write_text(RETRIED % family)
    fields = desk.server.fields(desk.database)
    with faulty(desk.server.port, "dead", When(texts=LEDGER[desk.kind], passed=True, once=True)) as proxy:
        written = {**fields, "port": proxy.port, "sslmode": "disable", "password": "${DB_PASSWORD}"}
        declared = {"connections": {family: {"default": written}}}
        (desk.root / "osiris_connections.yaml").write_text(json.dumps(declared))
        env = {"DB_PASSWORD": fields["password"]}
        done = osiris("run", "pipelines/retried.yaml", "--json", cwd=desk.root, env=env)
        assert proxy.happened.is_set(), done.stdout
    answer = json.loads(done.stdout)
    codes = [item["code"] for item in answer["diagnostics"] if item["severity"] == "warning"]
    assert (done.returncode, codes) == (0, []), answer
    (log,) = (desk.root / "logs").glob("*/events.jsonl")
    told = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert (told.count("step_retry"), told.count("already_delivered")) == (1, 1)
    assert desk.sql("SELECT COUNT(*) FROM retried") == [(3,)]


def test_a_line_that_gives_one_byte_at_a_time(desk):
    few = ROWS.slice(0, 300)
    with faulty(desk.server.port, "silent", When(piece=1)) as proxy:
        assert desk.write(rows=few, port=proxy.port) == 300
        assert desk.read(port=proxy.port) == 300
    assert desk.sql("SELECT COUNT(*), SUM(id) FROM t") == [(300, sum(range(300)))]


def test_a_server_that_lets_nobody_in(desk):
    desk.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)")
    reader = {"user": desk.server.reader, "password": desk.server.reader_password}
    if desk.kind == "postgres":
        desk.sql(f"ALTER ROLE {desk.server.reader} CONNECTION LIMIT 0")
        again = f"ALTER ROLE {desk.server.reader} CONNECTION LIMIT -1"
    else:
        desk.sql(f"ALTER USER {desk.server.reader}@'%' WITH MAX_USER_CONNECTIONS 1")
        again = f"ALTER USER {desk.server.reader}@'%' WITH MAX_USER_CONNECTIONS 0"
    try:
        with desk.server.connect(desk.database, reader=True) if desk.kind == "mariadb" else open(os.devnull):
            assert desk.read(**reader) == "CON011"
    finally:
        desk.sql(again)
    assert desk.read(**reader) == 0


def test_who_is_refused_is_told_why(desk):
    desk.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)")
    assert desk.read(password="wrong") == "CON012"
    assert desk.read(database="no such") in ("CON013", "CON012")
    assert desk.read(user="nobody") == "CON012"
    desk.sql("DROP TABLE t")
    assert desk.read() == "DRV012"


@contextmanager
def small_disk(folder, size, like):
    """Mount a disk of that many MB at a folder; it belongs to the owner of another folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=777", "none", folder], check=True)
    try:
        os.chown(folder, like.stat().st_uid, like.stat().st_gid)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # the server still has its files open


@contextmanager
def with_small_disk(started, size):
    """Return a server, and a small disk in its folder."""
    with started as server, small_disk(server.folder / "small", size, server.folder / "data") as small:
        yield server, small


MOUNTS = pytest.mark.skipif(os.geteuid() != 0 or not can_mount(), reason="a small disk can only be mounted by root")


@MOUNTS
def test_a_postgres_whose_disk_is_full(tmp_path):
    with with_small_disk(start_postgres(), 2) as (server, small):
        desk = Desk(server, "postgres", tmp_path)
        desk.sql(f"CREATE TABLESPACE small LOCATION '{small}'")
        desk.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT) TABLESPACE small")
        assert desk.write() == "DRV022"
        subprocess.run(["mount", "-o", "remount,size=200m", "none", small], check=True)
        assert desk.write() == COUNT
        assert desk.sql("SELECT COUNT(*) FROM t") == [(COUNT,)]
        desk.sql("DROP TABLE t")


LARGE = ROWS.set_column(1, "name", pa.array(["x" * 1000] * COUNT))
"""More than MariaDB needs to undo on a full disk: on one that is smaller it ends itself."""


@pytest.mark.long
@MOUNTS
@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_a_mariadb_whose_disk_is_full(tmp_path, mode):
    with with_small_disk(start_mariadb(), 24) as (server, small):
        desk = Desk(server, "mariadb", tmp_path)
        desk.sql(f"CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT) DATA DIRECTORY = '{small}'")
        assert desk.write(mode, LARGE) == "DRV022"
        assert desk.sql("SELECT COUNT(*) FROM t") == [(0,)]
        subprocess.run(["mount", "-o", "remount,size=400m", "none", small], check=True)
        assert desk.write(mode, LARGE) == COUNT


@MOUNTS
def test_a_mariadb_that_a_full_disk_ends(tmp_path):
    """It does not say why before it exits: the writer's error refers to its log."""
    with with_small_disk(start_mariadb(), 2) as (server, small):
        desk = Desk(server, "mariadb", tmp_path)
        desk.sql(f"CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT) DATA DIRECTORY = '{small}'")
        assert desk.write(rows=LARGE) == "CON014"
        assert "the server has stopped" in desk.found.message
        assert "its log says why, a full disk for instance" in desk.found.hint


@MOUNTS
def test_a_mariadb_without_space_to_sort(tmp_path):
    """Sort files are written elsewhere, and the error has another number."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        small = Path(folder) / "small"
        with small_disk(small, 2, Path(folder)), start_mariadb(f"tmpdir={small}", "sort-buffer-size=32K") as server:
            desk = Desk(server, "mariadb", tmp_path)
            desk.sql("CREATE TABLE t (id BIGINT, name TEXT)")
            desk.sql("INSERT INTO t SELECT seq, REPEAT('x', 200) FROM seq_1_to_60000")
            query = "SELECT id, name FROM t ORDER BY CONCAT(name, id)"
            assert desk.read(query) == "DRV022"
            assert "No space left on device" in desk.found.message


def test_a_server_that_may_not_take_more_space(tmp_path):
    """The server's own limit is reached."""
    with start_mariadb("innodb-temp-data-file-path=ibtmp1:12M") as server:
        desk = Desk(server, "mariadb", tmp_path)
        large = ROWS.set_column(1, "name", pa.array(["x" * 400] * COUNT))
        assert desk.write("upsert", large) == "DRV022"
        assert desk.sql("SELECT COUNT(*) FROM t") == [(0,)]
        assert desk.write(read_timeout=60) == COUNT
