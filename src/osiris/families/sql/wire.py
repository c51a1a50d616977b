"""What a server sends for a query, cut into rows.

It is taken past the client library, in large pieces: a library makes an object of every row, or of every value.
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

    from osiris.families.sql.columnar import Batch, Cells, Decode, Sieve
    from osiris.families.sql.result import ResultColumn
    from osiris.families.sql.watchdog import Inflow

    Take = Callable[[memoryview], int]
    """Puts bytes there, as many as there is room for or as there are, and returns their number; 0 is the end."""

SIZE = 2 << 20
"""The bytes that are decoded at once: more do not stay in the processor's cache."""

_PAUSE = 0.05
"""Seconds without bytes, after which those that came are looked at."""

FRONT, SPARE = 32, 32
"""Bytes that a buffer has before its first row and behind its last, so that a load near a value stays inside."""


class Refusal(Exception):
    """What the server says instead of rows: the code of the error, and its text."""


class Broken(Exception):
    """The connection ended, or what came over it was not the protocol."""


class RowBuffer:
    """A buffer that is filled, and cut into rows by who knows the protocol; `ended` once the last message was seen."""

    def __init__(self) -> None:
        self.ended = False
        self.buffer = bytearray(FRONT + SIZE + SPARE)
        self.page = Page(self.buffer)
        self.begin = self.used = FRONT

    def fill(self, take: Take) -> bool:
        """Move what is left to the front and put more behind it; tells whether more came."""
        left, whole, begin = self.used - self.begin, self.buffer, self.begin
        size = len(whole) - FRONT - SPARE
        if left > size // 2:
            self.buffer = bytearray(FRONT + 2 * size + SPARE)
            self.page = Page(self.buffer)
        self.buffer[FRONT : FRONT + left] = whole[begin : begin + left]
        self.begin, self.used = FRONT, FRONT + left
        with memoryview(self.buffer) as room:
            taken = take(room[self.used : -SPARE])
        self.used += taken
        return taken > 0

    def single(self, start: int, end: int) -> Rows:
        """Return the one row that begins and ends there, and pass over it."""
        self.begin = end
        return Rows(self.page, np.array([start]), np.array([end]))


def take_from(inflow: Inflow, is_last: Callable[[memoryview, int], bool], room: memoryview) -> int:
    """Put what comes there until there is no more room or `is_last(room, taken)`; returns how many bytes, 0 at the end.

    After a pause, those that came are enough: the last message may have begun in the bytes before. Raises Broken.
    """
    taken = 0
    while taken < len(room) and not is_last(room, taken):
        try:
            got = inflow.read(room[taken:], _PAUSE if taken else None)
        except (OSError, ValueError) as error:
            raise Broken(str(error)) from None
        if not got:
            break
        taken += got
    return taken


def chain(head: NDArray[np.int64], ends: NDArray[np.int64]) -> list[int]:
    """Return which of the places that look like a row's head are one: each begins where the one before ends."""
    places, following = {place: index for index, place in enumerate(head.tolist())}, ends.tolist()
    rows, index = [0], places.get(following[0])
    while index is not None:
        rows.append(index)
        index = places.get(following[index])
    return rows


def decoded_batches(
    pages: Iterable[Rows],
    columns: Sequence[ResultColumn],
    decoders: Sequence[Decode],
    cells_of: Callable[[Rows], Sequence[Cells]],
    sieve: Sieve,
) -> Iterator[Batch]:
    """Yield the rows of pages; raises Misfit as `decode_rows` does, and Broken for rows that are none.

    `cells_of` returns the cells of each column of some rows, and fails with ValueError.
    """
    arrow = arrow_schema(tuple(column.field for column in columns))

    def decode(rows: Rows, first: int, end: int) -> Iterator[pa.Array]:
        try:
            cells = cells_of(Rows(rows.page, rows.starts[first:end], rows.ends[first:end]))
        except ValueError as error:
            raise Broken(str(error)) from None
        for decode_column, column in zip(decoders, cells, strict=True):
            yield decode_column(rows.page, column)

    for rows in pages:
        yield decode_rows(len(rows.starts), int(rows.ends[-1] - rows.starts[0]), partial(decode, rows), arrow, sieve)
