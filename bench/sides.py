"""The two measured database servers, with their own client programs as references."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.projects import LINEITEM
from tests.servers import start_mariadb, start_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "bench"
"""The database, its user and its password: one plain word, because the other tools take them in URLs."""

OWNER = "owner"
"""A user with all privileges in the database only, as in production; the other user has all privileges."""

KEY = ("l_orderkey", "l_linenumber")
TEXTS = {"VARCHAR": "VARCHAR(44)"}

SETTINGS = {
    "postgres": ("shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=1h"),
    "mysql": ("innodb-buffer-pool-size=1G", "innodb-log-file-size=1G"),
}
"""Settings in addition to those of the tests: enough memory for the rows, as in a server that was set up for them."""


@dataclass(frozen=True)
class Side:
    """One server: a function that runs statements, and its own programs as commands."""

    family: str
    port: int
    run: Callable[..., None]
    connect: Callable[[str], Any]

    @property
    def connection(self) -> dict[str, object]:
        """Return the fields of a connection of ours, which has the password from the environment."""
        where = {"host": "127.0.0.1", "port": self.port, "database": NAME, "user": NAME}
        return {**where, "password": "${BENCH_PASSWORD}", "default": True}

    @property
    def connections(self) -> dict[str, dict[str, object]]:
        """Return our connections by name: that of the user with all privileges, and that of the owner."""
        return {NAME: self.connection, OWNER: {**self.connection, "user": OWNER, "default": False}}

    def url(self, scheme: str) -> str:
        """Return the URL for other tools, which use other scheme names for the same protocol."""
        return f"{scheme}://{NAME}:{NAME}@127.0.0.1:{self.port}/{NAME}"

    def statement(self, sql: str) -> list[str]:
        """Return the command of the server's own client that runs one statement."""
        if self.family == "postgres":
            client = (
                f"env PGPASSWORD={NAME} psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p {self.port} -U {NAME} -d {NAME}"
            )
            return [*client.split(), "-c", sql]
        client = (
            f"env MYSQL_PWD={NAME} mariadb --no-defaults -h 127.0.0.1 -P {self.port} -u {NAME} --local-infile=1 {NAME}"
        )
        return [*client.split(), "--quick", "--raw", "-B", "-e", sql]

    def read(self, query: str) -> list[str]:
        """Return the command that reads a query, or a PostgreSQL table by name, and discards the rows."""
        sql = f"COPY {query} TO STDOUT (FORMAT csv)" if self.family == "postgres" else query
        return ["sh", "-c", f"{shlex.join(self.statement(sql))} > /dev/null"]

    def load(self, table: str, csv: Path) -> list[str]:
        """Return the command that adds the rows of a CSV file with a header."""
        if self.family == "postgres":
            return self.statement(f"\\copy {table} FROM '{csv}' (FORMAT csv, HEADER)")
        how = "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' IGNORE 1 LINES"
        return self.statement(f"LOAD DATA LOCAL INFILE '{csv}' INTO TABLE {table} {how}")

    def make(self, table: str, *, key: bool = False) -> None:
        """Drop a table if it exists, and create it empty."""
        columns = ", ".join(f"{name} {TEXTS.get(kind, kind)} NOT NULL" for name, kind in LINEITEM.items())
        primary = f", PRIMARY KEY ({', '.join(KEY)})" if key else ""
        flushed = ["CHECKPOINT"] if self.family == "postgres" else []
        statements = [f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} ({columns}{primary})"]
        self.run(*statements, *flushed, database=NAME)

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        with self.connect(NAME) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            return cursor.fetchone()[0]

    def settle(self, table: str) -> None:
        """Run the maintenance that a server does in the background after a large load, so that no read triggers it."""
        self.run(f"VACUUM ANALYZE {table}" if self.family == "postgres" else f"ANALYZE TABLE {table}", database=NAME)


@contextmanager
def started(family: str) -> Iterator[Side]:
    """Run a separate server with an empty database, as the tests do."""
    start = {"postgres": start_postgres, "mysql": start_mariadb}[family]
    with start(*SETTINGS[family]) as server:
        if family == "postgres":
            roles = {NAME: "SUPERUSER", OWNER: "NOSUPERUSER"}
            statements = [f"CREATE ROLE {role} {right} LOGIN PASSWORD '{NAME}'" for role, right in roles.items()]
            server.run(*statements, f"CREATE DATABASE {NAME} OWNER {OWNER}")
        else:
            rights = {NAME: "*.*", OWNER: f"{NAME}.*"}
            users = [f"CREATE USER {user}@'%' IDENTIFIED BY '{NAME}'" for user in rights]
            grants = [f"GRANT ALL PRIVILEGES ON {where} TO {user}@'%'" for user, where in rights.items()]
            server.run(f"CREATE DATABASE {NAME}", *users, *grants)
        yield Side(family, server.port, server.run, server.connect)
