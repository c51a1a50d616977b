"""Discovery of a SQLite file: its declarations, and the columns as a step that reads them gets them."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from osiris.families.discovery_base import FieldCheck
from osiris.families.sql.database import listed
from osiris.families.sql.discoverer import (
    FileDiscoverer,
    discovering_file,
    first_and_last,
    grouped,
    keys_of,
    sampled_of,
)
from osiris.families.sqlite.database import (
    SQLITE,
    Column,
    count_rows,
    order_of,
    read_batches,
    type_problem,
    unique_indexes,
)
from osiris.model import Field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from osiris.driver import Discoverer, Sampled, SeenTable, StepContext
    from osiris.families.sqlite.database import Session, Table
    from osiris.model import Order

_FOREIGN = 'SELECT id, "from", "table", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq'
_MANY = 4
"""A table of more than this many times the sample is sampled from both ends."""


def discovering(ctx: StepContext) -> AbstractContextManager[Discoverer]:
    """Open the file of a connection; fails with DRV001 to DRV011."""
    return discovering_file(ctx, SQLITE, _SQLite)


class _SQLite(FileDiscoverer[sqlite3.Connection]):
    def fields(self, session: Session, relation: Table, _names: Sequence[str]) -> Mapping[str, FieldCheck]:
        """Return by name the field that a step gets for each column, or the problem."""
        return {column.name: _field_check(column) for column in SQLITE.columns(session, relation)}

    def keys(self, session: Session, relation: Table) -> Mapping[str, Any]:
        """Return the keys of a table."""
        primary = sorted((column.key, column.name) for column in SQLITE.columns(session, relation) if column.key)
        unique = [index for index in unique_indexes(session, relation.name) if index.origin != "pk"]
        names = sorted(index.names for index in unique if len(index.names) == len(index.columns))
        keys = [("p", [name for _, name in primary]), *(("u", columns) for columns in names)]
        return keys_of([*((kind, columns, None, None) for kind, columns in keys), *_foreign(session, relation.name)])

    def completed(self, table: SeenTable, session: Session, relation: Table) -> SeenTable:
        """Return a table with its row count, unless that is large, and whether its rows have an order."""
        order: Order = "fixed" if order_of(relation, SQLITE.columns(session, relation)) else "free"
        return replace(table, rows=count_rows(session, relation), order=order)

    def sample(self, table: SeenTable, columns: Sequence[str], most: int) -> Sampled:
        """Return the first rows, in their order if there is one; for large tables also the last."""
        session, relation = self.place(table)
        all_columns = SQLITE.columns(session, relation)
        by_name = {column.name: column for column in all_columns}
        schema = tuple(Field(name, str(by_name[name].type), by_name[name].nullable) for name in columns)
        order = order_of(relation, all_columns)
        text = f"SELECT {listed(columns)} FROM {SQLITE.qualified(session.schema, table.name)}"
        texts, method = [f"{text} LIMIT {most + 1}"], "the first rows"
        if order and (table.rows is None or table.rows > _MANY * most):
            texts, method = first_and_last(text, order, most)
        return sampled_of(schema, texts, partial(read_batches, session, schema=schema), most, method)


def _foreign(session: Session, table: str) -> Iterator[tuple[str, Sequence[str], str, Sequence[str]]]:
    for key in grouped(session.rows(_FOREIGN, table)):
        columns, tables, to = zip(*key, strict=True)
        yield "f", columns, tables[0], [name for name in to if name]


def _field_check(column: Column) -> FieldCheck:
    problem = type_problem(column.type)
    if column.type is None:
        problem = f"{problem}; give the step dtype: {{{column.name}: utf8}}"
    return FieldCheck(None if problem else Field(column.name, str(column.type), column.nullable), problem)
