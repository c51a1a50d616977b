"""Bringing back a folder that a remote worker published: its files first, and then it is published here."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.canonical import sha256_hex
from osiris.delivery import MANIFEST, MOST_MANIFEST, parse_manifest
from osiris.errors import OsirisError, fail, raise_all
from osiris.families.files.folders import LocalFolder, look, publish_folder
from osiris.files import fail_os
from osiris.path_policy import PathPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.delivery import DeliveredFile
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.remote.fetch import Fetcher

_AT_ONCE = 1 << 16
"""The most bytes of names of one archive: they stand in a command, and a system takes no word over 128 KiB."""


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
