"""The files that a step reads: resolving its path, opening them, and detecting changes.

A file is on this machine or in an object store; readers use this module for both.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from osiris.delivery import MANIFEST
from osiris.errors import Location, OsirisError, fail, raise_all
from osiris.families.source_columns import expect_read_columns
from osiris.families.stores.objects import StoredFile, find
from osiris.files import READ_WHOLE, check_source, content_of, expand, open_source, relative, resolve_path
from osiris.table import Relation
from osiris.urls import StoreUrl, local_path, store_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.model import JsonValue, Schema
    from osiris.replication import Increment

SourceFile = Path | StoredFile

T = TypeVar("T")

_PATH = Location(pointer="/config/path")
_RECENT = 2_000_000_000
_NEVER = 1 << 63


def base_dir(ctx: StepContext) -> str | None:
    """Return the `base_dir` of the connection, as configured; None without one."""
    base = ctx.connection.get("base_dir")
    return str(base) if base else None


def base_folder(ctx: StepContext) -> Path:
    """Return the folder to which the paths of a connection are relative; fails with DRV007."""
    base = base_dir(ctx)
    return resolve_path(ctx.root, base) if base else ctx.root


@contextmanager
def at_path() -> Iterator[None]:
    """Locate errors in the block at the config's `path`."""
    try:
        yield
    except OsirisError as error:
        raise_all(replace(problem, location=_PATH) for problem in error.diagnostics)


def sources(ctx: StepContext, path: str) -> list[SourceFile]:
    """Return the files that a step reads, sorted by name: `path` is a path, URL or pattern below the connection's base.

    In a run with `cursor: files`, these are the new and changed ones, and no file need match a pattern. Fails with
    DRV001, DRV003, DRV005, DRV006, DRV007, DRV037, DRV049, DRV059 or DRV062, at the config's `path`, or
    CON039 to CON042.
    """
    with at_path():
        if ctx.increment is None:
            return list(_named_files(ctx, path).values())
        listed_at = time.time_ns()
        return _unread(ctx, ctx.increment, _any_named_files(ctx, path), listed_at)


def listed(ctx: StepContext, path: str) -> list[SourceFile]:
    """Return the files that a step reads, whether they are new or not; none if no file matches a pattern.

    Fails as `sources`.
    """
    with at_path():
        return list(_any_named_files(ctx, path).values())


def _any_named_files(ctx: StepContext, path: str) -> dict[str, SourceFile]:
    try:
        return _named_files(ctx, path)
    except OsirisError as error:
        if has_magic(path) and error.diagnostics[0].code == "DRV001":
            return {}
        raise


def _named_files(ctx: StepContext, path: str) -> dict[str, SourceFile]:
    """Return the files of a path or pattern by name: links are not followed, and relative paths start at the project.

    So a project that was moved, alone or together with folders beside it, has the same names.
    """
    url = store_url(path, ctx.family, ctx.connection)
    if url:
        return {str(file): file for file in find(ctx, url)}
    pattern = local_path(path)
    files = matching(ctx, pattern)
    real = [ctx.paths.readable(ctx.root, file) for file in files]
    for file in files:
        if (file / MANIFEST).is_file():
            hint = "end the path with '/': it is a published folder, which filesystem.parquet_extractor reads"
            fail("DRV005", path=label(ctx, file), kind="a folder", hint=hint)
        check_source(file, label(ctx, file))
    is_fixed = Path(base_dir(ctx) or "", pattern).is_absolute()
    names = [str(file) if is_fixed else os.path.relpath(file, ctx.root) for file in files]
    return dict(zip(names, real, strict=True))


