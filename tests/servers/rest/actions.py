"""What a request does within its transaction: read a page, write rows, call a function."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from psycopg.sql import SQL, Composed, Identifier

from . import statements
from .errors import ApiError
from .preferences import apply_range, parse_json, parse_payload
from .query import Query, parse_query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from .catalog import Catalog, Function, Relation
    from .faults import Request
    from .preferences import Form, Preferences

_PLANNED = "EXPLAIN (FORMAT JSON) {}"
_PASS = SQL("SELECT * FROM pgrst_source").format()
_INSERTED = SQL("(SELECT count(*) FROM pgrst_source WHERE pgrst_inserted)").format()
_VERBS = {"PATCH": "UPDATE", "DELETE": "DELETE"}


@dataclass(frozen=True)
class Answer:
    """A status, headers and a body."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Settings:
    """The operator's settings: maximum rows of an answer, schemas, and the guards that Supabase adds."""

    max_rows: int | None
    schemas: tuple[str, ...]
    safe_update: bool
    statement_timeout: str | None


@dataclass(frozen=True)
class Call:
    """One parsed request."""

    request: Request
    schema: str
    target: str
    pairs: Sequence[tuple[str, str]]
    prefer: Preferences
    form: Form
    catalog: Catalog
    connection: psycopg.Connection
    settings: Settings

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    def one(self, statement: Composed) -> tuple[int | None, int, str]:
        """Run a statement and return its total, its rows and their text; raise if exactly one row was requested but not
        found.
        """
        ((total, rows, text),) = self.connection.execute(statement).fetchall()
        self.request.rows = rows
        if self.form.name == "object" and rows != 1:
            details = f"The result contains {rows} rows"
            raise ApiError(406, "PGRST116", "Cannot coerce the result to a single JSON object", details)
        if self.prefer.most is not None and self.method in ("PATCH", "DELETE") and rows > self.prefer.most:
            message = "Query result exceeds max-affected preference constraint"
            raise ApiError(400, "PGRST124", message, f"The query affects {rows} rows")
        return total, rows, text


def read(call: Call, relation: Relation) -> Answer:
    """Return a page of the rows of a table or view."""
    query = parse_query(call.pairs)
    table = statements.name_of(relation)
    limit = _limit(call, query)
    source = statements.rows_of(table, table, query, limit)
    return _page(call, query, table, source, _PASS, call.form.name)


def choose(call: Call) -> tuple[Function, list[tuple[str, str]], str | None]:
    """Find the called function, its named arguments, and the body, if there is one."""
    name = call.target.removeprefix("rpc/")
    if call.method != "POST":
        function = call.catalog.function(call.schema, name, {key for key, _ in call.pairs}, post=False)
        return function, [pair for pair in call.pairs if pair[0] in function.arguments], None
    body = call.request.body.decode("utf-8", "replace") or "{}"
    given = parse_json(body)
    pairs = [(key, "") for key in given] if isinstance(given, dict) else []
    return call.catalog.function(call.schema, name, {key for key, _ in pairs}, post=True), pairs, body


def run(call: Call, function: Function, given: list[tuple[str, str]], body: str | None) -> Answer:
    """Call a function, and return a page of its rows if it returns a set."""
    source = statements.call(function, body, given)
    if function.nothing:
        call.one(statements.answer(source, _PASS, "none"))
        return Answer(204, {"Content-Range": "0-0/*"} | call.prefer.applied("GET"))
    query = parse_query(call.pairs, list(function.arguments) if body is None else ())
    form = call.form.name
    if not function.composite:
        form = "scalars" if function.many else "scalar"
    elif not function.many and form == "array":
        form = "object"
    if not function.composite:
        page = SQL("SELECT * FROM pgrst_source{}").format(_cut(_limit(call, query), query.offset))
    else:
        page = statements.rows_of(statements.SOURCE, statements.SOURCE, query, _limit(call, query))
    return _page(call, query, statements.SOURCE, source, page, form)


def write(call: Call, relation: Relation) -> Answer:
    """Insert, update or delete rows, all or none."""
    query, wanted = parse_query(call.pairs), call.prefer.get("return") or "minimal"
    resolution = call.prefer.get("resolution") if query.on_conflict or relation.keys else None
    source = _source(call, relation, query, wanted, resolution)
    if source is None:
        return _written(call, relation, resolution, 0, 0, "[]")
    form = {"representation": call.form.name, "headers-only": "object"}.get(wanted, "none")
    page = statements.written(relation, query, wanted)
    statement = statements.answer(source, page, form, stripped=call.form.stripped, total=_INSERTED)
    inserted, rows, text = call.one(statement)
    return _written(call, relation, resolution, inserted or 0, rows, text)


