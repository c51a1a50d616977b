"""Writes a table of a SQLite database: rows and the record of their delivery in one transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.driver import Written
from osiris.errors import fail
from osiris.families.sql.database_file import database_path, fail_no_table, label, make_folder
from osiris.families.sql.dml import create_table, insert_rows, on_conflict, repeated_key
from osiris.families.sql.key_columns import check_key_columns, refuse_equal_keys, refuse_repeated_keys
from osiris.families.sql.ledger import LEDGER, find_delivery, record_delivery
from osiris.families.sql.staging import staged
from osiris.families.sql.target_table import (
    ABSENT,
    THERE,
    Target,
    expect_all_taken,
    fail_no_key,
    fail_row,
    fail_view,
    refuse_columns,
    refuse_misfit,
    refuse_name,
    same_name,
    tell_new_table,
)
from osiris.families.sqlite.session import (
    commit,
    has_triggers,
    is_unique,
    key_collations,
    numbered_column,
    reading,
    table_columns,
    tables,
    translated,
    writing,
)
from osiris.families.sqlite.types import column_type, first_refused, holds_exactly, stored_values
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.sql.staging import Staged
    from osiris.model import Schema
    from osiris.table import RowStream

_KEYS = "osiris_keys"
_INSERT = "INSERT OR ABORT"
"""A table may say that conflicts are to be ignored, or replace rows: what the statement says goes before that."""

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
        """Fail with CMP012 for columns that SQLite cannot hold as they are, with DAT005 for a key that is not there.

        Fails with OML028 for a table that may not be written.
        """
        refuse_name(config.table)
        refuse_columns(ctx, schema, {c.name: _ABSENT for c in schema if column_type(c.type) is None})
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
        with reading(ctx, path) as connection, translated(ctx, path):
            return THERE if _refuse(connection, _work(config, ctx, path, schema)) else ABSENT

    def write(self, config: Config, rows: RowStream, ctx: StepContext) -> Written:
        """Take all rows, then deliver them in one transaction, unless an attempt before has done so.

        Fails with DAT015 for a value that SQLite would change, DAT028 for a key that comes twice, DAT029 if the rows do
        not fit the table, DAT032 for a row that it refuses, DRV001 to DRV015.
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
            with writing(ctx, path) as connection:
                return _deliver(connection, work, waiting)


def _work(config: Config, ctx: StepContext, path: Path, schema: Schema) -> _Work:
    return _Work(config, ctx, path, Target(config.table, label(ctx, path)), schema)


def _look(work: _Work) -> Written | None:
    """Return what was delivered before, and refuse a table that the rows do not fit, before any of them is read."""
    config, ctx, path = work.config, work.ctx, work.path
    if not path.exists() and config.create_if_missing:
        make_folder(path)
        tell_new_table(ctx, config.table, ())
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


def _refuse(connection: sqlite3.Connection, work: _Work) -> bool:
    """Fail with DRV012 or DAT029 unless the rows fit the table, or may make it; tell whether it is there."""
    config, known = work.config, tables(connection)
    there = same_name(config.table, known)
    if there:
        if known[there].view:
            fail_view(work.ctx, work.target)
        refuse_misfit(work.ctx, work.target, work.schema, table_columns(connection, there), holds_exactly)
        if config.write_mode == "upsert" and not is_unique(connection, there, work.key):
            fail_no_key(work.ctx, work.target, work.key)
    elif not config.create_if_missing:
        fail_no_table(work.ctx, work.path, config.table, known)
    else:
        tell_new_table(work.ctx, config.table, known)
    return there is not None


def _deliver(connection: sqlite3.Connection, work: _Work, waiting: Staged) -> Written:
    """Write everything in one transaction; what another attempt has done meanwhile is seen inside of it."""
    earlier = _known_delivery(connection, work)
    if earlier:
        return earlier
    _refuse(connection, work)
    types = {column.name: str(column_type(column.type)) for column in work.schema}
    connection.execute(create_table(_table(work), types, work.key))
    if work.config.write_mode == "upsert":
        _upsert(connection, work, waiting, list(types))
    else:
        _insert(connection, work, waiting, list(types))
    record_delivery(connection.execute, work.ctx, work.target, waiting.rows)
    commit(connection, work.ctx, work.path)
    return Written(waiting.rows, waiting.size, ledger=work.target.database)


def _table(work: _Work) -> str:
    return f"main.{quote_name(work.config.table)}"


