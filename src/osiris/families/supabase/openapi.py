"""The tables of a project, from the OpenAPI document of its REST interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from osiris.errors import did_you_mean, fail
from osiris.families.postgres.types import Kind
from osiris.families.supabase.errors import fail_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.families.supabase.errors import Answer
    from osiris.families.supabase.http import Session
    from osiris.model import JsonValue

_OIDS = {
    "boolean": 16,
    "bytea": 17,
    '"char"': 18,
    "name": 19,
    "bigint": 20,
    "smallint": 21,
    "integer": 23,
    "text": 25,
    "oid": 26,
    "xid": 28,
    "json": 114,
    "xml": 142,
    "point": 600,
    "lseg": 601,
    "path": 602,
    "box": 603,
    "polygon": 604,
    "line": 628,
    "cidr": 650,
    "real": 700,
    "double precision": 701,
    "circle": 718,
    "macaddr8": 774,
    "money": 790,
    "macaddr": 829,
    "inet": 869,
    "character": 1042,
    "character varying": 1043,
    "date": 1082,
    "time without time zone": 1083,
    "timestamp without time zone": 1114,
    "timestamp with time zone": 1184,
    "interval": 1186,
    "time with time zone": 1266,
    "bit": 1560,
    "bit varying": 1562,
    "numeric": 1700,
    "record": 2249,
    "uuid": 2950,
    "pg_lsn": 3220,
    "tsvector": 3614,
    "tsquery": 3615,
    "jsonb": 3802,
    "jsonpath": 4072,
}
"""The type names of the document, with their OIDs in PostgreSQL (pg_type.dat)."""

_RANGES = {
    f"{kind}{sort}" for kind in ("int4", "int8", "num", "ts", "tstz", "date") for sort in ("range", "multirange")
}
_IS_KEY = "<pk/>"
_PROBE = "_osiris_probe"
"""A table that exists in no project."""

_TOKEN = "PGRST3"  # noqa: S105  the prefix of error codes about tokens
_MODIFIER_OFFSET = 4
"""The offset of lengths in a type modifier of PostgreSQL (VARHDRSZ)."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its PostgreSQL type, and whether it is nullable, has a default, and is part of the primary key."""

    name: str
    kind: Kind
    modifier: int
    nullable: bool
    default: bool
    key: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The document's contents: columns by table, the version of PostgREST, and each table's schema object."""

    tables: Mapping[str, tuple[Column, ...]]
    version: str
    definitions: Mapping[str, Mapping[str, JsonValue]]


def catalogue(session: Session) -> Catalogue | None:
    """Return the document's contents; None if the key may not read it. Fails with CON024 for an invalid key."""
    from httpx import Headers, QueryParams
    from postgrest.base_request_builder import RequestConfig
    from yarl import URL

    headers = Headers({**session.client.headers, "Accept": "application/openapi+json"})
    path = URL(f"{session.rest.url}/")
    request: RequestConfig[Any] = RequestConfig(session.client.session, path, "GET", headers, QueryParams(), None, None)
    answer = session.answer(request)
    if answer.ok:
        return _read(answer.document(session.rest.where), session.rest.where)
    if answer.status not in (401, 403, 404) or answer.code.startswith(_TOKEN):
        fail_answer(answer, session.request("/"))
    expect_key(session)
    return None


def expect_key(session: Session) -> Answer:
    """Return the response to a request for a missing table; fails with CON024 to CON027 if the key is rejected."""
    answer = session.answer(session.table(_PROBE).select("*").request)
    if not answer.code or answer.code.startswith(_TOKEN):
        fail_answer(answer, session.request(_PROBE))
    return answer


def _read(document: JsonValue, where: str) -> Catalogue:
    definitions = document.get("definitions") if isinstance(document, dict) else None
    if not isinstance(definitions, dict):
        fail("CON027", where=where, problem="its OpenAPI description defines no tables")
    version = str((document.get("info") or {}).get("version", ""))
    tables = {name: tuple(_columns(definition)) for name, definition in definitions.items()}
    return Catalogue(tables, version, definitions)


def _columns(definition: Mapping[str, JsonValue]) -> list[Column]:
    required = definition.get("required") or ()
    properties = definition.get("properties") or {}
    return [_column(name, schema, nullable=name not in required) for name, schema in properties.items()]


def _column(name: str, schema: Mapping[str, JsonValue], *, nullable: bool) -> Column:
    kind = _kind(str(schema.get("format", "")), enum="enum" in schema)
    longest = schema.get("maxLength")
    modifier = int(longest) + _MODIFIER_OFFSET if longest is not None else -1
    note = str(schema.get("description") or "")
    return Column(name, kind, modifier, nullable, default="default" in schema, key=_IS_KEY in note)


def _kind(name: str, *, enum: bool) -> Kind:
    if name.endswith("[]"):
        return Kind(0, name, "b", "", _kind(name.removesuffix("[]"), enum=enum))
    sort = "e" if enum else "r" if name in _RANGES else "b"
    return Kind(_OIDS.get(name, 0), name, sort, name.rpartition(".")[2])


def columns_of(session: Session, accessible: Catalogue | None, table: str) -> tuple[Column, ...] | None:
    """Return the columns of a table; None if the key cannot see them. Fails with DRV012 if the table is missing."""
    if accessible is None:
        builder = session.table(table).select("*").limit(1)
        session.send(builder, session.request(table))
        return None
    if table not in accessible.tables:
        other = f"role '{session.role}' may not see it; or it was made just now, and PostgREST must reload its schema"
        hint = did_you_mean(table, accessible.tables) or other
        fail("DRV012", table=table, path=session.rest.where, hint=hint)
    return accessible.tables[table]


def fail_hidden(session: Session, what: str, hint: str) -> NoReturn:
    """Fail with DRV023: the key cannot see the columns of a table, or of any."""
    fail("DRV023", what=what, where=session.rest.where, role=session.role, hint=hint)
