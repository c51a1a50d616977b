"""Amazon S3 and what speaks like it: how a bucket is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from osiris.errors import fail
from osiris.families.stores.client import client, endpoint_of, plain_of, retries, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ObjectStore

    from osiris.model import JsonValue

REGION = "us-east-1"
_KEYS = ("access_key_id", "secret_access_key")
REFUSED_KEY = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired")
NO_BUCKET = ("NoSuchBucket",)


def open_bucket(fields: Mapping[str, JsonValue], bucket: str) -> ObjectStore:
    """Return a client of a bucket, which nothing has been asked of yet; fails with CON016 for half a key."""
    from obstore.store import S3Store

    given = [name for name in _KEYS if text_of(fields, name)]
    if len(given) == 1:
        fail("CON016", problem=f"{given[0]} is given, and the other half of the key is not: {' and '.join(_KEYS)}")
    endpoint = endpoint_of(fields)
    options: dict[str, Any] = {name: plain_of(fields, name) for name in ("access_key_id", "session_token")}
    options |= {"secret_access_key": text_of(fields, "secret_access_key"), "endpoint": endpoint}
    options["region"] = plain_of(fields, "region") or REGION
    options["virtual_hosted_style_request"] = _in_host(fields)
    options["skip_signature"] = not given
    config: Any = {name: value for name, value in options.items() if value is not None}
    return S3Store(
        bucket,
        config=config,
        client_options=client(fields),
        retry_config=retries(fields),
    )


def where(fields: Mapping[str, JsonValue]) -> str:
    """Return what messages call the server."""
    return text_of(fields, "endpoint") or f"S3 in {text_of(fields, 'region') or REGION}"


def host(fields: Mapping[str, JsonValue], bucket: str) -> str:
    """Return the host that requests go to."""
    if endpoint := endpoint_of(fields):
        return urlsplit(endpoint).hostname or ""
    own = f"s3.{plain_of(fields, 'region') or REGION}.amazonaws.com"
    return f"{bucket}.{own}" if _in_host(fields) else own


def base(fields: Mapping[str, JsonValue], bucket: str) -> str:
    """Return what the addresses of all objects begin with."""
    server = (endpoint_of(fields) or f"https://{host(fields, bucket)}").rstrip("/")
    return server if _in_host(fields) else f"{server}/{bucket}"


def _in_host(fields: Mapping[str, JsonValue]) -> bool:
    """Tell whether buckets are in the name of the host: a server of one's own has them in the path."""
    return bool(fields.get("addressing", "path" if endpoint_of(fields) else "host") == "host")
