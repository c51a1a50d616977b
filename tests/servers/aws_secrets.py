"""An AWS Secrets Manager for tests, written from its API reference: `GetSecretValue` in JSON 1.1, signatures verified.

    def test_reading(aws_secrets):                              # the fixture
        aws_secrets.put("prod/db", '{"password": "p"}')         # bytes become SecretBinary; a new version each time
        aws_secrets.put("prod/db", "x", stages=["AWSPENDING"])  # the newest has AWSCURRENT, the one before AWSPREVIOUS
        aws_secrets.arn("prod/db")                              # the whole ARN; it works without its end, too
        aws_secrets.environment                                 # endpoint, region and keys, as botocore reads them
        aws_secrets.user(token=True, allowed=["prod/db"])       # another environment: a session token, fewer rights
        aws_secrets.expire(environment)                         # its session token has expired
        aws_secrets.fails["prod/db"] = "DecryptionFailure"      # a name of `ERRORS`; `*` is every secret
        aws_secrets.delete("prod/db")                           # it is scheduled for deletion
        aws_secrets.requests, aws_secrets.server.faults.hang    # `http_double.py` has these and more

Signature Version 4 is computed here from its specification, without botocore: scope, times (five minutes), signed
headers (Host, X-Amz-Date and all other X-Amz-…), the body's hash and session tokens are checked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from .http_double import Answer, Request, Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REGION, SERVICE, ACCOUNT = "eu-central-1", "secretsmanager", "123456789012"
SKEW = 300
ERRORS = {
    "DecryptionFailure": (400, "Secrets Manager can't decrypt the protected secret text using the provided KMS key."),
    "AccessDeniedException": (400, "Access to KMS is not allowed"),
    "InternalServiceError": (500, "An error occurred on the server side."),
    "InvalidRequestException": (
        400,
        "You can't perform this operation on the secret because it was marked for deletion.",
    ),
    "ResourceNotFoundException": (400, "Secrets Manager can't find the specified secret."),
    "ThrottlingException": (400, "Rate exceeded"),
}
_INVALID = "The security token included in the request is invalid."
_VALIDATION = "1 validation error detected: Value at"
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
_CREDENTIAL = re.compile(r"([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request")
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^, ]+),\s*SignedHeaders=([^, ]+),\s*Signature=([0-9a-f]{64})"
)


class Refused(Exception):
    """A request that AWS refuses: the error's name, its message and status."""

    def __init__(self, name: str, message: str | None = None, status: int | None = None) -> None:
        usual = ERRORS.get(name, (400, ""))
        super().__init__(name)
        self.name, self.message, self.status = name, message or usual[1], status or usual[0]


@dataclass
class Version:
    """One version of a secret."""

    value: str | bytes
    stages: list[str]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: float = field(default_factory=lambda: round(time.time(), 3))


@dataclass
class Secret:
    """A secret with its versions, the newest last."""

    name: str
    arn: str
    versions: list[Version] = field(default_factory=list)
    deleted: bool = False


@dataclass
class User:
    """Who has a key: `allowed` are names of secrets, None is all."""

    secret: str
    token: str | None
    allowed: frozenset[str] | None
    expired: bool = False


