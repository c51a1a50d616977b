"""`osiris doctor` for the supabase family: PostgreSQL's with a database address, else what a key's role can see."""

from __future__ import annotations

import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from osiris.errors import diagnostic
from osiris.families.doctor_report import Clock, Health, Transport, check_clock, milliseconds, no_access, with_timeout
from osiris.families.postgres import doctor as postgres_doctor
from osiris.families.supabase.connect import SERVICE, key_of, shares_connections, wire_fields
from osiris.families.supabase.filters import quoted
from osiris.families.supabase.http import calling
from osiris.families.supabase.openapi import catalogue, expect_key
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from osiris.driver import StepContext
    from osiris.errors import Diagnostic
    from osiris.families.supabase.errors import Answer
    from osiris.families.supabase.http import Session
    from osiris.families.supabase.openapi import Catalogue
    from osiris.model import JsonValue

_MOST_TABLES = 30
_SHOWN = 5


def examine(ctx: StepContext, uses: Collection[str], seconds: float) -> Health:
    """Examine a Supabase project; fails with CON011 to CON017 or CON024 to CON027 if it cannot be used."""
    fields = wire_fields(ctx.connection)
    if fields is None:
        return _examine_rest(ctx, seconds)
    health = postgres_doctor.examine(replace(ctx, connection=fields), uses, seconds)
    facts = {"channel": "wire", "shares_connections": shares_connections(ctx.connection)}
    return replace(health, facts={**health.facts, **facts})


def _examine_rest(ctx: StepContext, seconds: float) -> Health:
    import postgrest  # noqa: F401  so that its import does not count as connection time

    began = time.monotonic()
    with calling(with_timeout(ctx, seconds), retries=0) as session:
        clock, first = Clock(), expect_key(session)
        connected, skew = milliseconds(began), _skew(clock, first)
        queried = time.monotonic()
        tables = catalogue(session)
        times = {"connect_ms": connected, "query_ms": milliseconds(queried)}
        line = Transport(session.rest.where, session.rest.host, session.rest.encrypted, session.rest.encrypted)
        hidden = list(_hidden(session, tables, ctx.step, deadline=began + seconds / 2))
        problems = [*line.problems(), *check_clock(line.where, skew or 0.0), *hidden]
    return replace(
        _privileges(session, tables, ctx.step, problems),
        facts={**_facts(session, tables, line), **times, "clock_skew_seconds": skew},
        user=session.role,
    )


def _privileges(session: Session, accessible: Catalogue | None, name: str, problems: Sequence[Diagnostic]) -> Health:
    """Return the privileges of a key's role, as far as REST shows them."""
    if session.role == SERVICE:
        reason = "its key passes by row level security, and may change all rows"
        return Health("too powerful", [reason], scripts={"reader": list(_script(session))}, diagnostics=problems)
    if accessible is not None and not accessible.tables:
        lacks = [f"it has no privileges on any table of schema '{session.rest.schema}', or the schema has no tables"]
        scripts = {"reader": list(_grants(session))}
        return Health("reader", scripts=scripts, diagnostics=[*problems, *no_access(name, session.role, lacks)])
    reason = f"as '{session.role}' it may do what grants and row level security allow, which REST does not report"
    return Health("writer", [reason], diagnostics=problems)


def _skew(clock: Clock, answer: Answer) -> float | None:
    """Return by how many seconds the server's clock is ahead, from a Date header, which has whole seconds only."""
    try:
        server_time = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return None
    return clock.skew(server_time + 0.5)


def _facts(session: Session, accessible: Catalogue | None, line: Transport) -> dict[str, JsonValue]:
    key = key_of(session.rest.key)
    return {
        "channel": "rest",
        "server": f"PostgREST {accessible.version}".strip() if accessible else "PostgREST",
        "role": key.role,
        "key": key.kind,
        "key_expires_in_days": None if key.expires is None else round((key.expires - time.time()) / 86_400),
        "schema": session.rest.schema,
        "tables": None if accessible is None else len(accessible.tables),
        "encrypted": line.encrypted,
        "verified": line.verified,
    }


def _hidden(session: Session, accessible: Catalogue | None, name: str, *, deadline: float) -> Iterator[Diagnostic]:
    """Yield a diagnostic of the tables that show no rows to a role under row level security."""
    if session.role == SERVICE or accessible is None:
        return
    tables = sorted(table for table, columns in accessible.tables.items() if columns)[:_MOST_TABLES]
    empty = [table for table in tables if time.monotonic() < deadline and _shows_nothing(session, accessible, table)]
    if empty:
        more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        yield diagnostic("CON028", connection=name, tables=", ".join(empty[:_SHOWN]) + more, role=session.role)


def _shows_nothing(session: Session, accessible: Catalogue, table: str) -> bool:
    builder = session.table(table).select("*").limit(1)
    builder.request.params = builder.request.params.set("select", quoted(accessible.tables[table][0].name))
    answer = session.answer(builder.request)
    return answer.ok and answer.rows(session.rest.where) == []


def _script(session: Session) -> Iterator[str]:
    role = "osiris_reader"
    yield "-- in the project's SQL editor; then give the connection host, user and password instead of url and key"
    yield f"CREATE ROLE {role} LOGIN PASSWORD '<a new password>';"
    yield f"ALTER ROLE {role} SET default_transaction_read_only = on;"
    yield from _grant_select(role, quote_name(session.rest.schema))


def _grants(session: Session) -> Iterator[str]:
    yield "-- in the project's SQL editor"
    yield from _grant_select(quote_name(session.role), quote_name(session.rest.schema))


def _grant_select(role: str, schema: str) -> Iterator[str]:
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role};"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role};"
    yield "-- tables with row level security need a policy FOR SELECT TO it"
