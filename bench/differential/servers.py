"""The two database servers, used through their own clients."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.servers import start_mariadb, start_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tables import Table

_SLICE = 5000


@dataclass
class Servers:
    """Running servers, with one database each; empty if the cases need none."""

    running: dict[str, Any] = field(default_factory=dict)
    databases: dict[str, str] = field(default_factory=dict)

    def connection(self, dialect: str) -> dict[str, Any]:
        """Return the fields of a connection, its password as a variable."""
        fields = self.running[dialect].fields(self.databases[dialect])
        return fields | {"password": f"${{{dialect.upper()}_PASSWORD}}"}

    def environment(self) -> dict[str, str]:
        """Return the variables with the passwords."""
        return {f"{dialect.upper()}_PASSWORD": server.password for dialect, server in self.running.items()}

    def query(self, dialect: str, statement: str, rows: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement with the server's own client, once or for each of the given rows."""
        with self.running[dialect].connect(self.databases[dialect]) as connection, connection.cursor() as cursor:
            if dialect == "mysql":
                cursor.execute("SET time_zone = '+00:00'")
            if rows is not None:
                cursor.executemany(statement, rows)
                return []
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def fill(self, dialect: str, statement: str, name: str, table: Table) -> None:
        """Create a table with these rows."""
        quote = "`" if dialect == "mysql" else '"'
        self.query(dialect, statement)
        rows = table.rows()
        places = ", ".join(["%s"] * len(table.columns))
        for start in range(0, len(rows), _SLICE):
            self.query(dialect, f"INSERT INTO {quote}{name}{quote} VALUES ({places})", rows[start : start + _SLICE])


@contextmanager
def started(dialects: set[str]) -> Iterator[Servers]:
    """Start the servers that are named."""
    starters = {"postgres": start_postgres, "mysql": lambda: start_mariadb("max-allowed-packet=256M")}
    with ExitStack() as stack:
        running = {dialect: stack.enter_context(starters[dialect]()) for dialect in sorted(dialects)}
        yield Servers(running, {dialect: server.new_database() for dialect, server in running.items()})
