"""Which of MySQL's columns hold the values of our types, each of them exactly, and which column is made for a type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.families.fitting import holds
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_NAME = 64
_DIGITS, _PLACES = 65, 30
_WHOLE = {"tinyint": 8, "smallint": 16, "mediumint": 16, "int": 32, "bigint": 64}
_SIZES = {8: "tinyint", 16: "smallint", 32: "int", 64: "bigint"}
_FLOATS = {"float": "float32", "double": "float64"}
_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
_BLOBS = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_MOMENTS = {"time": "time[{}]", "datetime": "timestamp[{}]", "timestamp": "timestamp[{},UTC]"}
_FRACTIONS = {"s": 0, "ms": 3, "us": 6}
_WIDTHS = {f"{sign}int{bits}": len(str(2**bits)) for sign in ("", "u") for bits in (8, 16, 32, 64)}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table that is there, as the catalogue has it; `digits` are a decimal's or those of a fraction."""

    name: str
    kind: str
    declared: str
    digits: int
    scale: int
    length: int
    needed: bool
    computed: bool

    @property
    def fixed(self) -> bool:
        """Whether its values all have the same length: shorter ones get blanks or zeros, and lose them again."""
        return self.kind in ("char", "binary")


def fits(column: Column, source: str) -> bool:
    """Tell whether a column holds each value of one of our types, as far as the type tells."""
    if source in ("json", "uuid"):
        return column.kind in (source, "longtext" if source == "json" else "char") and column.length not in range(1, 36)
    if source == "bool":
        return column.kind in _WHOLE or column.declared == "bit(1)"
    wide = _wide(column)
    if column.kind == "decimal" and source in _WIDTHS:
        return _WIDTHS[source] <= column.digits - column.scale
    return wide is not None and holds(wide, source)


def _wide(column: Column) -> str | None:
    """Return the largest of our types whose values a column holds."""
    kind = column.kind
    if kind in _WHOLE:
        return f"{'u' if 'unsigned' in column.declared else ''}int{_WHOLE[kind]}"
    if kind == "decimal" and "unsigned" not in column.declared:
        return f"decimal({column.digits},{column.scale})"
    if kind in _MOMENTS:
        unit = next(unit for unit in ("us", "ms", "s") if _FRACTIONS[unit] <= column.digits)
        return _MOMENTS[kind].format(unit)
    found = {**_FLOATS, **dict.fromkeys(_TEXTS, "utf8"), **dict.fromkeys(_BLOBS, "binary"), "date": "date"}
    return found.get(kind)


def column_type(name: str, *, key: bool = False, mariadb: bool = True) -> str | None:
    """Return the type of MySQL that is made for one of ours and holds all of its values; None if there is none.

    A column of a `key` cannot be as long as it likes, and compares its values byte by byte.
    """
    found = parse_type(name)
    if found.kind == "decimal":
        digits, scale = map(int, found.parameters)
        return f"decimal({digits},{scale})" if digits <= _DIGITS and scale <= _PLACES else None
    if found.kind in ("time", "timestamp"):
        return _moment(found.kind, *map(str, found.parameters))
    if name in _WIDTHS:
        return _SIZES[int(name.lstrip("uint"))] + (" unsigned" if name.startswith("u") else "")
    collation = "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
    text = f"varchar(255) CHARACTER SET utf8mb4 COLLATE {collation}" if key else "longtext CHARACTER SET utf8mb4"
    made = {"bool": "boolean", "float32": "float", "float64": "double", "date": "date", "json": "json", "utf8": text}
    made |= {"binary": "varbinary(255)" if key else "longblob"}
    made |= {"uuid": "uuid" if mariadb else "char(36) CHARACTER SET ascii"}
    return made.get(name)


def _moment(kind: str, unit: str, zone: str | None = None) -> str | None:
    if unit not in _FRACTIONS or zone not in (None, "UTC"):
        return None
    name = "timestamp" if zone else "datetime" if kind == "timestamp" else kind
    return f"{name}({_FRACTIONS[unit]})"


def refusals(types: Mapping[str, str]) -> dict[str, str]:
    """Return why columns cannot be carried, by their names; `types` are ours by name."""
    found = {name: _reason(kind) for name, kind in types.items() if column_type(kind) is None}
    for name in types:
        if len(name) > LONGEST_NAME or name != name.rstrip():
            found[name] = f"MySQL's names have at most {LONGEST_NAME} characters, and no blank at the end"
    return found


def _reason(name: str) -> str:
    found = parse_type(name)
    if found.kind == "decimal":
        return f"MySQL's decimals have at most {_DIGITS} digits, {_PLACES} of them behind the point"
    if found.kind in ("time", "timestamp"):
        if found.parameters[0] == "ns":
            return "MySQL has no nanoseconds; cast it to microseconds"
        return "MySQL keeps no zone; cast it to UTC"
    return "MySQL has no such values; turn it into JSON or columns in SQL"
