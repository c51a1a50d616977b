"""Which column of PostgreSQL holds which of our types, exactly, and how its values are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.families.postgres import encode as to
from osiris.families.postgres import value_checks as checks
from osiris.families.postgres.types import BYTE, NUMERIC, TEXTS, carry
from osiris.families.sql.result import NotCarried
from osiris.families.type_compat import holds
from osiris.types import arrow_type, parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from osiris.families.postgres.encode import Encode, Part
    from osiris.families.postgres.types import Kind

LONGEST_NAME = 63
"""Bytes of a name in UTF-8; the server cuts off what is beyond."""

_TEXT, _VARCHAR, _CHAR, _JSON, _JSONB = 25, 1043, 1042, 114, 3802
_MOMENTS_AS_TEXT = (1186, 1266)
"""interval and time with time zone."""
_PLACES = 6
"""Digits behind the second."""
_HEAD = 4
"""What is added to lengths and digits in the modifier of a type."""
_SYSTEM = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
_NANOSECONDS = "PostgreSQL counts microseconds"
_ZONES = "PostgreSQL keeps the moment and not the zone; cast it to UTC"
_COMPOSED = "PostgreSQL has no such type that is made on the way; turn it into JSON or columns in SQL"

_MADE = {
    "bool": "boolean",
    **dict.fromkeys(("int8", "int16", "uint8"), "smallint"),
    **dict.fromkeys(("int32", "uint16"), "integer"),
    **dict.fromkeys(("int64", "uint32"), "bigint"),
    "uint64": "numeric(20,0)",
    "float32": "real",
    "float64": "double precision",
    "utf8": "text",
    "binary": "bytea",
    "date": "date",
    "uuid": "uuid",
    "json": "json",
}
_DIGITS = {"s": "(0)", "ms": "(3)", "us": ""}
_WHOLE = {"int8": 3, "uint8": 3, "int16": 5, "uint16": 5, "int32": 10, "uint32": 10, "int64": 19, "uint64": 20}
_PLAIN: Mapping[int, tuple[str, Encode]] = {
    16: ("bool", to.truth),
    17: ("binary", to.blobs),
    BYTE: ("utf8", checks.letters),
    20: ("int64", to.number(">i8")),
    21: ("int16", to.number(">i2")),
    19: ("utf8", checks.names),
    23: ("int32", to.number(">i4")),
    _TEXT: ("utf8", to.texts),
    **dict.fromkeys((26, 28), ("uint32", to.number(">u4"))),
    700: ("float32", to.number(">f4")),
    701: ("float64", to.number(">f8")),
    1082: ("date", to.dates),
    2950: ("uuid", to.uuids),
    _JSONB: ("json", checks.parsed_json),
}
_MOMENTS: Mapping[int, tuple[str, str, Encode]] = {
    1083: ("time[", "]", to.times),
    1114: ("timestamp[", "]", to.moments),
    1184: ("timestamp[", ",UTC]", to.moments),
}


@dataclass(frozen=True, slots=True)
class Way:
    """How values get into a column: cast to a type, encoded, and, where `text`, parsed there by the server."""

    type: str
    encode: Encode
    text: bool = False

    @property
    def staged(self) -> str | None:
        """The type of the server in which values wait until it parses them; None if they need not."""
        return ("text[]" if self.type.startswith("list<") else "text") if self.text else None

    def parts(self, array: pa.Array) -> Sequence[Part]:
        """Return the parts of a column; raises Unfit."""
        return self.encode(array if array.type == arrow_type(self.type) else array.cast(arrow_type(self.type)))


def way(kind: Kind, modifier: int, source: str) -> Way | None:
    """Return how values of one of our types get into a column; None if it does not hold them.

    What is read from a column always gets into one of the same type. Where that is fewer values than the type has,
    those that the column would change are Unfit.
    """
    if kind.item:
        return _list(kind.item, modifier, source) if source.startswith("list<") else None
    if kind.oid == NUMERIC:
        return _unscaled(source) if modifier < _HEAD and source == "utf8" else _decimal(kind, modifier, source)
    if kind.oid in _PLAIN:
        wide, encode = _PLAIN[kind.oid]
        return Way(wide, encode) if holds(wide, source) else None
    if kind.oid in _MOMENTS:
        return _moment(kind.oid, modifier, source)
    return _text(kind, modifier, source)


def _list(item: Kind, modifier: int, source: str) -> Way | None:
    inner = None if item.item or item.sort == "d" else way(item, modifier, source[5:-1])
    if inner is None:
        return None
    return Way(f"list<{inner.type}>", to.lists(inner.encode, _TEXT if inner.text else item.oid), inner.text)


def _unscaled(source: str) -> Way:
    return Way(source, checks.numbers, text=True)


def _decimal(kind: Kind, modifier: int, source: str) -> Way | None:
    found = parse_type(source)
    digits, scale = (_WHOLE[source], 0) if source in _WHOLE else (0, 0)
    if found.kind == "decimal":
        digits, scale = map(int, found.parameters)
    if not digits:
        return None
    if modifier >= _HEAD:
        most, places = ((modifier - _HEAD) >> 16) & 0xFFFF, (((modifier - _HEAD) & 0x7FF) ^ 1024) - 1024
        if scale > places or digits - scale > most - places:
            odd = not 0 <= places <= most and source == _read_as(kind, modifier)
            return Way(source, checks.odd_decimals(most, places)) if odd else None
    return Way("decimal(20,0)" if source in _WHOLE else source, to.decimals)


def _moment(oid: int, modifier: int, source: str) -> Way | None:
    begin, end, encode = _MOMENTS[oid]
    if modifier in range(_PLACES):
        encode = checks.rounded_moments(encode, modifier)
    return Way(f"{begin}us{end}", encode) if holds(f"{begin}us{end}", source) else None


def _text(kind: Kind, modifier: int, source: str) -> Way | None:
    if kind.oid == _JSON:
        return Way(source, to.texts) if source in ("json", "utf8") else None
    if source != "utf8":
        return None
    if kind.oid in (_VARCHAR, _CHAR):
        limit = modifier - _HEAD
        return Way(source, checks.limited(limit, exact=kind.oid == _CHAR) if limit >= 0 else to.texts)
    if kind.sort == "e" or kind.plain == "citext":
        return Way(source, to.texts)
    encode = checks.fine_moments if kind.oid in _MOMENTS_AS_TEXT or kind.plain.startswith("ts") else to.texts
    return Way(source, encode, text=True) if kind.oid in TEXTS or kind.sort in ("r", "m") else None


def cast_for(kind: Kind, modifier: int) -> str | None:
    """Return the type that values may be cast to before, so that a column takes them; None if there is none."""
    return _PLAIN[kind.oid][0] if kind.oid in _PLAIN else _read_as(kind, modifier)


def _read_as(kind: Kind, modifier: int) -> str | None:
    """Return the type that values of a column have when they are read."""
    try:
        return carry(kind, modifier, unscaled_text=True).type
    except NotCarried:
        return None


def column_type(name: str) -> str | None:
    """Return the type of PostgreSQL that is made for one of ours and holds all of its values; None if there is none."""
    found = parse_type(name)
    if found.kind == "decimal":
        return "numeric({},{})".format(*found.parameters)
    if found.kind in ("time", "timestamp"):
        unit, *zone = found.parameters
        made = found.kind + _DIGITS.get(str(unit), "")
        return None if unit == "ns" or zone not in ([], ["UTC"]) else made + (" with time zone" if zone else "")
    if found.kind == "list":
        item = column_type(name[5:-1])
        return None if item is None or item.endswith("[]") else f"{item}[]"
    return _MADE.get(found.kind)


def refusals(types: Mapping[str, str]) -> dict[str, str]:
    """Return why columns cannot be carried, by their names; `types` are ours by name."""
    found = {name: _reason(kind) for name, kind in types.items() if column_type(kind) is None}
    for name in types:
        if not name or "\0" in name:
            found[name] = "its name is empty or has the character U+0000"
        elif len(name.encode()) > LONGEST_NAME:
            found[name] = f"its name is longer than {LONGEST_NAME} bytes, and PostgreSQL would cut it off"
        elif name in _SYSTEM:
            found[name] = "PostgreSQL has a column of that name in each table"
    return found


def _reason(name: str) -> str:
    found = parse_type(name)
    while found.kind == "list" and not found.children[0][1].children:
        found = found.children[0][1]
    if found.kind in ("time", "timestamp"):
        return _NANOSECONDS if found.parameters[0] == "ns" else _ZONES
    return _COMPOSED
