"""The targets to which rows of a server are written, and how an independent client reads them there."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.components.server_types.forms import Number, parsed, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pyarrow as pa
    from tests.servers.mariadb import MariaDB
    from tests.servers.postgres import Postgres


@dataclass(frozen=True)
class Place:
    """A project folder, and the servers with the target database of this folder."""

    root: Path
    postgres: Postgres
    mariadb: MariaDB
    databases: Mapping[str, str]


@dataclass(frozen=True)
class Found:
    """The columns of a target by name: their types there, and their values in row order."""

    types: Mapping[str, str]
    values: Mapping[str, list[Any]]


@dataclass(frozen=True)
class Target:
    """A writer, and how others read what it has written; the column `n` orders the rows.

    `look` gets the place, the name of the output, and the form of each column's values. A file has an `ending`; an
    existing table is `made`, and `settings` are the options for writing.
    """

    title: str
    component: str
    look: Callable[[Place, str, Mapping[str, str]], Found]
    ending: str = ""
    made: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    def config(self, name: str) -> dict[str, object]:
        """Return the config that writes under a name."""
        if self.made:
            return {"table": self.made, **self.settings}
        return {"path": f"output/{name}{self.ending}"} if self.ending else {"table": name}

    def read(self, place: Place, name: str, forms: Mapping[str, str]) -> Found:
        """Return what was written under a name."""
        return self.look(place, self.made or name, forms)


def _sorted(columns: Mapping[str, list[Any]], types: Mapping[str, str]) -> Found:
    order = sorted(range(len(columns["n"])), key=lambda row: int(columns["n"][row]))
    return Found(types, {name: [values[row] for row in order] for name, values in columns.items()})


def _csv(place: Place, name: str, forms: Mapping[str, str]) -> Found:
    import pyarrow as pa
    from pyarrow import csv

    table = csv.read_csv(
        place.root / "output" / f"{name}.csv",
        read_options=csv.ReadOptions(block_size=1 << 24),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(forms, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return _sorted(table.to_pydict(), dict.fromkeys(forms, "text"))


def _json(place: Place, name: str, forms: Mapping[str, str]) -> Found:
    lines = (place.root / "output" / f"{name}.jsonl").read_text("utf-8").split("\n")
    rows = [dict(parsed(line)) for line in lines if line]
    types = {column: _kinds([row[column] for row in rows]) for column in forms}
    return _sorted({column: [_scalar(row[column], forms[column]) for row in rows] for column in forms}, types)


def _kinds(values: list[Any]) -> str:
    """Return the JSON kind of a column's values; empty for documents, which may be anything."""
    names = {Number: "number", str: "string", bool: "boolean", list: "array", tuple: "object"}
    found = sorted({names[type(value)] for value in values if value is not None})
    return found[0] if len(found) == 1 else "any value"


def _scalar(value: object, form: str) -> object:
    """Return a value, or its text if it is a document or a list; documents within a list are separate texts."""
    if value is None or (form != "json" and not form.startswith("list<")):
        return value
    if form == "list<json>":
        return [None if item is None else spelled(item) for item in value]
    return spelled(value)


def _parquet(place: Place, name: str, forms: Mapping[str, str]) -> Found:
    from pyarrow import parquet

    table = parquet.read_table(place.root / "output" / f"{name}.parquet")
    types = {field.name: _spelling(field.type) for field in table.schema}
    return _sorted(table.to_pydict(), types)


def _spelling(kind: pa.DataType) -> str:
    return re.sub(r"extension<arrow\.(\w+)>|element: ", r"\1", str(kind))


def _duckdb(place: Place, name: str, forms: Mapping[str, str]) -> Found:
    import duckdb

    with duckdb.connect(str(place.root / "data.duckdb"), read_only=True) as client:
        client.execute("SET TimeZone = 'UTC'")
        types = {column: kind for column, kind, *_ in client.execute(f"DESCRIBE {name}").fetchall()}
        shown = ", ".join(f"{c}::VARCHAR AS {c}" if types[c] == "UUID" else c for c in forms)
        return _sorted(client.sql(f"SELECT {shown} FROM {name}").to_arrow_table().to_pydict(), types)


