"""Work done behind: one piece at a time in a thread of its own, while the next ones are gathered."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


class Behind:
    """Calls functions in a thread, in order, one at a time: `with Behind() as behind:` ends when all are done.

    At most `depth` calls are under way or wait. What one raises comes out of a later `run`, or of the end of the block,
    and those behind it are not made.
    """

    def __init__(self, depth: int = 1) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._depth = depth
        self._calls: deque[Future[object]] = deque()

    def __enter__(self) -> Self:
        return self

    def run(self, work: Callable[..., object], *given: object) -> None:
        """Call `work` once the calls before are done, without waiting for it to end."""
        if len(self._calls) == self._depth:
            self._calls.popleft().result()
        before = self._calls[-1] if self._calls else None
        self._calls.append(self._pool.submit(_follow, before, work, *given))

    def wait(self) -> None:
        """Wait until all calls are done."""
        while self._calls:
            self._calls.popleft().result()

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        while kind is None and self._calls:
            self._calls.popleft().result()


def _follow(before: Future[object] | None, work: Callable[..., object], *given: object) -> None:
    """Call `work`, unless the call before has raised something, which is then raised again."""
    if before:
        before.result()
    work(*given)
