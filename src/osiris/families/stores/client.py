"""What the clients of all object stores share: the fields of their connections, how long they wait and ask again."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ClientConfig, RetryConfig

    from osiris.model import JsonValue

CONNECT, SILENCE = 10.0, 120.0
"""Seconds until a server must have let us in, and until one request must have been answered, by default."""


_PLAIN = re.compile(r"[\x21-\x7e]+")
_ENDPOINT = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")


def text_of(fields: Mapping[str, JsonValue], name: str) -> str | None:
    """Return a field of a connection as text, a secret one revealed; None if it is not given or empty."""
    value = fields.get(name)
    return (value.reveal() if isinstance(value, Secret) else str(value) if value is not None else "") or None


def plain_of(fields: Mapping[str, JsonValue], name: str) -> str | None:
    """Return a field that goes into a header or an address; fails with CON016 if it has characters that it cannot."""
    text = text_of(fields, name)
    if text and not _PLAIN.fullmatch(text):
        fail("CON016", problem=f"{name} has a character that none of its kind has")
    return text


def endpoint_of(fields: Mapping[str, JsonValue]) -> str | None:
    """Return the server's URL, if one is given; fails with CON016 if it is none."""
    endpoint = text_of(fields, "endpoint")
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        fail("CON016", problem="endpoint must be a URL like https://host:port")
    return endpoint


def _seconds(fields: Mapping[str, JsonValue], name: str, usual: float) -> timedelta:
    return timedelta(seconds=float(fields.get(name) or usual))


def client(fields: Mapping[str, JsonValue]) -> ClientConfig:
    """Return how the client connects: to an endpoint that is http:// without encryption, else with it."""
    return {
        "allow_http": (text_of(fields, "endpoint") or "").startswith("http://"),
        "connect_timeout": _seconds(fields, "connect_timeout", CONNECT),
        "timeout": _seconds(fields, "read_timeout", SILENCE),
    }


def retries(fields: Mapping[str, JsonValue]) -> RetryConfig:
    """Return how often a request is made again that a server did not answer."""
    return {"max_retries": 3, "retry_timeout": _seconds(fields, "read_timeout", SILENCE)}
