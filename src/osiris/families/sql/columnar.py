"""Decoding of rows that a server sent into columns: the positions of their values in a buffer, and Arrow arrays.

A value that has no exact form here fails the step, or its row is quarantined with its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from osiris.errors import fail
from osiris.families.quarantine import InvalidValue, Reject, RowRejected, bisect_rows, row_reject
from osiris.families.text_format import characters
from osiris.kernels import compiled
from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    OnReject = Callable[[Reject], None] | None
    Decode = Callable[["Page", "Cells"], pa.Array]
    DecodeRows = Callable[[int, int], Iterator[pa.Array]]
    """Yields the columns of the rows `first` to before `end` of a buffer; may raise InvalidCell."""

_KINDS = ("i2", "i4", "i8", "u4", "u8", "f4", "f8")
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days since 1970."""
DAY = 86_400_000_000
"""The microseconds of a day."""


class InvalidCell(Exception):
    """A value that is invalid for its column's type: its row from 0, its text, and the reason."""

    def __init__(self, row: int, value: str, reason: str) -> None:
        super().__init__(f"{value}: {reason}")
        self.row, self.value, self.reason = row, value, reason


def reject_large(array: pa.Array, limit: int | None) -> None:
    """Raise InvalidCell for a text, JSON or binary value of more than `limit` bytes; None is no limit."""
    stored = array.storage if isinstance(array, pa.ExtensionArray) else array
    if limit is None or not (pa.types.is_string(stored.type) or pa.types.is_binary(stored.type)):
        return
    sizes = pc.binary_length(stored)
    row = pc.index(pc.greater(sizes, limit), True).as_py()
    if row >= 0:
        raise InvalidCell(row, f"a value of {sizes[row]} bytes", f"max_cell_bytes is {limit}")


def reject_null(array: pa.Array) -> None:
    """Raise InvalidCell for NULL in a key column."""
    if array.null_count:
        row = pc.index(array.is_null(), True).as_py()
        raise InvalidCell(row, "NULL", "it is in primary_key, and NULL does not identify a row")


class Page:
    """A buffer of rows, with views of it as numbers at every byte offset."""

    def __init__(self, buffer: bytearray) -> None:
        self.buffer = buffer
        self.u1 = np.frombuffer(buffer, np.uint8)
        self._views = {kind: self._view(f"<{kind}", int(kind[-1])) for kind in _KINDS}
        self.u8 = self._views["u8"]

    def _view(self, kind: str, width: int) -> NDArray[Any]:
        return np.ndarray((len(self.buffer) - width + 1,), kind, self.buffer, strides=(1,))

    def load(self, kind: str, at: NDArray[np.int64]) -> NDArray[Any]:
        """Return the big-endian numbers at these offsets; swapping them all at once takes a third of the time."""
        return _load(self, kind, at)

    def view(self, kind: str) -> NDArray[Any]:
        """Return the numbers at every byte offset, read as little-endian."""
        return self._views[kind]


