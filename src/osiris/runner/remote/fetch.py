"""Fetches the files a remote worker wrote: one archive at a time, each file verified before it is published."""

from __future__ import annotations

import hashlib
import shlex
import tarfile
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.canonical import sha256_hex
from osiris.delivery import MANIFEST, MOST_MANIFEST, parse_manifest
from osiris.errors import OsirisError, diagnostic, fail, raise_all
from osiris.families.files.compression import PieceStream
from osiris.families.files.folders import LocalFolder, manifest_version, publish_folder
from osiris.files import fail_os, make_private, publish, sweep
from osiris.path_policy import PathPolicy
from osiris.runner.transport import Cut, Gone, output_of, patiently

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.delivery import DeliveredFile
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.transport import Transport

    FileInfo = Mapping[str, JsonValue]

_ATTEMPTS = 3
_PAUSE = 1.0
_LONGEST = 300.0
"""Timeout in seconds for packing the files to fetch."""

_PATIENCE = 10.0
_PIECE = 1 << 20
_ARCHIVE = "fetched.tar"


_AT_ONCE = 1 << 16
"""Maximum bytes of file names per archive: they are in one command, and Linux limits an argument to 128 KiB."""


class Fetcher:
    """Fetches from folders of one place, within a total limit in bytes; `bytes` is the amount fetched."""

    def __init__(self, transport: Transport, place: str, limit: int | None) -> None:
        self.bytes = 0
        self._transport, self._place, self._limit = transport, place, limit

    def fetch(
        self, folder: str, files: Sequence[FileInfo], targets: Mapping[str, Path], mode: int | None = None
    ) -> dict[str, list[Diagnostic]]:
        """Fetch files of a folder to their targets; `files` have path, size and SHA-256 as recorded by the worker.

        Targets must not contain symbolic links. With a `mode` they get these permissions. Returns the problems of
        files that failed, by path, and fetches the others: SBX012 if the limit is exceeded, SBX013 if size or SHA-256
        differ, SBX015 if the connection breaks, or why the target cannot be written.
        """
        pending, failures = self._within_limit(files)
        for attempt in range(1, _ATTEMPTS + 1):
            if not pending:
                break
            try:
                self._fetch(folder, pending, targets, failures, mode)
            except (Cut, Gone, tarfile.TarError, EOFError) as error:
                if attempt == _ATTEMPTS or isinstance(error, Gone):
                    return failures | {p: [diagnostic("SBX015", what=p, done="fetched", reason=error)] for p in pending}
                time.sleep(_PAUSE)
            else:
                return failures | {path: [_changed(path)] for path in pending}
        return failures

    def _within_limit(self, files: Sequence[FileInfo]) -> tuple[dict[str, FileInfo], dict[str, list[Diagnostic]]]:
        """Return the files within the limit, and the problems of the others, both by path."""
        pending: dict[str, FileInfo] = {}
        failures: dict[str, list[Diagnostic]] = {}
        size = self.bytes
        for file in files:
            if self._limit is None or size + file["size"] <= self._limit:
                size += file["size"]
                pending[file["path"]] = file
            else:
                problem = diagnostic("SBX012", what=file["path"], size=f"{file['size']:,}", limit=f"{self._limit:,}")
                failures[file["path"]] = [problem]
        return pending, failures

    def _fetch(
        self,
        folder: str,
        pending: dict[str, FileInfo],
        targets: Mapping[str, Path],
        failures: dict[str, list[Diagnostic]],
        mode: int | None,
    ) -> None:
        """Fetch all in one archive; removes from `pending` files that are in place or were added to `lost`."""
        archive = f"{self._place}/{_ARCHIVE}"
        names = " ".join(shlex.quote(f"./{path}") for path in pending)
        command = f"cd {shlex.quote(folder)} && tar -chf {shlex.quote(archive)} -- {names}"
        output_of(self._transport, command, _LONGEST)
        with tarfile.open(fileobj=PieceStream(self._transport.get(archive)), mode="r|") as tar:
            for entry in tar:
                path = entry.name.removeprefix("./")
                if path in pending and entry.isreg():
                    try:
                        self._place_file(tar, entry, pending[path], targets[path], mode)
                    except OsirisError as error:
                        failures[path] = list(error.diagnostics)
                    del pending[path]

    def _place_file(
        self, tar: tarfile.TarFile, entry: tarfile.TarInfo, file: FileInfo, target: Path, mode: int | None
    ) -> None:
        """Write a file to a temporary path and publish it, if size and SHA-256 match."""
        source, digest = tar.extractfile(entry), hashlib.sha256()
        if source is None or entry.size != file["size"]:
            raise_all([_changed(file["path"])])
        _make_folder(target, private=mode is not None)
        with publish(target, real=True, mode=mode) as output:
            while piece := source.read(_PIECE):
                digest.update(piece)
                output.write(piece)
            if digest.hexdigest() != file["sha256"]:
                raise_all([_changed(file["path"])])
        self.bytes += entry.size

    def read_file(self, folder: str, path: str, most: int) -> bytes:
        """Return at most the first `most` bytes of a file; fails with SBX015 if the connection breaks."""
        cause: Cut | Gone | None = None
        for _ in range(_ATTEMPTS):
            try:
                return patiently(lambda: self._head(f"{folder}/{path}", most), _LONGEST)
            except Gone as error:
                cause = error
                break
            except Cut as error:
                cause = error
                time.sleep(_PAUSE)
        return fail("SBX015", what=path, done="fetched", reason=cause)

    def text(self, path: str, most: int) -> bytes:
        """Return at most the first `most` bytes of a file; empty if it cannot be fetched."""
        with suppress(Cut, Gone):
            return patiently(lambda: self._head(path, most), _PATIENCE)
        return b""

    def _head(self, path: str, most: int) -> bytes:
        content = bytearray()
        for piece in self._transport.get(path):
            content += piece
            if len(content) > most:
                break
        return bytes(content[:most])


