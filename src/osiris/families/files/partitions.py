"""Hive partitioning: names of partition folders, and sorting of rows by folder.

A folder is named `column=value`, and read back exactly. Special and invisible characters are written as `%XX` for each
byte of their UTF-8. NULL has a reserved name. A text whose name is already used, or differs from another only by case
or Unicode normalization, is written as `%XX` throughout, for file systems that treat such names as equal.

Rows are sorted in bounded memory, whatever the number of folders: they are collected into runs; each run is sorted and
written to one Arrow file in pieces, which are listed for each folder. Rows of one folder keep their order.
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
"""The types whose values have a unique text that all readers parse."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_ -]*(?<! )")
"""Names of columns that can be part of a folder name unchanged; others could make the folder hidden."""

_SPECIAL = re.compile(
    "[\"#%'*/:<=>?\\\\\\[\\]^{|}\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]"
    "|[. ]$"
)
_SHOWN = 60
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")

Key = tuple[str | None, ...]


def spelled(values: pa.Array, column: str) -> pa.Array:
    """Return values of a type of `KINDS` as texts; fails with DAT047 for a value that could not be read back."""
    try:
        texts = values.cast(pa.string())
        back = texts.cast(values.type)
    except pa.ArrowInvalid as error:
        fail("DAT047", column=column, problem=str(error).splitlines()[0][:200])
    if not back.equals(values):
        fail("DAT047", column=column, problem="a value cannot be written so that it is read back unchanged")
    return texts


def folder_names(column: str, texts: Iterable[str | None]) -> Mapping[str | None, str]:
    """Return the folder name of each value; fails with DAT047 for one that is too long.

    Names depend only on the set of values.
    """
    names: dict[str | None, str] = {None: f"{column}={NULL}"}
    used = {_folded(NULL)}
    for text in sorted(text for text in set(texts) if text is not None):
        name = _SPECIAL.sub(lambda match: _hex(match[0]), text)
        name = _hex(text) if _folded(name) in used else name
        used.add(_folded(name))
        names[text] = f"{column}={name}"
        if len(names[text].encode()) > MAX_NAME_BYTES:
            problem = f"{text[:_SHOWN]!r}… gives a folder a name of more than {MAX_NAME_BYTES} bytes"
            fail("DAT047", column=column, problem=problem)
    return names


def is_value(folder: str) -> bool:
    """Return whether a folder has a name like those of `folder_names`."""
    column, equals, _ = folder.partition("=")
    return bool(equals) and PLAIN_NAME.fullmatch(column) is not None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _hex(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def values_of(folders: Sequence[str], types: Mapping[str, str]) -> dict[str, pa.Scalar]:
    """Return the value of each partition column from the folders of a file; `types` are by column, in that order.

    Raises ValueError for a name that `folder_names` returns for no value of the type.
    """
    values = {}
    for folder, (column, kind) in zip(folders, types.items(), strict=True):
        name = folder.removeprefix(f"{column}=")
        text = None if name == NULL else unquote(name, errors="strict")
        value = pa.scalar(text, pa.string()).cast(arrow_type(kind))
        if value.cast(pa.string()).as_py() != text:
            raise ValueError(f"{ascii(folder)[:_SHOWN]} is no value of type {kind}")
        values[column] = value
    return values


def by_folder(rows: RowStream, columns: Sequence[str], scratch: Path) -> Iterator[tuple[str, Iterator[pa.RecordBatch]]]:
    """Yield each partition folder, sorted by name, with its rows without the partition columns.

    Read each before the next. Fails with DAT047 for a value that no folder name can represent, DRV048 for too many.
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
    """Write rows to an Arrow file; returns for each key the indexes of its batches in the file."""
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
    """Yield the rows of each key in a run, in order, without the columns of the key."""
    numbers = np.zeros(run.num_rows, np.int64)
    texts = []
    for name in columns:
        encoded = run[name].combine_chunks().dictionary_encode(null_encoding="encode")
        values = encoded.dictionary
        texts.append(spelled(values, name).take(encoded.indices))
        # Renumbered for each column, so that they stay below the number of rows, and their products do not overflow.
        _, numbers = np.unique(numbers * len(values) + encoded.indices.to_numpy(), return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    ends = [*starts, run.num_rows][1:]
    rest = run.drop_columns(list(columns)).take(pa.array(order)).combine_chunks()
    for start, end in zip(starts, ends, strict=True):
        yield tuple(column[int(order[start])].as_py() for column in texts), rest.slice(start, end - start)


def _folders(columns: Sequence[str], keys: Mapping[Key, object]) -> dict[str, Key]:
    """Return the key of each folder, by the folder's path."""
    names = [folder_names(column, {key[n] for key in keys}) for n, column in enumerate(columns)]
    return {"/".join(by_text[text] for by_text, text in zip(names, key, strict=True)): key for key in keys}
