"""A published folder: files and a manifest that lists them, which is written last.

A reader that uses the manifest sees the old or the new state, and nothing in between. The manifest is replaced only if
it is still the one that the writer found: of two writers one wins. Files that the new manifest does not list are
deleted; other files, and those of a folder that is published below this one, never are.

On this machine one writer at a time replaces a folder. In a store a folder is all keys with a common prefix.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from osiris.canonical import sha256_hex
from osiris.delivery import MANIFEST, MOST_FILES, MOST_MANIFEST, OURS, DeliveredFile, FolderManifest, parse_manifest
from osiris.errors import OsirisError, fail
from osiris.families.files.partitions import is_value, values_of
from osiris.families.files.source_files import size_of
from osiris.families.stores.bucket import Bucket, open_bucket
from osiris.families.stores.objects import StoredFile, Upload, below
from osiris.fault import fault
from osiris.files import (
    Output,
    fail_os,
    is_outside,
    is_temporary,
    open_real,
    open_source,
    publish,
    relative,
    sweep,
    sync_folder,
    take_lock,
)
from osiris.urls import StoreUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from osiris.driver import StepContext
    from osiris.families.files.source_files import SourceFile
    from osiris.model import JsonValue, Schema

AT_ONCE = 4
"""Small files that are copied or uploaded at a time."""

SMALL = 8 << 20
_PIECE = 1 << 20
_POLL, _LOCK_POLL = 0.1, 0.05
_ATTEMPTS = 3


class FoundManifest(NamedTuple):
    """A manifest that was found: its bytes, at most one more than allowed, and its version."""

    content: bytes
    version: JsonValue


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder at `path`, which has no links in it and may not exist; `root` is the project's."""

    root: Path
    path: Path

    def label(self, name: str) -> str:
        """Return the name of a file in it for messages; that of the folder if `name` is empty."""
        return f"{relative(self.root, self.path)}/{name}"

    def manifest(self) -> FoundManifest | None:
        """Return the manifest; None without one; fails with DRV003, DRV005 or DRV006."""
        path = self.path / MANIFEST
        if not os.path.lexists(path):
            return None
        with open_source(path) as file:
            content = file.read(MOST_MANIFEST + 1)
        return FoundManifest(content, sha256_hex(content))

    def sizes(self) -> dict[str, int]:
        """Return the size of each file below it, except the manifest and temporary files; links are not followed.

        Fails with DRV003, DRV005 or DRV006.
        """
        if self.path.is_file():
            fail("DRV005", path=relative(self.root, self.path), kind="a file, but a folder is to be written")
        try:
            return dict(_below(self.path, ""))
        except OSError as error:
            fail_os(error, self.label(""))

    def existing(self, names: Iterable[str]) -> Mapping[str, Path]:
        """Return those of the files that exist, except behind links. Fails with DRV003 or DRV006."""
        base = Path(os.path.realpath(self.path))
        paths = {name: base / name for name in names}
        try:
            return {
                name: path for name, path in paths.items() if os.path.realpath(path) == str(path) and path.is_file()
            }
        except OSError as error:
            fail_os(error, self.label(""))

    def put(self, source: Path, name: str) -> None:
        """Copy a file into it atomically and durably; fails with DRV003 to DRV006, DRV007 if a link leads out."""
        target = self.path / name
        if is_outside(self.path, target):
            fail("DRV007", path=self.label(name), problem="a link in the folder leads outside of it")
        try:
            _make(target.parent)
            with source.open("rb") as file, publish(target, real=True) as output:
                shutil.copyfileobj(file, output, _PIECE)
        except OSError as error:
            fail_os(error, self.label(name))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder against other writers, and wait for them; fails with DRV003 to DRV006."""
        try:
            _make(self.path)
            descriptor = open_real(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            fail_os(error, self.label(""))
        try:
            while not take_lock(descriptor):
                time.sleep(_LOCK_POLL)  # a blocking lock would not notice a request to stop
            yield
        finally:
            os.close(descriptor)

    def replace_manifest(self, content: bytes, version: JsonValue) -> str:
        """Replace the manifest of that version (None: there is none); fails with DRV046 if it has changed."""
        current = self.manifest()
        if (current.version if current else None) != version:
            fail("DRV046", path=self.label(""))
        with publish(self.path / MANIFEST, real=True) as output:
            output.write(content)
        return ""

    def remove(self, names: Collection[str]) -> None:
        """Delete files, leftovers of killed writers, and folders that have become empty."""
        paths = [self.path / name for name in names if not is_outside(self.path, self.path / name)]
        folders = {path.parent for path in paths}
        try:
            for path in paths:
                with suppress(FileNotFoundError, NotADirectoryError):
                    fault("folder.unlink")
                    path.unlink()
            folders |= {folder for folder in _partitions(self.path) if sweep(folder)}
            sweep(self.path)
            for folder in sorted(folders, reverse=True):
                _remove_empty(folder, self.path)
        except OSError as error:
            fail_os(error, self.label(""))


def _below(folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _below(folder / entry.name, f"{prefix}{entry.name}/")
            elif f"{prefix}{entry.name}" != MANIFEST and not is_temporary(entry.name):
                yield f"{prefix}{entry.name}", entry.stat(follow_symlinks=False).st_size


def _partitions(folder: Path) -> Iterator[Path]:
    """Yield the partition folders below a folder, except links and published folders."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            if is_value(entry.name) and entry.is_dir(follow_symlinks=False) and not os.path.lexists(path / MANIFEST):
                yield path
                yield from _partitions(path)


