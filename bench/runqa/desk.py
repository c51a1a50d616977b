"""A fresh project with real database servers, in which the `osiris` command runs: first successfully, then with a
fault.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from bench.projects import OSIRIS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.servers import MariaDB, Postgres

KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
PATIENCE = 180.0
SMALL = 200_000
SECRET, PORT = "SHOP_PASSWORD", "SHOP_PORT"


@dataclass
class Desk:
    """One project, `postgres` and `mysql` by the name of their family, and the environment variables of commands."""

    folder: Path
    servers: Mapping[str, Postgres | MariaDB]
    env: dict[str, str] = field(default_factory=dict)
    file_limit: int | None = None
    _database: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self.env.update({name: os.environ[name] for name in KEPT if name in os.environ})
        self.osiris("init", str(self.folder), cwd=self.folder.parent)

    def osiris(self, *words: str, code: int = 0, cwd: Path | None = None) -> str:
        """Run a command that must exit with this code; returns what it printed."""
        done = subprocess.run(
            [OSIRIS, *words],
            cwd=cwd or self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            preexec_fn=self._limit if self.file_limit else None,
        )
        if done.returncode != code:
            raise RuntimeError(f"osiris {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def run(self, *words: str, code: int = 0) -> str:
        """Run the pipeline; returns the id of its session."""
        before = self.sessions()
        self.osiris("run", "pipelines/case.yaml", *words, code=code)
        (session,) = self.sessions() - before
        return session

    def begin(self, step: str) -> tuple[subprocess.Popen[bytes], str]:
        """Start the pipeline, and wait until this step is running; returns the process and its session."""
        before = self.sessions()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([OSIRIS, "run", "pipelines/case.yaml"], cwd=self.folder, env=self.env, **quiet)
        deadline = time.monotonic() + PATIENCE
        while not any(self._started(session, step) for session in self.sessions() - before):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"step {step} did not start")
            time.sleep(0.05)
        time.sleep(0.5)
        (session,) = self.sessions() - before
        return process, session

    def sessions(self) -> set[str]:
        """Return the ids of all sessions."""
        return {path.name for path in self.folder.glob("logs/*") if path.is_dir()}

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def pipeline(self, *steps: dict[str, Any], **head: Any) -> None:
        """Write the one pipeline of the project."""
        document = {"oml_version": "0.1.0", "name": "case", **head, "steps": list(steps)}
        self.write("pipelines/case.yaml", yaml.safe_dump(document, sort_keys=False))

    def connect(self, family: str, *statements: str) -> None:
        """Create a database on the server of a family, run statements in it, and make it `@family.shop`."""
        server = self.servers[family]
        self._database = family, server.new_database()
        self.sql(*statements)
        fields = server.fields(self._database[1]) | {"password": f"${{{SECRET}}}", "port": f"${{{PORT}}}"}
        self.write("osiris_connections.yaml", yaml.safe_dump({"connections": {family: {"shop": fields}}}))
        self.env |= {SECRET: server.password, PORT: str(server.port)}

    def sql(self, *statements: str) -> None:
        """Run statements in the database of the project."""
        assert self._database
        family, database = self._database
        self.servers[family].run(*statements, database=database)

    def count(self, table: str) -> int:
        """Return the number of rows of a table in the database of the project, counted without Osiris."""
        assert self._database
        family, database = self._database
        with self.servers[family].connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            return int(cursor.fetchone()[0])

    @contextmanager
    def small(self, folder: str) -> Iterator[None]:
        """Leave no space in a folder: a small disk if one may be mounted, else a limit on the size of all files."""
        target = self.folder / folder
        target.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "none", str(target)]
        mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
        self.file_limit = None if mounted else SMALL
        try:
            yield
        finally:
            self.file_limit = None
            if mounted:
                subprocess.run(["umount", str(target)], check=True)

    def _started(self, session: str, step: str) -> bool:
        path = self.folder / "logs" / session / "events.jsonl"
        if not path.exists():
            return False
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return any((event["event"], event.get("step")) == ("step_start", step) for event in events)

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_limit or SMALL, resource.RLIM_INFINITY))


def children(pid: int) -> list[int]:
    """Return the running child processes of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def closed_port() -> int:
    """Return a local port at which no process listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
