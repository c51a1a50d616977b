"""A PostgREST of its own for each test, as Supabase presents it under `/rest/v1/`, in front of a real database.

    def test_reading(postgrest):
        postgrest.run("CREATE TABLE t (id int PRIMARY KEY)")     # as the owner of the database
        ...                                                      # postgrest.url, postgrest.service_key
        assert postgrest.requests[-1].path == "/rest/v1/t"
        postgrest.faults.rate_limit(retry_after=2, times=3)      # what can go wrong: `rest/faults.py`

Roles are real: `anon`, `authenticated` and `service_role` are roles of the database, and each request is a transaction
in its role, so that grants and row level security decide. What it does not speak: embedding (PGRST200), PUT, plans,
aggregates (switched off at Supabase, too: PGRST123), computed fields, domain representations, custom media types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from .rest.actions import Settings
from .rest.faults import Faults
from .rest.keys import Keys, make_keys
from .rest.service import Service
from .rest.web import Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from .rest.faults import Request

SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
MAX_URL = 16 * 1024
_ROLES = {"anon": "NOLOGIN", "authenticated": "NOLOGIN", "service_role": "NOLOGIN BYPASSRLS"}


@dataclass(frozen=True)
class Postgrest:
    """A running server. `url` is a project's (clients of PostgREST alone take `rest_url`)."""

    url: str
    rest_url: str
    keys: Keys
    faults: Faults
    conninfo: str
    _server: Server

    @property
    def anon_key(self) -> str:
        return self.keys.anon

    @property
    def service_key(self) -> str:
        return self.keys.service

    @property
    def publishable_key(self) -> str:
        """The newer form of the anon key, `sb_publishable_…`."""
        return self.keys.publishable

    @property
    def secret_key(self) -> str:
        """The newer form of the service key, `sb_secret_…`."""
        return self.keys.private

    @property
    def requests(self) -> list[Request]:
        """Return all requests so far, including those hit by faults."""
        return self._server.requests

    def token(self, role: str = "authenticated", **claims: object) -> str:
        """Sign the token of a user who has logged in."""
        return self.keys.token(role=role, **claims)

    def run(self, *statements: str) -> None:
        """Run statements as the owner of the database, not through HTTP."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, as the owner sees them."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def stop(self) -> None:
        """Stop the server, and fail if it got a request that it does not support."""
        self._server.stop()
        if self._server.bugs:
            raise AssertionError("the local PostgREST has a bug:\n" + "\n".join(self._server.bugs))

    def __enter__(self) -> Postgrest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_postgrest(
    database: str | Mapping[str, Any],
    *,
    max_rows: int | None = 1000,
    jwt_secret: str = SECRET,
    schemas: Sequence[str] = ("public",),
    root_is_open: bool = False,
    safe_update: bool = True,
    statement_timeout: str | None = None,
    expose: bool = True,
    max_url: int = MAX_URL,
) -> Postgrest:
    """Serve a database, given as a connection string or as the fields of one (`postgres.fields(name)`).

    `max_rows`: rows that one answer may have (None: any). `root_is_open`: whether `anon` may read the OpenAPI document,
    as it could until 2026. `safe_update`: whether PATCH and DELETE without a filter are refused, as at Supabase.
    `statement_timeout`: like `8s`, which Supabase sets. `expose`: grant the roles all rights on what is in the schemas
    and on what will be made there. `max_url`: bytes of path and query before the answer is 414.
    """
    conninfo = database if isinstance(database, str) else _conninfo(database)
    _prepare(conninfo, schemas, expose=expose)
    faults, keys = Faults(), make_keys(jwt_secret, root_is_open=root_is_open)
    service = Service(conninfo, Settings(max_rows, tuple(schemas), safe_update, statement_timeout), keys, faults)
    faults.reload = service.reload
    server = Server(service, faults, max_url)
    service.address = f"127.0.0.1:{server.server_port}"
    url = f"http://{service.address}"
    return Postgrest(url, f"{url}/rest/v1", keys, faults, conninfo, server)


def _conninfo(fields: Mapping[str, Any]) -> str:
    return make_conninfo(**{"dbname" if name == "database" else name: value for name, value in fields.items()})


def _prepare(conninfo: str, schemas: Sequence[str], *, expose: bool) -> None:
    """Create the roles, which belong to the whole server, and the grants of a new project."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
        for role in _ROLES.keys() - known:
            connection.execute(f"CREATE ROLE {role} {_ROLES[role]}")
        for schema in schemas:
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
            for text in _grants(expose=expose):
                connection.execute(SQL(text).format(Identifier(schema)))


def _grants(*, expose: bool) -> list[str]:
    names = ", ".join(_ROLES)
    kinds = ("TABLES", "SEQUENCES", "ROUTINES") if expose else ()
    made = [f"GRANT USAGE ON SCHEMA {{}} TO {names}"]
    made += [f"GRANT ALL ON ALL {kind} IN SCHEMA {{}} TO {names}" for kind in kinds]
    return made + [f"ALTER DEFAULT PRIVILEGES IN SCHEMA {{}} GRANT ALL ON {kind} TO {names}" for kind in kinds]
