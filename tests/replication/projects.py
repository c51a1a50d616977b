"""Projects that copy tables between databases with cursors, and the truth about these databases from plain SQL.

Servers, ways to find late rows, and write modes are values here, so that a test is one text for all of them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

OSIRIS = str(Path(sys.executable).parent / "osiris")
LONGEST_RUN = 300
DATA = "data"
"""The folder of a project in which database files are."""


@dataclass(frozen=True)
class Database:
    """A database of a kind: `postgres`, `mariadb`, `sqlite` or `duckdb`; the last two are files."""

    kind: str
    place: Any
    name: str

    @property
    def family(self) -> str:
        """The family of components."""
        return "mysql" if self.kind == "mariadb" else self.kind

    @property
    def is_file(self) -> bool:
        return self.kind in ("sqlite", "duckdb")

    def fields(self) -> dict[str, object]:
        """Return the fields of the connection, the password in plain text."""
        return {"path": str(self.place)} if self.is_file else self.place.fields(self.name)

    def connect(self) -> Any:
        """Return a client of the database that commits each statement unless told otherwise."""
        if self.kind == "sqlite":
            return sqlite3.connect(self.place, timeout=60, isolation_level=None)
        if self.kind == "duckdb":
            import duckdb

            return duckdb.connect(self.place)
        return self.place.connect(self.name)

    def ask(self, statement: str) -> list[tuple]:
        """Run a statement; return its rows."""
        client = self.connect()
        try:
            cursor = client.cursor()
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]
        finally:
            client.close()

    def run(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        client = self.connect()
        try:
            cursor = client.cursor()
            for statement in statements:
                cursor.execute(statement)
        finally:
            client.close()

    def count(self, table: str, columns: str) -> Counter:
        """Return the rows of a table as a multiset; no rows if there is no such table."""
        return Counter(self.ask(f"SELECT {columns} FROM {table}"))

    def tables(self) -> set[str]:
        """Return the names of all tables of the database, without those of the server."""
        if self.kind == "sqlite":
            return {name for (name,) in self.ask("SELECT name FROM sqlite_master WHERE type = 'table'")}
        own = {"postgres": "table_schema = 'public'", "mariadb": "table_schema = database()", "duckdb": "true"}[
            self.kind
        ]
        query = f"SELECT table_name FROM information_schema.tables WHERE {own}"
        return {name for (name,) in self.ask(query)}


@dataclass(frozen=True)
class Pair:
    """One table of `@….shop` that is copied to one of `@….copy`: two steps of a pipeline."""

    name: str
    table: str
    cursor: dict | str
    mode: str = "append"
    more: dict = field(default_factory=dict)
    """Keys of the writer."""
    reading: dict = field(default_factory=dict)
    """Keys of the extractor, instead of `table` if there is a query."""

    @property
    def target(self) -> str:
        return f"{self.name}_copy"

    def steps(self, source: Database, target: Database) -> list[dict]:
        read = {"connection": f"@{source.family}.shop", "cursor": self.cursor}
        read |= self.reading if "query" in self.reading else {"table": self.table, **self.reading}
        key = {"primary_key": ["id"]} if self.mode == "upsert" else {}
        write = {"connection": f"@{target.family}.copy", "table": self.target, "write_mode": self.mode}
        extractor, writer = f"{source.family}.extractor", f"{target.family}.writer"
        return [
            {"id": self.name, "component": extractor, "mode": "read", "needs": [], "config": read},
            {
                "id": self.target,
                "component": writer,
                "mode": "write",
                "needs": [self.name],
                "config": write | key | self.more,
            },
        ]


@dataclass
class Done:
    """How a command ended: its exit code, and what it printed with `--json` (None if it was killed)."""

    code: int
    answer: dict | None
    text: str

    @property
    def errors(self) -> list[dict]:
        return [each for each in (self.answer or {}).get("diagnostics", []) if each["severity"] == "error"]

    @property
    def codes(self) -> list[str]:
        return [each["code"] for each in self.errors]

    def rows(self, step: str, key: str = "rows_in") -> int:
        return self.answer["data"]["steps"][step][key]


class Project:
    """A folder with a pipeline that copies tables of a source to a target."""

    def __init__(self, root, osiris, source, target, name="shop"):
        self.root, self.osiris, self.source, self.target, self.name = root, osiris, source, target, name
        self.env: dict[str, str] = {}
        self.connections: dict = {}
        root.mkdir(parents=True, exist_ok=True)
        (root / "osiris.yaml").write_text("")
        self.connect("shop", source.family, source.fields())
        self.connect("copy", target.family, target.fields())

    @property
    def path(self):
        return self.root / "pipelines" / f"{self.name}.yaml"

    def connect(self, alias, family, fields):
        """Declare a connection, or replace it; its password goes into the environment."""
        fields = dict(fields)
        if (password := fields.pop("password", None)) is not None:
            variable = f"{family}_{alias}_PASSWORD".upper()
            self.env[variable] = password
            fields["password"] = f"${{{variable}}}"
        self.connections.setdefault(family, {})[alias] = fields
        (self.root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": self.connections}))

    def write(self, *pairs, more=()):
        """Write the pipeline with these pairs, and more steps."""
        steps = [step for pair in pairs for step in pair.steps(self.source, self.target)]
        self.write_file({"steps": [*steps, *more]})

    def write_file(self, content):
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps({"oml_version": "0.3.0", "name": self.name, **content}, indent=1))

    def command(self, *arguments):
        done = self.osiris(*arguments, "--json", cwd=self.root, env=self.env, timeout=LONGEST_RUN)
        return told(done.returncode, done.stdout, done.stderr)

    def run(self, *arguments, code=0):
        """Run the pipeline; the exit code is asserted unless it is None."""
        done = self.command("run", self.path, *arguments)
        assert code is None or done.code == code, done.text
        return done

    def start(self, *arguments):
        """Start a run as a process of its own, whose children are its workers."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return subprocess.Popen(
            [OSIRIS, "run", self.path, "--json", *arguments],
            cwd=self.root,
            env=kept | self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self, seconds, chance):
        """Start a run, and kill its host, its worker or both after a while; returns how it ended."""
        process = self.start()
        time.sleep(seconds)
        workers = children(process.pid) if process.poll() is None else []
        for victim in chance.choice([[process.pid], workers, [process.pid, *workers]]):
            if process.poll() is None:
                kill(victim)
        output, error = process.communicate(timeout=LONGEST_RUN)
        return told(process.returncode, output, error)

    def wipe(self):
        """Remove everything that commands wrote into the project's folder."""
        for path in self.root.iterdir():
            if path.name not in ("osiris.yaml", "osiris_connections.yaml", "pipelines", DATA):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def checkout(self, root):
        """Return a second checkout of the project: the same files, but nothing that commands wrote."""
        other = Project(root, self.osiris, self.source, self.target, self.name)
        other.connections, other.env = self.connections, self.env
        shutil.copy(self.root / "osiris_connections.yaml", root)
        shutil.copytree(self.root / "pipelines", root / "pipelines")
        return other


def told(code, output, error):
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    assert "Traceback" not in output + error, output + error
    return Done(code, answer, f"exit code {code}\n{output[-6000:]}\n{error[-3000:]}")


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
