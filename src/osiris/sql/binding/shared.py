"""One engine for all steps of a job: opening one takes longer than most statements of a small step, and two engines
know nothing of each other's memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection


class SharedEngine:
    """The engine of all who `borrow` one while this is entered; opened when the first of them does."""

    current: SharedEngine | None = None

    def __init__(self, scratch: Path, *, memory: int, threads: int) -> None:
        self._scratch = scratch
        self._memory = memory
        self._threads = threads
        self._engine: DuckDBPyConnection | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        SharedEngine.current = self
        return self

    def __exit__(self, *_: object) -> None:
        SharedEngine.current = None
        if self._engine:
            self._engine.close()

    def cursor(self) -> DuckDBPyConnection:
        """Return a connection that sees nothing of the others."""
        from osiris.sql.binding.engine import open_engine

        with self._lock:
            self._engine = self._engine or open_engine(self._scratch, memory=self._memory, threads=self._threads)
            return self._engine.cursor()


def borrow(scratch: Path | None, *, memory: int, threads: int) -> DuckDBPyConnection:
    """Return a connection of the engine that is shared now, else one of a new engine; the caller closes it."""
    from osiris.sql.binding.engine import open_engine

    if SharedEngine.current is not None:
        return SharedEngine.current.cursor()
    return open_engine(scratch, memory=memory, threads=threads)
