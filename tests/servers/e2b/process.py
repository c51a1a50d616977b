"""One command of a sandbox: its output goes to the current listeners, and is lost if there are none."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .wire import LAST, Refused, envelope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .faults import Way
    from .link import Link

CHUNK = 32 * 1024
QUEUE = 64
DRAIN = 0.05
Event = dict[str, Any] | Refused


class Listener:
    """One stream of a process's events. A full queue blocks the process, as a slow reader would."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE)
        self._gone = False

    async def put(self, event: Event) -> None:
        if not self._gone:
            await self._queue.put(event)

    def put_nowait(self, event: Event) -> None:
        self._queue.put_nowait(event)

    def leave(self) -> None:
        """Take no more, and let go of those who wait to put."""
        self._gone = True
        while not self._queue.empty():
            self._queue.get_nowait()

    def end(self, error: Refused) -> None:
        """Say at once that the stream ends, whatever was still to come."""
        self.leave()
        self.put_nowait(error)

    async def next(self, seconds: float | None) -> Event | None:
        """The next event, or None after `seconds` without one."""
        with suppress(TimeoutError):
            return await asyncio.wait_for(self._queue.get(), seconds)
        return None


class Process:
    def __init__(self, pid: int, request: dict[str, Any], link: Link, way: Way) -> None:
        self.pid, self.config, self.tag = pid, request["process"], request.get("tag")
        self.end: dict[str, Any] | None = None
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = loop.create_future()
        self._signalled = asyncio.Event()
        self._link, self._way = link, way
        self._listeners: set[Listener] = set()
        self._stdin: int | None = None
        self._input = asyncio.Lock()

    def follow(self, stdin: int | None, stdout: int, stderr: int) -> None:
        """Take over the service's ends of the pipes."""
        self._stdin = stdin
        self._following = asyncio.create_task(self._follow(stdout, stderr))

    async def _follow(self, stdout: int, stderr: int) -> None:
        """Forward output until all holders of the pipes have ended; after a signal, only the command is waited for."""
        output = asyncio.create_task(self._pump_both(stdout, stderr))
        signalled = asyncio.create_task(self._signalled.wait())
        try:
            await asyncio.wait({output, signalled}, return_when=asyncio.FIRST_COMPLETED)
            code = await self.exited
            await asyncio.wait({output}, timeout=DRAIN if signalled.done() else None)
        finally:
            output.cancel()
            signalled.cancel()
            self.close_stdin()
        self.end = _ending(code)
        await self._tell(self.end)

    def abandon(self, error: Refused) -> None:
        """The sandbox has ended: nothing follows any more."""
        self.part(error)
        self._following.cancel()

    async def _pump_both(self, stdout: int, stderr: int) -> None:
        await asyncio.gather(self._pump("stdout", stdout), self._pump("stderr", stderr))

    async def _pump(self, name: str, fd: int) -> None:
        reader = asyncio.StreamReader(CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(fd, "rb", 0))
        try:
            while chunk := await reader.read(CHUNK):
                for piece in self._way.pieces(chunk):
                    await self._tell({"data": {name: base64.b64encode(piece).decode()}})
        finally:
            transport.close()

    async def _tell(self, event: Event) -> None:
        for listener in list(self._listeners):
            await listener.put(event)

    def listen(self) -> Listener:
        """Subscribe from now on; a late subscriber gets the end event."""
        listener = Listener()
        if self.end:
            listener.put_nowait(self.end)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        listener.leave()

    async def events(
        self, listener: Listener, keepalive: float | None, seconds: float | None
    ) -> AsyncIterator[tuple[bytes, int]]:
        """Envelopes for a listener, each with the bytes of output in it; ends in an error after `seconds`."""
        until = None if seconds is None else asyncio.get_running_loop().time() + seconds
        yield envelope({"event": {"start": {"pid": self.pid}}}), 0
        while True:
            event = await _event(listener, keepalive, until)
            if isinstance(event, Refused):
                yield envelope({"error": event.told()}, LAST), 0
                return
            yield envelope({"event": event}), _size(event)
            if "end" in event:
                yield envelope({}, LAST), 0
                return

    def part(self, error: Refused) -> None:
        """End all streams; the process stays."""
        for listener in self._listeners:
            listener.end(error)

    async def signal(self, number: int) -> None:
        if self.exited.done():
            raise Refused("not_found", f"process with pid {self.pid} not found")
        await self._link.ask("signal", pid=self.pid, number=number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._signalled.set()

    async def write(self, data: bytes) -> None:
        """Put data into the command's standard input. Raises `Refused` where it has none or closed it."""
        async with self._input:
            while data:
                data = data[await self._write_some(data) :]

    async def _write_some(self, data: bytes) -> int:
        if self._stdin is None:
            raise Refused("failed_precondition", f"process {self.pid} has no open standard input")
        try:
            return os.write(self._stdin, data)
        except BlockingIOError:
            await asyncio.sleep(0.005)
            return 0
        except BrokenPipeError:
            raise Refused("internal", "error writing to stdin: broken pipe") from None

    def close_stdin(self) -> None:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None


async def _event(listener: Listener, keepalive: float | None, until: float | None) -> Event:
    loop = asyncio.get_running_loop()
    left = None if until is None else until - loop.time()
    event = await listener.next(min((one for one in (keepalive, left) if one is not None), default=None))
    if event is not None:
        return event
    if until is not None and loop.time() >= until:
        return Refused("deadline_exceeded", "context deadline exceeded")
    return {"keepalive": {}}


def _size(event: dict[str, Any]) -> int:
    return sum(len(base64.b64decode(data)) for data in event.get("data", {}).values())


def _ending(code: int) -> dict[str, Any]:
    """Return Go's words for a process that ended: a signal is the exit code -1."""
    if code >= 0:
        status = f"exit status {code}"
        return {"end": {"exitCode": code, "exited": True, "status": status} | ({"error": status} if code else {})}
    status = f"signal: {(signal.strsignal(-code) or str(-code)).lower()}"
    return {"end": {"exitCode": -1, "exited": False, "status": status, "error": status}}
