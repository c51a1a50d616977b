"""A world as a project on disk, and its gold: what a reference statement gives over its tables."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import duckdb
    from bench.evaluation.cases import World

    Rows = list[tuple[object, ...]]

_ENDING = {"sqlite": "db", "duckdb": "duckdb"}


def lay_out(world: World, folder: Path) -> Path:
    """Make a project of a world in a folder that is not there yet, and return it."""
    folder.mkdir(parents=True)
    (folder / "osiris.yaml").write_text("{}\n", encoding="utf-8")
    declared: dict[str, dict[str, dict[str, str]]] = {}
    if world.kind == "files":
        shutil.copytree(world.folder / "data", folder / "data")
    else:
        declared[world.kind] = {str(world.connection): {"path": f"{world.connection}.{_ENDING[world.kind]}"}}
        _fill(world, folder / f"{world.connection}.{_ENDING[world.kind]}")
    for kind, alias in world.targets.items():
        declared.setdefault(kind, {})[alias] = {"path": f"{alias}.{_ENDING[kind]}"}
        _empty(kind, folder / f"{alias}.{_ENDING[kind]}")
    text = json.dumps({"connections": declared}, indent=1)
    (folder / "osiris_connections.yaml").write_text(text + "\n", encoding="utf-8")
    return folder


def gold_rows(world: World, sql: str) -> tuple[list[str], Rows]:
    """Return the column types and the rows of a reference statement; raises duckdb.Error if it is wrong."""
    import duckdb

    with duckdb.connect() as engine:
        _load(engine, world)
        found = engine.execute(sql)
        return [str(column[1]) for column in found.description], found.fetchall()


def _fill(world: World, path: Path) -> None:
    import duckdb

    if world.kind == "duckdb":
        with duckdb.connect(str(path)) as engine:
            _load(engine, world)
        return
    with duckdb.connect() as engine, closing(sqlite3.connect(path)) as file:
        _load(engine, world)
        with file:
            file.executescript(world.schema)
            for table in _in_order(engine):
                rows = engine.execute(f"SELECT * FROM {_quoted(table)}").fetchall()
                file.executemany(f"INSERT INTO {_quoted(table)} VALUES ({_marks(rows)})", map(_plain, rows))


def _load(engine: duckdb.DuckDBPyConnection, world: World) -> None:
    """Create the tables of a world and fill them, those that others refer to first."""
    engine.execute(world.schema)
    files = world.tables
    for table in _in_order(engine):
        engine.execute(f"COPY {_quoted(table)} FROM '{files[table]}' (FORMAT csv, HEADER)")


def _in_order(engine: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the tables in the order in which they were created."""
    found = engine.execute("SELECT table_name FROM duckdb_tables() ORDER BY table_oid").fetchall()
    return [name for (name,) in found]


def _empty(kind: str, path: Path) -> None:
    import duckdb

    if kind == "duckdb":
        duckdb.connect(str(path)).close()
    else:
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("PRAGMA user_version = 1")  # makes the file


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _marks(rows: Rows) -> str:
    return ", ".join("?" * len(rows[0])) if rows else "NULL"


def _plain(row: Iterable[object]) -> tuple[object, ...]:
    """Return a row as SQLite takes it: numbers and text."""
    return tuple(
        value
        if value is None or isinstance(value, int | str)
        else float(str(value))
        if _is_number(value)
        else str(value)
        for value in row
    )


def _is_number(value: object) -> bool:
    return type(value).__name__ in ("float", "Decimal")
