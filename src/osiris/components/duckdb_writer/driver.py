"""Writes a table of a DuckDB database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.driver import Written
from osiris.families.duckdb import (
    SCHEMA,
    column_type,
    is_unique,
    qualified,
    reading,
    refuse_types,
    relations,
    table_columns,
    target_of,
    translated,
    writing,
)
from osiris.families.embedded import (
    LEDGER,
    Column,
    database_path,
    fail_no_key,
    fail_no_table,
    find_delivery,
    make_folder,
    record_delivery,
    refuse_misfit,
    same_name,
    staged,
)
from osiris.families.fitting import holds
from osiris.families.keys import check_key_columns, refuse_repeated_keys
from osiris.families.statements import create_table, insert_rows
from osiris.sql.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from osiris.driver import StepContext
    from osiris.families.embedded import Staged, Target
    from osiris.model import Schema
    from osiris.table import RowStream

_ROWS = "osiris_rows"


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    table: str
    schema: str = SCHEMA
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
    def key(self) -> Sequence[str]:
        """Return the columns of the key, as far as there is one."""
        return self.config.primary_key or ()


class Driver:
    """A writer of DuckDB tables."""

    def check(self, config: Config, schema: Schema, ctx: StepContext) -> None:
        """Fail with CMP012 for columns that DuckDB cannot hold as they are, with DAT005 for a key that is not there."""
        refuse_types(ctx, schema)
        check_key_columns(ctx, schema, config.primary_key or ())

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Take all rows, then deliver them in one transaction, unless an attempt before has done so.

        Fails with DAT028 for a key that comes twice, DAT029 if the rows do not fit the table, DRV001 to DRV014.
        """
        path = database_path(ctx, writing=True)
        work = _Work(config, ctx, path, target_of(ctx, path, config.schema, config.table), rows.schema)
        earlier = _look(work)
        if earlier:
            return earlier
        with staged(rows, ctx) as waiting:
            if config.write_mode == "upsert":
                refuse_repeated_keys(waiting, work.key, ctx)
            with writing(ctx, path) as engine, translated(ctx, path):
                return _deliver(engine, work, waiting)


def _look(work: _Work) -> Written | None:
    """Return what was delivered before, and refuse a table that the rows do not fit, before any of them is read."""
    config, ctx, path = work.config, work.ctx, work.path
    if not path.exists() and config.create_if_missing:
        make_folder(path)
        return None
    with reading(ctx, path) as engine, translated(ctx, path):
        earlier = _known_delivery(engine, work)
        if earlier is None:
            _refuse(engine, work)
        return earlier


def _known_delivery(engine: DuckDBPyConnection, work: _Work) -> Written | None:
    if not work.ctx.run_key or LEDGER not in relations(engine, SCHEMA):
        return None
    return find_delivery(engine.execute, work.ctx, work.target)


def _refuse(engine: DuckDBPyConnection, work: _Work) -> None:
    """Fail with DRV012 or DAT029 unless the rows fit the table, or may make it."""
    config = work.config
    known = relations(engine, config.schema)
    there = same_name(config.table, known)
    if there:
        columns = table_columns(engine, config.schema, there)
        refuse_misfit(work.ctx, work.target, work.schema, columns, _holds)
        if config.write_mode == "upsert" and not is_unique(engine, config.schema, there, work.key):
            fail_no_key(work.ctx, work.target, work.key)
    elif not config.create_if_missing:
        fail_no_table(work.ctx, work.path, config.table, known)


def _holds(column: Column, kind: str) -> bool:
    return column.type is not None and holds(column.type, kind)


def _deliver(engine: DuckDBPyConnection, work: _Work, waiting: Staged) -> Written:
    """Write everything in one transaction; what another attempt has done meanwhile is seen inside of it."""
    engine.register(_ROWS, waiting.open().reader())
    engine.execute("BEGIN TRANSACTION")
    earlier = _known_delivery(engine, work)
    if earlier:
        return earlier
    _refuse(engine, work)
    table = qualified(work.config.schema, work.config.table)
    engine.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_name(work.config.schema)}")
    types = {column.name: str(column_type(column.type)) for column in work.schema}
    engine.execute(create_table(table, types, work.key))
    if work.config.write_mode == "replace":
        engine.execute(f"DELETE FROM {table}")
    source = f"SELECT {', '.join(map(quote_name, types))} FROM temp.{_ROWS}"
    key = work.key if work.config.write_mode == "upsert" else ()
    engine.execute(insert_rows(table, list(types), source, key))
    record_delivery(engine.execute, work.ctx, work.target, waiting.rows)
    engine.execute("COMMIT")
    return Written(waiting.rows, waiting.size, ledger=work.target.database)
