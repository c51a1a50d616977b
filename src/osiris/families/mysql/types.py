"""Map MySQL's types to ours, with the decoder of each, and the reason why a type is not supported.

A result column's type comes as a number, flags and a length (MySQL's enum_field_types). That a text is JSON or a UUID
is known only for columns of tables, from the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from osiris.families.sql.result import UnsupportedType
from osiris.types import MAX_DECIMAL_DIGITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.families.sql.columnar import Decode


NUMERIC_FLOAT = 4
_BINARY = 63
"""The character set number of binary values."""
_UNSIGNED, _BINARY_ORDER, _ENUM, _SET = 32, 128, 256, 2048
_INTEGERS = {1: 8, 2: 16, 3: 32, 9: 32, 8: 64}
_FIXED = {
    5: "float64",
    7: "timestamp[us,UTC]",
    10: "date",
    11: "time[us]",
    12: "timestamp[us]",
    13: "uint16",
    245: "json",
}
_DECIMALS = (0, 246)
_BIT = 16
_TEXTS = (15, 249, 250, 251, 252, 253, 254)
_LONG_TEXTS = (249, 250, 251, 252)
_GEOMETRY = 255
_NAMES = {
    **dict(enumerate(("decimal", "tinyint", "smallint", "int", "float", "double", "null", "timestamp", "bigint"))),
    **dict(enumerate(("mediumint", "date", "time", "datetime", "year", "date", "varchar", "bit"), 9)),
    **dict(zip((242, 245, 246, 255), ("vector", "json", "decimal", "geometry"), strict=True)),
    **dict.fromkeys((249, 250, 251, 252), "text"),
    **dict.fromkeys((247, 248, 253, 254), "char"),
}
_AS_TEXT = "as text, if that will do: CAST(`{name}` AS CHAR) in a query"


class ResultField(Protocol):
    """A column definition of a result, as PyMySQL has it."""

    name: str
    type_code: int
    charsetnr: int
    length: int
    scale: int
    flags: int


@dataclass(frozen=True, slots=True)
class Carried:
    """A column's type: its name here, the server's `code`, and whether unequal values never compare as equal."""

    type: str
    code: int
    ordered: bool = True


def type_name(field: ResultField) -> str:
    """Return the server's name for a result column's type."""
    return _NAMES.get(field.type_code, f"number {field.type_code}")


def carry(field: ResultField, declared: str | None = None) -> Carried:
    """Return the type of a result column; `declared` is its type in the catalogue. Raises UnsupportedType."""
    code, unsigned = field.type_code, bool(field.flags & _UNSIGNED)
    if code in _TEXTS:
        return Carried(declared, code, ordered=declared == "uuid") if declared in ("json", "uuid") else _text(field)
    kind = "float32" if declared == "float" else _FIXED.get(code)
    if code in _INTEGERS:
        kind = f"{'u' if unsigned else ''}int{_INTEGERS[code]}"
    elif code in _DECIMALS:
        kind = _decimal(field, unsigned=unsigned)
    elif code == _BIT:
        kind = _bits(field.length)
    if kind is None:
        raise _not_carried(code)
    return Carried(kind, code, ordered=kind != "json")


def _decimal(field: ResultField, *, unsigned: bool) -> str:
    digits = field.length - (field.scale > 0) - (not unsigned)
    digits = min(max(digits, field.scale, 1), MAX_DECIMAL_DIGITS)
    return f"decimal({digits},{field.scale})"


def _bits(length: int) -> str:
    return "bool" if length == 1 else next(f"uint{size}" for size in (8, 16, 32, 64) if length <= size)


def _text(field: ResultField) -> Carried:
    listed = bool(field.flags & (_ENUM | _SET))
    short = field.type_code not in _LONG_TEXTS
    if field.charsetnr == _BINARY and not listed:
        return Carried("binary", field.type_code, ordered=short)
    return Carried("utf8", field.type_code, ordered=listed or (short and bool(field.flags & _BINARY_ORDER)))


def _not_carried(code: int) -> UnsupportedType:
    if code == NUMERIC_FLOAT:
        reason = "the server sends only six of its digits"
        return UnsupportedType(reason, "CAST(`{name}` AS DOUBLE) in the query, or read the table: then all are read")
    if code == _GEOMETRY:
        return UnsupportedType(
            "it is geometry", "as text or bytes: ST_AsText(`{name}`) or ST_AsBinary(`{name}`) in a query"
        )
    if code == 6:
        return UnsupportedType("it is nothing but NULL", "CAST(NULL AS CHAR), or another type, in the query")
    return UnsupportedType("there is no exact form for it here", _AS_TEXT)


def decoder(carried: Carried) -> Decode:
    """Return the decoder of a column's values."""
    from osiris.families.mysql import decode as cells
    from osiris.families.sql.columnar import bytes_of

    name = carried.type
    if carried.code == _BIT:
        return cells.bits(name)
    if name.startswith("decimal"):
        return cells.decimals(name)
    if name.startswith(("int", "uint")):
        return cells.integers(name)
    if name.startswith("timestamp"):
        return cells.moments(name)
    if name in ("utf8", "json"):
        return bytes_of(name, not_utf8="it is not UTF-8")
    decoders: Mapping[str, Decode] = {"binary": bytes_of("binary"), "date": cells.dates, "time[us]": cells.times}
    return decoders.get(name) or (cells.uuids if name == "uuid" else cells.parsed(name, "float64"))


def every_table(database: str) -> str:
    """Return all tables of a database as the object of GRANT, where % and _ in its name are wildcards."""
    return quote_name(database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")) + ".*"


def quote_name(name: str) -> str:
    """Quote an identifier."""
    return "`" + name.replace("`", "``") + "`"
