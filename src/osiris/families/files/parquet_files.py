"""Parquet files: their footers, reading files and published folders, and writing a file.

A file has the same bytes for the same rows in any batches: row groups depend only on the rows.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from osiris.delivery import MANIFEST
from osiris.errors import OsirisError, fail
from osiris.families.files.folders import open_published, schema_of_files
from osiris.families.files.source_files import check_count, label, local, opened, sources, state_of, unchanged
from osiris.families.files.target_files import Background, folder, is_folder
from osiris.files import fail_os
from osiris.table.hashing import ends, is_text
from osiris.types import arrow_schema, arrow_type, schema_of

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.families.files.source_files import SourceFile
    from osiris.families.stores.objects import Upload
    from osiris.files import Output
    from osiris.model import Schema

    Check = Callable[[str, Schema], None]
    """Called with a file's name for messages and its columns; fails unless it has the requested columns."""

BATCH_ROWS = 1 << 15

GROUP_BYTES = 64 << 20
"""A row group ends with the row that fills this many bytes of text, so that memory is bounded for long texts."""

SAMPLE_ROWS = 1 << 14


class ParquetFiles:
    """The files that match a path or pattern; `paths` are their paths if all are on this machine, else None."""

    def __init__(self, ctx: StepContext, path: str) -> None:
        self._ctx, self.places = ctx, sources(ctx, path)
        self.paths: Sequence[Path] | None = local(self.places)

    def declared(self) -> Iterator[tuple[str, Schema, int]]:
        """Yield the name for messages, the columns and the number of rows of each file; fails with DAT004 or DAT013."""
        for file in self.places:
            yield label(self._ctx, file), *_footer(self._ctx, file)

    def state(self) -> str | None:
        """Return a text that changes when the files do; None if they cannot be read."""
        return state_of(self.places)

    def batches(self, schema: Schema, check: Check) -> Iterator[pa.RecordBatch]:
        """Yield the rows of all files in order, with the columns of a schema; `check` is called for each file."""
        names = [column.name for column in schema]
        return chain.from_iterable(_batches(self._ctx, place, names, check) for place in self.places)


class ParquetFolder:
    """The current files of a published folder, as its manifest lists them; fails as `open_published`."""

    paths = None
    places = ()

    def __init__(self, ctx: StepContext, path: str) -> None:
        target = folder(ctx, path, writing=False)
        self._ctx, self._published, self._name = ctx, open_published(target), target.label(MANIFEST)

    def declared(self) -> Iterator[tuple[str, Schema, int]]:
        """Yield the name of the manifest for messages, and the columns and the number of rows that it declares."""
        yield self._name, self._published.manifest.schema, self._published.manifest.rows

    def state(self) -> str | None:
        """Return a text that changes when manifest or files do; None if they cannot be read."""
        return state_of(self._published.files.values())

    def batches(self, schema: Schema, check: Check) -> Iterator[pa.RecordBatch]:
        """Yield the rows of all files with the columns of a schema, including partition columns.

        `check` is called for the manifest. Fails with DAT046 if a file has other columns, or the number of rows differs
        from the manifest, and with DRV038 if a file no longer exists: another run has published the folder.
        """
        manifest, arrow = self._published.manifest, arrow_schema(schema)
        inner = schema_of_files(manifest.schema, manifest.partition_by)
        inside = {column.name for column in inner}
        names = [column.name for column in schema if column.name in inside] or [inner[0].name]
        check(self._name, manifest.schema)
        rows = 0

        def expect(name: str, columns: Schema) -> None:
            if columns != inner:
                fail("DAT046", file=self._name, problem=f"{name}, whose columns are not as declared")

        for path, values in self._published.values.items():
            with self._published_since():
                for batch in _batches(self._ctx, self._published.files[path], names, expect):
                    rows += batch.num_rows
                    yield _with(batch, values, arrow)
        if rows != manifest.rows:
            fail("DAT046", file=self._name, problem=f"{manifest.rows:,} rows, but its files have {rows:,}")

    @contextmanager
    def _published_since(self) -> Iterator[None]:
        """Fail with DRV038 for a file that no longer exists."""
        try:
            yield
        except OsirisError as error:
            if error.diagnostics[0].code == "DRV001":
                fail("DRV038", path=self._name)
            raise


def open_parquet(ctx: StepContext, path: str) -> ParquetFiles | ParquetFolder:
    """Return the files or folder of a step's path; fails as `sources`, or as `open_published` for a folder."""
    return ParquetFolder(ctx, path) if is_folder(path) else ParquetFiles(ctx, path)


def fit_their_types(ctx: StepContext, places: Sequence[SourceFile], schema: Schema) -> bool:
    """Tell whether the footers prove that no decimal has more digits than its type.

    DuckDB would read another number.
    """
    types = {column.name: arrow_type(column.type) for column in schema}
    limits = {name: 10 ** (kind.precision - kind.scale) for name, kind in types.items() if pa.types.is_decimal(kind)}
    return not limits or all(_are_below(ctx, place, limits) for place in places)


def _are_below(ctx: StepContext, path: SourceFile, limits: Mapping[str, int]) -> bool:
    with _translated(label(ctx, path)), opened(path) as raw, parquet.ParquetFile(raw) as file:
        groups = map(file.metadata.row_group, range(file.num_row_groups))
        chunks = (group.column(number) for group in groups for number in range(group.num_columns))
        limited = ((chunk, limits[chunk.path_in_schema]) for chunk in chunks if chunk.path_in_schema in limits)
        return all(_is_below(chunk, limit) for chunk, limit in limited)


