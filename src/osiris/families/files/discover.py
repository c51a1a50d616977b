"""Discovery of files: which component reads a file, and with which config; its driver describes the rest.

A file is identified by its first bytes, else by its name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from osiris.canonical import sha256_hex
from osiris.delivery import MANIFEST
from osiris.errors import OsirisError, fail
from osiris.families.discovery_base import content_of
from osiris.families.files.compression import PACKED
from osiris.families.files.folders import folder_of, open_published
from osiris.families.files.source_files import SourceFile, base_dir, base_folder, local, mark_of, matching
from osiris.families.stores.objects import StoredFile, find, folders_in
from osiris.files import check_source, fail_os, is_text, open_source, relative, resolve_path
from osiris.urls import StoreUrl, local_path, store_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import NoReturn

    from osiris.driver import StepContext
    from osiris.model import JsonValue

_BY_NAME = {
    **dict.fromkeys((".csv", ".tsv", ".tab"), "filesystem.csv_extractor"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "filesystem.json_extractor"),
    **dict.fromkeys((".parquet", ".pq"), "filesystem.parquet_extractor"),
    **dict.fromkeys((".duckdb", ".ddb"), "duckdb.extractor"),
    **dict.fromkeys((".sqlite", ".sqlite3"), "sqlite.extractor"),
}
_HEAD = 1 << 16
_NAMED = 10
"""The number of folders that are listed if there are no files."""

_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file: its name for messages, the component that reads it, and the config for that.

    For a published folder `path` is its manifest, and `bytes` the total size of its files. Without a component,
    `problem` says why.
    """

    path: SourceFile
    shown: str
    component: str | None
    config: Mapping[str, JsonValue] = field(default_factory=dict)
    problem: str = "its name and its first bytes do not say what it is"
    bytes: int | None = None

    @property
    def family(self) -> str:
        """The family of the component."""
        return (self.component or "").partition(".")[0]


def files_of(ctx: StepContext, pattern: str) -> list[SeenFile]:
    """Return the files that match a path, a folder or a pattern, sorted by name.

    Fails with DRV001, DRV003, DRV005, DRV006, DRV007, DRV049, DRV059 or DRV062.
    """
    url = store_url(pattern, ctx.family, ctx.connection)
    if published := _published(ctx, pattern, url):
        return [published]
    if url:
        return [_stored(file) for file in _objects_of(ctx, url) if file.name != MANIFEST]
    return _local(ctx, local_path(pattern))


def _local(ctx: StepContext, pattern: str) -> list[SeenFile]:
    """Return the files of this machine that match a path, a folder or a pattern."""
    folder = resolve_path(ctx.root, pattern, base=base_dir(ctx))
    paths = matching(ctx, f"{pattern.rstrip('/')}/*" if os.path.isdir(folder) else pattern)  # noqa: PTH112  Path.is_dir raises where one may not look
    start = base_folder(ctx)
    see = _seen if len(paths) == 1 else _seen_or_not
    shown = ((path, relative(start, path)) for path in paths if path.name != MANIFEST)
    return [see(ctx, path, name) if is_text(name) else _unnamed(path, name) for path, name in shown]


def _published(ctx: StepContext, pattern: str, url: StoreUrl | None) -> SeenFile | None:
    """Return the published folder at a path or URL, None if there is none; fails with DAT045 or DAT046."""
    folder_path = url or resolve_path(ctx.root, local_path(pattern), base=base_dir(ctx))
    if url.name if url else not os.path.isdir(str(folder_path)):  # noqa: PTH112  as above
        return None
    folder = folder_of(
        ctx, folder_path if isinstance(folder_path, StoreUrl) else ctx.paths.readable(ctx.root, folder_path)
    )
    if not folder.manifest():
        return None
    published = open_published(folder)
    shown = f"{relative(base_folder(ctx), folder_path)}/" if isinstance(folder_path, Path) else str(folder_path)
    size = published.manifest.size
    return SeenFile(published.files[MANIFEST], shown, "filesystem.parquet_extractor", {"path": shown}, bytes=size)


