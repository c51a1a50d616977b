"""Digests of data: equal rows have equal digests on any machine, with any batch sizes and versions of an engine.

docs/decisions/0002-digests.md defines them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_

from osiris.canonical import fingerprint
from osiris.kernels import compiled
from osiris.table.hashing import ends, fixed, hash_cells, is_text, plain, side_by_side
from osiris.table.stream import conform
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from osiris.model import JsonValue, Order, Schema
    from osiris.table.hashing import Words

    Parts = tuple[pa.Buffer, pa.Buffer, pa.Buffer]


_NOTHING = pa.py_buffer(b"")

_ROWS = 8_192
"""The rows that are hashed at a time: their arrays fit into the processor's cache."""


class Digester:
    """The digest of a stream of batches: it depends on the order of rows if that is `fixed`, else not."""

    def __init__(self, schema: Schema, order: Order) -> None:
        self._schema = schema
        self._arrow = arrow_schema(schema)
        self._rows = 0
        self._state = _Ordered(self._arrow) if order == "fixed" else _Unordered(self._arrow)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch; fails with DAT016 if it has another schema."""
        self.add(conform(batch, self._schema, self._arrow))

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch whose schema has been checked, as those of a `RowStream` are."""
        self._state.update([plain(column) for column in batch.columns])
        self._rows += batch.num_rows

    def result(self) -> dict[str, JsonValue]:
        """Return kind, algorithm, row count, hash of the schema, hash of each column, and overall `value`."""
        columns, total = self._state.result()
        head = {"kind": self._state.kind, "algorithm": self._state.algorithm, "rows": self._rows}
        head["schema"] = fingerprint([[column.name, column.type] for column in self._schema])
        names = [column.name for column in self._schema]
        return {
            **head,
            "columns": dict(zip(names, columns, strict=True)),
            "value": fingerprint({**head, "data": total}),
        }


class _Ordered:
    kind, algorithm = "ordered", "sha256"

    def __init__(self, arrow: pa.Schema) -> None:
        self._columns = [OrderedColumn(field.type) for field in arrow]

    def update(self, arrays: list[pa.Array]) -> None:
        for column, array in zip(self._columns, arrays, strict=True):
            column.update(array)

    def result(self) -> tuple[list[str], JsonValue]:
        """Return one hash per column, and the input of the overall hash: all of them."""
        columns = [column.digest().hex() for column in self._columns]
        return columns, columns


class _Unordered:
    kind, algorithm = "unordered", "moments"

    def __init__(self, arrow: pa.Schema) -> None:
        self._rows = UnorderedRows(len(arrow))

    def update(self, arrays: list[pa.Array]) -> None:
        self._rows.update(arrays)

    def result(self) -> tuple[list[str], JsonValue]:
        """Return one sum per column, and the input of the overall hash: the sum over the rows."""
        return self._rows.columns(), self._rows.rows()


class OrderedColumn:
    """The running digest of one column, and of its inner columns if it holds lists or structs.

    To be independent of batches it has three hashes: of the row numbers of NULLs, of lengths, and of non-NULL values.
    The digest is the hash of these three and of the digests of the inner columns.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self._rows = 0
        self._hashes = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._inner = [OrderedColumn(kind.field(i).type) for i in range(kind.num_fields)]

    def update(self, array: pa.Array) -> None:
        """Add the rows of an array."""
        parts = _nested_parts if self._inner else ordered_parts
        for hash_, part in zip(self._hashes, parts(array, self._rows), strict=True):
            hash_.update(part)
        self._rows += len(array)
        for column, child in zip(self._inner, _children(array), strict=True):
            column.update(child)

    def digest(self) -> bytes:
        """Return the digest so far, 32 bytes."""
        parts = [hash_.digest() for hash_ in self._hashes]
        return hashlib.sha256(b"".join(parts + [column.digest() for column in self._inner])).digest()


@compiled("digest_parts")
def ordered_parts(array: pa.Array, first: int) -> Parts:
    """Return the row numbers of NULLs, counted from `first`, the lengths of texts, and the bytes of values."""
    values = array.drop_null() if array.null_count else array
    if not is_text(values.type):
        return _nulls(array, first), _NOTHING, _bytes_of(fixed(values))
    begin, end = ends(values)
    data = values.buffers()[2].slice(begin, end - begin) if end > begin else _NOTHING
    return _nulls(array, first), _bytes_of(pc.binary_length(values)), data


def _nested_parts(array: pa.Array, first: int) -> Parts:
    """Return the same for lists or structs, whose values are inner columns."""
    lengths = _bytes_of(pc.list_value_length(array).drop_null()) if is_.is_list(array.type) else _NOTHING
    return _nulls(array, first), lengths, _NOTHING


def _children(array: pa.Array) -> list[pa.Array]:
    """Return the items of lists or the fields of structs, of rows that are not NULL; other types have no children."""
    if not array.type.num_fields:
        return []
    values = array.drop_null() if array.null_count else array
    return [values.flatten()] if is_.is_list(array.type) else values.flatten()


def _nulls(array: pa.Array, first: int) -> pa.Buffer:
    if not array.null_count:
        return _NOTHING
    return _bytes_of(pc.add(pc.indices_nonzero(array.is_null()), pa.scalar(first, pa.uint64())))


def _bytes_of(array: pa.Array) -> pa.Buffer:
    """Return the bytes of a fixed-width array without NULL."""
    width = array.type.bit_width // 8
    return array.buffers()[1].slice(array.offset * width, len(array) * width)


class UnorderedRows:
    """Running sums over rows: of the hashes of cells for each column, and of the hashes of rows."""

    def __init__(self, columns: int) -> None:
        self._sums = np.zeros((columns + 1, 2), np.uint64)

    def update(self, arrays: list[pa.Array]) -> None:
        """Add rows, given as one array per column."""
        self._sums += sums_of(arrays)

    def columns(self) -> list[str]:
        """Return the sums of each column as 32 hex digits."""
        return [f"{first:016x}{second:016x}" for first, second in self._sums[:-1].tolist()]

    def rows(self) -> str:
        """Return the sums over the rows as 32 hex digits."""
        first, second = self._sums[-1].tolist()
        return f"{first:016x}{second:016x}"


@compiled("digest_rows")
def sums_of(arrays: list[pa.Array]) -> Words:
    """Return two sums modulo 2**64 for each column, and then for the rows.

    The first is that of the hashes, the second that of their squares plus the number of NULLs.
    """
    sums = np.zeros((len(arrays) + 1, 2), np.uint64)
    for start in range(0, len(arrays[0]) if arrays else 0, _ROWS):
        parts = [array.slice(start, _ROWS) for array in arrays]
        cells = [hash_cells(part) for part in parts]
        nulls = [part.null_count for part in parts]
        for total, hashes, count in zip(sums, [*cells, side_by_side(cells)], [*nulls, sum(nulls)], strict=True):
            total += (hashes.sum(), hashes.dot(hashes) + np.uint64(count))
    return sums
