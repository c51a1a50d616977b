"""What a writer has delivered, and whether it is still there: the ground on which a continued run skips a step."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.errors import OsirisError, fail
from osiris.model import schema_from_json
from osiris.types import is_type_name
from osiris.urls import family_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from osiris.model import JsonValue, Schema

MANIFEST = "_osiris_manifest.json"
"""The object that says what a published folder holds: what it does not name is not there."""

OURS = re.compile(r"part-[0-9]{5}-[0-9a-f]{32}\.osiris\.parquet")
"""The names of files in published folders: the number within the partition, and the beginning of the file's SHA-256."""

MOST_FILES = 10_000
"""The most files of a published folder."""

MOST_MANIFEST = 32 << 20
"""The most bytes of a manifest that is read."""

_FORM = "osiris-folder-1"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MOST_ROWS = 1 << 63
_MOST_NAME = 200
"""The most bytes of the name of a folder: as in `osiris.files`."""


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """A published file: its path relative to the project root, its size in bytes and its SHA-256."""

    path: str
    size: int
    sha256: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return path, size and sha256."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class FolderManifest:
    """What a published folder holds: its rows, their schema, and files, whose paths are relative to the folder.

    The columns `partition_by` are not in the files: their values are the names of the folders that these lie in.
    """

    rows: int
    schema: Schema
    partition_by: tuple[str, ...]
    files: tuple[DeliveredFile, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)

    def to_bytes(self) -> bytes:
        """Return the manifest as it is written: the same bytes for the same content."""
        return canonical_bytes(
            {
                "form": _FORM,
                "rows": self.rows,
                "schema": [column.to_json() for column in self.schema],
                "partition_by": list(self.partition_by),
                "files": [file.to_json() for file in self.files],
            }
        )


def parse_manifest(content: bytes, name: str) -> FolderManifest:
    """Return what a manifest says; fails with DAT045 unless it is one, and all that it names lies in its folder.

    `name` is what messages call it.
    """
    if len(content) > MOST_MANIFEST:
        fail("DAT045", file=name, problem=f"it is larger than {MOST_MANIFEST:,} bytes")
    try:
        told = json.loads(content)
        problem = _manifest_problem(told)
        if not problem:
            files = tuple(DeliveredFile(file["path"], file["size"], file["sha256"]) for file in told["files"])
            schema = schema_from_json(told["schema"])
            return FolderManifest(told["rows"], schema, tuple(told["partition_by"]), files)
    except (ValueError, KeyError, TypeError, RecursionError):
        problem = "it is not JSON of that form"
    return fail("DAT045", file=name, problem=problem)


def _manifest_problem(told: JsonValue) -> str | None:
    """Return what is wrong with a manifest; raises ValueError, KeyError or TypeError where it has another form."""
    if told["form"] != _FORM:
        return "it is of another form than this version reads"
    if not _fit(told["schema"], told["partition_by"]):
        return "its columns do not fit each other"
    if not _is_count(told["rows"], told["files"]):
        return "it does not tell how many rows there are"
    wrong = next((file for file in told["files"] if not _is_inside(file, told["partition_by"])), None)
    if wrong:
        return f"it names {ascii(wrong['path'])[:200]}, which cannot be a file of this folder"
    names = {file["path"] for file in told["files"]}
    return None if len(names) == len(told["files"]) else "it names a file twice"


def _is_text(name: JsonValue) -> bool:
    return isinstance(name, str) and not any("\ud800" <= char <= "\udfff" for char in name)


def _is_count(rows: JsonValue, files: JsonValue) -> bool:
    """Tell whether that is how many rows files may have."""
    return type(rows) is int and 0 <= rows < _MOST_ROWS and not (rows and not files)


def _fit(columns: JsonValue, partition_by: JsonValue) -> bool:
    """Tell whether columns have names and types of their own, and those that name the folders are some of them."""
    names = {column["name"] for column in columns}
    typed = all(is_type_name(column["type"]) and _is_text(column["name"]) for column in columns)
    apart = isinstance(partition_by, list) and len(set(partition_by)) == len(partition_by) < len(columns)
    return typed and apart and len(names) == len(columns) and names.issuperset(partition_by)


def _is_inside(file: JsonValue, partition_by: list[str]) -> bool:
    """Tell whether a file has a size and a digest, and lies in a folder for each column: then it lies nowhere else."""
    path, size, sha256 = file["path"], file["size"], file["sha256"]
    if not isinstance(path, str) or type(size) is not int or size < 0 or not isinstance(sha256, str):
        return False
    *folders, name = path.split("/")
    is_named = OURS.fullmatch(name) is not None and _SHA256.fullmatch(sha256) is not None
    return is_named and len(folders) == len(partition_by) and all(map(_is_folder_of, folders, partition_by))


def _is_folder_of(folder: str, column: str) -> bool:
    """Tell whether a name is one that a folder for a value of the column may have."""
    is_short = not _CONTROL.search(folder) and len(folder.encode()) <= _MOST_NAME
    return is_short and folder.startswith(f"{column}=")


def inspect_folder(root: Path, path: str) -> DeliveredFile:
    """Return all bytes of a published folder, and the SHA-256 of its manifest, which has those of all its files.

    Raises OSError if one of them is not what the manifest says, or cannot be read.
    """
    folder = root / path
    with (folder / MANIFEST).open("rb") as file:
        content = file.read(MOST_MANIFEST + 1)
    try:
        manifest = parse_manifest(content, MANIFEST)
    except OsirisError as error:
        raise OSError(str(error)) from error
    if wrong := next((file.path for file in manifest.files if inspect_file(folder, file.path) != file), None):
        raise OSError(f"{path}{wrong} is not what the manifest says")
    return DeliveredFile(path, manifest.size + len(content), sha256_hex(content))


def inspect_file(root: Path, path: str, known: str | None = None) -> DeliveredFile:
    """Return size and SHA-256 of a file below `root` as it is now; raises OSError if it cannot be read.

    A path that ends with `/` is a published folder, see `inspect_folder`.
    `known` is the SHA-256 where it was computed while the file was written: it is then not read again.
    """
    if path.endswith("/"):
        return inspect_folder(root, path)
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
        same_size = path.is_dir() or path.stat().st_size == file["size"]
        return same_size and inspect_file(root, file["path"]).to_json() == file
    except OSError:
        return False
