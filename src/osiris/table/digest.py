"""Digests of data: equal rows have an equal digest, on any machine, in any batches, with any version of an engine.

docs/decisions/0002-digests.md defines them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_

from osiris.canonical import fingerprint
from osiris.table.hashing import WORD, ends, fixed, hash_cells, is_text, plain, side_by_side
from osiris.table.stream import conform
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from osiris.model import JsonValue, Order, Schema
    from osiris.table.hashing import Words


_ROWS = 8_192
"""So many rows are hashed at a time: their arrays stay in the processor's cache."""


class Digester:
    """The digest of a stream of batches: ordered where the order of its rows is fixed, else of the rows as a bag."""

    def __init__(self, schema: Schema, order: Order) -> None:
        self._schema = schema
        self._arrow = arrow_schema(schema)
        self._rows = 0
        self._state = _Ordered(self._arrow) if order == "fixed" else _Unordered(self._arrow)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch; fails with DAT016 if it is of another schema."""
        self.add(conform(batch, self._schema, self._arrow))

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch that a stream of the schema gave, which has looked at it."""
        self._state.update([plain(column) for column in batch.columns])
        self._rows += batch.num_rows

    def result(self) -> dict[str, JsonValue]:
        """Return kind, algorithm, rows, the hash of the schema, one hash by column, and the hash of the whole."""
        columns, whole = self._state.result()
        head = {"kind": self._state.kind, "algorithm": self._state.algorithm, "rows": self._rows}
        head["schema"] = fingerprint([[column.name, column.type] for column in self._schema])
        names = [column.name for column in self._schema]
        return {
            **head,
            "columns": dict(zip(names, columns, strict=True)),
            "value": fingerprint({**head, "data": whole}),
        }


class _Ordered:
    kind, algorithm = "ordered", "sha256"

    def __init__(self, arrow: pa.Schema) -> None:
        self._columns = [OrderedColumn(field.type) for field in arrow]

    def update(self, arrays: list[pa.Array]) -> None:
        for column, array in zip(self._columns, arrays, strict=True):
            column.update(array)

    def result(self) -> tuple[list[str], JsonValue]:
        """Return one hash per column, and what the hash of the whole covers: all of them."""
        columns = [column.digest().hex() for column in self._columns]
        return columns, columns


class _Unordered:
    kind, algorithm = "unordered", "moments"

    def __init__(self, arrow: pa.Schema) -> None:
        self._rows = UnorderedRows(len(arrow))

    def update(self, arrays: list[pa.Array]) -> None:
        self._rows.update(arrays)

    def result(self) -> tuple[list[str], JsonValue]:
        """Return one sum per column, and what the hash of the whole covers: the sum over the rows."""
        return self._rows.columns(), self._rows.rows()


class OrderedColumn:
    """The running state of one column, and of what is inside it if it holds lists or structs.

    Three hashes run side by side, so that batches leave no trace: row numbers of NULLs, lengths, and values that are
    not NULL. The digest is the hash of these three and of the digests of the inner columns.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self._rows = 0
        self._nulls, self._lengths, self._values = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._inner = [OrderedColumn(kind.field(i).type) for i in range(kind.num_fields)]

    def update(self, array: pa.Array) -> None:
        """Add the rows of an array."""
        kind = array.type
        values = self._without_nulls(array)
        if not len(values):
            return
        if is_text(kind):
            self._add_bytes(values)
        elif is_.is_list(kind):
            self._add_lengths(values)
            self._inner[0].update(values.flatten())
        elif is_.is_struct(kind):
            for column, child in zip(self._inner, values.flatten(), strict=True):
                column.update(child)
        else:
            self._values.update(_bytes_of(fixed(values)))

    def digest(self) -> bytes:
        """Return the 32 bytes of everything so far."""
        parts = [self._nulls.digest(), self._lengths.digest(), self._values.digest()]
        return hashlib.sha256(b"".join(parts + [column.digest() for column in self._inner])).digest()

    def _without_nulls(self, array: pa.Array) -> pa.Array:
        start, self._rows = self._rows, self._rows + len(array)
        if not array.null_count:
            return array
        where = pc.add(pc.indices_nonzero(array.is_null()), pa.scalar(start, pa.uint64()))
        self._nulls.update(_bytes_of(where))
        return array.drop_null()

    def _add_bytes(self, values: pa.Array) -> None:
        self._add_lengths(values)
        first, last = ends(values)
        if last > first:
            self._values.update(values.buffers()[2].slice(first, last - first))

    def _add_lengths(self, values: pa.Array) -> None:
        lengths = pc.binary_length(values) if is_text(values.type) else pc.list_value_length(values)
        self._lengths.update(_bytes_of(lengths))


def _bytes_of(array: pa.Array) -> pa.Buffer:
    """Return the bytes of an array of fixed width that has no NULL."""
    width = array.type.bit_width // 8
    return array.buffers()[1].slice(array.offset * width, len(array) * width)


class UnorderedRows:
    """Running sums over rows: for each column of the hashes of its cells, and of the hashes of whole rows."""

    def __init__(self, columns: int) -> None:
        self._columns = [_Sums() for _ in range(columns)]
        self._whole = _Sums()

    def update(self, arrays: list[pa.Array]) -> None:
        """Add rows, given as one array per column."""
        rows = len(arrays[0]) if arrays else 0
        for start in range(0, rows, _ROWS):
            cells = [hash_cells(array.slice(start, _ROWS)) for array in arrays]
            nulls = [array.slice(start, _ROWS).null_count for array in arrays]
            for sums, hashes, count in zip(self._columns, cells, nulls, strict=True):
                sums.add(hashes, count)
            self._whole.add(side_by_side(cells), sum(nulls))

    def columns(self) -> list[str]:
        """Return the sums of each column as 32 hex digits."""
        return [sums.hex() for sums in self._columns]

    def rows(self) -> str:
        """Return the sums over the rows as 32 hex digits."""
        return self._whole.hex()


class _Sums:
    """The sum of hashes, and the sum of their squares and the number of NULLs, modulo 2**64 each."""

    def __init__(self) -> None:
        self._first = self._second = 0

    def add(self, hashes: Words, nulls: int) -> None:
        self._first = (self._first + int(hashes.sum())) & WORD
        self._second = (self._second + int(hashes.dot(hashes)) + nulls) & WORD

    def hex(self) -> str:
        return f"{self._first:016x}{self._second:016x}"
