"""Databases of each family for tests of replication: `Side` has its connection, and runs plain SQL with its client."""

import sqlite3

import duckdb
import pymysql


class Side:
    """A database of a family; `alias` is its connection in the project at `root`."""

    def __init__(self, family, alias, root, server=None):
        self.family, self.alias, self.server = family, alias, server
        if server is None:
            self.path = root / f"{alias}.{family}"
            self.fields = {"path": self.path.name}
            self.sql()
        else:
            self.database = server.new_database()
            self.fields = {**server.fields(self.database), "password": f"${{{alias.upper()}_PASSWORD}}"}

    @property
    def env(self):
        """The variables that the connection names."""
        return {f"{self.alias.upper()}_PASSWORD": self.server.password} if self.server else {}

    def connect(self):
        """Return a client."""
        if self.family == "sqlite":
            return sqlite3.connect(self.path, isolation_level=None)
        if self.family == "duckdb":
            return duckdb.connect(str(self.path))
        return self.server.connect(self.database)

    def sql(self, *statements):
        """Run statements, and return the rows of the last one."""
        client, rows = self.connect(), []
        try:
            for statement in statements:
                rows = self._rows(client, statement)
        finally:
            client.close()
        return [tuple(row) for row in rows]

    def _rows(self, client, statement):
        if isinstance(client, pymysql.connections.Connection):
            with client.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        done = client.execute(statement)
        return done.fetchall() if self.family != "postgres" or done.description else []
