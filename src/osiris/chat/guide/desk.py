"""One worker that answers everything that is asked while a person thinks, from one thread that lives as long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from osiris.api import Workspace
    from osiris.runner.per_job_worker import Worker

T = TypeVar("T")

_OF_WORKERS = "RUN"
"""How codes begin that tell of a worker that has died, or was stopped."""


class Desk:
    """Does what it is given in order, each time with the worker, which the first of that starts."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._open = ExitStack()
        self._worker: Worker | None = None
        self._pool = ThreadPoolExecutor(1)

    def do(self, act: Callable[[Worker], T]) -> Future[T]:
        """Have something done with the worker."""
        return self._pool.submit(self._do, act)

    def close(self) -> None:
        """Drop what is not done; what is being done is cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._worker:
            self._worker.cancel()

    def _do(self, act: Callable[[Worker], T]) -> T:
        try:
            return act(self._ready())
        except OsirisError as error:
            if error.diagnostics[0].code.startswith(_OF_WORKERS):
                self._worker = None
                self._open.close()
            raise

    def _ready(self) -> Worker:
        if self._worker is None:
            from osiris.runner.host.adapters import asked_worker

            self._worker = self._open.enter_context(asked_worker(self._workspace.project, self._workspace.config))
        return self._worker
