"""Rows that a server sent, as columns: where their values stand in a buffer, and what is made of them there.

What cannot be carried fails the step, or is set aside and numbered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osiris.errors import fail
from osiris.families.quarantine import Misfit, Refused, Reject, divide, of_row
from osiris.families.text_format import characters
from osiris.kernels import compiled
from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    SetAside = Callable[[Reject], None] | None
    Decode = Callable[["Page", "Cells"], pa.Array]
    DecodeRows = Callable[[int, int], Iterator[pa.Array]]
    """Yields the columns of the rows from one to another of a buffer, one after the other; may raise Unfit."""

_KINDS = ("i2", "i4", "i8", "u4", "u8", "f4", "f8")
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days since 1970."""
DAY = 86_400_000_000
"""The microseconds of a day."""


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


class Page:
    """A buffer of rows, seen as numbers that begin at any byte."""

    def __init__(self, buffer: bytearray) -> None:
        self.buffer = buffer
        self.u1 = np.frombuffer(buffer, np.uint8)
        self._views = {kind: self._view(f"<{kind}", int(kind[-1])) for kind in _KINDS}
        self.u8 = self._views["u8"]

    def _view(self, kind: str, width: int) -> NDArray[Any]:
        return np.ndarray((len(self.buffer) - width + 1,), kind, self.buffer, strides=(1,))

    def load(self, kind: str, at: NDArray[np.int64]) -> NDArray[Any]:
        """Return the numbers that begin there, in network order: they are swapped together, which takes a third."""
        return _load(self, kind, at)

    def view(self, kind: str) -> NDArray[Any]:
        """Return the numbers that begin at each byte, in this machine's order."""
        return self._views[kind]


@compiled("columns_load")
def _load(page: Page, kind: str, at: NDArray[np.int64]) -> NDArray[Any]:
    loaded: NDArray[Any] = page.view(kind)[at].byteswap(inplace=True)
    return loaded


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in a page: where each begins, and ends. The page is used again afterwards."""

    page: Page
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


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


def bytes_of(name: str, skip: int = 0, not_utf8: str | None = None) -> Decode:
    """Return the decoder of texts or bytes of varying length, without the first `skip` bytes of each.

    Texts that may be no UTF-8 are refused with `not_utf8` as the reason.
    """
    kind = arrow_type(name)
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind

    def decode(page: Page, cells: Cells) -> pa.Array:
        offsets, data, is_ascii = _octets(page, cells, skip)
        array = cells.array(storage, offsets, data)
        if not_utf8 and not is_ascii:
            _refuse_other_than_utf8(array, not_utf8)
        return pa.ExtensionArray.from_storage(kind, array) if storage is not kind else array

    return decode


@compiled("columns_bytes")
def _octets(page: Page, cells: Cells, skip: int) -> tuple[Any, Any, bool]:
    """Return texts or bytes, without the first `skip` bytes of each, as offsets and data, and whether all are ASCII.

    Values and what stands between them are one array that shares the page; taking every second one copies.
    """
    begin = cells.at + skip
    end = np.maximum(begin, cells.at + cells.length)
    places = np.empty(2 * len(begin) + 1, np.int32)
    places[0:-1:2], places[1::2], places[-1] = begin, end, end[-1] if len(end) else 0
    shared = [None, pa.py_buffer(places), pa.py_buffer(page.buffer)]
    every = pa.array(np.arange(0, 2 * len(begin), 2))
    taken = pa.Array.from_buffers(pa.binary(), 2 * len(begin), shared).take(every)
    return *taken.buffers()[1:], bytes(characters(taken)).isascii()


def _refuse_other_than_utf8(texts: pa.Array, why: str) -> None:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        row = next(row for row, value in enumerate(texts.cast(pa.binary())) if not _is_text(value.as_py()))
        raise Unfit(row, "a text", why) from None


def _is_text(value: bytes | None) -> bool:
    try:
        return value is None or isinstance(value.decode(), str)
    except UnicodeDecodeError:
        return False


@dataclass(frozen=True, slots=True)
class Sieve:
    """What becomes of rows: a value may have `largest` bytes, and what cannot be carried goes to `aside`, or fails."""

    aside: SetAside = None
    largest: int | None = None


COARSE = Sieve()
"""Nothing is set aside, and nothing is too large."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, the bytes that they had as the server sent them, and the rows between them that cannot be carried."""

    rows: pa.RecordBatch
    size: int
    misfits: Sequence[Misfit] = ()


def decode_rows(count: int, size: int, decode: DecodeRows, arrow: pa.Schema, sieve: Sieve) -> Batch:
    """Return `count` rows; raises Misfit for one that cannot be carried, unless they are sifted."""
    if not sieve.aside:
        return Batch(_decoded(decode, arrow, sieve, 0, count), size)
    parts: list[pa.RecordBatch] = []
    misfits: list[Misfit] = []

    def take(row: int, refused: Refused) -> None:
        if isinstance(refused, Misfit):
            misfits.append(Misfit(refused.column, refused.value, refused.why, row))

    divide(count, lambda first, end: parts.append(_decoded(decode, arrow, sieve, first, end)), take)
    return Batch(pa.concat_batches(parts) if parts else pa.RecordBatch.from_pylist([], arrow), size, misfits)


def _decoded(decode: DecodeRows, arrow: pa.Schema, sieve: Sieve, first: int, end: int) -> pa.RecordBatch:
    arrays: list[pa.Array] = []
    try:
        for array in decode(first, end):
            refuse_large(array, sieve.largest)
            arrays.append(array)
    except Unfit as unfit:
        raise Misfit(arrow.names[len(arrays)], unfit.value, unfit.reason, unfit.row) from None
    return pa.RecordBatch.from_arrays(arrays, schema=arrow)


def account(batches: Iterable[Batch], sieve: Sieve) -> Iterator[Batch]:
    """Pass batches on; a value that cannot be carried is told with the number of its row among all.

    It is set aside, or fails with DAT031.
    """
    before = 0
    try:
        for batch in batches:
            for misfit in batch.misfits:
                if sieve.aside:
                    row = before + (misfit.row or 0) + 1
                    sieve.aside(of_row(row, misfit.column, misfit.value, misfit.why))
            before += batch.rows.num_rows + len(batch.misfits)
            yield batch
    except Misfit as misfit:
        row = before + (misfit.row or 0) + 1
        fail("DAT031", column=misfit.column, row=row, value=misfit.value, reason=misfit.why)
