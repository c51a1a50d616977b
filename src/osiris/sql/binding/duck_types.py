"""DuckDB's types in ours, and the cast that carries those that have no form of their own here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType


class Carried(NamedTuple):
    """How a DuckDB type is carried: our spelling, the DuckDB type it is cast to first, and whether that is another."""

    type: str
    duck: str
    cast: bool = False


class NotCarried(Exception):
    """A DuckDB type that has no form here; says why, and what to write instead."""

    def __init__(self, kind: str, instead: str) -> None:
        super().__init__(instead)
        self.kind, self.instead = kind, instead


PLAIN: dict[str, str] = {
    "boolean": "bool",
    "tinyint": "int8",
    "smallint": "int16",
    "integer": "int32",
    "bigint": "int64",
    "utinyint": "uint8",
    "usmallint": "uint16",
    "uinteger": "uint32",
    "ubigint": "uint64",
    "float": "float32",
    "double": "float64",
    "varchar": "utf8",
    "blob": "binary",
    "date": "date",
    "time": "time[us]",
    "time_ns": "time[ns]",
    "timestamp": "timestamp[us]",
    "timestamp_s": "timestamp[s]",
    "timestamp_ms": "timestamp[ms]",
    "timestamp_ns": "timestamp[ns]",
    "timestamp with time zone": "timestamp[us,UTC]",
    "timestamptz_ns": "timestamp[ns,UTC]",
    "uuid": "uuid",
}
_CAST: dict[str, tuple[str, str]] = {
    "hugeint": ("decimal(38,0)", "DECIMAL(38, 0)"),
    "uhugeint": ("decimal(38,0)", "DECIMAL(38, 0)"),
    "enum": ("utf8", "VARCHAR"),
    "null": ("int32", "INTEGER"),
}
_INSTEAD: dict[str, str] = {
    "map": "write map_entries(x) for a list of keys and values",
    "union": "pick one member with union_extract(x, 'name')",
    "interval": "cast it to VARCHAR, or compute a number with epoch(x)",
    "time with time zone": "cast it to TIME or VARCHAR",
}


def carry(kind: DuckDBPyType) -> Carried:
    """Return how a DuckDB type is carried; raises `NotCarried` if it is not."""
    name, text = kind.id, str(kind)
    if text == "JSON":
        return Carried("json", text)
    if name in PLAIN:
        return Carried(PLAIN[name], text)
    if name in _CAST:
        return Carried(*_CAST[name], cast=True)
    if name == "decimal":
        precision, scale = (value for _, value in kind.children)
        return Carried(f"decimal({precision},{scale})", text)
    if name in ("list", "array"):
        inner = carry(inside(kind)[0][1])
        return Carried(f"list<{inner.type}>", f"{inner.duck}[]", inner.cast or name == "array")
    if name == "struct":
        return _carry_struct(kind)
    raise NotCarried(text, _INSTEAD.get(name, "cast it to VARCHAR"))


def _carry_struct(kind: DuckDBPyType) -> Carried:
    inner = [(name, carry(child)) for name, child in inside(kind)]
    ours = ",".join(f"{json.dumps(name, ensure_ascii=False)}:{child.type}" for name, child in inner)
    duck = ", ".join(f"{quote_name(name)} {child.duck}" for name, child in inner)
    return Carried(f"struct<{ours}>", f"STRUCT({duck})", any(child.cast for _, child in inner))


def inside(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """Return the types inside a list, an array or a struct, by name; what else it has are numbers."""
    return [(name, child) for name, child in kind.children if not isinstance(child, (int, list))]


def quote_name(name: str) -> str:
    """Return a name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'
