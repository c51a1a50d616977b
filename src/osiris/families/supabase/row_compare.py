"""Compare rows returned by a table with those sent: REST does not say beforehand what the table rewrites."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.families.postgres.types import Kind

_ADDRESS, _INTERVAL = 869, 1186
_WHOLE_NETWORK = re.compile(r"/(?:32|128)$")
_NUMBER = r"([-+]?\d+(?:\.\d+)?)"
_ISO = re.compile(
    f"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
)
_PLAIN = re.compile(
    rf"(?:{_NUMBER} years? ?)?(?:{_NUMBER} mons? ?)?(?:{_NUMBER} days? ?)?(?:([-+]?)(\d+):(\d+):(\d+(?:\.\d+)?))?"
)


def same_rows(sent: Sequence[pa.Array], back: Sequence[pa.Array], kinds: Sequence[Kind]) -> bool:
    """Whether two sets of columns have the same rows, in any order; `kinds` are the table's column types."""
    return _counted(sent, kinds) == _counted(back, kinds)


def _counted(columns: Sequence[pa.Array], kinds: Sequence[Kind]) -> Counter[tuple[str, ...]]:
    """Count equal rows."""
    comparable = (_comparable(column, kind) for column, kind in zip(columns, kinds, strict=True))
    return Counter(zip(*(map(repr, values) for values in comparable), strict=True))


def _comparable(column: pa.Array, kind: Kind) -> Sequence[object]:
    """Return values that compare as equal if they are the same; timestamps as integers, as Python lacks some."""
    values: Sequence[object] = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
    read = _READ.get((kind.item or kind).oid)
    if read is None:
        return values
    return [[i and read(i) for i in v] if isinstance(v, list) else v and read(str(v)) for v in values]


def _address(text: str) -> str:
    return _WHOLE_NETWORK.sub("", text)


def _interval(text: str) -> object:
    """Return the months, days and seconds of an interval in ISO 8601 or postgres style; else its text."""
    if text.startswith("P") and (iso := _ISO.fullmatch(text)):
        years, months, days, *clock = (Decimal(part or 0) for part in iso.groups())
    elif plain := _PLAIN.fullmatch(text):
        *date, sign, hours, minutes, seconds = plain.groups()
        years, months, days = (Decimal(part or 0) for part in date)
        clock = [Decimal(f"{sign or ''}{part or 0}") for part in (hours, minutes, seconds)]
    else:
        return text
    return (years * 12 + months, days, clock[0] * 3600 + clock[1] * 60 + clock[2])


_READ: dict[int, Callable[[str], object]] = {_ADDRESS: _address, _INTERVAL: _interval}
"""Converters of types whose values have more than one text form, by OID."""
