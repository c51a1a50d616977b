"""SQLite's declared types as Osiris types, and conversion of values in both directions.

SQLite stores any value in any column and does not enforce declared types, so each value that is read is checked. For
types that SQLite lacks, values are stored as text under our own type names, which end in `_TEXT`: SQLite does not
convert such values, and the name identifies the type when the table is read.
"""

from __future__ import annotations

import json
import re
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from osiris.families.text_format import first_without_spelling
from osiris.families.type_compat import LEAVE_OUT, holds
from osiris.types import MAX_DECIMAL_DIGITS, arrow_type, parse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.families.sql.database import Column

    Read = Callable[[Sequence[object], pa.DataType], pa.Array]

EXACT_DIGITS = 15
"""The digits of a decimal that are exact as a double, which SQLite stores in a NUMERIC column."""

_DECLARED = re.compile(r"\s*(\w+(?:\s+\w+)*)\s*(?:\(\s*([0-9]+)\s*(?:,\s*([0-9]+)\s*)?\))?\s*")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_UNITS = {"0": "s", "3": "ms", "6": "us", "9": "ns"}
_DIGITS = {unit: digits for digits, unit in _UNITS.items()}

_NAMED = {
    **dict.fromkeys(("BOOLEAN", "BOOL"), "bool"),
    **dict.fromkeys(("DATE", "DATE_TEXT"), "date"),
    **dict.fromkeys(("DATETIME", "TIMESTAMP"), "timestamp[us]"),
    **dict.fromkeys(("UUID", "UUID_TEXT"), "uuid"),
    **dict.fromkeys(("JSON", "JSON_TEXT"), "json"),
    "TIME": "time[us]",
}
_MOMENTS = {"TIME_TEXT": "time[{}]", "TIMESTAMP_TEXT": "timestamp[{}]", "TIMESTAMPTZ_TEXT": "timestamp[{},UTC]"}
_DECIMALS = ("DECIMAL", "NUMERIC", "DECIMAL_TEXT")
_AFFINITIES = {
    "INT": "int64",
    **dict.fromkeys(("CHAR", "CLOB", "TEXT"), "utf8"),
    "BLOB": "binary",
    **dict.fromkeys(("REAL", "FLOA", "DOUB"), "float64"),
}
"""Words within a declared type, in the order in which SQLite checks them (https://sqlite.org/datatype3.html)."""

_STORED = {
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"), "INTEGER"),
    **dict.fromkeys(("float32", "float64"), "REAL"),
    "bool": "BOOLEAN",
    "utf8": "TEXT",
    "binary": "BLOB",
    "date": "DATE_TEXT",
    "uuid": "UUID_TEXT",
    "json": "JSON_TEXT",
}


def type_of(declared: str) -> str | None:
    """Return the Osiris type of a declared type; None if it has none."""
    match = _DECLARED.fullmatch(declared.upper())
    if not match:
        return None
    name, first, second = match.groups()
    if name in _DECIMALS:
        return _decimal_type(int(first or 0), int(second or 0))
    if name in _MOMENTS:
        return _MOMENTS[name].format(_UNITS.get(first or "6", "us"))
    return _NAMED.get(name) or next((kind for word, kind in _AFFINITIES.items() if word in name), None)


def _decimal_type(digits: int, scale: int) -> str | None:
    return f"decimal({digits},{scale})" if 0 < digits <= MAX_DECIMAL_DIGITS else None


def column_type(kind: str) -> str | None:
    """Return the declared type that stores every value of an Osiris type unchanged; None if there is none."""
    parsed = parse_type(kind)
    if parsed.kind == "decimal":
        return f"DECIMAL_TEXT({', '.join(map(str, parsed.parameters))})"
    if parsed.kind in ("time", "timestamp"):
        unit, *zone = parsed.parameters
        name = "TIMESTAMPTZ" if zone else parsed.kind.upper()
        return f"{name}_TEXT({_DIGITS[str(unit)]})" if zone in ([], ["UTC"]) else None
    return _STORED.get(parsed.kind)


def is_readable(kind: str) -> bool:
    """Return whether a column can be read as that type."""
    return parse_type(kind).kind in _READ


