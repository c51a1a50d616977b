"""Rows of PostgreSQL as Arrow: those of one SELECT, or of a table that is read in ranges by several connections.

A range is a number of blocks. All connections see the state of the first, and ranges are handed on in the order in
which they lie in the table, so the rows come in the same order however many connections read them.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from osiris.errors import Unavailable
from osiris.families.postgres.copy_out import Broken, copied
from osiris.families.postgres.decode import WIDTHS, cells_of
from osiris.families.postgres.session import reading
from osiris.families.postgres.types import decoder
from osiris.families.quarantine import Misfit
from osiris.families.sql.columnar import COARSE, account, decode_rows
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from concurrent.futures import Future

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.postgres.copy_out import Rows
    from osiris.families.postgres.decode import Decode
    from osiris.families.postgres.session import Column, Session
    from osiris.families.sql.columnar import Batch, Sieve

RANGE = 16 << 20
"""The bytes of a table's blocks that are one range."""

_WAITING = 6
"""How many batches of a range may wait until it is their turn; a batch is about 2 MB of the server's format."""

_TICK = 0.1


@dataclass(frozen=True, slots=True)
class Blocks:
    """A table in blocks: what its ranges are read with, and how many blocks there are; `text` has no WHERE."""

    text: str
    blocks: int
    block_size: int

    def ranges(self) -> list[str]:
        """Return the SELECT of each range, in order; the last has no end, since the table may have grown."""
        step = max(1, RANGE // self.block_size)
        starts = list(range(0, max(self.blocks, 1), step))
        ends = [f" AND ctid < '({start},0)'" for start in starts[1:]]
        return [f"{self.text} WHERE ctid >= '({a},0)'{b}" for a, b in zip(starts, [*ends, ""], strict=True)]


def read_query(
    session: Session, text: str, columns: Sequence[Column], sieve: Sieve = COARSE
) -> Generator[Batch, None, None]:
    """Yield the rows of a SELECT; a value that cannot be carried is set aside, or fails with DAT031."""
    yield from account(_batches(session, text, columns, sieve), sieve)


def read_blocks(
    session: Session,
    blocks: Blocks,
    columns: Sequence[Column],
    ctx: StepContext,
    connections: int,
    sieve: Sieve = COARSE,
) -> Generator[Batch, None, None]:
    """Yield the rows of a table in their order, read by several connections; fails as `read_query` does."""
    ranges = blocks.ranges()
    if connections < 2 or len(ranges) < 2:
        yield from read_query(session, blocks.text, columns, sieve)
        return
    team = _Team(session, columns, ranges, ctx, sieve)
    with closing(team.run(min(connections, len(ranges)))) as batches:
        yield from account(batches, sieve)


class _Team:
    """Threads that each take the next range, read it, and put its batches where they wait for their turn."""

    def __init__(
        self, session: Session, columns: Sequence[Column], ranges: Sequence[str], ctx: StepContext, sieve: Sieve
    ) -> None:
        self._session, self._columns, self._sieve = session, columns, sieve
        self._todo = iter(enumerate(ranges))
        self._lock, self._stop, self._free = threading.Lock(), threading.Event(), threading.Semaphore(0)
        self._queues: list[queue.Queue[Batch | Misfit | None]] = [queue.Queue(_WAITING) for _ in ranges]
        self._ctx = replace(ctx, cancelled=lambda: self._stop.is_set() or ctx.cancelled())

    def run(self, count: int) -> Generator[Batch, None, None]:
        """Yield all batches in order; whoever stops early stops the threads."""
        ((snapshot,),) = self._session.rows("SELECT pg_catalog.pg_export_snapshot()")
        self._free = threading.Semaphore(count + 1)
        with ThreadPoolExecutor(count, thread_name_prefix="range") as pool:
            work = [pool.submit(self._read, self._session)]
            work += [pool.submit(self._help, snapshot) for _ in range(1, count)]
            try:
                for index in range(len(self._queues)):
                    yield from self._of_range(index, work)
                    self._free.release()
            finally:
                self._stop.set()
                if not work[0].done():
                    self._session.watch.end()

    def _of_range(self, index: int, work: Sequence[Future[None]]) -> Iterator[Batch]:
        while True:
            try:
                item = self._queues[index].get(timeout=_TICK)
            except queue.Empty:
                for each in work:
                    if each.done():
                        each.result()  # raises what went wrong there
                continue
            if item is None:
                return
            if isinstance(item, Misfit):
                raise item
            yield item

    def _help(self, snapshot: str) -> None:
        """Read ranges over another connection; where the server lets no more in, the first one reads them all."""
        with ExitStack() as stack:
            try:
                other = stack.enter_context(reading(self._ctx, self._session.schema, snapshot))
            except Unavailable:
                return
            self._read(other)

    def _read(self, session: Session) -> None:
        while (found := self._next_range()) is not None:
            index, text = found
            try:
                for batch in _batches(session, text, self._columns, self._sieve):
                    self._put(index, batch)
            except Misfit as misfit:
                self._put(index, misfit)
                return
            self._put(index, None)

    def _next_range(self) -> tuple[int, str] | None:
        """Return the next range once those before it are few enough; None if there is none, or nobody wants it."""
        while not self._free.acquire(timeout=_TICK):
            if self._stop.is_set():
                return None
        with self._lock:
            return None if self._stop.is_set() else next(self._todo, None)

    def _put(self, index: int, item: Batch | Misfit | None) -> None:
        while not self._stop.is_set():
            try:
                self._queues[index].put(item, timeout=_TICK)
            except queue.Full:
                continue
            return


def _batches(session: Session, text: str, columns: Sequence[Column], sieve: Sieve) -> Iterator[Batch]:
    arrow = arrow_schema(tuple(column.field for column in columns))
    decoders = [decoder(column.carried, checked=session.checked) for column in columns]
    widths = [WIDTHS.get(column.carried.type) for column in columns]
    with closing(copied(session.connection, text, len(columns), session.watch)) as pieces:
        for rows in pieces:
            size = int(rows.ends[-1] - rows.starts[0])
            yield decode_rows(len(rows.starts), size, partial(_decoded, rows, decoders, widths), arrow, sieve)


def _decoded(
    rows: Rows, decoders: Sequence[Decode], widths: Sequence[int | None], first: int, end: int
) -> Iterator[pa.Array]:
    try:
        cells = cells_of(rows.page, rows.starts[first:end], rows.ends[first:end], widths)
    except ValueError as error:
        raise Broken(str(error)) from None
    for decode, column in zip(decoders, cells, strict=True):
        yield decode(rows.page, column)
