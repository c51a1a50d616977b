"""Targets of a case, and their content afterwards as other libraries read it."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from .sources import quoted

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from .servers import Servers
    from .tables import Table

SUFFIXES = {"csv": "csv", "json": "jsonl", "parquet": "parquet"}


@dataclass(frozen=True)
class Target:
    """A step that writes."""

    kind: str
    component: str
    config: dict[str, Any]
    connection: dict[str, Any] = field(default_factory=dict)


def carries(kind: str, column_type: str) -> bool:
    """Return whether a target of this kind accepts columns of that type, according to docs/reference/types.md."""
    return not (column_type == "binary" and kind in ("csv", "json"))


def make(rng: random.Random, kind: str, folder: str, name: str, keyed: bool) -> Target:
    """Return a target in that folder of the project, or with that name in a server's database."""
    if kind in SUFFIXES:
        packing = rng.choice(["", "", ".gz", ".zst"]) if kind != "parquet" else ""
        config: dict[str, Any] = {"path": f"{folder}/out.{SUFFIXES[kind]}{packing}"}
        if kind == "csv" and rng.random() < 0.3:
            config |= {"delimiter": rng.choice(";\t|"), "newline": rng.choice(["crlf", "cr", "lf"])}
        if kind == "csv" and rng.random() < 0.2:
            config["quoting"] = "all"
        return Target(kind, f"filesystem.{kind}_writer", config)
    mode = rng.choice(["append", "replace", *(["upsert"] if keyed else [])])
    config = {"table": name, "write_mode": mode} | ({"primary_key": ["id"]} if mode == "upsert" else {})
    connection = {"path": f"{folder}/out.{kind}"} if kind in ("sqlite", "duckdb") else {}
    return Target(kind, f"{kind}.writer", config, connection)


