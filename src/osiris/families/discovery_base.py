"""What discovering databases has in common: columns of which some are not carried, and rows that are enough."""

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
"""The most bytes of a sample; wide rows are fewer."""

_EDGE = 1 << 16


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """What a step makes of a column, or the problem that it has with it."""

    field: Field | None
    problem: str | None = None

    def typed(self, nullable: bool) -> tuple[str | None, bool]:
        """Return type and nullability here; `nullable` is what the source says of a column without a type."""
        return (self.field.type, self.field.nullable) if self.field else (None, nullable)


def fields_or_problems(names: Sequence[str], describe: Callable[[Sequence[str]], Schema]) -> dict[str, FieldCheck]:
    """Return by name what a step's own `describe(names)` makes of the columns: of all at once, else one by one."""
    if not names:
        return {}
    try:
        return {name: FieldCheck(field) for name, field in zip(names, describe(names), strict=True)}
    except InvalidInput as error:
        if len(names) > 1:
            return {name: fields_or_problems([name], describe)[name] for name in names}
        (first, *_) = error.diagnostics
        return {names[0]: FieldCheck(None, f"{first.message}; {first.hint}" if first.hint else first.message)}


def taken(batches: Generator[pa.RecordBatch, None, None], most: int) -> tuple[list[pa.RecordBatch], bool]:
    """Return the first rows, at most so many and so many bytes (`ENOUGH`), and whether they are all."""
    found: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        found.append(batch.slice(0, most - rows))
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows > most or size > ENOUGH:
            batches.close()
            return found, False
    return found, True


def sampled(schema: Schema, batches: Generator[pa.RecordBatch, None, None], most: int, method: str) -> Sampled:
    """Return a sample of rows that come; where they all fit, it is the whole."""
    found, whole = taken(batches, most)
    return Sampled(stream(schema, found, "free"), method, whole)


def content_of(files: Iterable[Path], shown: str) -> str:
    """Return a digest of what files are: size, time, node, and the first and last bytes; those not there are nothing.

    To be asked before a database in them is opened: closing a file lets go of all locks that this process has on it.
    Fails with DRV003 or DRV006 for one that cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                seen = os.fstat(file.fileno())
                digest.update(
                    f"{path.name}\0{seen.st_size}\0{seen.st_mtime_ns}\0{seen.st_ino}\0".encode(errors="surrogateescape")
                )
                digest.update(file.read(_EDGE))
                file.seek(max(0, seen.st_size - _EDGE))
                digest.update(file.read(_EDGE))
        except FileNotFoundError:
            continue
        except OSError as error:
            fail_os(error, shown)
    return digest.hexdigest()
