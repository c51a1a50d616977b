"""Streams of rows: a schema, and Arrow record batches that are read once, one batch in flight."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from osiris.errors import fail
from osiris.table.hashing import relisted
from osiris.table.validity import check_values
from osiris.types import arrow_schema, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    import pyarrow as pa

    from osiris.model import Order, Schema

    Opening = Callable[[], AbstractContextManager[tuple[Order, Iterable[pa.RecordBatch]]]]

    class Digest(Protocol):
        """What batches are added to: a `Digester`."""

        def add(self, batch: pa.RecordBatch) -> None:
            """Add the rows of a batch."""


_IN_MEMORY = 1 << 20
"""Rows up to this size, in bytes, are kept without a file."""

_END_OF_FILE = 8
"""The size of the end of an Arrow stream, in bytes."""


@dataclass(frozen=True, slots=True)
class Relation:
    """The same rows as files that DuckDB can read itself, inside the statement that needs them.

    `text` is a SELECT that reads only `files`, and returns the rows of the stream or fails; `rows` is their number.
    After the statement, `on_read(counts, size)` gets the row count of each scan by the engine and the bytes read; it
    fails with DAT055 if a count differs from `rows`.
    """

    text: str
    files: tuple[Path, ...]
    rows: int
    on_read: Callable[[Iterable[int], int], None]


@dataclass(frozen=True, slots=True)
class _Conformed:
    """Batches from another stream of the same schema, which has already checked each of them."""

    batches: Iterable[pa.RecordBatch]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self.batches)

    def close(self) -> None:
        """Close the source, if it can be closed."""
        if close := getattr(self.batches, "close", None):
            close()


@dataclass(frozen=True, slots=True)
class RowStream:
    """Rows of one schema that can be read once: through `batches`, or through Arrow's C stream interface.

    `order` says whether their order is fixed. An error of the source would cross the C interface as another type,
    without code, location or hint; `raised` keeps the original, and `own_errors` raises it again. A DuckDB engine may
    read `relation`, if there is one, instead of the stream.
    """

    schema: Schema
    order: Order
    source: Iterable[pa.RecordBatch]
    relation: Relation | None = None
    raised: list[BaseException] = field(default_factory=list)
    _taken: threading.Lock = field(default_factory=threading.Lock)

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Yield the batches, each with exactly the schema's Arrow types; the source is closed at the end or on close.

        Fails with DAT017 if read a second time, with DAT016 if a batch has another schema or invalid arrays, and with
        DAT031 for a value that its type does not allow.
        """
        with _Remembering(self.raised):
            if not self._taken.acquire(blocking=False):
                fail("DAT017")
            with _closed(self.source):
                yield from self.source if isinstance(self.source, _Conformed) else _checked(self.source, self.schema)

    def reader(self) -> pa.RecordBatchReader:
        """Return the stream as a pyarrow reader."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(arrow_schema(self.schema), self.batches())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the stream through Arrow's PyCapsule interface."""
        return self.reader().__arrow_c_stream__(requested_schema)


@dataclass(frozen=True, init=False)
class _Asked(RowStream):
    """Rows whose order is computed on demand, as their source must be open to know it.

    `order` is a property here, not a field, so neither `repr` nor `replace` opens a source.
    """

    order: ClassVar[Order]  # type: ignore[misc]
    lazy_order: Order | Callable[[], Order] = field(kw_only=True)

    def __init__(self, lazy_order: Order | Callable[[], Order], **fields: Any) -> None:  # noqa: ANN401  as of a stream
        super().__init__(**{"order": lazy_order, **fields})

    @property  # type: ignore[no-redef]
    def order(self) -> Order:
        """Whether the order of rows is fixed; may open the source."""
        return self.lazy_order() if callable(self.lazy_order) else self.lazy_order

    @order.setter
    def order(self, lazy_order: Order | Callable[[], Order]) -> None:
        object.__setattr__(self, "lazy_order", lazy_order)


def stream(schema: Schema, batches: Iterable[pa.RecordBatch], order: Order | Callable[[], Order]) -> RowStream:
    """Return a stream over batches of that schema; reading it fails with DAT016 if a batch has another.

    `order` may be a function that is called on demand, for a source that must be opened to know its order.
    """
    return _Asked(order, schema=schema, source=batches) if callable(order) else RowStream(schema, order, batches)


