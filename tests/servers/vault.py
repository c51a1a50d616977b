"""A HashiCorp Vault for tests, written from its HTTP API documentation: KV 1 and 2, tokens, AppRole, namespaces.

    def test_reading(vault):                                    # the fixture: `secret/` is KV 2, `kv/` is KV 1
        vault.put("secret/app/db", {"password": "p"})           # a new version; of `kv/…` the only one
        vault.address, vault.root                               # VAULT_ADDR, VAULT_TOKEN: `vault.environment` has both
        limited = vault.token("secret/data/app/*")              # a token with these paths only
        vault.token(uses=1), vault.token(ttl=0)                 # … that is used up, that has expired
        role, secret = vault.approle("secret/data/app/*")       # for POST /v1/auth/approle/login
        vault.delete("secret/app/db"), vault.destroy("secret/app/db", version=1)
        vault.mount("team/kv", 2, namespace="eng")              # X-Vault-Namespace: eng, or /v1/eng/team/kv/…
        vault.state = "sealed"                                  # or standby, performance-standby, uninitialized
        vault.active = "http://…"                               # where a standby redirects to (307); without it 500
        vault.requests, vault.server.faults.hang                # `http_double.py` has these and more

`start_vault(tls=True)` (the fixture `vault_tls`) serves HTTPS, trusted through the file `vault.ca`.
Only reads and logins arrive by HTTP: tests write with the methods above.
"""

from __future__ import annotations

import posixpath
import re
import secrets
import tempfile
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .http_double import Answer, Request, Server, serving
from .tls import server_context, write_authority

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEALTH = {"active": 200, "standby": 429, "performance-standby": 473, "sealed": 503, "uninitialized": 501}
_OPEN = ("sys/health", "sys/seal-status")
_NOT_VERSIONED = (
    "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. "
    "If using the Vault CLI, use 'vault kv get' for this operation."
)
_PREFLIGHT = "preflight capability check returned 403, please ensure client's policies grant access to path "


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _fail(status: int, *errors: str, **headers: str) -> Answer:
    return Answer(status, {"errors": list(errors)}, {"Cache-Control": "no-store", **headers})


def _reply(data: Any, status: int = 200, **more: Any) -> Answer:
    whole = {"request_id": str(uuid.uuid4()), "lease_id": "", "renewable": False, "lease_duration": 0, "data": data}
    rest = {"wrap_info": None, "warnings": None, "auth": None}
    return Answer(status, whole | rest | more, {"Cache-Control": "no-store"})