def _unread(
    ctx: StepContext, increment: Increment, named: Mapping[str, SourceFile], listed_at: int
) -> list[SourceFile]:
    """Return the files that the state of a step does not have, and set the position after they were read.

    Files that no longer exist stay in it: one that comes back is not read again. A file that is linked to, or that an
    earlier version read, may be there by its label.
    """
    before = increment.before.position.get("files", {}) if increment.before else {}
    entries = {**before}
    unread: dict[SourceFile, Mapping[str, JsonValue]] = {}
    for name, place in named.items():
        earlier = [before[key] for key in (name, label(ctx, place)) if key in before]
        entry = _facts(place, listed_at)
        same = next((each for each in earlier if entry == {key: each[key] for key in each if key != "sha256"}), None)
        if same and "recent" not in entry:
            entries[name] = same
            continue
        if isinstance(place, Path):
            entry["sha256"] = _sha256(place)
        if entry.get("sha256", "") not in [each.get("sha256") for each in earlier]:
            unread[place] = entry
        entries[name] = entry
    increment.position, increment.files = {"files": entries}, unread
    return list(unread)


def _facts(place: SourceFile, listed_at: int) -> dict[str, JsonValue]:
    """Return what shows that a file is unchanged, without reading it.

    `recent`: it was modified just before it was listed (in ns), so that a later change may have the same time. Fails
    with DRV038 if the file no longer exists.
    """
    if isinstance(place, StoredFile):
        return {"size": place.size, "version": place.etag or place.modified}
    try:
        status = place.stat()
    except OSError:
        fail("DRV038", path=place)
    recent = {"recent": True} if status.st_mtime_ns > listed_at - _RECENT else {}
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, **recent}


def _sha256(place: Path) -> str:
    with opened(place) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_all(ctx: StepContext, schema: Schema, places: Iterable[SourceFile], batches: Iterable[T]) -> Iterator[T]:
    """Yield the batches of files; then complete the increment of the step, if it has one.

    Fails with DRV038 if a file was changed since its content was digested, or STA002 if columns differ from those of
    the state. Stored files are read in one version.
    """
    increment, columns = ctx.increment, {column.name: column.type for column in schema}
    if increment is None:
        yield from batches
        return
    expect_read_columns(increment, columns)
    yield from batches
    for place in places:
        entry = increment.files[place]
        if isinstance(place, Path) and any(entry.get(key) != value for key, value in _facts(place, _NEVER).items()):
            fail("DRV038", path=label(ctx, place))
    increment.columns = columns


def matching(ctx: StepContext, pattern: str) -> list[Path]:
    """Return the files that match a path or pattern, as `expand`; one that is not allowed is not reported missing."""
    base = base_dir(ctx)
    try:
        return expand(ctx.root, pattern, base=base)
    except OsirisError:
        ctx.paths.readable(ctx.root, resolve_path(ctx.root, pattern, base=base))
        raise


def label(ctx: StepContext, file: SourceFile | StoreUrl) -> str:
    """Return a file's name for messages: relative to the project if it is below it, else absolute."""
    return relative(ctx.root, file) if isinstance(file, Path) else str(file)


def opened(file: SourceFile) -> io.RawIOBase:
    """Open a file for reading, without buffering; fails with DRV001, DRV003, DRV005 or DRV006."""
    return file.open() if isinstance(file, StoredFile) else open_source(file)


@contextmanager
def unchanged(file: SourceFile, name: str) -> Iterator[io.RawIOBase]:
    """Open a file as `opened`; fails with DRV038 if it was written to before the end of the block.

    A file that was replaced or removed meanwhile is read to its end, unchanged. `name` is its name in messages.
    """
    with opened(file) as raw:
        before = _version(raw)
        yield raw
        if _version(raw) != before:
            fail("DRV038", path=name)


def _version(raw: io.RawIOBase) -> tuple[int, int] | None:
    """Return size and modification time of an open file; None for one of a store, which is read in one version."""
    if not isinstance(raw, io.FileIO):
        return None
    status = os.fstat(raw.fileno())
    return status.st_size, status.st_mtime_ns


def size_of(file: SourceFile) -> int:
    """Return the size of a file in bytes; raises OSError if that fails."""
    return file.size if isinstance(file, StoredFile) else file.stat().st_size


def mark_of(file: SourceFile) -> str:
    """Return a text of name, size and modification time (or ETag) of a file; raises OSError."""
    return f"{file}\0{_mark(file)}\0"


