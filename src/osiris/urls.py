"""Parses URLs of files and of objects in stores, without any connection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from osiris.errors import OsirisError, fail
from osiris.family_spec import family_of_connection, find_family, store_families

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_REFERENCE = re.compile(r"\$\{[^{}]*\}")
_LONGEST_REFERENCE = 100
_FILE = "file"
_LOCAL = ("", "localhost")
_MAX_KEY = 1000
"""Maximum bytes of a key; stores allow 1024."""


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """An object, or a pattern of objects, in a bucket (or container) of a store."""

    scheme: str
    bucket: str
    key: str

    @property
    def family(self) -> str:
        """The family of its connection."""
        return store_families()[self.scheme]

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return self.key.rpartition("/")[2]

    def __str__(self) -> str:
        """Return the URL."""
        return f"{self.scheme}://{self.bucket}/{self.key}"


def family_of(text: JsonValue) -> str | None:
    """Return the family of a store URL; None for any other text."""
    match = _URL.match(text) if isinstance(text, str) else None
    return store_families().get(match[1].lower()) if match else None


def as_names(path: str) -> str:
    """Return a path as written in which each reference `${…}` is a part of a name: without slashes, and not long.

    A reference is no path: what it stands for is checked when it is resolved.
    """
    return _REFERENCE.sub(lambda match: _as_name(match[0]), path)


def _as_name(reference: str) -> str:
    if len(reference.encode()) > _LONGEST_REFERENCE:
        return f"${{{sha256(reference.encode()).hexdigest()}}}"
    return reference.replace("/", "\N{DIVISION SLASH}")


def local_path(text: str) -> str:
    """Return the path of a `file://` URL; any other text unchanged. Fails with DRV007 for another machine's file."""
    match = _URL.match(text)
    if not match or match[1].lower() != _FILE:
        return text
    host, slash, path = match[2].partition("/")
    if host not in _LOCAL or not slash:
        fail("DRV007", path=printable(text), problem="a file URL is file:/// followed by the absolute path")
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), f"/{path}".encode()).decode(errors="surrogateescape")


def store_url(text: str, family: str = "", fields: Mapping[str, JsonValue] | None = None) -> StoreUrl | None:
    """Return the object that `text` names for a step with a connection of `family`; None for a local file.

    Text that is not a URL is a key below the connection's `bucket` and `prefix`, if it is a store's. Fails with DRV007
    for an invalid object name, and for a URL of another family.
    """
    match, own_scheme = _URL.match(text), find_family(family).scheme
    if match is None:
        url = _below(text, own_scheme, fields or {})
    elif match[1].lower() in store_families():
        bucket, _, key = match[2].partition("/")
        url = StoreUrl(match[1].lower(), bucket, key)
    elif match[1].lower() != _FILE:
        kinds = ", ".join((_FILE, *store_families()))
        fail("DRV007", path=printable(text), problem=f"unknown URL scheme; supported are {kinds}")
    elif own_scheme:
        fail("DRV007", path=printable(text), problem=f"the connection is of family '{family}', but this URL is not")
    else:
        url = None
    if url:
        if family and family != url.family:
            other = f"it is reached by a connection of the family {url.family}, and the step has one of {family}"
            fail("DRV007", path=printable(text), problem=other)
        problem = _problem(url)
        if problem:
            fail("DRV007", path=printable(text), problem=problem)
    return url


def _below(key: str, scheme: str, fields: Mapping[str, JsonValue]) -> StoreUrl | None:
    """Return the object of a key below a connection's `bucket` and `prefix`; None if it is not a store's connection."""
    prefix = str(fields.get("prefix") or "").strip("/")
    url = StoreUrl(scheme, str(fields.get("bucket") or ""), f"{prefix}/{key}" if prefix else key)
    return url if scheme else None


def stored_as(path: str, connection: str | None, fields: Mapping[str, JsonValue]) -> StoreUrl | None:
    """Return the object named by a path in a plan, with a connection `@family.alias`; None if it is not one."""
    family = family_of_connection(connection)
    try:
        return store_url(path, family.name if family.scheme else "", fields)
    except OsirisError:
        return None


def _problem(url: StoreUrl) -> str | None:
    if not url.bucket:
        return "no bucket is named, here or in the connection"
    if not _BUCKET.fullmatch(url.bucket) and "${" not in url.bucket:
        return "that is no name of a bucket: 3 to 63 small letters, digits, dots, hyphens and underscores"
    if _CONTROL.search(url.key):
        return "it has a control character"
    if any(part in ("", ".", "..") for part in as_names(url.key).split("/")[:-1]) or url.name in (".", ".."):
        return "a part of it is empty, or a dot or two"
    if len(as_names(url.key).encode()) > _MAX_KEY:
        return f"a key is longer than {_MAX_KEY} bytes"
    return None


def printable(text: str) -> str:
    """Return a file name for messages: without control characters, and cut to 300 characters."""
    return _CONTROL.sub("?", text).encode("ascii" if not text.isprintable() else "utf-8", "replace").decode()[:300]
