"""Discovery helpers that databases share: unsupported columns, and samples of rows."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.driver import Sampled
from osiris.errors import InvalidInput
from osiris.files import fail_os
from osiris.table import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from pathlib import Path

    import pyarrow as pa

    from osiris.model import Field, Schema

ENOUGH = 64 << 20
"""The maximum bytes of a sample; it has fewer rows if they are wide."""

_EDGE = 1 << 16


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """The field that a step gets for a column, or the problem that it has with it."""

    field: Field | None
    problem: str | None = None

    def typed(self, nullable: bool) -> tuple[str | None, bool]:
        """Return type and nullability; `nullable` is used for a column without a type."""
        return (self.field.type, self.field.nullable) if self.field else (None, nullable)


def fields_or_problems(names: Sequence[str], describe: Callable[[Sequence[str]], Schema]) -> dict[str, FieldCheck]:
    """Return by name the fields that a step's `describe(names)` returns, or the problem of each that it rejects."""
    if not names:
        return {}
    try:
        return {name: FieldCheck(field) for name, field in zip(names, describe(names), strict=True)}
    except InvalidInput as error:
        if len(names) > 1:
            return {name: fields_or_problems([name], describe)[name] for name in names}
        (first, *_) = error.diagnostics
        return {names[0]: FieldCheck(None, f"{first.message}; {first.hint}" if first.hint else first.message)}


def taken(batches: Generator[pa.RecordBatch, None, None], max_rows: int) -> tuple[list[pa.RecordBatch], bool]:
    """Return the first rows, at most `max_rows` and `ENOUGH` bytes, and whether these are all rows."""
    kept: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        kept.append(batch.slice(0, max_rows - rows))
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows > max_rows or size > ENOUGH:
            batches.close()
            return kept, False
    return kept, True


def sampled(schema: Schema, batches: Generator[pa.RecordBatch, None, None], max_rows: int, method: str) -> Sampled:
    """Return a sample of the first rows; `whole` if these are all rows."""
    rows, complete = taken(batches, max_rows)
    return Sampled(stream(schema, rows, "free"), method, complete)


def content_of(files: Iterable[Path], shown: str) -> str:
    """Return a digest of size, modification time, inode, first and last bytes of files; missing ones are ignored.

    Call it before a database in them is opened: closing a file drops all locks of this process on it. Fails with DRV003
    or DRV006 for a file that cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                digest.update(
                    f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}\0".encode(
                        errors="surrogateescape"
                    )
                )
                digest.update(file.read(_EDGE))
                file.seek(max(0, status.st_size - _EDGE))
                digest.update(file.read(_EDGE))
        except FileNotFoundError:
            continue
        except OSError as error:
            fail_os(error, shown)
    return digest.hexdigest()
