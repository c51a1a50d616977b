"""Reads a table, a view or a checked query of a PostgreSQL database, in one state of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.families.embedded import expect_schema
from osiris.families.postgres import reading, relation, table_result
from osiris.families.postgres_query import query_result
from osiris.families.postgres_read import Blocks, read_blocks, read_query
from osiris.model import Described
from osiris.table import stream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.postgres import Relation, Result, Session
    from osiris.families.postgres_read import Batch
    from osiris.model import Order, Schema
    from osiris.table import RowStream

_RANGES_SINCE = 140_000
"""The version of the server from which on it reads a range of blocks without looking at the others."""


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    table: str | None = None
    query: str | None = None
    schema: str | None = None
    columns: Sequence[str] | None = None
    limit: int | None = None
    offset: int = 0
    unscaled: Literal["refuse", "text"] = "refuse"
    batch_size: int = 100_000
    connections: int = 2


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read: its columns and SELECT, the order and about the number of its rows, and its blocks."""

    result: Result
    order: Order
    rows: int | None = None
    blocks: Blocks | None = None


class Driver:
    """An extractor of PostgreSQL databases."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns of the table or the query; fails with CON…, DAT005, DAT006, DRV… or SQL001 to SQL009."""
        with reading(ctx, config.schema, query=config.query is not None) as session:
            source = _source(session, config, ctx)
        return Described(source.result.schema, source.order, source.rows)

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Fail with DAT011 if the columns are no longer as planned; the database tells no state."""
        expect_schema(ctx, schema, self.describe(config, ctx).schema or ())
        return None

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows; reading them fails with DAT011 if the columns are no longer as planned."""
        with reading(ctx, config.schema, query=config.query is not None) as session:
            order = _source(session, config, ctx).order
        return stream(schema, _rows(config, schema, ctx), order)


def _source(session: Session, config: Config, ctx: StepContext) -> _Source:
    as_text = config.unscaled == "text"
    if config.query is not None:
        query = query_result(session, config.query, ctx.bindings, unscaled_text=as_text)
        return _Source(query.result, query.order)
    found = relation(session, str(config.table))
    result = table_result(session, found, config.columns, unscaled_text=as_text)
    order: Order = "fixed" if found.plain else "free"
    if config.limit is None and not config.offset:
        return _Source(result, order, found.rows, _blocks(session, found, result))
    limit = "" if config.limit is None else f" LIMIT {config.limit}"
    cut = f"{result.text}{limit} OFFSET {config.offset}"
    rows = None if found.rows is None else max(0, found.rows - config.offset)
    most = rows if rows is None or config.limit is None else min(rows, config.limit)
    return _Source(type(result)(result.columns, cut), order, most)


def _blocks(session: Session, found: Relation, result: Result) -> Blocks | None:
    """Return the blocks of a table that can be read in ranges."""
    if not found.plain or session.version < _RANGES_SINCE:
        return None
    ((size, block),) = session.rows(
        "SELECT pg_catalog.pg_relation_size(%s), pg_catalog.current_setting('block_size')::int8", found.oid
    )
    return Blocks(result.text, size // block, block)


def _rows(config: Config, schema: Schema, ctx: StepContext) -> Iterator[pa.RecordBatch]:
    """Connect when the first row is asked for; close after the last, or when nobody asks any more."""
    with reading(ctx, config.schema, query=config.query is not None) as session:
        source = _source(session, config, ctx)
        expect_schema(ctx, schema, source.result.schema)
        with closing(_batches(session, source, config, ctx)) as batches:
            for batch in batches:
                ctx.count("rows_read", batch.rows.num_rows)
                ctx.count("bytes_read", batch.size)
                for start in range(0, batch.rows.num_rows, config.batch_size):
                    yield batch.rows.slice(start, config.batch_size)


def _batches(session: Session, source: _Source, config: Config, ctx: StepContext) -> Generator[Batch, None, None]:
    if source.order == "fixed" and config.table:
        session.run("SET LOCAL max_parallel_workers_per_gather = 0")
    if source.blocks:
        return read_blocks(session, source.blocks, source.result.columns, ctx, min(config.connections, ctx.threads))
    return read_query(session, source.result.text, source.result.columns)
