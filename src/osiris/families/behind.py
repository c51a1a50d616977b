"""Work done behind: one piece at a time in a thread of its own, while the next is gathered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


class Behind:
    """Calls functions in a thread, in order, one at a time: `with Behind() as behind:` ends when all are done.

    What a call raises comes out of the next `run`, or of the end of the block.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._last: Future[object] | None = None

    def __enter__(self) -> Self:
        return self

    def run(self, work: Callable[..., object], *given: object) -> None:
        """Call `work` once the call before is done, without waiting for it to end."""
        if self._last:
            self._last.result()
        self._last = self._pool.submit(work, *given)

    def wait(self) -> None:
        """Wait until all calls are done."""
        if self._last:
            self._last.result()

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None and self._last:
            self._last.result()
