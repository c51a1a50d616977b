"""Processes that answer calls: one is always waiting, so that a call need not wait for Python to start."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import TracebackType

    from anyio.abc import Process

    from osiris.model import JsonValue

    Answer = dict[str, JsonValue]
    Told = Callable[[str], Awaitable[None]]

AT_ONCE = 4
"""Calls that are answered at the same time; others wait."""

_LONGEST = 1 << 24
_GRACE = 20.0
"""Seconds in which a call that was given up may end; the cancelled run in it takes half of that at most."""


class Gone(Exception):
    """A process ended without an answer; `status` is its exit status."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


class Callers:
    """Starts processes for the project at `root`, and has calls answered by them. To be used in a `with`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spare: Process | None = None
        self._limiter = anyio.CapacityLimiter(AT_ONCE)
        self._ending = anyio.create_task_group()

    async def __aenter__(self) -> Callers:
        await self._ending.__aenter__()
        self._spare = await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._spare is not None:
            self._ending.start_soon(_let_go, self._spare)
        return await self._ending.__aexit__(kind, error, trace)

    async def ask(self, call: Answer, told: Told) -> Answer:
        """Return the answer to a call, telling of progress; its process ends when it is cancelled. Raises Gone."""
        async with self._limiter:
            process = await self._taken()
            try:
                return await _answer(process, call, told)
            finally:
                self._ending.start_soon(_let_go, process)

    async def _taken(self) -> Process:
        """Return the process that was waiting, and have another wait."""
        process, self._spare = self._spare, None
        if process is None or process.returncode is not None:
            process = await self._start()
        with suppress(OSError):
            self._spare = await self._start()
        return process

    async def _start(self) -> Process:
        return await anyio.open_process(
            [sys.executable, "-I", "-m", "osiris.mcp.call"],
            cwd=self._root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


async def _answer(process: Process, call: Answer, told: Told) -> Answer:
    """Send a call and return its answer; stdin stays open, for its end means that nobody waits any more."""
    if process.stdin is None or process.stdout is None:
        raise Gone(-1)
    lines = BufferedByteReceiveStream(process.stdout)
    try:
        await process.stdin.send(json.dumps(call).encode() + b"\n")
        while True:
            message = _understood(await lines.receive_until(b"\n", _LONGEST))
            if "answer" in message:
                answer: Answer = message["answer"]
                return answer
            if "progress" in message:
                await told(str(message["progress"]))
    except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
        raise Gone(await process.wait()) from None


def _understood(line: bytes) -> Answer:
    """Return a message; of what something printed before its process could see to it, nothing."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


async def _let_go(process: Process) -> None:
    """Close what the process waits for and give it time to end in order; nothing may interrupt that."""
    with anyio.CancelScope(shield=True):
        if process.stdin is not None:
            with suppress(anyio.BrokenResourceError):
                await process.stdin.aclose()
        with anyio.move_on_after(_GRACE):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
        await process.aclose()
