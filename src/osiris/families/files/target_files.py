"""The file, object or folder that a step writes: resolving its path, and publishing it atomically."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from osiris.driver import Written
from osiris.errors import fail, raise_all
from osiris.families.files.compression import output_compression, packed
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
"""A placeholder connection while a plan is checked, when writers have no connection fields."""


def target(ctx: StepContext, path: str, kind: Format) -> Path | StoreUrl:
    """Return the file of that format, or the object, to write; fails with DRV007, DRV049 or DRV059 to DRV062."""
    url = store_url(path, ctx.family, ctx.connection or _NOT_KNOWN)
    if url and not url.name:
        fail("DRV007", path=path, problem="a file is needed, but this is a folder")
    return url or _writable(ctx, resolve_path(ctx.root, local_path(path), base=base_dir(ctx), writing=True), kind)


def _writable(ctx: StepContext, path: Path, kind: Format) -> Path:
    """Return the real path of a file that a step may write; its own artifacts, for a replay, are allowed."""
    real = real_path(path)
    return real if real.is_relative_to(real_path(ctx.artifacts)) else ctx.paths.writable(ctx.root, path, kind)


def is_folder(path: str) -> bool:
    """Return whether a step's path is that of a published folder, see `osiris.families.files.folders`."""
    return path.endswith("/")


def folder_place(ctx: StepContext, path: str, *, writing: bool = True) -> Path | StoreUrl:
    """Return the location of the folder of a step's path; fails as `target` does, at the config's `path`."""
    with at_path():
        url = store_url(path, ctx.family, ctx.connection or _NOT_KNOWN)
        if url:
            return url
        location = resolve_path(ctx.root, local_path(path).rstrip("/"), base=base_dir(ctx), writing=True)
        return _writable(ctx, location, "folder") if writing else ctx.paths.readable(ctx.root, location)


def folder(ctx: StepContext, path: str, *, writing: bool = True) -> Folder:
    """Return the folder that a step writes or reads; fails with DRV007 or as `open_bucket`."""
    return folder_of(ctx, folder_place(ctx, path, writing=writing))


class Target:
    """A file or object that is being written; `output` takes its bytes."""

    def __init__(self, ctx: StepContext, path: Path | StoreUrl, output: Output | Upload) -> None:
        self.output = output
        self._ctx, self._place = ctx, path

    def written(self, rows: int) -> Written:
        """Return a writer's result for it once it is published."""
        if isinstance(self.output, Upload):
            return Written(rows, self.output.written, stored=(self.output.stored,))
        name = label(self._ctx, self._place)
        return Written(rows, self.output.written, (name,), hashes={name: self.output.sha256})


@contextmanager
def publishing(ctx: StepContext, path: Path | StoreUrl, *, create_dirs: bool) -> Iterator[Target]:
    """Open the file or object that a step writes; it is published if the block succeeds.

    Its folder is created if `create_dirs`, and leftovers of killed writers in it are deleted.
    """
    if isinstance(path, StoreUrl):
        with uploading(ctx, path) as upload:
            yield Target(ctx, path, upload)
        return
    if create_dirs:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail_os(error, path.parent)
    sweep(path.parent)
    with publish(path, real=True) as output:
        yield Target(ctx, path, output)


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The config keys that all writers of text files share; each spec.yaml documents keys and defaults."""

    path: str
    compression: Literal["infer", "none", "gzip", "zstd"] = "infer"
    create_dirs: bool = True


def check_text(ctx: StepContext, config: TextConfig, kind: Format) -> None:
    """Fail with DRV007 for a path that cannot be written as a text file, as `target`."""
    output_compression(target(ctx, config.path, kind).name, config.compression)


@contextmanager
def writing_text(ctx: StepContext, config: TextConfig, kind: Format) -> Iterator[tuple[Target, Sink]]:
    """Open the text file that a step writes, and the sink that compresses its text."""
    path = target(ctx, config.path, kind)
    packing = output_compression(path.name, config.compression)
    with publishing(ctx, path, create_dirs=config.create_dirs) as file, packed(file.output, packing) as sink:
        yield file, sink


def check_file_columns(ctx: StepContext, schema: Schema, reason_against: Callable[[str], str | None]) -> None:
    """Fail with CMP012 for columns that cannot be written.

    Names must be unique and not empty. `reason_against(type)` returns why a type is unsupported, None if it is not.
    """
    names = Counter(column.name for column in schema)
    reasons = {name: "two columns have this name" for name, count in names.items() if count > 1}
    fail_unsupported(ctx, {**reasons, **({"": "it has no name"} if "" in names else {})}, schema)
    fail_unsupported(ctx, {column.name: reason for column in schema if (reason := reason_against(column.type))}, schema)


def fail_unsupported(ctx: StepContext, reasons: Mapping[str, str], schema: Schema) -> None:
    """Fail with CMP012 for each unsupported column; `reasons` are by column name."""
    if reasons:
        types = {column.name: column.type for column in schema}
        raise_all(uncarried(ctx.step, name, types[name], reason) for name, reason in reasons.items())


class Background:
    """Calls functions in a thread, in order, one at a time; at its end, the `with` block waits for all of them.

    At most `depth` calls run or wait: with two, the pace of reading and writing is evened out. An exception is raised
    by a later `run` or at the end of the block, and the calls after it are skipped.
    """

    def __init__(self, depth: int = 2) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._depth = depth
        self._calls: deque[Future[object]] = deque()

    def __enter__(self) -> Self:
        return self

    def run(self, work: Callable[..., object], *args: object) -> None:
        """Call `work` after the earlier calls, without waiting for it to end."""
        if len(self._calls) == self._depth:
            self._calls.popleft().result()
        before = self._calls[-1] if self._calls else None
        self._calls.append(self._pool.submit(_follow, before, work, *args))

    def wait(self) -> None:
        """Wait until all calls are done."""
        while self._calls:
            self._calls.popleft().result()

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            self.wait()


def _follow(before: Future[object] | None, work: Callable[..., object], *args: object) -> None:
    """Call `work`, unless the previous call has raised an exception, which is then raised again."""
    if before:
        before.result()
    work(*args)
