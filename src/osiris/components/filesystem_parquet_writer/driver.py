"""Writes Parquet: deterministic bytes, independent of batch sizes, published atomically.

A path that ends with `/` is a published folder: see `osiris.families.files.folders`. Its files are partitioned by
columns in Hive's layout, or numbered.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from osiris.delivery import FolderManifest
from osiris.driver import Written
from osiris.errors import Location, fail
from osiris.families.files.folders import LocalFolder, Staging, manifest_version, publish_folder, schema_of_files
from osiris.families.files.parquet_files import row_groups, write_file
from osiris.families.files.partitions import KINDS, PLAIN_NAME, by_folder
from osiris.families.files.target_files import (
    check_file_columns,
    fail_unsupported,
    folder,
    folder_place,
    is_folder,
    publishing,
    target,
)
from osiris.families.source_columns import check_known
from osiris.table import counted
from osiris.types import arrow_schema
from osiris.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.model import Field, Schema
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    path: str
    compression: Literal["snappy", "zstd", "none"] = "snappy"
    row_group_rows: int = 122_880
    create_dirs: bool = True
    partition_by: Sequence[str] | None = None
    max_file_bytes: str | None = None


class Driver:
    """A writer of Parquet files."""

    def check(self, config: Config, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns that Parquet does not round-trip, with DRV007 for a bad path.

        Fails with DAT005, DRV047 or CMP012 for invalid options of several files.
        """
        if is_folder(config.path):
            _check_folder(config, schema, ctx)
        else:
            several = next((key for key in ("partition_by", "max_file_bytes") if getattr(config, key)), None)
            if several:
                fail("DRV047", at=Location(pointer=f"/config/{several}"), key=several, path=config.path)
            target(ctx, config.path, "parquet")
        check_file_columns(ctx, schema, _reason)

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Write all rows, and publish them atomically."""
        if is_folder(config.path):
            return _write_folder(config, rows, ctx)
        place = target(ctx, config.path, "parquet")
        with publishing(ctx, place, create_dirs=config.create_dirs) as file:
            schema = arrow_schema(rows.schema)
            groups = row_groups(rows.batches(), schema, config.row_group_rows)
            written = write_file(file.output, groups, schema, config.compression)
        return file.written(written)


def _reason(type_name: str) -> str | None:
    if "time[s]" in type_name or "timestamp[s" in type_name:
        return "Parquet has no unit of seconds; cast to milliseconds"
    return None


def _check_folder(config: Config, schema: Schema, ctx: StepContext) -> None:
    """Fail with DRV007 for a bad path, DAT005 for an unknown column, CMP012 for one that cannot name folders."""
    partition_by = config.partition_by or ()
    folder_place(ctx, config.path)
    check_known({"partition_by": partition_by}, [column.name for column in schema], "the rows")
    folded = Counter(column.name.lower() for column in schema)
    chosen = [column for column in schema if column.name in partition_by]
    against = partial(_reason_against_folder, folded=folded, all_chosen=len(chosen) == len(schema))
    fail_unsupported(ctx, {column.name: reason for column in chosen if (reason := against(column))}, schema)


def _reason_against_folder(column: Field, *, folded: Mapping[str, int], all_chosen: bool) -> str | None:
    """Return why a column's values cannot name folders; `folded` counts all column names, ignoring case."""
    if column.type not in KINDS:
        return f"only {', '.join(KINDS)} have one spelling that can name a folder"
    if not PLAIN_NAME.fullmatch(column.name):
        return "the name of a column that names folders is of letters, digits, '_', '-' and spaces"
    if folded[column.name.lower()] > 1:
        return "another column has the same name but for its case, and readers would take one"
    return "a file needs at least one column that is not in the name of its folder" if all_chosen else None


def _write_folder(config: Config, rows: RowStream, ctx: StepContext) -> Written:
    """Write all rows into files, and publish these in place of the folder's earlier ones."""
    published = folder(ctx, config.path)
    if isinstance(published, LocalFolder) and not config.create_dirs and not published.path.is_dir():
        fail("DRV001", path=published.label(""))
    before = manifest_version(published)
    total = Counter[str]()
    counted_rows = counted(rows, lambda count: total.update(rows=count))
    with tempfile.TemporaryDirectory(dir=ctx.scratch) as scratch:
        staging = Staging(Path(scratch) / "staged")
        partition_by = tuple(config.partition_by or ())
        whole = [("", counted_rows.batches())]
        parts = by_folder(counted_rows, partition_by, Path(scratch)) if partition_by else whole
        schema = arrow_schema(schema_of_files(rows.schema, partition_by))
        for name, batches in parts:
            _stage(config, staging, name, batches, schema)
        manifest = FolderManifest(total["rows"], rows.schema, partition_by, tuple(staging.files))
        stored = publish_folder(published, before, staging.root, manifest)
    if isinstance(published, LocalFolder):
        return Written(manifest.rows, stored["size"], (published.label(""),))
    return Written(manifest.rows, stored["size"], stored=(stored,))


def _stage(config: Config, staging: Staging, name: str, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
    """Write rows into the files of a folder; one file without rows if there are none."""
    groups = row_groups(batches, schema, config.row_group_rows)
    most = parse_size(config.max_file_bytes)
    write = partial(write_file, schema=schema, compression=config.compression, max_bytes=most)
    staging.add(name, 0, partial(write, groups=groups))
    for number, group in enumerate(groups, 1):
        staging.add(name, number, partial(write, groups=chain([group], groups)))
