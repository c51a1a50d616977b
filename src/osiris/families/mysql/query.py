"""A query of the user's against MySQL: checked again where it runs, its values put in, its order made total."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from osiris.errors import raise_all
from osiris.families.mysql.session import described
from osiris.secret import Secret
from osiris.sql import check
from osiris.sql.nondeterminism.order import with_total_order
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.names import mentioned_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.families.mysql.session import Session
    from osiris.families.sql.database import Name, Source
    from osiris.model import JsonValue

_DIALECT = "mysql"
_OWN = ("information_schema", "mysql", "performance_schema", "sys")
_TABLES = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN %s"
_COLUMNS = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA NOT IN %s AND TABLE_NAME IN %s ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"""


def query_result(session: Session, query: str, bindings: Mapping[str, JsonValue | Secret]) -> Source:
    """Check a query against the tables that are there: a plan is only text, and this is where it runs.

    Its order is fixed if it has an ORDER BY, and the server tells all values of all columns apart; texts that it takes
    for equal (a and A, under most collations) may change places. Fails with SQL001 to SQL009, and with DAT006 for
    columns that are not carried.
    """
    homes = _homes(session)
    parameters = mentioned_parameters(query)
    verdict = check(query, _DIALECT, relations=homes.keys(), parameters=parameters)
    if verdict.ok:
        names = sorted({name.rpartition(".")[2] for name in verdict.relations})
        columns = {**dict.fromkeys(homes), **_columns(session, names)}
        verdict = check(query, _DIALECT, relations=columns, parameters=parameters)
    if not verdict.ok:
        raise_all(verdict.diagnostics)
    text = str(verdict.canonical)
    values = {name: bindings[name] for name in verdict.parameters}
    relations = tuple(homes[name] for name in verdict.relations)
    result = replace(described(session, _filled(session, text, values)), relations=relations)
    if not verdict.ordered or not all(column.carried.ordered for column in result.detail):
        return result
    total = with_total_order(text, [column.name for column in result.schema], _DIALECT)
    return replace(described(session, _filled(session, total, values)), order="fixed", relations=relations)


def _homes(session: Session) -> dict[str, Name]:
    """Return all tables and views by name, those of the session's database also without it."""
    found: dict[str, Name] = {}
    for schema, name in session.rows(_TABLES, _OWN):
        found |= dict.fromkeys(_spellings(session, schema, name), (schema, name))
    return found


def _columns(session: Session, names: list[str]) -> dict[str, list[str]]:
    """Return the columns of tables and views of these names, as `_homes` has them."""
    found: dict[str, list[str]] = {}
    for schema, name, column in session.rows(_COLUMNS, _OWN, names) if names else ():
        for known in _spellings(session, schema, name):
            found.setdefault(known, []).append(column)
    return found


def _spellings(session: Session, schema: str, name: str) -> tuple[str, ...]:
    return (f"{schema}.{name}", name) if schema == session.target.database else (f"{schema}.{name}",)


def _filled(session: Session, text: str, values: Mapping[str, JsonValue | Secret]) -> str:
    """Put values into a canonical text as literals of their type, in the client library's own spelling of them."""
    from sqlglot import TokenType

    if not values:
        return text
    parts, done = [], 0
    for token in DIALECTS[_DIALECT].load_grammar()().tokenize(text):
        name = token.text.removeprefix("$")
        if token.token_type == TokenType.PARAMETER and name in values:
            parts += [text[done : token.start], _literal(session, values[name])]
            done = token.end + 1
    return "".join((*parts, text[done:]))


def _literal(session: Session, value: JsonValue | Secret) -> str:
    plain = value.reveal() if isinstance(value, Secret) else value
    if isinstance(plain, datetime) and plain.tzinfo:
        plain = plain.astimezone(UTC)  # the library leaves the zone out, and the session's is UTC
    return str(session.connection.cursor().mogrify("%s", (plain,)))
