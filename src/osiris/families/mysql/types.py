"""MySQL's types as ours: which is carried as which, how its values are decoded, and what is refused, with why.

The server tells the type of each column of a result by a number, flags and a length. What it tells only of a table's
columns (that a text is JSON or a UUID) is taken from its catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from osiris.families.sql.result import NotCarried
from osiris.types import MAX_DECIMAL_DIGITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.families.sql.columnar import Decode


NUMERIC_FLOAT = 4
_BINARY = 63
"""The number of the character set of what is no text."""
_UNSIGNED, _BINARY_ORDER, _ENUM, _SET = 32, 128, 256, 2048
_WHOLE = {1: 8, 2: 16, 3: 32, 9: 32, 8: 64}
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


class Told(Protocol):
    """What the client library tells of a column of a result."""

    name: str
    type_code: int
    charsetnr: int
    length: int
    scale: int
    flags: int


@dataclass(frozen=True, slots=True)
class Carried:
    """How a column is carried: its type here, its number there, and whether comparing two values tells them apart."""

    type: str
    code: int
    ordered: bool = True


def type_name(told: Told) -> str:
    """Return what the server calls the type of a column of a result."""
    return _NAMES.get(told.type_code, f"number {told.type_code}")


def carry(told: Told, known: str | None = None) -> Carried:
    """Return how a column of a result is carried; `known` is its type as the catalogue has it. Raises NotCarried."""
    code, unsigned = told.type_code, bool(told.flags & _UNSIGNED)
    if code in _TEXTS:
        return Carried(known, code, ordered=known == "uuid") if known in ("json", "uuid") else _text(told)
    kind = "float32" if known == "float" else _FIXED.get(code)
    if code in _WHOLE:
        kind = f"{'u' if unsigned else ''}int{_WHOLE[code]}"
    elif code in _DECIMALS:
        kind = _decimal(told, unsigned=unsigned)
    elif code == _BIT:
        kind = _bits(told.length)
    if kind is None:
        raise _refused(code)
    return Carried(kind, code, ordered=kind != "json")


def _decimal(told: Told, *, unsigned: bool) -> str:
    digits = told.length - (told.scale > 0) - (not unsigned)
    digits = min(max(digits, told.scale, 1), MAX_DECIMAL_DIGITS)
    return f"decimal({digits},{told.scale})"


def _bits(length: int) -> str:
    return "bool" if length == 1 else next(f"uint{size}" for size in (8, 16, 32, 64) if length <= size)


def _text(told: Told) -> Carried:
    listed = bool(told.flags & (_ENUM | _SET))
    short = told.type_code not in _LONG_TEXTS
    if told.charsetnr == _BINARY and not listed:
        return Carried("binary", told.type_code, ordered=short)
    return Carried("utf8", told.type_code, ordered=listed or (short and bool(told.flags & _BINARY_ORDER)))


def _refused(code: int) -> NotCarried:
    if code == NUMERIC_FLOAT:
        why = "the server sends only six of its digits"
        return NotCarried(why, "CAST(`{name}` AS DOUBLE) in the query, or read the table: then all are read")
    if code == _GEOMETRY:
        return NotCarried("it is geometry", "as text or bytes: ST_AsText(`{name}`) or ST_AsBinary(`{name}`) in a query")
    if code == 6:
        return NotCarried("it is nothing but NULL", "CAST(NULL AS CHAR), or another type, in the query")
    return NotCarried("there is no exact form for it here", _AS_TEXT)


def decoder(carried: Carried) -> Decode:
    """Return what decodes the values of a column."""
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
    own: Mapping[str, Decode] = {"binary": bytes_of("binary"), "date": cells.dates, "time[us]": cells.times}
    return own.get(name) or (cells.uuids if name == "uuid" else cells.parsed(name, "float64"))


def every_table(database: str) -> str:
    """Return all tables of a database as GRANT takes them: there % and _ in its name stand for others."""
    return quote_name(database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")) + ".*"


def quote_name(name: str) -> str:
    """Return a name as SQL reads it literally."""
    return "`" + name.replace("`", "``") + "`"
