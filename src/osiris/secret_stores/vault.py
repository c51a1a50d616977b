"""HashiCorp Vault (and OpenBao): the key-value secrets engine, versions 1 and 2.

`${vault:secret/shop#password}`: the path is written as in `vault kv get`, without `data/`. Configured by VAULT_ADDR;
VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or the file ~/.vault-token that `vault login` writes;
VAULT_NAMESPACE, VAULT_CACERT, VAULT_CLIENT_CERT and VAULT_CLIENT_KEY.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from osiris.secret_stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

_MOUNT = "check the mount, with which the path begins, then name and field; 'vault secrets list' shows all mounts"
_LOGIN = "export VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or put them into .env, or run 'vault login'"


def fetch(path: str, field: str | None, environ: Mapping[str, str], timeout: float) -> dict[str, Any]:  # noqa: ARG001
    """Return all fields of the newest version of a secret; numbers are texts, as they are written."""
    import httpx

    parts = path.strip("/").split("/")
    if len(parts) < 2 or not all(part.strip(".") for part in parts):
        raise StoreError("unusable", "the path must be that of a secret: mount/name, as in 'vault kv get'")
    try:
        with _client(environ, timeout) as client:
            client.headers["X-Vault-Token"] = _token(client, environ)
            return _read(client, "/".join(parts))
    except httpx.TimeoutException:
        raise StoreError("unreachable", f"Vault did not answer within {timeout:.0f} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreError("unreachable", f"Vault at {_shown(environ)}: {_reason(error)}") from None


def _client(environ: Mapping[str, str], timeout: float) -> httpx.Client:
    import httpx

    address = environ.get("VAULT_ADDR", "").rstrip("/")
    if not address.startswith(("http://", "https://")) or "@" in address:
        problem = "is not an address like https://vault.example.com:8200" if address else "is not set"
        raise StoreError("unusable", f"VAULT_ADDR {problem}", "export VAULT_ADDR, or put it into .env")
    headers = {"X-Vault-Request": "true"}
    if namespace := environ.get("VAULT_NAMESPACE"):
        headers["X-Vault-Namespace"] = namespace
    return httpx.Client(base_url=f"{address}/v1/", headers=headers, timeout=timeout, verify=_trust(environ))


def _trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return what certificates are trusted, and the own one if it is asked for."""
    import httpx

    context = httpx.create_ssl_context()
    certificate, key = environ.get("VAULT_CLIENT_CERT"), environ.get("VAULT_CLIENT_KEY")
    try:
        if authority := environ.get("VAULT_CACERT"):
            context = ssl.create_default_context(cafile=authority)
        if certificate:
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        names = "VAULT_CACERT, VAULT_CLIENT_CERT and VAULT_CLIENT_KEY"
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise StoreError("unusable", f"a certificate cannot be read: {reason}", f"check {names}") from None
    return context


def _token(client: httpx.Client, environ: Mapping[str, str]) -> str:
    """Return the token to use; raises StoreError if there is none."""
    if token := environ.get("VAULT_TOKEN"):
        return _checked(token)
    role, secret = environ.get("VAULT_ROLE_ID"), environ.get("VAULT_SECRET_ID")
    if role and secret:
        answer = _body(client.post("auth/approle/login", json={"role_id": role, "secret_id": secret}), "the login")
        return _checked(str((answer.get("auth") or {}).get("client_token", "")))
    with suppress(OSError, UnicodeDecodeError):
        if token := Path(environ.get("HOME", ""), ".vault-token").read_text(encoding="utf-8").strip():
            return _checked(token)
    raise StoreError("unusable", "there is no token for Vault", _LOGIN)


def _checked(token: str) -> str:
    if not token.isascii() or not token.isprintable() or not token:
        raise StoreError("unusable", "the token for Vault has characters that no token has", _LOGIN)
    return token


