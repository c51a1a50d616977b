"""The HTTP client that all services are asked through: it takes no more bytes than an answer can have.

Nothing compressed is asked for or taken, since a few bytes may stand for any number of them. TLS, proxies and timeouts
are those of the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LARGEST = 2_000_000
"""Bytes of the largest answer that is read."""


class TooLarge(Exception):
    """An answer goes on beyond the limit, or may."""


LIBRARY_ERRORS = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, OSError),
    *(httpx2.HTTPError, TooLarge),
)
"""All that the library, and the ones below it, raise for what a service may send: they read some of it unchecked."""


class Bounded:
    """Hooks of a client; `exceeded` tells why a request failed, whatever its library makes of the exception."""

    def __init__(self) -> None:
        self.exceeded = False

    def client(self, seconds: float) -> httpx2.AsyncClient:
        """Return a client with these hooks; to be closed."""
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [self._ask_plain], "response": [self._bound]}
        return httpx2.AsyncClient(timeout=httpx2.Timeout(seconds, connect=min(seconds, 10.0)), event_hooks=hooks)

    async def _ask_plain(self, request: httpx2.Request) -> None:
        request.headers["accept-encoding"] = "identity"

    async def _bound(self, response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            self.refuse()
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Counted(response.stream, self)

    def refuse(self) -> None:
        """End the answer that is being read."""
        self.exceeded = True
        raise TooLarge


class _Counted(httpx2.AsyncByteStream):
    """A stream that ends with an error after `LARGEST` bytes."""

    def __init__(self, inner: httpx2.AsyncByteStream, bounds: Bounded) -> None:
        self._inner, self._bounds = inner, bounds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken = 0
        async for piece in self._inner:
            taken += len(piece)
            if taken > LARGEST:
                self._bounds.refuse()
            yield piece

    async def aclose(self) -> None:
        """Close the stream."""
        await self._inner.aclose()
