"""Splits the bytes that a server sends for a query into rows.

They are read past the client library, in large pieces: a library creates an object for every row or value.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from osiris.families.sql.columnar import Page, Rows, decode_rows
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from osiris.families.sql.columnar import Batch, Cells, Decode, RejectPolicy
    from osiris.families.sql.result import ResultColumn
    from osiris.families.sql.watchdog import SocketReader

    Take = Callable[[memoryview], int]
    """Fills a buffer with the bytes that are available, and returns their number; 0 is the end."""

SIZE = 2 << 20
"""The bytes that are decoded at a time: more would not fit into the processor's cache."""

_PAUSE = 0.05
"""Seconds without new bytes after which those that have arrived are processed."""

FRONT, SPARE = 32, 32
"""Bytes of padding before the first row of a buffer and after the last, so that wide loads stay inside."""


class ServerError(Exception):
    """An error that the server sent instead of rows: `args` are its code and its text."""


class ConnectionBroken(Exception):
    """The connection ended, or violated the protocol."""


class RowBuffer:
    """A buffer of received bytes, which a subclass splits into rows; `ended` once the last message was seen."""

    def __init__(self) -> None:
        self.ended = False
        self.buffer = bytearray(FRONT + SIZE + SPARE)
        self.page = Page(self.buffer)
        self.begin = self.used = FRONT

    def fill(self, take: Take) -> bool:
        """Move the remaining bytes to the front and read more; returns whether there were more."""
        rest, old, begin = self.used - self.begin, self.buffer, self.begin
        size = len(old) - FRONT - SPARE
        if rest > size // 2:
            self.buffer = bytearray(FRONT + 2 * size + SPARE)
            self.page = Page(self.buffer)
        self.buffer[FRONT : FRONT + rest] = old[begin : begin + rest]
        self.begin, self.used = FRONT, FRONT + rest
        with memoryview(self.buffer) as room:
            count = take(room[self.used : -SPARE])
        self.used += count
        return count > 0

    def single(self, start: int, end: int) -> Rows:
        """Return the one row at these offsets, and skip it."""
        self.begin = end
        return Rows(self.page, np.array([start]), np.array([end]))


def take_from(reader: SocketReader, is_last: Callable[[memoryview, int], bool], buffer: memoryview) -> int:
    """Fill `room` until it is full or `is_last(room, taken)`; returns the number of bytes, 0 at the end.

    Returns early after a pause: the last message may have begun in earlier bytes. Raises ConnectionBroken.
    """
    count = 0
    while count < len(buffer) and not is_last(buffer, count):
        try:
            size = reader.read(buffer[count:], _PAUSE if count else None)
        except (OSError, ValueError) as error:
            raise ConnectionBroken(str(error)) from None
        if not size:
            break
        count += size
    return count


def chain(head: NDArray[np.int64], ends: NDArray[np.int64]) -> list[int]:
    """Return the indexes of the real row heads among candidates: each row starts where the one before ends."""
    index_of, next_starts = {place: index for index, place in enumerate(head.tolist())}, ends.tolist()
    rows, index = [0], index_of.get(next_starts[0])
    while index is not None:
        rows.append(index)
        index = index_of.get(next_starts[index])
    return rows


def decoded_batches(
    pages: Iterable[Rows],
    columns: Sequence[ResultColumn],
    decoders: Sequence[Decode],
    cells_of: Callable[[Rows], Sequence[Cells]],
    policy: RejectPolicy,
) -> Iterator[Batch]:
    """Yield the decoded rows of pages; raises InvalidValue as `decode_rows` does, ConnectionBroken for malformed rows.

    `cells_of` returns the cells of each column of some rows, or raises ValueError.
    """
    arrow = arrow_schema(tuple(column.field for column in columns))

    def decode(rows: Rows, first: int, end: int) -> Iterator[pa.Array]:
        try:
            cells = cells_of(Rows(rows.page, rows.starts[first:end], rows.ends[first:end]))
        except ValueError as error:
            raise ConnectionBroken(str(error)) from None
        for decode_column, column in zip(decoders, cells, strict=True):
            yield decode_column(rows.page, column)

    for rows in pages:
        yield decode_rows(len(rows.starts), int(rows.ends[-1] - rows.starts[0]), partial(decode, rows), arrow, policy)
