"""The XML API: what each request does, and its allowed parameters."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from . import conditions
from .errors import HEAD, XML, Answer, Failure, Span
from .listing import instant, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .accounts import Caller
    from .store import Blob, Store, Stored, Upload

KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type")
IGNORED = frozenset({"x-goog-api-client", "x-goog-user-project"})
META = "x-goog-meta-"
SMALLEST_PART, MOST_PARTS, LONGEST_NAME = 5 << 20, 10_000, 1024


@dataclass(frozen=True)
class Call:
    """A parsed request; names of headers are in lower case."""

    method: str
    bucket: str
    name: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    caller: Caller
    body: Iterable[bytes]

    def need(self, right: str) -> None:
        """Raise `Failure` unless the caller has a right."""
        if right in self.caller.rights:
            return
        permission, kind = f"storage.objects.{right}", "bucket" if right == "list" else "object"
        told = f"{self.caller.email} does not have {permission} access to the Google Cloud Storage {kind}. "
        raise Failure("AccessDenied", f"{told}Permission '{permission}' denied on resource (or it may not exist).")

    def missing(self) -> Failure:
        """Return the error for a missing object: whoever may not list must not learn that it is missing."""
        self.need("list")
        return Failure("NoSuchKey", f"No such object: {self.bucket}/{self.name}")

    def check_writing(self, before: Stored | None) -> None:
        """Raise `Failure` unless the conditions hold and the caller may replace an existing object."""
        conditions.check_generation(self.headers, before)
        if before:
            self.need("delete")


@dataclass(frozen=True)
class Operation:
    """What a kind of request does, and the parameters and headers that it supports."""

    do: Callable[[Store, Call], Answer]
    query: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    meta: bool = False


def answer(store: Store, call: Call) -> Answer:
    """Do what is asked. Raises `Failure`."""
    operation = OPERATIONS.get(_kind(call))
    if operation is None:
        raise Failure("NotImplemented", f"{call.method} of this kind")
    given = {name for name in call.headers if name.startswith("x-goog-") or name in conditions.READING} - IGNORED
    if operation.meta:
        given = {name for name in given if not name.startswith(META)}
    if unknown := sorted((call.query.keys() - operation.query) | (given - operation.headers)):
        raise Failure("NotImplemented", f"unknown here: {', '.join(unknown)}")
    if call.bucket not in store.buckets:
        raise Failure("NoSuchBucket")
    return operation.do(store, call)


def _kind(call: Call) -> tuple[str, str]:
    if not call.name:
        return call.method, "bucket" if call.bucket else "buckets"
    marks = [mark for mark in ("uploads", "uploadId") if mark in call.query]
    if call.method == "PUT" and "x-goog-copy-source" in call.headers:
        marks.append("copy")
    return call.method, " ".join(marks)


def _list(store: Store, call: Call) -> Answer:
    call.need("list")
    if call.query.get("list-type") != "2":
        raise Failure("NotImplemented", "the first version of listing")
    with store.lock:
        text = listed(call.bucket, store.buckets[call.bucket], call.query, store.page_size)
    return Answer(200, (XML,), text.encode())


def _get(store: Store, call: Call) -> Answer:
    call.need("get")
    found = store.opened(call.bucket, call.name)
    if not found:
        raise call.missing()
    stored, file = found
    try:
        if call.query.get("generation", str(stored.generation)) != str(stored.generation):
            raise call.missing()
        conditions.check_reading(call.headers, stored)
        part = conditions.part_asked(call.headers, stored.blob.size)
    except Failure:
        file.close()
        raise
    start, end = part or (0, stored.blob.size)
    headers = [*_described(stored), *stored.headers.items(), ("Accept-Ranges", "bytes")]
    headers += [("Last-Modified", format_datetime(stored.modified, usegmt=True))]
    if part:
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{stored.blob.size}"))
    return Answer(206 if part else 200, tuple(headers), Span(file, start, end))


def _put(store: Store, call: Call) -> Answer:
    call.need("create")
    _check_name(call.name)
    blob = _received(store, call)
    stored = store.commit(call.bucket, call.name, blob, _kept(call.headers), call.check_writing)
    return Answer(200, _described(stored))


def _copy(store: Store, call: Call) -> Answer:
    call.need("create")
    _check_name(call.name)
    call.need("get")
    bucket, _, name = unquote(call.headers["x-goog-copy-source"].removeprefix("/")).partition("/")
    with store.lock:
        if bucket not in store.buckets:
            raise Failure("NoSuchBucket")
        source = store.buckets[bucket].get(name)
        if source is None:
            raise call.missing()
        stored = store.commit(call.bucket, call.name, store.copied(source.blob), source.headers, call.check_writing)
    told = f"<ETag>{escape(stored.etag)}</ETag><LastModified>{instant(stored.modified)}</LastModified>"
    return Answer(200, (XML, *_described(stored)), f"{HEAD}<CopyObjectResult>{told}</CopyObjectResult>".encode())


def _delete(store: Store, call: Call) -> Answer:
    call.need("delete")

    def check(stored: Stored | None) -> None:
        if stored is None:
            raise call.missing()
        conditions.check_generation(call.headers, stored)

    store.delete(call.bucket, call.name, check)
    return Answer(204)


def _begin(store: Store, call: Call) -> Answer:
    call.need("create")
    _check_name(call.name)
    upload = store.begin(call.bucket, call.name, _kept(call.headers))
    return _told("InitiateMultipartUploadResult", upload, ("UploadId", upload.id))


def _part(store: Store, call: Call) -> Answer:
    call.need("create")
    number, upload = call.query.get("partNumber", ""), _upload(store, call)
    if not (number.isdecimal() and 1 <= int(number) <= MOST_PARTS):
        raise Failure("InvalidArgument", f"Invalid value for partNumber: {number}")
    blob = _received(store, call)
    with store.lock:
        if upload.id not in store.uploads:
            blob.path.unlink()
            raise Failure("NoSuchUpload")
        store.add(upload, int(number), blob)
    return Answer(200, (("ETag", f'"{blob.md5.hex()}"'), *_hashes(blob)))


def _complete(store: Store, call: Call) -> Answer:
    call.need("create")
    listing = b"".join(call.body)
    with store.lock:
        upload = _upload(store, call)
        blob = store.put_together(_chosen(upload, listing))
        stored = store.commit(call.bucket, call.name, blob, upload.headers, call.check_writing)
        store.end(upload)
    done = _told("CompleteMultipartUploadResult", upload, ("ETag", stored.etag))
    return Answer(
        done.status, (*done.headers, ("x-goog-generation", str(stored.generation)), *_hashes(blob)), done.body
    )


def _abort(store: Store, call: Call) -> Answer:
    call.need("create")
    with store.lock:
        store.end(_upload(store, call))
    return Answer(204)


_UPLOAD = frozenset({"uploadId"})
_READ = Operation(_get, frozenset({"generation"}), conditions.READING)
OPERATIONS = {
    ("GET", "bucket"): Operation(
        _list, frozenset({"list-type", "prefix", "delimiter", "max-keys", "continuation-token", "start-after"})
    ),
    ("GET", ""): _READ,
    ("HEAD", ""): _READ,
    ("PUT", ""): Operation(_put, headers=conditions.WRITING | {"x-goog-hash"}, meta=True),
    ("PUT", "copy"): Operation(_copy, headers=conditions.WRITING | {"x-goog-copy-source"}),
    ("DELETE", ""): Operation(_delete, headers=conditions.WRITING),
    ("POST", "uploads"): Operation(_begin, frozenset({"uploads"}), meta=True),
    ("PUT", "uploadId"): Operation(_part, _UPLOAD | {"partNumber"}, frozenset({"x-goog-hash"})),
    ("POST", "uploadId"): Operation(_complete, _UPLOAD),
    ("DELETE", "uploadId"): Operation(_abort, _UPLOAD),
}


def _upload(store: Store, call: Call) -> Upload:
    upload = store.uploads.get(call.query["uploadId"])
    if upload is None or (upload.bucket, upload.name) != (call.bucket, call.name):
        raise Failure("NoSuchUpload")
    return upload


def _chosen(upload: Upload, listing: bytes) -> list[Blob]:
    """Return the parts that a completion lists. Raises `Failure` if they are missing, out of order or too small."""
    try:
        parts = [{each.tag: each.text or "" for each in part} for part in ET.fromstring(listing)]
        asked = [(int(part["PartNumber"]), part["ETag"].strip('"')) for part in parts]
    except (ET.ParseError, KeyError, ValueError):
        raise Failure("InvalidArgument", "The list of parts is not well-formed") from None
    numbers = [number for number, _ in asked]
    if numbers != sorted(set(numbers)):
        raise Failure("InvalidPartOrder")
    blobs = [upload.parts.get(number) for number in numbers]
    if not blobs or any(blob is None or blob.md5.hex() != tag for blob, (_, tag) in zip(blobs, asked, strict=True)):
        raise Failure("InvalidPart")
    if any(blob.size < SMALLEST_PART for blob in blobs[:-1]):
        raise Failure("EntityTooSmall")
    return blobs


def _received(store: Store, call: Call) -> Blob:
    """Receive the body. Raises `Failure` if it does not match its checksums."""
    if call.headers.get("transfer-encoding") != "chunked" and "content-length" not in call.headers:
        raise Failure("MissingContentLength")
    said = dict(each.strip().split("=", 1) for each in call.headers.get("x-goog-hash", "").split(",") if "=" in each)
    if "content-md5" in call.headers:
        said["md5"] = call.headers["content-md5"]
    blob = store.receive(call.body)
    for name, value in said.items():
        if blob.hashes.get(name) != value:
            blob.path.unlink()
            raise Failure("BadDigest", name)
    return blob


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in KEPT or name.startswith(META)}


def _check_name(name: str) -> None:
    if len(name.encode()) > LONGEST_NAME or name in (".", "..") or "\r" in name or "\n" in name:
        raise Failure("InvalidArgument", "The object's name is not allowed")


def _described(stored: Stored) -> tuple[tuple[str, str], ...]:
    return (
        ("ETag", stored.etag),
        ("x-goog-generation", str(stored.generation)),
        ("x-goog-metageneration", "1"),
        ("x-goog-stored-content-encoding", stored.headers.get("content-encoding", "identity")),
        ("x-goog-stored-content-length", str(stored.blob.size)),
        ("x-goog-storage-class", "STANDARD"),
        *_hashes(stored.blob),
    )


def _hashes(blob: Blob) -> list[tuple[str, str]]:
    return [("x-goog-hash", f"{name}={value}") for name, value in blob.hashes.items()]


def _told(kind: str, upload: Upload, last: tuple[str, str]) -> Answer:
    fields = (("Bucket", upload.bucket), ("Key", upload.name), last)
    text = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields)
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return Answer(200, (XML,), f"{HEAD}<{kind} xmlns='{space}'>{text}</{kind}>".encode())
