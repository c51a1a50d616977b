"""From a request to an answer: the role, the transaction, the statement, the status and the headers."""

from __future__ import annotations

import json
import queue
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.sql import Identifier

from . import actions, openapi
from .actions import Answer, Call, Settings
from .catalog import Catalog, load_catalog
from .errors import ApiError, Refused, of_database
from .keys import ANONYMOUS
from .preferences import Form, parse_form, parse_preferences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .faults import Faults, Request
    from .keys import Keys

PREFIX = "/rest/v1"


@dataclass
class Service:
    """PostgREST without its HTTP."""

    conninfo: str
    settings: Settings
    keys: Keys
    faults: Faults
    address: str = ""
    _idle: queue.LifoQueue[psycopg.Connection] = field(default_factory=queue.LifoQueue)
    _open: list[psycopg.Connection] = field(default_factory=list)
    _catalog: Catalog | None = None
    _zones: set[str] = field(default_factory=set)

    def answer(self, request: Request) -> Answer:
        """Answer a request; every error that PostgREST or the gateway can report is an answer, too."""
        try:
            return self._answer(request)
        except Refused as refusal:
            return Answer(refusal.status, {"Content-Type": "application/json; charset=utf-8"}, refusal.body())
        except ApiError as error:
            told = {"Content-Type": "application/json; charset=utf-8", "Proxy-Status": f"PostgREST; error={error.code}"}
            return Answer(error.status, told | error.headers, error.body())

    def cancel(self) -> None:
        """Cancel what still runs in the database."""
        for connection in list(self._open):
            if connection.info.transaction_status == TransactionStatus.ACTIVE:
                connection.cancel()

    def close(self) -> None:
        for connection in self._open:
            connection.close()

    def _answer(self, request: Request) -> Answer:
        path = unquote(request.path).removeprefix(PREFIX)
        if path == unquote(request.path):
            raise Refused(404, "no Route matched with those values")
        target = path.strip("/")
        pairs = parse_qsl(request.query, keep_blank_values=True)
        given = next((value for key, value in pairs if key == "apikey"), None)
        claims = self.keys.claims(request.headers, given, root=not target)
        request.role = str(claims.get("role", ANONYMOUS))
        form = Form("array", stripped=False) if not target else parse_form(request.headers.get("accept", ""))
        kept = [pair for pair in pairs if pair[0] != "apikey"]
        with self._connected() as connection:
            schema = self._schema(request)
            catalog = self._cache(connection)
            prefer = parse_preferences(request.headers.get("prefer", ""), self._zones)
            call = Call(request, schema, target, kept, prefer, form, catalog, connection, self.settings)
            try:
                answer = self._within(call, claims)
            except psycopg.Error as error:
                names = {"method": request.method, "schema": schema, "role": request.role}
                raise of_database(error, anonymous=ANONYMOUS, **names) from error
        if len(self.settings.schemas) > 1 and "Content-Type" in answer.headers:
            answer.headers["Content-Profile"] = schema
        return answer

    def reload(self) -> None:
        """Reload the schema cache."""
        with self._connected() as connection:
            self._catalog = load_catalog(connection, list(self.settings.schemas))

    def _schema(self, request: Request) -> str:
        header = "accept-profile" if request.method in ("GET", "HEAD") else "content-profile"
        wanted = request.headers.get(header, self.settings.schemas[0])
        if wanted in self.settings.schemas:
            return wanted
        hint = f"Only the following schemas are exposed: {', '.join(self.settings.schemas)}"
        raise ApiError(406, "PGRST106", f"Invalid schema: {wanted}", None, hint)

    def _within(self, call: Call, claims: Mapping[str, object]) -> Answer:
        """Run the request as one transaction in its role."""
        act, read_only = self._action(call)
        with call.connection.transaction():
            if read_only:
                call.connection.execute("SET TRANSACTION READ ONLY")
            self._enter(call, claims)
            answer = act()
        call.request.committed = True
        return answer

    def _action(self, call: Call) -> tuple[Callable[[], Answer], bool]:
        """Choose the action within the transaction, and whether it is read-only."""
        reads = call.method in ("GET", "HEAD")
        if not call.target and reads:
            return partial(self._root, call), True
        if call.target.startswith("rpc/"):
            if not reads and call.method != "POST":
                raise ApiError(405, "PGRST101", f"Cannot use the {call.method} method on RPC")
            function, given, body = actions.choose(call)
            return partial(actions.run, call, function, given, body), reads or not function.volatile
        if "/" in call.target or not call.target:
            raise ApiError(404, "PGRST125", "Invalid path specified in request URL")
        if not reads and call.method not in ("POST", "PATCH", "DELETE"):
            raise ApiError(405, "PGRST117", f"Unsupported HTTP method: {call.method}")
        relation = call.catalog.relation(call.schema, call.target)
        return partial(actions.read if reads else actions.write, call, relation), reads

    def _enter(self, call: Call, claims: Mapping[str, object]) -> None:
        path = ", ".join(Identifier(name).as_string() for name in dict.fromkeys((call.schema, "public", "extensions")))
        values = {
            "search_path": path,
            "role": call.request.role,
            "request.jwt.claims": json.dumps(claims),
            "request.method": call.method,
            "request.path": f"/{call.target}",
            "request.headers": json.dumps(call.headers),
        }
        if zone := call.prefer.get("timezone"):
            values["timezone"] = zone
        if self.settings.statement_timeout:
            values["statement_timeout"] = self.settings.statement_timeout
        calls = ", ".join(["set_config(%s, %s, true)"] * len(values))
        call.connection.execute(f"SELECT {calls}", [part for pair in values.items() for part in pair])

    def _root(self, call: Call) -> Answer:
        text = openapi.document(call.connection, call.catalog, call.schema, self.address)
        return Answer(200, {"Content-Type": "application/openapi+json; charset=utf-8"}, text.encode())

    def _cache(self, connection: psycopg.Connection) -> Catalog:
        if self._catalog is None or not self.faults.stale:
            self._catalog = load_catalog(connection, list(self.settings.schemas))
        if not self._zones:
            self._zones = {name for (name,) in connection.execute("SELECT name FROM pg_timezone_names").fetchall()}
        return self._catalog

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self._connect()
        try:
            yield connection
        finally:
            if connection.closed or connection.broken:
                self._open.remove(connection)
            else:
                self._idle.put(connection)

    def _connect(self) -> psycopg.Connection:
        try:
            made = psycopg.connect(self.conninfo, autocommit=True, prepare_threshold=None, options="-c timezone=UTC")
        except psycopg.OperationalError as error:
            message = "Database connection error. Retrying the connection."
            raise ApiError(503, "PGRST000", message, str(error)) from error
        self._open.append(made)
        return made
