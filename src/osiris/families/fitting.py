"""Which type holds every value of another, as it is."""

from __future__ import annotations

import re

from osiris.types import Type, parse_type

_INTEGER = re.compile(r"(u?)int(8|16|32|64)")
_UNITS = ("s", "ms", "us", "ns")


def holds(wide: str, narrow: str) -> bool:
    """Tell whether each value of the type spelled `narrow` is a value of the type spelled `wide`."""
    if wide == narrow:
        return True
    target, source = parse_type(wide), parse_type(narrow)
    if target.kind == source.kind == "decimal":
        return _holds_decimal(target, source)
    if target.kind == source.kind and target.kind in ("time", "timestamp"):
        return _holds_moment(target, source)
    return _holds_number(wide, narrow)


def _holds_decimal(target: Type, source: Type) -> bool:
    (digits, scale), (needed, needed_scale) = (tuple(map(int, each.parameters)) for each in (target, source))
    return scale >= needed_scale and digits - scale >= needed - needed_scale


def _holds_moment(target: Type, source: Type) -> bool:
    (unit, *zone), (needed, *needed_zone) = target.parameters, source.parameters
    return zone == needed_zone and _UNITS.index(str(unit)) >= _UNITS.index(str(needed))


def _holds_number(wide: str, narrow: str) -> bool:
    if (wide, narrow) == ("float64", "float32"):
        return True
    target, source = _INTEGER.fullmatch(wide), _INTEGER.fullmatch(narrow)
    if not target or not source or (target[1] and not source[1]):
        return False
    return int(target[2]) > int(source[2])
