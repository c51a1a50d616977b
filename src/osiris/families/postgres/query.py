"""A query of the user's against PostgreSQL: checked again where it runs, its values put in, its order made total."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from osiris.errors import diagnostic, raise_all
from osiris.families.postgres.errors import fail_server
from osiris.families.postgres.session import described, expect_open
from osiris.secret import Secret
from osiris.sql import check
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.names import mentioned_parameters
from osiris.sql.safety.relations import qualify
from osiris.sql.safety.text import align, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from osiris.families.postgres.session import Name, Result, Session
    from osiris.model import JsonValue, Order

_DIALECT = "postgres"
_COLUMNS = """
SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attnum IS NOT NULL)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
    AND (%s::text[] IS NULL OR c.relname = ANY(%s::text[]))
GROUP BY n.nspname, c.relname"""
_FOREIGN_TYPES = """
SELECT c.relname, a.attname, t.typname, tn.nspname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type o ON o.oid = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = CASE WHEN o.typtype = 'd' THEN o.typbasetype
    WHEN o.typelem <> 0 AND o.typlen = -1 THEN o.typelem ELSE o.oid END
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
WHERE n.nspname || '.' || c.relname = ANY(%s) AND t.typtype = 'b' AND tn.nspname <> 'pg_catalog'
    AND tn.nspname <> ALL(pg_catalog.current_schemas(false)) ORDER BY c.relname, a.attnum"""
_UNORDERED = frozenset((114, 142, 600, 601, 602, 603, 604, 628, 718, 4072))
"""Types that the server puts in no order: json, xml, geometry, jsonpath."""


@dataclass(frozen=True, slots=True)
class Query:
    """What runs: the columns and the text that gives them, whether their order is fixed, and what it reads."""

    result: Result
    order: Order
    relations: tuple[Name, ...]


def query_result(
    session: Session, query: str, bindings: Mapping[str, JsonValue | Secret], *, unscaled_text: bool = False
) -> Query:
    """Check a query against the tables that are there: a plan is only text, and this is where it runs.

    Fails with SQL001 to SQL009, and with DAT006 for columns that are not carried.
    """
    homes = _homes(session)
    known = dict.fromkeys(homes)
    parameters = mentioned_parameters(query)
    functions = DIALECTS[_DIALECT].homes_of(session.target.functions)
    verdict = check(query, _DIALECT, relations=homes.keys(), parameters=parameters, functions=functions)
    if verdict.ok:
        names = sorted({name.rpartition(".")[2] for name in verdict.relations})
        columns: dict[str, list[str] | None] = {**known, **_columns(session, names)}
        verdict = check(query, _DIALECT, relations=columns, parameters=parameters, functions=functions)
    if not verdict.ok:
        raise_all(verdict.diagnostics)
    expect_open(session, {name.rpartition(".")[0] for name in verdict.relations})
    _expect_operators(session, verdict.relations)
    values = {name: bindings[name] for name in verdict.parameters}
    text = _filled(session, str(verdict.canonical), values, functions)
    with _placed(session, text, query):
        result = described(session, text, unscaled_text=unscaled_text)
    relations = tuple(homes[name] for name in verdict.relations)
    if not verdict.ordered:
        return Query(result, "free", relations)
    total = with_total_order(str(verdict.canonical), [column.name for column in result.schema], _DIALECT)
    if total == verdict.canonical:
        return Query(result, "fixed", relations)
    if not _can_be_ordered(result):
        return Query(result, "free", relations)
    result = described(session, _filled(session, total, values, functions), unscaled_text=unscaled_text)
    return Query(result, "fixed", relations)


@contextmanager
def _placed(session: Session, text: str, query: str) -> Iterator[None]:
    """Say of what is wrong in a text that was sent where that stands in the query of which it was made."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        position = error.diag.statement_position
        if session.watch.stopped or not position:
            raise
        at = place(query, align(text, int(position) - 1, query))
        target, message = session.target, error.diag.message_primary or ""
        fail_server(error.sqlstate or "", message, target.where, target.user, query=True, at=at)


def _homes(session: Session) -> dict[str, Name]:
    """Return all tables and views by name, those of the session's schema also without it."""
    found: dict[str, Name] = {}
    for schema, name, _ in session.rows(_COLUMNS, None, None):
        found |= dict.fromkeys(_spellings(session, schema, name), (schema, name))
    return found


def _columns(session: Session, names: list[str]) -> dict[str, list[str] | None]:
    """Return the columns of tables and views of these names, as `_homes` has them."""
    found: dict[str, list[str] | None] = {}
    for schema, name, columns in session.rows(_COLUMNS, names, names):
        found |= dict.fromkeys(_spellings(session, schema, name), columns or [])
    return found


def _spellings(session: Session, schema: str, name: str) -> tuple[str, ...]:
    return (f"{schema}.{name}", name) if schema == session.schema else (f"{schema}.{name}",)


def _can_be_ordered(result: Result) -> bool:
    """Tell whether the server can compare the values of every column; of a column carried as text it may not."""
    return not any(column.carried.cast or column.carried.oid in _UNORDERED for column in result.columns)


def _expect_operators(session: Session, names: Iterable[str]) -> None:
    """Fail with CON066 for columns whose type brings operators that this session does not look for.

    `=` of two values of citext would silently be that of texts, for instance.
    """
    named = [name if "." in name else f"{session.schema}.{name}" for name in names]
    found = session.rows(_FOREIGN_TYPES, named)
    if found:
        told = ({"table": table, "column": name, "type": kind, "schema": home} for table, name, kind, home in found)
        raise_all(diagnostic("CON066", where=session.target.where, **each) for each in told)


def _filled(
    session: Session, canonical: str, values: Mapping[str, JsonValue | Secret], functions: Mapping[str, str]
) -> str:
    """Return the text that is sent: names with their schemas, and values as literals of their type.

    The spelling of values is the client library's own.
    """
    from sqlglot.tokenizer_core import TokenType

    text = qualify(canonical, DIALECTS[_DIALECT], session.schema, functions)
    if not values:
        return text
    parts, done = [], 0
    tokens = DIALECTS[_DIALECT].load_grammar()().tokenize(text)
    for dollar, name in pairwise(tokens):
        if dollar.token_type == TokenType.PARAMETER and name.start == dollar.end + 1 and name.text in values:
            parts += [text[done : dollar.start], _literal(session, values[name.text])]
            done = name.end + 1
    return "".join((*parts, text[done:]))


def _literal(session: Session, value: Any) -> str:  # noqa: ANN401  whatever a parameter may be
    from psycopg.sql import Literal

    return Literal(value.reveal() if isinstance(value, Secret) else value).as_string(session.connection)
