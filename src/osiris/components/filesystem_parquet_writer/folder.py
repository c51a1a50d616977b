"""Writes a folder of Parquet files: by the values of columns, in Hive's layout, or one after the other."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from osiris.delivery import FolderManifest
from osiris.driver import Written
from osiris.errors import fail
from osiris.families.files.folder_snapshot import Staging, look, publish, schema_of_files
from osiris.families.files.hive import KINDS, PLAIN_NAME
from osiris.families.files.local_folder import LocalFolder
from osiris.families.files.partition_sort import by_folder
from osiris.families.files.paths import folder, folder_place, refuse
from osiris.families.source_columns import check_known
from osiris.table import counted
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.files.folder_snapshot import StagedFile
    from osiris.model import Schema
    from osiris.table import RowStream


class FileWriter(Protocol):
    """Cuts rows into files, and yields for each what writes it: called before the next is asked for."""

    def __call__(
        self, batches: Iterator[pa.RecordBatch], schema: pa.Schema
    ) -> Iterator[Callable[[StagedFile], object]]:
        """Yield what writes each file; one without rows for no rows."""
        ...


class Config(Protocol):
    """What of a step's config says where a folder is, and how it is cut."""

    @property
    def path(self) -> str:
        """The folder."""

    @property
    def create_dirs(self) -> bool:
        """Whether it is made."""

    @property
    def partition_by(self) -> Sequence[str] | None:
        """The columns whose values name folders."""


def check_folder(path: str, partition_by: Sequence[str], schema: Schema, ctx: StepContext) -> None:
    """Fail with DRV007 for a bad path, DAT005 for an unknown column, CMP012 for one that cannot name folders."""
    folder_place(ctx, path)
    check_known({"partition_by": partition_by}, [column.name for column in schema], "the rows")
    folded = Counter(column.name.lower() for column in schema)
    chosen = [column for column in schema if column.name in partition_by]
    reasons = {}
    for column in chosen:
        if column.type not in KINDS:
            reasons[column.name] = f"only {', '.join(KINDS)} have one spelling that can name a folder"
        elif not PLAIN_NAME.fullmatch(column.name):
            reasons[column.name] = "the name of a column that names folders is of letters, digits, '_', '-' and spaces"
        elif folded[column.name.lower()] > 1:
            reasons[column.name] = "another column has the same name but for its case, and readers would take one"
        elif len(chosen) == len(schema):
            reasons[column.name] = "a file needs at least one column that is not in the name of its folder"
    refuse(ctx, reasons, schema)


def write_folder(config: Config, rows: RowStream, ctx: StepContext, files: FileWriter) -> Written:
    """Write all rows into files, and have these take the place of what the folder held."""
    target = folder(ctx, config.path)
    if isinstance(target, LocalFolder) and not config.create_dirs and not target.path.is_dir():
        fail("DRV001", path=target.label(""))
    before = look(target)
    total = Counter[str]()
    taken = counted(rows, lambda count: total.update(rows=count))
    with tempfile.TemporaryDirectory(dir=ctx.scratch) as scratch:
        staging = Staging(Path(scratch) / "staged")
        partition_by = tuple(config.partition_by or ())
        parts = by_folder(taken, partition_by, Path(scratch)) if partition_by else [("", taken.batches())]
        _stage(staging, parts, arrow_schema(schema_of_files(rows.schema, partition_by)), files)
        manifest = FolderManifest(total["rows"], rows.schema, partition_by, tuple(staging.files))
        told = publish(target, before, staging.root, manifest)
    if isinstance(target, LocalFolder):
        return Written(manifest.rows, told["size"], (target.label(""),))
    return Written(manifest.rows, told["size"], stored=(told,))


def _stage(
    staging: Staging,
    parts: Iterable[tuple[str, Iterator[pa.RecordBatch]]],
    schema: pa.Schema,
    files: FileWriter,
) -> None:
    for name, batches in parts:
        for number, write in enumerate(files(batches, schema)):
            staging.add(name, number, write)
