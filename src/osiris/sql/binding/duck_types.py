"""DuckDB's types mapped to ours, the casts for types without a counterpart, and SELECTs over files.

In such a SELECT the engine infers nothing.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from duckdb.sqltypes import DuckDBPyType

    from osiris.model import JsonValue, Schema


class TypeMapping(NamedTuple):
    """How a DuckDB type is carried: our type, the DuckDB type it is cast to first, and whether that cast is needed."""

    type: str
    duck: str
    cast: bool = False


class NotCarried(Exception):
    """A DuckDB type that is not supported; `instead` is what to write."""

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


_NATIVE = frozenset({
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "utf8", "date", "timestamp[us]",
    "timestamp[us,UTC]",
})  # fmt: skip
_DECIMAL = re.compile(r"decimal\((\d+),\d+\)")
_MOST_DIGITS = 38
_GLOB = re.compile(r"[*?\[\]{}]")


def carry(kind: DuckDBPyType) -> TypeMapping:
    """Return how a DuckDB type is carried; raises `NotCarried` if it is not supported."""
    name, text = kind.id, str(kind)
    if text == "JSON":
        return TypeMapping("json", text)
    if name in PLAIN:
        return TypeMapping(PLAIN[name], text)
    if name in _CAST:
        return TypeMapping(*_CAST[name], cast=True)
    if name == "decimal":
        precision, scale = (value for _, value in kind.children)
        return TypeMapping(f"decimal({precision},{scale})", text)
    if name in ("list", "array"):
        inner = carry(inside(kind)[0][1])
        return TypeMapping(f"list<{inner.type}>", f"{inner.duck}[]", inner.cast or name == "array")
    if name == "struct":
        return _carry_struct(kind)
    raise NotCarried(text, _INSTEAD.get(name, "cast it to VARCHAR"))


def _carry_struct(kind: DuckDBPyType) -> TypeMapping:
    inner = [(name, carry(child)) for name, child in inside(kind)]
    fields = ",".join(f"{json.dumps(name, ensure_ascii=False)}:{child.type}" for name, child in inner)
    duck = ", ".join(f"{quote_name(name)} {child.duck}" for name, child in inner)
    return TypeMapping(f"struct<{fields}>", f"STRUCT({duck})", any(child.cast for _, child in inner))


def casts_in(kind: DuckDBPyType, path: str) -> Iterator[tuple[str, str]]:
    """Yield each place in a type that is cast, as `name[].field`, and the DuckDB type with a cast only there."""
    if kind.id in _CAST:
        yield path, _CAST[kind.id][1]
    elif kind.id in ("list", "array"):
        yield from ((place, f"{duck}[]") for place, duck in casts_in(inside(kind)[0][1], f"{path}[]"))
    elif kind.id == "struct":
        parts = [(name, str(child)) for name, child in inside(kind)]
        for number, (name, child) in enumerate(inside(kind)):
            for place, duck in casts_in(child, f"{path}.{name}"):
                now = [*parts[:number], (name, duck), *parts[number + 1 :]]
                yield place, f"STRUCT({', '.join(f'{quote_name(each)} {text}' for each, text in now)})"


def inside(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """Return the child types of a list, array or struct, by name."""
    return [(name, child) for name, child in kind.children if not isinstance(child, (int, list))]


def quote_name(name: str) -> str:
    """Return a name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def is_native(kind: str) -> bool:
    """Tell whether DuckDB reads a type as we do; not floats, since it takes the maximum from statistics without NaN."""
    decimal = _DECIMAL.fullmatch(kind)
    return kind in _NATIVE or (decimal is not None and int(decimal[1]) <= _MOST_DIGITS)


def is_nameable(path: Path) -> bool:
    """Tell whether DuckDB reads the path as one file, not as a pattern."""
    return not _GLOB.search(str(path))


def literal(value: JsonValue) -> str:
    """Return a bool, a text, or a list or mapping of them as DuckDB's literal."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(literal, value)) + "]"


def select(columns: Iterable[str], reader: str, files: Sequence[Path], options: Mapping[str, JsonValue]) -> str:
    """Return a SELECT of expressions from files, which a table function of DuckDB reads in their order."""
    arguments = [literal([str(path) for path in files])]
    arguments += [f"{name} = {literal(value)}" for name, value in options.items()]
    return f"SELECT {', '.join(columns)} FROM {reader}({', '.join(arguments)})"


def names_of(schema: Schema) -> list[str]:
    """Return the columns of a schema as quoted names."""
    return [quote_name(column.name) for column in schema]
