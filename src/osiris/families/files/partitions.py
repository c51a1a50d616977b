"""Rows by the folders they belong to: how values name these, as Hive has it, and how rows are put in their order.

A folder is `column=value`, read back exactly. What would mean something in a path, or could not be shown, is written as
`%XX` for each byte of its UTF-8. NULL has a name of its own. A text whose name is taken, or differs from another one
only by case or in how its letters are made up, is written in `%XX` from end to end: systems that take such names for
one keep them apart.

Rows are sorted in bounded memory, however many folders and however mixed: they gather until they fill a run; a run is
sorted and written to one Arrow file, piece by piece, and each folder knows its pieces. Rows of one folder keep their
order.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from osiris.delivery import MOST_FILES
from osiris.errors import fail
from osiris.files import MAX_NAME_BYTES, fail_os
from osiris.types import arrow_schema, arrow_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.table import RowStream

RUN_BYTES = 32 << 20
"""A run ends with the batch that fills this many bytes."""

NULL = "__HIVE_DEFAULT_PARTITION__"

KINDS = ("bool", "date", "utf8", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
"""The types whose values have one spelling that everybody reads back."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ -]*(?<! )")
"""The names of columns that can stand in the name of a folder as they are; others begin in a way that hides it."""

_SPECIAL = re.compile(
    "[\"#%'*/:<=>?\\\\\\[\\]^{|}\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]"
    "|[. ]$"
)
_SHOWN = 60
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")

Key = tuple[str | None, ...]


def spelled(values: pa.Array, column: str) -> pa.Array:
    """Return values of a type of `KINDS` as texts; fails with DAT047 for one that could not be read back."""
    try:
        texts = values.cast(pa.string())
        back = texts.cast(values.type)
    except pa.ArrowInvalid as error:
        fail("DAT047", column=column, problem=str(error).splitlines()[0][:200])
    if not back.equals(values):
        fail("DAT047", column=column, problem="a value cannot be written so that it is read back unchanged")
    return texts


def folder_names(column: str, texts: Iterable[str | None]) -> Mapping[str | None, str]:
    """Return the name of the folder of each value; fails with DAT047 for one that is too long.

    Names depend on the set of values alone.
    """
    names: dict[str | None, str] = {None: f"{column}={NULL}"}
    taken = {_folded(NULL)}
    for text in sorted(text for text in set(texts) if text is not None):
        name = _SPECIAL.sub(lambda match: _hex(match[0]), text)
        name = _hex(text) if _folded(name) in taken else name
        taken.add(_folded(name))
        names[text] = f"{column}={name}"
        if len(names[text].encode()) > MAX_NAME_BYTES:
            problem = f"{text[:_SHOWN]!a}… gives a folder a name of more than {MAX_NAME_BYTES} bytes"
            fail("DAT047", column=column, problem=problem)
    return names


def is_value(folder: str) -> bool:
    """Tell whether a folder has a name as `folder_names` gives them."""
    column, equals, _ = folder.partition("=")
    return bool(equals) and PLAIN_NAME.fullmatch(column) is not None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _hex(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def values_of(folders: Sequence[str], types: Mapping[str, str]) -> dict[str, pa.Scalar]:
    """Return the value of each column that the folders of a file tell; `types` are by column, in that order.

    Raises ValueError for a name that `folder_names` gives to no value of the type.
    """
    found = {}
    for folder, (column, kind) in zip(folders, types.items(), strict=True):
        name = folder.removeprefix(f"{column}=")
        text = None if name == NULL else unquote(name, errors="strict")
        value = pa.scalar(text, pa.string()).cast(arrow_type(kind))
        if value.cast(pa.string()).as_py() != text:
            raise ValueError(f"{ascii(folder)[:_SHOWN]} is no value of type {kind}")
        found[column] = value
    return found


def by_folder(rows: RowStream, columns: Sequence[str], scratch: Path) -> Iterator[tuple[str, Iterator[pa.RecordBatch]]]:
    """Yield each folder below which rows belong, sorted by name, with its rows, which have the other columns.

    Each is to be read before the next. Fails with DAT047 for a value that no folder can have, DRV048 for too many.
    """
    path = scratch / "sorted.arrow"
    try:
        pieces = _sort(rows, columns, path)
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
            for folder, key in sorted(_folders(columns, pieces).items()):
                yield folder, map(reader.get_batch, pieces[key])
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
