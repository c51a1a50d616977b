"""Files as a source that is discovered: each is a table, which the driver of its component describes and reads."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.driver import Sampled, SeenColumn, SeenTable
from osiris.families.discovery_base import taken
from osiris.families.files.discover import files_of, state_of
from osiris.families.files.source_files import size_of
from osiris.family_spec import find_family
from osiris.registry import build_config
from osiris.table import stream
from osiris.urls import store_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.driver import Discoverer, StepContext
    from osiris.families.files.discover import SeenFile
    from osiris.model import JsonValue
    from osiris.registry import Registry

_FORMATS = {"csv_extractor": "CSV", "json_extractor": "JSON", "parquet_extractor": "Parquet"}


def _kind(file: SeenFile) -> str:
    """Return what a file is called, by the component that reads it."""
    family, _, extractor = (file.component or "").partition(".")
    spec = find_family(family)
    what = _FORMATS.get(extractor) if spec.local_files else spec.title if spec.file_fields else None
    return f"{what} file" if what else "file"


@contextmanager
def discovering_files(ctx: StepContext, pattern: str, registry: Registry) -> Iterator[Discoverer]:
    """Give the files of a pattern as tables; fails with DRV001, DRV003, DRV005, DRV006 or DRV007."""
    yield _Files(ctx, pattern, files_of(ctx, pattern), registry)


class _Files:
    """Some files, as they are now."""

    def __init__(self, ctx: StepContext, pattern: str, files: Sequence[SeenFile], registry: Registry) -> None:
        base = ctx.connection.get("base_dir")
        self.label = str(store_url(pattern, ctx.family, ctx.connection) or (f"{base}/{pattern}" if base else pattern))
        self.identity: Mapping[str, JsonValue] = {
            "files": pattern,
            "base_dir": base,
            "named": [file.shown for file in files],
        }
        self.product = "files" if len(files) > 1 else "file"
        self._ctx, self._registry = ctx, registry
        self._files = {file.shown: file for file in files}

    def fingerprint(self) -> str:
        """Return a digest of what the files are."""
        return state_of(self._files.values())

    def schemas(self) -> Mapping[str, int | None]:
        """Return the one place of all files."""
        return {"": len(self._files)}

    def tables(self, _schema: str) -> Sequence[SeenTable]:
        """Return the files; one that no component reads is not readable."""
        return [self._seen(file) for file in self._files.values()]

    def _seen(self, file: SeenFile) -> SeenTable:
        return SeenTable(
            name=file.shown,
            component=file.component or "",
            config=file.config,
            kind="folder of Parquet files" if file.bytes is not None else _kind(file),
            bytes=size_of(file.path) if file.bytes is None else file.bytes,
            comment=None if file.component else file.problem,
            readable=file.component is not None,
            files=(str(file.path),) if isinstance(file.path, Path) else (),
        )

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a file as a step that reads it describes it; a database has columns only in its tables."""
        if not table.config:
            return table
        driver, config = self._driver(table, {})
        told = driver.describe(config, self._ctx)
        columns = tuple(SeenColumn(field.name, "", field.type, field.nullable) for field in told.schema)
        return replace(table, rows=told.rows, columns=columns, order=told.order, native=told.native)

    def _driver(self, table: SeenTable, more: Mapping[str, JsonValue]) -> tuple[Any, Any]:
        config_class, driver_class = self._registry.load_driver(table.component)
        return driver_class(), build_config(config_class, {**table.config, **more})

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows."""
        driver, config = self._driver(table, {"columns": list(columns), "limit": most + 1})
        schema = driver.describe(config, self._ctx).schema
        batches = driver.read(config, schema, self._ctx).batches()
        found, whole = taken(batches, most)
        return Sampled(stream(schema, found, "fixed"), "the first rows", whole)
