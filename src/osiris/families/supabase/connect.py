"""Connections of the supabase family: a project's database, reached by its own protocol, or over REST.

Supabase is PostgreSQL. With a database address a connection becomes one of the postgres family (`wire_fields`), and
all else is done there. With only URL and key, requests go to the project's PostgREST (`rest_address`).
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
"""What a field of the postgres family may be called here."""

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
"""The port at which Supabase's pooler shares connections by transaction."""

_IS_KEY = re.compile(r"[!-~]+")
_PATH = "/rest/v1"
_OF_PREFIX = {"sb_publishable_": "anon", "sb_secret_": "service_role"}
SERVICE = "service_role"
"""The role that row level security does not bind."""


@dataclass(frozen=True, slots=True)
class Rest:
    """A PostgREST server: `url` is where tables lie, `where` may be shown; `silence` and `timeout` are seconds.

    `schemas` are those of Supabase's own that steps may use.
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
    """What a key says of itself: its kind, the role it stands for, and when it expires, in seconds since 1970.

    `claims` is all that a token says, as it says it; it is not signed.
    """

    kind: str
    role: str
    expires: float | None = None
    claims: str = ""


def has_database(fields: Fields) -> bool:
    """Tell whether a connection has a database address."""
    return any(fields.get(name) is not None for known in ("dsn", "host") for name in _NAMES[known])


def wire_fields(fields: Fields) -> dict[str, JsonValue | Secret] | None:
    """Return the same connection as one of the postgres family; None if it has no database address.

    Fails with CON068 for fields that contradict each other, and CON072 for unsupported ones.
    """
    _refuse(fields)
    if not has_database(fields):
        return None
    found = {name: _one(fields, names) for name, names in _NAMES.items()}
    found |= {name: fields.get(name) for name in _SHARED}
    parts = _parts(found["dsn"])
    if not parts:
        found["database"] = found["database"] or "postgres"
        found["user"] = found["user"] or "postgres"
    if found["sslmode"] is None and "sslmode" not in parts and not is_local(str(found["host"] or parts.get("host"))):
        found["sslmode"] = "require"
    return {name: value for name, value in found.items() if value is not None}


def shares_connections(fields: Fields) -> bool:
    """Tell whether the database address of a connection is that of a pooler that shares connections by transaction."""
    port = _one(fields, _NAMES["port"]) or _parts(_one(fields, _NAMES["dsn"])).get("port")
    return str(port) == str(_POOLER)


def rest_address(fields: Fields) -> Rest:
    """Return where the REST interface of a connection is; fails with CON067 to CON072 where they do not say it."""
    _refuse(fields)
    lonely = [name for known in ("port", "database", "user", "password") for name in _NAMES[known] if name in fields]
    if lonely:
        fail("CON067", missing=f"'host', which '{lonely[0]}' needs")
    given = [fields[name] for name in _KEYS if fields.get(name) is not None]
    if len(given) > 1 and fields.get("key") is not None:
        other = next(name for name in _KEYS[1:] if fields.get(name) is not None)
        fail("CON068", fields=f"'key' and '{other}'", problem="are both given")
    if not given:
        fail("CON067", missing="a database address ('dsn' or 'host'), or 'url' and 'key'")
    if not _IS_KEY.fullmatch(given[0].reveal()):
        name = next(name for name in _KEYS if fields.get(name) is not None)
        fail(
            "CON071",
            field=f"'{name}'",
            problem="is empty, or contains a space, a line break or a character that is not ASCII",
        )
    address, host, encrypted = _address(fields)
    return Rest(
        url=address,
        key=given[0],
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
    bare = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{bare}{f':{port}' if port else ''}{path}", host, parts.scheme == "https"


def key_of(secret: Secret) -> Key:
    """Return what a key says of itself; nothing of it is checked, which only the server can."""
    text = secret.reveal()
    for prefix, role in _OF_PREFIX.items():
        if text.startswith(prefix):
            return Key(prefix.split("_")[1], role)
    try:
        told = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(told + "=="))
        expires = claims.get("exp")
        return Key("jwt", str(claims.get("role") or "anon"), float(expires) if expires is not None else None, told)
    except (IndexError, ValueError, AttributeError, TypeError):
        return Key("unknown", "unknown")


def _refuse(fields: Fields) -> None:
    for name in _REFUSED:
        if fields.get(name) is not None:
            fail("CON072", field=name)


def _one(fields: Fields, names: tuple[str, ...]) -> Any:  # noqa: ANN401  whatever a field may hold
    given = [name for name in names if fields.get(name) is not None]
    if len(given) > 1:
        fail("CON068", fields=f"'{given[0]}' and '{given[1]}'", problem="mean the same and are both given")
    return fields[given[0]] if given else None


def _parts(dsn: Secret | None) -> dict[str, Any]:
    """Return the parts of a connection string, none where it cannot be read: that is said when it is used."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        return {} if dsn is None else conninfo_to_dict(dsn.reveal())
    except psycopg.Error:
        return {"": None}
