"""The extractor of every SQL database: a table, a view or a checked query, in one state of the database."""

from __future__ import annotations

from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from osiris.families.quarantine import quarantine
from osiris.families.source_columns import expect_schema
from osiris.families.sql.columnar import Sieve
from osiris.families.sql.database import Reading
from osiris.model import Described
from osiris.table.stream import opened_late

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.families.sql.columnar import Batch
    from osiris.families.sql.database import Database, Source
    from osiris.model import Order, Schema
    from osiris.table import RowStream

ConfigT = TypeVar("ConfigT", bound=Reading)


@dataclass(frozen=True, slots=True)
class ServerReading(Reading):
    """What a step reads from a database of a server, and how."""

    query: str | None = None
    schema: str | None = None
    offset: int | None = None
    batch_size: int = 100_000
    max_cell_bytes: int | None = None


class Extractor(Generic[ConfigT]):
    """An extractor of tables and queries."""

    database: ClassVar[Database[Any]]

    def describe(self, config: ConfigT, ctx: StepContext) -> Described:
        """Return the columns of what is read; fails with CON…, DAT005, DAT006, DAT012, DRV… or SQL001 to SQL031."""
        with self.database.reading(ctx, config) as session:
            source = self.database.select(session, config, ctx)
            rows = self.database.estimate(session, source, config)
        return Described(source.schema, source.order, rows, self.database.state(ctx))

    def confirm(self, config: ConfigT, schema: Schema, ctx: StepContext) -> str | None:
        """Fail with DAT011 if the columns are no longer as planned; returns the state of the database, if any."""
        with self.database.reading(ctx, config) as session:
            expect_schema(ctx, schema, self.database.select(session, config, ctx).schema)
        return self.database.state(ctx)

    def read(self, config: ConfigT, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows; reading them fails with DAT001 or DAT031 for a value, DAT011 for other columns."""
        return opened_late(schema, partial(self._opened, config, schema, ctx))

    @contextmanager
    def _opened(
        self, config: ConfigT, schema: Schema, ctx: StepContext
    ) -> Iterator[tuple[Order, Iterator[pa.RecordBatch]]]:
        """Connect, and give the order of the rows and the rows."""
        with self.database.reading(ctx, config) as session:
            source = self.database.select(session, config, ctx)
            if source.relations:
                session = self.database.hold(session, source.relations)
                source = self.database.select(session, config, ctx)
            expect_schema(ctx, schema, source.schema)
            with closing(self.database.batches(session, source, config, ctx)) as batches:
                yield source.order, counted_rows(batches, ctx)


def counted_rows(batches: Iterable[pa.RecordBatch], ctx: StepContext) -> Iterator[pa.RecordBatch]:
    """Yield batches, and count their rows as read."""
    for batch in batches:
        ctx.count("rows_read", batch.num_rows)
        yield batch


def windowed(source: Source, config: ServerReading, every: str) -> Source:
    """Return what is read of a table with `limit` and `offset` of a config; `every` stands for no limit in SQL."""
    if config.limit is None and not config.offset:
        return source
    passed, rows = config.offset or 0, source.rows
    if rows is not None:
        rows = max(0, rows - passed)
        rows = rows if config.limit is None else min(rows, config.limit)
    most = every if config.limit is None else config.limit
    return replace(source, text=f"{source.text} LIMIT {most} OFFSET {passed}", rows=rows)


def sifted(
    read: Callable[[Sieve], Generator[Batch, None, None]], config: ServerReading, ctx: StepContext
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows that a server sends; one that cannot be carried is set aside where the step says so."""
    with (
        quarantine(ctx) if ctx.on_reject == "quarantine" else nullcontext() as aside,
        closing(read(Sieve(aside, config.max_cell_bytes))) as batches,
    ):
        for batch in batches:
            ctx.count("bytes_read", batch.size)
            for start in range(0, batch.rows.num_rows, config.batch_size):
                yield batch.rows.slice(start, config.batch_size)
