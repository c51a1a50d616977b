"""Reads a table, a view or a checked query of a MySQL or MariaDB database, in one state of it."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.families.mysql.query import query_result
from osiris.families.mysql.reader import read_query
from osiris.families.mysql.session import reading, relation, table_result
from osiris.families.quarantine import quarantine
from osiris.families.source_columns import expect_schema
from osiris.families.sql.batch_decode import Sieve
from osiris.model import Described
from osiris.table import stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.mysql.session import Name, Result, Session
    from osiris.families.sql.batch_decode import SetAside
    from osiris.model import Schema
    from osiris.table import RowStream

_NO_LIMIT = 1 << 62
"""MySQL has no OFFSET without a LIMIT."""


@dataclass(frozen=True, slots=True)
class Config:
    """The config of a step; its keys and defaults are described in spec.yaml."""

    table: str | None = None
    query: str | None = None
    schema: str | None = None
    columns: Sequence[str] | None = None
    limit: int | None = None
    offset: int | None = None
    batch_size: int = 100_000
    pool_size: int = 5
    pool_recycle: int = 3600
    echo: bool = False
    max_cell_bytes: int | None = None


class Driver:
    """An extractor of MySQL databases."""

    def describe(self, config: Config, ctx: StepContext) -> Described:
        """Return the columns of the table or the query; fails with CON…, DAT005, DAT006, DRV… or SQL001 to SQL009."""
        with reading(ctx, config.schema, query=config.query is not None) as session:
            result, rows = _source(session, config, ctx)
        return Described(result.schema, "fixed" if result.fixed else "free", rows)

    def confirm(self, config: Config, schema: Schema, ctx: StepContext) -> str | None:
        """Fail with DAT011 if the columns are no longer as planned; the database tells no state."""
        expect_schema(ctx, schema, self.describe(config, ctx).schema or ())
        return None

    def read(self, config: Config, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows; reading them fails with DAT011 if the columns are no longer as planned."""
        with reading(ctx, config.schema, query=config.query is not None) as session:
            result, _ = _source(session, config, ctx)
        return stream(schema, _rows(config, schema, result.relations, ctx), "fixed" if result.fixed else "free")


def _source(session: Session, config: Config, ctx: StepContext) -> tuple[Result, int | None]:
    """Return what is read, and about how many rows it has."""
    if config.query is not None:
        return query_result(session, config.query, ctx.bindings), None
    found = relation(session, str(config.table))
    result = table_result(session, found, config.columns)
    if config.limit is None and not config.offset:
        return result, found.rows
    most = _NO_LIMIT if config.limit is None else config.limit
    passed = config.offset or 0
    rows = None if found.rows is None else min(most, max(0, found.rows - passed))
    return replace(result, text=f"{result.text} LIMIT {most} OFFSET {passed}"), rows


def _rows(config: Config, schema: Schema, relations: Sequence[Name], ctx: StepContext) -> Iterator[pa.RecordBatch]:
    """Connect when the first row is asked for; close after the last, or when nobody asks any more."""
    with reading(ctx, config.schema, query=config.query is not None, locked=relations) as session:
        result, _ = _source(session, config, ctx)
        expect_schema(ctx, schema, result.schema)
        with (
            quarantine(ctx) if ctx.on_reject == "quarantine" else nullcontext() as aside,
            closing(read_query(session, result.text, result.columns, _sieve(config, aside))) as batches,
        ):
            for batch in batches:
                ctx.count("rows_read", batch.rows.num_rows)
                ctx.count("bytes_read", batch.size)
                for start in range(0, batch.rows.num_rows, config.batch_size):
                    yield batch.rows.slice(start, config.batch_size)


def _sieve(config: Config, aside: SetAside) -> Sieve:
    return Sieve(aside, config.max_cell_bytes)
