"""What all components of the filesystem family share: where a step's path leads, and what its columns must be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.delivery import MANIFEST
from osiris.driver import Written
from osiris.errors import Location, OsirisError, fail, raise_all
from osiris.families.files.folder_snapshot import Folder, folder_of
from osiris.families.files.source_file import Place, size_of
from osiris.families.stores.objects import Upload, find, uploading
from osiris.families.type_compat import uncarried
from osiris.files import check_source, expand, fail_os, publish, relative, resolve_path, sweep
from osiris.path_policy import real_path
from osiris.table import Relation
from osiris.urls import StoreUrl, local_path, store_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from osiris.driver import StepContext
    from osiris.files import Output
    from osiris.model import Schema
    from osiris.path_policy import Format


_PATH = Location(pointer="/config/path")
_NOT_KNOWN = {"bucket": "not-known"}
"""Stands for a connection where a plan is checked: writers are asked then without what it takes to connect."""


def _base(ctx: StepContext) -> str | None:
    base = ctx.connection.get("base_dir")
    return str(base) if base else None


def sources(ctx: StepContext, path: str) -> list[Place]:
    """Return the files that a step reads, sorted by name: `path` is a path, URL or pattern below the connection's base.

    Fails with DRV001, DRV003, DRV005, DRV006, DRV007, DRV037, DRV049, DRV059 or DRV062, at the config's `path`, or
    CON039 to CON042.
    """
    try:
        url = store_url(path, ctx.family, ctx.connection)
        if url:
            return list(find(ctx, url))
        files = matching(ctx, local_path(path))
        real = [ctx.paths.readable(ctx.root, file) for file in files]
        for file in files:
            if (file / MANIFEST).is_file():
                hint = "end the path with '/': it is a published folder, which filesystem.parquet_extractor reads"
                fail("DRV005", path=label(ctx, file), kind="a folder", hint=hint)
            check_source(file, label(ctx, file))
    except OsirisError as error:
        raise_all(replace(problem, location=_PATH) for problem in error.diagnostics)
    return list(real)


def matching(ctx: StepContext, pattern: str) -> list[Path]:
    """Return the files that a path or pattern names, as `expand`; what may not be read is not said to be missing."""
    try:
        return expand(ctx.root, pattern, base=_base(ctx))
    except OsirisError:
        ctx.paths.readable(ctx.root, resolve_path(ctx.root, pattern, base=_base(ctx)))
        raise


def target(ctx: StepContext, path: str, kind: Format) -> Path | StoreUrl:
    """Return the file of a format, or the object, that a step writes; fails with DRV007, DRV049 or DRV059 to DRV062."""
    url = store_url(path, ctx.family, ctx.connection or _NOT_KNOWN)
    if url and not url.name:
        fail("DRV007", path=path, problem="a file is needed, and this names a folder")
    return url or _writable(ctx, resolve_path(ctx.root, local_path(path), base=_base(ctx), writing=True), kind)


def _writable(ctx: StepContext, path: Path, kind: Format) -> Path:
    """Return the real path of what a step may write; its own artifacts, where a replay writes, it may."""
    real = real_path(path)
    return real if real.is_relative_to(real_path(ctx.artifacts)) else ctx.paths.writable(ctx.root, path, kind)


def is_folder(path: str) -> bool:
    """Tell whether a step's path names a folder that is published, see `osiris.families.files.folder_snapshot`."""
    return path.endswith("/")


def folder_place(ctx: StepContext, path: str, *, writing: bool = True) -> Path | StoreUrl:
    """Return where the folder lies that a step's path names; fails as `target` does, at the config's `path`."""
    try:
        url = store_url(path, ctx.family, ctx.connection or _NOT_KNOWN)
        place = url or resolve_path(ctx.root, local_path(path).rstrip("/"), base=_base(ctx), writing=True)
        if isinstance(place, StoreUrl):
            return place
        return _writable(ctx, place, "folder") if writing else ctx.paths.readable(ctx.root, place)
    except OsirisError as error:
        raise_all(replace(problem, location=_PATH) for problem in error.diagnostics)


def folder(ctx: StepContext, path: str, *, writing: bool = True) -> Folder:
    """Return the folder that a step writes or reads; fails with DRV007 or CON016."""
    return folder_of(ctx, folder_place(ctx, path, writing=writing))


def label(ctx: StepContext, place: Place | StoreUrl) -> str:
    """Return a file's name for messages: relative to the project where it is below it, else whole."""
    return relative(ctx.root, place) if isinstance(place, Path) else str(place)


@dataclass(slots=True)
class Probe:
    """What the first rows of a file took: `bytes` of the disk for `rows`, or the `whole` file."""

    path: Place
    bytes: int = 0
    rows: int = 0
    whole: bool = False

    def on_bytes(self, count: int) -> None:
        """Count bytes as they are taken from the disk."""
        self.bytes += count

    def estimate(self) -> int:
        """Return how many rows the file has, if its others are as long as those seen."""
        if self.whole or not self.bytes:
            return self.rows
        try:
            return max(self.rows, round(self.rows * size_of(self.path) / self.bytes))
        except OSError:
            return self.rows


def relation(text: str, files: Sequence[Path], rows: int, ctx: StepContext) -> Relation:
    """Return a SELECT from files, which have so many rows, as a relation that counts rows and bytes as read."""

    def on_read(counted: Iterable[int], size: int) -> None:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        for number in counted:
            check_count(label(ctx, files[0]) + more, rows, number)
        ctx.count("rows_read", rows)
        ctx.count("bytes_read", size)

    return Relation(text, tuple(files), rows, on_read)


def check_count(where: str, declared: int, counted: int) -> None:
    """Fail with DAT055 if other rows were counted than a file declares."""
    if declared != counted:
        fail("DAT055", file=where, declared=f"{declared:,}", counted=f"{counted:,}")


def publishing(
    ctx: StepContext, place: Path | StoreUrl, *, create_dirs: bool
) -> AbstractContextManager[Output] | AbstractContextManager[Upload]:
    """Make the folder if asked to, clear what dead writers left in it, and give the file, or the object, to write."""
    if isinstance(place, StoreUrl):
        return uploading(ctx, place)
    if create_dirs:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail_os(error, place.parent)
    sweep(place.parent)
    return publish(place, real=True)


def published(ctx: StepContext, place: Path | StoreUrl, output: Output | Upload, rows: int) -> Written:
    """Return what a writer tells of the one file, or object, that it has written."""
    if isinstance(output, Upload):
        return Written(rows, output.written, stored=(output.told,))
    name = label(ctx, place)
    return Written(rows, output.written, (name,), hashes={name: output.sha256})


def refuse(ctx: StepContext, reasons: Mapping[str, str], schema: Schema) -> None:
    """Fail with CMP012 for each column that cannot be carried; `reasons` are by column name."""
    if reasons:
        types = {column.name: column.type for column in schema}
        raise_all(uncarried(ctx.step, name, types[name], reason) for name, reason in reasons.items())


def check_names(ctx: StepContext, schema: Schema) -> None:
    """Fail with CMP012 for a column whose name is empty or taken: a file is read by its names."""
    names = Counter(column.name for column in schema)
    reasons = {name: "two columns have this name" for name, count in names.items() if count > 1}
    refuse(ctx, {**reasons, **({"": "it has no name"} if "" in names else {})}, schema)
