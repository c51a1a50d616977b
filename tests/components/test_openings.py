"""A step opens its source only once per run, although its row order and schema must be checked first.

Connections are counted by a port that forwards to the server, openings of files by the system (inotify).
"""

import ctypes
import os
import sqlite3
import struct
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.faults.proxy import When, faulty
from tests.servers import start_postgrest

from osiris.families.sql.extractor import Extractor
from osiris.families.sql.writer import Writer
from osiris.registry import load_registry
from osiris.runner.cancellation import Stopper
from osiris.runner.limits import limits_of
from osiris.runner.protocol import Job
from osiris.runner.worker.job_context import JobContext
from osiris.runner.worker.running_step import Meter, metered
from osiris.runner.worker.steps import Execution
from osiris.secret import Scrubber, Secret
from osiris.table import stream
from osiris.testing.trial import Trial
from osiris.types import schema_of

REGISTRY = load_registry()
ROWS = 1000
_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")


class Untroubled:
    """A stopper that never stops."""

    def check(self):
        pass


def run(trial, schema):
    """Read all rows as a run does; returns the kind of their digest, and their number."""
    meter = Meter(digests=True)
    rows = metered(trial.read(schema), meter, Untroubled())
    assert sum(batch.num_rows for batch in rows.batches()) == meter.rows
    return meter.digest["kind"], meter.rows


@contextmanager
def openings(*paths):
    """Yield a function that returns how often files were opened, by any process, in the block."""
    system = ctypes.CDLL(None, use_errno=True)
    watch = system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert all(system.inotify_add_watch(watch, os.fsencode(path), _IN_OPEN) > 0 for path in paths)

    def count():
        try:
            return len(os.read(watch, 1 << 16)) // _EVENT.size
        except BlockingIOError:
            return 0

    try:
        yield count
    finally:
        os.close(watch)


def held(path):
    """Return how often this process has a file open."""
    return [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()].count(str(path))


def through(server, port):
    """Return the fields of a server's connection through another port."""
    fields = {**server, "port": port, "sslmode": "disable"}
    return {**fields, "password": Secret(fields["password"])}


@pytest.mark.parametrize("config", [{"table": "t"}, {"query": "SELECT id FROM t ORDER BY id"}], ids=["table", "query"])
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_server_is_connected_to_once(kind, config, request, tmp_path):
    server = request.getfixturevalue(kind)
    database = server.new_database()
    with server.connect(database) as client, client.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY)")
        cursor.execute(f"INSERT INTO t VALUES {', '.join(f'({n})' for n in range(ROWS))}")
        client.commit()
    fields, name = server.fields(database), "postgres" if kind == "postgres" else "mysql"
    with faulty(fields["port"], "silent", When()) as line:
        trial = Trial(REGISTRY, f"{name}.extractor", tmp_path, config, through(fields, line.port))
        schema = trial.describe().schema
        before = len(line.ends)
        assert run(trial, schema) == ("ordered", ROWS)
        assert len(line.ends) - before == 2  # one end towards us, and one towards the server


def test_a_project_is_connected_to_once_over_rest(postgres, tmp_path):
    with start_postgrest(postgres.fields(postgres.new_database())) as server:
        server.run(f"CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, {ROWS})")
        port = int(server.url.rpartition(":")[2].split("/")[0])
        with faulty(port, "silent", When()) as line:
            fields = {"url": server.url.replace(str(port), str(line.port)), "key": Secret(server.service_key)}
            trial = Trial(REGISTRY, "supabase.extractor", tmp_path, {"table": "t"}, fields)
            schema = trial.describe().schema
            before = len(line.ends)
            assert run(trial, schema) == ("ordered", ROWS)
            assert len(line.ends) - before == 2


def sqlite_file(folder):
    """Return a database, and the component and config of the step that reads it."""
    with sqlite3.connect(folder / "shop.db") as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        database.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(ROWS)])
    database.close()
    return "sqlite.extractor", {"table": "t"}, {"path": "shop.db"}, [folder / "shop.db"], 1


def duckdb_file(folder):
    with duckdb.connect(folder / "shop.duckdb") as database:
        database.execute(f"CREATE TABLE t AS SELECT range::INT AS id FROM range({ROWS})")
    with openings(folder / "shop.duckdb") as count:
        duckdb.connect(folder / "shop.duckdb", read_only=True).close()
        once = count()
    return "duckdb.extractor", {"table": "t"}, {"path": "shop.duckdb"}, [folder / "shop.duckdb"], once


