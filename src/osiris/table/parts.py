"""The rows of a stream in parts, on disk: by the hash of columns, or as runs of consecutive rows."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from osiris.fault import fault
from osiris.table.hashing import hash_cells, plain, side_by_side
from osiris.table.stream import reopen, stream
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from osiris.table.stream import RowStream

    OnSize = Callable[[int], None]


class Parts(NamedTuple):
    """The number of rows of each part, and a function that opens a part as a new stream on each call.

    A part has the schema of its source, and its rows in the same order.
    """

    rows: Sequence[int]
    open: Callable[[int], RowStream]


def bucketed(
    source: RowStream, columns: Sequence[str], count: int, folder: Path, *, memory: int, on_size: OnSize
) -> Parts:
    """Write a stream into at most `count` files: rows with the same values in `columns` are in the same part.

    Values are the same if their canonical bytes are; NULL is a value. Rows are gathered until they have `memory` bytes,
    and copied twice then. `on_size` gets the bytes written so far. Raises OSError if a file cannot be written.
    """
    schema = arrow_schema(source.schema)
    keys = [schema.get_field_index(name) for name in columns]
    rows, total = np.zeros(count, dtype=np.int64), 0
    for batch in _gathered(source.batches(), memory):
        hashes = side_by_side([hash_cells(plain(batch.column(key))) for key in keys])
        buckets = (hashes % np.uint64(count)).astype(np.uint16)
        sizes = np.bincount(buckets, minlength=count)
        ends, moved = np.cumsum(sizes), batch.take(pa.array(np.argsort(buckets, kind="stable")))
        for part in np.flatnonzero(sizes).tolist():
            piece = moved.slice(ends[part] - sizes[part], sizes[part]).serialize()
            total += _append(_file(folder, part), [piece] if rows[part] else [schema.serialize(), piece])
            on_size(total)
        rows += sizes

    def open_part(part: int) -> RowStream:
        if rows[part]:
            return reopen(_file(folder, part), source.schema, source.order)
        return stream(source.schema, (), source.order)

    return Parts(rows.tolist(), open_part)


def divided(source: RowStream, count: int, folder: Path, *, on_size: OnSize) -> Parts:
    """Write a stream into one file, whose rows are divided evenly into `count` parts, in their order.

    `on_size` gets the bytes written so far. Raises OSError if the file cannot be written.
    """
    path, offsets, ends = _file(folder, 0), [0], [0]
    for batch in source.batches():
        offsets.append(offsets[-1] + _append(path, [batch.serialize()]))
        ends.append(ends[-1] + batch.num_rows)
        on_size(offsets[-1])
    bounds = [part * ends[-1] // count for part in range(count + 1)]

    def batches(first: int, last: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows from number `first` up to `last`."""
        if first == last:
            return
        with pa.OSFile(str(path), "rb") as file:
            for offset, (start, end) in zip(offsets, pairwise(ends), strict=False):
                if start < last and end > first:
                    file.seek(offset)
                    batch = pa.ipc.read_record_batch(pa.ipc.read_message(file), arrow_schema(source.schema))
                    yield batch.slice(max(first - start, 0), min(last, end) - max(first, start))

    def open_part(part: int) -> RowStream:
        return stream(source.schema, batches(bounds[part], bounds[part + 1]), source.order)

    return Parts([last - first for first, last in pairwise(bounds)], open_part)


def _gathered(batches: Iterable[pa.RecordBatch], memory: int) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of up to `memory` bytes; a larger one is passed on alone."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if waiting and size + batch.nbytes > memory:
            yield pa.concat_batches(waiting)
            waiting, size = [], 0
        waiting.append(batch)
        size += batch.nbytes
    if waiting:
        yield pa.concat_batches(waiting)


def _file(folder: Path, part: int) -> Path:
    return folder / f"{part}.arrow"


def _append(path: Path, pieces: Sequence[pa.Buffer]) -> int:
    """Append to a file of its owner, which is created; returns the number of bytes.

    A file is open only while it is written, as there may be more of them than a process can have open.
    """
    fault("part.write")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "wb") as file:
        return sum(file.write(piece) for piece in pieces)
