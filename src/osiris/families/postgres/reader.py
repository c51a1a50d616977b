"""Read PostgreSQL rows as Arrow: those of a checked query, or of a table read in ranges over several connections.

A range is a number of blocks. All connections use the first one's snapshot, and ranges are yielded in table order, so
the order of rows does not depend on the number of connections.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from osiris.errors import Unavailable, diagnostic, raise_all
from osiris.families.postgres.decode import WIDTHS, cells_of, copied
from osiris.families.postgres.errors import fail_server
from osiris.families.postgres.session import described, expect_open, reading
from osiris.families.postgres.types import decoder
from osiris.families.quarantine import InvalidValue
from osiris.families.sql.columnar import DEFAULT_POLICY, number_rejects
from osiris.families.sql.extractor import ServerReaderConfig
from osiris.families.sql.result import bound_values, by_name, checked_query, filled, query_source
from osiris.families.sql.wire import decoded_batches
from osiris.sql.binding.duck_types import quote_name
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.relations import qualify
from osiris.sql.safety.text import align, place

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from osiris.driver import StepContext
    from osiris.families.postgres.session import Session
    from osiris.families.sql.columnar import Batch, RejectPolicy
    from osiris.families.sql.database import Source
    from osiris.families.sql.result import ResultColumn
    from osiris.model import JsonValue
    from osiris.secret import Secret

RANGE = 16 << 20
"""The size of a range in bytes of table blocks."""

_WAITING = 6
"""The number of batches of a range that may be queued; a batch is about 2 MB of the server's format."""

_TICK = 0.1
_RANGES_SINCE = 140_000
"""The first server version that reads a ctid range without scanning the other blocks."""

_DIALECT = "postgres"
_COLUMNS = """
SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attnum IS NOT NULL)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
    AND (%s::text[] IS NULL OR c.relname = ANY(%s::text[]))
GROUP BY n.nspname, c.relname"""
_FOREIGN_TYPES = """
SELECT c.relname, a.attname, t.typname, tn.nspname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type o ON o.oid = a.atttypid
JOIN pg_catalog.pg_type t ON t.oid = CASE WHEN o.typtype = 'd' THEN o.typbasetype
    WHEN o.typelem <> 0 AND o.typlen = -1 THEN o.typelem ELSE o.oid END
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
WHERE n.nspname || '.' || c.relname = ANY(%s) AND t.typtype = 'b' AND tn.nspname <> 'pg_catalog'
    AND tn.nspname <> ALL(pg_catalog.current_schemas(false)) ORDER BY c.relname, a.attnum"""
_UNORDERED = frozenset((114, 142, 600, 601, 602, 603, 604, 628, 718, 4072))
"""Types that the server cannot order: json, xml, geometry, jsonpath."""


