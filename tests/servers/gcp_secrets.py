"""A Google Secret Manager for tests, written from its REST reference (v1): `versions/…:access`, and service accounts.

    def test_reading(gcp_secrets):                              # the fixture
        gcp_secrets.put("db", "text or bytes")                  # version 1, 2, …
        gcp_secrets.endpoint, gcp_secrets.project               # GET {endpoint}/v1/projects/{project}/secrets/db/…
        gcp_secrets.key                                         # the JSON of a service account: its token_uri is here
        gcp_secrets.outsider, gcp_secrets.forged                # one without the right, and one with a wrong secret
        gcp_secrets.token()                                     # an access token, for clients that have one
        gcp_secrets.token_faults.token_lifetime = 60            # seconds, of all tokens
        gcp_secrets.expire_tokens()                             # all tokens so far get 401
        gcp_secrets.disable("db"), gcp_secrets.destroy("db", 1), gcp_secrets.enable("db")
        gcp_secrets.wrong_checksum = True                       # dataCrc32c is not that of the data
        gcp_secrets.server.script.append(QUOTA)                 # 429; also SERVICE_DISABLED, UNAVAILABLE
        gcp_secrets.requests, gcp_secrets.server.faults.hang    # `http_double.py` has these and more

Tokens are those of `gcs/accounts.py`: POST /token with a signed assertion, or a JWT with a scope that the client signed
itself; one with this API as its audience is refused, which Google accepts.
"""

from __future__ import annotations

import base64
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .gcs.accounts import Accounts, Caller, Refused
from .gcs.crc32c import crc32c
from .gcs.faults import Faults
from .http_double import Answer, Request, Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

_RIGHT = "get"
_NAME = re.compile(
    r"/v1/(projects/(?P<project>[^/]+)(?:/locations/[^/]+)?/secrets/(?P<secret>[^/]+))/versions/(?P<version>[^/:]+):access"
)
_STATUS = {
    "FAILED_PRECONDITION": 400,
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
}
_BAD_TOKEN = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


def _fail(status: str, message: str, reason: str | None = None) -> Answer:
    """Return an error in the form of Google's APIs."""
    error: dict[str, Any] = {"code": _STATUS[status], "message": message, "status": status}
    if reason:
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
        error["details"] = [info]
    return Answer(_STATUS[status], json.dumps({"error": error}, indent=2).encode(), dict(_JSON))


_JSON = {"Content-Type": "application/json; charset=UTF-8"}
QUOTA = _fail("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Access requests'.", "RATE_LIMIT_EXCEEDED")
UNAVAILABLE = _fail("UNAVAILABLE", "The service is currently unavailable.")
SERVICE_DISABLED = _fail(
    "PERMISSION_DENIED",
    "Secret Manager API has not been used in project osiris-tests before or it is disabled.",
    "SERVICE_DISABLED",
)


@dataclass
class Version:
    """One version: enabled, disabled or destroyed."""

    data: bytes
    state: str = "ENABLED"


