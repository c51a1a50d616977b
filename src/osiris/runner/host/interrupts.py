"""SIGINT, SIGTERM and SIGHUP while a run is under way: the first asks the worker to stop, the second ends it."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.runner.per_job_worker import Worker

_CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Catches the signals in its `with`; only the main thread can, and elsewhere they are left alone."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._worker: Worker | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            wanted = (each for each in _CAUGHT if signal.getsignal(each) is not signal.SIG_IGN)  # nohup
            self._before = {caught: signal.signal(caught, self._caught) for caught in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        for caught, handler in self._before.items():
            signal.signal(caught, handler)  # type: ignore[arg-type]

    def bind(self, worker: Worker) -> None:
        """Say who is to stop; a signal that came before counts."""
        self._worker = worker
        if self.signal:
            worker.cancel()

    def _caught(self, number: int, _frame: object) -> None:
        again = self.signal is not None
        self.signal = signal.Signals(number)
        if self._worker and again:
            self._worker.kill(f"a second {self.signal.name}")
        elif self._worker:
            self._worker.cancel()
