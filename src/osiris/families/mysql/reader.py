"""Rows of MySQL as Arrow: those of one SELECT, in the order in which they come.

A query of the user's is checked again where it runs; its values are put in, and its order is made total.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from osiris.families.mysql.decode import cells_of
from osiris.families.mysql.result_packets import Broken, Result
from osiris.families.mysql.session import columns_of, described, expect_nothing_lost
from osiris.families.mysql.types import decoder
from osiris.families.sql.columnar import COARSE, account, decode_rows
from osiris.families.sql.result import by_spelling, checked_query
from osiris.secret import Secret
from osiris.sql.nondeterminism.row_order import with_total_order
from osiris.sql.safety.dialects import DIALECTS
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.families.mysql.decode import Decode
    from osiris.families.mysql.result_packets import Rows
    from osiris.families.mysql.session import Session
    from osiris.families.sql.columnar import Batch, Sieve
    from osiris.families.sql.database import Source
    from osiris.families.sql.result import ResultColumn
    from osiris.model import JsonValue
_DIALECT = "mysql"
_OWN = ("information_schema", "mysql", "performance_schema", "sys")
_TABLES = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN %s"
_COLUMNS = """
SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA NOT IN %s AND TABLE_NAME IN %s ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"""


def read_query(
    session: Session, text: str, columns: Sequence[ResultColumn], sieve: Sieve = COARSE
) -> Generator[Batch, None, None]:
    """Yield the rows of a SELECT, sent as it is.

    A value that cannot be carried is set aside, or fails with DAT031; fails with DAT033 at the end if the server lost
    some.
    """
    _send(session, text, columns)
    result = Result(session.connection, session.watch)
    yield from account(_batches(result, columns, sieve), sieve)
    expect_nothing_lost(session, result.warnings)


def _batches(result: Result, columns: Sequence[ResultColumn], sieve: Sieve) -> Iterator[Batch]:
    arrow = arrow_schema(tuple(column.field for column in columns))
    decoders = [decoder(column.carried) for column in columns]
    for rows in result.rows():
        size = int(rows.ends[-1] - rows.starts[0])
        yield decode_rows(len(rows.starts), size, partial(_decoded, rows, decoders), arrow, sieve)


def _send(session: Session, text: str, columns: Sequence[ResultColumn]) -> None:
    """Send a SELECT, and let the client library forget it: it would wait for the rows that it has not seen."""
    connection = session.connection
    with session.watch.waiting():
        connection.query(text, unbuffered=True)
    result, connection._result = connection._result, None
    result.unbuffered_active, result.connection = False, None
    kinds = {c.field.name: "float" for c in columns if c.field.type == "float32"}
    kinds |= {c.field.name: c.field.type for c in columns if c.field.type in ("json", "uuid")}
    found = columns_of(result.fields, kinds, {c.field.name: not c.field.nullable for c in columns})
    if [column.field for column in found] != [column.field for column in columns]:
        raise Broken("its rows have other columns than it told before")


def _decoded(rows: Rows, decoders: Sequence[Decode], first: int, end: int) -> Iterator[pa.Array]:
    try:
        cells = cells_of(rows.page, rows.starts[first:end], rows.ends[first:end], len(decoders))
    except ValueError as error:
        raise Broken(str(error)) from None
    for decode, column in zip(decoders, cells, strict=True):
        yield decode(rows.page, column)


def query_result(session: Session, query: str, bindings: Mapping[str, JsonValue | Secret]) -> Source:
    """Check a query against the tables that are there, and return what it gives.

    Its order is fixed if it has an ORDER BY, and the server tells all values of all columns apart; texts that it takes
    for equal (a and A, under most collations) may change places. Fails with SQL001 to SQL009, and with DAT006 for
    columns that are not carried.
    """
    tables = ((schema, name, (schema, name)) for schema, name in session.rows(_TABLES, _OWN))
    homes = by_spelling(session.target.database, tables)
    verdict = checked_query(query, _DIALECT, homes, partial(_columns, session))
    text = str(verdict.canonical)
    values = {name: bindings[name] for name in verdict.parameters}
    relations = tuple(homes[name] for name in verdict.relations)
    result = replace(described(session, _filled(session, text, values)), relations=relations)
    if not verdict.ordered or not all(column.carried.ordered for column in result.detail):
        return result
    total = with_total_order(text, [column.name for column in result.schema], _DIALECT)
    return replace(described(session, _filled(session, total, values)), order="fixed", relations=relations)


def _columns(session: Session, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of tables and views of these names, by all names that mean them."""
    found: dict[tuple[str, str], list[str]] = {}
    for schema, name, column in session.rows(_COLUMNS, _OWN, names) if names else ():
        found.setdefault((schema, name), []).append(column)
    return by_spelling(session.target.database, ((*table, columns) for table, columns in found.items()))


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
