"""A DuckDB that can compute and nothing else: no files, no network, no extensions, no settings.

All steps of a job share one: opening it takes longer than most statements of a small step, and two engines do not share
a memory limit.

Only the spill folder remains accessible. `memory_limit` is a target that the engine may exceed; the process limits
bound it.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from osiris.model import Schema

_AT_START: dict[str, str] = {
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "allow_extension_repositories": "forbidden",
    "allow_persistent_secrets": "false",
    "enable_external_file_cache": "false",
}

_SETTINGS: dict[str, str] = {
    # What a result depends on, beyond the statement and its inputs.
    "TimeZone": "UTC",
    "Calendar": "gregorian",
    "default_null_order": "NULLS_LAST",
    "default_order": "ASCENDING",
    "default_collation": "",
    "integer_division": "false",
    "ieee_floating_point_ops": "true",
    "preserve_insertion_order": "true",
    "preserve_identifier_case": "preserve_case",
    # How values leave it: every type as itself, in the plainest buffers.
    "arrow_lossless_conversion": "true",
    "arrow_large_buffer_size": "false",
    "arrow_output_list_view": "false",
    "arrow_output_version": "1.0",
    # Errors with a type and a place.
    "errors_as_json": "true",
    # Last: from here on nothing outside can be reached, and nothing above can be changed.
    "enable_external_access": "false",
    "lock_configuration": "true",
}


_POLL = 0.1


def open_engine(
    scratch: Path | None, *, memory: int, threads: int, files: Sequence[Path] = (), first: Sequence[str] = ()
) -> DuckDBPyConnection:
    """Return a locked in-memory engine that spills into `scratch`, if given, using at most half of the free space
    there.

    `memory` is in bytes; `threads` is at least 1. `files` are all outside files that it can read; `first` are
    statements of ours to run before it is locked. Its cursors share its settings and have tables and names of their
    own.
    """
    import duckdb

    limits = {"memory_limit": f"{memory}B", "threads": str(max(1, threads)), "temp_directory": ""}
    if scratch is not None:
        scratch.mkdir(0o700, parents=True, exist_ok=True)
        limits["temp_directory"] = str(scratch)
        limits["max_temp_directory_size"] = f"{shutil.disk_usage(scratch).free // 2}B"
    engine = duckdb.connect(":memory:", config={**_AT_START, **limits})
    if files:
        engine.execute("SET allowed_paths = ?", [[str(path) for path in files]])
        engine.execute("SET enable_profiling = 'no_output'")
    for statement in first:
        engine.execute(statement)
    engine.execute("SET enable_progress_bar = false")  # of one connection; that of its cursors is off
    for name, value in _SETTINGS.items():
        engine.execute(f"SET GLOBAL {name} = '{value}'")
    return engine


class SharedEngine:
    """The engine of all who `borrow` one while this is entered; opened on first use."""

    current: SharedEngine | None = None

    def __init__(self, scratch: Path, *, memory: int, threads: int) -> None:
        self._scratch = scratch
        self._memory = memory
        self._threads = threads
        self._engine: DuckDBPyConnection | None = None
        self._lock = threading.Lock()
        self._binders: list[Binder] = []

    def __enter__(self) -> Self:
        SharedEngine.current = self
        return self

    def __exit__(self, *_: object) -> None:
        SharedEngine.current = None
        for binder in self._binders:
            binder.engine.close()
        if self._engine:
            self._engine.close()

    def cursor(self) -> DuckDBPyConnection:
        """Return a connection that is isolated from the others."""
        with self._lock:
            self._engine = self._engine or open_engine(self._scratch, memory=self._memory, threads=self._threads)
            return self._engine.cursor()

    @contextmanager
    def binder(self) -> Iterator[Binder]:
        """Give a binder, reusing an idle one; after an error it is discarded."""
        try:
            binder = self._binders.pop()
        except IndexError:
            binder = Binder(self.cursor())
        with ExitStack() as failed:
            failed.callback(binder.engine.close)
            yield binder
            failed.pop_all()
        self._binders.append(binder)


class Binder:
    """A connection for queries that are bound and never run, over relations with columns and no rows.

    Opening a connection and registering a relation take longer than binding most queries, so both are reused.
    """

    def __init__(self, engine: DuckDBPyConnection) -> None:
        self.engine = engine
        self._relations: dict[str, Schema] = {}

    def show(self, name: str, schema: Schema) -> None:
        """Register a relation under a name, case-insensitively."""
        import pyarrow as pa

        from osiris.types import arrow_schema

        if self._relations.get(name.lower()) != schema:
            self.engine.register(name, pa.RecordBatchReader.from_batches(arrow_schema(schema), []))
            self._relations[name.lower()] = schema


@contextmanager
def open_binder(*, memory: int) -> Iterator[Binder]:
    """Give a binder of the shared engine, else of a new engine with `memory` bytes."""
    if SharedEngine.current is not None:
        with SharedEngine.current.binder() as binder:
            yield binder
    else:
        with closing(open_engine(None, memory=memory, threads=1)) as engine:
            yield Binder(engine)


def borrow(scratch: Path | None, *, memory: int, threads: int) -> DuckDBPyConnection:
    """Return a connection of the shared engine, else of a new one; the caller closes it."""
    if SharedEngine.current is not None:
        return SharedEngine.current.cursor()
    return open_engine(scratch, memory=memory, threads=threads)


@contextmanager
def interruptible(engine: DuckDBPyConnection, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Interrupt a connection inside the block once `cancelled` returns true."""
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(_POLL):
            if cancelled():
                engine.interrupt()

    watcher = threading.Thread(target=watch, name="interrupt", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()
