"""The service's end of the socket to a sandbox's agent."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from .agent import receive, send
from .wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Link:
    """Sends requests to the agent, and reports processes that ended (`on_exit`) and the agent's own end (`on_end`)."""

    def __init__(self, sock: socket.socket, on_exit: Callable[[int, int], None], on_end: Callable[[], None]) -> None:
        self._sock, self._on_exit, self._on_end = sock, on_exit, on_end
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[Any, list[int]]]] = {}
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    async def ask(self, do: str, fds: Sequence[int] = (), **fields: Any) -> Any:
        """Return the agent's answer. Raises `Refused` with the code of what went wrong."""
        answer, _given = await self._ask(do, fds, fields)
        return answer

    async def open(self, do: str, path: str) -> tuple[int, Any]:
        """Return a descriptor of a file in the sandbox, to be closed by the caller, and what the agent says of it."""
        answer, given = await self._ask(do, (), {"path": path})
        return given[0], answer

    async def _ask(self, do: str, fds: Sequence[int], fields: dict[str, Any]) -> tuple[Any, list[int]]:
        number = next(self._numbers)
        answer = self._waiting[number] = self._loop.create_future()
        try:
            send(self._sock, {"id": number, "do": do, **fields}, fds)
        except OSError:
            raise Refused("unavailable", "The sandbox was not found") from None
        return await answer

    def close(self) -> None:
        """End the agent, and so the sandbox."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        self._thread.join()
        self._sock.close()

    def _read(self) -> None:
        try:
            while (got := receive(self._sock)) is not None:
                self._loop.call_soon_threadsafe(self._take, *got)
        except (OSError, EOFError):
            pass
        self._loop.call_soon_threadsafe(self._ended)

    def _take(self, message: dict[str, Any], fds: list[int]) -> None:
        if "ready" in message:
            self.ready.set_result(None)
        elif "exit" in message:
            # Later, so that who started the process knows its number by then.
            self._loop.call_soon(self._on_exit, message["exit"], message["code"])
        else:
            self._settle(self._waiting.pop(message["id"]), message, fds)

    def _settle(self, answer: asyncio.Future[tuple[Any, list[int]]], message: dict[str, Any], fds: list[int]) -> None:
        if answer.done():  # who asked has gone
            for fd in fds:
                os.close(fd)
        elif "error" in message:
            answer.set_exception(Refused(message["error"], message["message"]))
        else:
            answer.set_result((message["ok"], fds))

    def _ended(self) -> None:
        for answer in (self.ready, *self._waiting.values()):
            if not answer.done():
                answer.set_exception(Refused("unavailable", "The sandbox was not found"))
        self._waiting.clear()
        self._on_end()
