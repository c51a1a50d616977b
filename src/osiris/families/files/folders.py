"""The folders that are published, on this machine and in object stores: how files are put there, and a manifest last.

On this machine one writer at a time replaces a folder. In a store a folder is all keys that begin alike.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from osiris.canonical import sha256_hex
from osiris.delivery import MANIFEST, MOST_MANIFEST
from osiris.errors import OsirisError, fail
from osiris.families.files.partitions import is_value
from osiris.families.stores.bucket import Bucket, open_bucket
from osiris.families.stores.objects import StoredFile, Upload, below
from osiris.fault import fault
from osiris.files import (
    fail_os,
    is_outside,
    is_temporary,
    open_real,
    open_source,
    publish,
    relative,
    sweep,
    sync_folder,
)
from osiris.urls import StoreUrl

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from osiris.driver import StepContext
    from osiris.model import JsonValue

_PIECE = 1 << 20
_POLL = 0.05


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
            fail("DRV005", path=relative(self.root, self.path), kind="a file, and a folder is to be written")
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
            fail("DRV007", path=self.label(name), problem="a link in the folder leads out of it")
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
            while not _locked(descriptor):
                time.sleep(_POLL)  # a wait of the system would not notice a request to stop
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


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
    """Return the folder of a step; nothing is asked of it yet. Fails with CON016."""
    if isinstance(place, StoreUrl):
        return StoredFolder(open_bucket(place.family, ctx.connection, place.bucket), place)
    return LocalFolder(ctx.root, place)