def holds_exactly(column: Column, kind: str) -> bool:
    """Return whether a column stores each value of a type unchanged: SQLite may convert text to a number."""
    if column.type is None or not holds(column.type, kind):
        return False
    parsed = parse_type(kind)
    if "TEXT" in column.declared.upper() or parsed.kind not in ("decimal", "json"):
        return True
    return parsed.kind == "decimal" and int(parsed.parameters[0]) <= EXACT_DIGITS


def read_values(values: Sequence[object], kind: str) -> pa.Array | None:
    """Return values of SQLite as an array; None if one of them is not of that type."""
    right, read = _READ[parse_type(kind).kind]
    if set(map(type, values)) - {type(None)} - right:
        return None
    try:
        return read(values, arrow_type(kind))
    except (pa.ArrowException, ArithmeticError, LookupError, ValueError):
        return None


def _each(convert: Callable[[Any], object]) -> Read:
    """Return a reader that converts values one by one; `convert` raises ValueError for an invalid value."""

    def read(values: Sequence[object], kind: pa.DataType) -> pa.Array:
        items = [None if value is None else convert(value) for value in values]
        if isinstance(kind, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(kind, pa.array(items, kind.storage_type))
        return pa.array(items, kind)

    return read


def _decimal(value: object) -> Decimal:
    """Return a number as a decimal: the shortest text of a double is the decimal that was stored."""
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError
    number = Decimal(repr(value) if isinstance(value, float) else str(value))
    if not number.is_finite():
        raise ValueError
    return number


def _read_text(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    return pa.array(values, pa.string()).cast(kind)


def _read_time(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    day = pa.scalar("1970-01-01")
    moments = pc.binary_join_element_wise(day, pa.array(values, pa.string()), " ")
    return moments.cast(pa.timestamp(kind.unit)).cast(kind)


def _json(value: str) -> str:
    json.loads(value)
    return value


_READ: dict[str, tuple[set[type], Read]] = {
    "bool": ({int}, _each({0: False, 1: True}.__getitem__)),
    "float64": ({float, int}, pa.array),
    "decimal": ({int, float, str}, _each(_decimal)),
    "utf8": ({str}, pa.array),
    "binary": ({bytes}, pa.array),
    **dict.fromkeys(("date", "timestamp"), ({str}, _read_text)),
    "time": ({str}, _read_time),
    "uuid": ({str}, _each(lambda value: uuid.UUID(value).bytes)),
    "json": ({str}, _each(_json)),
    **dict.fromkeys((f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), ({int}, pa.array)),
}
"""For each kind of type, the Python types of its values in SQLite, and the function that makes an array of them."""


def first_refused(array: pa.Array, kind: str, *, numbered: bool = False) -> tuple[int, str, str] | None:
    """Return row, text and reason of the first value that SQLite would change, or that could not be read again.

    `numbered`: the column is the rowid.
    """
    if numbered and array.null_count:
        return _first(array, array.is_null(), f"the column would hold the next number instead; {LEAVE_OUT}")
    parsed = parse_type(kind)
    if parsed.kind in ("float32", "float64"):
        return _first(array, pc.is_nan(array), "SQLite makes NULL of NaN") or _first(
            array, _negative_zeros(array), "SQLite makes 0.0 of -0.0; add 0.0 to it in SQL if the sign says nothing"
        )
    if parsed.kind in ("date", "timestamp"):
        return first_without_spelling(array)
    return None


def _negative_zeros(array: pa.Array) -> pa.Array:
    return pc.and_(pc.equal(array, 0.0), pc.less(pc.divide(1.0, array), 0.0))


def _first(array: pa.Array, wrong: pa.Array, why: str) -> tuple[int, str, str] | None:
    row = pc.index(wrong, pa.scalar(value=True)).as_py()
    return (row, str(array[row]) if array[row].is_valid else "NULL", why) if row >= 0 else None


def stored_values(array: pa.Array, kind: str) -> list[object]:
    """Return an array as values for SQLite."""
    name = parse_type(kind).kind
    if name == "decimal":
        return [None if value is None else format(value, "f") for value in array.to_pylist()]
    if name in ("date", "time", "timestamp"):
        return list(array.cast(pa.string()).to_pylist())
    if name == "uuid":
        return [None if raw is None else str(uuid.UUID(bytes=raw)) for raw in array.storage.to_pylist()]
    return list((array.storage if name == "json" else array).to_pylist())
