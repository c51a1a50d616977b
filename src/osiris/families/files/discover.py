"""How files are discovered: which component reads a file, and with which config; its driver tells the rest.

What a file is, its first bytes tell, and its name where they do not.
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
from osiris.families.files.source_files import Place, base_dir, base_folder, local, mark_of, matching
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
"""So many folders are named where there are no files."""

_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file: what messages call it, the component that reads it, and what that is told of it.

    Of a published folder `path` is its manifest, and `bytes` what all of its files have.
    Without a component `problem` says why.
    """

    path: Place
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
    """Return the files that a path, a folder or a pattern names, sorted by name.

    Fails with DRV001, DRV003, DRV005, DRV006, DRV007, DRV049, DRV059 or DRV062.
    """
    url = store_url(pattern, ctx.family, ctx.connection)
    if published := _published(ctx, pattern, url):
        return [published]
    if url:
        return [_stored(file) for file in _objects_of(ctx, url) if file.name != MANIFEST]
    return _local(ctx, local_path(pattern))


def _local(ctx: StepContext, pattern: str) -> list[SeenFile]:
    """Return the files of this machine that a path, a folder or a pattern names."""
    folder = resolve_path(ctx.root, pattern, base=base_dir(ctx))
    paths = matching(ctx, f"{pattern.rstrip('/')}/*" if os.path.isdir(folder) else pattern)  # noqa: PTH112  Path.is_dir raises where one may not look
    start = base_folder(ctx)
    see = _seen if len(paths) == 1 else _seen_or_not
    shown = ((path, relative(start, path)) for path in paths if path.name != MANIFEST)
    return [see(ctx, path, name) if is_text(name) else _unnamed(path, name) for path, name in shown]


def _published(ctx: StepContext, pattern: str, url: StoreUrl | None) -> SeenFile | None:
    """Return the published folder that a path or URL names, None if it names none; fails with DAT045 or DAT046."""
    place = url or resolve_path(ctx.root, local_path(pattern), base=base_dir(ctx))
    if url.name if url else not os.path.isdir(str(place)):  # noqa: PTH112  as above
        return None
    folder = folder_of(ctx, place if isinstance(place, StoreUrl) else ctx.paths.readable(ctx.root, place))
    if not folder.manifest():
        return None
    found = open_published(folder)
    shown = f"{relative(base_folder(ctx), place)}/" if isinstance(place, Path) else str(place)
    size = found.manifest.size
    return SeenFile(found.places[MANIFEST], shown, "filesystem.parquet_extractor", {"path": shown}, bytes=size)


def _unnamed(path: Path, name: str) -> SeenFile:
    """Return a file that no step can name."""
    return SeenFile(path, os.fsencode(name).decode(errors="backslashreplace"), None, problem="its name is not UTF-8")


def _objects_of(ctx: StepContext, url: StoreUrl) -> list[StoredFile]:
    """Return the objects that a URL or a pattern names, or of a folder those that lie in it.

    Where none does, the folders that lie there are named.
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
    """Fail with DRV001, and name the folders that are there instead of files."""
    folders = folders_in(ctx, url)
    more = f" and {len(folders) - _NAMED} more" if len(folders) > _NAMED else ""
    there = f"discover one of its folders: {', '.join(folders[:_NAMED])}{more}"
    fail("DRV001", path=f"a file in {url}", hint=there if folders else "the folder has no files")


def _stored(file: StoredFile) -> SeenFile:
    """Return an object as its name tells it: to look into each would take a request for each."""
    component = _by_name(file.name)
    return SeenFile(file, str(file), component, {"path": str(file)} if component else {}, "its name does not say")


def _seen_or_not(ctx: StepContext, path: Path, shown: str) -> SeenFile:
    """Return one file of many: what is wrong with it is no reason not to look at the others."""
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
    """Return what stands most often between the words of the first line; a comma if nothing does."""
    if path.suffix.lower() in PACKED:
        return ","
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").partition(b"\n")[0].decode("utf-8", "replace")
    bare = "".join(first.split('"')[::2])
    return max(_DELIMITERS, key=lambda each: (bare.count(each), each == ","))


def state_of(files: Iterable[SeenFile]) -> str:
    """Return a digest of what files are; fails with DRV003 or DRV006."""
    found: Sequence[SeenFile] = list(files)
    paths = local(file.path for file in found)
    if paths is None:
        return sha256_hex("".join(mark_of(file.path) for file in found).encode())
    return content_of(paths, found[0].shown if found else "")