def csv_files(folder):
    paths = [folder / f"{name}.csv" for name in "ab"]
    for path in paths:
        path.write_text("id\n" + "".join(f"{n}\n" for n in range(ROWS // 2)))
    return "filesystem.csv_extractor", {"path": "*.csv"}, {}, paths, 2


def json_files(folder):
    paths = [folder / f"{name}.json" for name in "ab"]
    for path in paths:
        path.write_text("".join(f'{{"id": {n}}}\n' for n in range(ROWS // 2)))
    return "filesystem.json_extractor", {"path": "*.json"}, {}, paths, 2


def parquet_files(folder):
    paths = [folder / f"{name}.parquet" for name in "ab"]
    for path in paths:
        parquet.write_table(pa.table({"id": range(ROWS // 2)}), path)
    return "filesystem.parquet_extractor", {"path": "*.parquet"}, {}, paths, 2


def published_folder(folder):
    writer = Trial(REGISTRY, "filesystem.parquet_writer", folder, {"path": "days/", "partition_by": ["day"]})
    rows = pa.table({"id": range(ROWS), "day": [n % 2 for n in range(ROWS)]})
    writer.write(stream(schema_of(rows.schema), rows.to_batches(), "fixed"))
    return "filesystem.parquet_extractor", {"path": "days/"}, {}, [*(folder / "days").rglob("*.parquet")], 2


@pytest.mark.parametrize(
    "make", [sqlite_file, duckdb_file, csv_files, json_files, parquet_files, published_folder], ids=lambda f: f.__name__
)
def test_a_file_is_opened_once(make, tmp_path):
    component, config, connection, paths, once = make(tmp_path)
    trial = Trial(REGISTRY, component, tmp_path, config, connection)
    schema = trial.describe().schema
    with openings(*paths) as count:
        assert run(trial, schema)[1] == ROWS
        assert count() == once


class Told:
    """Collects the events of a worker."""

    def __init__(self):
        self.events = []
        self.scrubber = Scrubber(())

    def send(self, event, **fields):
        self.events.append((event, fields))


def step(name, component, mode, config, reads=(), **fields):
    inputs = {parent: parent for parent in reads}
    step = {"id": name, "component": component, "mode": mode, "config": config, "needs": [*reads], "inputs": inputs}
    return step | {"connection": None, "schema": None, "fused": []} | fields


def run_steps(folder, steps, connections):
    """Run steps as a worker does; returns whether all succeeded, and the end events of the steps."""
    places = {key: str(folder / key) for key in ("scratch", "artifacts", "spools")}
    fields = {"bindings": {"run.id": "r1"}, "pipeline": "p", "plan": "abc", "spools": places.pop("spools")}
    job = Job("run", str(folder), **places, limits=limits_of(10**9, 2), steps=steps, **fields)
    told = Told()
    well = Execution(JobContext(job, REGISTRY, told, Stopper(lambda: None), connections, {})).run()
    return well, {fields["step"]: fields for event, fields in told.events if event in {"step_complete", "step_failed"}}


def two_databases(folder):
    """Return steps that each read a database, with their connections and files."""
    reads, connections, paths = [], {}, []
    for name in "ab":
        (folder / name).mkdir()
        component, config, _, (path,), _ = sqlite_file(folder / name)
        fields = {"path": f"{name}/shop.db"}
        schema = [column.to_json() for column in Trial(REGISTRY, component, folder, config, fields).describe().schema]
        reads.append(step(name, component, "read", config, connection=f"@sqlite.{name}", schema=schema))
        connections[f"@sqlite.{name}"] = fields
        paths.append(path)
    return reads, connections, paths


def test_two_sources_of_one_group_are_opened_once_each(tmp_path):
    reads, connections, paths = two_databases(tmp_path)
    query = {"query": "SELECT a.id FROM a JOIN b USING (id)"}
    nullable = [{**column, "nullable": True} for column in reads[0]["schema"]]  # as of any query's result
    both = step("both", "duckdb.processor", "transform", query, "ab", schema=nullable)
    write = step("out", "filesystem.csv_writer", "write", {"path": "out.csv"}, ["both"])
    with openings(*paths) as count:
        well, ends = run_steps(tmp_path, [*reads, both, write], connections)
        assert well, ends
        assert count() == 2
    assert ends["out"]["rows_out"] == ROWS


@pytest.mark.parametrize("why", ["delivered", "failed"])
def test_a_source_whose_rows_nobody_took_is_closed(why, tmp_path, monkeypatch):
    (read, _), connections, (path, _) = two_databases(tmp_path)
    connections["@sqlite.to"] = {"path": "to.db"}
    config = {"table": "t", "mode": "append", "create_if_missing": True}
    steps = [read, step("out", "sqlite.writer", "write", config, "a", connection="@sqlite.to")]
    assert run_steps(tmp_path, steps, connections)[0]

    kept, reading = [], Extractor.read

    def keep(*args):  # else the source would be closed as soon as nobody refers to it
        kept.append(reading(*args))
        return kept[-1]

    def refuse(*_args):
        raise OSError("no")

    monkeypatch.setattr(Extractor, "read", keep)
    if why == "failed":
        monkeypatch.setattr(Writer, "write", refuse)
    before = held(path)
    with openings(path) as count:
        well, ends = run_steps(tmp_path, steps, connections)
        assert (well, count(), len(kept)) == (why == "delivered", 1, 1), ends
    assert held(path) == before