def _source(call: Call, relation: Relation, query: Query, wanted: str, resolution: str | None) -> Composed | None:
    """Return the statement that writes, or None if there is nothing to write."""
    merging = call.method == "POST" and resolution == "merge-duplicates"
    returned = statements.returning(relation, query, wanted, merging=merging)
    if call.method == "DELETE":
        _guard(call, query)
        return statements.delete(relation, query, returned)
    defaults = call.prefer.get("missing") == "default"
    payload = parse_payload(call.request.body, call.headers, query, defaults=defaults)
    if call.method == "POST":
        return statements.insert(relation, query, payload, resolution, returned) if payload.rows else None
    if not payload.columns:
        return None
    _guard(call, query)
    return statements.update(relation, query, payload, returned)


def _guard(call: Call, query: Query) -> None:
    """Behave like the extension safeupdate, which Supabase loads for its API."""
    if call.settings.safe_update and not query.where:
        raise ApiError(400, "21000", f"{_VERBS[call.method]} requires a WHERE clause")


def _limit(call: Call, query: Query) -> int | None:
    """Apply the header `Range` (only for GET, as HTTP requires); returns the maximum number of rows."""
    apply_range(call.headers.get("range") if call.method == "GET" else None, query)
    known = [limit for limit in (query.limit, call.settings.max_rows) if limit is not None]
    return min(known, default=None)


def _cut(limit: int | None, offset: int) -> SQL:
    return SQL(("" if limit is None else f" LIMIT {limit}") + (f" OFFSET {offset}" if offset else ""))


def _page(call: Call, query: Query, table: Identifier, source: Composed, page: Composed, form: str) -> Answer:
    most, count = call.settings.max_rows, call.prefer.get("count")
    counted = None
    planned = count in ("planned", "estimated") and table != statements.SOURCE  # what a function gives is counted
    if count and (count != "planned" or not planned):
        capped = most + 1 if count == "estimated" and most is not None else None
        counted = statements.count_of(table, table, query, capped)
    form = "none" if call.method == "HEAD" else form
    statement = statements.answer(source, page, form, stripped=call.form.stripped, total=counted)
    total, rows, text = call.one(statement)
    if planned and (total is None or most is None or total > most):
        total = max(_planned(call, query, table), total or 0)
    return _paged(call, query, total, rows, text)


def _planned(call: Call, query: Query, table: Identifier) -> int:
    asked = SQL("SELECT 1 FROM {}{}").format(table, query.filter(table))
    ((plan,),) = call.connection.execute(SQL(_PLANNED).format(asked)).fetchall()
    return int(plan[0]["Plan"]["Plan Rows"])


def _paged(call: Call, query: Query, total: int | None, rows: int, text: str) -> Answer:
    first, last = query.offset, query.offset + rows - 1
    shown = f"{first}-{last}" if rows and total != 0 else "*"
    told = {"Content-Range": f"{shown}/{'*' if total is None else total}"}
    if total is not None and first > total:
        details = f"An offset of {first} was requested, but there are only {total} rows."
        raise ApiError(416, "PGRST103", "Requested range not satisfiable", details, headers=told)
    status = 206 if total is not None and rows < total else 200
    asked = urlencode(sorted(call.pairs))
    told |= {"Content-Location": f"/{call.target}{'?' if asked else ''}{asked}", "Content-Type": call.form.type}
    return Answer(status, told | call.prefer.applied("GET"), text.encode())


def _written(call: Call, relation: Relation, resolution: str | None, inserted: int, rows: int, text: str) -> Answer:
    wanted = call.prefer.get("return")
    total = str(rows) if call.prefer.get("count") else "*"
    shown = f"0-{rows - 1}" if call.method == "PATCH" and rows else "*"
    told = {"Content-Range": f"{shown}/{total}"} | call.prefer.applied(call.method)
    status = 204
    if call.method == "POST":
        status = 200 if resolution == "merge-duplicates" and rows and not inserted else 201
        if wanted == "headers-only" and rows == 1 and relation.keys:
            told["Location"] = f"/{relation.name}?{_place(json.loads(text))}"
    if wanted != "representation":
        return Answer(status, told)
    told["Content-Type"] = call.form.type
    return Answer(200 if status == 204 else status, told, text.encode())


def _place(keys: Mapping[str, object]) -> str:
    return "&".join(f"{name}=eq.{value}" for name, value in keys.items())
