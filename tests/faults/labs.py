"""Small projects, one per family and write mode, in which commands are made to fail at fault points.

Each defines the expected content of its targets, which is counted with the target's own client.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq
from tests.conftest import OSIRIS, kept
from tests.patience import started

from osiris.delivery import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS, REFUSED = 500, 10
"""Rows of a source, and how many of them the tables with a rule refuse."""
WHOLE = (ROWS, ROWS, ROWS * (ROWS - 1) // 2)
"""What a target has that has each row once: rows, keys, and the sum of the keys."""
SUMS = "SELECT count(*), count(DISTINCT id), sum(id) FROM {}"
OTHER = 10_000
"""Keys from here on are of rows that were there before."""
READ = {"id": "rows", "component": "filesystem.csv_extractor", "mode": "read", "config": {"path": "data/a.csv"}}
OLD = {**READ, "config": {"path": "data/old.csv"}}


def to(name: str, component: str, **config: Any) -> dict[str, Any]:
    """Return a step that writes the rows."""
    return {"id": name, "component": component, "mode": "write", "needs": ["rows"], "config": config}


@dataclass
class Lab:
    """A project, the commands that are run in it one after the other, and the expected result."""

    folder: Path
    pipelines: dict[str, list[dict[str, Any]]]
    found: Callable[[], Any]
    expected: Any
    connections: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=lambda: [["run", "load.yaml"]])
    before: list[tuple[list[str], str]] = field(default_factory=list)
    """Commands that create the initial state, each with the fault that ends it."""
    again: Callable[[list[str], str], list[str]] = lambda command, _: command
    """What is run in the place of a command that failed, and has said so."""

    def __post_init__(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        (self.folder / "osiris.yaml").write_text("{}\n")
        (self.folder / "osiris_connections.yaml").write_text(json.dumps({"connections": self.connections}))
        for name, first in (("a", 0), ("old", OTHER)):
            lines = "".join(f"{n},name {n},{n % 3}\n" for n in range(first, first + ROWS))
            (self.folder / "data" / f"{name}.csv").write_text(f"id,name,part\n{lines}")
        for name, steps in self.pipelines.items():
            text = json.dumps({"oml_version": "0.1.0", "name": name, "steps": steps})
            (self.folder / f"{name}.yaml").write_text(text)
        for command, fault in self.before:
            code, told = self.call(command, fault)
            assert (code == 0) is not bool(fault), told

    def go(self, fault: str = "", log: Path | None = None) -> tuple[int, str]:
        """Run the commands that have not succeeded yet, each with the fault, until one fails."""
        while self.commands:
            code, told = self.call(self.commands[0], fault, log)
            if code:
                self.commands[0] = self.again(self.commands[0], told)
                return code, told
            del self.commands[0]
        return 0, ""

    def call(self, command: list[str], fault: str = "", log: Path | None = None) -> tuple[int, str]:
        """Run a command; if it is to hang, kill it when it does. Returns its exit code and its output."""
        env = (
            kept()
            | self.env
            | ({"OSIRIS_FAULT": fault} if fault else {})
            | {"OSIRIS_FAULT_LOG": str(log or os.devnull)}
        )
        with started(
            [OSIRIS, *command],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as host:
            if fault.endswith(":hang") and log:
                while host.poll() is None and " hang" not in (log.read_text() if log.exists() else ""):
                    time.sleep(0.02)
                os.killpg(host.pid, signal.SIGKILL)
            told = host.communicate(timeout=600)[0].decode()
        assert "Traceback" not in told, told
        assert "INT000" not in told, told
        return host.returncode, told


def integers(row: Any) -> tuple[int, ...]:
    """Return numbers of any kind as integers, NULL as 0."""
    return tuple(int(each or 0) for each in row)


def of_lines(text: str) -> tuple[int, ...]:
    """Return rows, keys and sum of a CSV file, or of a JSON lines file."""
    rows = [json.loads(line) for line in text.splitlines()] if text[:1] == "{" else [*csv.DictReader(io.StringIO(text))]
    ids = [int(row["id"]) for row in rows]
    return len(ids), len(set(ids)), sum(ids)


def of_parquet(*files: Any) -> tuple[int, ...]:
    """Return rows, keys and sum of Parquet files."""
    ids = [each for file in files for each in pq.ParquetFile(file).read(["id"])["id"].to_pylist()]
    return len(ids), len(set(ids)), sum(ids)


def of_published(there: dict[str, bytes]) -> tuple[int, ...] | str:
    """Return rows, keys and sum of a published folder, from the bytes of all its files; it contains nothing else."""
    listed = {file["path"] for file in json.loads(there[MANIFEST])["files"]}
    if there.keys() - {MANIFEST} != listed:
        return f"there is {sorted(there)} instead of {sorted(listed)}"
    return of_parquet(*(io.BytesIO(there[name]) for name in sorted(listed)))


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rejected(folder: Path, step: str) -> int:
    """Return the most rows that one attempt of a step rejected: one that delivers has rejected all of them."""
    files = folder.glob(f"logs/*/artifacts/{step}/rejected.csv")
    return max((len(list(csv.DictReader(io.StringIO(file.read_text())))) for file in files), default=0)


# Targets -------------------------------------------------------------------------------------------------------------


def files(folder: Path, _servers: Any) -> Lab:
    """Every format of file, one of them compressed."""
    names = {"csv": "b.csv", "json": "b.jsonl", "parquet": "b.parquet"}
    steps = [to(f"to_{kind}", f"filesystem.{kind}_writer", path=f"output/{name}") for kind, name in names.items()]

    def found() -> Any:
        out = folder / "output"
        texts = [(out / name).read_text() for name in ("b.csv", "b.jsonl")]
        return [*map(of_lines, texts), of_parquet(out / "b.parquet")]

    return Lab(folder, {"load": [READ, *steps]}, found, [WHOLE] * 3)


def partitions(folder: Path, _servers: Any) -> Lab:
    """A folder that replaces other published rows."""
    out = to("out", "filesystem.parquet_writer", path="lake/", partition_by=["part"])
    pipelines = {"old": [OLD, out], "load": [READ, out]}
    return Lab(
        folder, pipelines, lambda: of_published(in_folder(folder / "lake")), WHOLE, before=[(["run", "old.yaml"], "")]
    )


def store(folder: Path, servers: Any) -> Lab:
    """An object, and a folder of objects that replaces others."""
    s3 = servers("s3")
    bucket = s3.new_bucket()
    fields = {**s3.fields(bucket), "secret_access_key": "${STORE_SECRET}"}
    out = to("out", "filesystem.parquet_writer", connection="@s3.lake", path="lake/", partition_by=["part"])
    one = to("one", "filesystem.csv_writer", connection="@s3.lake", path="one.csv")

    def found() -> Any:
        there = {key: s3.get(bucket, key) for key in s3.keys(bucket)}
        published = {key.removeprefix("lake/"): content for key, content in there.items() if key.startswith("lake/")}
        return of_lines(there["one.csv"].decode()), of_published(published)

    return Lab(
        folder,
        {"old": [OLD, out], "load": [READ, one, out]},
        found,
        (WHOLE, WHOLE),
        connections={"s3": {"lake": fields}},
        env={"STORE_SECRET": str(s3.fields()["secret_access_key"])},
        before=[(["run", "old.yaml"], "")],
    )


MODES = {
    "added": {"write_mode": "append"},
    "replaced": {"write_mode": "replace"},
    "upserted": {"write_mode": "upsert", "primary_key": ["id"]},
}
"""Tables by what is done to them."""
SCHEMA = (
    *(f"CREATE TABLE {name} (id int PRIMARY KEY, name varchar(40), part int)" for name in MODES),
    f"INSERT INTO replaced VALUES ({OTHER}, 'old', 0)",
    f"INSERT INTO upserted VALUES ({OTHER}, 'old', 0), (1, 'old', 0), (2, 'old', 0)",
)
RULED = (
    f"CREATE TABLE ruled (id int PRIMARY KEY, name varchar(40), part int, CHECK (id >= {REFUSED}))",
    "CREATE TABLE unruled (id int PRIMARY KEY, name varchar(40), part int)",
)
IN_MODES = {"added": WHOLE, "replaced": WHOLE, "upserted": (ROWS + 1, ROWS + 1, WHOLE[2] + OTHER)}
TYPES = {"id": "int32", "part": "int32"}
TYPED = {**READ, "config": {"path": "data/a.csv", "dtype": TYPES}}


def in_modes(family: str) -> list[dict[str, Any]]:
    return [
        to(name, f"{family}.writer", connection=f"@{family}.shop", table=name, **config)
        for name, config in MODES.items()
    ]


def embedded(folder: Path, family: str) -> Lab:
    """A database in a file: all three modes."""
    path = folder / "data" / f"shop.{family}"
    path.parent.mkdir(parents=True)
    connect = {"sqlite": sqlite3.connect, "duckdb": duckdb.connect}[family]
    with closing(connect(path)) as database:
        for statement in SCHEMA:
            database.execute(statement)
        database.commit()

    def found() -> Any:
        with closing(connect(path)) as database:
            return {name: integers(database.execute(SUMS.format(name)).fetchone()) for name in MODES}

    connections = {family: {"shop": {"path": f"data/shop.{family}"}}}
    return Lab(folder, {"load": [TYPED, *in_modes(family)]}, found, IN_MODES, connections)


def made(folder: Path, _servers: Any) -> Lab:
    """Databases in files whose tables are created by the run."""
    steps = [
        to(family, f"{family}.writer", connection=f"@{family}.shop", table="orders") for family in ("sqlite", "duckdb")
    ]
    connections = {family: {"shop": {"path": f"data/made.{family}"}} for family in ("sqlite", "duckdb")}

    def found() -> Any:
        counted = []
        for family, connect in (("sqlite", sqlite3.connect), ("duckdb", duckdb.connect)):
            with closing(connect(folder / "data" / f"made.{family}")) as database:
                counted.append(integers(database.execute(SUMS.format("orders")).fetchone()))
        return counted

    return Lab(folder, {"load": [READ, *steps]}, found, [WHOLE, WHOLE], connections)


def server(folder: Path, servers: Any, family: str, fixture: str) -> Lab:
    """A database of a server: all three modes, and rows that are rejected or could have been."""
    running = servers(fixture)
    database = running.new_database()
    with running.connect(database) as connection, connection.cursor() as cursor:
        for statement in (*SCHEMA, *RULED):
            cursor.execute(statement)
        connection.commit()
    aside = [to(name, f"{family}.writer", connection=f"@{family}.shop", table=name) for name in ("ruled", "unruled")]
    for step in aside:
        step["config"]["on_reject"] = "quarantine"

    def found() -> Any:
        counted = {"rejected": rejected(folder, "ruled"), "none": rejected(folder, "unruled")}
        with running.connect(database) as connection, connection.cursor() as cursor:
            for name in (*MODES, "ruled", "unruled"):
                cursor.execute(SUMS.format(name))
                counted[name] = integers(cursor.fetchone())
        return counted

    fields = {**running.fields(database), "password": "${SHOP_PASSWORD}"}
    less = (ROWS - REFUSED, ROWS - REFUSED, WHOLE[2] - sum(range(REFUSED)))
    expected = {**IN_MODES, "ruled": less, "unruled": WHOLE, "rejected": REFUSED, "none": 0}
    steps = [TYPED, *in_modes(family), *aside]
    env = {"SHOP_PASSWORD": str(running.password)}
    return Lab(folder, {"load": steps}, found, expected, {family: {"shop": fields}}, env)


def rest(folder: Path, servers: Any) -> Lab:
    """Supabase over REST: an upsert, which may be repeated."""
    project = servers("postgrest")
    project.run("DROP TABLE IF EXISTS upserted", *(text for text in SCHEMA if "upserted" in text))
    out = to(
        "out", "supabase.writer", connection="@supabase.shop", table="upserted", batch_size=100, **MODES["upserted"]
    )
    fields = {"url": project.url, "key": "${REST_KEY}"}
    return Lab(
        folder,
        {"load": [TYPED, out]},
        lambda: integers(project.rows(SUMS.format("upserted"))[0]),
        IN_MODES["upserted"],
        {"supabase": {"shop": fields}},
        {"REST_KEY": project.service_key},
    )


# Commands that are no run --------------------------------------------------------------------------------------------


def torn(folder: Path, _servers: Any) -> Lab:
    """A run whose session was left by a crash, with half a line at its end."""
    out = to("out", "filesystem.csv_writer", path="output/b.csv")
    before = [(["run", "load.yaml"], "host/journal.append:6:torn")]
    return Lab(
        folder, {"load": [READ, out]}, lambda: of_lines((folder / "output" / "b.csv").read_text()), WHOLE, before=before
    )


def discover(folder: Path, _servers: Any) -> Lab:
    """Discovery of a source whose cache is damaged."""
    state = folder / ".osiris"
    state.mkdir(parents=True)
    (state / "discovery.sqlite").write_bytes(b"SQLite format 3\0" + b"\x07" * 4096)

    def found() -> Any:
        _, told = lab.call(["discover", "data/a.csv", "--json"])
        (table,) = json.loads(told.splitlines()[-1])["data"]["tables"]
        return [column["name"] for column in table["columns"]]

    commands = [["discover", "data/a.csv"]]
    lab = Lab(folder, {}, found, ["id", "name", "part"], commands=commands)
    return lab


def chat(folder: Path, servers: Any) -> Lab:
    """A conversation that appends rows, and then the deletion of its record."""
    (folder / "data").mkdir(parents=True)
    path, record = folder / "data" / "mart.duckdb", folder / ".osiris" / "conversations.sqlite"
    duckdb.connect(path).close()

    def conversations() -> list[str]:
        if not record.exists():
            return []
        with closing(sqlite3.connect(record)) as file:
            return [name for (name,) in file.execute("SELECT id FROM conversations")]

    def heard() -> bool:
        with closing(sqlite3.connect(record)) as file:
            return file.execute("SELECT 1 FROM entries WHERE kind = 'hear'").fetchone() is not None

    def again(command: list[str], told: str) -> list[str]:
        if command[0] != "chat" or not conversations():
            return command
        words = ["again"] if f"next: osiris chat --resume {conversations()[0]} again" in told else []
        words = words if heard() else talk[1:2]
        return ["chat", "--resume", conversations()[0], *words, "--yes"]

    def found() -> Any:
        with closing(duckdb.connect(path)) as database:
            return integers(database.execute(SUMS.format("places")).fetchone()), conversations()

    talk = ["chat", "append data/a.csv to table places in @duckdb.mart", "--yes"]
    connections = {"duckdb": {"mart": {"path": "data/mart.duckdb"}}}
    commands = [talk, ["logs", "gc", "--keep", "0"]]
    env = servers("model_of_places")
    return Lab(folder, {}, found, (WHOLE, []), connections, env, commands=commands, again=again)


def init(folder: Path, _servers: Any) -> Lab:
    """A new project: partly created files are reported; in an empty folder it is created completely."""

    def again(command: list[str], _: str) -> list[str]:
        there = any((folder / command[1]).glob("*"))
        code, told = lab.call(command)
        assert (code, "PRJ" in told) == ((2, True) if there else (0, False)), told
        return [command[0], "another"] if there else ["--version"]

    def found() -> Any:
        whole = lab.call(["init", "whole"])[0]
        tree = {name: content for name, content in in_folder(folder / "whole").items() if ".osiris/" not in name}
        return whole, any(
            (folder / name / "osiris.yaml").exists() and in_folder(folder / name) == tree
            for name in ("fresh", "another")
        )

    lab = Lab(folder, {}, found, (0, True), commands=[["init", "fresh"]], again=again)
    return lab


LABS: dict[str, Callable[[Path, Any], Lab]] = {
    "files": files,
    "a partitioned folder": partitions,
    "object store": store,
    "sqlite": lambda folder, _: embedded(folder, "sqlite"),
    "duckdb": lambda folder, _: embedded(folder, "duckdb"),
    "new databases": made,
    "postgres": lambda folder, servers: server(folder, servers, "postgres", "postgres"),
    "mysql": lambda folder, servers: server(folder, servers, "mysql", "mariadb"),
    "supabase over REST": rest,
    "a torn session": torn,
    "discover": discover,
    "chat": chat,
    "init": init,
}
"""What is written, and a project that does."""
