"""Writes Parquet: deterministic bytes, independent of batch sizes, published atomically.

A path that ends with `/` is a published folder: see `osiris.families.files.folders`. Its files are partitioned by
columns in Hive's layout, or numbered.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from osiris.delivery import FolderManifest
from osiris.driver import Written
from osiris.durable import make_folder
from osiris.errors import Location, fail
from osiris.families.files.folder_states import (
    changed,
    delivered,
    expect_version,
    load_state,
    manifest_of,
    stored_state,
    with_state,
)
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
from osiris.fault import fault
from osiris.table import counted
from osiris.types import arrow_schema
from osiris.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.files.folders import Folder
    from osiris.model import Field, JsonValue, Schema
    from osiris.replication import Increment, Rows, State, StateChange, Stored
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
            return _append(config, rows, ctx, ctx.increment) if ctx.increment else _write_folder(config, rows, ctx)
        place = target(ctx, config.path, "parquet")
        with publishing(ctx, place, create_dirs=config.create_dirs) as file:
            schema = arrow_schema(rows.schema)
            groups = row_groups(rows.batches(), schema, config.row_group_rows)
            written = write_file(file.output, groups, schema, config.compression)
        return file.written(written)

    def state(self, config: Config, _schema: Schema, ctx: StepContext) -> tuple[State | None, Rows]:
        """Return how far the pair of the step has been read, and the delivered rows that may be read again.

        Fails as `load_state`.
        """
        return load_state(folder(ctx, config.path), ctx)

    def inspect_state(self, config: Config, _schema: Schema, ctx: StepContext) -> Stored:
        """Return what the folder has of the pair of the step."""
        return stored_state(folder(ctx, config.path), ctx)

    def change_state(self, config: Config, schema: Schema, ctx: StepContext, change: StateChange) -> int | None:
        """Replace the state of the pair in the manifest, unless it is only tried; fails with STA001 or DRV046.

        Returns how many rows of the folder the next run appends again at most, None if that is not known.
        """
        published = folder(ctx, config.path)
        before, manifest = changed(published, schema, ctx, change)
        if not change.dry_run:
            publish_folder(published, before, ctx.scratch, manifest, ())
        return manifest.rows if change.reads_all else None


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
    published = _target(config, ctx)
    before = manifest_version(published)
    with _new_folder(ctx) as scratch:
        staging = Staging(Path(scratch) / "staged")
        manifest = _staged(config, rows, staging, Path(scratch))
        stored = publish_folder(published, before, staging.root, manifest)
    return _written(published, manifest.rows, stored)


def _new_folder(ctx: StepContext) -> tempfile.TemporaryDirectory[str]:
    """Return a new folder in the scratch folder of a step, which is removed at the end of a block."""
    make_folder(ctx.scratch, private=True)
    return tempfile.TemporaryDirectory(dir=ctx.scratch)


def _target(config: Config, ctx: StepContext) -> Folder:
    published = folder(ctx, config.path)
    if isinstance(published, LocalFolder) and not config.create_dirs and not published.path.is_dir():
        fail("DRV001", path=published.label(""))
    return published


def _staged(config: Config, rows: RowStream, staging: Staging, scratch: Path) -> FolderManifest:
    """Write all rows into new files; returns the manifest of these files."""
    total = Counter[str]()
    counted_rows = counted(rows, lambda count: total.update(rows=count))
    partition_by = tuple(config.partition_by or ())
    whole = [("", counted_rows.batches())]
    parts = by_folder(counted_rows, partition_by, scratch) if partition_by else whole
    schema = arrow_schema(schema_of_files(rows.schema, partition_by))
    for name, batches in parts:
        _stage(config, staging, name, batches, schema)
    return FolderManifest(total["rows"], rows.schema, partition_by, tuple(staging.files))


def _written(published: Folder, rows: int, stored: Mapping[str, JsonValue], earlier: JsonValue = None) -> Written:
    if isinstance(published, LocalFolder):
        return Written(rows, stored["size"], (published.label(""),), earlier=earlier)
    return Written(rows, stored["size"], earlier=earlier, stored=(stored,) if "sha256" in stored else ())


def _append(config: Config, rows: RowStream, ctx: StepContext, increment: Increment) -> Written:
    """Write new rows into new files, and publish them beside the folder's earlier ones, with the state of their pair.

    Fails with STA001 if another run has written the state since it was read, DAT029 if the folder has other columns.
    """
    published = _target(config, ctx)
    version, before = manifest_of(published)
    if (record := delivered(before, ctx)) is not None and before:
        return _written(published, record["rows"], {"size": before.size}, record["digest"])
    expect_version(published, before, ctx, increment.before.version if increment.before else 0)
    earlier = before.files if before else ()
    with _new_folder(ctx) as scratch:
        staging = Staging(Path(scratch) / "staged", earlier)
        added = _staged(config, rows, staging, Path(scratch))
        if not added.rows and increment.is_unchanged:
            return Written(0, 0)
        if before and before.files and (before.schema, before.partition_by) != (added.schema, added.partition_by):
            problem = "the folder has other columns or other partitions"
            fail("DAT029", step=ctx.step, table=published.label(""), problem=problem)
        new = added.files if added.rows or not earlier else ()
        total = added.rows + (before.rows if before else 0)
        state = increment.after(ctx.run_key, None, rows=total > 0)
        manifest = replace(added, rows=total, files=(*earlier, *new))
        manifest = with_state(manifest, state, increment.kept, ctx, added.rows)
        fault("folder.append")
        stored = publish_folder(published, version, staging.root, manifest, new)
    return _written(published, added.rows, stored)


def _stage(config: Config, staging: Staging, name: str, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
    """Write rows into the files of a folder; one file without rows if there are none."""
    groups = row_groups(batches, schema, config.row_group_rows)
    most = parse_size(config.max_file_bytes)
    write = partial(write_file, schema=schema, compression=config.compression, max_bytes=most)
    staging.add(name, 0, partial(write, groups=groups))
    for number, group in enumerate(groups, 1):
        staging.add(name, number, partial(write, groups=chain([group], groups)))
