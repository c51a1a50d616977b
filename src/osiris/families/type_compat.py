"""Compatibility of types: which type can represent every value of another."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from osiris.errors import diagnostic, nearest
from osiris.types import Type, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from osiris.errors import Diagnostic

LEAVE_OUT = "leave the column out of the rows if that is meant"
"""The hint for a table that would replace NULL by a value."""

REFRESH = "(if a source has changed: osiris compile FILE --refresh)"
"""The hint for rows that do not fit a table, possibly as their source has other columns than osiris.lock says."""

_INTEGER = re.compile(r"(u?)int(8|16|32|64)")
_NUMBER_OR_TEXT = re.compile(r"u?int\d+|float\d+|decimal|utf8")
_SPELLED = {"utf8", "bool", "date", "time", "timestamp"}
_CASTS = (("uint64", "decimal(38,0)"), ("decimal(", "utf8"), ("time[", "time[us]"), ("timestamp[", "timestamp[us]"))
"""Prefixes of types that few targets have, and the types to cast them to."""
_IN_SQL = (
    ("list<", "CAST(to_json({}) AS VARCHAR)"),
    ("struct<", "CAST(to_json({}) AS VARCHAR)"),
    ("uuid", "CAST({} AS VARCHAR)"),
    ("binary", "hex({})"),
)
"""Prefixes of types without such a cast, and the SQL that converts them to text."""
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNITS = ("s", "ms", "us", "ns")

EARLIER_TYPES = {
    "str": "utf8",
    "string": "utf8",
    "object": "utf8",
    "category": "utf8",
    "int": "int64",
    "integer": "int64",
    "float": "float64",
    "double": "float64",
    "boolean": "bool",
    "date32": "date",
    "datetime": "timestamp[us]",
    "datetime64": "timestamp[us]",
    "datetime64[s]": "timestamp[s]",
    "datetime64[ms]": "timestamp[ms]",
    "datetime64[us]": "timestamp[us]",
    "datetime64[ns]": "timestamp[ns]",
    "datetime64[ns, UTC]": "timestamp[ns,UTC]",
    **{f"{sign}Int{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "Float32": "float32",
    "Float64": "float64",
}
"""Data frame names of types that a dtype may have, and ours."""


def holds(wide: str, narrow: str) -> bool:
    """Return whether the type `wide` can represent every value of the type `narrow`; both are spelled in full."""
    if wide == narrow:
        return True
    target, source = parse_type(wide), parse_type(narrow)
    if target.kind == source.kind == "decimal":
        return _holds_decimal(target, source)
    if target.kind == source.kind and target.kind in ("time", "timestamp"):
        return _holds_moment(target, source)
    return _holds_number(wide, narrow)


def cast_hint(column: str, wide: str | None, narrow: str) -> str | None:
    """Return the hint for the cast that makes values fit a column; None if there is none.

    `wide` is the type of the column, if it has one, and `narrow` that of the values.
    """
    if wide is None or holds(wide, narrow) or not _castable(parse_type(narrow).kind, parse_type(wide).kind):
        return None
    # In a YAML mapping on one line, a comma would end the value.
    written = f'"{wide}"' if "," in wide else wide
    return f"change the table, or give the config of the step that reads 'cast: {{{column}: {written}}}' {REFRESH}"


def column_hint(name: str, names: Iterable[str], statement: str) -> str:
    """Return the hint for a column that a table does not have; the statement adds it."""
    near = nearest(name, names)
    return f"did you mean '{near}'? {REFRESH}; if the column is new, run {statement}" if near else f"run {statement}"


def uncarried(step: str, column: str, kind: str, reason: str) -> Diagnostic:
    """Return the diagnostic CMP012 for a column that cannot be written, with a hint how to convert it."""
    about_name = "name" in reason
    return diagnostic(
        "CMP012", step=step, column=column, type=kind, reason=reason, hint=None if about_name else _other(column, kind)
    )


def _other(column: str, kind: str) -> str | None:
    """Return the hint how to convert a column to a type that more targets have; None if there is none."""
    cast = "timestamp[us,UTC]" if kind.startswith("timestamp[") and "," in kind else _by_start(_CASTS, kind)
    if cast and cast != kind:
        key = column if _PLAIN_NAME.fullmatch(column) else json.dumps(column, ensure_ascii=False)
        return f'write cast: {{{key}: "{cast}"}} into the config of this step'
    text = _by_start(_IN_SQL, kind)
    quoted = '"' + column.replace('"', '""') + '"'
    return text and f"make a text of it in a SQL step before: {text.format(quoted)} AS {quoted}"


def _by_start(table: Iterable[tuple[str, str]], kind: str) -> str | None:
    return next((text for start, text in table if kind.startswith(start)), None)


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
