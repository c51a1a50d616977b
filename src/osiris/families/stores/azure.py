"""Azure Blob Storage: how a container is opened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from osiris.errors import fail
from osiris.families.stores.client import client, endpoint_of, plain_of, retries, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ObjectStore

    from osiris.model import JsonValue

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
REFUSED_KEY = (
    "AuthenticationFailed",
    "AuthorizationFailure",
    "InvalidAuthenticationInfo",
    "NoAuthenticationInformation",
)
NO_BUCKET = ("ContainerNotFound", "ContainerBeingDeleted", "AccountNotFound")


def open_bucket(fields: Mapping[str, JsonValue], bucket: str) -> ObjectStore:
    """Return a client of a container, which nothing has been asked of yet; fails with CON016 without an account."""
    from obstore.store import AzureStore

    account, key, token = (plain_of(fields, name) for name in ("account", "account_key", "sas_token"))
    if not account or not _ACCOUNT.fullmatch(account):
        fail("CON016", problem="account must be the name of the storage account: small letters and digits")
    options: dict[str, Any] = {"account_name": account, "account_key": key, "sas_key": None if key else token}
    options |= {"endpoint": endpoint_of(fields), "skip_signature": not (key or token)}
    config: Any = {name: value for name, value in options.items() if value is not None}
    return AzureStore(
        bucket,
        config=config,
        client_options=client(fields),
        retry_config=retries(fields),
    )


def where(fields: Mapping[str, JsonValue]) -> str:
    """Return what messages call the server."""
    return text_of(fields, "endpoint") or f"Azure account {text_of(fields, 'account')}"


def host(fields: Mapping[str, JsonValue], _container: str) -> str:
    """Return the host that requests go to."""
    return urlsplit(_server(fields)).hostname or ""


def base(fields: Mapping[str, JsonValue], container: str) -> str:
    """Return what the addresses of all objects begin with."""
    return f"{_server(fields)}/{container}"


def _server(fields: Mapping[str, JsonValue]) -> str:
    own = f"https://{text_of(fields, 'account')}.blob.core.windows.net"
    return (endpoint_of(fields) or own).rstrip("/")
