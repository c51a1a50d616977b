"""Reads a table, a view or a checked query of a Supabase project: as PostgreSQL, or over REST in pages."""

from __future__ import annotations

from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from osiris.errors import fail
from osiris.families.postgres.database import POSTGRES
from osiris.families.postgres.session import PostgresReading
from osiris.families.quarantine import quarantine
from osiris.families.source_columns import expect_schema
from osiris.families.sql.columnar import RejectPolicy
from osiris.families.sql.extractor import Extractor
from osiris.families.supabase.connect import shares_connections, wire_fields
from osiris.families.supabase.filters import conditions, statement, terms
from osiris.families.supabase.http import calling
from osiris.families.supabase.reader import PAGE, Selection, count_of, read_pages, source_of
from osiris.model import Described
from osiris.table.stream import opened_late

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.sql.columnar import Batch
    from osiris.model import Order, Schema
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    table: str | None = None
    query: str | None = None
    schema: str | None = None
    columns: Sequence[str] | str | None = None
    filter: Mapping[str, str] | None = None
    order: str | None = None
    limit: int | None = None
    offset: int | None = None
    primary_key: Sequence[str] | str | None = None
    dtype: Mapping[str, str] | None = None
    unscaled: Literal["refuse", "text"] = "refuse"
    batch_size: int = 100_000
    connections: int = 2
    retries: int = 3
    max_cell_bytes: int | None = None


class Driver(Extractor[Any]):
    """An extractor of Supabase projects."""

    database = POSTGRES

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the output's schema; fails as the postgres extractor, over REST as `source_of` and with DRV024."""
        wire = _wire(ctx)
        if wire:
            return super().describe(_as_postgres(config, ctx), wire)
        with calling(ctx, config.schema, config.retries) as session:
            source = source_of(session, _selection(config, ctx))
            count = count_of(session, source, "planned")
        rows = None if count is None or config.filter else source.expected(count)
        return Described(source.schema, source.order, rows)

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Fail with DAT011 if the columns differ from the plan; returns None, as a project has no state to compare."""
        expect_schema(ctx, schema, self.describe(config, ctx).schema or ())
        return None

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows; reading them fails with DAT011 if the columns differ from the plan."""
        wire = _wire(ctx)
        if wire:
            return super().read(_as_postgres(config, ctx), schema, wire)
        return opened_late(schema, partial(_opened, config, _selection(config, ctx), schema, ctx))


def _wire(ctx: StepContext) -> StepContext | None:
    fields = wire_fields(ctx.connection)
    return None if fields is None else replace(ctx, connection=fields)


def _as_postgres(config: Config, ctx: StepContext) -> PostgresReading:
    """Return the equivalent config of a step that reads PostgreSQL; filters and orders become a query."""
    if config.dtype:
        why = "the connection has a database address, and a database declares the types of its columns"
        fail("DRV024", step=ctx.step, what="dtype", why=why, hint="remove it, or cast columns")
    columns, filters, order = _columns(config), conditions(config.filter), terms(config.order)
    plain = PostgresReading(
        schema=config.schema,
        unscaled=config.unscaled,
        batch_size=config.batch_size,
        connections=1 if shares_connections(ctx.connection) else config.connections,
        max_cell_bytes=config.max_cell_bytes,
    )
    if config.query is not None:
        return replace(plain, query=config.query)
    if filters or order:
        query = statement(str(config.table), columns, filters, order, config.limit, config.offset or 0)
        return replace(plain, query=query)
    return replace(plain, table=config.table, columns=columns, limit=config.limit, offset=config.offset)


def _selection(config: Config, ctx: StepContext) -> Selection:
    if config.query is not None:
        fail(
            "DRV024",
            step=ctx.step,
            what="query",
            why="the connection has only url and key, and REST does not accept SQL",
        )
    key = [config.primary_key] if isinstance(config.primary_key, str) else config.primary_key or ()
    return Selection(
        table=str(config.table),
        columns=_columns(config),
        dtype=config.dtype or {},
        key=key,
        filters=conditions(config.filter),
        order=terms(config.order),
        limit=config.limit,
        offset=config.offset or 0,
        size=min(config.batch_size, PAGE),
        unscaled_text=config.unscaled == "text",
    )


def _columns(config: Config) -> list[str] | None:
    """Return the requested columns; None means all."""
    columns = config.columns
    if isinstance(columns, str):
        columns = [name.strip() for name in columns.split(",")]
    return None if columns is None or list(columns) == ["*"] else list(columns)


@contextmanager
def _opened(
    config: Config, selection: Selection, schema: Schema, ctx: StepContext
) -> Iterator[tuple[Order, Iterator[pa.RecordBatch]]]:
    """Connect, and yield the order of the rows and the rows."""
    with calling(ctx, config.schema, config.retries) as session:
        source = source_of(session, selection)
        expect_schema(ctx, schema, source.schema)
        with (
            quarantine(ctx) if ctx.on_reject == "quarantine" else nullcontext() as aside,
            closing(read_pages(session, source, RejectPolicy(aside, config.max_cell_bytes))) as pages,
        ):
            yield source.order, _counted(pages, ctx)


def _counted(pages: Iterator[Batch], ctx: StepContext) -> Iterator[pa.RecordBatch]:
    for page in pages:
        ctx.count("rows_read", page.rows.num_rows)
        ctx.count("bytes_read", page.size)
        yield page.rows
