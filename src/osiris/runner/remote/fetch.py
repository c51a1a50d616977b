"""Bringing back what a remote worker wrote: one archive at a time, each file checked and then put in its place."""

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
from osiris.families.files.folders import LocalFolder, look, publish_folder
from osiris.files import fail_os, make_private, publish, sweep
from osiris.path_policy import PathPolicy
from osiris.runner.transport import Cut, Gone, output_of, patiently

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.delivery import DeliveredFile
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.transport import Transport

    Told = Mapping[str, JsonValue]

_ATTEMPTS = 3
_PAUSE = 1.0
_LONGEST = 300.0
"""Seconds for packing what is to be fetched."""

_PATIENCE = 10.0
_PIECE = 1 << 20
_ARCHIVE = "fetched.tar"


_AT_ONCE = 1 << 16
"""The most bytes of names of one archive: they stand in a command, and a system takes no word over 128 KiB."""


class Fetcher:
    """Fetches from folders of one place, within one limit for all; `bytes` is what has come."""

    def __init__(self, transport: Transport, place: str, limit: int | None) -> None:
        self.bytes = 0
        self._transport, self._place, self._limit = transport, place, limit

    def fetch(
        self, folder: str, files: Sequence[Told], targets: Mapping[str, Path], mode: int | None = None
    ) -> dict[str, list[Diagnostic]]:
        """Fetch files of a folder and put each at its target; `files` tell path, size and SHA-256, as they were made.

        On the paths of targets is no link. With a `mode` they get these permissions.

        One that cannot be had does not keep the others from coming. Returns why, by path: SBX012 if it is more than
        may be fetched, SBX013 if it is not what was told, SBX015 if the connection breaks, or why it has no place here.
        """
        wanted, lost = self._within_limit(files)
        for attempt in range(1, _ATTEMPTS + 1):
            if not wanted:
                break
            try:
                self._fetch(folder, wanted, targets, lost, mode)
            except (Cut, Gone, tarfile.TarError, EOFError) as error:
                if attempt == _ATTEMPTS or isinstance(error, Gone):
                    return lost | {p: [diagnostic("SBX015", what=p, done="fetched", reason=error)] for p in wanted}
                time.sleep(_PAUSE)
            else:
                return lost | {path: [_changed(path)] for path in wanted}
        return lost

    def _within_limit(self, files: Sequence[Told]) -> tuple[dict[str, Told], dict[str, list[Diagnostic]]]:
        """Return the files that may still be fetched, and what is said of the others, both by path."""
        wanted: dict[str, Told] = {}
        lost: dict[str, list[Diagnostic]] = {}
        size = self.bytes
        for file in files:
            if self._limit is None or size + file["size"] <= self._limit:
                size += file["size"]
                wanted[file["path"]] = file
            else:
                told = diagnostic("SBX012", what=file["path"], size=f"{file['size']:,}", limit=f"{self._limit:,}")
                lost[file["path"]] = [told]
        return wanted, lost

    def _fetch(
        self,
        folder: str,
        wanted: dict[str, Told],
        targets: Mapping[str, Path],
        lost: dict[str, list[Diagnostic]],
        mode: int | None,
    ) -> None:
        """Fetch all in one archive; takes those out of `wanted` that are in their place, or `lost` for good."""
        archive = f"{self._place}/{_ARCHIVE}"
        names = " ".join(shlex.quote(f"./{path}") for path in wanted)
        command = f"cd {shlex.quote(folder)} && tar -chf {shlex.quote(archive)} -- {names}"
        output_of(self._transport, command, _LONGEST)
        with tarfile.open(fileobj=PieceStream(self._transport.get(archive)), mode="r|") as tar:
            for entry in tar:
                path = entry.name.removeprefix("./")
                if path in wanted and entry.isreg():
                    try:
                        self._place_file(tar, entry, wanted[path], targets[path], mode)
                    except OsirisError as error:
                        lost[path] = list(error.diagnostics)
                    del wanted[path]

    def _place_file(
        self, tar: tarfile.TarFile, entry: tarfile.TarInfo, file: Told, target: Path, mode: int | None
    ) -> None:
        """Write a file beside its target and put it in its place, if it is what was told."""
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

    def whole(self, folder: str, path: str, most: int) -> bytes:
        """Return a file of a folder, at most so many bytes of it; fails with SBX015 if the connection breaks."""
        lost: Cut | Gone | None = None
        for _ in range(_ATTEMPTS):
            try:
                return patiently(lambda: self._beginning(f"{folder}/{path}", most), _LONGEST)
            except Gone as error:
                lost = error
                break
            except Cut as error:
                lost = error
                time.sleep(_PAUSE)
        return fail("SBX015", what=path, done="fetched", reason=lost)

    def text(self, path: str, most: int) -> bytes:
        """Return the first bytes of a file; none if it cannot be had."""
        with suppress(Cut, Gone):
            return patiently(lambda: self._beginning(path, most), _PATIENCE)
        return b""

    def _beginning(self, path: str, most: int) -> bytes:
        content = bytearray()
        for piece in self._transport.get(path):
            content += piece
            if len(content) > most:
                break
        return bytes(content[:most])


def _changed(path: str) -> Diagnostic:
    return diagnostic("SBX013", path=path, where="on the way back")


def _make_folder(target: Path, *, private: bool) -> None:
    """Make the folder of a file, as its writer has done at the other end, and clear what dead writers left in it."""
    try:
        if private:
            make_private(target.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail_os(error, target.parent)
    sweep(target.parent)


def fetch_folder(
    fetcher: Fetcher, there: str, told: Mapping[str, JsonValue], root: Path, scratch: Path
) -> list[Diagnostic]:
    """Publish below `root` what was published below `there`; `told` is path, size, and SHA-256 of the manifest.

    Returns why that cannot be: SBX012, SBX013 or SBX015 as `Fetcher.fetch`, DRV045 or DRV046 as `publish_folder`,
    DRV001 to DRV006 where the files have no place here.
    """
    try:
        _fetch(fetcher, there, told, root, scratch)
    except OsirisError as error:
        return list(error.diagnostics)
    return []


def _fetch(fetcher: Fetcher, there: str, told: Mapping[str, JsonValue], root: Path, scratch: Path) -> None:
    path = str(told["path"])
    content = fetcher.whole(there, f"{path}{MANIFEST}", MOST_MANIFEST)
    if sha256_hex(content) != told["sha256"]:
        fail("SBX013", path=f"{path}{MANIFEST}", where="on the way back")
    manifest = parse_manifest(content, f"{path}{MANIFEST}")
    folder = LocalFolder(root, PathPolicy().writable(root, root / path, "folder"))
    before = look(folder)
    try:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            staged = Path(name)
            for some in _archives(manifest.files):
                targets = {file.path: staged / file.path for file in some}
                lost = fetcher.fetch(f"{there}/{path}", [file.to_json() for file in some], targets)
                if lost:
                    raise_all(next(iter(lost.values())))
            publish_folder(folder, before, staged, manifest)
    except OSError as error:
        fail_os(error, scratch)


def _archives(files: Sequence[DeliveredFile]) -> Iterator[list[DeliveredFile]]:
    """Yield files in groups whose names fit into one command."""
    group: list[DeliveredFile] = []
    size = 0
    for file in files:
        named = len(shlex.quote(f"./{file.path}").encode()) + 1
        if group and size + named > _AT_ONCE:
            yield group
            group, size = [], 0
        group.append(file)
        size += named
    if group:
        yield group
