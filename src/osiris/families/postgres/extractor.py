"""Steps that read PostgreSQL, of whatever family: a table, a view or a checked query, in one state of the database."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.families.postgres.query import query_result
from osiris.families.postgres.reader import Blocks, read_blocks, read_query
from osiris.families.postgres.session import reading, relation, table_result
from osiris.families.quarantine import quarantine
from osiris.families.source_columns import expect_schema
from osiris.families.sql.columnar import Sieve
from osiris.model import Described
from osiris.table import stream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.postgres.session import Name, Relation, Result, Session
    from osiris.families.sql.columnar import Batch, SetAside
    from osiris.model import Order, Schema
    from osiris.table import RowStream

_RANGES_SINCE = 140_000
"""The version of the server from which on it reads a range of blocks without looking at the others."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a step reads, and how; its fields are config keys of `postgres.extractor`, and described there."""

    table: str | None = None
    query: str | None = None
    schema: str | None = None
    columns: Sequence[str] | None = None
    limit: int | None = None
    offset: int | None = None
    unscaled: Literal["refuse", "text"] = "refuse"
    batch_size: int = 100_000
    connections: int = 2
    max_cell_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read: its columns and SELECT, the order of its rows, whose they are, about how many, and its blocks."""

    result: Result
    order: Order
    relations: tuple[Name, ...]
    rows: int | None = None
    blocks: Blocks | None = None


def describe(wanted: Reading, ctx: StepContext) -> Described:
    """Return the columns of the table or the query; fails with CON…, DAT005, DAT006, DRV… or SQL001 to SQL009."""
    with reading(ctx, wanted.schema, query=wanted.query is not None) as session:
        source = _source(session, wanted, ctx)
    return Described(source.result.schema, source.order, source.rows)


def read(wanted: Reading, schema: Schema, ctx: StepContext) -> RowStream:
    """Return the rows; reading them fails with DAT011 if the columns are no longer as planned."""
    with reading(ctx, wanted.schema, query=wanted.query is not None) as session:
        source = _source(session, wanted, ctx)
    return stream(schema, _rows(wanted, schema, source.relations, ctx), source.order)


def _source(session: Session, wanted: Reading, ctx: StepContext) -> _Source:
    as_text = wanted.unscaled == "text"
    if wanted.query is not None:
        query = query_result(session, wanted.query, ctx.bindings, unscaled_text=as_text)
        return _Source(query.result, query.order, query.relations)
    found = relation(session, str(wanted.table))
    result = table_result(session, found, wanted.columns, unscaled_text=as_text)
    order: Order = "fixed" if found.plain else "free"
    relations = ((session.schema, found.name),)
    if wanted.limit is None and not wanted.offset:
        return _Source(result, order, relations, found.rows, _blocks(session, found, result))
    limit = "" if wanted.limit is None else f" LIMIT {wanted.limit}"
    passed = wanted.offset or 0
    cut = f"{result.text}{limit} OFFSET {passed}"
    rows = None if found.rows is None else max(0, found.rows - passed)
    most = rows if rows is None or wanted.limit is None else min(rows, wanted.limit)
    return _Source(type(result)(result.columns, cut), order, relations, most)


def _blocks(session: Session, found: Relation, result: Result) -> Blocks | None:
    """Return the blocks of a table that can be read in ranges."""
    if not found.plain or not session.one_state or session.version < _RANGES_SINCE:
        return None
    ((size, block),) = session.rows(
        "SELECT pg_catalog.pg_relation_size(%s), pg_catalog.current_setting('block_size')::int8", found.oid
    )
    return Blocks(result.text, size // block, block)


def _rows(wanted: Reading, schema: Schema, relations: Sequence[Name], ctx: StepContext) -> Iterator[pa.RecordBatch]:
    """Connect when the first row is asked for; close after the last, or when nobody asks any more."""
    with reading(ctx, wanted.schema, query=wanted.query is not None, locked=relations) as session:
        source = _source(session, wanted, ctx)
        expect_schema(ctx, schema, source.result.schema)
        with (
            quarantine(ctx) if ctx.on_reject == "quarantine" else nullcontext() as aside,
            closing(_batches(session, source, wanted, ctx, _sieve(wanted, aside))) as batches,
        ):
            for batch in batches:
                ctx.count("rows_read", batch.rows.num_rows)
                ctx.count("bytes_read", batch.size)
                for start in range(0, batch.rows.num_rows, wanted.batch_size):
                    yield batch.rows.slice(start, wanted.batch_size)


def _sieve(wanted: Reading, aside: SetAside) -> Sieve:
    return Sieve(aside, wanted.max_cell_bytes)


def _batches(
    session: Session, source: _Source, wanted: Reading, ctx: StepContext, sieve: Sieve
) -> Generator[Batch, None, None]:
    if source.order == "fixed" and wanted.table:
        session.run("SET LOCAL max_parallel_workers_per_gather = 0")
    if source.blocks:
        connections = min(wanted.connections, ctx.threads)
        return read_blocks(session, source.blocks, source.result.columns, ctx, connections, sieve)
    return read_query(session, source.result.text, source.result.columns, sieve)