def _is_below(chunk: parquet.ColumnChunkMetaData, limit: int) -> bool:
    statistics = chunk.statistics
    if statistics is None or not statistics.has_min_max:
        return bool(chunk.num_values == (statistics.null_count if statistics else 0))
    return bool(-limit < statistics.min and statistics.max < limit)


def _with(batch: pa.RecordBatch, values: Mapping[str, pa.Scalar], schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the columns of a schema; those in `values` are constant."""
    columns = [
        pa.repeat(values[name], batch.num_rows) if name in values else batch.column(name) for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _footer(ctx: StepContext, path: SourceFile) -> tuple[Schema, int]:
    """Return the columns and the number of rows that a file declares."""
    name = label(ctx, path)
    with _translated(name), opened(path) as raw, parquet.ParquetFile(raw) as file:
        return _declared(file, name)


def _declared(file: parquet.ParquetFile, name: str) -> tuple[Schema, int]:
    arrow, rows = file.schema_arrow, file.metadata.num_rows
    check_count(name, rows, sum(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)))
    repeated = [column for column, count in Counter(arrow.names).items() if count > 1]
    if repeated:
        fail("DAT004", file=name, problem=f"the column name {repeated[0]!r} appears twice")
    return schema_of(arrow), rows


def _batches(ctx: StepContext, path: SourceFile, names: Sequence[str], check: Check) -> Iterator[pa.RecordBatch]:
    with _translated(label(ctx, path)), unchanged(path, label(ctx, path)) as raw:
        source = pa.PythonFile(_CountedFile(raw, ctx), mode="r")
        # Pre-buffering keeps every column chunk that was read: memory would grow with the file.
        with parquet.ParquetFile(source, pre_buffer=False) as file:
            columns, _rows = _declared(file, label(ctx, path))
            check(label(ctx, path), columns)
            counted = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=list(names), use_threads=ctx.threads > 1):
                counted += batch.num_rows
                yield batch.select(list(names))
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
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            fail_os(error, name)
        hint = (
            "check that the file is complete; filesystem.csv_extractor and filesystem.json_extractor read CSV and JSON"
        )
        fail("DAT013", file=name, problem=f"it is not valid Parquet: {str(error).splitlines()[0][:200]}", hint=hint)


def write_file(
    output: Output | Upload,
    groups: Iterator[pa.Table],
    schema: pa.Schema,
    compression: str,
    max_bytes: int | None = None,
) -> int:
    """Write row groups to one file until it has `max_bytes`, or none are left; returns the number of rows."""
    repetitive, groups = _repetitive(groups)
    form = {
        "compression": compression,
        "use_dictionary": repetitive,
        "store_decimal_as_integer": True,
    }
    written = 0
    with parquet.ParquetWriter(output, schema, **form) as writer, Background() as background:
        for rows in map(partial(_hand_over, background, writer), groups):
            written += rows
            if max_bytes and _is_full(output, background, max_bytes):
                break
    return written


def _is_full(output: Output | Upload, background: Background, max_bytes: int) -> bool:
    background.wait()
    return output.written >= max_bytes


def _hand_over(background: Background, writer: parquet.ParquetWriter, group: pa.Table) -> int:
    """Write a row group in the background; no reference is kept, so that it is freed once it is written."""
    background.run(_write, writer, [group])
    return int(group.num_rows)


def _write(writer: parquet.ParquetWriter, groups: list[pa.Table]) -> None:
    # Combined, because pages would also end where chunks end; the chunks are freed before it is written.
    group = groups.pop().combine_chunks()
    writer.write_table(group, group.num_rows)


def _repetitive(groups: Iterator[pa.Table]) -> tuple[list[str], Iterator[pa.Table]]:
    """Return the columns whose values repeat in the first group, and an iterator over all groups.

    A dictionary makes these columns small, and is useless for others.
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


def row_groups(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int, size: int = GROUP_BYTES
) -> Iterator[pa.Table]:
    """Split a stream into groups that depend only on its rows: at most `rows`, and `size` bytes of text or lists."""
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
    """Return the numbers of rows and bytes of a batch that belong to the group; the last row may exceed `size`."""
    part = batch.slice(0, rows)
    size_of_all = sum(map(_bytes_of, part.columns))
    if size_of_all < size:
        return part.num_rows, size_of_all
    totals = pc.cumulative_sum(_sum([s for column in part.columns if (s := _row_bytes(column)) is not None]))
    count = pc.index(pc.greater_equal(totals, size), pa.scalar(value=True)).as_py() + 1
    return count, totals[count - 1].as_py()


def _sum(sizes: list[pa.Array]) -> pa.Array:
    total = sizes[0]
    for more in sizes[1:]:
        total = pc.add(total, more)
    return total


def _bytes_of(column: pa.Array) -> int:
    """Return the bytes of all values of variable width."""
    if is_text(column.type) and not column.null_count:
        first, last = ends(column)
        return last - first
    sizes = _row_bytes(column)
    return 0 if sizes is None else pc.sum(sizes).as_py() or 0


def _row_bytes(column: pa.Array) -> pa.Array | None:
    """Return the bytes of each value of variable width; None for values of a fixed width."""
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
