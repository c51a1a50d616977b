"""Connection and service faults, switched on while a test runs, from any thread.

`service.faults` applies to the whole service, `sandbox.faults` to the connection with one sandbox.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .wire import failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

AWKWARD = (1, 2, 1, 3, 5, 1, 7, 4, 13, 1, 64, 2)
_POLL = 0.01


class Cut(Exception):
    """The connection ends here, in the middle of an answer."""


@dataclass
class _Answer:
    status: int
    message: str
    times: int
    retry_after: int | None
    method: str
    path: re.Pattern[str]


@dataclass
class Faults:
    delay: float = 0.0
    """Seconds that each request waits before anything happens."""
    frozen: bool = False
    """No byte is sent any more; connections stay open. Ends with False."""
    lost: bool = False
    """A sandbox cannot be found on the way to it, though it runs."""
    chunk_sizes: tuple[int, ...] = ()
    """Output is cut into pieces of these sizes in turn (`AWKWARD`: within letters and lines); () leaves it as read."""
    upload_rate: float | None = None
    """Bytes a second that an upload is read with."""
    upload_room: int | None = None
    """Bytes that fit on the disk: an upload beyond them is 507, and what did fit stays in the file."""
    build_error: str | None = None
    """Template builds end in this error."""
    _answers: list[_Answer] = field(default_factory=list)
    _cuts: list[int] = field(default_factory=list)

    def answer(
        self,
        status: int,
        *,
        times: int = 1,
        retry_after: int | None = None,
        method: str = "",
        path: str = "",
        message: str = "try again later",
    ) -> None:
        """Let the next `times` control calls fail with a status; `method` and `path` (a pattern) choose which."""
        self._answers.append(_Answer(status, message, times, retry_after, method, re.compile(path)))

    def cut_output(self, after: int, times: int = 1) -> None:
        """Break the connection of the next `times` output streams after that many bytes of output."""
        self._cuts += [after] * times

    def clear(self) -> None:
        """Switch everything off."""
        self.__init__()

    def refusal(self, method: str, path: str) -> Response | None:
        """Return the answer that replaces that of a control call."""
        for one in self._answers:
            if one.times and one.method in ("", method) and one.path.search(path):
                one.times -= 1
                headers = {} if one.retry_after is None else {"Retry-After": str(one.retry_after)}
                return failure(one.status, one.message, **headers)
        return None

    def take_cut(self) -> int | None:
        return self._cuts.pop(0) if self._cuts else None


@dataclass(frozen=True)
class Way:
    """The connection to one sandbox: its own faults come first, then the service's."""

    faults: tuple[Faults, ...]

    def value(self, name: str) -> Any:
        """Return a fault's setting if it is switched on, else None."""
        values = [getattr(faults, name) for faults in self.faults]
        return next((value for value in values if value not in (None, False, ())), None)

    async def hold(self) -> None:
        """Return once nothing is frozen."""
        while self.value("frozen"):
            await asyncio.sleep(_POLL)

    async def pass_on(self) -> None:
        """What each request goes through."""
        await asyncio.sleep(sum(faults.delay for faults in self.faults))
        await self.hold()

    def take_cut(self) -> int | None:
        """Where the next stream of output breaks."""
        cuts = (faults.take_cut() for faults in self.faults)
        return next((cut for cut in cuts if cut is not None), None)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Cut what was read at one time."""
        sizes = itertools.cycle(self.value("chunk_sizes") or (len(chunk),))
        start = 0
        while start < len(chunk):
            size = next(sizes)
            yield chunk[start : start + size]
            start += size
