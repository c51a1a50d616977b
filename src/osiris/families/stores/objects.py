"""Files in object stores: which objects a URL or a pattern names, and their bytes, in ranges of one state of each."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from osiris.errors import fail
from osiris.families.stores.bucket import Bucket, open_bucket
from osiris.urls import StoreUrl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.driver import StepContext

LEAST, MOST = 1 << 16, 8 << 20
"""Bytes that are asked for at once: where a reader has jumped to, and where it goes on and on."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object of a store, in the state in which it was found; `modified` is when that was made, in ISO 8601."""

    url: StoreUrl
    size: int
    etag: str
    modified: str
    bucket: Bucket = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """Return what stands behind the last slash."""
        return self.url.name

    @property
    def suffix(self) -> str:
        """Return the ending of its name."""
        return self.url.suffix

    @property
    def suffixes(self) -> Sequence[str]:
        """Return all endings of its name."""
        return PurePosixPath(self.url.name).suffixes

    def __str__(self) -> str:
        """Return its URL."""
        return str(self.url)

    def open(self) -> StoredReader:
        """Return its bytes as a file; reading fails with DRV038 if it is another one by then, CON039 to CON042."""
        return StoredReader(self)

    def piece(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end`, which lie in it."""
        import obstore

        options: dict[str, Any] = {"range": (start, end)} | ({"if_match": f'"{self.etag}"'} if self.etag else {})
        with self.bucket.asked(str(self.url), self.url.key):
            return bytes(obstore.get(self.bucket.store, self.url.key, options=options).bytes())  # type: ignore[arg-type]


class StoredReader(io.RawIOBase):
    """An object as a file to read: it asks for more at once the longer it is read without jumps."""

    def __init__(self, file: StoredFile) -> None:
        self._file = file
        self._at = 0
        self._start, self._held = 0, b""
        self._ahead = LEAST

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readall(self) -> bytes:
        """Return the rest."""
        return self.read(self._file.size)

    def readinto(self, target: Any) -> int:  # noqa: ANN401  any buffer that can be written
        """Fill a buffer, less only at the end."""
        content = self.read(len(target))
        target[: len(content)] = content
        return len(content)

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, less only at the end."""
        wanted = self._file.size if size < 0 else size
        end = min(self._at + wanted, self._file.size)
        parts: list[bytes] = []
        while self._at < end:
            parts.append(self._next(end))
            self._at += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _next(self, end: int) -> bytes:
        if not self._start <= self._at < self._start + len(self._held):
            goes_on = self._at == self._start + len(self._held)
            self._ahead = min(self._ahead * 2, MOST) if goes_on else LEAST
            until = min(max(end, self._at + self._ahead), self._file.size)
            self._start, self._held = self._at, self._file.piece(self._at, until)
        return self._held[self._at - self._start : end - self._start]


def find(ctx: StepContext, url: StoreUrl) -> list[StoredFile]:
    """Return the objects that a URL or a pattern (`*`, `?`, `[a-z]`, `**`) names, sorted by name; at least one.

    Hidden ones are named only by a pattern that begins with a dot. Fails with DRV001, DRV037, CON039 to CON042.
    """
    import obstore

    bucket = open_bucket(url.family, ctx.connection, url.bucket)
    if not has_magic(url.key):
        with bucket.asked(str(url), url.key):
            return [_stored(url, obstore.head(bucket.store, url.key), bucket)]
    found = [each for each in below(bucket, url) if each.url.key == url.key] or [
        each for each in below(bucket, url) if matches(url.key, each.url.key)
    ]
    if not found:
        fail("DRV001", path=f"{url} (no object matches)")
    return found


def below(bucket: Bucket, url: StoreUrl) -> list[StoredFile]:
    """Return all objects that begin with what stands before the first mark of a pattern, sorted by name."""
    import obstore

    fixed: list[str] = []
    for part in url.key.split("/")[:-1]:
        if has_magic(part):
            break
        fixed.append(part)
    with bucket.asked(str(url), url.key):
        listed = [meta for chunk in obstore.list(bucket.store, "/".join(fixed) or None) for meta in chunk]
    found = (_stored(url, meta, bucket) for meta in listed)
    return sorted((each for each in found if each.name), key=lambda each: each.url.key.split("/"))


def folders_in(ctx: StepContext, url: StoreUrl) -> list[str]:
    """Return the URLs of the folders that lie in one, sorted; fails with DRV037, CON039 to CON042."""
    import obstore

    bucket = open_bucket(url.family, ctx.connection, url.bucket)
    with bucket.asked(str(url), url.key):
        prefixes = obstore.list_with_delimiter(bucket.store, url.key.rstrip("/") or None)["common_prefixes"]
    return sorted(f"{StoreUrl(url.scheme, url.bucket, prefix.rstrip('/'))}/" for prefix in prefixes)


def _stored(url: StoreUrl, meta: Mapping[str, Any], bucket: Bucket) -> StoredFile:
    at = StoreUrl(url.scheme, url.bucket, meta["path"])
    etag = (meta["e_tag"] or "").strip('"')  # some listings leave the quotes out
    return StoredFile(at, meta["size"], etag, meta["last_modified"].isoformat(), bucket)


def matches(pattern: str, key: str) -> bool:
    """Tell whether a pattern names a key, as it would name a file."""
    return _match(pattern.split("/"), key.split("/"))


def _match(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    first, *rest = pattern
    if first == "**":
        shown = next((n for n, part in enumerate(parts) if part.startswith(".")), len(parts))
        return (not rest and shown == len(parts)) or any(_match(rest, parts[n:]) for n in range(shown + 1))
    hidden = parts[0].startswith(".") and not first.startswith(".")
    return not hidden and fnmatchcase(parts[0], first) and _match(rest, parts[1:])
