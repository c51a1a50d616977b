"""Map PostgreSQL's types to ours, with the decoder of each, and the reason why a type is not supported.

Types without a counterpart, but with a text form that round-trips every value, are read as text; the server formats it
under fixed settings (`session.SETTINGS`). OIDs are from pg_type.dat of PostgreSQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.families.sql.result import UnsupportedType
from osiris.types import MAX_DECIMAL_DIGITS

if TYPE_CHECKING:
    from osiris.families.sql.columnar import Decode

NUMERIC = 1700
BYTE = 18
"""The type "char": one byte, shown as an empty text where it is zero."""

SIMPLE = {
    16: "bool",
    17: "binary",
    19: "utf8",
    20: "int64",
    21: "int16",
    23: "int32",
    25: "utf8",
    26: "uint32",
    28: "uint32",
    114: "json",
    700: "float32",
    701: "float64",
    1042: "utf8",
    1043: "utf8",
    1082: "date",
    1083: "time[us]",
    1114: "timestamp[us]",
    1184: "timestamp[us,UTC]",
    2950: "uuid",
    3802: "json",
}
TEXTS = frozenset(
    (
        *(142, 600, 601, 602, 603, 604, 628, 650, 718, 774, 829, 869),  # xml, geometry, cidr, circle, macaddr, inet
        *(1186, 1266, 1560, 1562, 3220, 3614, 3615, 4072),  # interval, timetz, bit, varbit, pg_lsn, tsvector, jsonpath
    )
)
"""Types whose text form round-trips every value."""

_VIEWS = {"int16": "i2", "int32": "i4", "int64": "i8", "uint32": "u4", "float32": "f4", "float64": "f8"}
_AS_TEXT = 'as text, if that will do: CAST("{name}" AS TEXT) in a query'
_NO_ENCODING = "it is not UTF-8, and the database does not say what it is"
_SCALED = "NUMERIC(18, 2)"
_INSTEAD = {
    790: ("its text depends on the server's settings", f'CAST("{{name}}" AS {_SCALED}) in a query'),
    2249: ("it is a row of its own", 'as JSON, if that will do: to_jsonb("{name}") in a query'),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of the catalogue: `name` is its format_type(), `sort` its typtype, `plain` its typname; `item`: arrays."""

    oid: int
    name: str
    sort: str
    plain: str
    item: Kind | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """A column's type here, and the type that the server casts it to, if any."""

    oid: int
    type: str
    cast: str | None = None
    item: Carried | None = None


def carry(kind: Kind, modifier: int, *, unscaled_text: bool = False) -> Carried:
    """Return how a type is read; `unscaled_text` reads numerics without a scale as text. Raises UnsupportedType."""
    if kind.item is not None:
        return _list(kind.oid, kind.item, modifier, unscaled_text=unscaled_text)
    if kind.oid in SIMPLE:
        return Carried(kind.oid, SIMPLE[kind.oid])
    if kind.oid == NUMERIC:
        return _numeric(modifier, as_text=unscaled_text)
    if kind.oid in (BYTE, *TEXTS) or kind.sort in ("e", "r", "m"):
        return Carried(25, "utf8", "text")
    if kind.plain == "citext":
        return Carried(25, "utf8")
    if kind.sort in ("c", "p"):
        raise UnsupportedType(*_INSTEAD[2249])
    raise UnsupportedType(*_INSTEAD.get(kind.oid, ("there is no exact form for it here", _AS_TEXT)))


def _list(oid: int, inner: Kind, modifier: int, *, unscaled_text: bool) -> Carried:
    if inner.sort == "d":
        raise UnsupportedType("its items are no plain values", _AS_TEXT)
    try:
        item = carry(inner, modifier, unscaled_text=unscaled_text)
    except UnsupportedType as refused:
        raise UnsupportedType(refused.reason, refused.instead.replace(_SCALED, f"{_SCALED}[]")) from None
    return Carried(oid, f"list<{item.type}>", item.cast and f"{item.cast}[]", item)


def _numeric(modifier: int, *, as_text: bool) -> Carried:
    if modifier < 4:
        if as_text:
            return Carried(25, "utf8", "text")
        instead = (
            f'CAST("{{name}}" AS {_SCALED}) in a query says how many digits there are; '
            "or set unscaled: text, and give the column a cast"
        )
        raise UnsupportedType("nothing says how many digits it has", instead)
    digits, scale = ((modifier - 4) >> 16) & 0xFFFF, (((modifier - 4) & 0x7FF) ^ 1024) - 1024
    integer_digits = max(digits - scale, 0) if scale >= 0 else digits - scale
    if integer_digits + max(scale, 0) > MAX_DECIMAL_DIGITS:
        raise UnsupportedType(f"decimals here have at most {MAX_DECIMAL_DIGITS} digits", _AS_TEXT)
    return Carried(NUMERIC, f"decimal({max(integer_digits + max(scale, 0), 1)},{max(scale, 0)})")


def decoder(carried: Carried, *, checked: bool = False) -> Decode:
    """Return the decoder of a column's values; `checked` validates texts as UTF-8 (a server of SQL_ASCII)."""
    from osiris.families.postgres import decode as cells
    from osiris.families.sql.columnar import bytes_of

    name, oid = carried.type, carried.oid
    if carried.item:
        inner = decoder(carried.item, checked=checked)
        return cells.lists(inner, carried.item.type, cells.WIDTHS.get(carried.item.type))
    if name in _VIEWS:
        return cells.number(_VIEWS[name], name)
    if oid == NUMERIC:
        return cells.decimals(name)
    if name in ("timestamp[us]", "timestamp[us,UTC]"):
        return cells.moments(name)
    decoders = {16: cells.truth, 1082: cells.dates, 1083: cells.times, 2950: cells.uuids}
    if oid in decoders:
        return decoders[oid]
    skip = 1 if oid == 3802 else 0
    return bytes_of(name, skip, _NO_ENCODING if checked and name != "binary" else None)
