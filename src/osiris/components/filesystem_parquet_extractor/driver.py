"""Reads Parquet files, group by group, with the types of their footers or, in a published folder, of its manifest."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from osiris.components.filesystem_parquet_extractor.folder import Folder, folder_rows, open_folder
from osiris.errors import fail
from osiris.families.files.paths import check_count, is_folder, label, relation, sources
from osiris.families.files.source_file import local, opened, state_of
from osiris.families.source_columns import check_known
from osiris.files import fail_os
from osiris.model import Described
from osiris.sql.binding.scan import duck_type, is_nameable, names_of, select
from osiris.table import ahead, stream
from osiris.types import schema_of

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.families.files.source_file import Place
    from osiris.model import Schema
    from osiris.table import Relation, RowStream

BATCH_ROWS = 1 << 15
BATCHES_AHEAD = 2

_OPTIONS = {"hive_partitioning": False, "union_by_name": False}
"""For DuckDB's reader: a column is what the file has, and all files are alike."""


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    path: str
    columns: Sequence[str] | None = None
    limit: int | None = None


class Driver:
    """An extractor of Parquet files."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns that the footers declare; fails with DAT004 if the files of a pattern differ.

        Of a published folder its manifest tells them; fails with DAT045 or DAT046 if it is damaged.
        """
        if is_folder(config.path):
            found = open_folder(ctx, config.path)
            schema = _chosen(config, found.schema, found.name)
            return Described(schema, "fixed", min(found.rows, config.limit or found.rows), found.state)
        files = sources(ctx, config.path)
        footers = [_footer(path, ctx) for path in files]
        first, rows, state = footers[0][0], sum(count for _schema, count in footers), state_of(files)
        for path, (schema, _count) in zip(files, footers, strict=True):
            if schema != first:
                problem = f"its columns are not those of {label(ctx, files[0])}"
                fail("DAT004", file=label(ctx, path), problem=problem)
        schema = _chosen(config, first, label(ctx, files[0]))
        return Described(schema, "fixed", min(rows, config.limit or rows), state, _native(config, schema, local(files)))

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Read the footers, or the manifest; fails with DAT011 if their columns are not as planned."""
        if is_folder(config.path):
            return _planned_folder(config, schema, ctx).state
        return state_of(_planned_files(config, schema, ctx))

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of all files, one after the other; fails with DAT011 if their columns are not as planned."""
        if is_folder(config.path):
            rows = folder_rows(_planned_folder(config, schema, ctx), schema, partial(_batches, ctx=ctx), _footer, ctx)
        else:
            names = [column.name for column in schema]
            files = _planned_files(config, schema, ctx)
            rows = chain.from_iterable(_batches(path, names, ctx) for path in files)
        return ahead(stream(schema, _counted(rows, config.limit, ctx), "fixed"), BATCHES_AHEAD)

    def relation(self, config: Config, schema: Schema, ctx: StepContext) -> Relation:
        """Return the same rows as a SELECT, for a schema of native columns; fails as `read` does."""
        files = _planned_files(config, schema, ctx)
        rows = sum(_footer(path, ctx)[1] for path in files)
        paths = local(files) or []
        if is_folder(config.path) or len(_native(config, schema, paths) or ()) < len(schema):
            fail("DAT013", file=config.path, problem="it is not of the kind that the engine reads by itself")
        return relation(select(names_of(schema), "read_parquet", paths, _OPTIONS), paths, rows, ctx)


def _chosen(config: Config, schema: Schema, name: str) -> Schema:
    """Return the columns to read, in their order; fails with DAT005 for one that is not there."""
    check_known({"columns": config.columns or ()}, [column.name for column in schema], name)
    by_name = {column.name: column for column in schema}
    return tuple(by_name[name] for name in (by_name if config.columns is None else config.columns))


def _native(config: Config, schema: Schema, paths: Sequence[Path] | None) -> tuple[str, ...] | None:
    """Return the columns that DuckDB reads by itself as we do, None if it cannot read the files."""
    if config.limit is not None or not paths or not all(map(is_nameable, paths)):
        return None
    return tuple(column.name for column in schema if _is_native(column.type))


def _is_native(kind: str) -> bool:
    """Tell whether DuckDB reads a type as we do; not floats, as it takes the largest from statistics without NaN."""
    return duck_type(kind) is not None and not kind.startswith("float")


def _planned_files(config: Config, schema: Schema, ctx: StepContext) -> list[Place]:
    """Return the files, whose columns are as planned; fails with DAT011 if they are not."""
    files = sources(ctx, config.path)
    for path in files:
        _check_planned(config, schema, _footer(path, ctx)[0], label(ctx, path), ctx)
    return files


def _planned_folder(config: Config, schema: Schema, ctx: StepContext) -> Folder:
    """Return a published folder whose columns are as planned; fails with DAT011 if they are not."""
    found = open_folder(ctx, config.path)
    _check_planned(config, schema, found.schema, found.name, ctx)
    return found


def _footer(path: Place, ctx: StepContext) -> tuple[Schema, int]:
    """Return the columns and the number of rows that a file declares."""
    name = label(ctx, path)
    with _translated(name), opened(path) as raw, parquet.ParquetFile(raw) as file:
        arrow, rows = file.schema_arrow, file.metadata.num_rows
        check_count(name, rows, sum(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)))
    repeated = [column for column, count in Counter(arrow.names).items() if count > 1]
    if repeated:
        fail("DAT004", file=name, problem=f"the column name {repeated[0]!r} appears twice")
    return schema_of(arrow), rows


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


def _counted(batches: Iterator[pa.RecordBatch], limit: int | None, ctx: StepContext) -> Iterator[pa.RecordBatch]:
    """Yield batches until there are enough rows, and count these."""
    left = limit
    for batch in batches:
        rows = batch if left is None else batch.slice(0, left)
        ctx.count("rows_read", rows.num_rows)
        yield rows
        left = None if left is None else left - rows.num_rows
        if left == 0:
            return


def _batches(path: Place, names: list[str], ctx: StepContext) -> Iterator[pa.RecordBatch]:
    with _translated(label(ctx, path)), opened(path) as raw:
        source = pa.PythonFile(_CountedFile(raw, ctx), mode="r")
        # Buffering ahead keeps every column chunk that was read; memory would grow with the file.
        with parquet.ParquetFile(source, pre_buffer=False) as file:
            counted = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=names, use_threads=ctx.threads > 1):
                counted += batch.num_rows
                yield batch.select(names)
            check_count(label(ctx, path), file.metadata.num_rows, counted)


class _CountedFile:
    """A file whose reads are counted as `bytes_read`."""

    def __init__(self, file: io.RawIOBase, ctx: StepContext) -> None:
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
