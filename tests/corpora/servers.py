"""Shared by the tests of server dialects: the corpora, the verdicts, and comparable answers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import psycopg
import pymysql

HERE = Path(__file__).parent
TABLES = HERE.parent / "fixtures"
OSIRIS = str(Path(sys.executable).parent / "osiris")
ERRORS = (psycopg.Error, pymysql.Error)
TYPES = {
    "postgres": {"VARCHAR": "text", "DOUBLE": "double precision"},
    "mysql": {"VARCHAR": "varchar(250)"},
}


def lines(name):
    """Return the entries of a corpus; texts of megabytes are abbreviated in it."""
    found = [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines()]
    for entry in found:
        if "parts" in entry:
            entry["sql"] = "".join(text * times for text, times in entry["parts"])
    return found


def check(dialect, texts, catalogue=None):
    """Return one verdict per text, from the installed command, in order."""
    asked = "".join(json.dumps({"dialect": dialect, "sql": text}) + "\n" for text in texts)
    known = ["--catalog", str(catalogue)] if catalogue else []
    command = [OSIRIS, "sql", "check", "--jsonl", *known, "-"]
    done = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert done.stdout.isascii()
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(texts)
    return verdicts


@dataclass
class Place:
    """A database of a server, and a connection to it as its superuser."""

    dialect: str
    connection: object
    columns: dict[str, list[str]] = field(default_factory=dict)

    def run(self, text):
        """Return the columns and rows of a text, or the first line of the server's error."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(text)
            columns = [entry[0] for entry in cursor.description or ()]
            return columns, list(cursor.fetchall()) if columns else []
        except ERRORS as error:
            return str(error).splitlines()[0]
        finally:
            with contextlib.suppress(*ERRORS):
                cursor.close()

    def learn(self):
        """Record the columns of all tables, by each name that a text may use for them."""
        here = "current_schema" if self.dialect == "postgres" else "database()"
        listed = f"SELECT table_schema, table_name, column_name, table_schema = {here} FROM information_schema.columns"
        for schema, table, column, is_here in self.run(listed)[1]:
            for name in (f"{schema}.{table}", *([table] if is_here else ())):
                self.columns.setdefault(name, []).append(column)
        return self


@contextlib.contextmanager
def place(dialect, server):
    """Return an empty database of a server."""
    with contextlib.closing(server.connect(server.new_database())) as connection:
        made = Place(dialect, connection)
        if dialect == "mysql":
            connection.autocommit(True)
            made.run("SET SESSION max_statement_time = 20, time_zone = '+00:00', join_cache_level = 8")
        else:
            made.run("SET statement_timeout = '20s'")
        yield made


def fill(made, suite):
    """Create the tables of TPC-H or TPC-DS in a place, from the files of the tests."""
    engine = duckdb.connect()
    for file in sorted((TABLES / suite).glob("*.parquet")):
        relation = engine.read_parquet(str(file))
        kinds = [TYPES[made.dialect].get(str(kind), str(kind)) for kind in relation.types]
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(relation.columns, kinds, strict=True))
        made.run(f"CREATE TABLE {file.stem} ({columns})")
        insert(made, file.stem, relation.fetchall())
        for column in (name for name in relation.columns if name.endswith(("key", "_sk", "_category"))):
            made.run(f"CREATE INDEX {column} ON {file.stem} ({column})")
        made.run(f"ANALYZE {'TABLE ' if made.dialect == 'mysql' else ''}{file.stem}")


def insert(made, table, rows):
    """Insert rows as fast as the client library can without files."""
    if made.dialect == "postgres":
        with made.connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    elif rows:
        with made.connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)
