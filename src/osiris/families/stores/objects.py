"""Files in object stores: finding objects by URL or pattern, reading and writing them.

An object is read in ranges of one version of it. A written object is uploaded in parts, and appears atomically or not
at all.
"""

from __future__ import annotations

import hashlib
import io
import os
import queue
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import has_magic
from typing import TYPE_CHECKING, Any

from osiris.errors import fail
from osiris.families.stores.bucket import Bucket, open_bucket
from osiris.fault import fault
from osiris.urls import StoreUrl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from _typeshed import ReadableBuffer

    from osiris.driver import StepContext
    from osiris.model import JsonValue

LEAST, MOST = 1 << 16, 8 << 20
"""Bytes per request: after a seek, and the maximum in sequential reading."""

PART = 16 << 20
"""Bytes of a part. Stores accept 10,000 parts, so an object may have 160 GB."""
AT_ONCE = 2
"""Parts that are uploaded at a time; about as many wait, and one is being filled."""

_POLL = 0.1


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object of a store in the version that was found; `modified` is its modification time in ISO 8601."""

    url: StoreUrl
    size: int
    etag: str
    modified: str
    bucket: Bucket = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """The part of the key after the last slash."""
        return self.url.name

    def __str__(self) -> str:
        """Return its URL."""
        return str(self.url)

    def open(self) -> StoredReader:
        """Return its bytes as a file; reading fails with DRV038 if the object has changed, CON039 to CON042."""
        return StoredReader(self)

    def piece(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end`, both within the object."""
        import obstore

        options: dict[str, Any] = {"range": (start, end)} | ({"if_match": f'"{self.etag}"'} if self.etag else {})
        with self.bucket.translate_errors(str(self.url), self.url.key):
            return bytes(obstore.get(self.bucket.store, self.url.key, options=options).bytes())  # type: ignore[arg-type]


class StoredReader(io.RawIOBase):
    """An object as a readable file: requests grow while it is read sequentially."""

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
        """Return the offset of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the offset of the next byte, and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readall(self) -> bytes:
        """Return the rest."""
        return self.read(self._file.size)

    def readinto(self, target: Any) -> int:  # noqa: ANN401  any buffer that can be written
        """Fill a buffer, with fewer bytes only at the end; returns their number."""
        content = self.read(len(target))
        target[: len(content)] = content
        return len(content)

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer only at the end; all if `size` is negative."""
        count = self._file.size if size < 0 else size
        end = min(self._at + count, self._file.size)
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


def _bucket_of(ctx: StepContext, url: StoreUrl) -> Bucket:
    return open_bucket(url.family, ctx.connection, url.bucket)


def find(ctx: StepContext, url: StoreUrl) -> list[StoredFile]:
    """Return the objects that match a URL or a pattern (`*`, `?`, `[a-z]`, `**`), sorted by name; at least one.

    Hidden objects match only a pattern that begins with a dot. Fails with DRV001, DRV037, CON039 to CON042.
    """
    import obstore

    bucket = _bucket_of(ctx, url)
    if not has_magic(url.key):
        with bucket.translate_errors(str(url), url.key):
            return [_stored(url, obstore.head(bucket.store, url.key), bucket)]
    files = [each for each in below(bucket, url) if each.url.key == url.key] or [
        each for each in below(bucket, url) if matches(url.key, each.url.key)
    ]
    if not files:
        fail("DRV001", path=f"{url} (no object matches)")
    return files


def below(bucket: Bucket, url: StoreUrl) -> list[StoredFile]:
    """Return all objects below the folders before the first wildcard of a pattern, sorted by name."""
    import obstore

    fixed: list[str] = []
    for part in url.key.split("/")[:-1]:
        if has_magic(part):
            break
        fixed.append(part)
    with bucket.translate_errors(str(url), url.key):
        listed = [meta for chunk in obstore.list(bucket.store, "/".join(fixed) or None) for meta in chunk]
    files = (_stored(url, meta, bucket) for meta in listed)
    return sorted((each for each in files if each.name), key=lambda each: each.url.key.split("/"))


def folders_in(ctx: StepContext, url: StoreUrl) -> list[str]:
    """Return the URLs of the subfolders of a folder, sorted; fails with DRV037, CON039 to CON042."""
    import obstore

    bucket = _bucket_of(ctx, url)
    with bucket.translate_errors(str(url), url.key):
        prefixes = obstore.list_with_delimiter(bucket.store, url.key.rstrip("/") or None)["common_prefixes"]
    return sorted(f"{StoreUrl(url.scheme, url.bucket, prefix.rstrip('/'))}/" for prefix in prefixes)


