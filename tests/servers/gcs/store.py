"""Buckets, objects and uploads: the contents are files, metadata is in memory.

An object's file never changes, and is removed with the object; readers keep it open meanwhile.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from .crc32c import combined, crc32c

_PIECE = 1 << 18


@dataclass(frozen=True)
class Blob:
    """Received data: a file and its checksums. A combined one has no MD5."""

    path: Path
    size: int
    crc: int
    md5: bytes | None

    @property
    def hashes(self) -> dict[str, str]:
        """The checksums as in `x-goog-hash`."""
        raw = {"crc32c": self.crc.to_bytes(4, "big"), "md5": self.md5}
        return {name: base64.b64encode(value).decode() for name, value in raw.items() if value is not None}


@dataclass(frozen=True)
class Stored:
    """An object: a blob under a name, at a time."""

    blob: Blob
    generation: int
    modified: datetime
    headers: Mapping[str, str]

    @property
    def etag(self) -> str:
        """Its ETag in quotes: the MD5 if there is one."""
        if self.blob.md5 is not None:
            return f'"{self.blob.md5.hex()}"'
        return f'"{base64.b64encode(self.generation.to_bytes(12, "big")).decode()}="'


@dataclass
class Upload:
    """A multipart upload in progress."""

    id: str
    bucket: str
    name: str
    headers: Mapping[str, str]
    parts: dict[int, Blob] = field(default_factory=dict)


class Store:
    """All buckets. `lock` makes checks and changes atomic."""

    def __init__(self, folder: Path) -> None:
        self.lock = threading.RLock()
        self.buckets: dict[str, dict[str, Stored]] = {}
        self.uploads: dict[str, Upload] = {}
        self.page_size = 1000
        self._folder = folder
        self._numbers = itertools.count()
        self._generation = 0

    def opened(self, bucket: str, name: str) -> tuple[Stored, BinaryIO] | None:
        """Return an object and its file, which stays readable when the object is deleted."""
        with self.lock:
            stored = self.buckets[bucket].get(name)
            return stored and (stored, stored.blob.path.open("rb"))

    def receive(self, pieces: Iterable[bytes]) -> Blob:
        """Write a file while it arrives; an incomplete one is removed."""
        path = self._path()
        size, crc, md5 = 0, 0, hashlib.md5()
        try:
            with path.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                    md5.update(piece)
                    size, crc = size + len(piece), crc32c(piece, crc)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Blob(path, size, crc, md5.digest())

    def put_together(self, parts: Iterable[Blob]) -> Blob:
        """Write the parts into one file, in their order."""
        path = self._path()
        size = crc = 0
        with path.open("wb") as file:
            for part in parts:
                with part.path.open("rb") as source:
                    while piece := source.read(_PIECE):
                        file.write(piece)
                size, crc = size + part.size, combined(crc, part.crc, part.size)
        return Blob(path, size, crc, None)

    def copied(self, blob: Blob) -> Blob:
        """Return the same file under another name."""
        path = self._path()
        os.link(blob.path, path)
        return replace(blob, path=path)

    def commit(
        self, bucket: str, name: str, blob: Blob, headers: Mapping[str, str], check: Callable[[Stored | None], None]
    ) -> Stored:
        """Create an object, or replace the existing one, unless `check` raises."""
        with self.lock:
            objects = self.buckets[bucket]
            before = objects.get(name)
            try:
                check(before)
            except BaseException:
                blob.path.unlink()
                raise
            self._generation = max(self._generation + 1, time.time_ns() // 1000)
            objects[name] = Stored(blob, self._generation, datetime.now(UTC), headers)
            if before:
                before.blob.path.unlink()
            return objects[name]

    def delete(self, bucket: str, name: str, check: Callable[[Stored | None], None]) -> None:
        """Remove an object, unless `check` raises."""
        with self.lock:
            check(self.buckets[bucket].get(name))
            self.buckets[bucket].pop(name).blob.path.unlink()

    def begin(self, bucket: str, name: str, headers: Mapping[str, str]) -> Upload:
        """Begin an upload in parts."""
        upload = Upload(secrets.token_urlsafe(40), bucket, name, headers)
        self.uploads[upload.id] = upload
        return upload

    def add(self, upload: Upload, number: int, blob: Blob) -> None:
        """Store a part, replacing one with the same number."""
        with self.lock:
            before = upload.parts.get(number)
            upload.parts[number] = blob
            if before:
                before.path.unlink()

    def end(self, upload: Upload) -> None:
        """Forget an upload and its parts."""
        with self.lock:
            del self.uploads[upload.id]
            for part in upload.parts.values():
                part.path.unlink()

    def _path(self) -> Path:
        return self._folder / f"blob-{next(self._numbers)}"
