"""The order-free digest: over all rows, the sums of 64-bit hashes and of their squares, by column and of whole rows.

Of the values of eight bytes one has the hash of NULL, whatever that is, so the second sum also counts the NULLs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.table.hashing import WORD, hash_cells, side_by_side

if TYPE_CHECKING:
    import pyarrow as pa

    from osiris.table.hashing import Words

_ROWS = 8_192
"""So many rows are hashed at a time: their arrays stay in the processor's cache."""


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