@compiled("columns_load")
def _load(page: Page, kind: str, at: NDArray[np.int64]) -> NDArray[Any]:
    loaded: NDArray[Any] = page.view(kind)[at].byteswap(inplace=True)
    return loaded


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in a page: the offsets at which they start and end. The page is reused for the next rows."""

    page: Page
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cells:
    """The values of a column in a page: offsets, lengths in bytes, and which are NULL (`null` is None: none)."""

    at: NDArray[np.int64]
    length: NDArray[np.int64]
    null: NDArray[np.bool_] | None = None

    def first(self, wrong: NDArray[np.bool_]) -> int | None:
        """Return the index of the first cell that is `wrong` and not NULL; None if there is none."""
        rows = np.flatnonzero(wrong if self.null is None else wrong & ~self.null)
        return int(rows[0]) if len(rows) else None

    def array(self, kind: pa.DataType, *buffers: Any, children: list[pa.Array] | None = None) -> pa.Array:  # noqa: ANN401
        """Return an array with the NULLs of these cells and the given value buffers."""
        valid = None if self.null is None else pa.py_buffer(np.packbits(~self.null, bitorder="little"))
        parts = [valid, *map(pa.py_buffer, buffers)]
        return pa.Array.from_buffers(kind, len(self.at), parts, -1 if valid else 0, children=children)


def bytes_of(name: str, skip: int = 0, not_utf8: str | None = None) -> Decode:
    """Return the decoder of texts or bytes of varying length, which drops the first `skip` bytes of each.

    With `not_utf8`, text that is not UTF-8 raises InvalidCell with that reason.
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

    Values and the bytes between them form one array that shares the page; taking every second item copies the values.
    """
    begin = cells.at + skip
    end = np.maximum(begin, cells.at + cells.length)
    bounds = np.empty(2 * len(begin) + 1, np.int32)
    bounds[0:-1:2], bounds[1::2], bounds[-1] = begin, end, end[-1] if len(end) else 0
    shared = [None, pa.py_buffer(bounds), pa.py_buffer(page.buffer)]
    even = pa.array(np.arange(0, 2 * len(begin), 2))
    cut = pa.Array.from_buffers(pa.binary(), 2 * len(begin), shared).take(even)
    return *cut.buffers()[1:], bytes(characters(cut)).isascii()


def _refuse_other_than_utf8(texts: pa.Array, why: str) -> None:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        row = next(row for row, value in enumerate(texts.cast(pa.binary())) if not _is_text(value.as_py()))
        raise InvalidCell(row, "a text", why) from None


def _is_text(value: bytes | None) -> bool:
    try:
        return value is None or isinstance(value.decode(), str)
    except UnicodeDecodeError:
        return False


@dataclass(frozen=True, slots=True)
class RejectPolicy:
    """What happens to invalid rows (None: the step fails), and the largest valid size of a value (None: no limit)."""

    on_reject: OnReject = None
    max_cell_bytes: int | None = None


DEFAULT_POLICY = RejectPolicy()
"""Invalid rows fail the step, and values of any size are valid."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Valid rows, the size in bytes of all rows as sent, and the invalid values, each with its row among all."""

    rows: pa.RecordBatch
    size: int
    invalid: Sequence[InvalidValue] = ()


def decode_rows(count: int, size: int, decode: DecodeRows, arrow: pa.Schema, policy: RejectPolicy) -> Batch:
    """Return `count` decoded rows; raises InvalidValue for an invalid one, unless the policy has `on_reject`."""
    if not policy.on_reject:
        return Batch(_decoded(decode, arrow, policy, 0, count), size)
    parts: list[pa.RecordBatch] = []
    invalid: list[InvalidValue] = []

    def take(row: int, refused: RowRejected) -> None:
        if isinstance(refused, InvalidValue):
            invalid.append(InvalidValue(refused.column, refused.value, refused.why, row))

    bisect_rows(count, lambda first, end: parts.append(_decoded(decode, arrow, policy, first, end)), take)
    return Batch(pa.concat_batches(parts) if parts else pa.RecordBatch.from_pylist([], arrow), size, invalid)


def _decoded(decode: DecodeRows, arrow: pa.Schema, policy: RejectPolicy, first: int, end: int) -> pa.RecordBatch:
    arrays: list[pa.Array] = []
    try:
        for array in decode(first, end):
            reject_large(array, policy.max_cell_bytes)
            arrays.append(array)
    except InvalidCell as cell:
        raise InvalidValue(arrow.names[len(arrays)], cell.value, cell.reason, cell.row) from None
    return pa.RecordBatch.from_arrays(arrays, schema=arrow)


def number_rejects(batches: Iterable[Batch], policy: RejectPolicy) -> Iterator[Batch]:
    """Yield batches, and number invalid rows from 1 across all batches: they are rejected, or fail with DAT031."""
    before = 0
    try:
        for batch in batches:
            for error in batch.invalid:
                if policy.on_reject:
                    row = before + (error.row or 0) + 1
                    policy.on_reject(row_reject(row, error.column, error.value, error.why))
            before += batch.rows.num_rows + len(batch.invalid)
            yield batch
    except InvalidValue as error:
        row = before + (error.row or 0) + 1
        fail("DAT031", column=error.column, row=row, value=error.value, reason=error.why)
