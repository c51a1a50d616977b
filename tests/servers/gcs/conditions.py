"""The conditions of a request, and the requested part of an object."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from .errors import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .store import Stored

WRITING = frozenset({"x-goog-if-generation-match", "x-goog-if-metageneration-match"})
READING = WRITING | {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"}


def check_generation(headers: Mapping[str, str], stored: Stored | None) -> None:
    """Raise `Failure` unless the object has the requested generation; 0 is that of a missing one."""
    here = {"generation": stored.generation if stored else 0, "metageneration": 1 if stored else 0}
    for kind, number in here.items():
        name = f"x-goog-if-{kind}-match"
        if name not in headers:
            continue
        if not re.fullmatch(r"\d+", headers[name]):
            raise Failure("InvalidArgument", f"Invalid value for {name}: {headers[name]}")
        if int(headers[name]) != number:
            raise Failure("PreconditionFailed", name)


def check_reading(headers: Mapping[str, str], stored: Stored) -> None:
    """Raise `Failure` unless all conditions of a request that only reads hold, in the order of HTTP."""
    check_generation(headers, stored)
    modified = stored.modified.replace(microsecond=0)
    if "if-match" in headers:
        if not _names(headers["if-match"], stored.etag):
            raise Failure("PreconditionFailed", "If-Match")
    elif "if-unmodified-since" in headers and modified > parsedate_to_datetime(headers["if-unmodified-since"]):
        raise Failure("PreconditionFailed", "If-Unmodified-Since")
    unchanged = Failure("NotModified", headers=(("ETag", stored.etag),))
    if "if-none-match" in headers:
        if _names(headers["if-none-match"], stored.etag):
            raise unchanged
    elif "if-modified-since" in headers and modified <= parsedate_to_datetime(headers["if-modified-since"]):
        raise unchanged


def part_asked(headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Return the start and end of the requested part, None for the whole. Raises `Failure`."""
    text = headers.get("range", "")
    if "," in text:
        raise Failure("NotImplemented", "several ranges")
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", text)
    if not found or found.group() == "bytes=-":
        return None
    first, last = found.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    else:
        start, end = max(size - int(last), 0), size
    if start >= size:
        raise Failure("InvalidRange", text, (("Content-Range", f"bytes */{size}"),))
    return start, end


def _names(tags: str, etag: str) -> bool:
    return tags.strip() == "*" or etag in [tag.strip() for tag in tags.split(",")]
