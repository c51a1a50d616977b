"""The file, object or folder that a step writes: where its path leads, and how it appears there whole or not at all."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from osiris.driver import Written
from osiris.errors import fail, raise_all
from osiris.families.files.compression import packed, written_packing
from osiris.families.files.folders import Folder, folder_of
from osiris.families.files.source_files import at_path, base_dir, label
from osiris.families.stores.objects import Upload, uploading
from osiris.families.type_compat import uncarried
from osiris.files import fail_os, publish, resolve_path, sweep
from osiris.path_policy import real_path
from osiris.urls import StoreUrl, local_path, store_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.families.files.compression import Sink
    from osiris.files import Output
    from osiris.model import Schema
    from osiris.path_policy import Format

_NOT_KNOWN = {"bucket": "not-known"}
"""Stands for a connection where a plan is checked: writers are asked then without what it takes to connect."""


def target(ctx: StepContext, path: str, kind: Format) -> Path | StoreUrl:
    """Return the file of a format, or the object, that a step writes; fails with DRV007, DRV049 or DRV059 to DRV062."""
    url = store_url(path, ctx.family, ctx.connection or _NOT_KNOWN)
    if url and not url.name:
        fail("DRV007", path=path, problem="a file is needed, but this is a folder")
    return url or _writable(ctx, resolve_path(ctx.root, local_path(path), base=base_dir(ctx), writing=True), kind)


def _writable(ctx: StepContext, path: Path, kind: Format) -> Path:
    """Return the real path of what a step may write; its own artifacts, where a replay writes, it may."""
    real = real_path(path)
    return real if real.is_relative_to(real_path(ctx.artifacts)) else ctx.paths.writable(ctx.root, path, kind)


def is_folder(path: str) -> bool:
    """Tell whether a step's path names a folder that is published, see `osiris.families.files.folders`."""
    return path.endswith("/")


def folder_place(ctx: StepContext, path: str, *, writing: bool = True) -> Path | StoreUrl:
    """Return where the folder lies that a step's path names; fails as `target` does, at the config's `path`."""
    with at_path():
        url = store_url(path, ctx.family, ctx.connection or _NOT_KNOWN)
        if url:
            return url
        place = resolve_path(ctx.root, local_path(path).rstrip("/"), base=base_dir(ctx), writing=True)
        return _writable(ctx, place, "folder") if writing else ctx.paths.readable(ctx.root, place)


def folder(ctx: StepContext, path: str, *, writing: bool = True) -> Folder:
    """Return the folder that a step writes or reads; fails with DRV007 or as `open_bucket`."""
    return folder_of(ctx, folder_place(ctx, path, writing=writing))


class Target:
    """One file, or object, that is being written: `output` takes its bytes."""

    def __init__(self, ctx: StepContext, place: Path | StoreUrl, output: Output | Upload) -> None:
        self.output = output
        self._ctx, self._place = ctx, place

    def written(self, rows: int) -> Written:
        """Return what a writer tells of it once it is there."""
        if isinstance(self.output, Upload):
            return Written(rows, self.output.written, stored=(self.output.told,))
        name = label(self._ctx, self._place)
        return Written(rows, self.output.written, (name,), hashes={name: self.output.sha256})


@contextmanager
def publishing(ctx: StepContext, place: Path | StoreUrl, *, create_dirs: bool) -> Iterator[Target]:
    """Give the file, or the object, that a step writes; it appears when the block ends well.

    Its folder is made if that is asked for, and cleared of what dead writers left in it.
    """
    if isinstance(place, StoreUrl):
        with uploading(ctx, place) as upload:
            yield Target(ctx, place, upload)
        return
    if create_dirs:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail_os(error, place.parent)
    sweep(place.parent)
    with publish(place, real=True) as output:
        yield Target(ctx, place, output)


@dataclass(frozen=True, slots=True)
class TextConfig:
    """What the configs of all writers of text files have; keys and defaults are described in each spec.yaml."""

    path: str
    compression: Literal["infer", "none", "gzip", "zstd"] = "infer"
    create_dirs: bool = True


def check_text(ctx: StepContext, config: TextConfig, kind: Format) -> None:
    """Fail with DRV007 for a path that cannot be written as a text file, as `target`."""
    written_packing(target(ctx, config.path, kind).name, config.compression)


@contextmanager
def writing_text(ctx: StepContext, config: TextConfig, kind: Format) -> Iterator[tuple[Target, Sink]]:
    """Give the text file that a step writes, and what takes its text, to be packed."""
    place = target(ctx, config.path, kind)
    packing = written_packing(place.name, config.compression)
    with publishing(ctx, place, create_dirs=config.create_dirs) as file, packed(file.output, packing) as sink:
        yield file, sink


def check_columns(ctx: StepContext, schema: Schema, reason_against: Callable[[str], str | None]) -> None:
    """Fail with CMP012 for columns that cannot be written.

    A file is read by its names, so that none may be empty or taken. `reason_against(type)` tells why a type cannot be
    carried, None if it can.
    """
    names = Counter(column.name for column in schema)
    reasons = {name: "two columns have this name" for name, count in names.items() if count > 1}
    refuse(ctx, {**reasons, **({"": "it has no name"} if "" in names else {})}, schema)
    refuse(ctx, {column.name: reason for column in schema if (reason := reason_against(column.type))}, schema)


def refuse(ctx: StepContext, reasons: Mapping[str, str], schema: Schema) -> None:
    """Fail with CMP012 for each column that cannot be carried; `reasons` are by column name."""
    if reasons:
        types = {column.name: column.type for column in schema}
        raise_all(uncarried(ctx.step, name, types[name], reason) for name, reason in reasons.items())


class Background:
    """Calls functions in a thread, in order, one at a time: `with Background() as background:` ends when all are done.

    At most `depth` calls are under way or wait. What one raises comes out of a later `run`, or of the end of the block,
    and those behind it are not made.
    """

    def __init__(self, depth: int = 1) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._depth = depth
        self._calls: deque[Future[object]] = deque()

    def __enter__(self) -> Self:
        return self

    def run(self, work: Callable[..., object], *given: object) -> None:
        """Call `work` once the calls before are done, without waiting for it to end."""
        if len(self._calls) == self._depth:
            self._calls.popleft().result()
        before = self._calls[-1] if self._calls else None
        self._calls.append(self._pool.submit(_follow, before, work, *given))

    def wait(self) -> None:
        """Wait until all calls are done."""
        while self._calls:
            self._calls.popleft().result()

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            self.wait()


def _follow(before: Future[object] | None, work: Callable[..., object], *given: object) -> None:
    """Call `work`, unless the call before has raised something, which is then raised again."""
    if before:
        before.result()
    work(*given)
