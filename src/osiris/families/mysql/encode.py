"""Encode Arrow arrays as text for LOAD DATA: values separated by commas, texts quoted, NULL as an unquoted word.

A column may not be able to store every value of its type. So each value is checked before it is sent: the server would
round, truncate, reject or reinterpret it. For ENUM and SET, the number of a text is sent instead of the text.
"""

from __future__ import annotations

import re
import socket
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from osiris.families.mysql.target_table import LISTED
from osiris.families.sql.columnar import InvalidCell
from osiris.families.text_format import first_without_spelling, spell
from osiris.families.type_compat import LEAVE_OUT
from osiris.kernels import compiled
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.families.mysql.target_table import Column

    Right = Callable[[pa.Array, Column], pa.Array]

FORM = (
    "CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\n'"
)
"""The clauses of LOAD DATA for the text of `encode_rows`."""

_YEAR = 4
_HEX = np.frombuffer("".join(f"{value:02X}" for value in range(256)).encode(), np.uint16)
_UNITS = {"s": 0, "ms": 3, "us": 6}
_YEARS = (1901, 2155)
_MEDIUM = 24
_SHOWN = 60
_LISTED = 200
"""Maximum number of characters of a declaration in a message."""
_FAMILIES = {"inet4": socket.AF_INET, "inet6": socket.AF_INET6}
_CUT = "the column is {0}, and blanks at the end are cut off"


@compiled("mysql_rows")
def encode_rows(arrays: Sequence[pa.Array]) -> memoryview:
    """Return rows as text; the arrays are those of `sendable`."""
    sink = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=False, quoting_style="needed", null_string="NULL")
    names = [str(number) for number in range(len(arrays))]
    csv.write_csv(pa.RecordBatch.from_arrays(spelled(arrays), names=names), sink, options)
    return memoryview(sink.getvalue())


def spelled(arrays: Sequence[pa.Array]) -> list[pa.Array]:
    """Return arrays with decimals as text, never with an exponent, which the server would read as a DOUBLE."""
    return [spell(array) if pa.types.is_decimal(array.type) else array for array in arrays]


def expression(column: Column, value: str) -> str | None:
    """Return the SQL expression that converts a sent text for a column; None if the text is stored as it is."""
    if column.kind in ("binary", "varbinary", "vector") or column.kind.endswith("blob"):
        return f"UNHEX({value})"
    return f"CAST({value} AS UNSIGNED)" if column.kind in ("bit", *LISTED) else None


def sendable(array: pa.Array, source: str, column: Column) -> pa.Array:
    """Return values in a type whose text is right for the column; raises InvalidCell for one that it would change.

    `source` is the type of the values.
    """
    if column.fills and array.null_count:
        _expect(array, array.is_valid(), f"the column would hold {column.fills} instead; {LEAVE_OUT}")
    if first := first_without_spelling(array):
        raise InvalidCell(*first)
    for right, reason in _checks(source, column):
        _expect(array, right(array, column), reason)
    if column.kind in LISTED:
        return numbered(array, column)
    if column.kind == "year":  # a YEAR column reads 0 as 2000
        return pc.utf8_lpad(array.cast(pa.string()), _YEAR, "0")
    if source in _FORMS:
        return _FORMS[source](array)
    return array.cast(pa.timestamp(array.type.unit)) if parse_type(source).kind == "timestamp" else array


def _hexadecimal(array: pa.Array) -> pa.Array:
    """Return bytes as pairs of hexadecimal digits."""
    array = pa.concat_arrays([array])  # a slice would have an offset into its buffers
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    content = array.buffers()[2]
    raw = np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]] if content else np.empty(0, np.uint8)
    places = (offsets.astype(np.int64) - offsets[0]) * 2
    valid = pa.array(array.is_valid()).buffers()[1] if array.null_count else None
    return pa.LargeStringArray.from_buffers(len(array), pa.py_buffer(places), pa.py_buffer(_HEX[raw]), valid)


def _uuids(array: pa.Array) -> pa.Array:
    return pa.array([None if raw is None else str(UUID(bytes=raw)) for raw in array.storage.to_pylist()], pa.string())


_FORMS: Mapping[str, Callable[[pa.Array], pa.Array]] = {
    "bool": lambda array: array.cast(pa.int8()),
    "float32": lambda array: array.cast(
        pa.float64()
    ),  # the shortest text of the largest FLOAT is larger than the FLOAT
    "binary": _hexadecimal,
    "uuid": _uuids,
    "json": lambda array: array.storage,
}


def _checks(source: str, column: Column) -> list[tuple[Right, str]]:
    """Return the conditions on values, each with its reason."""
    checks: list[tuple[Right, str]] = []
    if source in ("float32", "float64"):
        checks.append((lambda array, _: pc.is_finite(array), "MySQL has no such number"))
        if "(" in column.declared:
            checks.append((_is_rounded, f"the column is {column.declared}"))
    if source.startswith(("time[", "timestamp[")):
        checks.append((_is_short, f"the column has {column.digits} digits behind the second"))
    if column.unsigned and column.kind == "decimal":
        checks.append((lambda array, _: pc.greater_equal(array, pa.scalar(0, array.type)), "the column is unsigned"))
    if column.kind in _KINDS and source not in ("bool", "uuid"):  # the text of a UUID fits each CHAR that can hold it
        right, reason = _KINDS[column.kind]
        checks.append((right, reason.format(column.declared[:_LISTED], column.length)))
    return checks