def _read(client: httpx.Client, path: str) -> dict[str, Any]:
    """Return the fields of the secret at a path, whatever version its secrets engine has."""
    mounted = client.get(f"sys/internal/ui/mounts/{quote(path)}")
    mount, versioned = path.partition("/")[0] + "/", False
    if mounted.status_code != 404:  # which a very old Vault answers
        engine = _data(_body(mounted, f"the mount of '{path}'"))
        mount, kind = str(engine.get("path", mount)), str(engine.get("type"))
        versioned = (engine.get("options") or {}).get("version") == "2"
        if kind not in ("kv", "generic"):
            raise StoreError("unusable", f"'{mount}' is a secrets engine of type '{kind[:40]}', not 'kv'")
    name = path.removeprefix(mount)
    answer = client.get(quote(f"{mount}data/{name}" if versioned else path))
    if answer.status_code == 404:
        api_style = versioned and name.startswith("data/")
        reason = "the path is written without 'data/'" if api_style else _missing(answer, mount, name)
        raise StoreError("missing", reason, None if api_style else _MOUNT)
    fields = _data(_body(answer, f"'{path}'"))
    return _data(fields) if versioned else fields


def _missing(answer: httpx.Response, mount: str, name: str) -> str:
    """Return why there is nothing: a deleted version has metadata, and a path without a mount has errors."""
    try:
        body = answer.json()
        errors, metadata = body.get("errors"), (body.get("data") or {}).get("metadata") or {}
    except (ValueError, AttributeError):
        errors, metadata = None, {}
    if metadata.get("destroyed"):
        return "its newest version is destroyed"
    if metadata.get("deletion_time"):
        return "its newest version is deleted"
    return f"Vault has no mount '{mount}'" if errors else f"Vault has no '{name}' in the mount '{mount}'"


def _data(body: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(data := body.get("data"), dict):
        raise StoreError("unreachable", "the answer is not that of Vault")
    return data


def _body(answer: httpx.Response, what: str) -> dict[str, Any]:
    """Return the JSON of an answer; raises StoreError for a refusal."""
    status = answer.status_code
    if status in (400, 401, 403) and answer.request.method == "POST":
        raise StoreError("denied", "Vault rejected VAULT_ROLE_ID and VAULT_SECRET_ID")
    if status in (401, 403):
        raise StoreError("denied", f"Vault denies this token access to {what}, or the token has expired")
    if status in _DISTURBED:
        raise StoreError("unreachable", f"Vault {_DISTURBED[status]} (status {status})")
    if answer.is_redirect:
        raise StoreError("unusable", "Vault redirects to another address", "set VAULT_ADDR to the active server")
    if status >= 500:
        raise StoreError("unreachable", f"Vault answered with status {status}")
    if status >= 400:
        raise StoreError("unusable", f"Vault rejected the request for {what} with status {status}")
    try:
        body = answer.json(parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise StoreError("unreachable", f"the answer of {_host(answer)} is not that of Vault")
    return body


_DISTURBED = {
    429: "received too many requests",
    472: "is a standby for disaster recovery",
    473: "is a performance standby",
    503: "is sealed or in maintenance",
}


def _host(answer: httpx.Response) -> str:
    return str(answer.request.url.host)


def _shown(environ: Mapping[str, str]) -> str:
    return environ.get("VAULT_ADDR", "")[:200]


def _reason(error: BaseException) -> str:
    """Return why a server was not reached, in words that have nothing of the request."""
    cause: BaseException | None = error
    while cause is not None:
        for kind, reason in _REASONS.items():
            if isinstance(cause, kind):
                return reason
        cause = cause.__cause__ or cause.__context__
    return f"the connection failed ({type(error).__name__})"


_REASONS: dict[type[BaseException], str] = {
    ssl.SSLCertVerificationError: "its certificate is not trusted; VAULT_CACERT names the file of its authority",
    ConnectionRefusedError: "no server listens there",
    socket.gaierror: "no host has this name",
}