DENIED = _fail(403, "1 error occurred:\n\t* permission denied\n\n")
UNKNOWN_TOKEN = _fail(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
NO_TOKEN = _fail(403, "permission denied")
RATE_LIMITED = _fail(429, 'request path "secret/data/app": rate limit quota exceeded', **{"Retry-After": "1"})
MISSING = _fail(404)


@dataclass
class Version:
    """One version of a secret."""

    data: dict[str, Any] | None
    number: int
    created: str = field(default_factory=_now)
    deleted: str = ""
    destroyed: bool = False

    def answer(self) -> Answer:
        """Return the answer of KV 2; that of a deleted version is 404 with its metadata."""
        metadata = {"created_time": self.created, "custom_metadata": None, "deletion_time": self.deleted}
        gone = bool(self.deleted) or self.destroyed
        whole = {"data": None if gone else self.data, "metadata": metadata}
        metadata |= {"destroyed": self.destroyed, "version": self.number}
        return _reply(whole, 404 if gone else 200, mount_type="kv")


@dataclass
class Mount:
    """A KV engine."""

    path: str
    version: int
    secrets: dict[str, list[Version]] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """Return what Vault tells the user interface and `vault kv` about it."""
        options = {"version": "2"} if self.version == 2 else None
        common = {"accessor": "kv_1234abcd", "description": "", "local": False, "seal_wrap": False, "uuid": ""}
        config = {"default_lease_ttl": 0, "force_no_cache": False, "max_lease_ttl": 0}
        return common | {"config": config, "options": options, "path": f"{self.path}/", "type": "kv"}

    def read(self, rest: str, query: dict[str, str]) -> Answer:
        """Return the answer to a read of a path within it."""
        if self.version == 1:
            stored = self.secrets.get(rest)
            return _reply(stored[-1].data, lease_duration=2764800, mount_type="kv") if stored else MISSING
        kind, _, name = rest.partition("/")
        if kind != "data":
            return _reply(None, 404, warnings=[_NOT_VERSIONED], mount_type="kv")
        asked = query.get("version", "0")
        if not asked.isdecimal():
            return _fail(400, f'Field validation failed: error converting input {asked} for field "version"')
        versions = self.secrets.get(name, [])
        number = int(asked) or len(versions)
        return versions[number - 1].answer() if 0 < number <= len(versions) else MISSING


@dataclass
class Token:
    """A token and its rights; no paths are those of root."""

    paths: tuple[str, ...]
    namespace: str
    ends: float
    uses: int | None

    def is_valid(self) -> bool:
        """Return whether it has neither expired nor been used up."""
        return self.ends > time.monotonic() and self.uses != 0

    def may_read(self, path: str) -> bool:
        """Return whether a policy has the path: `*` at the end is any rest, `+` one segment."""
        return not self.paths or any(re.fullmatch(_pattern(one), path) for one in self.paths)

    def may_see(self, mount: str) -> bool:
        """Return whether a policy has anything below a mount."""
        return self.may_read(f"{mount}/") or any(one.startswith(f"{mount}/") for one in self.paths)


def _pattern(policy: str) -> str:
    inner = re.escape(policy.removesuffix("*")).replace(r"\+", "[^/]+")
    return inner + (".*" if policy.endswith("*") else "")


class Vault:
    """The service; may be changed while it runs."""

    def __init__(self, ca: Path | None) -> None:
        self.state, self.active, self.ca = "active", "", ca
        self.server: Server
        self._mounts: dict[str, dict[str, Mount]] = {}
        self._tokens: dict[str, Token] = {}
        self._roles: dict[tuple[str, str, str], tuple[tuple[str, ...], float]] = {}
        self.root = self.token()
        self.mount("secret", 2)
        self.mount("kv", 1)

    @property
    def address(self) -> str:
        return self.server.url

    @property
    def requests(self) -> list[Request]:
        return self.server.requests

    @property
    def environment(self) -> dict[str, str]:
        """The variables that clients of Vault read."""
        trusted = {"VAULT_CACERT": str(self.ca)} if self.ca else {}
        return {"VAULT_ADDR": self.address, "VAULT_TOKEN": self.root, **trusted}

    def mount(self, path: str, version: int, *, namespace: str = "") -> None:
        """Mount a KV engine, and create the namespace if it does not exist."""
        self._mounts.setdefault(namespace, {})[path] = Mount(path, version)

    def put(self, path: str, data: dict[str, Any], *, namespace: str = "") -> int:
        """Write `MOUNT/NAME` and return its version; values are anything that JSON has."""
        mount, name = self._find(path, namespace)
        versions = mount.secrets.setdefault(name, [])
        if mount.version == 1:
            versions.clear()
        versions.append(Version(data, len(versions) + 1))
        return len(versions)

    def delete(self, path: str, *, version: int | None = None, namespace: str = "") -> None:
        """Delete a version, by default the newest; one of KV 1 does not exist any more."""
        mount, name = self._find(path, namespace)
        if mount.version == 1:
            del mount.secrets[name]
        else:
            mount.secrets[name][(version or 0) - 1].deleted = _now()

    def destroy(self, path: str, *, version: int | None = None, namespace: str = "") -> None:
        """Destroy a version, by default the newest."""
        mount, name = self._find(path, namespace)
        one = mount.secrets[name][(version or 0) - 1]
        one.data, one.destroyed = None, True

    def token(self, *paths: str, namespace: str = "", ttl: float = 3600, uses: int | None = None) -> str:
        """Return a token that may read these paths, in the namespace and below; without paths, everything."""
        text = f"hvs.{secrets.token_urlsafe(70)[:90]}"
        self._tokens[text] = Token(paths, namespace, time.monotonic() + ttl, uses)
        return text

    def revoke(self, token: str) -> None:
        """Forget a token."""
        del self._tokens[token]

    def approle(self, *paths: str, mount: str = "approle", namespace: str = "", ttl: float = 3600) -> tuple[str, str]:
        """Return role id and secret id; paths and `ttl`, in seconds, are those of the tokens."""
        role, secret = str(uuid.uuid4()), str(uuid.uuid4())
        self._roles[f"{namespace}/{mount}", role, secret] = paths, ttl
        return role, secret

    def respond(self, request: Request) -> Answer:
        """Answer as Vault does."""
        if not all(letter.isprintable() for letter in request.path):
            return Answer(400)
        if cleaned := _cleaned(request.path):
            return Answer(301, "", {"Location": cleaned})
        if not request.path.startswith("/v1/"):
            return MISSING
        header = request.headers.get("x-vault-namespace", "").strip("/")
        namespace, path = self._split(header, request.path.removeprefix("/v1/"))
        if path in _OPEN:
            return self._health(path)
        unavailable = self._unavailable(request)
        if unavailable:
            return unavailable
        if namespace not in self._mounts and namespace:
            return _fail(404, f'no handler for route "{path}". route entry not found.')
        login = re.fullmatch(r"auth/(.+)/login", path)
        return self._login(request, login[1], namespace) if login else self._read(request, namespace, path)

    def _split(self, namespace: str, path: str) -> tuple[str, str]:
        """Return the namespace, which may be in the header, in the path, or partly in both, and the rest."""
        whole = f"{namespace}/{path}" if namespace else path
        inner = [one for one in self._mounts if one and whole.startswith(f"{one}/") and len(one) >= len(namespace)]
        found = max(inner, key=len, default="")
        return (found, whole.removeprefix(f"{found}/")) if found else (namespace, path)

    def _find(self, path: str, namespace: str) -> tuple[Mount, str]:
        mount = self._mount(path, namespace)
        if mount is None:
            raise KeyError(path)
        return mount, path.removeprefix(f"{mount.path}/")

    def _mount(self, path: str, namespace: str) -> Mount | None:
        within = [one for at, one in self._mounts[namespace].items() if f"{path}/".startswith(f"{at}/")]
        return max(within, key=lambda one: len(one.path), default=None)

    def _health(self, path: str) -> Answer:
        sealed = self.state in ("sealed", "uninitialized")
        told = {"initialized": self.state != "uninitialized", "sealed": sealed, "version": "1.18.3"}
        told |= {"standby": self.state in ("standby", "performance-standby")}
        return Answer(_HEALTH[self.state] if path == "sys/health" else 200, told, {"Cache-Control": "no-store"})

    def _unavailable(self, request: Request) -> Answer | None:
        if self.state == "sealed":
            return _fail(503, "Vault is sealed")
        if self.state == "uninitialized":
            return _fail(503, "Vault is not initialized")
        if self.state != "standby":
            return None
        if self.active:
            return Answer(307, "", {"Location": self.active + request.target})
        return _fail(500, "local node not active but active cluster node not found")

    def _login(self, request: Request, mount: str, namespace: str) -> Answer:
        if request.method not in ("POST", "PUT"):
            return _fail(405, "unsupported operation")
        try:
            given = request.json()
            role, secret = str(given.get("role_id") or ""), str(given.get("secret_id") or "")
        except (ValueError, AttributeError):
            return _fail(400, "failed to parse JSON input: invalid character")
        if not role or not secret:
            return _fail(400, "missing role_id" if not role else "missing secret_id")
        found = self._roles.get((f"{namespace}/{mount}", role, secret))
        if found is None:
            return _fail(400, "invalid role or secret ID")
        paths, ttl = found
        token = self.token(*paths, namespace=namespace, ttl=ttl)
        auth = {"client_token": token, "accessor": secrets.token_hex(12), "policies": ["default"], "num_uses": 0}
        auth |= {"lease_duration": int(ttl), "renewable": True, "token_type": "service", "orphan": True}
        return _reply(None, auth=auth)

    def _read(self, request: Request, namespace: str, path: str) -> Answer:
        token = self._caller(request, namespace)
        if isinstance(token, Answer):
            return token
        if request.method != "GET":
            return _fail(405, "1 error occurred:\n\t* unsupported operation\n\n")
        if path == "auth/token/lookup-self":
            return _reply({"ttl": int(token.ends - time.monotonic()), "num_uses": token.uses or 0, "type": "service"})
        asked = path.removeprefix("sys/internal/ui/mounts/")
        mount = self._mount(asked, namespace)
        if asked != path:
            seen = mount and token.may_see(mount.path)
            return _reply(mount.described()) if seen else _fail(403, f'{_PREFLIGHT}"{asked.strip("/")}/"')
        if not token.may_read(path):
            return DENIED
        if mount is None:
            return _fail(404, f'no handler for route "{path}". route entry not found.')
        return mount.read(path[len(mount.path) + 1 :], request.query)

    def _caller(self, request: Request, namespace: str) -> Token | Answer:
        bearer = re.fullmatch(r"Bearer (.+)", request.headers.get("authorization", ""))
        text = request.headers.get("x-vault-token") or (bearer[1] if bearer else "")
        if not text:
            return NO_TOKEN
        token = self._tokens.get(text)
        if token is None or not token.is_valid():
            return UNKNOWN_TOKEN
        if not f"{namespace}/".startswith(f"{token.namespace}/" if token.namespace else ""):
            return DENIED
        token.uses = token.uses and token.uses - 1
        return token


def _cleaned(path: str) -> str | None:
    """Return the path to which Vault redirects, if it has empty, `.` or `..` segments."""
    cleaned = posixpath.normpath(path) + ("/" if path.endswith("/") and path != "/" else "")
    return None if "/" + cleaned.lstrip("/") == path else "/" + cleaned.lstrip("/")


@contextmanager
def start_vault(*, tls: bool = False, expired: bool = False) -> Iterator[Vault]:
    """Yield a Vault that runs until the block ends; `expired` is its certificate."""
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(write_authority(Path(folder)) if tls else None)
        with serving(vault.respond, server_context(expired=expired) if tls else None) as vault.server:
            yield vault