def _expect(array: pa.Array, right: pa.Array, reason: str) -> None:
    row = pc.index(right, False).as_py()
    if row >= 0:
        raise InvalidCell(row, _shown(array[row]), reason)


def _shown(value: pa.Scalar) -> str:
    try:
        return str(value.as_py())[:_SHOWN] if value.is_valid else "NULL"
    except (ValueError, OverflowError):  # Python has no nanoseconds
        return "a value"


def _is_short(array: pa.Array, column: Column) -> pa.Array:
    """Return for each time whether the digits that the column does not store are zero."""
    step = 10 ** max(_UNITS[array.type.unit] - column.digits, 0)
    count = array.view(pa.int32() if array.type.id == pa.lib.Type_TIME32 else pa.int64())
    return pc.equal(pc.multiply(pc.divide(count, step), step), count)


def _is_rounded(array: pa.Array, column: Column) -> pa.Array:
    return pc.equal(pc.round(array.cast(pa.float64()), column.scale).cast(array.type), array)


def _is_in_range(array: pa.Array, column: Column) -> pa.Array:
    bits = column.digits if column.kind == "bit" else _MEDIUM
    signed = column.kind != "bit" and not column.unsigned
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    limits = np.iinfo(array.type.to_pandas_dtype())
    after = pc.greater_equal(array, pa.scalar(max(least, int(limits.min)), array.type))
    return pc.and_(after, pc.less_equal(array, pa.scalar(min(most, int(limits.max)), array.type)))


def _is_year(array: pa.Array, _: Column) -> pa.Array:
    first, last = _YEARS
    wide = array.cast(pa.int64())
    return pc.or_(pc.equal(wide, 0), pc.and_(pc.greater_equal(wide, first), pc.less_equal(wide, last)))


def _is_not_cut(length: Callable[[pa.Array], pa.Array], array: pa.Array, column: Column) -> pa.Array:
    """Return for each text whether it is stored unchanged: the server truncates trailing blanks of a long one."""
    unpadded = pc.invert(pc.ends_with(array, " "))
    if pc.all(unpadded).as_py() is not False:  # nearly always
        return unpadded
    return pc.or_(unpadded, pc.less_equal(length(array), column.length))


def _is_address(array: pa.Array, column: Column) -> pa.Array:
    """Return for each address whether it is spelled as the server returns it."""

    family = _FAMILIES[column.kind]
    own = [None if text is None else _spelled(family, text) == text for text in array.to_pylist()]
    return pa.array(own, pa.bool_())


def _spelled(family: socket.AddressFamily, text: str) -> str | None:
    """Return an address as MariaDB spells it, which also shortens a single zero; None if it is not an address."""
    try:
        spelled = socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):  # the latter for a text with NUL in it
        return None
    if family == socket.AF_INET or "::" in spelled:
        return spelled
    return re.sub(r"(?:^|:)0(?:$|:)", "::", spelled, count=1)


def _is_full(array: pa.Array, column: Column) -> pa.Array:
    return pc.equal(pc.binary_length(array), column.length)


def _is_member(array: pa.Array, column: Column) -> pa.Array:
    return pc.if_else(pc.is_valid(array), pc.is_valid(numbered(array, column)), None)


_KINDS: Mapping[str, tuple[Right, str]] = {
    "char": (lambda array, _: pc.invert(pc.ends_with(array, " ")), "a column of type CHAR keeps no blanks at the end"),
    "varchar": (partial(_is_not_cut, pc.utf8_length), _CUT),
    **dict.fromkeys(("tinytext", "text", "mediumtext"), (partial(_is_not_cut, pc.binary_length), _CUT)),
    **dict.fromkeys(("binary", "vector"), (_is_full, "the column has values of exactly {1} bytes")),
    **dict.fromkeys(("mediumint", "bit"), (_is_in_range, "the column is {0}")),
    **dict.fromkeys(("inet4", "inet6"), (_is_address, "it is no address as the server spells those of type {0}")),
    **dict.fromkeys(("enum", "set"), (_is_member, "the column is {0}, and has just these values")),
    "year": (_is_year, "a column of type YEAR has 0 and 1901 to 2155"),
}


def numbered(array: pa.Array, column: Column) -> pa.Array:
    """Return the numbers of texts in an ENUM or a SET, and NULL for texts that are not among its values.

    Given a text, the server would also match another case, or take a text of digits for a number.
    """
    each = array.dictionary_encode()
    convert = partial(_place if column.kind == "enum" else _mask, column.members)
    return pa.array(map(convert, each.dictionary.to_pylist()), pa.uint64()).take(each.indices)


def _place(members: Sequence[str | None], text: str) -> int | None:
    return members.index(text) + 1 if text in members else None


def _mask(members: Sequence[str | None], text: str) -> int | None:
    chosen = text.split(",") if text else []
    places = [number for number, member in enumerate(members) if member in chosen]
    same = [members[place] for place in places] == chosen
    return sum(1 << place for place in places) if same else None
