"""The extractor of every SQL database: reads a table, a view or a checked query in one snapshot."""

from __future__ import annotations

from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from osiris.families.quarantine import quarantine
from osiris.families.source_columns import expect_schema
from osiris.families.sql.columnar import RejectPolicy
from osiris.families.sql.database import ReaderConfig
from osiris.families.sql.increment import expect_cursor, opened_increment
from osiris.model import Described
from osiris.table.stream import opened_late

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from osiris.driver import Shared, StepContext
    from osiris.families.sql.columnar import Batch
    from osiris.families.sql.database import Database, Source
    from osiris.model import Order, Schema
    from osiris.table import RowStream

ConfigT = TypeVar("ConfigT", bound=ReaderConfig)


@dataclass(frozen=True, slots=True)
class ServerReaderConfig(ReaderConfig):
    """What a step reads from a database server, and how."""

    query: str | None = None
    schema: str | None = None
    offset: int | None = None
    batch_size: int = 100_000
    max_cell_bytes: int | None = None


class Extractor(Generic[ConfigT]):
    """An extractor of tables and queries."""

    database: ClassVar[Database[Any]]

    def describe(self, config: ConfigT, ctx: StepContext) -> Described:
        """Return schema, order and row estimate; fails with CON…, DAT005, DAT006, DAT012, DRV… or SQL001 to SQL031."""
        with self.database.read_session(ctx, config) as session:
            source = self.database.select(session, config, ctx)
            expect_cursor(self.database, session, source, config, ctx)
            rows = self.database.estimate(session, source, config)
        return Described(source.schema, source.order, rows, self.database.state(ctx))

    def confirm(self, config: ConfigT, schema: Schema, ctx: StepContext) -> str | None:
        """Fail with DAT011 if the columns differ from the plan; returns the state of the database, if any."""
        with self.database.read_session(ctx, config) as session:
            source = self.database.select(session, config, ctx)
            expect_schema(ctx, schema, source.schema)
            expect_cursor(self.database, session, source, config, ctx)
        return self.database.state(ctx)

    def read(self, config: ConfigT, schema: Schema, ctx: StepContext) -> RowStream:
        """Return the rows; reading them fails with DAT001 or DAT031 for a value, DAT011 if the columns have changed."""
        return opened_late(schema, partial(self._opened, config, schema, ctx))

    def shared(self, configs: Sequence[ConfigT], ctx: StepContext) -> AbstractContextManager[Shared | None]:
        """Hold one state of the database for steps with these configs; None if each must read apart."""
        return self.database.shared(ctx, configs)

    @contextmanager
    def _opened(
        self, config: ConfigT, schema: Schema, ctx: StepContext
    ) -> Iterator[tuple[Order, Iterator[pa.RecordBatch]]]:
        """Connect, and yield the order of the rows and their batches."""
        with self.database.read_session(ctx, config) as session:
            named = () if ctx.increment or ctx.shared else self.database.named_relations(session, config)
            if named:
                session = self.database.lock_relations(session, named)
            source = self.database.select(session, config, ctx)
            if ctx.increment:
                source, batches = opened_increment(self.database, session, source, config, ctx)
                expect_schema(ctx, schema, source.schema)
                with closing(batches):
                    yield source.order, batches
                return
            if source.relations and not named and not ctx.shared:
                session = self.database.lock_relations(session, source.relations)
                source = self.database.select(session, config, ctx)
            expect_schema(ctx, schema, source.schema)
            with closing(self.database.batches(session, source, config, ctx)) as batches:
                yield source.order, counted_rows(batches, ctx)


def counted_rows(batches: Iterable[pa.RecordBatch], ctx: StepContext) -> Iterator[pa.RecordBatch]:
    """Yield batches, and count their rows in `rows_read`."""
    for batch in batches:
        ctx.count("rows_read", batch.num_rows)
        yield batch


def windowed(source: Source, config: ServerReaderConfig, no_limit: str) -> Source:
    """Return a table's source with the `limit` and `offset` of a config; `no_limit` is the SQL of no limit."""
    if config.limit is None and not config.offset:
        return source
    offset, rows = config.offset or 0, source.rows
    if rows is not None:
        rows = max(0, rows - offset)
        rows = rows if config.limit is None else min(rows, config.limit)
    limit = no_limit if config.limit is None else config.limit
    return replace(source, text=f"{source.text} LIMIT {limit} OFFSET {offset}", rows=rows)


def sifted(
    read: Callable[[RejectPolicy], Generator[Batch, None, None]], config: ServerReaderConfig, ctx: StepContext
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows that a server sends; invalid rows are quarantined if the step's `on_reject` says so."""
    with (
        quarantine(ctx) if ctx.on_reject == "quarantine" else nullcontext() as on_reject,
        closing(read(RejectPolicy(on_reject, config.max_cell_bytes))) as batches,
    ):
        for batch in batches:
            ctx.count("bytes_read", batch.size)
            for start in range(0, batch.rows.num_rows, config.batch_size):
                yield batch.rows.slice(start, config.batch_size)