def _sqlite(place: Place, name: str, forms: Mapping[str, str]) -> Found:
    with closing(sqlite3.connect(place.root / "data.sqlite")) as client:
        types = {column: kind for _, column, kind, *_ in client.execute(f"PRAGMA table_info({name})")}
        rows = client.execute(f"SELECT {', '.join(forms)} FROM {name}").fetchall()
    return _sorted(dict(zip(forms, map(list, zip(*rows, strict=True)), strict=True)), types)


def _postgres(place: Place, name: str, forms: Mapping[str, str]) -> Found:
    with place.postgres.connect(place.databases["postgres"]) as client:
        client.execute(
            "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET bytea_output = 'hex'; SET intervalstyle = 'iso_8601'"
        )
        types = dict(
            client.execute(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0",
                [f"public.{name}"],
            ).fetchall()
        )
        shown = ", ".join(_as_text(column, types[column], form) for column, form in forms.items())
        rows = client.execute(f"SELECT {shown} FROM public.{name}").fetchall()
    return _sorted(dict(zip(forms, map(list, zip(*rows, strict=True)), strict=True)), types)


def _as_text(column: str, kind: str, form: str) -> str:
    """Return the expression that selects a column with complete texts: cast to text, a CHAR would lose its blanks."""
    if kind.startswith(("character(", "bpchar")):
        return column
    return f"{column}::text{'[]' * form.startswith('list<')}"


def _mysql(place: Place, name: str, forms: Mapping[str, str]) -> Found:
    with place.mariadb.connect(place.databases["mysql"]) as client, client.cursor() as cursor:
        client.decoders = {}
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(f"DESCRIBE {name}")
        types = {column: kind for column, kind, *_ in cursor.fetchall()}
        cursor.execute(
            "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS "
            "WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = %s",
            [name],
        )
        checks = {clause for (clause,) in cursor.fetchall()}
        types |= {column: "json" for column in types if f"json_valid(`{column}`)" in checks}
        cursor.execute(f"SELECT {', '.join(_shown(column, types[column]) for column in forms)} FROM {name}")
        rows = cursor.fetchall()
    return _sorted(dict(zip(forms, map(list, zip(*rows, strict=True)), strict=True)), types)


def _shown(column: str, kind: str) -> str:
    """Return the expression that selects a column completely: a FLOAT has six digits, a UTC timestamp no zone."""
    if "blob" in kind or "binary" in kind:
        return f"HEX({column})"
    if kind.startswith("timestamp"):
        return f"CONCAT({column}, 'Z')"
    if kind.startswith("bit"):
        return f"{column} + 0"
    return f"CAST({column} AS DOUBLE)" if kind.startswith("float") else column


PARQUET = Target("Parquet", "filesystem.parquet_writer", _parquet, ".parquet")
TARGETS = (
    Target("CSV", "filesystem.csv_writer", _csv, ".csv"),
    Target("JSON lines", "filesystem.json_writer", _json, ".jsonl"),
    PARQUET,
    Target("DuckDB", "duckdb.writer", _duckdb),
    Target("SQLite", "sqlite.writer", _sqlite),
    Target("PostgreSQL", "postgres.writer", _postgres),
    Target("MariaDB", "mysql.writer", _mysql),
    Target("Supabase", "supabase.writer", _postgres),
)
"""One more writer is one more line; if its family is new, its connection goes into `Bench.place`."""

SAME, REST = "same type", "REST"
_ANEW = {"write_mode": "replace", "create_if_missing": False}
_BY_KEY = {"connection": "@supabase.rest", "write_mode": "upsert", "primary_key": "n"}
EXISTING = {
    "postgres": Target(SAME, "postgres.writer", _postgres, made="same", settings=_ANEW),
    "mysql": Target(SAME, "mysql.writer", _mysql, made="same", settings=_ANEW),
}
"""By the family of the source, a table there whose columns have the types that they have in the source."""


def over_rest(made: str) -> Target:
    """Return the target for an existing PostgreSQL table that is written over REST."""
    return Target(REST, "supabase.writer", _postgres, made=made, settings=_BY_KEY)
