"""Files as a SELECT that DuckDB runs by itself, as text: the engine is asked to guess nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from osiris.model import JsonValue, Schema

_PLAIN: dict[str, str] = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "utf8": "VARCHAR",
    "date": "DATE",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[us,UTC]": "TIMESTAMPTZ",
}
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_MOST_DIGITS = 38
_GLOB = re.compile(r"[*?\[\]{}]")


def duck_type(type_name: str) -> str | None:
    """Return DuckDB's name of a plain type of ours; None if the two do not hold exactly the same values."""
    decimal = _DECIMAL.fullmatch(type_name)
    if decimal and int(decimal[1]) <= _MOST_DIGITS:
        return f"DECIMAL({decimal[1]}, {decimal[2]})"
    return _PLAIN.get(type_name)


def is_nameable(path: Path) -> bool:
    """Tell whether DuckDB takes the path for the name of one file, not for a pattern."""
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