def _stored(url: StoreUrl, meta: Mapping[str, Any], bucket: Bucket) -> StoredFile:
    at = StoreUrl(url.scheme, url.bucket, meta["path"])
    etag = (meta["e_tag"] or "").strip('"')  # some listings omit the quotes
    return StoredFile(at, meta["size"], etag, meta["last_modified"].isoformat(), bucket)


def matches(pattern: str, key: str) -> bool:
    """Return whether a pattern matches a key, by the rules for file names."""
    return _match(pattern.split("/"), key.split("/"))


def _match(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    first, *rest = pattern
    if first == "**":
        return _match_deep(rest, parts)
    hidden = parts[0].startswith(".") and not first.startswith(".")
    return not hidden and fnmatchcase(parts[0], first) and _match(rest, parts[1:])


def _match_deep(rest: Sequence[str], parts: Sequence[str]) -> bool:
    """Return whether the rest of a pattern after `**` matches below any number of folders that are not hidden."""
    shown = next((n for n, part in enumerate(parts) if part.startswith(".")), len(parts))
    return (not rest and shown == len(parts)) or any(_match(rest, parts[n:]) for n in range(shown + 1))


class _AbandonedError(Exception):
    """The upload was abandoned."""


class Upload(io.RawIOBase):
    """A writable file that uploads an object; `written` counts bytes, `stored` describes the finished object."""

    def __init__(self, bucket: Bucket, url: StoreUrl) -> None:
        self.written = 0
        self.stored: dict[str, JsonValue] = {}
        self._bucket, self._url = bucket, url
        self._part = bytearray()
        self._parts: queue.Queue[bytes | None] = queue.Queue(1)
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._sending: Future[Any] | None = None
        self._wanted = True
        self._digest = hashlib.sha256()

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.written

    def write(self, data: ReadableBuffer) -> int:
        """Accept all of `data`; fails with the store's error for an earlier part."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            room = PART - len(self._part)
            self._part += rest[:room]
            rest = rest[room:]
            if len(self._part) == PART:
                self._send(bytes(self._part))
                self._part.clear()
        self.written += size
        return size

    def _send(self, part: bytes | None) -> None:
        """Wait until a part, or None for the end, is accepted; fails with the store's error for an earlier part."""
        if self._sending is None:
            self._sending = self._sender.submit(self._put, self._taken(), use_multipart=True)
        while not self._sending.done():
            try:
                self._parts.put(part, timeout=_POLL)
            except queue.Full:
                continue
            else:
                return
        self._answer()

    def _put(self, content: bytes | Iterator[bytes], *, use_multipart: bool) -> Any:  # noqa: ANN401  a typed mapping
        import obstore

        where, key = self._bucket.store, self._url.key
        fault("upload.put")
        return obstore.put(where, key, content, use_multipart=use_multipart, chunk_size=PART, max_concurrency=AT_ONCE)

    def _answer(self) -> Any:  # noqa: ANN401  a typed mapping
        with self._bucket.translate_errors(str(self._url), self._url.key):
            return self._sending.result() if self._sending else None

    def _taken(self) -> Iterator[bytes]:
        while (part := self._next_part()) is not None:
            self._digest.update(part)
            yield part

    def _next_part(self) -> bytes | None:
        while self._wanted:
            try:
                return self._parts.get(timeout=_POLL)
            except queue.Empty:
                continue
        raise _AbandonedError  # the client treats this as a failure, and deletes the uploaded parts

    def finish(self) -> None:
        """Complete the object; fails with the store's error, and then there is no object."""
        last = bytes(self._part)
        fault("upload.finish")
        if self._sending is None:
            self._digest.update(last)
            self._sending = self._sender.submit(self._put, last, use_multipart=False)
        else:
            for part in (last, None) if last else (None,):
                self._send(part)
        while not wait([self._sending], _POLL).done:  # so that a request to stop is noticed
            pass
        digest, etag = self._digest.hexdigest(), self._answer()["e_tag"]
        fault("upload.finished")
        self.stored = {"path": str(self._url), "size": self.written, "sha256": digest, "etag": etag}

    def end(self) -> None:
        """Stop; an object that is not complete is abandoned, and its parts are deleted."""
        self._wanted = False
        self._sender.shutdown()


@contextmanager
def uploading(ctx: StepContext, url: StoreUrl) -> Iterator[Upload]:
    """Open an object for writing, and complete it if the block succeeds; else there is no object."""
    upload = Upload(_bucket_of(ctx, url), url)
    try:
        yield upload
        upload.finish()
    finally:
        upload.end()