def _mark(file: SourceFile) -> str:
    if isinstance(file, StoredFile):
        return f"{file.size}\0{file.etag or file.modified}"
    status = file.stat()
    return f"{status.st_size}\0{status.st_mtime_ns}"


def state_of(files: Iterable[SourceFile]) -> str | None:
    """Return a text that changes when names or contents of files do; None if a file cannot be read.

    Files that are too large in total are compared by size and time, those of a store by size and ETag. Names on this
    machine start at the folder of all files, as the plan says where that is: a project that was moved has the same.
    """
    digest = hashlib.sha256()
    try:
        listed = list(files)
        paths = local(listed)
        small = paths is not None and sum(map(size_of, listed)) <= READ_WHOLE
        start = os.path.commonpath([path.parent for path in paths]) if paths else None
        for place in listed:
            name = os.path.relpath(place, start) if isinstance(place, Path) and start else place
            digest.update(f"{name}\0{_content_of(place) if small else _mark(place)}\0".encode())
    except (OSError, OsirisError):
        return None
    return digest.hexdigest()


def _content_of(place: SourceFile) -> str:
    with opened(place) as file:
        return content_of(file)


def local(files: Iterable[SourceFile]) -> list[Path] | None:
    """Return files as paths, if all of them are on this machine; else None."""
    listed = list(files)
    paths = [place for place in listed if isinstance(place, Path)]
    return paths if len(paths) == len(listed) else None


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The config keys that all readers of text files share; each spec.yaml documents keys and defaults."""

    path: str
    columns: Sequence[str] | None = None
    limit: int | None = None
    dtype: Mapping[str, str] = field(default_factory=dict)
    sample: int | str = 100_000
    encoding: str = "utf-8"
    compression: Literal["infer", "none", "gzip", "zstd", "bz2", "zip", "xz"] = "infer"
    on_bad_lines: Literal["error", "warn", "skip"] = "error"

    @property
    def sampled(self) -> int | None:
        """The number of rows of each file to infer types from; None for all."""
        return None if self.sample == "all" else int(self.sample)

    @property
    def dates(self) -> Sequence[str]:
        """The columns that must be dates or timestamps."""
        return ()

    @property
    def declared(self) -> Collection[str]:
        """The columns whose types the config declares or restricts."""
        return {*self.dtype, *self.dates}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A malformed row: its text, the problem, the fields of its event, and a function that finds its line."""

    text: str
    problem: str
    facts: Mapping[str, JsonValue]
    line: Callable[[], int]


@dataclass(slots=True)
class Probe:
    """The size of the first rows of a file: `bytes` on disk for `rows`; `whole`: these are all rows."""

    path: SourceFile
    bytes: int = 0
    rows: int = 0
    whole: bool = False

    def on_bytes(self, count: int) -> None:
        """Count bytes as they are read from the disk."""
        self.bytes += count

    def estimate(self) -> int:
        """Return the estimated number of rows, if the others are as long as the first."""
        if self.whole or not self.bytes:
            return self.rows
        try:
            return max(self.rows, round(self.rows * size_of(self.path) / self.bytes))
        except OSError:
            return self.rows


def relation(text: str, files: Sequence[Path], rows: int, ctx: StepContext) -> Relation:
    """Return a SELECT from files with `rows` rows as a relation that counts `rows_read` and `bytes_read`.

    After reading, it fails with DRV038 if a file was changed meanwhile.
    """
    before = {file: mark_of(file) for file in files}

    def on_read(counted: Iterable[int], size: int) -> None:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        for number in counted:
            check_count(label(ctx, files[0]) + more, rows, number)
        for file in files:
            if file.exists() and mark_of(file) != before[file]:
                fail("DRV038", path=label(ctx, file))
        ctx.count("rows_read", rows)
        ctx.count("bytes_read", size)

    return Relation(text, tuple(files), rows, on_read)


def check_count(where: str, declared: int, counted: int) -> None:
    """Fail with DAT055 if the counted rows differ from those that a file declares."""
    if declared != counted:
        fail("DAT055", file=where, declared=f"{declared:,}", counted=f"{counted:,}")
