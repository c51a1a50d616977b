"""What stops a run before its end: signals, and a caller."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.runner.adapter import Worker

_CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Stops a run: by SIGINT, SIGTERM and SIGHUP in a `with` block of the main thread, by `stop` from any thread."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._worker: Worker | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            # Ignored by nohup, or handled by a program in another language that started Python.
            handled = (each for each in _CAUGHT if signal.getsignal(each) not in (signal.SIG_IGN, None))
            self._before = {caught: signal.signal(caught, self.stop) for caught in handled}
        return self

    def __exit__(self, *_: object) -> None:
        for caught, handler in self._before.items():
            signal.signal(caught, handler)  # type: ignore[arg-type]

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Give signals to their earlier handlers in a block that waits for something else than the worker."""
        for caught, handler in self._before.items():
            signal.signal(caught, handler)  # type: ignore[arg-type]
        try:
            yield
        finally:
            for caught in self._before:
                signal.signal(caught, self.stop)

    def bind(self, worker: Worker) -> None:
        """Set the worker to stop on a signal; an earlier signal counts."""
        self._worker = worker
        if self.signal:
            worker.cancel()

    def stop(self, number: int, _frame: object = None) -> None:
        """End the run as this signal does: tidily at first, and at once the second time."""
        again = self.signal is not None
        self.signal = signal.Signals(number)
        if self._worker and again:
            self._worker.kill(f"a second {self.signal.name}")
        elif self._worker:
            self._worker.cancel()
