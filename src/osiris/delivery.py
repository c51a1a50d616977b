"""What a writer has delivered, and whether it is still there: the ground on which a continued run skips a step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.urls import family_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from osiris.model import JsonValue


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """A published file: its path relative to the project root, its size in bytes and its SHA-256."""

    path: str
    size: int
    sha256: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return path, size and sha256."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


def inspect_file(root: Path, path: str, known: str | None = None) -> DeliveredFile:
    """Return size and SHA-256 of a file below `root` as it is now; raises OSError if it cannot be read.

    `known` is the SHA-256 where it was computed while the file was written: it is then not read again.
    """
    if known:
        return DeliveredFile(path, (root / path).stat().st_size, known)
    with (root / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return DeliveredFile(path, file.tell(), digest.hexdigest())


def inspect_ledger(root: Path, path: str) -> JsonValue:
    """Return the path of a database, and which file it is, whatever its content; raises OSError if it is not there."""
    return {"path": path, "inode": (root / path).stat().st_ino}


def has_ledger(root: Path, ledger: JsonValue) -> bool:
    """Tell whether a database is the file that `inspect_ledger` saw; None stands for no database.

    One that was removed or put back from a copy may have lost what was delivered: whoever delivers asks it again.
    """
    try:
        return ledger is None or inspect_ledger(root, ledger["path"]) == ledger
    except OSError:
        return False


def is_still_there(root: Path, files: Iterable[Mapping[str, JsonValue]]) -> bool:
    """Tell whether each file, as `to_json` wrote it, is byte for byte what was delivered; a missing one is not.

    Nor is an object of a store: it takes a key to look at it, and to put it there again changes nothing.
    """
    return all(_matches(root, file) for file in files)


def _matches(root: Path, file: Mapping[str, JsonValue]) -> bool:
    if family_of(file["path"]):
        return False
    path = root / file["path"]
    try:
        return path.stat().st_size == file["size"] and inspect_file(root, file["path"]).to_json() == file
    except OSError:
        return False
