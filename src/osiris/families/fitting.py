"""Which type holds every value of another, as it is."""

from __future__ import annotations

import re

from osiris.types import Type, parse_type

_INTEGER = re.compile(r"(u?)int(8|16|32|64)")
_NUMBER_OR_TEXT = re.compile(r"u?int\d+|float\d+|decimal|utf8")
_SPELLED = {"utf8", "bool", "date", "time", "timestamp"}
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


def cast_hint(column: str, wide: str | None, narrow: str) -> str | None:
    """Return the hint at the cast that gives a column values it holds; None where there is none.

    `wide` is the type whose values it holds, if any, and `narrow` the one that it is given.
    """
    if wide is None or holds(wide, narrow) or not _castable(parse_type(narrow).kind, parse_type(wide).kind):
        return None
    # In a YAML mapping on one line, a comma would end the value.
    written = f'"{wide}"' if "," in wide else wide
    return f"change the table, or give the config of the step that reads 'cast: {{{column}: {written}}}'"


def _castable(source: str, target: str) -> bool:
    kinds = {source, target}
    if source == target:
        return source != "list"
    return all(map(_NUMBER_OR_TEXT.fullmatch, kinds)) or ("utf8" in kinds and kinds < _SPELLED)


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
