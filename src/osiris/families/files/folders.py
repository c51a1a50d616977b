"""A published folder: files and one manifest, which is put in its place last, and tells what the folder holds.

Who reads by the manifest sees what was there, or what is there now, and nothing in between. It is replaced on the
condition that it is still the one that the writer found: of two writers one wins. What the manifest does not name any
more is removed; what is not ours, or belongs to a folder that is published below this one, never.

On this machine one writer at a time replaces a folder. In a store a folder is all keys that begin alike.
"""

from __future__ import annotations

import os
import shutil
import time
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
    from osiris.families.files.source_files import Place
    from osiris.model import JsonValue, Schema

AT_ONCE = 4
"""Files that are put in their place at a time, if they are small."""

SMALL = 8 << 20
_PIECE = 1 << 20
_POLL, _LOCK_POLL = 0.1, 0.05
_ATTEMPTS = 3


class FoundManifest(NamedTuple):
    """A manifest as it lies there: its bytes, at most one more than a manifest may have, and which one it is."""

    content: bytes
    version: JsonValue


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder at `path`, on which is no link, whether it is there or not; `root` is the project's."""

    root: Path
    path: Path

    def label(self, name: str) -> str:
        """Return what messages call a file in it; the folder itself for no name."""
        return f"{relative(self.root, self.path)}/{name}"

    def manifest(self) -> FoundManifest | None:
        """Return the manifest, None if there is none; fails with DRV003, DRV005 or DRV006."""
        path = self.path / MANIFEST
        if not os.path.lexists(path):
            return None
        with open_source(path) as file:
            content = file.read(MOST_MANIFEST + 1)
        return FoundManifest(content, sha256_hex(content))

    def sizes(self) -> dict[str, int]:
        """Return the size of each file below it, but for the manifest and temporaries; links are not followed.

        Fails with DRV003, DRV005 or DRV006.
        """
        if self.path.is_file():
            fail("DRV005", path=relative(self.root, self.path), kind="a file, but a folder is to be written")
        try:
            return dict(_below(self.path, ""))
        except OSError as error:
            fail_os(error, self.label(""))

    def places(self, names: Iterable[str]) -> Mapping[str, Path]:
        """Return those of the files that are there; one that a link leads to is not. Fails with DRV003 or DRV006."""
        base = Path(os.path.realpath(self.path))
        paths = {name: base / name for name in names}
        try:
            return {
                name: path for name, path in paths.items() if os.path.realpath(path) == str(path) and path.is_file()
            }
        except OSError as error:
            fail_os(error, self.label(""))

    def put(self, source: Path, name: str) -> None:
        """Copy a file into it, whole and durable; fails with DRV003 to DRV006, DRV007 where a link leads out of it."""
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
        """Wait until no other writer is in a block of this folder, and keep others out; fails with DRV003 to DRV006."""
        try:
            _make(self.path)
            descriptor = open_real(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            fail_os(error, self.label(""))
        try:
            while not take_lock(descriptor):
                time.sleep(_LOCK_POLL)  # a wait of the system would not notice a request to stop
            yield
        finally:
            os.close(descriptor)

    def replace_manifest(self, content: bytes, version: JsonValue) -> str:
        """Put a manifest in the place of that version, None for none; fails with DRV046 if that is another by now."""
        found = self.manifest()
        if (found.version if found else None) != version:
            fail("DRV046", path=self.label(""))
        with publish(self.path / MANIFEST, real=True) as output:
            output.write(content)
        return ""

    def remove(self, names: Collection[str]) -> None:
        """Remove files, what dead writers left, and folders that have become empty."""
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
    """Yield the folders of values below a folder, but for those that a link leads to, or that are published."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            if is_value(entry.name) and entry.is_dir(follow_symlinks=False) and not os.path.lexists(path / MANIFEST):
                yield path
                yield from _partitions(path)


def _make(folder: Path) -> None:
    """Make a folder, and make its name durable; raises OSError."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove a folder, and those above it, as long as they are empty and below `top`."""
    with suppress(OSError):
        while folder != top:
            folder.rmdir()
            folder = folder.parent


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """The objects whose keys begin as `url` does, which ends with a slash."""

    bucket: Bucket
    url: StoreUrl

    def label(self, name: str) -> str:
        """Return the URL of an object in it; that of the folder itself for no name."""
        return str(self._at(name))

    def _at(self, name: str) -> StoreUrl:
        return replace(self.url, key=f"{self.url.key}{name}")

    def manifest(self) -> FoundManifest | None:
        """Return the manifest, None if there is none; fails with DRV037, CON039 to CON042."""
        import obstore

        url = self._at(MANIFEST)
        try:
            with self.bucket.asked(str(url), url.key):
                found = obstore.get(self.bucket.store, url.key)
                if found.meta["size"] > MOST_MANIFEST:
                    return FoundManifest(bytes(MOST_MANIFEST + 1), None)
                return FoundManifest(bytes(found.bytes()), _version(found.meta))
        except OsirisError as error:
            if error.diagnostics[0].code == "DRV001":
                return None
            raise

    def sizes(self) -> dict[str, int]:
        """Return the size of each object in it, but for the manifest."""
        return {name: file.size for name, file in self._listed().items() if name != MANIFEST}

    def _listed(self) -> dict[str, StoredFile]:
        start = len(self.url.key)
        return {
            file.url.key[start:]: file for file in below(self.bucket, self.url) if file.url.key[:start] == self.url.key
        }

    def places(self, names: Iterable[str]) -> Mapping[str, StoredFile]:
        """Return those of the objects that are there."""
        there = self._listed()
        return {name: there[name] for name in names if name in there}

    def put(self, source: Path, name: str) -> None:
        """Make an object of a file; fails with what the store has against it."""
        upload = Upload(self.bucket, self._at(name))
        try:
            with source.open("rb") as file:
                shutil.copyfileobj(file, upload, _PIECE)
            upload.finish()
        finally:
            upload.end()

    def alone(self) -> AbstractContextManager[None]:
        """Return a block that keeps nobody out: here the condition on the manifest must do."""
        return nullcontext()

    def replace_manifest(self, content: bytes, version: JsonValue) -> str:
        """Put a manifest in the place of that version, None for none; fails with DRV046 if that is another by now.

        Returns the new ETag.
        """
        found = self.manifest()
        if (found.version if found else None) != version:
            fail("DRV046", path=self.label(""))
        etag = self._put_manifest(content, version or "create")
        fault("folder.manifest_put")
        if etag is None:
            # The client asks again where an answer is lost, and the condition then fails on what it has put itself.
            found = self.manifest()
            if found is None or found.content != content:
                fail("DRV046", path=self.label(""))
            etag = found.version.get("e_tag")
        return str(etag)

    def _put_manifest(self, content: bytes, mode: Any) -> str | None:  # noqa: ANN401  the client's, or a version
        """Put a manifest on a condition, and return its ETag; None where the condition fails."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        url = self._at(MANIFEST)
        fault("folder.put_manifest")
        with self.bucket.asked(str(url), url.key):
            try:
                return obstore.put(self.bucket.store, url.key, content, mode=mode, use_multipart=False)["e_tag"]
            except (AlreadyExistsError, PreconditionError):
                return None

    def remove(self, names: Collection[str]) -> None:
        """Remove objects; one that is not there is none of our concern."""
        keys = [self._at(name).key for name in sorted(names)]
        with self.bucket.asked(str(self.url), self.url.key):
            try:
                self._delete(keys)
            except FileNotFoundError:  # where a store minds, one of them keeps others from being removed
                for key in keys:
                    with suppress(FileNotFoundError):
                        self._delete([key])

    def _delete(self, keys: list[str]) -> None:
        import obstore

        if keys:
            fault("folder.delete")
            obstore.delete(self.bucket.store, keys)


def _version(meta: Mapping[str, Any]) -> JsonValue:
    """Return which state of an object this is: by its ETag, and by its generation where a store asks for that."""
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name)}


Folder = LocalFolder | StoredFolder


def folder_of(ctx: StepContext, place: Path | StoreUrl) -> Folder:
    """Return the folder of a step; nothing is asked of it yet. Fails as `open_bucket`."""
    if isinstance(place, StoreUrl):
        return StoredFolder(open_bucket(place.family, ctx.connection, place.bucket), place)
    return LocalFolder(ctx.root, place)


class Staging:
    """The files of a folder on their way: each is written whole below `root`, and gets its name from its bytes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[DeliveredFile] = []

    def add(self, folder: str, number: int, write: Callable[[Output], object]) -> None:
        """Have a file written into a folder; fails with DRV004 or DRV006, and DRV048 for one file too many."""
        if len(self.files) == MOST_FILES:
            fail("DRV048", limit=f"{MOST_FILES:,}")
        path = self.root / folder
        try:
            path.mkdir(parents=True, exist_ok=True)
            with (path / "unnamed").open("wb", buffering=0) as raw:
                staged = Output(raw.fileno(), path, fail_os)
                write(staged)
            sha256 = staged.sha256
            name = f"part-{number:05}-{sha256[:32]}.osiris.parquet"
            (path / "unnamed").rename(path / name)
        except OSError as error:
            fail_os(error, path)
        self.files.append(DeliveredFile(f"{folder}/{name}" if folder else name, staged.written, sha256))


def look(folder: Folder) -> JsonValue:
    """Return which manifest a folder has that is to be written, None for none.

    Fails with DRV045 if it has no manifest of ours, and files that are not ours, and with DAT045 if the manifest is
    none.
    """
    found = folder.manifest()
    if found:
        parse_manifest(found.content, folder.label(MANIFEST))
        return found.version
    there = folder.sizes()
    foreign = min(there.keys() - _parts(there), default=None)
    if foreign:
        fail("DRV045", path=folder.label(""), example=ascii(foreign)[1:-1][:200])
    return None


def _parts(there: Iterable[str]) -> set[str]:
    """Return which files can only be of this folder: they lie in folders of values, and none of these is published."""
    others = tuple(path.removesuffix(MANIFEST) for path in there if path.endswith(f"/{MANIFEST}"))
    return {path for path in there if _is_part(path) and not path.startswith(others)}


def _is_part(path: str) -> bool:
    *folders, name = path.split("/")
    return OURS.fullmatch(name) is not None and all(map(is_value, folders))


def publish_folder(
    folder: Folder, before: JsonValue, staged: Path, manifest: FolderManifest
) -> Mapping[str, JsonValue]:
    """Put the files of a manifest, which lie below `staged`, into a folder, then the manifest; remove what is left.

    `before` is what `look` said. Returns path, size, SHA-256 (of the manifest) and, in a store, ETag. Fails with DRV046
    if another has published there, DRV048 if nobody would read so large a manifest, and with what stands in the way;
    then what was there stays.
    """
    content = manifest.to_bytes()
    if len(content) > MOST_MANIFEST:
        fail("DRV048", limit=f"{MOST_MANIFEST:,} bytes of names of")
    names = {file.path for file in manifest.files}
    with ExitStack() as undoing:
        undoing.callback(_take_back, folder, names)
        _put_all(folder, staged, manifest.files)
        with folder.alone():
            there = folder.sizes()
            if any(there.get(file.path) != file.size for file in manifest.files):
                fail("DRV046", path=folder.label(""))
            etag = folder.replace_manifest(content, before)
            undoing.pop_all()
            folder.remove(_parts(there) - names)
    told = {"path": folder.label(""), "size": manifest.size + len(content), "sha256": sha256_hex(content)}
    return told | ({"etag": etag} if etag else {})


def _put_all(folder: Folder, staged: Path, files: Sequence[DeliveredFile]) -> None:
    """Put files in their places: large ones one by one, as each of them goes up in parts, and small ones several."""
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
    """Remove what was put into a folder in vain, but for what its manifest names; what cannot be removed, is left."""
    with suppress(OsirisError), folder.alone():
        found = folder.manifest()
        named = parse_manifest(found.content, MANIFEST).files if found else ()
        folder.remove(names - {file.path for file in named})


@dataclass(frozen=True, slots=True)
class Published:
    """What a published folder holds, as it is now.

    `values` has, for each file, the values of the columns that the folders of its path tell; `places` has where each
    file lies, and the manifest.
    """

    manifest: FolderManifest
    values: Mapping[str, Mapping[str, pa.Scalar]]
    places: Mapping[str, Place]


def open_published(folder: Folder) -> Published:
    """Return what a folder holds; all files are there, with the size that the manifest says.

    Fails with DRV001 without a manifest, DAT045 for one that is none, DAT046 if a file is missing or another one, and
    DRV038 if others publish there again and again.
    """
    for _ in range(_ATTEMPTS):
        found = folder.manifest()
        if not found:
            hint = "name the files of a folder that Osiris did not write; what only names of folders tell is not read"
            fail("DRV001", path=folder.label(MANIFEST), hint=hint)
        manifest = parse_manifest(found.content, folder.label(MANIFEST))
        values = _values(manifest, folder.label(MANIFEST))
        wanted = {file.path: file.size for file in manifest.files}
        places = folder.places((MANIFEST, *wanted))
        wrong = next(_wrong(wanted, places), None)
        if not wrong:
            return Published(manifest, values, places)
    if folder.manifest() != found:
        fail("DRV038", path=folder.label(MANIFEST))
    return fail("DAT046", file=folder.label(MANIFEST), problem=wrong)


def _values(manifest: FolderManifest, name: str) -> dict[str, dict[str, pa.Scalar]]:
    """Return what the paths of files tell; fails with DAT045 for a folder that no value has."""
    kinds = {column.name: column.type for column in manifest.schema}
    types = {column: kinds[column] for column in manifest.partition_by}
    try:
        return {file.path: values_of(file.path.split("/")[:-1], types) for file in manifest.files}
    except (ValueError, pa.ArrowException) as error:
        fail("DAT045", file=name, problem=f"a folder in it has no value: {ascii(str(error))[1:200]}")


def _wrong(wanted: Mapping[str, int], places: Mapping[str, Place]) -> Iterator[str]:
    for path, size in wanted.items():
        there = _size(places[path]) if path in places else None
        if there is None:
            yield f"{path}, which is not there"
        elif there != size:
            yield f"{path} with {size:,} bytes, and it has another size"


def _size(place: Place) -> int | None:
    """Return the bytes of a file; None if it is gone since it was found."""
    with suppress(FileNotFoundError):
        return size_of(place)
    return None


def schema_of_files(schema: Schema, partition_by: Sequence[str]) -> Schema:
    """Return the columns that the files themselves have."""
    return tuple(column for column in schema if column.name not in partition_by)
