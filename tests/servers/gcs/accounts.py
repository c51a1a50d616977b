"""Service accounts, their keys, and the tokens for them: issued by the token endpoint, or signed with a key."""

from __future__ import annotations

import base64
import functools
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .errors import Answer

if TYPE_CHECKING:
    from .faults import Faults

RIGHTS = ("get", "list", "create", "delete")
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE = "https://storage.googleapis.com/"
TOKEN_AUDIENCE = "https://oauth2.googleapis.com/token"
SCOPES = {
    "https://www.googleapis.com/auth/cloud-platform": RIGHTS,
    "https://www.googleapis.com/auth/devstorage.full_control": RIGHTS,
    "https://www.googleapis.com/auth/devstorage.read_write": RIGHTS,
    "https://www.googleapis.com/auth/devstorage.read_only": ("get", "list"),
}
_LONGEST, _SKEW = 3600, 300
_TIMES = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)


@dataclass
class Refused(Exception):
    """A token or an assertion is invalid, in the words of the token endpoint."""

    error: str
    description: str


@dataclass(frozen=True)
class Caller:
    """The account of a request, and its rights."""

    email: str
    rights: frozenset[str]


@functools.cache
def secret(name: str) -> rsa.RSAPrivateKey:
    """Return the secret with a name; created once, because that takes a tenth of a second."""
    return rsa.generate_private_key(65537, 2048)


class Account:
    """A service account with one key."""

    def __init__(self, name: str, rights: tuple[str, ...]) -> None:
        self.email = f"{name}@osiris-tests.iam.gserviceaccount.com"
        self.rights = frozenset(rights)
        self.key_id = secrets.token_hex(20)
        self._private = secret(name)
        self.public = self._private.public_key()

    def key(self, endpoint: str, *, base_url: bool, private: rsa.RSAPrivateKey | None = None) -> str:
        """Return the key file as Google issues it; `private` replaces the secret."""
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pem = (private or self._private).private_bytes(serialization.Encoding.PEM, form, plain).decode()
        fields = {
            "type": "service_account",
            "project_id": "osiris-tests",
            "private_key_id": self.key_id,
            "private_key": pem,
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "auth_uri": f"{endpoint}/auth",
            "token_uri": f"{endpoint}/token",
            "universe_domain": "googleapis.com",
        }
        return json.dumps(fields | ({"gcs_base_url": endpoint} if base_url else {}))


class Accounts:
    """All accounts, and the tokens that were given out."""

    def __init__(self, faults: Faults) -> None:
        self.endpoint = ""
        self._faults = faults
        self._by_rights: dict[tuple[str, ...], Account] = {}
        self._tokens: dict[str, tuple[Caller, float]] = {}
        self._uses: dict[str, int] = {}

    def account(self, rights: tuple[str, ...]) -> Account:
        """Return the account with these rights; creates it if it does not exist."""
        if unknown := set(rights) - set(RIGHTS):
            raise ValueError(f"no such rights: {sorted(unknown)}")
        sorted_rights = tuple(right for right in RIGHTS if right in rights)
        if sorted_rights not in self._by_rights:
            self._by_rights[sorted_rights] = Account("-".join(sorted_rights) or "nobody", sorted_rights)
        return self._by_rights[sorted_rights]

    def caller(self, bearer: str) -> Caller:
        """Return the account of a token. Raises `Refused`."""
        self._uses[bearer] = self._uses.get(bearer, 0) + 1
        if self._faults.token_uses is not None and self._uses[bearer] > self._faults.token_uses:
            raise Refused("invalid_token", "the token was used too often")
        if bearer in self._tokens:
            caller, granted = self._tokens[bearer]
            if time.time() >= granted + self._faults.token_lifetime:
                raise Refused("invalid_token", "the token has expired")
            return caller
        claims, account = self._verified(bearer)
        if claims.get("sub") != account.email or claims.get("aud", AUDIENCE) != AUDIENCE:
            raise Refused("invalid_token", "the token is for something else")
        return _caller(claims, account)

    def grant(self, form: bytes) -> Answer:
        """Answer a request to the token endpoint."""
        try:
            token, lifetime = self._granted(form), self._faults.token_lifetime
        except Refused as refused:
            return _json(400, {"error": refused.error, "error_description": refused.description})
        return _json(200, {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"})

    def _granted(self, form: bytes) -> str:
        given = {name: values[-1] for name, values in parse_qs(form.decode("ascii", "replace")).items()}
        if given.get("grant_type") != GRANT:
            raise Refused("unsupported_grant_type", f"Invalid grant_type: {given.get('grant_type', '')}")
        claims, account = self._verified(given.get("assertion", ""))
        # google-auth names the token endpoint of Google wherever it asks.
        if claims.get("aud") not in (TOKEN_AUDIENCE, f"{self.endpoint}/token"):
            told = f"Invalid JWT: Failed audience check. The right audience is {TOKEN_AUDIENCE}"
            raise Refused("invalid_grant", told)
        token = f"ya29.{secrets.token_urlsafe(60)}"
        self._tokens[token] = _caller(claims, account), time.time()
        return token

    def _verified(self, token: str) -> tuple[dict[str, Any], Account]:
        """Return the claims and the account of a signed token, after verifying signature and times."""
        try:
            head, body, signature = token.encode("ascii").split(b".")
            header, claims = json.loads(_unpacked(head)), json.loads(_unpacked(body))
            issuer, starts, ends = claims["iss"], int(claims["iat"]), int(claims["exp"])
            algorithm, key_id, signed = header["alg"], header.get("kid"), _unpacked(signature)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused("invalid_grant", "Invalid JWT: Failed to parse the token.") from None
        account = next((one for one in self._by_rights.values() if one.email == issuer), None)
        if account is None:
            raise Refused("invalid_grant", "Invalid grant: account not found")
        if algorithm != "RS256" or key_id not in (None, account.key_id):
            raise Refused("invalid_grant", "Invalid JWT Signature.")
        try:
            account.public.verify(signed, head + b"." + body, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise Refused("invalid_grant", "Invalid JWT Signature.") from None
        now = time.time()
        if not (starts <= now + _SKEW and now < ends <= starts + _LONGEST):
            raise Refused("invalid_grant", _TIMES)
        return claims, account


def _caller(claims: dict[str, Any], account: Account) -> Caller:
    """Return an account's rights within the scope of a token; a token with this service as its audience has all."""
    scopes = str(claims.get("scope", "")).split()
    if not scopes and claims.get("aud") == AUDIENCE:
        return Caller(account.email, account.rights)
    within = {right for scope in scopes for right in SCOPES.get(scope, ())}
    if not within:
        raise Refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return Caller(account.email, account.rights & within)


def _unpacked(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _json(status: int, value: dict[str, Any]) -> Answer:
    headers = (("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store"))
    return Answer(status, headers, json.dumps(value, indent=2).encode())
