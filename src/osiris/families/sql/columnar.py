"""Where the values of a column stand in a buffer of rows, and what is made of them there, for servers of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Unfit(Exception):
    """A value that its column's type cannot hold: which cell, what it is, and why."""

    def __init__(self, row: int, value: str, reason: str) -> None:
        super().__init__(f"{value}: {reason}")
        self.row, self.value, self.reason = row, value, reason


def refuse_large(array: pa.Array, limit: int | None) -> None:
    """Raise Unfit for a text, a JSON document or bytes of more than so many bytes; None is no limit."""
    stored = array.storage if isinstance(array, pa.ExtensionArray) else array
    if limit is None or not (pa.types.is_string(stored.type) or pa.types.is_binary(stored.type)):
        return
    sizes = pc.binary_length(stored)
    row = pc.index(pc.greater(sizes, limit), True).as_py()
    if row >= 0:
        raise Unfit(row, f"a value of {sizes[row]} bytes", f"max_cell_bytes is {limit}")


def refuse_null(array: pa.Array) -> None:
    """Raise Unfit for NULL in a column of a key."""
    if array.null_count:
        raise Unfit(pc.index(array.is_null(), True).as_py(), "NULL", "it stands in primary_key, and NULL names no row")


class Page(Protocol):
    """A buffer of rows."""

    buffer: bytearray


@dataclass(frozen=True, slots=True)
class Cells:
    """Where the values of a column begin, how long they are, and which are NULL (none, if that is None)."""

    at: NDArray[np.int64]
    length: NDArray[np.int64]
    null: NDArray[np.bool_] | None = None

    def first(self, wrong: NDArray[np.bool_]) -> int | None:
        """Return the first cell of those that is not NULL."""
        found = np.flatnonzero(wrong if self.null is None else wrong & ~self.null)
        return int(found[0]) if len(found) else None

    def array(self, kind: pa.DataType, *buffers: Any, children: list[pa.Array] | None = None) -> pa.Array:  # noqa: ANN401
        """Return an array of these cells' NULLs and of the buffers that hold its values."""
        valid = None if self.null is None else pa.py_buffer(np.packbits(~self.null, bitorder="little"))
        parts = [valid, *map(pa.py_buffer, buffers)]
        return pa.Array.from_buffers(kind, len(self.at), parts, -1 if valid else 0, children=children)


def bytes_of(name: str, skip: int = 0) -> Callable[[Page, Cells], pa.Array]:
    """Return the decoder of texts or bytes of varying length, without the first `skip` bytes of each."""
    kind = arrow_type(name)
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind

    def decode(page: Page, cells: Cells) -> pa.Array:
        # Values and what stands between them are one array that shares the page; taking every second one copies.
        begin = cells.at + skip
        end = np.maximum(begin, cells.at + cells.length)
        places = np.empty(2 * len(begin) + 1, np.int32)
        places[0:-1:2], places[1::2], places[-1] = begin, end, end[-1] if len(end) else 0
        shared = [None, pa.py_buffer(places), pa.py_buffer(page.buffer)]
        every = pa.array(np.arange(0, 2 * len(begin), 2))
        taken = pa.Array.from_buffers(storage, 2 * len(begin), shared).take(every)
        array = cells.array(storage, *taken.buffers()[1:])
        return pa.ExtensionArray.from_storage(kind, array) if storage is not kind else array

    return decode