def _unnamed(path: Path, name: str) -> SeenFile:
    """Return a file whose name is not UTF-8, so that no step can read it."""
    return SeenFile(path, os.fsencode(name).decode(errors="backslashreplace"), None, problem="its name is not UTF-8")


def _objects_of(ctx: StepContext, url: StoreUrl) -> list[StoredFile]:
    """Return the objects that match a URL or a pattern, or that are in a folder.

    Fails with DRV001 if there are none, listing the folders that exist.
    """
    if url.name not in ("", "*"):
        return find(ctx, url)
    url = StoreUrl(url.scheme, url.bucket, url.key.removesuffix("*"))
    try:
        return find(ctx, StoreUrl(url.scheme, url.bucket, f"{url.key}*"))
    except OsirisError as error:
        if error.diagnostics[0].code == "DRV001":
            _fail_empty(ctx, url)
        raise


def _fail_empty(ctx: StepContext, url: StoreUrl) -> NoReturn:
    """Fail with DRV001, listing the folders that exist instead of files."""
    folders = folders_in(ctx, url)
    more = f" and {len(folders) - _NAMED} more" if len(folders) > _NAMED else ""
    hint = f"discover one of its folders: {', '.join(folders[:_NAMED])}{more}"
    fail("DRV001", path=f"a file in {url}", hint=hint if folders else "the folder has no files")


def _stored(file: StoredFile) -> SeenFile:
    """Return an object identified by its name: reading its first bytes would take a request for each."""
    component = _by_name(file.name)
    config = {"path": str(file)} if component else {}
    return SeenFile(file, str(file), component, config, "its name does not say what it is")


def _seen_or_not(ctx: StepContext, path: Path, shown: str) -> SeenFile:
    """Return one file of many; if it cannot be read, it has the problem instead of a component."""
    try:
        return _seen(ctx, path, shown)
    except OsirisError as error:
        return SeenFile(path, shown, None, problem=error.diagnostics[0].message)


def _seen(ctx: StepContext, path: Path, shown: str) -> SeenFile:
    real = ctx.paths.readable(ctx.root, path)
    check_source(real, shown)
    try:
        with open_source(real) as file:
            head = file.read(_HEAD)
    except OSError as error:
        fail_os(error, shown)
    component = _by_content(head) or _by_name(path.name)
    config = {"path": shown}
    if component == "filesystem.csv_extractor" and (delimiter := _delimiter(path, head)) != ",":
        config["delimiter"] = delimiter
    return SeenFile(real, shown, component, config if component and component.startswith("filesystem") else {})


def _by_content(head: bytes) -> str | None:
    if head.startswith(b"SQLite format 3\0"):
        return "sqlite.extractor"
    if head[8:12] == b"DUCK":
        return "duckdb.extractor"
    return "filesystem.parquet_extractor" if head.startswith(b"PAR1") else None


def _by_name(name: str) -> str | None:
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    while suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return _BY_NAME.get(suffixes[-1]) if suffixes else None


def _delimiter(path: Path, head: bytes) -> str:
    """Return the most frequent delimiter in the first line; a comma if there is none."""
    if path.suffix.lower() in PACKED:
        return ","
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").partition(b"\n")[0].decode("utf-8", "replace")
    bare = "".join(first.split('"')[::2])
    return max(_DELIMITERS, key=lambda each: (bare.count(each), each == ","))


def state_of(files: Iterable[SeenFile]) -> str:
    """Return a digest of the state of files; fails with DRV003 or DRV006."""
    listed: Sequence[SeenFile] = list(files)
    paths = local(file.path for file in listed)
    if paths is None:
        return sha256_hex("".join(mark_of(file.path) for file in listed).encode())
    return content_of(paths, listed[0].shown if listed else "")