class _Late:
    """A source that is opened once, when its first row is read, or before that by `opened_early`."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._stack = ExitStack()
        self._begun = False
        self._opened: tuple[Order, Iterable[pa.RecordBatch]] | None = None

    def open(self) -> Iterable[pa.RecordBatch]:
        """Open it if needed, and return its rows."""
        self._opened = self._opened or self._stack.enter_context(self._opening())
        return self._opened[1]

    def order(self) -> Order:
        """Return the order of its rows; if it is not open, it is opened and closed for that."""
        if self._opened:
            return self._opened[0]
        with self._opening() as (order, _rows):
            return order

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self._begun = True
        rows = self.open()
        with self._stack:
            yield from rows

    def close(self) -> None:
        """Close it, even if rows are left."""
        self._stack.__exit__(GeneratorExit, GeneratorExit(), None)

    def close_unread(self) -> None:
        """Close it unless reading has begun, perhaps in another thread: the reader closes it then."""
        if not self._begun:
            self.close()


def opened_late(schema: Schema, opening: Opening) -> RowStream:
    """Return a stream whose source is opened once, when its first row is read.

    `opening()` is a context manager that returns the order of the rows and the rows. If the order is needed earlier,
    the source is opened for that alone.
    """
    source = _Late(opening)
    return stream(schema, source, source.order)


@contextmanager
def opened_early(rows: RowStream) -> Iterator[None]:
    """Open a stream of `opened_late` now; after the block its source is closed unless reading has begun.

    Closing an unread `batches` generator would not do it: one that has not started runs no clean-up.
    """
    late = rows.source if isinstance(rows.source, _Late) else None
    if late is None:
        yield
        return
    try:
        late.open()
        yield
    finally:
        late.close_unread()


def passed_on(source: RowStream, batches: Iterable[pa.RecordBatch], relation: Relation | None = None) -> RowStream:
    """Return a stream over batches that were read from `source`, with the same schema and order."""
    return _Asked(lambda: source.order, schema=source.schema, source=_Conformed(batches), relation=relation)


@contextmanager
def _closed(source: object) -> Iterator[None]:
    """Close a source at the end of the block if it can be closed: it may hold a file or a lock."""
    try:
        yield
    finally:
        if close := getattr(source, "close", None):
            close()


class _Remembering:
    """Records the exception that a block raises, and re-raises it."""

    def __init__(self, raised: list[BaseException]) -> None:
        self._raised = raised

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        if error is not None and not isinstance(error, GeneratorExit):
            self._raised.append(error)


class own_errors:  # noqa: N801 - used like a function
    """Raise the original errors of streams that a library reads in the block: `with own_errors(rows):`."""

    def __init__(self, *sources: RowStream) -> None:
        self._sources = sources

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        if isinstance(error, Exception):
            original = next((source.raised[0] for source in self._sources if source.raised), None)
            if original is not None and original is not error:
                raise original from None


def counted(source: RowStream, on_rows: Callable[[int], None]) -> RowStream:
    """Return the same stream, calling `on_rows` with the number of rows of each batch."""
    return _passing(source, lambda batch: on_rows(batch.num_rows))


def digested(source: RowStream, digest: Digest) -> RowStream:
    """Return the same stream, adding each batch to a digest."""
    return _passing(source, digest.add)


def _passing(source: RowStream, on_batch: Callable[[pa.RecordBatch], None]) -> RowStream:
    def batches() -> Iterator[pa.RecordBatch]:
        with closing(source.batches()) as rows:
            for batch in rows:
                on_batch(batch)
                yield batch

    return passed_on(source, batches())


def ahead(source: RowStream, depth: int = 1) -> RowStream:
    """Return the same stream, read `depth` batches ahead by a thread, so that two steps overlap."""

    def batches() -> Iterator[pa.RecordBatch]:
        with closing(source.batches()) as rows, ThreadPoolExecutor(1, thread_name_prefix="ahead") as reader:
            waiting = deque(reader.submit(next, rows, None) for _ in range(depth))
            while (batch := waiting.popleft().result()) is not None:
                waiting.append(reader.submit(next, rows, None))
                yield batch

    return passed_on(source, batches())


def spool(source: RowStream, path: Path) -> Callable[[], RowStream]:
    """Write a stream to an Arrow file; returns a function that opens the file as a new stream on each call."""
    with open_spool(path, source.schema) as writer:
        for batch in source.batches():
            writer.write_batch(batch)
    return lambda: reopen(path, source.schema, source.order)


def keep_rows(source: RowStream, path: Path) -> tuple[int, Callable[[], RowStream]]:
    """Keep all rows of a stream: in memory if they are few, else in an Arrow file.

    Returns the size of that file in bytes, also if there is none, and a function that opens the rows as a new stream on
    each call. Raises OSError if the file cannot be written.
    """
    import pyarrow as pa

    first: list[pa.RecordBatch] = []
    size = arrow_schema(source.schema).serialize().size + _END_OF_FILE
    with closing(source.batches()) as batches:
        for batch in batches:
            if batch.num_rows:
                first.append(batch)
                size += pa.ipc.get_record_batch_size(batch)
            if size > _IN_MEMORY:
                break
        else:
            return size, lambda: RowStream(source.schema, source.order, _Conformed(first))
        reopened = spool(passed_on(source, chain(first, batches)), path)
    return path.stat().st_size, reopened


@contextmanager
def open_spool(path: Path, schema: Schema) -> Iterator[pa.RecordBatchStreamWriter]:
    """Open an Arrow file for batches of a schema, for its owner only; one that exists is overwritten.

    Its folder is created if it is missing.
    """
    import pyarrow as pa

    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, arrow_schema(schema)) as writer:
        yield writer


def reopen(path: Path, schema: Schema, order: Order) -> RowStream:
    """Return a new stream over a file that `spool` wrote."""

    def batches() -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
            yield from reader

    return RowStream(schema, order, _Conformed(batches()))


def _checked(batches: Iterable[pa.RecordBatch], schema: Schema) -> Iterator[pa.RecordBatch]:
    arrow, rows = arrow_schema(schema), 0
    for batch in batches:
        check_values(batch, rows)
        rows += batch.num_rows
        yield conform(batch, schema, arrow)


def conform(batch: pa.RecordBatch, schema: Schema, arrow: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the schema `arrow`, which is the Arrow form of `schema`; values are unchanged.

    Fails with DAT016 if its columns have other names or types, or NULL in a column without NULL.
    """
    import pyarrow as pa

    if batch.schema.equals(arrow):
        return batch
    actual = schema_of(batch.schema)
    if [(column.name, column.type) for column in actual] != [(column.name, column.type) for column in schema]:
        fail("DAT016", problem=_difference(actual, schema))
    columns = [_encoded(batch.column(i), kind) for i, kind in enumerate(arrow.types)]
    for column, planned in zip(columns, arrow, strict=True):
        if column.null_count and not planned.nullable:
            fail("DAT016", problem=f"column '{planned.name}' contains NULL but is declared not null")
    return pa.RecordBatch.from_arrays(columns, schema=arrow)


def _encoded(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return an array decoded to exactly the type `kind`; Arrow's cast does not handle all nested types."""
    import pyarrow as pa
    import pyarrow.types as is_

    if array.type.equals(kind):
        return array
    if isinstance(array, pa.DictionaryArray):
        return _encoded(array.dictionary, kind).take(array.indices)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _encoded(array.storage, kind.storage_type))
    if is_.is_list(kind):
        lists = array.cast(pa.list_(array.type.value_type))
        return relisted(lists, _encoded(lists.values, kind.value_type))
    if is_.is_struct(kind):
        children = [_encoded(child, field.type) for child, field in zip(array.flatten(), kind.fields, strict=True)]
        return pa.StructArray.from_arrays(children, fields=kind.fields, mask=array.is_null())
    return array.cast(kind)


def _difference(actual: Schema, expected: Schema) -> str:
    """Return a text on the first difference between two schemas."""
    for other, column in zip(actual, expected, strict=False):
        if other.name != column.name:
            return f"column '{other.name}' is where '{column.name}' is declared"
        if other.type != column.type:
            return f"column '{column.name}' is {other.type} but declared {column.type}"
    return f"there are {len(actual)} columns, but {len(expected)} are declared"
