"""Connections of the supabase family: to a project's database, or to its REST interface.

A connection with a database address becomes one of the postgres family (`wire_fields`), which does all else. With only
URL and key, requests go to the project's PostgREST (`rest_address`).
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from osiris.errors import fail
from osiris.families.doctor_report import is_local
from osiris.families.sql.watchdog import SILENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue
    from osiris.secret import Secret

    Fields = Mapping[str, JsonValue | Secret]

_NAMES = {
    "dsn": ("dsn", "pg_dsn", "pg_url", "sql_dsn"),
    "host": ("host", "pg_host"),
    "port": ("port", "pg_port"),
    "database": ("database", "pg_database"),
    "user": ("user", "pg_user"),
    "password": ("password", "pg_password"),
}
"""The accepted names of each field of the postgres family."""

_SHARED = (
    "schema",
    "schemas",
    "functions",
    "trusted_schemas",
    "sslmode",
    "sslrootcert",
    "connect_timeout",
    "read_timeout",
    "statement_timeout",
    "application_name",
)
_KEYS = ("key", "service_role_key", "anon_key")
_REFUSED = ("sql_url", "sql_endpoint")
_POOLER = 6543
"""The port of Supabase's pooler in transaction mode."""

_IS_KEY = re.compile(r"[!-~]+")
_PATH = "/rest/v1"
_OF_PREFIX = {"sb_publishable_": "anon", "sb_secret_": "service_role"}
SERVICE = "service_role"
"""The role that bypasses row level security."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A PostgREST server: `url` is the base of table URLs, `where` may be shown in messages.

    `silence` and `timeout` are in seconds. `schemas` are Supabase's own schemas that steps may use.
    """

    url: str
    key: Secret
    where: str
    host: str
    encrypted: bool
    schema: str
    timeout: float
    silence: float
    schemas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """The unverified contents of a key: its kind, its role, and when it expires, in seconds since 1970.

    `claims` is the encoded payload of a JWT.
    """

    kind: str
    role: str
    expires: float | None = None
    claims: str = ""


def has_database(fields: Fields) -> bool:
    """Whether a connection has a database address."""
    return any(fields.get(name) is not None for field in ("dsn", "host") for name in _NAMES[field])


def wire_fields(fields: Fields) -> dict[str, JsonValue | Secret] | None:
    """Return the fields of the same connection in the postgres family; None if it has no database address.

    Fails with CON068 for fields that contradict each other, and CON072 for unsupported ones.
    """
    _refuse(fields)
    if not has_database(fields):
        return None
    wire = {name: _one(fields, names) for name, names in _NAMES.items()}
    wire |= {name: fields.get(name) for name in _SHARED}
    parts = _parts(wire["dsn"])
    if not parts:
        wire["database"] = wire["database"] or "postgres"
        wire["user"] = wire["user"] or "postgres"
    if wire["sslmode"] is None and "sslmode" not in parts and not is_local(str(wire["host"] or parts.get("host"))):
        wire["sslmode"] = "require"
    return {name: value for name, value in wire.items() if value is not None}


def shares_connections(fields: Fields) -> bool:
    """Whether the database address of a connection is that of a pooler in transaction mode."""
    port = _one(fields, _NAMES["port"]) or _parts(_one(fields, _NAMES["dsn"])).get("port")
    return str(port) == str(_POOLER)


def rest_address(fields: Fields) -> Rest:
    """Return the REST interface of a connection; fails with CON067 to CON072 for missing or contradictory fields."""
    _refuse(fields)
    unused = [name for field in ("port", "database", "user", "password") for name in _NAMES[field] if name in fields]
    if unused:
        fail("CON067", missing=f"'host', which '{unused[0]}' needs")
    keys = [fields[name] for name in _KEYS if fields.get(name) is not None]
    if len(keys) > 1 and fields.get("key") is not None:
        other = next(name for name in _KEYS[1:] if fields.get(name) is not None)
        fail("CON068", fields=f"'key' and '{other}'", problem="are both set")
    if not keys:
        fail("CON067", missing="a database address ('dsn' or 'host'), or 'url' and 'key'")
    if not _IS_KEY.fullmatch(keys[0].reveal()):
        name = next(name for name in _KEYS if fields.get(name) is not None)
        fail(
            "CON071",
            field=f"'{name}'",
            problem="is empty, or contains a space, a line break or a character that is not ASCII",
        )
    address, host, encrypted = _address(fields)
    return Rest(
        url=address,
        key=keys[0],
        where=f"the REST interface of {urlsplit(address).netloc}",
        host=host,
        encrypted=encrypted,
        schema=str(fields.get("schema") or "public"),
        timeout=float(fields.get("connect_timeout") or 10),
        silence=float(fields.get("read_timeout") or SILENCE),
        schemas=tuple(map(str, fields.get("schemas") or ())),
    )


def _address(fields: Fields) -> tuple[str, str, bool]:
    url, project = fields.get("url"), fields.get("project_id")
    if not url and not project:
        fail("CON067", missing="'url' (or 'project_id'), which its key needs")
    if not url:
        url = f"https://{project}.supabase.co"
    try:
        parts = urlsplit(str(url))
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https") or parts.username or parts.query or parts.fragment:
        fail(
            "CON070",
            field="'url'",
            problem="must be like https://ref.supabase.co; the address of a database goes into 'dsn'",
        )
    if project and host.endswith(".supabase.co") and host != f"{project}.supabase.co":
        fail("CON068", fields="'url' and 'project_id'", problem="name two different projects")
    path = parts.path.rstrip("/")
    path = path if path.endswith(_PATH) else path + _PATH
    bracketed = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{bracketed}{f':{port}' if port else ''}{path}", host, parts.scheme == "https"


def key_of(secret: Secret) -> Key:
    """Return the contents of a key, unverified: only the server can check it."""
    text = secret.reveal()
    for prefix, role in _OF_PREFIX.items():
        if text.startswith(prefix):
            return Key(prefix.split("_")[1], role)
    try:
        payload = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        expires = claims.get("exp")
        return Key("jwt", str(claims.get("role") or "anon"), float(expires) if expires is not None else None, payload)
    except (IndexError, ValueError, AttributeError, TypeError):
        return Key("unknown", "unknown")


def _refuse(fields: Fields) -> None:
    for name in _REFUSED:
        if fields.get(name) is not None:
            fail("CON072", field=name)


def _one(fields: Fields, names: tuple[str, ...]) -> Any:  # noqa: ANN401  whatever a field may hold
    present = [name for name in names if fields.get(name) is not None]
    if len(present) > 1:
        fail("CON068", fields=f"'{present[0]}' and '{present[1]}'", problem="mean the same and are both set")
    return fields[present[0]] if present else None


def _parts(dsn: Secret | None) -> dict[str, Any]:
    """Return the parts of a connection string; one that cannot be parsed is reported when it is used."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        return {} if dsn is None else conninfo_to_dict(dsn.reveal())
    except psycopg.Error:
        return {"": None}