def _changed(path: str) -> Diagnostic:
    return diagnostic("SBX013", path=path, where="on the way back")


def _make_folder(target: Path, *, private: bool) -> None:
    """Create the folder of a file, and remove temporary files that dead writers left in it."""
    try:
        if private:
            make_private(target.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail_os(error, target.parent)
    sweep(target.parent)


def fetch_folder(
    fetcher: Fetcher, there: str, manifest_file: Mapping[str, JsonValue], root: Path, scratch: Path
) -> list[Diagnostic]:
    """Publish below `root` the folder published below `there`; `manifest_file` has its path, size and SHA-256.

    Returns the problems: SBX012, SBX013 or SBX015 as `Fetcher.fetch`, DRV045 or DRV046 as `publish_folder`, DRV001 to
    DRV006 where the files cannot be written.
    """
    try:
        _fetch(fetcher, there, manifest_file, root, scratch)
    except OsirisError as error:
        return list(error.diagnostics)
    return []


def _fetch(fetcher: Fetcher, there: str, manifest_file: Mapping[str, JsonValue], root: Path, scratch: Path) -> None:
    path = str(manifest_file["path"])
    content = fetcher.read_file(there, f"{path}{MANIFEST}", MOST_MANIFEST)
    if sha256_hex(content) != manifest_file["sha256"]:
        fail("SBX013", path=f"{path}{MANIFEST}", where="on the way back")
    manifest = parse_manifest(content, f"{path}{MANIFEST}")
    folder = LocalFolder(root, PathPolicy().writable(root, root / path, "folder"))
    before = manifest_version(folder)
    current = folder.manifest()
    if current and (kept := parse_manifest(current.content, MANIFEST)).state and not {*kept.files} <= {*manifest.files}:
        fail("STA001", table=path, path=folder.label(MANIFEST))
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            staged = Path(name)
            for some in _archives(manifest.files):
                targets = {file.path: staged / file.path for file in some}
                failures = fetcher.fetch(f"{there}/{path}", [file.to_json() for file in some], targets)
                if failures:
                    raise_all(next(iter(failures.values())))
            publish_folder(folder, before, staged, manifest)
    except OSError as error:
        fail_os(error, scratch)


def _archives(files: Sequence[DeliveredFile]) -> Iterator[list[DeliveredFile]]:
    """Yield groups of files whose names fit into one command."""
    group: list[DeliveredFile] = []
    size = 0
    for file in files:
        length = len(shlex.quote(f"./{file.path}").encode()) + 1
        if group and size + length > _AT_ONCE:
            yield group
            group, size = [], 0
        group.append(file)
        size += length
    if group:
        yield group
