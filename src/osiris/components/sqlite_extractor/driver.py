"""Reads a table or a view of a SQLite database, in one read-only snapshot, each value checked against its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from osiris.document import join
from osiris.errors import Diagnostic, Location, diagnostic, fail, raise_all
from osiris.families.source_columns import check_known, expect_schema
from osiris.families.sql.database_file import database_path, fail_no_table, label, state_of
from osiris.families.sql.target_table import same_name
from osiris.families.sqlite.session import declared, is_rowid, order_of, reading, tables, translated
from osiris.families.sqlite.types import is_readable, read_values, type_of
from osiris.model import Described, Field
from osiris.sql.binding.duck_types import quote_name
from osiris.table import stream
from osiris.types import arrow_schema, is_type_name, unknown_type

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.families.sqlite.session import Declared, Table
    from osiris.model import Order, Schema
    from osiris.table import RowStream

_BATCH = 10_000
_COUNTED = 1_000_000
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    table: str
    columns: Sequence[str] | None = None
    limit: int | None = None
    dtype: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Source:
    """A table as it is read: its columns, the statement, and the quoted columns in whose order it comes."""

    table: Table
    schema: Schema
    text: str
    order: list[str]

    @property
    def kind(self) -> Order:
        """Tell whether the order of the rows is fixed."""
        return "fixed" if self.order else "free"


class Driver:
    """An extractor of SQLite databases."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns of the table; fails with DAT005, DAT006, DAT012 or DRV001 to DRV013."""
        path = database_path(ctx)
        with reading(ctx, path) as connection, translated(ctx, path):
            source = _source(connection, config, ctx, path)
            rows = _estimate(connection, source, config.limit)
        return Described(source.schema, source.kind, rows, _state(path))

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Fail with DAT011 if the columns are no longer as planned; returns the state of the database."""
        path = database_path(ctx)
        with reading(ctx, path) as connection, translated(ctx, path):
            expect_schema(ctx, schema, _source(connection, config, ctx, path).schema)
        return _state(path)

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows; reading them fails with DAT001 for a value of another type, DAT011 for other columns."""
        path = database_path(ctx)
        with reading(ctx, path) as connection, translated(ctx, path):
            order = _source(connection, config, ctx, path).kind
        return stream(schema, _rows(config, schema, ctx), order)


def _state(path: Path) -> str | None:
    return state_of(path, path.with_name(f"{path.name}-wal"))


def _source(connection: sqlite3.Connection, config: Config, ctx: StepContext, path: Path) -> _Source:
    known = tables(connection)
    name = same_name(config.table, known)
    if name is None:
        fail_no_table(ctx, path, config.table, known)
    columns = {column.name: column for column in declared(connection, name)}
    where = f"table '{name}' of {label(ctx, path)}"
    check_known({"columns": config.columns or (), "dtype": config.dtype}, list(columns), where)
    schema = _schema(config, [columns[each] for each in config.columns or columns], list(columns.values()))
    order = order_of(known[name], list(columns.values()))
    text = f"SELECT {', '.join(quote_name(column.name) for column in schema)} FROM main.{quote_name(name)}"
    text += f" ORDER BY {', '.join(order)}" if order else ""
    text += f" LIMIT {config.limit}" if config.limit else ""
    return _Source(known[name], schema, text, order)


def _schema(config: Config, columns: Sequence[Declared], every: list[Declared]) -> Schema:
    """Return the columns with their types: that of `dtype`, else the declared one; gathers what has none."""
    found: list[Field] = []
    problems: list[Diagnostic] = []
    for column in columns:
        kind = config.dtype.get(column.name) or type_of(column.declared)
        if kind is None:
            told = f"'{column.declared}'" if column.declared else "none"
            hint = f"say what it holds: dtype: {{{column.name}: utf8}}"
            why = "SQLite does not say what it holds"
            problems.append(diagnostic("DAT006", column=column.name, type=told, reason=why, hint=hint))
        elif not is_type_name(kind):
            at = Location(pointer=join("/config/dtype", column.name))
            problems.append(unknown_type(kind, at))
        elif not is_readable(kind):
            problems.append(diagnostic("DAT006", column=column.name, type=kind, reason="SQLite has no such values"))
        else:
            found.append(Field(column.name, kind, not (column.needed or is_rowid(column, every))))
    if problems:
        raise_all(problems)
    return tuple(found)


def _estimate(connection: sqlite3.Connection, source: _Source, limit: int | None) -> int | None:
    """Return how many rows are read; of a view, or of more than can be counted at once, that is not known."""
    if source.table.view:
        return None
    table, most = f"main.{quote_name(source.table.name)}", min(limit or _COUNTED, _COUNTED)
    (rows,) = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT ?)", (most,)).fetchone()
    return None if rows == _COUNTED else int(rows)


def _rows(config: Config, schema: Schema, ctx: StepContext) -> Iterator[pa.RecordBatch]:
    """Open the database when the first row is asked for; close it after the last, or when nobody asks any more."""
    path = database_path(ctx)
    with reading(ctx, path) as connection, translated(ctx, path):
        source = _source(connection, config, ctx, path)
        expect_schema(ctx, schema, source.schema)
        arrow, done = arrow_schema(schema), 0
        cursor = connection.execute(source.text)
        while rows := cursor.fetchmany(_BATCH):
            columns = zip(*rows, strict=True)
            arrays = [
                _array(connection, source, column, values, done) for column, values in zip(schema, columns, strict=True)
            ]
            ctx.count("rows_read", len(rows))
            done += len(rows)
            yield pa.RecordBatch.from_arrays(arrays, schema=arrow)


def _array(
    connection: sqlite3.Connection, source: _Source, column: Field, values: Sequence[object], done: int
) -> pa.Array:
    """Return the values of a column; fails with DAT001, naming the row, if one is not of its type."""
    array = read_values(values, column.type)
    if array is None:
        number, wrong = next((n, v) for n, v in enumerate(values) if read_values([v], column.type) is None)
        where = f"({_row(connection, source, done + number)} of '{source.table.name}')"
        hint = f"give '{column.name}' another type with dtype"
        fail("DAT001", column=column.name, value=f"{_shown(wrong)} {where}", type=column.type, hint=hint)
    return array


def _row(connection: sqlite3.Connection, source: _Source, position: int) -> str:
    if not (source.table.rowid and source.order):
        return f"row {position + 1}"
    query = f"SELECT {source.order[0]} FROM main.{quote_name(source.table.name)} ORDER BY 1 LIMIT 1 OFFSET ?"
    (rowid,) = connection.execute(query, (position,)).fetchone()
    return f"rowid {rowid}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
