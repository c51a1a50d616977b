"""Arrow arrays as the text that LOAD DATA reads: values behind commas, texts in quotes, NULL as a word without them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from osiris.families.cells import Unfit
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.families.mysql_held import Column

FORM = (
    "CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\n'"
)
"""How LOAD DATA is told to read what `encode_rows` gives."""

_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days since 1970."""
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}
_SHOWN = 60
_FAR = (pa.lib.Type_DATE32, pa.lib.Type_TIMESTAMP)
"""Types whose values may be out of what Python has."""
_HEX = np.frombuffer("".join(f"{value:02X}" for value in range(256)).encode(), np.uint16)


def encode_rows(names: Sequence[str], arrays: Sequence[pa.Array]) -> memoryview:
    """Return rows as text; the arrays are what `sendable` gives."""
    sink = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=False, quoting_style="needed", null_string="NULL")
    csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=list(names)), sink, options)
    return memoryview(sink.getvalue())


def expression(column: Column, value: str) -> str | None:
    """Return what a column is set to for a text that was sent; None if that is the text itself."""
    if column.kind in ("binary", "varbinary") or column.kind.endswith("blob"):
        return f"UNHEX({value})"
    return f"CAST({value} AS UNSIGNED)" if column.kind == "bit" else None


def sendable(array: pa.Array, source: str, column: Column) -> pa.Array:
    """Return values in a form that has the right text; raises Unfit for one that the column would change."""
    _refuse(array, source, column)
    if source in _FORMS:
        return _FORMS[source](array)
    kind = parse_type(source).kind
    if kind == "timestamp":
        return array.cast(pa.timestamp(array.type.unit))
    return array.cast(pa.string()) if kind == "decimal" else array


def _refuse(array: pa.Array, source: str, column: Column) -> None:
    if source in ("float32", "float64"):
        _expect(array, pc.is_finite(array), "MySQL has no such number")
    if source == "date":
        _expect_day(array, array.view(pa.int32()), 1)
    if source.startswith("timestamp"):
        _expect_day(array, array.view(pa.int64()), _PER_DAY[array.type.unit])
    if source == "utf8" and column.kind == "char":
        _expect(array, pc.invert(pc.ends_with(array, " ")), "a column of type CHAR keeps no blanks at the end")
    if source == "binary" and column.kind == "binary":
        right = pc.equal(pc.binary_length(array), column.length)
        _expect(array, right, f"the column has values of exactly {column.length} bytes")


def _expect_day(array: pa.Array, numbers: pa.Array, per_day: int) -> None:
    after = pc.greater_equal(numbers, _FIRST_DAY * per_day)
    _expect(array, pc.and_(after, pc.less(numbers, (_LAST_DAY + 1) * per_day)), "MySQL has the years 1 to 9999")


def _expect(array: pa.Array, right: pa.Array, reason: str) -> None:
    row = pc.index(right, False).as_py()
    if row >= 0:
        raise Unfit(row, str(array[row].as_py())[:_SHOWN] if array.type.id not in _FAR else "a value", reason)


def _hexadecimal(array: pa.Array) -> pa.Array:
    """Return bytes as pairs of hexadecimal digits."""
    array = pa.concat_arrays([array])  # a slice begins somewhere in its buffers
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
    "float32": lambda array: array.cast(pa.float64()),  # the shortest spelling of the largest FLOAT is larger than it
    "binary": _hexadecimal,
    "uuid": _uuids,
    "json": lambda array: array.storage,
}
