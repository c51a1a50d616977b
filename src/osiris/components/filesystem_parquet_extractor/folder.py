"""Reads a published folder of Parquet files: what its manifest names, with the columns that names of folders tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from osiris.delivery import MANIFEST
from osiris.errors import OsirisError, fail
from osiris.families.files.folder_snapshot import open_published, schema_of_files
from osiris.families.files.paths import folder, label
from osiris.families.files.source_file import state_of
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.driver import StepContext
    from osiris.families.files.source_file import Place
    from osiris.model import Schema


@dataclass(frozen=True, slots=True)
class Folder:
    """A published folder: its columns, those of its files, and each file with the values of all the others.

    `name` is what messages call its manifest; `state` stays equal while manifest and files are what they are.
    """

    name: str
    schema: Schema
    inner: Schema
    rows: int
    state: str | None
    files: Mapping[Place, Mapping[str, pa.Scalar]]


class Batches(Protocol):
    """Gives the rows of one file."""

    def __call__(self, path: Place, names: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield batches with these columns."""
        ...


def open_folder(ctx: StepContext, path: str) -> Folder:
    """Return a published folder as it is now; fails as `open_published`."""
    target = folder(ctx, path, writing=False)
    found = open_published(target)
    manifest, name = found.manifest, target.label(MANIFEST)
    files = {found.places[path]: values for path, values in found.values.items()}
    inner = schema_of_files(manifest.schema, manifest.partition_by)
    return Folder(name, manifest.schema, inner, manifest.rows, state_of(found.places.values()), files)


def folder_rows(
    found: Folder,
    schema: Schema,
    batches: Batches,
    footer: Callable[[Place, StepContext], tuple[Schema, int]],
    ctx: StepContext,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all files, with the columns of a schema.

    Fails with DAT046 for a file that has other columns, or if there are more or fewer rows than the manifest says, and
    DRV038 for a file that is gone since: another run has published the folder.
    """
    arrow = arrow_schema(schema)
    inside = {column.name for column in found.inner}
    names = [column.name for column in schema if column.name in inside] or [found.inner[0].name]
    rows = 0
    for place, values in found.files.items():
        try:
            columns, count = footer(place, ctx)
            rows += count
            if columns != found.inner:
                fail("DAT046", file=found.name, problem=f"{label(ctx, place)}, and its columns are not those it tells")
            for batch in batches(place, names):
                yield _with(batch, values, arrow)
        except OsirisError as error:
            if error.diagnostics[0].code == "DRV001":
                fail("DRV038", path=found.name)
            raise
    if rows != found.rows:
        fail("DAT046", file=found.name, problem=f"{found.rows:,} rows, and its files have {rows:,}")


def _with(batch: pa.RecordBatch, values: Mapping[str, pa.Scalar], schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the columns of a schema, those that all rows have in common among them."""
    columns = [
        pa.repeat(values[name], batch.num_rows) if name in values else batch.column(name) for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
