"""An object that is being written: parts go up as they fill, and it appears at once, whole, or not at all."""

from __future__ import annotations

import hashlib
import io
import queue
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from osiris.families.stores.bucket import open_bucket
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from _typeshed import ReadableBuffer

    from osiris.driver import StepContext
    from osiris.families.stores.bucket import Bucket
    from osiris.model import JsonValue
    from osiris.urls import StoreUrl

PART = 16 << 20
"""Bytes of a part. Stores take 10,000 of them, so that an object may have 160 GB."""
AT_ONCE = 2
"""Parts on their way at a time; about as many wait, and one is being filled."""

_POLL = 0.1


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
    upload = Upload(open_bucket(url.family, ctx.connection, url.bucket), url)
    try:
        yield upload
        upload.finish()
    finally:
        upload.end()
