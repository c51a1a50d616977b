"""Rows of PostgreSQL as Arrow: those of a checked query, or of a table that is read in ranges by several connections.

A range is a number of blocks. All connections see the state of the first, and ranges are handed on in the order in
which they lie in the table, so the rows come in the same order however many connections read them.
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
from osiris.families.quarantine import Misfit
from osiris.families.sql.columnar import COARSE, account
from osiris.families.sql.extractor import ServerReading
from osiris.families.sql.result import bound_values, by_spelling, checked_query, filled, query_source
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
    from osiris.families.sql.columnar import Batch, Sieve
    from osiris.families.sql.database import Source
    from osiris.families.sql.result import ResultColumn
    from osiris.model import JsonValue
    from osiris.secret import Secret

RANGE = 16 << 20
"""The bytes of a table's blocks that are one range."""

_WAITING = 6
"""How many batches of a range may wait until it is their turn; a batch is about 2 MB of the server's format."""

_TICK = 0.1
_RANGES_SINCE = 140_000
"""The version of the server from which on it reads a range of blocks without looking at the others."""

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
"""Types that the server puts in no order: json, xml, geometry, jsonpath."""


def ranges_of(session: Session, source: Source) -> list[str]:
    """Return the SELECT of each range of a table whose rows lie in blocks, in order; one if it is not to be divided.

    The last range has no end, since the table may have grown.
    """
    if not session.one_state or session.version < _RANGES_SINCE:
        return [source.text]
    ask = "SELECT pg_catalog.pg_relation_size(%s::regclass), pg_catalog.current_setting('block_size')::int8"
    ((size, block),) = session.rows(ask, ".".join(map(quote_name, source.relations[0])))
    starts = list(range(0, max(size // block, 1), max(1, RANGE // block)))
    ends = [f" AND ctid < '({start},0)'" for start in starts[1:]]
    return [f"{source.text} WHERE ctid >= '({a},0)'{b}" for a, b in zip(starts, [*ends, ""], strict=True)]


def read_query(
    session: Session, text: str, columns: Sequence[ResultColumn], sieve: Sieve = COARSE
) -> Generator[Batch, None, None]:
    """Yield the rows of a SELECT; a value that cannot be carried is set aside, or fails with DAT031."""
    yield from account(_batches(session, text, columns, sieve), sieve)


def read_ranges(
    session: Session, source: Source, ranges: Sequence[str], ctx: StepContext, connections: int, sieve: Sieve
) -> Generator[Batch, None, None]:
    """Yield the rows of a table in their order, read by several connections; fails as `read_query` does."""
    if connections < 2 or len(ranges) < 2:
        yield from read_query(session, source.text, source.detail, sieve)
        return
    team = _Team(session, source.detail, ranges, ctx, sieve)
    with closing(team.run(min(connections, len(ranges)))) as batches:
        yield from account(batches, sieve)


class _Team:
    """Threads that each take the next range, read it, and put its batches where they wait for their turn."""

    def __init__(
        self, session: Session, columns: Sequence[ResultColumn], ranges: Sequence[str], ctx: StepContext, sieve: Sieve
    ) -> None:
        self._session, self._columns, self._sieve = session, columns, sieve
        self._todo = iter(enumerate(ranges))
        self._lock, self._stop, self._free = threading.Lock(), threading.Event(), threading.Semaphore(0)
        self._queues: list[queue.Queue[Batch | Misfit | None]] = [queue.Queue(_WAITING) for _ in ranges]
        self._ctx = replace(ctx, cancelled=lambda: self._stop.is_set() or ctx.cancelled())

    def run(self, count: int) -> Generator[Batch, None, None]:
        """Yield all batches in order; whoever stops early stops the threads."""
        ((snapshot,),) = self._session.rows("SELECT pg_catalog.pg_export_snapshot()")
        self._free = threading.Semaphore(count + 1)
        with ThreadPoolExecutor(count, thread_name_prefix="range") as pool:
            work = [pool.submit(self._read, self._session)]
            work += [pool.submit(self._help, snapshot) for _ in range(1, count)]
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
                for each in work:
                    if each.done():
                        each.result()  # raises what went wrong there
                continue
            if item is None:
                return
            if isinstance(item, Misfit):
                raise item
            yield item

    def _help(self, snapshot: str) -> None:
        """Read ranges over another connection; where the server lets no more in, the first one reads them all."""
        with ExitStack() as stack:
            try:
                config = ServerReading(schema=self._session.schema)
                other = stack.enter_context(reading(self._ctx, config, snapshot=snapshot))
            except Unavailable:
                return
            self._read(other)

    def _read(self, session: Session) -> None:
        while (found := self._next_range()) is not None:
            index, text = found
            try:
                for batch in _batches(session, text, self._columns, self._sieve):
                    self._put(index, batch)
            except Misfit as misfit:
                self._put(index, misfit)
                return
            self._put(index, None)

    def _next_range(self) -> tuple[int, str] | None:
        """Return the next range once those before it are few enough; None if there is none, or nobody wants it."""
        while not self._free.acquire(timeout=_TICK):
            if self._stop.is_set():
                return None
        with self._lock:
            return None if self._stop.is_set() else next(self._todo, None)

    def _put(self, index: int, item: Batch | Misfit | None) -> None:
        while not self._stop.is_set():
            try:
                self._queues[index].put(item, timeout=_TICK)
            except queue.Full:
                continue
            return


def _batches(session: Session, text: str, columns: Sequence[ResultColumn], sieve: Sieve) -> Iterator[Batch]:
    decoders = [decoder(column.carried, checked=session.checked) for column in columns]
    widths = [WIDTHS.get(column.carried.type) for column in columns]
    with closing(copied(session.connection, text, len(columns), session.watch)) as pages:
        yield from decoded_batches(pages, columns, decoders, partial(cells_of, widths=widths), sieve)


def query_result(session: Session, query: str, bindings: Mapping[str, JsonValue | Secret]) -> Source:
    """Check a query against the tables that are there, and return what it gives.

    Fails with SQL001 to SQL009, and with DAT006 for columns that are not carried.
    """
    from psycopg.sql import Literal

    tables = ((schema, name, (schema, name)) for schema, name, _ in session.rows(_COLUMNS, None, None))
    homes = by_spelling(session.schema, tables)
    functions = DIALECTS[_DIALECT].homes_of(session.target.functions)
    verdict = checked_query(query, _DIALECT, homes, partial(_columns, session), functions)
    expect_open(session, {name.rpartition(".")[0] for name in verdict.relations})
    _expect_operators(session, verdict.relations)
    values, dialect = bound_values(verdict, bindings), DIALECTS[_DIALECT]

    def literal(value: JsonValue) -> str:
        return Literal(value).as_string(session.connection)

    def tells_apart(source: Source, total: bool) -> bool:
        """Tell whether the server can compare the values of every column; of a column carried as text it may not."""
        return total or not any(each.carried.cast or each.carried.oid in _UNORDERED for each in source.detail)

    def describe(text: str) -> Source:
        text = filled(qualify(text, dialect, session.schema, functions), _DIALECT, values, literal)
        with _placed(session, text, query):
            return described(session, text)

    return query_source(verdict, _DIALECT, homes, describe, tells_apart)


@contextmanager
def _placed(session: Session, text: str, query: str) -> Iterator[None]:
    """Say of what is wrong in a text that was sent where that stands in the query of which it was made."""
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
    """Return the columns of tables and views of these names, by all names that mean them."""
    rows = session.rows(_COLUMNS, list(names), list(names))
    return by_spelling(session.schema, ((schema, name, columns or []) for schema, name, columns in rows))


def _expect_operators(session: Session, names: Iterable[str]) -> None:
    """Fail with CON066 for columns whose type brings operators that this session does not look for.

    `=` of two values of citext would silently be that of texts, for instance.
    """
    named = [name if "." in name else f"{session.schema}.{name}" for name in names]
    found = session.rows(_FOREIGN_TYPES, named)
    if found:
        told = ({"table": table, "column": name, "type": kind, "schema": home} for table, name, kind, home in found)
        raise_all(diagnostic("CON066", where=session.target.where, **each) for each in told)