@dataclass
class GcpSecrets:
    """The service; may be changed while it runs."""

    project: str = "osiris-tests"
    number: str = "123456789012"
    wrong_checksum: bool = False
    server: Server = None  # type: ignore[assignment]
    token_faults: Faults = field(default_factory=Faults)
    _secrets: dict[str, list[Version]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._accounts = Accounts(self.token_faults)

    @property
    def endpoint(self) -> str:
        return self.server.url

    @property
    def requests(self) -> list[Request]:
        return self.server.requests

    @property
    def key(self) -> str:
        """The JSON of a service account that may read."""
        return self._accounts.account((_RIGHT,)).key(self.endpoint, base_url=False)

    @property
    def outsider(self) -> str:
        """The JSON of a service account without rights."""
        return self._accounts.account(()).key(self.endpoint, base_url=False)

    @property
    def forged(self) -> str:
        """The JSON of the account that may read, with the secret of another."""
        whole = json.loads(self.key)
        return json.dumps(whole | {"private_key": json.loads(self.outsider)["private_key"]})

    def token(self) -> str:
        """Return an access token of the account that may read."""
        text = f"ya29.osiris-{len(self._accounts._tokens)}"
        self._accounts._tokens[text] = Caller(self._accounts.account((_RIGHT,)).email, frozenset({_RIGHT})), 1e12
        return text

    def expire_tokens(self) -> None:
        """Let all tokens that were given out expire; those that clients signed themselves do not."""
        self._accounts._tokens.update({token: (one, 0.0) for token, (one, _) in self._accounts._tokens.items()})

    def put(self, name: str, data: str | bytes) -> int:
        """Add a version and return its number."""
        versions = self._secrets.setdefault(name, [])
        versions.append(Version(data.encode() if isinstance(data, str) else data))
        return len(versions)

    def disable(self, name: str, version: int = 0) -> None:
        """Disable a version, by default the newest."""
        self._secrets[name][version - 1].state = "DISABLED"

    def enable(self, name: str, version: int = 0) -> None:
        """Enable a version, by default the newest."""
        self._secrets[name][version - 1].state = "ENABLED"

    def destroy(self, name: str, version: int = 0) -> None:
        """Destroy a version, by default the newest."""
        self._secrets[name][version - 1] = Version(b"", "DESTROYED")

    def respond(self, request: Request) -> Answer:
        """Answer as Google does."""
        self._accounts.endpoint = self.endpoint
        if (request.method, request.path) == ("POST", "/token"):
            answer = self._accounts.grant(request.body)
            return Answer(answer.status, answer.body, dict(answer.headers))
        found = _NAME.fullmatch(request.path)
        if request.method != "GET" or not found:
            return Answer(404, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", {"Content-Type": "text/html"})
        caller = self._caller(request)
        if isinstance(caller, Answer):
            return caller
        if _RIGHT not in caller.rights or found["project"] not in (self.project, self.number):
            what = f"{found[1]}/versions/{found['version']}"
            told = f"Permission 'secretmanager.versions.access' denied for resource '{what}' (or it may not exist)."
            return _fail("PERMISSION_DENIED", told, "IAM_PERMISSION_DENIED")
        return self._access(found["secret"], found["version"])

    def _caller(self, request: Request) -> Caller | Answer:
        bearer = re.fullmatch(r"Bearer (\S+)", request.headers.get("authorization", ""))
        if not bearer:
            told = "Request is missing required authentication credential."
            return _fail("UNAUTHENTICATED", told, "CREDENTIALS_MISSING")
        try:
            return self._accounts.caller(bearer[1])
        except Refused as problem:
            reason = "EXPIRED" if "expired" in problem.description else "TYPE_UNSUPPORTED"
            return _fail("UNAUTHENTICATED", _BAD_TOKEN, f"ACCESS_TOKEN_{reason}")

    def _access(self, name: str, version: str) -> Answer:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name) or not re.fullmatch(r"latest|[1-9]\d*", version):
            return _fail("INVALID_ARGUMENT", "The provided resource ID is not in the expected format.")
        resource, versions = f"projects/{self.number}/secrets/{name}", self._secrets.get(name, [])
        if not versions:
            return _fail("NOT_FOUND", f"Secret [{resource}] not found or has no versions.")
        number = len(versions) if version == "latest" else int(version)
        whole = f"{resource}/versions/{number}"
        if number > len(versions):
            return _fail("NOT_FOUND", f"Secret Version [{whole}] not found.")
        one = versions[number - 1]
        if one.state != "ENABLED":
            return _fail("FAILED_PRECONDITION", f"Secret Version [{whole}] is in {one.state} state.")
        checksum = crc32c(one.data) ^ self.wrong_checksum
        payload = {"data": base64.b64encode(one.data).decode(), "dataCrc32c": str(checksum)}
        return Answer(200, json.dumps({"name": whole, "payload": payload}, indent=2).encode(), dict(_JSON))


@contextmanager
def start_gcp_secrets() -> Iterator[GcpSecrets]:
    """Yield a Secret Manager that runs until the block ends."""
    service = GcpSecrets()
    with serving(service.respond) as service.server:
        yield service
