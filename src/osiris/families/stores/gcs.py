"""Google Cloud Storage: how a bucket is opened, and how it is asked why it refuses.

A service account's key signs the tokens here, so that all requests go to the store. Where no key is given the client
would look for one in variables, in the home folder and at the machine's metadata service: so it always is given one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from osiris.errors import fail
from osiris.families.stores.client import client, endpoint_of, retries, text_of
from osiris.families.stores.store_errors import answer_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ObjectStore

    from osiris.families.stores.store_errors import Answer
    from osiris.model import JsonValue

GOOGLE = "https://storage.googleapis.com"
REFUSED_KEY = ("AuthenticationRequired",)
NO_BUCKET = ("NoSuchBucket",)
_KEY = "service_account_key"
_PARTS = ("client_email", "private_key_id", "private_key")
_NOBODY: dict[str, JsonValue] = {**dict.fromkeys(_PARTS, ""), "disable_oauth": True}
"""The key of nobody: the client puts no token on what it reads, and asks nobody for one."""
_SAYS_WHO = (401, 403, 404)


def open_bucket(fields: Mapping[str, JsonValue], bucket: str) -> ObjectStore:
    """Return a client of a bucket, which nothing has been asked of yet; fails with CON016 for what is no key."""
    from obstore.store import GCSStore

    key = _key(fields)
    config: Any = {_KEY: json.dumps(key or _NOBODY), "base_url": _base(fields), "skip_signature": not key}
    return GCSStore(bucket, config=config, client_options=client(fields), retry_config=retries(fields))


def where(fields: Mapping[str, JsonValue]) -> str:
    """Return what messages call the server."""
    return text_of(fields, "endpoint") or "Google Cloud Storage"


def host(fields: Mapping[str, JsonValue], _bucket: str) -> str:
    """Return the host that requests go to."""
    return urlsplit(_base(fields)).hostname or ""


def ask(store: ObjectStore, fields: Mapping[str, JsonValue], bucket: str, seconds: float, key: str) -> Answer | None:
    """Return what the server has against a request for an object.

    Whether it answers and has the bucket, it tells anybody. What it has against the key is asked by the client, whose
    errors say that: links that it signs are for Google's own host, and for plain names of objects.
    """
    told = answer_to(f"{_base(fields)}/{bucket}/{quote(key or '-', safe='')}", seconds)
    if told is None or told[1] in NO_BUCKET or told[0] not in _SAYS_WHO:
        return told
    if not text_of(fields, _KEY):
        return told[0], "AccessDenied"
    return _ask_by_key(store, key or "-")


def _ask_by_key(store: ObjectStore, key: str) -> Answer:
    import obstore
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    found: Answer = 200, ""
    try:
        obstore.head(store, key)
    except UnauthenticatedError:
        return 401, REFUSED_KEY[0]
    except PermissionDeniedError:
        return 403, "AccessDenied"
    except FileNotFoundError:
        found = 404, "NoSuchKey"
    except BaseError:
        return 0, ""
    try:
        next(iter(obstore.list(store, chunk_size=1)), None)
    except BaseError:  # of a list they do not say why; it is what is left
        return 403, "AccessDenied"
    return found


def _base(fields: Mapping[str, JsonValue]) -> str:
    return (endpoint_of(fields) or GOOGLE).rstrip("/")


def _key(fields: Mapping[str, JsonValue]) -> dict[str, str] | None:
    """Return of a key what signs: the rest of it could lead elsewhere. None without one; fails with CON016."""
    text = text_of(fields, _KEY)
    if not text:
        return None
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        fail("CON016", problem=f"{_KEY} is not JSON, as the key of a service account is")
    missing = [name for name in _PARTS if not (isinstance(given.get(name), str) and given[name])]
    if missing:
        fail("CON016", problem=f"{_KEY} lacks {', '.join(missing)}: is it the key of a service account?")
    return {name: given[name] for name in _PARTS}
