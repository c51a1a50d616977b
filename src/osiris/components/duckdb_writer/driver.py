"""Writes a table of a DuckDB database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.driver import Written
from osiris.families.duckdb.session import (
    SCHEMA,
    column_type,
    has_collation,
    is_unique,
    qualified,
    reading,
    refuse_types,
    refusing,
    relations,
    table_columns,
    target_of,
    translated,
    writing,
)
from osiris.families.sql.database_file import database_path, fail_no_table, make_folder
from osiris.families.sql.dml import create_table, insert_rows, on_conflict, repeated_key
from osiris.families.sql.key_columns import check_key_columns, refuse_equal_keys, refuse_repeated_keys
from osiris.families.sql.ledger import LEDGER, find_delivery, record_delivery
from osiris.families.sql.staging import staged
from osiris.families.sql.target_table import (
    ABSENT,
    THERE,
    Column,
    expect_all_taken,
    fail_no_key,
    fail_view,
    refuse_misfit,
    refuse_name,
    same_name,
    tell_new_table,
)
from osiris.families.type_compat import holds
from osiris.fault import fault
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from osiris.driver import StepContext
    from osiris.families.sql.staging import Staged
    from osiris.families.sql.target_table import Target
    from osiris.model import Schema
    from osiris.table import RowStream

_ROWS = "osiris_rows"
_KEYS = "osiris_keys"


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
        """Fail with CMP012 for columns that DuckDB cannot hold as they are, with DAT005 for a key that is not there.

        Fails with OML028 for a table that may not be written.
        """
        refuse_name(config.table)
        refuse_types(ctx, schema)
        check_key_columns(ctx, schema, config.primary_key or ())

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str:
        """Fail unless the table takes such rows or may be made; tells whether it is `there` or `absent`.

        Fails with DRV001 or DRV012 for one that is missing, DAT029 for one that they do not fit, DRV003 to DRV013.
        """
        refuse_name(config.table)
        path = database_path(ctx, writing=True)
        if not path.exists() and config.create_if_missing:
            tell_new_table(ctx, config.table, ())
            return ABSENT
        with reading(ctx, path) as engine, translated(ctx, path):
            return THERE if _refuse(engine, _work(config, ctx, path, schema)) else ABSENT

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Take all rows, then deliver them in one transaction, unless an attempt before has done so.

        Fails with DAT028 for a key that comes twice, DAT029 if the rows do not fit the table, DAT032 for a row that it
        refuses, DRV001 to DRV015.
        """
        refuse_name(config.table)
        path = database_path(ctx, writing=True)
        work = _work(config, ctx, path, rows.schema)
        earlier = _look(work)
        if earlier:
            return earlier
        with staged(rows, ctx) as waiting:
            if config.write_mode == "upsert":
                refuse_repeated_keys(waiting, work.key, ctx)
            with writing(ctx, path) as engine, translated(ctx, path):
                return _deliver(engine, work, waiting)


def _work(config: Config, ctx: StepContext, path: Path, schema: Schema) -> _Work:
    return _Work(config, ctx, path, target_of(ctx, path, config.schema, config.table), schema)


def _look(work: _Work) -> Written | None:
    """Return what was delivered before, and refuse a table that the rows do not fit, before any of them is read."""
    config, ctx, path = work.config, work.ctx, work.path
    if not path.exists() and config.create_if_missing:
        make_folder(path)
        tell_new_table(ctx, config.table, ())
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


def _refuse(engine: DuckDBPyConnection, work: _Work) -> bool:
    """Fail with DRV012 or DAT029 unless the rows fit the table, or may make it; tell whether it is there."""
    config = work.config
    known = relations(engine, config.schema)
    there = same_name(config.table, known)
    if there:
        if known[there] is None:
            fail_view(work.ctx, work.target)
        columns = table_columns(engine, config.schema, there)
        refuse_misfit(work.ctx, work.target, work.schema, columns, _holds)
        if config.write_mode == "upsert" and not is_unique(engine, config.schema, there, work.key):
            fail_no_key(work.ctx, work.target, work.key)
    elif not config.create_if_missing:
        fail_no_table(work.ctx, work.path, config.table, known)
    else:
        tell_new_table(work.ctx, config.table, known)
    return there is not None


def _holds(column: Column, kind: str) -> bool:
    return column.type is not None and holds(column.type, kind)


def _deliver(engine: DuckDBPyConnection, work: _Work, waiting: Staged) -> Written:
    """Write everything in one transaction; what another attempt has done meanwhile is seen inside of it."""
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
    _insert(engine, work, waiting, list(types))
    record_delivery(engine.execute, work.ctx, work.target, waiting.rows)
    fault("duckdb.commit")
    engine.execute("COMMIT")
    fault("duckdb.committed")
    return Written(waiting.rows, waiting.size, ledger=work.target.database)


def _insert(engine: DuckDBPyConnection, work: _Work, waiting: Staged, columns: list[str]) -> None:
    """Insert or upsert all rows; fails with DAT028 or DRV015 if not each of them has become a row of its own."""
    schema, name, upsert = work.config.schema, work.config.table, work.config.write_mode == "upsert"
    table = qualified(schema, name)
    collated = upsert and has_collation(engine, schema, same_name(name, relations(engine, schema)) or name)
    if collated:
        _refuse_equal_keys(engine, work, waiting, table)
    engine.register(_ROWS, waiting.open().reader())
    statement = insert_rows(table, columns, f"SELECT {', '.join(map(quote_name, columns))} FROM temp.{_ROWS}")
    if upsert:
        statement += on_conflict(columns, work.key, whole=collated)
    with refusing(work.ctx, work.target):
        (taken,) = engine.execute(statement).fetchone() or (0,)
    if collated or not upsert or set(columns) != set(work.key):  # else rows that are there count for nothing
        expect_all_taken(work.ctx, work.target, waiting.rows, taken)


def _refuse_equal_keys(engine: DuckDBPyConnection, work: _Work, waiting: Staged, table: str) -> None:
    """Fail with DAT028 for keys that differ, and are one under the collation that the table's columns have."""
    key = ", ".join(map(quote_name, work.key))
    engine.execute(f"CREATE TEMP TABLE {_KEYS} AS SELECT {key} FROM {table} LIMIT 0")
    engine.register(_ROWS, waiting.open().reader())
    engine.execute(f"INSERT INTO temp.{_KEYS} SELECT {key} FROM temp.{_ROWS}")
    found = engine.execute(repeated_key(f"temp.{_KEYS}", work.key)).fetchone()
    refuse_equal_keys(found, work.key, work.ctx)
