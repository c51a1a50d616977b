"""The files that a step reads: which its path names, where their bytes lie, and what tells that they have changed.

A file lies on this machine, or in an object store. What reads files asks here for either.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from osiris.delivery import MANIFEST
from osiris.errors import Location, OsirisError, fail, raise_all
from osiris.families.stores.objects import StoredFile, find
from osiris.files import READ_WHOLE, check_source, content_of, expand, open_source, relative, resolve_path
from osiris.table import Relation
from osiris.urls import StoreUrl, local_path, store_url

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.model import JsonValue

Place = Path | StoredFile

_PATH = Location(pointer="/config/path")


def base_dir(ctx: StepContext) -> str | None:
    """Return the folder of the connection, as it is written there; None if it has none."""
    base = ctx.connection.get("base_dir")
    return str(base) if base else None


def base_folder(ctx: StepContext) -> Path:
    """Return the folder at which the paths of a connection start; fails with DRV007."""
    base = base_dir(ctx)
    return resolve_path(ctx.root, base) if base else ctx.root


@contextmanager
def at_path() -> Iterator[None]:
    """Have what fails in a block fail at the config's `path`."""
    try:
        yield
    except OsirisError as error:
        raise_all(replace(problem, location=_PATH) for problem in error.diagnostics)


def sources(ctx: StepContext, path: str) -> list[Place]:
    """Return the files that a step reads, sorted by name: `path` is a path, URL or pattern below the connection's base.

    Fails with DRV001, DRV003, DRV005, DRV006, DRV007, DRV037, DRV049, DRV059 or DRV062, at the config's `path`, or
    CON039 to CON042.
    """
    with at_path():
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
    return list(real)


def matching(ctx: StepContext, pattern: str) -> list[Path]:
    """Return the files that a path or pattern names, as `expand`; what may not be read is not said to be missing."""
    base = base_dir(ctx)
    try:
        return expand(ctx.root, pattern, base=base)
    except OsirisError:
        ctx.paths.readable(ctx.root, resolve_path(ctx.root, pattern, base=base))
        raise


def label(ctx: StepContext, place: Place | StoreUrl) -> str:
    """Return a file's name for messages: relative to the project where it is below it, else whole."""
    return relative(ctx.root, place) if isinstance(place, Path) else str(place)


def opened(place: Place) -> io.RawIOBase:
    """Open a file for reading, without buffering; fails with DRV001, DRV003, DRV005 or DRV006."""
    return place.open() if isinstance(place, StoredFile) else open_source(place)


def size_of(place: Place) -> int:
    """Return the bytes of a file; raises OSError if it cannot be looked at."""
    return place.size if isinstance(place, StoredFile) else place.stat().st_size


def mark_of(place: Place) -> str:
    """Return a text that stays equal while name, size and time (or ETag) of a file do; raises OSError."""
    if isinstance(place, StoredFile):
        return f"{place}\0{place.size}\0{place.etag or place.modified}\0"
    seen = place.stat()
    return f"{place}\0{seen.st_size}\0{seen.st_mtime_ns}\0"


def state_of(files: Iterable[Place]) -> str | None:
    """Return a text that stays equal while names and contents of files do; None if one cannot be looked at.

    Files that are too large together are told by sizes and times, those of a store by sizes and ETags.
    """
    digest = hashlib.sha256()
    try:
        places = list(files)
        small = all(isinstance(place, Path) for place in places) and sum(map(size_of, places)) <= READ_WHOLE
        for place in places:
            digest.update((_content_of(place) if small else mark_of(place)).encode())
    except (OSError, OsirisError):
        return None
    return digest.hexdigest()


def _content_of(place: Place) -> str:
    with opened(place) as file:
        return f"{place}\0{content_of(file)}\0"


def local(places: Iterable[Place]) -> list[Path] | None:
    """Return files as paths, if all of them lie on this machine."""
    found = list(places)
    paths = [place for place in found if isinstance(place, Path)]
    return paths if len(paths) == len(found) else None


@dataclass(frozen=True, slots=True)
class TextConfig:
    """What the configs of all readers of text files have; keys and defaults are described in each spec.yaml."""

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
        """Return how many rows of each file are looked at; None for all."""
        return None if self.sample == "all" else int(self.sample)

    @property
    def dates(self) -> Sequence[str]:
        """Return the columns of which only dates and timestamps will do."""
        return ()

    @property
    def declared(self) -> Collection[str]:
        """Return the columns whose types the config says, more or less."""
        return {*self.dtype, *self.dates}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is none: its text, why, what an event tells of it, and what finds its line."""

    text: str
    problem: str
    facts: Mapping[str, JsonValue]
    line: Callable[[], int]


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
