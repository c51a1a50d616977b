"""Delivered files, and whether they still exist: a continued run skips steps whose delivery is intact."""

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
"""The manifest of a published folder; files that it does not list do not count."""

OURS = re.compile(r"part-[0-9]{5}-[0-9a-f]{32}\.osiris\.parquet")
"""Names of files in published folders: number within the partition, and the beginning of the file's SHA-256."""

MOST_FILES = 10_000
"""Maximum number of files in a published folder."""

MOST_MANIFEST = 32 << 20
"""Maximum size of a manifest, in bytes."""

_FORM = "osiris-folder-1"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MOST_ROWS = 1 << 63
_MOST_NAME = 200
"""Maximum bytes of the name of a folder, as in `osiris.files`."""


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
    """The content of a published folder: its row count, schema, and files, with paths relative to the folder.

    The columns `partition_by` are not in the files: their values are in the names of subfolders. `state` says how far
    a pair has been read whose rows are appended to the folder; None in a folder that is written as a whole.
    """

    rows: int
    schema: Schema
    partition_by: tuple[str, ...]
    files: tuple[DeliveredFile, ...]
    state: Mapping[str, JsonValue] | None = None

    @property
    def size(self) -> int:
        """Total bytes of all files."""
        return sum(file.size for file in self.files)

    def to_bytes(self) -> bytes:
        """Return the manifest's canonical bytes."""
        return canonical_bytes(
            {
                "form": _FORM,
                "rows": self.rows,
                "schema": [column.to_json() for column in self.schema],
                "partition_by": list(self.partition_by),
                "files": [file.to_json() for file in self.files],
                **({} if self.state is None else {"state": dict(self.state)}),
            }
        )


def parse_manifest(content: bytes, name: str) -> FolderManifest:
    """Return a parsed manifest; fails with DAT045 if it is invalid or lists files outside of its folder.

    `name` is its name in messages.
    """
    if len(content) > MOST_MANIFEST:
        fail("DAT045", file=name, problem=f"it is larger than {MOST_MANIFEST:,} bytes")
    try:
        content_json = json.loads(content)
        problem = _manifest_problem(content_json)
        if not problem:
            files = tuple(DeliveredFile(file["path"], file["size"], file["sha256"]) for file in content_json["files"])
            schema = schema_from_json(content_json["schema"])
            partition_by, state = tuple(content_json["partition_by"]), content_json.get("state")
            return FolderManifest(content_json["rows"], schema, partition_by, files, state and dict(state))
    except (ValueError, KeyError, TypeError, RecursionError):
        problem = "it is not JSON of that form"
    return fail("DAT045", file=name, problem=problem)


def _manifest_problem(manifest: JsonValue) -> str | None:
    """Return the problem of a manifest; raises ValueError, KeyError or TypeError if it is malformed."""
    if manifest["form"] != _FORM:
        return "it is of another form than this version reads"
    if not _are_consistent(manifest["schema"], manifest["partition_by"]):
        return "its columns do not fit each other"
    if not _is_count(manifest["rows"], manifest["files"]):
        return "it does not say how many rows there are"
    wrong = next((file for file in manifest["files"] if not _is_inside(file, manifest["partition_by"])), None)
    if wrong:
        return f"it names {ascii(wrong['path'])[:200]}, which cannot be a file of this folder"
    names = {file["path"] for file in manifest["files"]}
    return None if len(names) == len(manifest["files"]) else "it names a file twice"


def _is_text(name: JsonValue) -> bool:
    return isinstance(name, str) and not any("\ud800" <= char <= "\udfff" for char in name)


def _is_count(rows: JsonValue, files: JsonValue) -> bool:
    """Return whether this is a valid row count for these files."""
    return type(rows) is int and 0 <= rows < _MOST_ROWS and not (rows and not files)


def _are_consistent(columns: JsonValue, partition_by: JsonValue) -> bool:
    """Return whether columns are valid and unique, and partition columns are a proper subset of them."""
    names = {column["name"] for column in columns}
    typed = all(is_type_name(column["type"]) and _is_text(column["name"]) for column in columns)
    apart = isinstance(partition_by, list) and len(set(partition_by)) == len(partition_by) < len(columns)
    return typed and apart and len(names) == len(columns) and names.issuperset(partition_by)


def _is_inside(file: JsonValue, partition_by: list[str]) -> bool:
    """Return whether a file entry is valid, with one subfolder per partition column, which excludes other paths."""
    path, size, sha256 = file["path"], file["size"], file["sha256"]
    if not isinstance(path, str) or type(size) is not int or size < 0 or not isinstance(sha256, str):
        return False
    *folders, name = path.split("/")
    is_named = OURS.fullmatch(name) is not None and _SHA256.fullmatch(sha256) is not None
    return is_named and len(folders) == len(partition_by) and all(map(_is_folder_of, folders, partition_by))


def _is_folder_of(folder: str, column: str) -> bool:
    """Return whether a name is valid for a partition folder of the column."""
    is_short = not _CONTROL.search(folder) and len(folder.encode()) <= _MOST_NAME
    return is_short and folder.startswith(f"{column}=")


def inspect_folder(root: Path, path: str) -> DeliveredFile:
    """Return the total size of a published folder, and the SHA-256 of its manifest, which covers all files.

    Raises OSError if a file differs from the manifest or cannot be read.
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
    """Return current size and SHA-256 of a file below `root`; raises OSError if it cannot be read.

    A path that ends with `/` is a published folder, see `inspect_folder`. `known` is the SHA-256 if it was computed
    while writing; the file is then not read again.
    """
    if path.endswith("/"):
        return inspect_folder(root, path)
    if known:
        return DeliveredFile(path, (root / path).stat().st_size, known)
    with (root / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return DeliveredFile(path, file.tell(), digest.hexdigest())


def inspect_ledger(root: Path, path: str) -> JsonValue:
    """Return the path and inode of a database file; raises OSError if it does not exist."""
    return {"path": path, "inode": (root / path).stat().st_ino}


def has_ledger(root: Path, ledger: JsonValue) -> bool:
    """Return whether a database is still the same file as in `inspect_ledger`; True for None (no database).

    One that was removed or restored from a copy may have lost deliveries, so the writer checks its ledger again.
    """
    try:
        return ledger is None or inspect_ledger(root, ledger["path"]) == ledger
    except OSError:
        return False


def is_still_there(root: Path, files: Iterable[Mapping[str, JsonValue]]) -> bool:
    """Return whether each file, as by `to_json`, still has its delivered content.

    Objects in stores count as missing: checking them needs a key, and writing them again changes nothing.
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
