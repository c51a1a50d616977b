"""How a SQLite file is discovered: what it declares, and the columns as a step that reads them has them."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from osiris.driver import SeenColumn, SeenKey, SeenTable
from osiris.families.sql.discoverer import FileDiscoverer, both_ends, discovering_file, sampled_of
from osiris.families.sqlite.database import (
    SQLITE,
    Column,
    count_rows,
    order_of,
    quoted,
    read_batches,
    type_problem,
    unique_indexes,
)
from osiris.model import Field
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from osiris.driver import Discoverer, Sampled, StepContext

_MANY = 4
"""A table with so many samples in it is looked at from both ends."""


def discovering(ctx: StepContext) -> AbstractContextManager[Discoverer]:
    """Open the file of a connection; fails with DRV001 to DRV011."""
    return discovering_file(ctx, SQLITE, _SQLite)


class _SQLite(FileDiscoverer[sqlite3.Connection]):
    def schemas(self) -> Mapping[str, int | None]:
        """Return the only schema."""
        return {SQLITE.own_schema: len(SQLITE.relations(self.session))}

    def tables(self, _schema: str) -> Sequence[SeenTable]:
        """Return the tables and views."""
        return [
            SeenTable(name, "sqlite.extractor", {"table": name}, table.kind, files=self.files)
            for name, table in sorted(SQLITE.relations(self.session).items())
        ]

    def details(self, table: SeenTable) -> SeenTable:
        """Return a table with columns and keys, and how many rows it has, if these are few."""
        found = SQLITE.relations(self.session)[table.name]
        columns = SQLITE.columns(self.session, found)
        indexes = [index for index in unique_indexes(self.session, table.name) if index.origin != "pk"]
        return replace(
            table,
            rows=count_rows(self.session, found),
            columns=tuple(map(_seen, columns)),
            primary_key=tuple(c.name for c in sorted(columns, key=lambda c: c.key) if c.key),
            unique=tuple(sorted(index.names for index in indexes if len(index.names) == len(index.columns))),
            foreign_keys=self._foreign(table.name),
            order="fixed" if order_of(found, columns) else "free",
        )

    def _foreign(self, table: str) -> tuple[SeenKey, ...]:
        text = 'SELECT id, "from", "table", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq'
        keys: dict[int, list[tuple[str, str, str | None]]] = {}
        for number, *parts in self.session.rows(text, table):
            keys.setdefault(number, []).append((parts[0], parts[1], parts[2]))
        return tuple(
            SeenKey(tuple(c for c, *_ in parts), parts[0][1], tuple(to for *_, to in parts if to))
            for _, parts in sorted(keys.items())
        )

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows, in their order if there is one; of large tables also the last."""
        found = SQLITE.relations(self.session)[table.name]
        every = SQLITE.columns(self.session, found)
        known = {column.name: column for column in every}
        schema = tuple(Field(name, str(known[name].type), known[name].nullable) for name in columns)
        order = order_of(found, every)
        text = f"SELECT {', '.join(map(quote_name, columns))} FROM {quoted(table.name)}"
        texts, method = [f"{text} LIMIT {most + 1}"], "the first rows"
        if order and (table.rows is None or table.rows > _MANY * most):
            texts, method = both_ends(text, order, most)
        return sampled_of(schema, texts, partial(read_batches, self.session, schema=schema), most, method)


def _seen(column: Column) -> SeenColumn:
    problem = type_problem(column.type)
    if column.type is None:
        problem = f"{problem}; give the step dtype: {{{column.name}: utf8}}"
    kind, default = None if problem else column.type, "generated" if column.computed else column.default
    return SeenColumn(column.name, column.declared, kind, column.nullable, default, problem=problem)
