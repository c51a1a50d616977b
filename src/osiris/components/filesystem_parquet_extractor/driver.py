"""Reads Parquet files by row group, with the types of their footers or of a published folder's manifest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.files.extractor import limited
from osiris.families.files.parquet_files import fit_their_types, open_parquet
from osiris.families.files.source_files import listed, read_all, relation
from osiris.families.source_columns import check_known, check_same
from osiris.model import Described
from osiris.sql.binding.duck_types import is_nameable, is_native, names_of, select
from osiris.table import ahead, stream
from osiris.types import spelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.files.parquet_files import ParquetFiles, ParquetFolder
    from osiris.model import Schema
    from osiris.table import Relation, RowStream

BATCHES_AHEAD = 2

_OPTIONS = {"hive_partitioning": False, "union_by_name": False}
"""Options of DuckDB's reader: columns come from the files alone, which all have the same."""


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    path: str
    columns: Sequence[str] | None = None
    limit: int | None = None


class Driver:
    """An extractor of Parquet files."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns in the footers; fails with DAT004 if there are none, or the files of a pattern differ.

        Those of a published folder are in its manifest; fails with DAT045 or DAT046 if it is damaged.
        """
        source = open_parquet(ctx, config.path)
        (name, first, rows), *others = source.declared()
        for other, columns, count in others:
            check_same(other, columns, name, first)
            rows += count
        state = source.state()
        if not first:
            fail("DAT004", file=name, problem="it has no columns", hint="write a file with columns")
        schema = _chosen(config, first, name)
        return Described(schema, "fixed", min(rows, config.limit or rows), state, _native(config, schema, source.paths))

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Read the footers or the manifest, and return the source's state; fails with DAT011 if columns changed.

        With a cursor, only the read itself knows which files are new.
        """
        if ctx.cursor:
            listed(ctx, config.path)
            return None
        source, _rows = _planned(config, schema, ctx)
        return source.state()

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows of all files in order; reading fails with DAT011 if columns differ from the plan."""
        source = open_parquet(ctx, config.path)
        rows = limited(source.batches(schema, partial(_check_planned, config, ctx, schema)), config.limit)
        batches = read_all(ctx, schema, source.places, _counted(rows, ctx))
        return ahead(stream(schema, batches, "fixed"), BATCHES_AHEAD)

    def relation(self, config: Config, schema: Schema, ctx: StepContext) -> Relation:
        """Return the same rows as a SELECT, for a schema of native columns; fails as `read` does."""
        source, rows = _planned(config, schema, ctx)
        paths = source.paths or []
        native = _native(config, schema, paths) or ()
        if len(native) < len(schema) or not fit_their_types(ctx, source.places, schema):
            fail("DAT013", file=config.path, problem="DuckDB cannot read this variant of Parquet directly")
        return relation(select(names_of(schema), "read_parquet", paths, _OPTIONS), paths, rows, ctx)


def _chosen(config: Config, schema: Schema, name: str) -> Schema:
    """Return the columns to read, in order; fails with DAT005 for an unknown one."""
    check_known({"columns": config.columns or ()}, [column.name for column in schema], name)
    by_name = {column.name: column for column in schema}
    return tuple(by_name[name] for name in (by_name if config.columns is None else config.columns))


def _native(config: Config, schema: Schema, paths: Sequence[Path] | None) -> tuple[str, ...] | None:
    """Return the columns that DuckDB reads with the same result; None if it cannot read the files."""
    if config.limit is not None or not paths or not all(map(is_nameable, paths)):
        return None
    return tuple(column.name for column in schema if is_native(column.type))


def _planned(config: Config, schema: Schema, ctx: StepContext) -> tuple[ParquetFiles | ParquetFolder, int]:
    """Return the source and its number of rows; fails with DAT011 if its columns differ from the plan."""
    source = open_parquet(ctx, config.path)
    rows = 0
    for name, columns, count in source.declared():
        _check_planned(config, ctx, schema, name, columns)
        rows += count
    return source, rows


def _check_planned(config: Config, ctx: StepContext, planned: Schema, name: str, actual: Schema) -> None:
    """Fail with DAT011 unless a file or folder has the planned columns; `name` is its label in messages."""
    by_name = {column.name: column for column in actual}
    for column in planned:
        existing = by_name.get(column.name)
        if existing is None:
            fail("DAT011", step=ctx.step, problem=f"{name} has no column '{column.name}'")
        if existing != column:
            problem = f"column '{column.name}' of {name} is now {spelled(existing)}, and the plan has {spelled(column)}"
            fail("DAT011", step=ctx.step, problem=problem)
    if config.columns is None and actual != planned:
        fail("DAT011", step=ctx.step, problem=f"the columns of {name} are {', '.join(by_name)}")


def _counted(batches: Iterator[pa.RecordBatch], ctx: StepContext) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        ctx.count("rows_read", batch.num_rows)
        yield batch
