"""The data that flows: a schema and a stream of Arrow record batches, read once, one batch in flight."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.digest import Digester
from osiris.errors import OsirisError
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa

    from osiris.model import Order, Schema

__all__ = ["Digester", "RowStream", "ahead", "counted", "digested", "own_errors", "spool", "stream"]


@dataclass(frozen=True, slots=True)
class RowStream:
    """Rows of one schema, to be read once, through `batches` or through Arrow's C stream interface.

    `order` tells whether their order is fixed. What the source raises crosses the C interface as another type; `raised`
    keeps the original, and `own_errors` brings it back.
    """

    schema: Schema
    order: Order
    _source: Iterator[pa.RecordBatch]
    raised: list[OsirisError] = field(default_factory=list)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches, each of exactly this schema's Arrow form."""
        try:
            yield from self._source
        except OsirisError as error:
            self.raised.append(error)
            raise

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the stream to whatever reads Arrow (the PyCapsule interface of the Arrow C data interface)."""
        return self.reader().__arrow_c_stream__(requested_schema)

    def reader(self) -> pa.RecordBatchReader:
        """Return the stream as pyarrow's reader."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(arrow_schema(self.schema), self.batches())


def stream(schema: Schema, batches: Iterable[pa.RecordBatch], order: Order) -> RowStream:
    """Return a stream over batches; those in another encoding of the same types are brought to the schema's own."""
    return RowStream(schema, order, _conformed(batches, arrow_schema(schema)))


def _conformed(batches: Iterable[pa.RecordBatch], arrow: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch if batch.schema.equals(arrow) else batch.cast(arrow)


@contextmanager
def own_errors(*sources: RowStream) -> Iterator[None]:
    """While a library pulls these streams, let what they raised come out as it was raised.

    Libraries wrap what happens inside a stream in exceptions of their own, without code, place or hint.
    """
    try:
        yield
    except Exception:
        for source in sources:
            if source.raised:
                raise source.raised[0] from None
        raise


def counted(source: RowStream, on_rows: Callable[[int], None]) -> RowStream:
    """Return the same stream, telling the number of rows of each batch that passes."""

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in source.batches():
            on_rows(batch.num_rows)
            yield batch

    return RowStream(source.schema, source.order, batches())


def digested(source: RowStream, digest: Digester) -> RowStream:
    """Return the same stream, feeding each batch that passes to a digest."""

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in source.batches():
            digest.update(batch)
            yield batch

    return RowStream(source.schema, source.order, batches())


def spool(source: RowStream, path: Path) -> Callable[[], RowStream]:
    """Write a stream to an Arrow file; returns a function that opens it as a new stream, as often as it is called."""
    import pyarrow as pa

    arrow = arrow_schema(source.schema)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, arrow) as writer:
        for batch in source.batches():
            writer.write_batch(batch)

    def reopened() -> Iterator[pa.RecordBatch]:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
            yield from reader

    return lambda: RowStream(source.schema, source.order, reopened())


_END = object()


def ahead(source: RowStream, depth: int = 1) -> RowStream:
    """Return the same stream, read by a thread that is at most `depth` batches ahead, so that two steps overlap."""
    return RowStream(source.schema, source.order, _read_ahead(source, depth))


def _read_ahead(source: RowStream, depth: int) -> Iterator[pa.RecordBatch]:
    waiting: queue.Queue[object] = queue.Queue(maxsize=depth)
    stopped = threading.Event()
    producer = threading.Thread(target=_produce, args=(source, waiting, stopped), name="ahead", daemon=True)
    producer.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        while producer.is_alive():  # a producer that waits for a free place is let go
            _drain(waiting)
            producer.join(timeout=0.01)


def _produce(source: RowStream, waiting: queue.Queue[object], stopped: threading.Event) -> None:
    try:
        for batch in source.batches():
            waiting.put(batch)
            if stopped.is_set():
                return
    except BaseException as error:  # noqa: BLE001 - handed over and raised by the reader
        waiting.put(error)
    finally:
        if not stopped.is_set():
            waiting.put(_END)


def _drain(waiting: queue.Queue[object]) -> None:
    while not waiting.empty():
        waiting.get_nowait()