class AwsSecrets:
    """The service; may be changed while it runs."""

    def __init__(self) -> None:
        self.server: Server
        self.fails: dict[str, str] = {}
        self._secrets: dict[str, Secret] = {}
        self._users: dict[str, User] = {}
        self._owner: dict[str, str] = {}

    @property
    def requests(self) -> list[Request]:
        return self.server.requests

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a user who may read everything."""
        if not self._owner:
            self._owner = self.user()
        return self._owner

    def user(self, *, token: bool = False, allowed: Sequence[str] | None = None) -> dict[str, str]:
        """Return the variables of another user, with a session token or without."""
        access, secret = f"{'ASIA' if token else 'AKIA'}{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30)
        session = secrets.token_urlsafe(100) if token else None
        self._users[access] = User(f"{secret}/+", session, None if allowed is None else frozenset(allowed))
        keys = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": f"{secret}/+"}
        place = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}
        place |= {"AWS_ENDPOINT_URL_SECRETS_MANAGER": self.server.url}
        return keys | place | ({"AWS_SESSION_TOKEN": session} if session else {})

    def expire(self, environment: dict[str, str]) -> None:
        """Let the session token of a user expire."""
        self._users[environment["AWS_ACCESS_KEY_ID"]].expired = True

    def put(self, name: str, value: str | bytes, *, stages: Sequence[str] | None = None) -> str:
        """Write a version and return its id; stages are taken away from other versions."""
        letters = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(6))
        arn = f"arn:aws:{SERVICE}:{REGION}:{ACCOUNT}:secret:{name}-{letters}"
        secret = self._secrets.setdefault(name, Secret(name, arn))
        new = Version(value, list(["AWSCURRENT"] if stages is None else stages))
        if "AWSCURRENT" in new.stages:
            for one in secret.versions:
                one.stages = ["AWSPREVIOUS"] if "AWSCURRENT" in one.stages else []
        for one in secret.versions:
            one.stages = [stage for stage in one.stages if stage not in new.stages]
        secret.versions.append(new)
        return new.id

    def arn(self, name: str) -> str:
        return self._secrets[name].arn

    def delete(self, name: str) -> None:
        """Schedule a secret for deletion."""
        self._secrets[name].deleted = True

    def respond(self, request: Request) -> Answer:
        """Answer as AWS does."""
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
        try:
            return Answer(200, json.dumps(self._value(request)).encode(), headers)
        except Refused as problem:
            told = {"__type": problem.name, "Message": problem.message}
            return Answer(problem.status, json.dumps(told).encode(), headers)

    def _value(self, request: Request) -> dict[str, Any]:
        operation = request.headers.get("x-amz-target", "")
        kind = request.headers.get("content-type", "").partition(";")[0]
        if request.method != "POST" or request.path != "/" or kind != "application/x-amz-json-1.1":
            raise Refused("UnknownOperationException", " ", 404)
        access = verify(request, self._users)
        if operation != f"{SERVICE}.GetSecretValue":
            raise Refused("UnknownOperationException", " ")
        asked = _asked(request)
        secret = self._find(asked["SecretId"])
        self._check_rights(access, secret.name if secret else asked["SecretId"])
        if secret is None:
            raise Refused("ResourceNotFoundException")
        if secret.deleted:
            raise Refused("InvalidRequestException")
        return _described(secret, _version(secret, asked))

    def _find(self, asked: str) -> Secret | None:
        """Return the secret with a name, an ARN, or an ARN without its end."""
        exact = self._secrets.get(asked)
        return exact or next((one for one in self._secrets.values() if asked in (one.arn, one.arn[:-7])), None)

    def _check_rights(self, access: str, name: str) -> None:
        allowed = self._users[access].allowed
        action = "secretsmanager:GetSecretValue"
        if allowed is not None and name not in allowed:
            who = f"User: arn:aws:iam::{ACCOUNT}:user/osiris is not authorized to perform: {action}"
            why = f"because no identity-based policy allows the {action} action"
            raise Refused("AccessDeniedException", f"{who} on resource: {name} {why}")
        failure = self.fails.get(name) or self.fails.get("*")
        if failure:
            raise Refused(failure)


def _asked(request: Request) -> dict[str, str]:
    """Return the parameters, after the checks of the API reference."""
    try:
        asked = request.json()
    except ValueError:
        raise Refused("SerializationException", " ") from None
    if not isinstance(asked, dict) or not all(isinstance(one, str) for one in asked.values()):
        raise Refused("SerializationException", " ")
    if "SecretId" not in asked:
        raise Refused("ValidationException", f"{_VALIDATION} 'secretId' failed to satisfy constraint: not be null")
    limits = {"SecretId": (1, 2048), "VersionId": (32, 64), "VersionStage": (1, 256)}
    for name in limits.keys() & asked.keys():
        shortest, longest = limits[name]
        if not shortest <= len(asked[name]) <= longest:
            raise Refused("ValidationException", f"{_VALIDATION} '{name}' failed to satisfy constraint: length")
    return asked


def _version(secret: Secret, asked: dict[str, str]) -> Version:
    wanted, stage = asked.get("VersionId"), asked.get("VersionStage")
    if not wanted and not stage:
        stage = "AWSCURRENT"
    for one in secret.versions:
        if wanted in (None, one.id) and (stage is None or stage in one.stages):
            return one
    which = f"VersionId: {wanted}" if wanted else f"staging label: {stage}"
    told = f"Secrets Manager can't find the specified secret value for {which}"
    raise Refused("ResourceNotFoundException", told)


def _described(secret: Secret, version: Version) -> dict[str, Any]:
    binary = isinstance(version.value, bytes)
    value = base64.b64encode(version.value).decode() if isinstance(version.value, bytes) else version.value
    common = {"ARN": secret.arn, "Name": secret.name, "VersionId": version.id, "CreatedDate": version.created}
    return common | {"VersionStages": version.stages, "SecretBinary" if binary else "SecretString": value}


def verify(request: Request, users: dict[str, User]) -> str:
    """Return the access key of a correctly signed request (Signature Version 4). Raises `Refused`."""
    if "authorization" not in request.headers:
        raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
    found = _AUTHORIZATION.fullmatch(request.headers["authorization"])
    scope = found and _CREDENTIAL.fullmatch(found[1])
    stamp = request.headers.get("x-amz-date", "")
    if not found or not scope or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        raise Refused("IncompleteSignatureException", "Authorization header is incomplete.")
    access, day, region, service = scope.groups()
    user = users.get(access)
    if user is None or user.token != request.headers.get("x-amz-security-token"):
        raise Refused("UnrecognizedClientException", _INVALID)
    if user.expired:
        raise Refused("ExpiredTokenException", "The security token included in the request is expired")
    _check_scope(stamp, day, region, service)
    if not hmac.compare_digest(found[3], _signature(request, user.secret, found[1], found[2])):
        raise Refused("InvalidSignatureException", _MISMATCH)
    return access


def _check_scope(stamp: str, day: str, region: str, service: str) -> None:
    sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    away = sent - time.time()
    if abs(away) > SKEW:
        told = "Signature expired" if away < 0 else "Signature not yet current"
        raise Refused("InvalidSignatureException", f"{told}: {stamp}")
    if not stamp.startswith(day):
        raise Refused("InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601")
    if (region, service) != (REGION, SERVICE):
        told = f"a valid region. Region: '{region}'" if region != REGION else f"correct service: '{SERVICE}'."
        raise Refused("InvalidSignatureException", f"Credential should be scoped to {told}")


def _signature(request: Request, secret: str, credential: str, signed: str) -> str:
    """Return the signature that the request should have."""
    names = signed.split(";")
    needed = {"host", *(name for name in request.headers if name.startswith("x-amz-"))}
    if names != sorted(names) or not needed <= set(names) or not set(names) <= set(request.headers):
        raise Refused("InvalidSignatureException", _MISMATCH)
    url = urlsplit(request.target)
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(url.query, True))
    lines = [request.method, quote(url.path, safe="/-_.~"), "&".join(f"{k}={v}" for k, v in pairs)]
    lines += [f"{name}:{' '.join(request.headers[name].split())}" for name in names]
    lines += ["", signed, hashlib.sha256(request.body).hexdigest()]
    scope = credential.partition("/")[2]
    whole = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, whole])
    signing = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        signing = hmac.digest(signing, part.encode(), "sha256")
    return signing.hex()


@contextmanager
def start_aws_secrets() -> Iterator[AwsSecrets]:
    """Yield a Secrets Manager that runs until the block ends."""
    service = AwsSecrets()
    with serving(service.respond) as service.server:
        yield service
