"""Discovery of Supabase: as PostgreSQL with a database address, else from the OpenAPI document of its REST interface.

The document covers one schema, that of the connection. It neither distinguishes tables from views nor gives their size.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.canonical import sha256_hex
from osiris.driver import Sampled, SeenColumn, SeenKey, SeenTable
from osiris.families.discovery_base import fields_or_problems, taken
from osiris.families.postgres import discover as postgres_discover
from osiris.families.sql.columnar import DEFAULT_POLICY
from osiris.families.supabase.connect import key_of, wire_fields
from osiris.families.supabase.http import calling
from osiris.families.supabase.openapi import catalogue, fail_hidden
from osiris.families.supabase.reader import Selection, count_of, read_first, source_in
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
_NEEDS_KEY = "give the connection a key of role service_role, or the database's address"
_NOTES = re.compile(r"(.*?)(?:\n\n)?Note:\n((?:This is a .*<[pf]k.*/>\n?)+)", re.DOTALL)
"""A comment, followed by the document's notes about keys."""

_FOREIGN = re.compile(r"<fk table='(.*?)' column='(.*?)'/>")


@contextmanager
def discovering(ctx: StepContext) -> Iterator[Discoverer]:
    """Open a project; fails with CON011 to CON017, over REST also with CON024 to CON027 or DRV023."""
    fields = wire_fields(ctx.connection)
    if fields is not None:
        with postgres_discover.discovering(replace(ctx, connection=fields)) as source:
            yield source
        return
    with calling(ctx, retries=_RETRIES) as session:
        tables = catalogue(session)
        if tables is None:
            fail_hidden(session, "any table", _NEEDS_KEY)
        yield _Rest(session, tables)


class _Rest:
    """One schema of a project, as one key sees it."""

    def __init__(self, session: Session, tables: Catalogue) -> None:
        rest = session.rest
        self.label = rest.where
        self.product = f"PostgREST {tables.version}".strip()
        # Which rows are visible depends on all claims of a token, not only on its role.
        claims = sha256_hex(key_of(rest.key).claims.encode())
        self.identity: Mapping[str, JsonValue] = {
            "url": rest.url,
            "schema": rest.schema,
            "user": session.role,
            "claims": claims,
        }
        self._session, self._catalogue = session, tables

    def fingerprint(self) -> str:
        """Return a digest of the document's tables, which are those that the role may use."""
        document = json.dumps([self._catalogue.version, self._catalogue.definitions], sort_keys=True)
        return sha256_hex(document.encode())

    def schemas(self) -> Mapping[str, int | None]:
        """Return the schema of the connection."""
        return {self._session.rest.schema: len(self._catalogue.tables)}

    def tables(self, _schema: str) -> Sequence[SeenTable]:
        """Return the tables and views that the role may use."""
        return [
            SeenTable(name, _COMPONENT, {"table": name}, "table or view", comment=definition.get("description"))
            for name, definition in sorted(self._catalogue.definitions.items())
        ]

    def detailed(self, table: SeenTable) -> SeenTable:
        """Return a table with columns, keys and its estimated row count; fails with DRV020 for a missing privilege."""
        by_name = {column.name: column for column in self._catalogue.tables[table.name]}
        properties = {name: dict(definition) for name, definition in self._properties(table).items()}
        fields = fields_or_problems(list(by_name), lambda names: self._source(table, names).schema)
        columns = tuple(
            SeenColumn(
                name,
                _source_type(properties[name]),
                *fields[name].typed(column.nullable),
                _default(properties[name]),
                _notes(properties[name])[0],
                fields[name].problem,
            )
            for name, column in by_name.items()
        )
        readable = [column.name for column in columns if column.type]
        source = self._source(table, readable) if readable else None
        return replace(
            table,
            columns=columns,
            rows=count_of(self._session, source, "planned") if source else None,
            order=source.order if source else "free",
            primary_key=tuple(name for name, column in by_name.items() if column.key),
            foreign_keys=tuple(key for name, definition in properties.items() for key in _keys(name, definition)),
        )

    def _properties(self, table: SeenTable) -> Mapping[str, Mapping[str, JsonValue]]:
        properties: Mapping[str, Mapping[str, JsonValue]] = (
            self._catalogue.definitions[table.name].get("properties") or {}
        )
        return properties

    def _source(self, table: SeenTable, columns: Sequence[str], limit: int | None = None) -> Source:
        return source_in(self._session, self._catalogue, Selection(table.name, columns, limit=limit))

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows by the key; of a table without one, the rows of a single response."""
        source = self._source(table, columns, most + 1)
        batches, complete = taken(_batches(self._session, source), most)
        if complete and not source.paged:
            complete = count_of(self._session, source) == sum(batch.num_rows for batch in batches)
        return Sampled(stream(source.schema, batches, "free"), "the first rows", complete)


def _batches(session: Session, source: Source) -> Generator[pa.RecordBatch, None, None]:
    for page in read_first(session, source, DEFAULT_POLICY):
        yield page.rows


def _source_type(definition: Mapping[str, JsonValue]) -> str:
    longest = definition.get("maxLength")
    return str(definition.get("format", "")) + ("" if longest is None else f"({longest})")


def _default(definition: Mapping[str, JsonValue]) -> str | None:
    default = definition.get("default")
    return default if default is None or isinstance(default, str) else json.dumps(default, default=str)


def _notes(definition: Mapping[str, JsonValue]) -> tuple[str | None, str]:
    """Return the comment of a column, and the document's notes about its keys."""
    text = str(definition.get("description") or "")
    match = _NOTES.fullmatch(text)
    return (match[1] or None, match[2]) if match else (text or None, "")


def _keys(name: str, definition: Mapping[str, JsonValue]) -> Iterator[SeenKey]:
    for table, column in _FOREIGN.findall(_notes(definition)[1]):
        yield SeenKey((name,), table, (column,))