def ranges_of(session: Session, source: Source) -> list[str]:
    """Return the SELECT of each range of a table, in order; only one if it cannot be divided.

    The last range has no upper bound, since the table may have grown.
    """
    if not session.one_state or session.version < _RANGES_SINCE:
        return [source.text]
    statement = "SELECT pg_catalog.pg_relation_size(%s::regclass), pg_catalog.current_setting('block_size')::int8"
    ((size, block),) = session.rows(statement, ".".join(map(quote_name, source.relations[0])))
    starts = list(range(0, max(size // block, 1), max(1, RANGE // block)))
    ends = [f" AND ctid < '({start},0)'" for start in starts[1:]]
    return [f"{source.text} WHERE ctid >= '({a},0)'{b}" for a, b in zip(starts, [*ends, ""], strict=True)]


def read_query(
    session: Session, text: str, columns: Sequence[ResultColumn], sieve: RejectPolicy = DEFAULT_POLICY
) -> Generator[Batch, None, None]:
    """Yield the rows of a SELECT; a row with an unsupported value is rejected, or fails with DAT031."""
    yield from number_rejects(_batches(session, text, columns, sieve), sieve)


def read_ranges(
    session: Session, source: Source, ranges: Sequence[str], ctx: StepContext, connections: int, sieve: RejectPolicy
) -> Generator[Batch, None, None]:
    """Yield the rows of a table in table order, read over several connections; fails as `read_query` does."""
    if connections < 2 or len(ranges) < 2:
        yield from read_query(session, source.text, source.detail, sieve)
        return
    team = _Team(session, source, ranges, ctx, sieve)
    with closing(team.run(min(connections, len(ranges)))) as batches:
        yield from number_rejects(batches, sieve)


class _Team:
    """Threads that each read the next range and queue its batches, which `run` yields in order."""

    def __init__(
        self, session: Session, source: Source, ranges: Sequence[str], ctx: StepContext, sieve: RejectPolicy
    ) -> None:
        self._session, self._columns, self._sieve = session, source.detail, sieve
        self._table = ".".join(map(quote_name, source.relations[0]))
        self._todo = iter(enumerate(ranges))
        self._lock, self._stop, self._free = threading.Lock(), threading.Event(), threading.Semaphore(0)
        self._queues: list[queue.Queue[Batch | InvalidValue | None]] = [queue.Queue(_WAITING) for _ in ranges]
        self._ctx = replace(ctx, cancelled=lambda: self._stop.is_set() or ctx.cancelled())

    def run(self, count: int) -> Generator[Batch, None, None]:
        """Yield all batches in order; closing the generator stops the threads."""
        ((snapshot,),) = self._session.rows("SELECT pg_catalog.pg_export_snapshot()")
        self._free = threading.Semaphore(count + 1)
        with ThreadPoolExecutor(count, thread_name_prefix="range") as pool:
            work = [pool.submit(self._read, self._session)]
            work += [pool.submit(self._read_elsewhere, snapshot) for _ in range(1, count)]
            try:
                for index in range(len(self._queues)):
                    yield from self._of_range(index, work)
                    self._free.release()
            finally:
                self._stop.set()
                if not work[0].done():
                    self._session.watch.end()

    def _of_range(self, index: int, work: Sequence[Future[None]]) -> Iterator[Batch]:
        while True:
            try:
                item = self._queues[index].get(timeout=_TICK)
            except queue.Empty:
                for future in work:
                    if future.done():
                        future.result()  # raises the thread's error
                continue
            if item is None:
                return
            if isinstance(item, InvalidValue):
                raise item
            yield item

    def _read_elsewhere(self, snapshot: str) -> None:
        """Read ranges over another connection; if the server refuses it, the first connection reads them all.

        The same holds while another session waits to alter the table: other readers would wait behind it.
        """
        import psycopg

        with ExitStack() as stack:
            try:
                config = ServerReaderConfig(schema=self._session.schema)
                session = stack.enter_context(reading(self._ctx, config, snapshot=snapshot))
                session.run(f"LOCK TABLE {self._table} IN ACCESS SHARE MODE NOWAIT")
            except (Unavailable, psycopg.errors.LockNotAvailable):
                return
            self._read(session)

    def _read(self, session: Session) -> None:
        while (job := self._next_range()) is not None:
            index, text = job
            try:
                for batch in _batches(session, text, self._columns, self._sieve):
                    self._put(index, batch)
            except InvalidValue as misfit:
                self._put(index, misfit)
                return
            self._put(index, None)

    def _next_range(self) -> tuple[int, str] | None:
        """Return the next range once few enough earlier ones are unread; None if there is none, or when stopped."""
        while not self._free.acquire(timeout=_TICK):
            if self._stop.is_set():
                return None
        with self._lock:
            return None if self._stop.is_set() else next(self._todo, None)

    def _put(self, index: int, item: Batch | InvalidValue | None) -> None:
        while not self._stop.is_set():
            try:
                self._queues[index].put(item, timeout=_TICK)
            except queue.Full:
                continue
            return


def _batches(session: Session, text: str, columns: Sequence[ResultColumn], sieve: RejectPolicy) -> Iterator[Batch]:
    decoders = [decoder(column.carried, checked=session.checked) for column in columns]
    widths = [WIDTHS.get(column.carried.type) for column in columns]
    with closing(copied(session.connection, text, len(columns), session.watch)) as pages:
        yield from decoded_batches(pages, columns, decoders, partial(cells_of, widths=widths), sieve)


def query_result(session: Session, query: str, bindings: Mapping[str, JsonValue | Secret]) -> Source:
    """Check a query against the existing tables, and describe its result.

    Fails with SQL001 to SQL009, and with DAT006 for unsupported columns.
    """
    from psycopg.sql import Literal

    tables = ((schema, name, (schema, name)) for schema, name, _ in session.rows(_COLUMNS, None, None))
    homes = by_name(session.schema, tables)
    functions = DIALECTS[_DIALECT].homes_of(session.target.functions)
    verdict = checked_query(query, _DIALECT, homes, partial(_columns, session), functions)
    expect_open(session, {name.rpartition(".")[0] for name in verdict.relations})
    _expect_operators(session, verdict.relations)
    values, dialect = bound_values(verdict, bindings), DIALECTS[_DIALECT]

    def literal(value: JsonValue) -> str:
        return Literal(value).as_string(session.connection)

    def is_distinct(source: Source, total: bool) -> bool:
        """Whether the server can order the values of every column; for columns read as text it may not."""
        return total or not any(item.carried.cast or item.carried.oid in _UNORDERED for item in source.detail)

    def describe(text: str) -> Source:
        text = filled(qualify(text, dialect, session.schema, functions), _DIALECT, values, literal)
        with _at_place_in_query(session, text, query):
            return described(session, text)

    return query_source(verdict, _DIALECT, homes, describe, is_distinct)


@contextmanager
def _at_place_in_query(session: Session, text: str, query: str) -> Iterator[None]:
    """Map the position of a server error in the sent text back to the user's query."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        position = error.diag.statement_position
        if session.watch.stopped or not position:
            raise
        at = place(query, align(text, int(position) - 1, query))
        target, message = session.target, error.diag.message_primary or ""
        fail_server(error.sqlstate or "", message, target.where, target.user, query=True, at=at)


def _columns(session: Session, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of the named tables and views, by every spelling of their names."""
    rows = session.rows(_COLUMNS, list(names), list(names))
    return by_name(session.schema, ((schema, name, columns or []) for schema, name, columns in rows))


def _expect_operators(session: Session, names: Iterable[str]) -> None:
    """Fail with CON066 for columns whose type has operators outside the session's search path.

    `=` of two citext values, for instance, would silently compare them as text.
    """
    tables = [name if "." in name else f"{session.schema}.{name}" for name in names]
    columns = session.rows(_FOREIGN_TYPES, tables)
    if columns:
        fields = ({"table": table, "column": name, "type": kind, "schema": home} for table, name, kind, home in columns)
        raise_all(diagnostic("CON066", where=session.target.where, **values) for values in fields)
