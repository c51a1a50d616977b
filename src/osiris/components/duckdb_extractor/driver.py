"""Reads a table, a view or a checked query of a DuckDB database, in one read-only snapshot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.errors import raise_all
from osiris.families.duckdb.session import described_columns, qualified, reading, relations, table_columns, translated
from osiris.families.source_columns import expect_schema
from osiris.families.sql.database_file import database_path, fail_no_table, label, state_of
from osiris.families.sql.target_table import same_name
from osiris.model import Described, Field
from osiris.secret import Secret
from osiris.sql import check
from osiris.sql.binding.bind import carried, explain, schema_of_relation
from osiris.sql.binding.duck_types import quote_name
from osiris.sql.binding.precision_loss import narrowings
from osiris.sql.nondeterminism.order import with_total_order
from osiris.sql.safety.duckdb_crosscheck import assert_native
from osiris.sql.safety.names import mentioned_parameters
from osiris.table import stream
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from osiris.driver import StepContext
    from osiris.model import JsonValue, Order, Schema
    from osiris.table import RowStream

_BATCH = 100_000


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    table: str | None = None
    query: str | None = None
    schema: str = "main"
    columns: Sequence[str] | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read: the text that runs, and what is bound to it; the order and the number of its rows."""

    text: str
    schema: Schema
    order: Order
    values: dict[str, JsonValue] | None = None
    rows: int | None = None


class Driver:
    """An extractor of DuckDB databases."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns of the table or the query; fails with DAT005, DAT006, DRV…, SQL001 to SQL009, SQL031."""
        path = database_path(ctx)
        with reading(ctx, path, config.schema) as engine, translated(ctx, path, config.query):
            source = _source(engine, config, ctx, path)
        return Described(source.schema, source.order, source.rows, _state(path))

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Fail with DAT011 if the columns are no longer as planned; returns the state of the database."""
        expect_schema(ctx, schema, self.describe(config, ctx).schema or ())
        return _state(database_path(ctx))

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows; reading them fails with DAT011 if the columns are no longer as planned."""
        path = database_path(ctx)
        with reading(ctx, path, config.schema) as engine, translated(ctx, path, config.query):
            order = _source(engine, config, ctx, path).order
        return stream(schema, _rows(config, schema, ctx), order)


def _state(path: Path) -> str | None:
    return state_of(path, path.with_name(f"{path.name}.wal"))


def _source(engine: DuckDBPyConnection, config: Config, ctx: StepContext, path: Path) -> _Source:
    known = relations(engine, config.schema)
    if config.query is not None:
        return _query(engine, config, known, ctx)
    table = same_name(str(config.table), known)
    if table is None:
        fail_no_table(ctx, path, str(config.table), known)
    schema = described_columns(engine, config.schema, table, config.columns, f"table '{table}' of {label(ctx, path)}")
    names = ", ".join(quote_name(column.name) for column in schema)
    limit = "" if config.limit is None else f" LIMIT {config.limit}"
    rows = known[table]
    estimate = rows if rows is None or config.limit is None else min(rows, config.limit)
    # A plain scan gives the rows in the order in which they lie in the table; what a view does is not known.
    order: Order = "free" if rows is None else "fixed"
    return _Source(f"SELECT {names} FROM {qualified(config.schema, table)}{limit}", schema, order, rows=estimate)


def _query(engine: DuckDBPyConnection, config: Config, known: Mapping[str, int | None], ctx: StepContext) -> _Source:
    """Check the query here too, against the tables that are there: a plan is only text, and this is where it runs."""
    query = str(config.query)
    verdict = check(query, "duckdb", relations=known.keys(), parameters=mentioned_parameters(query))
    if not verdict.ok:
        raise_all(verdict.diagnostics)
    text = str(verdict.canonical)
    assert_native(engine, text, known.keys())
    values = {name: _value(ctx.bindings[name]) for name in verdict.parameters}
    explain(engine, text, values, {name: _columns(engine, config.schema, name) for name in verdict.relations})
    narrowed = narrowings(text, engine, values)
    if narrowed:
        raise_all(narrowed)
    schema = schema_of_relation(engine.sql(text, params=values or None))
    total = with_total_order(text, [column.name for column in schema])
    tables = all(known[name] is not None for name in verdict.relations)
    order: Order = "fixed" if verdict.ordered or (verdict.keeps_order and tables) else "free"
    return _Source(total, schema, order, values or None)


def _columns(engine: DuckDBPyConnection, schema: str, table: str) -> Schema:
    """Return the columns of a table for hints: also those that could not be carried."""
    return tuple(Field(c.name, c.type or c.declared) for c in table_columns(engine, schema, table))


def _value(bound: JsonValue | Secret) -> JsonValue:
    return bound.reveal() if isinstance(bound, Secret) else bound


def _rows(config: Config, schema: Schema, ctx: StepContext) -> Iterator[pa.RecordBatch]:
    """Open the database when the first row is asked for; close it after the last, or when nobody asks any more."""
    path = database_path(ctx)
    with reading(ctx, path, config.schema) as engine, translated(ctx, path, config.query):
        source = _source(engine, config, ctx, path)
        expect_schema(ctx, schema, source.schema)
        text = carried(source.text, engine.sql(source.text, params=source.values))
        arrow = arrow_schema(tuple(replace(column, nullable=True) for column in schema))
        for batch in engine.sql(text, params=source.values).to_arrow_reader(_BATCH):
            ctx.count("rows_read", batch.num_rows)
            yield batch if batch.schema.equals(arrow) else batch.cast(arrow)