def _make(folder: Path) -> None:
    """Create a folder durably; raises OSError."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _remove_empty(folder: Path, top: Path) -> None:
    """Delete a folder, and those above it, as long as they are empty and below `top`."""
    with suppress(OSError):
        while folder != top:
            folder.rmdir()
            folder = folder.parent


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """The objects whose keys begin with that of `url`, which ends with a slash."""

    bucket: Bucket
    url: StoreUrl

    def label(self, name: str) -> str:
        """Return the URL of an object in it; that of the folder if `name` is empty."""
        return str(self._at(name))

    def _at(self, name: str) -> StoreUrl:
        return replace(self.url, key=f"{self.url.key}{name}")

    def manifest(self) -> FoundManifest | None:
        """Return the manifest; None without one; fails with DRV037, CON039 to CON042."""
        import obstore

        url = self._at(MANIFEST)
        try:
            with self.bucket.translate_errors(str(url), url.key):
                response = obstore.get(self.bucket.store, url.key)
                if response.meta["size"] > MOST_MANIFEST:
                    return FoundManifest(bytes(MOST_MANIFEST + 1), None)
                return FoundManifest(bytes(response.bytes()), _version(response.meta))
        except OsirisError as error:
            if error.diagnostics[0].code == "DRV001":
                return None
            raise

    def sizes(self) -> dict[str, int]:
        """Return the size of each object in it, except the manifest."""
        return {name: file.size for name, file in self._listed().items() if name != MANIFEST}

    def _listed(self) -> dict[str, StoredFile]:
        start = len(self.url.key)
        return {
            file.url.key[start:]: file for file in below(self.bucket, self.url) if file.url.key[:start] == self.url.key
        }

    def existing(self, names: Iterable[str]) -> Mapping[str, StoredFile]:
        """Return those of the objects that exist."""
        objects = self._listed()
        return {name: objects[name] for name in names if name in objects}

    def put(self, source: Path, name: str) -> None:
        """Upload a file as an object; fails with the store's error."""
        upload = Upload(self.bucket, self._at(name))
        try:
            with source.open("rb") as file:
                shutil.copyfileobj(file, upload, _PIECE)
            upload.finish()
        finally:
            upload.end()

    def alone(self) -> AbstractContextManager[None]:
        """Return a block without a lock: here the condition on the manifest is enough."""
        return nullcontext()

    def replace_manifest(self, content: bytes, version: JsonValue) -> str:
        """Replace the manifest of that version (None: there is none); fails with DRV046 if it has changed.

        Returns the new ETag.
        """
        current = self.manifest()
        if (current.version if current else None) != version:
            fail("DRV046", path=self.label(""))
        etag = self._put_manifest(content, version or "create")
        fault("folder.manifest_put")
        if etag is None:
            # The client retries if a response is lost, and the condition then fails on its own manifest.
            current = self.manifest()
            if current is None or current.content != content:
                fail("DRV046", path=self.label(""))
            etag = current.version.get("e_tag")
        return str(etag)

    def _put_manifest(self, content: bytes, mode: Any) -> str | None:  # noqa: ANN401  the client's, or a version
        """Put a manifest on a condition, and return its ETag; None if the condition fails."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        url = self._at(MANIFEST)
        fault("folder.put_manifest")
        with self.bucket.translate_errors(str(url), url.key):
            try:
                return obstore.put(self.bucket.store, url.key, content, mode=mode, use_multipart=False)["e_tag"]
            except (AlreadyExistsError, PreconditionError):
                return None

    def remove(self, names: Collection[str]) -> None:
        """Delete objects; missing ones are ignored."""
        keys = [self._at(name).key for name in sorted(names)]
        with self.bucket.translate_errors(str(self.url), self.url.key):
            try:
                self._delete(keys)
            except FileNotFoundError:  # in some stores, one missing object prevents others from being deleted
                for key in keys:
                    with suppress(FileNotFoundError):
                        self._delete([key])

    def _delete(self, keys: list[str]) -> None:
        import obstore

        if keys:
            fault("folder.delete")
            obstore.delete(self.bucket.store, keys)


def _version(meta: Mapping[str, Any]) -> JsonValue:
    """Return the version of an object: its ETag, and its generation if the store needs that."""
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name)}


Folder = LocalFolder | StoredFolder


def folder_of(ctx: StepContext, location: Path | StoreUrl) -> Folder:
    """Return the folder of a step without accessing it. Fails as `open_bucket`."""
    if isinstance(location, StoreUrl):
        return StoredFolder(open_bucket(location.family, ctx.connection, location.bucket), location)
    return LocalFolder(ctx.root, location)


class Staging:
    """The new files of a folder: each is written below `root`, and named by the hash of its bytes.

    `earlier` are files that stay in the folder; the numbers of new ones are greater.
    """

    def __init__(self, root: Path, earlier: Sequence[DeliveredFile] = ()) -> None:
        self.root = root
        self.files: list[DeliveredFile] = []
        self._room = MOST_FILES - len(earlier)
        self._first: Counter[str] = Counter()
        for file in earlier:
            folder, _, name = file.path.rpartition("/")
            self._first[folder] = max(self._first[folder], int(name.split("-")[1]) + 1)

    def add(self, folder: str, number: int, write: Callable[[Output], object]) -> None:
        """Write a file into a partition folder; fails with DRV004 or DRV006, and DRV048 for too many files."""
        if len(self.files) >= self._room:
            fail("DRV048", limit=f"{MOST_FILES:,}")
        path = self.root / folder
        try:
            path.mkdir(parents=True, exist_ok=True)
            with (path / "unnamed").open("wb", buffering=0) as raw:
                staged = Output(raw.fileno(), path, fail_os)
                write(staged)
            sha256 = staged.sha256
            name = f"part-{self._first[folder] + number:05}-{sha256[:32]}.osiris.parquet"
            (path / "unnamed").rename(path / name)
        except OSError as error:
            fail_os(error, path)
        self.files.append(DeliveredFile(f"{folder}/{name}" if folder else name, staged.written, sha256))


def manifest_version(folder: Folder) -> JsonValue:
    """Return the version of the manifest in a folder that is to be written; None without one.

    Fails with DRV045 if there is no manifest but there are other files, with DAT045 if the manifest is invalid.
    """
    manifest = folder.manifest()
    if manifest:
        parse_manifest(manifest.content, folder.label(MANIFEST))
        return manifest.version
    sizes = folder.sizes()
    foreign = min(sizes.keys() - _parts(sizes), default=None)
    if foreign:
        fail("DRV045", path=folder.label(""), example=ascii(foreign)[1:-1][:200])
    return None


def _parts(paths: Iterable[str]) -> set[str]:
    """Return the parts of this folder: files in partition folders, none of which is published itself."""
    published = tuple(path.removesuffix(MANIFEST) for path in paths if path.endswith(f"/{MANIFEST}"))
    return {path for path in paths if _is_part(path) and not path.startswith(published)}


def _is_part(path: str) -> bool:
    *folders, name = path.split("/")
    return OURS.fullmatch(name) is not None and all(map(is_value, folders))


def publish_folder(
    folder: Folder,
    before: JsonValue,
    staged: Path,
    manifest: FolderManifest,
    new: Sequence[DeliveredFile] | None = None,
) -> Mapping[str, JsonValue]:
    """Put files of a manifest (all, or `new`) from below `staged` into a folder, then the manifest; delete other parts.

    `before` is the result of `manifest_version`. Returns path, size, SHA-256 (of the manifest) and, in a store, ETag.
    Fails with DRV046 if another run has published there, DRV048 if the manifest is too large, or with a storage error;
    readers then still see the old state.
    """
    content = manifest.to_bytes()
    if len(content) > MOST_MANIFEST:
        fail("DRV048", limit=f"{MOST_MANIFEST:,} bytes of names of")
    names = {file.path for file in manifest.files}
    with ExitStack() as undoing:
        undoing.callback(_take_back, folder, names)
        _put_all(folder, staged, manifest.files if new is None else new)
        with folder.alone():
            sizes = folder.sizes()
            if any(sizes.get(file.path) != file.size for file in manifest.files):
                fail("DRV046", path=folder.label(""))
            etag = folder.replace_manifest(content, before)
            undoing.pop_all()
            folder.remove(_parts(sizes) - names)
    facts = {"path": folder.label(""), "size": manifest.size + len(content), "sha256": sha256_hex(content)}
    return facts | ({"etag": etag} if etag else {})


def _put_all(folder: Folder, staged: Path, files: Sequence[DeliveredFile]) -> None:
    """Put files into a folder: large ones one by one, as each is uploaded in parallel parts, small ones in parallel."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="publish") as pool:
        small = [pool.submit(folder.put, staged / file.path, file.path) for file in files if file.size <= SMALL]
        try:
            for file in files:
                if file.size > SMALL:
                    folder.put(staged / file.path, file.path)
            while wait(small, _POLL).not_done:  # so that a request to stop is noticed
                pass
        finally:
            pool.shutdown(cancel_futures=True)
        for done in small:
            done.result()


