"""An engine that stops when its step is cancelled; it would not look up from its work by itself."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duckdb import DuckDBPyConnection

_POLL = 0.1


@contextmanager
def interruptible(engine: DuckDBPyConnection, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Interrupt what a connection does inside the block once `cancelled` says so."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL):
            if cancelled():
                engine.interrupt()

    watcher = threading.Thread(target=watch, name="interrupt", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
