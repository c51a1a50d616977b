"""A page of the names in a bucket."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from .errors import HEAD, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from .store import Stored

MOST = 1000


@dataclass(frozen=True)
class Entry:
    """An object's name, or the common prefix of names up to the delimiter."""

    name: str
    common: bool


def listed(bucket: str, objects: Mapping[str, Stored], query: Mapping[str, str], page_size: int) -> str:
    """Return the document of a page, at most `page_size` entries. Raises `Failure`."""
    asked = query.get("max-keys", str(MOST))
    if not asked.isdecimal():
        raise Failure("InvalidArgument", f"Invalid value for max-keys: {asked}")
    limit = min(int(asked), MOST, page_size)
    entries = _entries(objects, query)
    page = list(itertools.islice(entries, limit))
    more = bool(page) and len(page) == limit and next(entries, None) is not None
    told = [
        f"<Name>{escape(bucket)}</Name><Prefix>{escape(query.get('prefix', ''))}</Prefix>",
        f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{limit}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>",
    ]
    if more:
        token = base64.b64encode(json.dumps([page[-1].name, page[-1].common]).encode()).decode()
        told.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
    told += [_contents(entry.name, objects[entry.name]) for entry in page if not entry.common]
    told += [f"<CommonPrefixes><Prefix>{escape(e.name)}</Prefix></CommonPrefixes>" for e in page if e.common]
    space = "http://doc.s3.amazonaws.com/2006-03-01"
    return f"{HEAD}<ListBucketResult xmlns='{space}'>{''.join(told)}</ListBucketResult>"


def instant(moment: datetime) -> str:
    """Return a time as documents have it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _entries(objects: Mapping[str, Stored], query: Mapping[str, str]) -> Iterator[Entry]:
    """Yield what follows the previous page, in the order of UTF-8."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after, common = query.get("start-after", ""), False
    if "continuation-token" in query:
        after, common = _unpacked(query["continuation-token"])
    last = Entry(after, common)
    for name in sorted(objects, key=str.encode):
        if not name.startswith(prefix) or name.encode() <= after.encode():
            continue
        end = name.find(delimiter, len(prefix)) if delimiter else -1
        entry = Entry(name[: end + len(delimiter)], True) if end >= 0 else Entry(name, False)
        if entry != last:
            last = entry
            yield entry


def _unpacked(token: str) -> tuple[str, bool]:
    try:
        name, common = json.loads(base64.b64decode(token, validate=True))
    except ValueError:
        raise Failure("InvalidArgument", "The continuation token is incorrect") from None
    return name, common


def _contents(name: str, stored: Stored) -> str:
    return (
        f"<Contents><Key>{escape(name)}</Key><Generation>{stored.generation}</Generation>"
        f"<MetaGeneration>1</MetaGeneration><LastModified>{instant(stored.modified)}</LastModified>"
        f"<ETag>{escape(stored.etag)}</ETag><Size>{stored.blob.size}</Size></Contents>"
    )