def _take_back(folder: Folder, names: set[str]) -> None:
    """Delete files that were put into a folder in vain, except those that its manifest lists; ignore errors."""
    with suppress(OsirisError), folder.alone():
        current = folder.manifest()
        files = parse_manifest(current.content, MANIFEST).files if current else ()
        folder.remove(names - {file.path for file in files})


@dataclass(frozen=True, slots=True)
class Published:
    """The current content of a published folder.

    `values` has for each file the values of the partition columns in its path; `files` has the files and the manifest.
    """

    manifest: FolderManifest
    values: Mapping[str, Mapping[str, pa.Scalar]]
    files: Mapping[str, SourceFile]


def open_published(folder: Folder) -> Published:
    """Return the content of a folder; all files exist with the size in the manifest.

    Fails with DRV001 without a manifest, DAT045 for an invalid one, DAT046 if a file is missing or changed, and
    DRV038 if the folder is published again during each attempt.
    """
    for _ in range(_ATTEMPTS):
        current = folder.manifest()
        if not current:
            hint = "name the files of a folder that Osiris did not write; values in folder names alone are not read"
            fail("DRV001", path=folder.label(MANIFEST), hint=hint)
        manifest = parse_manifest(current.content, folder.label(MANIFEST))
        values = _values(manifest, folder.label(MANIFEST))
        sizes = {file.path: file.size for file in manifest.files}
        files = folder.existing((MANIFEST, *sizes))
        problem = next(_wrong(sizes, files), None)
        if not problem:
            return Published(manifest, values, files)
    if folder.manifest() != current:
        fail("DRV038", path=folder.label(MANIFEST))
    return fail("DAT046", file=folder.label(MANIFEST), problem=problem)


