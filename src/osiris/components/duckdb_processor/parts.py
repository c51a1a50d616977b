"""Computes a statement in parts: its inputs are read once and distributed, then several parts are computed at once.

Each part has an engine with a share of the memory. The rows of all parts are returned in the order of the parts. A
stage, which is a query in FROM or WITH, is computed in the same way before what reads it, and kept like an input.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from osiris.canonical import fingerprint
from osiris.errors import fail
from osiris.fault import fault
from osiris.files import fail_os, make_private
from osiris.sql.binding.engine import open_engine
from osiris.sql.cuts import feeds_to_json
from osiris.table import counted, keep_rows, passed_on, stream
from osiris.table.parts import Parts, bucketed, divided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from osiris.driver import StepContext
    from osiris.model import JsonValue, Schema
    from osiris.sql.cuts import Cut, Feed, Stage
    from osiris.table import RowStream

    Inputs = Mapping[str, RowStream]
    Compute = Callable[[DuckDBPyConnection, Inputs, Callable[[], bool]], Iterator[pa.RecordBatch]]
    Open = Callable[[int], RowStream]
    Charge = Callable[[Path, int], None]

T = TypeVar("T")

_LEAST = 64 << 20
"""The memory, in bytes, that an engine has at least: with less, fewer parts are computed at once."""

_GATHERED = 16
"""The fraction of a step's memory that rows may have before they are distributed."""

_AHEAD = 2
"""The parts, for each engine, that are computed before their rows are needed."""


@dataclass(frozen=True, slots=True)
class Select:
    """One SELECT to compute in parts: the name of the stage, how what it reads is fed, and the schema of its rows.

    `compute(engine, inputs, cancelled)` returns the rows of one part.
    """

    name: str
    feeds: Mapping[str, Feed]
    schema: Schema
    compute: Compute


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement to compute in parts: its inputs, how it is cut, and its SELECTs: first its stages, then itself.

    `memory` is in bytes, for all engines.
    """

    inputs: Inputs
    cut: Cut
    selects: Sequence[Select]
    ctx: StepContext
    memory: int


def compute_parts(statement: Statement) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `ctx.partitions` parts; the event `cut` says how and how evenly it was cut.

    Fails with RUN018 if they take more than `ctx.spool_limit` bytes on disk, with DAT008 if a part reads other rows
    than it was given, and with a file error.
    """
    with _folder(statement.ctx) as folder:
        work = _Work(statement, folder)
        *stages, last = statement.selects
        for stage in stages:
            work.keep(stage.name, stream(stage.schema, work.rows(stage), "free"))
        yield from work.rows(last)


class _Work:
    """The work on one statement in a folder of its own. `_opens` has the rows that are kept for several readers."""

    def __init__(self, statement: Statement, folder: Path) -> None:
        self._statement, self._folder, self._ctx = statement, folder, statement.ctx
        self._disk = _Disk(statement.ctx)
        self._opens: dict[str, Callable[[], RowStream]] = {}
        self._readers = Counter(key for each in statement.selects for key in each.feeds)
        self._skews: list[float] = []

    def keep(self, key: str, rows: RowStream) -> None:
        """Keep rows to be read several times."""
        self._opens[key] = _kept(rows, self._folder / f"kept-{len(self._opens)}.arrow", self._disk.charge)

    def rows(self, select: Select) -> Iterator[pa.RecordBatch]:
        """Distribute what a SELECT reads, then compute its parts and yield their rows in order."""
        ctx, folder = self._ctx, self._folder / f"select-{len(self._skews)}"
        opens: dict[str, Open] = {}
        sizes = [0] * ctx.partitions
        for number, (key, feed) in enumerate(select.feeds.items()):
            parts = _distributed(self._read(key), feed, folder / f"input-{number}", self._disk.charge, ctx)
            opens[key] = parts.open
            sizes = [size + rows for size, rows in zip(sizes, parts.rows, strict=True)]
        filled = [number for number, rows in enumerate(sizes) if rows]
        self._skews.append(max(sizes) / median(sizes[number] for number in filled) if filled else 1.0)
        if select is self._statement.selects[-1]:
            ctx.emit("cut", self._figures())
        # The SELECT has no rows for a part without, but it must run.
        yield from _in_order(select, self._statement, filled or [0], opens, folder, self._disk.charge)
        self._disk.remove(folder)

    def _read(self, key: str) -> RowStream:
        if key not in self._opens and self._readers[key] > 1:
            self.keep(key, self._statement.inputs[key])
        return self._opens[key]() if key in self._opens else self._statement.inputs[key]

    def _figures(self) -> dict[str, JsonValue]:
        """Return the number of parts, the largest ratio of the largest to the median with rows, and how it was cut."""
        cut = self._statement.cut
        parts: list[Cut | Stage] = [*cut.stages.values(), cut]
        selects: JsonValue = [{"feeds": feeds_to_json(each), "part": each.part} for each in parts]
        return {
            "why": cut.reasons,
            "parts": self._ctx.partitions,
            "skew": round(max(self._skews), 2),
            "digest": fingerprint({"selects": selects, "merge": cut.merge}),
        }


@contextmanager
def _folder(ctx: StepContext) -> Iterator[Path]:
    """Give a new folder in the scratch folder of a step, which is removed at the end of the block."""
    try:
        make_private(ctx.scratch)
        folder = TemporaryDirectory(prefix="parts-", dir=ctx.scratch)
    except OSError as error:
        fail_os(error, ctx.scratch)
    with folder as name:
        yield Path(name)


