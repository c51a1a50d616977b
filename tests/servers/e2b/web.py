"""Streaming answers, and ports that can be closed for a while."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.responses import Response

from .faults import Cut

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from .faults import Way

ANY_PORT = 0


class Stream(Response):
    """Sends pieces as they come; when the client goes, the pieces end. Each comes with the bytes of output in it."""

    def __init__(
        self,
        pieces: AsyncGenerator[tuple[bytes, int]],
        way: Way,
        headers: Mapping[str, str],
        status: int = 200,
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(None, status)
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._pieces, self._way, self._leave = pieces, way, leave

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            over = sending.done()
            sending.cancel()
            await asyncio.wait({sending})
            await self._pieces.aclose()
            self._leave()
        if over:
            sending.result()

    async def _send(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        left: int | None = None
        async for piece, output in self._pieces:
            await self._way.hold()
            if output and left is None:
                left = self._way.take_cut()
            if left is not None and output > left:
                await send({"type": "http.response.body", "body": piece[: len(piece) // 2], "more_body": True})
                raise Cut
            left = None if left is None else left - output
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._way.hold()
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Listener:
    """A port of loopback that serves an application, except while it is closed."""

    def __init__(self, app: Any) -> None:
        quiet = {"log_config": None, "log_level": "critical", "access_log": False}
        plain = {"lifespan": "off", "ws": "none", "http": "h11", "interface": "asgi3", "proxy_headers": False}
        self._config = uvicorn.Config(app, timeout_keep_alive=600, **quiet, **plain)
        self._config.load()
        self._server = uvicorn.Server(self._config)
        self._server.lifespan = self._config.lifespan_class(self._config)
        self.port = ANY_PORT

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        await self._server.startup(sockets=[sock])

    async def close(self) -> None:
        """Refuse connections, and break those that are there."""
        for server in self._server.servers:
            server.close()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
