"""Sources of a case: files and tables, written by libraries other than Osiris."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from . import csv_files
from .spelling import guess, spell
from .tables import Column, Table

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from .servers import Servers

FILES = ("csv", "json", "parquet")
SQL_TYPES = {
    "sqlite": {
        "int64": "INTEGER",
        "float64": "REAL",
        "bool": "BOOLEAN",
        "date": "DATE",
        "utf8": "TEXT",
        "binary": "BLOB",
    },
    "duckdb": {
        "int64": "BIGINT",
        "float64": "DOUBLE",
        "bool": "BOOLEAN",
        "date": "DATE",
        "utf8": "VARCHAR",
        "binary": "BLOB",
        "json": "JSON",
        "timestamp[us]": "TIMESTAMP",
        "timestamp[us,UTC]": "TIMESTAMPTZ",
        "time[us]": "TIME",
    },
    "postgres": {
        "int64": "bigint",
        "float64": "double precision",
        "bool": "boolean",
        "date": "date",
        "utf8": "text",
        "binary": "bytea",
        "json": "json",
        "timestamp[us]": "timestamp",
        "timestamp[us,UTC]": "timestamptz",
        "time[us]": "time",
    },
    "mysql": {
        "int64": "BIGINT",
        "float64": "DOUBLE",
        "bool": "BIT(1)",
        "date": "DATE",
        "utf8": "LONGTEXT",
        "binary": "LONGBLOB",
        "json": "JSON",
        "timestamp[us]": "DATETIME(6)",
        "timestamp[us,UTC]": "TIMESTAMP(6) NULL",
        "time[us]": "TIME(6)",
    },
}
DECIMALS = {"sqlite": "DECIMAL_TEXT({})", "duckdb": "DECIMAL({})", "postgres": "numeric({})", "mysql": "DECIMAL({})"}
QUOTES = {"sqlite": '"', "duckdb": '"', "postgres": '"', "mysql": "`"}


@dataclass(frozen=True)
class Source:
    """A step that reads, and the expected rows."""

    component: str
    config: dict[str, Any]
    table: Table
    connection: dict[str, Any] = field(default_factory=dict)
    cells: Table | None = None
    """Of a text file: its cells unchanged, for a file that is read without types."""


def carries(kind: str, column_type: str) -> bool:
    """Whether a source of this kind has columns of that type."""
    if kind in FILES:
        refused = {
            "csv": ("binary", "json"),
            "json": ("binary", "date", "timestamp[us]", "timestamp[us,UTC]", "time[us]"),
        }
        return column_type not in refused.get(kind, ())
    return column_type in SQL_TYPES[kind] or column_type.startswith("decimal")


def make(rng: random.Random, kind: str, table: Table, folder: Path, name: str, servers: Servers) -> Source:
    """Write the table as a source of that kind."""
    makers = {"csv": _csv, "json": _json, "parquet": _parquet}
    if kind in makers:
        return makers[kind](rng, table, folder)
    return _database(kind, table, folder, name, servers)


def _csv(rng: random.Random, table: Table, folder: Path) -> Source:
    cells = csv_files.as_cells(rng, table)
    form = csv_files.random_form(rng, cells)
    parts = rng.choice([1, 1, 1, 2, 3]) if table.size >= 3 else 1
    path = csv_files.write(rng, form, cells, folder, parts)
    texts = {}
    if rng.random() < 0.3:
        texts = {column.name: "utf8" for column in cells.columns if column.name != "id" and rng.random() < 0.2}
    if not table.size:
        texts["id"] = "int64"
    config = form.config() | ({"dtype": texts} if texts else {})
    return Source("filesystem.csv_extractor", config | {"path": path}, csv_files.as_read(cells, texts), cells=cells)


def _json(rng: random.Random, table: Table, folder: Path) -> Source:
    ascii_only, lines = rng.random() < 0.5, rng.random() < 0.7
    rows = [
        "{"
        + ", ".join(f"{json.dumps(column.name)}: {_json_cell(column, row, ascii_only)}" for column in table.columns)
        + "}"
        for row in range(table.size)
    ]
    text = "".join(row + "\n" for row in rows) if lines else "[" + ",\n".join(rows) + "]"
    packing = rng.choice(["", "", ".gz", ".zst"])
    path = f"in.json{'l' if lines else ''}{packing}"
    (folder / path).write_bytes(csv_files.PACKERS[packing](text.encode()))
    columns = [replace(column, type=_json_type(column)) for column in table.columns]
    return Source("filesystem.json_extractor", {"path": path}, Table(columns))


def _json_cell(column: Column, row: int, ascii_only: bool) -> str:
    item = column.values[row]
    if item is None:
        return "null"
    if column.type == "json":
        return str(item)
    if isinstance(item, float):
        return f"{Decimal(repr(item)):e}"
    return spell(item) if isinstance(item, Decimal) else json.dumps(item, ensure_ascii=ascii_only)


def _json_type(column: Column) -> str:
    if all(item is None for item in column.values):
        return "json"
    if column.type.startswith("decimal") or column.type == "int64":
        return guess(None if item is None else spell(item) for item in column.values)
    return column.type


ARROW = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "utf8": pa.string(),
    "binary": pa.binary(),
    "json": pa.json_(),
    "timestamp[us]": pa.timestamp("us"),
    "timestamp[us,UTC]": pa.timestamp("us", "UTC"),
    "time[us]": pa.time64("us"),
}


def arrow_type(name: str) -> pa.DataType:
    """Return the type of Arrow for a type of Osiris."""
    if name.startswith("decimal"):
        return pa.decimal128(*map(int, name[8:-1].split(",")))
    return ARROW[name]


def arrow(table: Table) -> pa.Table:
    """Return the table in Arrow."""
    arrays = {}
    for column in table.columns:
        kind = arrow_type(column.type)
        if column.type == "json":
            arrays[column.name] = pa.ExtensionArray.from_storage(kind, pa.array(column.values, pa.string()))
        else:
            arrays[column.name] = pa.array(column.values, kind)
    return pa.table(arrays)


def _parquet(rng: random.Random, table: Table, folder: Path) -> Source:
    data = arrow(table)
    parts = 2 if table.size > 2 and rng.random() < 0.2 else 1
    size = -(-table.size // parts)
    for part in range(parts):
        options = {"compression": rng.choice(["snappy", "zstd", "gzip", "none"]), "use_dictionary": rng.random() < 0.5}
        groups = rng.choice([2, 1000, 1 << 20]) if table.size < 5000 else 1 << 20
        pq.write_table(data.slice(part * size, size), folder / f"in-{part}.parquet", row_group_size=groups, **options)
    path = "in-*.parquet" if parts > 1 else "in-0.parquet"
    return Source("filesystem.parquet_extractor", {"path": path}, table)


def column_type(dialect: str, name: str) -> str:
    """Return the type of a column of a database."""
    if name.startswith("decimal"):
        return DECIMALS[dialect].format(name[8:-1])
    return SQL_TYPES[dialect][name]


def quoted(dialect: str, name: str) -> str:
    """Return a name as an identifier."""
    quote = QUOTES[dialect]
    return quote + name.replace(quote, quote * 2) + quote


def create(dialect: str, name: str, table: Table) -> str:
    """Return the statement that creates a table; its first column is the key."""
    first, *rest = (f"{quoted(dialect, column.name)} {column_type(dialect, column.type)}" for column in table.columns)
    return f"CREATE TABLE {quoted(dialect, name)} ({', '.join([first + ' NOT NULL PRIMARY KEY', *rest])})"


def _database(dialect: str, table: Table, folder: Path, name: str, servers: Servers) -> Source:
    statement = create(dialect, name, table)
    connection: dict[str, Any] = {}
    if dialect == "sqlite":
        connection = {"path": f"{folder.name}/in.sqlite"}
        _fill_sqlite(folder / "in.sqlite", statement, name, table)
    elif dialect == "duckdb":
        connection = {"path": f"{folder.name}/in.duckdb"}
        with duckdb.connect(str(folder / "in.duckdb")) as database:
            database.execute(statement)
            given = arrow(table)
            database.register("given", given)
            database.execute(f"INSERT INTO {quoted(dialect, name)} SELECT * FROM given")
    else:
        servers.fill(dialect, statement, name, table)
    return Source(f"{dialect}.extractor", {"table": name}, table, connection)


def _fill_sqlite(path: Path, statement: str, name: str, table: Table) -> None:
    with sqlite3.connect(path) as database:
        database.execute(statement)
        rows = ([_sqlite_cell(item) for item in row] for row in table.rows())
        places = ", ".join("?" * len(table.columns))
        database.executemany(f"INSERT INTO {quoted('sqlite', name)} VALUES ({places})", rows)
    database.close()


def _sqlite_cell(item: Any) -> Any:
    return item if isinstance(item, int | float | bytes | str) or item is None else spell(item)
