"""Writes Parquet: the same bytes for the same rows however they arrive, all of it or nothing.

A path that ends with `/` is a folder, which is published: see `osiris.families.files.folder_snapshot`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from osiris.components.filesystem_parquet_writer.folder import check_folder, write_folder
from osiris.errors import Location, fail
from osiris.families.background import Behind
from osiris.families.files.paths import check_names, is_folder, published, publishing, refuse, target
from osiris.types import arrow_schema
from osiris.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from osiris.components.filesystem_parquet_writer.folder import FileWriter
    from osiris.driver import StepContext, Written
    from osiris.families.files.folder_snapshot import StagedFile
    from osiris.families.stores.objects import Upload
    from osiris.files import Output
    from osiris.model import Schema
    from osiris.table import RowStream

GROUP_BYTES = 64 << 20
"""A row group ends with the row that fills this many bytes of text, so that memory stays flat however long it is."""

SAMPLE_ROWS = 1 << 14


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
        """Fail with CMP012 for columns that Parquet cannot give back as they are, with DRV007 for a bad path.

        Fails with DAT005, DRV047 and CMP012 where rows are to be put into several files, and cannot be.
        """
        if is_folder(config.path):
            check_folder(config.path, config.partition_by or (), schema, ctx)
        else:
            several = next((key for key in ("partition_by", "max_file_bytes") if getattr(config, key)), None)
            if several:
                fail("DRV047", at=Location(pointer=f"/config/{several}"), key=several, path=config.path)
            target(ctx, config.path, "parquet")
        check_names(ctx, schema)
        refuse(ctx, {column.name: reason for column in schema if (reason := _reason(column.type))}, schema)

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Write all rows, and have them appear at once."""
        if is_folder(config.path):
            return write_folder(config, rows, ctx, _file_writer(config))
        path = target(ctx, config.path, "parquet")
        with publishing(ctx, path, create_dirs=config.create_dirs) as output:
            schema = arrow_schema(rows.schema)
            groups = row_groups(rows.batches(), schema, config.row_group_rows, GROUP_BYTES)
            written = _write_file(output, groups, schema, config)
        return published(ctx, path, output, written)


def _file_writer(config: Config) -> FileWriter:
    """Return what writes one file of a folder after the other, as `FileWriter` says."""
    most = parse_size(config.max_file_bytes)

    def files(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[Callable[[StagedFile], object]]:
        groups = row_groups(batches, schema, config.row_group_rows, GROUP_BYTES)
        write = partial(_write_file, schema=schema, config=config, most=most)
        yield partial(write, groups=groups)
        while (group := next(groups, None)) is not None:
            yield partial(write, groups=chain([group], groups))

    return files


def _write_file(
    output: Output | Upload | StagedFile,
    groups: Iterator[pa.Table],
    schema: pa.Schema,
    config: Config,
    most: int | None = None,
) -> int:
    """Write row groups as one file, until there are none or it has `most` bytes; returns the number of rows."""
    repetitive, groups = _repetitive(groups)
    form = {
        "compression": config.compression,
        "use_dictionary": repetitive,
        "store_decimal_as_integer": True,
    }
    written = 0
    with parquet.ParquetWriter(output, schema, **form) as writer, Behind() as behind:
        for rows in map(partial(_hand_over, behind, writer), groups):
            written += rows
            if most and _is_full(output, behind, most):
                break
    return written


def _is_full(output: Output | Upload | StagedFile, behind: Behind, most: int) -> bool:
    behind.wait()
    return output.written >= most


def _hand_over(behind: Behind, writer: parquet.ParquetWriter, group: pa.Table) -> int:
    """Have a row group written while the next is gathered; nobody here keeps it, so that it goes once it is written."""
    behind.run(_write, writer, [group])
    return int(group.num_rows)


def _write(writer: parquet.ParquetWriter, held: list[pa.Table]) -> None:
    # In one piece, because pages would also end where pieces end; the pieces go before it is written.
    group = held.pop().combine_chunks()
    writer.write_table(group, group.num_rows)


def _repetitive(groups: Iterator[pa.Table]) -> tuple[list[str], Iterator[pa.Table]]:
    """Return the columns whose values repeat in the first group, and all groups again.

    A dictionary makes these columns small, and for others it is built in vain.
    """
    first = next(groups, None)
    if first is None:
        return [], groups
    sample = first.slice(0, SAMPLE_ROWS)
    flat = [
        field.name
        for field in first.schema
        if not isinstance(field.type, pa.BaseExtensionType) and not pa.types.is_nested(field.type)
    ]
    names = [name for name in flat if pc.count_distinct(sample[name]).as_py() * 4 < sample.num_rows]
    return names, chain([first], groups)


def _reason(type_name: str) -> str | None:
    if "time[s]" in type_name or "timestamp[s" in type_name:
        return "Parquet has no unit of seconds; cast to milliseconds"
    return None


def row_groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int, size: int) -> Iterator[pa.Table]:
    """Cut a stream into groups that depend on its rows alone: at most `rows`, and `size` bytes of text or lists."""
    parts: list[pa.RecordBatch] = []
    room_rows, room_bytes = rows, size
    for batch in batches:
        rest = batch
        while rest.num_rows:
            count, used = _fitting(rest, room_rows, room_bytes)
            parts.append(rest.slice(0, count))
            rest = rest.slice(count)
            room_rows, room_bytes = room_rows - count, room_bytes - used
            if room_rows == 0 or room_bytes <= 0:
                yield pa.Table.from_batches(parts, schema)
                parts, room_rows, room_bytes = [], rows, size
    if parts:
        yield pa.Table.from_batches(parts, schema)


def _fitting(batch: pa.RecordBatch, rows: int, size: int) -> tuple[int, int]:
    """Return how many rows of a batch belong to the group, and how many bytes they take: the last may exceed `size`."""
    part = batch.slice(0, rows)
    sizes = [s for column in part.columns if (s := _row_bytes(column)) is not None]
    if not sizes:
        return part.num_rows, 0
    totals = pc.cumulative_sum(sizes[0] if len(sizes) == 1 else _sum(sizes))
    if totals[-1].as_py() < size:
        return part.num_rows, totals[-1].as_py()
    count = pc.index(pc.greater_equal(totals, size), pa.scalar(value=True)).as_py() + 1
    return count, totals[count - 1].as_py()


def _sum(sizes: list[pa.Array]) -> pa.Array:
    total = sizes[0]
    for more in sizes[1:]:
        total = pc.add(total, more)
    return total


def _row_bytes(column: pa.Array) -> pa.Array | None:
    """Return the bytes of each value where they vary; None for values of a fixed width."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _row_bytes(column.storage)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return pc.fill_null(pc.binary_length(column), 0).cast(pa.int64())
    if pa.types.is_list(kind):
        return _list_bytes(column)
    if pa.types.is_struct(kind):
        inner = [s for child in column.flatten() if (s := _row_bytes(child)) is not None]
        return _sum(inner) if inner else None
    return None


def _list_bytes(column: pa.Array) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64())
    values = column.flatten()
    inner = _row_bytes(values)
    if inner is None:
        return pc.multiply(lengths, 8)
    starts = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(inner)])
    ends = pc.cumulative_sum(lengths)
    return pc.subtract(starts.take(ends), starts.take(pc.subtract(ends, lengths)))
