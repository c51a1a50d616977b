"""How Supabase is discovered: as PostgreSQL where there is an address, else by what its REST interface tells of itself.

REST tells of one schema, that of the connection. It does not tell tables from views, nor how large they are.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.canonical import sha256_hex
from osiris.driver import Sampled, SeenColumn, SeenKey, SeenTable
from osiris.families.discovery_base import carried_or_not, taken
from osiris.families.postgres import discover as postgres_discover
from osiris.families.sql.columnar import COARSE
from osiris.families.supabase.connect import key_of, wire_fields
from osiris.families.supabase.http import calling
from osiris.families.supabase.openapi import catalogue, fail_untold
from osiris.families.supabase.reader import Wish, count_of, read_first, source_in
from osiris.table import stream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import Discoverer, StepContext
    from osiris.families.supabase.http import Session
    from osiris.families.supabase.openapi import Catalogue
    from osiris.families.supabase.reader import Source
    from osiris.model import JsonValue

_COMPONENT = "supabase.extractor"
_RETRIES = 1
_UNTOLD = "give the connection a key of role service_role, or the database's address"
_NOTES = re.compile(r"(.*?)(?:\n\n)?Note:\n((?:This is a .*<[pf]k.*/>\n?)+)", re.DOTALL)
"""A comment, and behind it what the document says of keys, in one text."""

_FOREIGN = re.compile(r"<fk table='(.*?)' column='(.*?)'/>")


@contextmanager
def discovering(ctx: StepContext) -> Iterator[Discoverer]:
    """Open a project; fails with CON011 to CON017, over REST with CON024 to CON027, and DRV023 if it tells nothing."""
    fields = wire_fields(ctx.connection)
    if fields is not None:
        with postgres_discover.discovering(replace(ctx, connection=fields)) as source:
            yield source
        return
    with calling(ctx, retries=_RETRIES) as session:
        known = catalogue(session)
        if known is None:
            fail_untold(session, "any table", _UNTOLD)
        yield _Rest(session, known)


class _Rest:
    """What one key is told of one schema of a project."""

    def __init__(self, session: Session, known: Catalogue) -> None:
        rest = session.rest
        self.label = rest.where
        self.product = f"PostgREST {known.version}".strip()
        # What rows there are is decided by all that a token claims, not only by its role.
        claims = sha256_hex(key_of(rest.key).claims.encode())
        self.identity: Mapping[str, JsonValue] = {
            "url": rest.url,
            "schema": rest.schema,
            "user": session.role,
            "claims": claims,
        }
        self._session, self._known = session, known

    def fingerprint(self) -> str:
        """Return a digest of what the document tells of tables, which are those that the role may use."""
        told = json.dumps([self._known.version, self._known.definitions], sort_keys=True)
        return sha256_hex(told.encode())

    def schemas(self) -> Mapping[str, int | None]:
        """Return the schema of the connection."""
        return {self._session.rest.schema: len(self._known.tables)}

    def tables(self, _schema: str) -> Sequence[SeenTable]:
        """Return the tables and views that the role may use."""
        return [
            SeenTable(name, _COMPONENT, {"table": name}, "table or view", comment=definition.get("description"))
            for name, definition in sorted(self._known.definitions.items())
        ]

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a table with columns, keys and about the number of its rows; fails with DRV020 for a missing right."""
        there = {column.name: column for column in self._known.tables[table.name]}
        told = {name: dict(found) for name, found in self._properties(table).items()}
        fields = carried_or_not(list(there), lambda names: self._source(table, names).schema)
        columns = tuple(
            SeenColumn(
                name,
                _source_type(told[name]),
                *fields[name].typed(column.nullable),
                _default(told[name]),
                _notes(told[name])[0],
                fields[name].problem,
            )
            for name, column in there.items()
        )
        readable = [column.name for column in columns if column.type]
        source = self._source(table, readable) if readable else None
        return replace(
            table,
            columns=columns,
            rows=count_of(self._session, source, "planned") if source else None,
            order=source.order if source else "free",
            primary_key=tuple(name for name, column in there.items() if column.key),
            foreign_keys=tuple(key for name, found in told.items() for key in _keys(name, found)),
        )

    def _properties(self, table: SeenTable) -> Mapping[str, Mapping[str, JsonValue]]:
        found: Mapping[str, Mapping[str, JsonValue]] = self._known.definitions[table.name].get("properties") or {}
        return found

    def _source(self, table: SeenTable, columns: Sequence[str], limit: int | None = None) -> Source:
        wish = Wish(table.name, columns, limit=limit)
        return source_in(self._session, self._known, wish)

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows by the key; of a table without one, what a single answer holds."""
        source = self._source(table, columns, most + 1)
        found, whole = taken(_batches(self._session, source), most)
        if whole and not source.paged:
            whole = count_of(self._session, source) == sum(batch.num_rows for batch in found)
        return Sampled(stream(source.schema, found, "free"), "the first rows", whole)


def _batches(session: Session, source: Source) -> Generator[pa.RecordBatch, None, None]:
    for page in read_first(session, source, COARSE):
        yield page.rows


def _source_type(found: Mapping[str, JsonValue]) -> str:
    longest = found.get("maxLength")
    return str(found.get("format", "")) + ("" if longest is None else f"({longest})")


def _default(found: Mapping[str, JsonValue]) -> str | None:
    default = found.get("default")
    return default if default is None or isinstance(default, str) else json.dumps(default, default=str)


def _notes(found: Mapping[str, JsonValue]) -> tuple[str | None, str]:
    """Return the comment of a column, and what the document says of its keys."""
    text = str(found.get("description") or "")
    match = _NOTES.fullmatch(text)
    return (match[1] or None, match[2]) if match else (text or None, "")


def _keys(name: str, found: Mapping[str, JsonValue]) -> Iterator[SeenKey]:
    for table, column in _FOREIGN.findall(_notes(found)[1]):
        yield SeenKey((name,), table, (column,))