def _insert(connection: sqlite3.Connection, work: _Work, waiting: Staged, columns: list[str]) -> None:
    """Add all rows, or put them in the place of those that are there; fails with DRV015 if not all are there then."""
    replacing = work.config.write_mode == "replace"
    counted = replacing or has_triggers(connection, work.config.table)  # else what SQLite says of the rows is enough
    if replacing:
        connection.execute(f"DELETE FROM {_table(work)}")
    before = 0 if replacing or not counted else _count(connection, work)
    _execute(connection, work, waiting, insert_rows(_table(work), columns, _places(columns), _INSERT))
    if counted:
        expect_all_taken(work.ctx, work.target, waiting.rows, _count(connection, work) - before)


def _upsert(connection: sqlite3.Connection, work: _Work, waiting: Staged, columns: list[str]) -> None:
    """Write all rows by their key; fails with DAT028 for two keys that the table takes for one, DRV015 as `_insert`."""
    collations = key_collations(connection, work.config.table, work.key)
    counted = has_triggers(connection, work.config.table)
    if collations or counted:
        _stage_keys(connection, work, waiting)
    for orders in collations:
        found = connection.execute(repeated_key(f"temp.{_KEYS}", work.key, orders)).fetchone()
        refuse_equal_keys(found, work.key, work.ctx)
    staying = _count(connection, work) - _count_given(connection, work, collations) if counted else 0
    whole = bool(collations) or set(columns) == set(work.key)
    statement = insert_rows(_table(work), columns, _places(columns), _INSERT)
    _execute(connection, work, waiting, statement + on_conflict(columns, work.key, whole=whole))
    if counted:
        expect_all_taken(work.ctx, work.target, waiting.rows, _count(connection, work) - staying)


def _stage_keys(connection: sqlite3.Connection, work: _Work, waiting: Staged) -> None:
    """Put the keys of all rows into a table beside the target, where they are compared as there; it goes by itself."""
    key = ", ".join(map(quote_name, work.key))
    connection.execute(f"CREATE TEMP TABLE {_KEYS} AS SELECT {key} FROM {_table(work)} LIMIT 0")
    types = {column.name: column.type for column in work.schema}
    for batch in waiting.open().batches():
        values = [stored_values(batch.column(name), types[name]) for name in work.key]
        insert = insert_rows(f"temp.{_KEYS}", work.key, _places(work.key))
        connection.executemany(insert, zip(*values, strict=True))


def _count_given(connection: sqlite3.Connection, work: _Work, collations: list[dict[str, str]]) -> int:
    """Return how many of the keys that are given are in the target."""
    orders = {name: f" COLLATE {quote_name(order)}" for each in collations[:1] for name, order in each.items()}
    names = {quote_name(name): orders.get(name, "") for name in work.key}
    equal = " AND ".join(f"there.{name} = given.{name}{order}" for name, order in names.items())
    query = f"SELECT 1 FROM {_table(work)} AS there WHERE {equal}"
    (rows,) = connection.execute(f"SELECT count(*) FROM temp.{_KEYS} AS given WHERE EXISTS ({query})").fetchone()
    return int(rows)


def _execute(connection: sqlite3.Connection, work: _Work, waiting: Staged, statement: str) -> None:
    """Execute a statement for each row; fails with DRV015 unless SQLite says of each that it was written."""
    taken = before = 0
    numbered = numbered_column(connection, work.config.table)
    for batch in waiting.open().batches():
        if work.ctx.cancelled():
            fail("RUN003", signal="request")
        values = zip(*_values(batch, work, before, numbered), strict=True)
        earlier = connection.total_changes
        try:
            taken += connection.executemany(statement, values).rowcount
        except sqlite3.IntegrityError as error:
            done = connection.total_changes - earlier
            place = "" if has_triggers(connection, work.config.table) else f"row {before + done + 1}: "
            fail_row(work.ctx, work.target, f"{place}{error}")
        before += batch.num_rows
    expect_all_taken(work.ctx, work.target, waiting.rows, taken)


def _count(connection: sqlite3.Connection, work: _Work) -> int:
    (rows,) = connection.execute(f"SELECT count(*) FROM {_table(work)}").fetchone()
    return int(rows)


def _places(columns: Sequence[str]) -> str:
    return f"VALUES ({', '.join('?' * len(columns))})"


def _values(batch: pa.RecordBatch, work: _Work, before: int, numbered: str | None) -> list[list[object]]:
    """Return the columns of a batch as values for SQLite, `before` being how many rows came before it.

    `numbered` is the column of which SQLite makes the next number where it is NULL. Fails with DAT015 for a value that
    SQLite would change.
    """
    for column, array in zip(work.schema, batch.columns, strict=True):
        is_number = numbered is not None and column.name.lower() == numbered.lower()
        if refused := first_refused(array, column.type, numbered=is_number):
            row, value, why = refused
            value = f"{value} in row {before + row + 1}"
            fail("DAT015", step=work.ctx.step, column=column.name, value=value, reason=why)
    return [stored_values(array, column.type) for column, array in zip(work.schema, batch.columns, strict=True)]
