"""Rows that are put in order by the folders they belong to, in bounded memory, however many folders and however mixed.

Rows gather until they fill a run; a run is sorted and written to one Arrow file, piece by piece, and each folder knows
its pieces. Rows of one folder keep their order.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from osiris.delivery import MOST_FILES
from osiris.errors import fail
from osiris.families.files.hive import folder_names, spelled
from osiris.files import fail_os
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.table import RowStream

RUN_BYTES = 32 << 20
"""A run ends with the batch that fills this many bytes."""

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")

Key = tuple[str | None, ...]


def by_folder(rows: RowStream, columns: Sequence[str], scratch: Path) -> Iterator[tuple[str, Iterator[pa.RecordBatch]]]:
    """Yield each folder below which rows belong, sorted by name, with its rows, which have the other columns.

    Each is to be read before the next. Fails with DAT047 for a value that no folder can have, DRV048 for too many.
    """
    path = scratch / "sorted.arrow"
    with _translated(path):
        pieces = _sort(rows, columns, path)
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
            for folder, key in sorted(_folders(columns, pieces).items()):
                yield folder, map(reader.get_batch, pieces[key])


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fail_os(error, path)


def _sort(rows: RowStream, columns: Sequence[str], path: Path) -> Mapping[Key, list[int]]:
    """Write rows to an Arrow file; returns the numbers of its batches that have the rows of each key."""
    schema = arrow_schema(tuple(column for column in rows.schema if column.name not in columns))
    pieces: dict[Key, list[int]] = defaultdict(list)
    written = 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema, options=_OPTIONS) as writer:
        for run in _runs(rows):
            for key, part in _parts(run, columns):
                for batch in part.to_batches():
                    writer.write_batch(batch)
                    pieces[key].append(written)
                    written += 1
            if len(pieces) > MOST_FILES:
                fail("DRV048", limit=f"{MOST_FILES:,}")
    return pieces


def _runs(rows: RowStream) -> Iterator[pa.Table]:
    schema = arrow_schema(rows.schema)
    gathered: list[pa.RecordBatch] = []
    size = 0
    for batch in rows.batches():
        gathered.append(batch)
        size += batch.nbytes
        if size >= RUN_BYTES:
            yield pa.Table.from_batches(gathered, schema)
            gathered, size = [], 0
    if gathered:
        yield pa.Table.from_batches(gathered, schema)


def _parts(run: pa.Table, columns: Sequence[str]) -> Iterator[tuple[Key, pa.Table]]:
    """Yield the rows of each key in a run, in their order, without the columns of the key."""
    numbers = np.zeros(run.num_rows, np.int64)
    texts = []
    for name in columns:
        encoded = run[name].combine_chunks().dictionary_encode(null_encoding="encode")
        values = encoded.dictionary
        texts.append(spelled(values, name).take(encoded.indices))
        # Numbered anew for each column, so that they stay below the number of rows, and their products fit.
        _, numbers = np.unique(numbers * len(values) + encoded.indices.to_numpy(), return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    ends = [*starts[1:], run.num_rows]
    rest = run.drop_columns(list(columns)).take(pa.array(order)).combine_chunks()
    for start, end in zip(starts, ends, strict=True):
        yield tuple(column[int(order[start])].as_py() for column in texts), rest.slice(start, end - start)


def _folders(columns: Sequence[str], keys: Mapping[Key, object]) -> dict[str, Key]:
    """Return the key of each folder, by the folder's path."""
    names = [folder_names(column, {key[n] for key in keys}) for n, column in enumerate(columns)]
    return {"/".join(known[text] for known, text in zip(names, key, strict=True)): key for key in keys}