def read(target: Target, table: Table, project: Path, servers: Servers) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the names of the written columns, and the rows as plain values of the expected types."""
    if target.kind == "csv":
        names, rows = _read_csv(project / target.config["path"], target.config.get("delimiter", ","))
    elif target.kind == "json":
        names, rows = _read_json(project / target.config["path"], [column.name for column in table.columns])
    elif target.kind == "parquet":
        names, rows = _rows(pq.read_table(project / target.config["path"]))
    elif target.kind == "sqlite":
        names, rows = _read_sqlite(project, target)
    elif target.kind == "duckdb":
        names, rows = _read_duckdb(project, target)
    else:
        names, rows = _read_server(target, table, servers)
    types = [column.type for column in table.columns]
    if len(names) != len(types):
        return names, rows
    return names, [tuple(plain(item, kind) for item, kind in zip(row, types, strict=True)) for row in rows]


def unpacked(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            data = stream.read()
    return data.decode()


def _read_csv(path: Path, delimiter: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    first, *rest = cells(unpacked(path), delimiter)
    return [cell or "" for cell in first], [tuple(row) for row in rest]


def cells(text: str, delimiter: str) -> list[list[str | None]]:
    """Parse a CSV file: None is an empty cell without quotes, and a text in quotes may be empty."""
    mark = re.escape(delimiter)
    token = re.compile(rf'(?:"([^"]*(?:""[^"]*)*)"|([^"{mark}\r\n]*))({mark}|\r\n|\r|\n|\Z)')
    rows: list[list[str | None]] = []
    row: list[str | None] = []
    position = 0
    while position < len(text):
        match = token.match(text, position)
        if match is None:
            raise ValueError(f"no cell at {position}: {text[position : position + 40]!r}")
        inside, free, end = match.groups()
        row.append((free or None) if inside is None else inside.replace('""', '"'))
        position = match.end()
        if end != delimiter:
            rows.append(row)
            row = []
    return rows


def _read_json(path: Path, types: list[str]) -> tuple[list[str], list[tuple[Any, ...]]]:
    lines = unpacked(path).split("\n")
    if lines.pop() != "":
        raise ValueError("the last line has no end")
    rows = [json.loads(line, parse_float=Number, parse_int=Number) for line in lines]
    names = list(rows[0]) if rows else types
    return names, [tuple(row[name] for name in names) for row in rows]


class Number(str):
    """The digits of a number in JSON."""

    __slots__ = ()


def _rows(data: pa.Table) -> tuple[list[str], list[tuple[Any, ...]]]:
    columns = [column.to_pylist() for column in data.columns]
    return data.column_names, list(zip(*columns, strict=True))


def _read_sqlite(project: Path, target: Target) -> tuple[list[str], list[tuple[Any, ...]]]:
    database = sqlite3.connect(project / target.connection["path"])
    cursor = database.execute(f"SELECT * FROM {quoted('sqlite', target.config['table'])}")
    rows = cursor.fetchall()
    database.close()
    return [one[0] for one in cursor.description], rows


def _read_duckdb(project: Path, target: Target) -> tuple[list[str], list[tuple[Any, ...]]]:
    with duckdb.connect(str(project / target.connection["path"]), read_only=True) as database:
        return _rows(database.sql(f"SELECT * FROM {quoted('duckdb', target.config['table'])}").to_arrow_table())


def _read_server(target: Target, table: Table, servers: Servers) -> tuple[list[str], list[tuple[Any, ...]]]:
    dialect, name = target.kind, target.config["table"]
    schema = "table_schema = DATABASE()" if dialect == "mysql" else "table_schema = 'public'"
    where = f"{schema} AND table_name = '{name}' ORDER BY ordinal_position"
    rows = servers.query(dialect, f"SELECT column_name FROM information_schema.columns WHERE {where}")
    names = [one for (one,) in rows]
    as_text = {column.name for column in table.columns if column.type == "json"} if dialect == "postgres" else set()
    listed = ", ".join(quoted(dialect, one) + ("::text" if one in as_text else "") for one in names)
    return names, servers.query(dialect, f"SELECT {listed} FROM {quoted(dialect, name)}")


def plain(item: Any, kind: str) -> Any:
    """Return a value of a type in the single form in which values are compared, whatever a reader returned."""
    if item is None or (isinstance(item, float) and item != item):
        return None if item is None else "NaN"
    if kind.startswith("decimal"):
        return Decimal(item).normalize() if not isinstance(item, float) else ("float", item)
    if kind == "json":
        return _document(item)
    return _PLAIN[kind](item)


def _document(item: Any) -> str:
    """Return a document without spaces, with its numbers unchanged."""
    if isinstance(item, str) and not isinstance(item, Number):
        item = json.loads(item, parse_float=Number, parse_int=Number)
    return json.dumps(_numbers(item), ensure_ascii=True, sort_keys=True)


def _numbers(item: Any) -> Any:
    if isinstance(item, Number):
        return {"number": str(Decimal(item).normalize())}
    if isinstance(item, dict):
        return {key: _numbers(one) for key, one in item.items()}
    return [_numbers(one) for one in item] if isinstance(item, list) else item


def _int(item: Any) -> Any:
    """Return an integer; any other value is returned with its type, so that it differs from every number."""
    is_whole = re.fullmatch("-?[0-9]+", item) if isinstance(item, str) else not isinstance(item, float)
    return int(item) if is_whole else (type(item).__name__, item)


def _stamp(item: Any) -> datetime:
    return (datetime.fromisoformat(item) if isinstance(item, str) else item).replace(tzinfo=None)


def _instant(item: Any) -> datetime:
    stamp = datetime.fromisoformat(item) if isinstance(item, str) else item
    return stamp.astimezone(UTC) if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def _time(item: Any) -> time:
    if isinstance(item, timedelta):
        return (datetime(2000, 1, 1) + item).time()  # noqa: DTZ001 - only its time is used
    return time.fromisoformat(item) if isinstance(item, str) else item


def _float(item: Any) -> Any:
    number = float(item)
    return "NaN" if number != number else number


_PLAIN = {
    "int64": _int,
    "float64": _float,
    "bool": lambda item: (
        {"true": True, "false": False, b"\x01": True, b"\x00": False}.get(item, item)
        if isinstance(item, str | bytes)
        else bool(item)
    ),
    "date": lambda item: date.fromisoformat(item) if isinstance(item, str) else item,
    "time[us]": _time,
    "timestamp[us]": _stamp,
    "timestamp[us,UTC]": _instant,
    "utf8": lambda item: item if isinstance(item, str) else repr(item),
    "binary": bytes,
}
