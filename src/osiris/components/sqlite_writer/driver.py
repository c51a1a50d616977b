"""Writes a table of a SQLite database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.driver import Written
from osiris.errors import fail
from osiris.families.embedded import (
    LEDGER,
    Target,
    database_path,
    fail_no_key,
    fail_no_table,
    find_delivery,
    label,
    make_folder,
    record_delivery,
    refuse_columns,
    refuse_misfit,
    same_name,
    staged,
)
from osiris.families.keys import check_key_columns, refuse_repeated_keys
from osiris.families.sqlite import commit, is_unique, reading, table_columns, tables, translated, writing
from osiris.families.sqlite_types import column_type, holds_exactly, refused_values, stored_values
from osiris.families.statements import create_table, insert_rows
from osiris.sql.duck_types import quote_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.embedded import Staged
    from osiris.model import Schema
    from osiris.table import RowStream

_ABSENT = "SQLite has no such values; cast it, or turn it into text or JSON in SQL"


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    table: str
    write_mode: Literal["append", "replace", "upsert"] = "append"
    primary_key: Sequence[str] | None = None
    create_if_missing: bool = True


@dataclass(frozen=True, slots=True)
class _Work:
    """One delivery: what is asked for, where it goes, and the columns of the rows."""

    config: Config
    ctx: StepContext
    path: Path
    target: Target
    schema: Schema

    @property
    def key(self) -> tuple[str, ...]:
        """Return the columns of the key, as far as there is one."""
        return tuple(self.config.primary_key or ())


class Driver:
    """A writer of SQLite tables."""

    def check(self, config: Config, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns that SQLite cannot hold as they are, with DAT005 for a key that is not there."""
        refuse_columns(ctx, schema, {c.name: _ABSENT for c in schema if column_type(c.type) is None})
        check_key_columns(ctx, schema, config.primary_key or ())

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Take all rows, then deliver them in one transaction, unless an attempt before has done so.

        Fails with DAT015 for a value that SQLite would change, DAT028 for a key that comes twice, DAT029 if the rows do
        not fit the table, DRV001 to DRV014.
        """
        path = database_path(ctx, writing=True)
        work = _Work(config, ctx, path, Target(config.table, label(ctx, path)), rows.schema)
        earlier = _look(work)
        if earlier:
            return earlier
        with staged(rows, ctx) as waiting:
            if config.write_mode == "upsert":
                refuse_repeated_keys(waiting, work.key, ctx)
            with writing(ctx, path) as connection:
                return _deliver(connection, work, waiting)


def _look(work: _Work) -> Written | None:
    """Return what was delivered before, and refuse a table that the rows do not fit, before any of them is read."""
    config, ctx, path = work.config, work.ctx, work.path
    if not path.exists() and config.create_if_missing:
        make_folder(path)
        return None
    with reading(ctx, path) as connection, translated(ctx, path):
        earlier = _known_delivery(connection, work)
        if earlier is None:
            _refuse(connection, work)
        return earlier


def _known_delivery(connection: sqlite3.Connection, work: _Work) -> Written | None:
    if not work.ctx.run_key or LEDGER not in tables(connection):
        return None
    return find_delivery(connection.execute, work.ctx, work.target)


def _refuse(connection: sqlite3.Connection, work: _Work) -> None:
    """Fail with DRV012 or DAT029 unless the rows fit the table, or may make it."""
    config, known = work.config, tables(connection)
    there = same_name(config.table, known)
    if there:
        refuse_misfit(work.ctx, work.target, work.schema, table_columns(connection, there), holds_exactly)
        if config.write_mode == "upsert" and not is_unique(connection, there, work.key):
            fail_no_key(work.ctx, work.target, work.key)
    elif not config.create_if_missing:
        fail_no_table(work.ctx, work.path, config.table, known)


def _deliver(connection: sqlite3.Connection, work: _Work, waiting: Staged) -> Written:
    """Write everything in one transaction; what another attempt has done meanwhile is seen inside of it."""
    earlier = _known_delivery(connection, work)
    if earlier:
        return earlier
    _refuse(connection, work)
    table = f"main.{quote_name(work.config.table)}"
    types = {column.name: str(column_type(column.type)) for column in work.schema}
    connection.execute(create_table(table, types, work.key))
    if work.config.write_mode == "replace":
        connection.execute(f"DELETE FROM {table}")
    source = f"VALUES ({', '.join('?' * len(types))})"
    statement = insert_rows(table, list(types), source, work.key if work.config.write_mode == "upsert" else ())
    for batch in waiting.open().batches():
        if work.ctx.cancelled():
            fail("RUN003", signal="request")
        connection.executemany(statement, zip(*_values(batch, work), strict=True))
    record_delivery(connection.execute, work.ctx, work.target, waiting.rows)
    commit(connection, work.ctx, work.path)
    return Written(waiting.rows, waiting.size, ledger=work.target.database)


def _values(batch: pa.RecordBatch, work: _Work) -> list[list[object]]:
    """Return the columns of a batch as values for SQLite; fails with DAT015 for one that it would change."""
    for column, array in zip(work.schema, batch.columns, strict=True):
        if refused := refused_values(array, column.type):
            values, why = refused
            fail("DAT015", step=work.ctx.step, column=column.name, value=str(values[0]), reason=why)
    return [stored_values(array, column.type) for column, array in zip(work.schema, batch.columns, strict=True)]
