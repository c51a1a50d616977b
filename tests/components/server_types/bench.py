"""Projects whose pipelines read from one database and write to others, with the installed command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.components.server_types.targets import Place
from tests.servers import start_postgrest

from osiris.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.servers import MariaDB, Postgres, Postgrest

OSIRIS = Path(sys.executable).parent / "osiris"
EMBEDDED = {"duckdb": {"default": {"path": "data.duckdb"}}, "sqlite": {"default": {"path": "data.sqlite"}}}
"""Connections that need no server; those of servers are `source`, and `default`, where rows are written."""


class Bench:
    """Projects below one folder, two servers, and the REST interfaces of PostgreSQL's databases, by connection."""

    def __init__(self, folder: Path, postgres: Postgres, mariadb: MariaDB) -> None:
        self.folder, self._places = folder, 0
        self.servers = {"postgres": postgres, "mysql": mariadb}
        self.sources = {family: server.new_database() for family, server in self.servers.items()}
        self.targets = {family: server.new_database() for family, server in self.servers.items()}
        self.rest: dict[str, Postgrest] = {}

    @contextmanager
    def served(self) -> Iterator[Bench]:
        """Open the REST interfaces of both of PostgreSQL's databases while in use."""
        fields = self.servers["postgres"].fields
        databases = (self.sources["postgres"], self.targets["postgres"])
        with start_postgrest(fields(databases[0])) as source, start_postgrest(fields(databases[1])) as target:
            self.rest = {"source": source, "rest": target}
            yield self

    def run_sql(self, family: str, database: str, *statements: str) -> None:
        """Run statements in a database of a family, as its owner; MySQL runs them without strict mode."""
        loose = ("SET sql_mode = '', time_zone = '+00:00'",) if family == "mysql" else ()
        self.servers[family].run(*loose, *statements, database=database)

    def connection(self, family: str) -> dict[str, object]:
        """Return the connection to the source of a family, as a driver gets it; for Supabase, over REST."""
        if family == "supabase":
            return {"url": self.rest["source"].url, "key": Secret(self.rest["source"].service_key)}
        server = self.servers[family]
        return {**server.fields(self.sources[family]), "password": Secret(server.password)}

    def place(self) -> Place:
        """Create a project whose steps run one after the other."""
        self._places += 1
        root = self.folder / str(self._places)
        root.mkdir()
        (root / "osiris.yaml").write_text("run: {parallel: 1}\n", "utf-8")
        known = EMBEDDED | {
            family: {"source": self._fields(family, self.sources), "default": self._fields(family, self.targets)}
            for family in self.servers
        }
        rest = {alias: {"url": server.url, "key": f"${{REST_{alias.upper()}}}"} for alias, server in self.rest.items()}
        known["supabase"] = {"default": self._fields("postgres", self.targets), **rest}
        (root / "osiris_connections.yaml").write_text(json.dumps({"connections": known}), "utf-8")
        return Place(root, self.servers["postgres"], self.servers["mysql"], self.targets)

    def _fields(self, family: str, databases: Mapping[str, str]) -> dict[str, object]:
        return {**self.servers[family].fields(databases[family]), "password": f"${{{family.upper()}_SECRET}}"}

    def osiris(self, place: Place, command: str, name: str, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Run or compile a pipeline with the installed command; returns the JSON output."""
        path = place.root / f"{name}.yaml"
        path.write_text(json.dumps({"oml_version": "0.1.0", "name": name, "steps": steps}), "utf-8")
        secrets = {f"{family.upper()}_SECRET": server.password for family, server in self.servers.items()}
        secrets |= {f"REST_{alias.upper()}": server.service_key for alias, server in self.rest.items()}
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(place.root), **secrets}
        line = [OSIRIS, command, path.name, "--json"]
        done = subprocess.run(line, cwd=place.root, env=environment, capture_output=True, text=True, timeout=120)
        told: dict[str, Any] = json.loads(done.stdout)
        return told
