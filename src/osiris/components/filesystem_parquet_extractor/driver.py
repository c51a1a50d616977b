"""Reads Parquet files, group by group, with the types of their footers."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from osiris.errors import fail
from osiris.families.filesystem import check_known, label, sources
from osiris.files import fail_os, open_source
from osiris.model import Described
from osiris.table import ahead, stream
from osiris.types import schema_of

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.model import Schema
    from osiris.table import RowStream

BATCH_ROWS = 1 << 15
BATCHES_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    path: str
    columns: Sequence[str] | None = None
    limit: int | None = None


class Driver:
    """An extractor of Parquet files."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns that the footers declare; fails with DAT004 if the files of a pattern differ."""
        files = sources(ctx, config.path)
        schemas = {path: _schema(path, ctx) for path in files}
        first = schemas[files[0]]
        for path in files:
            if schemas[path] != first:
                problem = f"its columns are not those of {label(ctx, files[0])}"
                fail("DAT004", file=label(ctx, path), problem=problem)
        if config.columns is None:
            return Described(first, "fixed")
        check_known(config.columns, [column.name for column in first], label(ctx, files[0]))
        by_name = {column.name: column for column in first}
        return Described(tuple(by_name[name] for name in config.columns), "fixed")

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of all files, one after the other; fails with DAT011 if their columns are not as planned."""
        files = sources(ctx, config.path)
        for path in files:
            _check_planned(config, schema, _schema(path, ctx), label(ctx, path), ctx)
        return ahead(stream(schema, _rows(config, schema, files, ctx), "fixed"), BATCHES_AHEAD)


def _schema(path: Path, ctx: StepContext) -> Schema:
    name = label(ctx, path)
    with _translated(name), open_source(path) as raw, parquet.ParquetFile(raw) as file:
        arrow = file.schema_arrow
    repeated = [column for column, count in Counter(arrow.names).items() if count > 1]
    if repeated:
        fail("DAT004", file=name, problem=f"the column name {repeated[0]!r} appears twice")
    return schema_of(arrow)


def _check_planned(config: Config, planned: Schema, found: Schema, name: str, ctx: StepContext) -> None:
    by_name = {column.name: column for column in found}
    for column in planned:
        if by_name.get(column.name) != column:
            there = by_name.get(column.name)
            problem = (
                f"{name} has no column '{column.name}'" if there is None else _changed(name, there.type, column.name)
            )
            fail("DAT011", step=ctx.step, problem=problem)
    if config.columns is None and found != planned:
        fail("DAT011", step=ctx.step, problem=f"the columns of {name} are {', '.join(by_name)}")


def _changed(name: str, found: str, column: str) -> str:
    return f"column '{column}' of {name} is now {found}, or may now be NULL"


def _rows(config: Config, schema: Schema, files: Sequence[Path], ctx: StepContext) -> Iterator[pa.RecordBatch]:
    names = [column.name for column in schema]
    left = config.limit
    for path in files:
        for batch in _batches(path, names, ctx):
            rows = batch if left is None else batch.slice(0, left)
            ctx.count("rows_read", rows.num_rows)
            yield rows
            left = None if left is None else left - rows.num_rows
            if left == 0:
                return


def _batches(path: Path, names: list[str], ctx: StepContext) -> Iterator[pa.RecordBatch]:
    with _translated(label(ctx, path)), open_source(path) as raw:
        source = pa.PythonFile(_Counted(raw, ctx), mode="r")
        # Buffering ahead keeps every column chunk that was read; memory would grow with the file.
        with parquet.ParquetFile(source, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=names, use_threads=ctx.threads > 1):
                yield batch.select(names)


class _Counted:
    """A file whose reads are counted as `bytes_read`."""

    def __init__(self, file: io.FileIO, ctx: StepContext) -> None:
        self._file = file
        self._ctx = ctx
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size) or b""
        self._ctx.count("bytes_read", len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self.closed = True


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        fail("DAT013", file=name, problem=f"it cannot be read as Parquet: {str(error).splitlines()[0][:200]}")
    except OSError as error:
        if error.errno is None:
            fail("DAT013", file=name, problem=f"it cannot be read as Parquet: {str(error).splitlines()[0][:200]}")
        fail_os(error, name)
