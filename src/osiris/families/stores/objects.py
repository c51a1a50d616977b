"""Files in object stores: which objects a URL or a pattern names, how they are read, and how one is written.

An object is read in ranges of one state of it. One that is written goes up in parts as they fill, and appears at once,
whole, or not at all.
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
"""Bytes that are asked for at once: where a reader has jumped to, and where it goes on and on."""

PART = 16 << 20
"""Bytes of a part. Stores take 10,000 of them, so that an object may have 160 GB."""
AT_ONCE = 2
"""Parts on their way at a time; about as many wait, and one is being filled."""

_POLL = 0.1


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


def _bucket_of(ctx: StepContext, url: StoreUrl) -> Bucket:
    return open_bucket(url.family, ctx.connection, url.bucket)


def find(ctx: StepContext, url: StoreUrl) -> list[StoredFile]:
    """Return the objects that a URL or a pattern (`*`, `?`, `[a-z]`, `**`) names, sorted by name; at least one.

    Hidden ones are named only by a pattern that begins with a dot. Fails with DRV001, DRV037, CON039 to CON042.
    """
    import obstore

    bucket = _bucket_of(ctx, url)
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

    bucket = _bucket_of(ctx, url)
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
        return _match_deep(rest, parts)
    hidden = parts[0].startswith(".") and not first.startswith(".")
    return not hidden and fnmatchcase(parts[0], first) and _match(rest, parts[1:])


def _match_deep(rest: Sequence[str], parts: Sequence[str]) -> bool:
    """Tell whether what follows `**` matches behind any number of folders that are not hidden."""
    shown = next((n for n, part in enumerate(parts) if part.startswith(".")), len(parts))
    return (not rest and shown == len(parts)) or any(_match(rest, parts[n:]) for n in range(shown + 1))


class _AbandonedError(Exception):
    """Nobody wants the object any more."""


class Upload(io.RawIOBase):
    """What takes the bytes of an object and counts them in `written`; `told` describes it once it is there."""

    def __init__(self, bucket: Bucket, url: StoreUrl) -> None:
        self.written = 0
        self.told: dict[str, JsonValue] = {}
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
        """Take all of `data`; fails with what the store has against a part before."""
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
        """Wait until a part is taken, or None for the end; fails with what the store has against one before."""
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
        with self._bucket.asked(str(self._url), self._url.key):
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
        raise _AbandonedError  # the client takes this for a failure, and removes the parts that are there

    def finish(self) -> None:
        """Have the object appear; fails with what the store has against it, and then it does not."""
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
        self.told = {"path": str(self._url), "size": self.written, "sha256": digest, "etag": etag}

    def end(self) -> None:
        """Let go; if the object is not there yet it never will be, and its parts are removed."""
        self._wanted = False
        self._sender.shutdown()


@contextmanager
def uploading(ctx: StepContext, url: StoreUrl) -> Iterator[Upload]:
    """Give an object to write, and have it appear when the block ends well: all of it, or nothing."""
    upload = Upload(_bucket_of(ctx, url), url)
    try:
        yield upload
        upload.finish()
    finally:
        upload.end()