class _Disk:
    """The sizes of files and folders of a step. Thread-safe if each path is that of one thread."""

    def __init__(self, ctx: StepContext) -> None:
        self._ctx = ctx
        self._sizes: dict[Path, int] = {}

    def charge(self, path: Path, size: int) -> None:
        """Note the size of a file or folder; fails with RUN018 if all exceed the step's limit."""
        self._sizes[path] = size
        if not size:
            del self._sizes[path]
        limit = self._ctx.spool_limit
        if limit is not None and sum(list(self._sizes.values())) > limit:
            fail("RUN018", step=self._ctx.step, limit=f"{limit / 1e6:,.0f} MB")

    def remove(self, folder: Path) -> None:
        """Remove a folder and all sizes below it."""
        shutil.rmtree(folder, ignore_errors=True)
        for path in [each for each in self._sizes if each.is_relative_to(folder)]:
            del self._sizes[path]


def _kept(rows: RowStream, path: Path, charge: Charge) -> Callable[[], RowStream]:
    """Keep all rows, in a file if they are many; returns a function that opens them as a new stream on each call."""
    taken = counted(rows, lambda _rows: charge(path, path.stat().st_size if path.exists() else 0))
    try:
        size, reopen = keep_rows(taken, path)
    except OSError as error:
        if rows.raised:
            raise
        fail_os(error, path.parent)
    charge(path, size)
    return reopen


def _distributed(source: RowStream, feed: Feed, folder: Path, charge: Charge, ctx: StepContext) -> Parts:
    """Read an input to its end; returns its parts: their numbers of rows are 0 if each part gets all rows."""
    taken: list[int] = []
    rows, on_size = counted(source, taken.append), partial(charge, folder)
    try:
        folder.mkdir(0o700, parents=True)
        if feed.how == "whole":
            reopen = _kept(rows, folder / "rows.arrow", charge)
            return Parts([0] * ctx.partitions, lambda _part: reopen())
        if feed.how == "split":
            parts = divided(rows, ctx.partitions, folder, on_size=on_size)
        else:
            memory = ctx.memory // _GATHERED
            parts = bucketed(rows, feed.columns, ctx.partitions, folder, memory=memory, on_size=on_size)
    except OSError as error:
        if source.raised:
            raise
        fail_os(error, folder)
    if sum(parts.rows) != sum(taken):
        fail("DAT008", step=ctx.step, problem=f"{sum(taken)} rows were read, but its parts have {sum(parts.rows)}")
    return Parts(parts.rows, lambda part: _complete(parts.open(part), parts.rows[part], ctx.step))


def _complete(source: RowStream, rows: int, step: str) -> RowStream:
    """Return the same stream, whose reading fails with DAT008 if it ends after another number of rows."""

    def batches() -> Iterator[pa.RecordBatch]:
        read = 0
        with closing(source.batches()) as given:
            for batch in given:
                read += batch.num_rows
                yield batch
        if read != rows:
            fail("DAT008", step=step, problem=f"a part was given {rows} rows, but {read} were read")

    return passed_on(source, batches())


def _in_order(
    select: Select,
    statement: Statement,
    numbers: Sequence[int],
    opens: Mapping[str, Open],
    folder: Path,
    charge: Charge,
) -> Iterator[pa.RecordBatch]:
    """Compute these parts of a SELECT, several at once, and yield their rows in the order of the parts."""
    ctx = statement.ctx
    width = max(1, min(ctx.threads, len(numbers), statement.memory // _LEAST))
    with _engines(width, statement.memory // width, folder) as (idle, pool, stopped):

        def cancelled() -> bool:
            return stopped.is_set() or ctx.cancelled()

        def compute(number: int) -> Callable[[], RowStream]:
            if cancelled():  # a part can be shorter than the time after which an engine is interrupted
                fail("RUN003", signal="request")
            inputs = {key: open_part(number) for key, open_part in opens.items()}
            engine = idle.get()
            try:
                with closing(engine.cursor()) as own:
                    rows = select.compute(own, inputs, cancelled)
                    return _kept(stream(select.schema, rows, "free"), _output(folder, number), charge)
            except OSError as error:
                fail_os(error, folder)
            finally:
                idle.put(engine)

        for number, reopen in zip(numbers, _results(pool, compute, numbers, _AHEAD * width), strict=True):
            yield from reopen().batches()
            fault("part.remove")
            _output(folder, number).unlink(missing_ok=True)
            charge(_output(folder, number), 0)


@contextmanager
def _engines(
    width: int, memory: int, folder: Path
) -> Iterator[tuple[SimpleQueue[DuckDBPyConnection], ThreadPoolExecutor, threading.Event]]:
    """Give engines of one thread and `memory` bytes each, as many threads that use them, and the event that ends them.

    Engines are reused, as opening one takes longer than a small part. They spill into folders of their own, since the
    files of two would have the same names.
    """
    idle: SimpleQueue[DuckDBPyConnection] = SimpleQueue()
    stopped = threading.Event()
    with ExitStack() as open_ones:
        for number in range(width):
            engine = open_engine(folder / f"engine-{number}", memory=memory, threads=1)
            idle.put(open_ones.enter_context(closing(engine)))
        pool = ThreadPoolExecutor(width, thread_name_prefix="part")
        open_ones.callback(pool.shutdown, cancel_futures=True)
        open_ones.callback(stopped.set)
        yield idle, pool, stopped


def _results(pool: ThreadPoolExecutor, call: Callable[[int], T], numbers: Iterable[int], ahead: int) -> Iterator[T]:
    """Yield the results of calls in their order, of which at most `ahead` are begun before they are needed."""
    begun: deque[Future[T]] = deque()
    for number in numbers:
        begun.append(pool.submit(call, number))
        if len(begun) >= ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _output(folder: Path, number: int) -> Path:
    return folder / f"output-{number}.arrow"