def _values(manifest: FolderManifest, name: str) -> dict[str, dict[str, pa.Scalar]]:
    """Return the partition values in the paths of files; fails with DAT045 for a folder name without a value."""
    kinds = {column.name: column.type for column in manifest.schema}
    types = {column: kinds[column] for column in manifest.partition_by}
    try:
        return {file.path: values_of(file.path.split("/")[:-1], types) for file in manifest.files}
    except (ValueError, pa.ArrowException) as error:
        fail("DAT045", file=name, problem=f"a folder in it has no value: {ascii(str(error))[1:200]}")


def _wrong(sizes: Mapping[str, int], files: Mapping[str, SourceFile]) -> Iterator[str]:
    for path, size in sizes.items():
        actual = _size(files[path]) if path in files else None
        if actual is None:
            yield f"{path}, which is not there"
        elif actual != size:
            yield f"{path} with {size:,} bytes, and it has another size"


def _size(file: SourceFile) -> int | None:
    """Return the size of a file in bytes; None if it no longer exists."""
    with suppress(FileNotFoundError):
        return size_of(file)
    return None


def schema_of_files(schema: Schema, partition_by: Sequence[str]) -> Schema:
    """Return the columns in the files, without the partition columns."""
    return tuple(column for column in schema if column.name not in partition_by)
