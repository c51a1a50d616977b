"""Arrow arrays as the text that LOAD DATA reads: values behind commas, texts in quotes, NULL as a word without them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from osiris.families.mysql.column_mapping import LISTED
from osiris.families.mysql.value_checks import numbered, refuse_unfit
from osiris.families.text_format import spell
from osiris.types import parse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.families.mysql.column_mapping import Column

FORM = (
    "CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\n'"
)
"""How LOAD DATA is told to read what `encode_rows` gives."""

_YEAR = 4
_HEX = np.frombuffer("".join(f"{value:02X}" for value in range(256)).encode(), np.uint16)


def encode_rows(names: Sequence[str], arrays: Sequence[pa.Array]) -> memoryview:
    """Return rows as text; the arrays are what `sendable` gives."""
    sink = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=False, quoting_style="needed", null_string="NULL")
    csv.write_csv(pa.RecordBatch.from_arrays(arrays, names=list(names)), sink, options)
    return memoryview(sink.getvalue())


def expression(column: Column, value: str) -> str | None:
    """Return what a column is set to for a text that was sent; None if that is the text itself."""
    if column.kind in ("binary", "varbinary", "vector") or column.kind.endswith("blob"):
        return f"UNHEX({value})"
    return f"CAST({value} AS UNSIGNED)" if column.kind in ("bit", *LISTED) else None


def sendable(array: pa.Array, source: str, column: Column) -> pa.Array:
    """Return values in a form that has the right text; raises Unfit for one that the column would change."""
    refuse_unfit(array, source, column)
    if column.kind in LISTED:
        return numbered(array, column)
    if column.kind == "year":  # which takes 0 for 2000
        return pc.utf8_lpad(array.cast(pa.string()), _YEAR, "0")
    if source in _FORMS:
        return _FORMS[source](array)
    kind = parse_type(source).kind
    if kind == "timestamp":
        return array.cast(pa.timestamp(array.type.unit))
    return spell(array) if kind == "decimal" else array


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
