"""The gateway of Supabase, which requires a key, and the tokens that PostgREST reads."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ApiError, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

ANONYMOUS, SIGNED_IN, SERVICE = "anon", "authenticated", "service_role"
_SKEW = 30  # seconds that PostgREST forgives between two clocks
_YEARS = 10 * 365 * 86400


@dataclass(frozen=True)
class Keys:
    """The keys of a project: its secret for tokens, and the role of each key."""

    secret: str
    anon: str
    service: str
    publishable: str
    private: str
    root_is_open: bool = False

    def token(self, **claims: object) -> str:
        """Sign a token, as the project's own authentication would: `token(role='authenticated', sub='…')`."""
        return sign(self.secret, claims)

    def claims(self, headers: Mapping[str, str], given: str | None, *, root: bool) -> dict[str, Any]:
        """Return the claims of a request; `given` is the key of its query string, if any.

        Raises Refused where the gateway does, and ApiError where PostgREST does.
        """
        key = headers.get("apikey") or given
        if not key:
            raise Refused(401, "No API key found in request", "No `apikey` request header or url param was found.")
        role = self._role(key)
        if role is None:
            known = "Double check your Supabase `anon` or `service_role` API key."
            raise Refused(401, "Invalid API key", known)
        if key == self.private and headers.get("user-agent", "").startswith("Mozilla/"):
            raise Refused(401, "Forbidden use of secret API key in browser")
        if root and role != SERVICE and not self.root_is_open:
            raise self._closed(key)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or token == key:
            return {"role": role} if key.startswith("sb_") else self._read(key)
        return self._read(token)

    def _role(self, key: str) -> str | None:
        roles = {self.anon: ANONYMOUS, self.publishable: ANONYMOUS, self.service: SERVICE, self.private: SERVICE}
        return roles.get(key)

    def _closed(self, key: str) -> Refused:
        """Since April 2026 the root is only for secret keys; the texts are those of a hosted project."""
        if key == self.publishable:
            return Refused(401, "Secret API key required", "Only secret API keys can be used for this endpoint.")
        return Refused(401, "Invalid API key", "Only the `service_role` API key can be used for this endpoint.")

    def _read(self, token: str) -> dict[str, Any]:
        if not token:
            raise _invalid("PGRST301", "Empty JWT is sent in Authorization header")
        parts = token.split(".")
        if len(parts) != 3:
            raise _invalid("PGRST301", f"Expected 3 parts in JWT; got {len(parts)}")
        try:
            header, claims = (json.loads(_decoded(part)) for part in parts[:2])
            signature = _decoded(parts[2])
        except (ValueError, binascii.Error) as error:
            raise _invalid("PGRST301", "JWT couldn't be decoded") from error
        if header.get("alg") != "HS256":
            raise _invalid("PGRST301", "Wrong or unsupported encoding algorithm")
        if not hmac.compare_digest(signature, _signature(self.secret, f"{parts[0]}.{parts[1]}")):
            raise _invalid(
                "PGRST301", "No suitable key or wrong key type", "None of the keys was able to decode the JWT"
            )
        _check_times(claims)
        return dict(claims)


def make_keys(secret: str, *, root_is_open: bool) -> Keys:
    now = int(time.time())
    lasting = {"iss": "supabase", "iat": now - 60, "exp": now + _YEARS}
    anon, service = (sign(secret, lasting | {"role": role}) for role in (ANONYMOUS, SERVICE))
    digest = hashlib.sha256(secret.encode()).hexdigest()
    publishable, private = f"sb_publishable_{digest[:22]}_{digest[22:30]}", f"sb_secret_{digest[30:52]}_{digest[52:60]}"
    return Keys(secret, anon, service, publishable, private, root_is_open)


def sign(secret: str, claims: Mapping[str, object]) -> str:
    head, body = (_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{head}.{body}.{_encoded(_signature(secret, f'{head}.{body}'))}"


def _check_times(claims: Mapping[str, Any]) -> None:
    now = time.time()
    for name in ("exp", "nbf", "iat"):
        if name in claims and not isinstance(claims[name], (int, float)):
            raise _invalid("PGRST303", f"The JWT '{name}' claim must be a number")
    if claims.get("exp", now) < now - _SKEW:
        raise _invalid("PGRST303", "JWT expired")
    if claims.get("nbf", now) > now + _SKEW:
        raise _invalid("PGRST303", "JWT not yet valid")
    if claims.get("iat", now) > now + _SKEW:
        raise _invalid("PGRST303", "JWT issued at future")


def _invalid(code: str, message: str, details: str | None = None) -> ApiError:
    told = f'Bearer error="invalid_token", error_description="{message}"'
    return ApiError(401, code, message, details, headers={"WWW-Authenticate": told})


def _signature(secret: str, text: str) -> bytes:
    return hmac.digest(secret.encode(), text.encode(), "sha256")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
