"""The ordered digest of a column: SHA-256 over its NULLs, lengths and values, however they are cut into batches."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from osiris.table.values import ends, fixed, is_text

if TYPE_CHECKING:
    import pyarrow as pa


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
        import pyarrow.types as is_

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
        import pyarrow as pa
        import pyarrow.compute as pc

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
        import pyarrow.compute as pc

        lengths = pc.binary_length(values) if is_text(values.type) else pc.list_value_length(values)
        self._lengths.update(_bytes_of(lengths))


def _bytes_of(array: pa.Array) -> pa.Buffer:
    """Return the bytes of an array of fixed width that has no NULL."""
    width = array.type.bit_width // 8
    return array.buffers()[1].slice(array.offset * width, len(array) * width)
