"""All providers at once, each at its own address, for one script."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .chat import COMPATIBLE, OPENAI
from .generate import GOOGLE
from .messages import ANTHROPIC
from .replies import Reply
from .web import Address, Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .asked import Asked, Received

WIRES = {wire.provider: wire for wire in (OPENAI, COMPATIBLE, ANTHROPIC, GOOGLE)}
PROVIDERS = tuple(WIRES)


@dataclass(frozen=True)
class ModelServer:
    """A running server; `received` are all requests so far, as received."""

    _keys: Mapping[str, str]
    _models: Mapping[str, Sequence[str]]
    _records: Records
    _queue: deque[Reply]
    _addresses: dict[str, Address] = field(default_factory=dict)

    @property
    def received(self) -> list[Received]:
        return self._records.received

    @property
    def asked(self) -> list[Asked]:
        """The requests that reached the script."""
        return [one.asked for one in self.received if one.asked]

    def url(self, provider: str) -> str:
        """The base URL for the provider's own client."""
        return self._address(provider).url

    def queue(self, *replies: Reply) -> None:
        """Use these replies next, before the script continues."""
        self._queue.extend(replies)

    def refuse(self, provider: str) -> None:
        """Refuse all connections to a provider's address from now on."""
        self._address(provider).refuse()

    def _address(self, provider: str) -> Address:
        """Return the address of a provider, which opens when it is first used: most tests need one of four."""
        if provider not in self._addresses:
            wire = WIRES[provider]
            wire = replace(wire, models=tuple(self._models.get(provider, wire.models)))
            self._addresses[provider] = Address(wire, self._keys.get(provider), self._records)
        return self._addresses[provider]

    def stop(self) -> None:
        """Stop the server, and fail if it or its script got an unexpected request."""
        self._records.over.set()
        for address in self._addresses.values():
            address.stop()
        if self._records.bugs:
            raise AssertionError("the local models were asked too much:\n" + "\n".join(self._records.bugs))


@contextmanager
def model_server(
    answer: Reply | Sequence[Reply] | Callable[[Asked], Reply] = (),
    *,
    keys: Mapping[str, str] | None = None,
    models: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[ModelServer]:
    """Serve all providers until the block ends.

    `answer`: replies in order, one reply for all requests, or a function of the request. `keys`: the only key that a
    provider takes (else any, and `compatible` needs none). `models`: patterns of the names that a provider knows, where
    those of the provider's family are too many.
    """
    queue = deque(() if isinstance(answer, Reply) or callable(answer) else answer)

    def script(asked: Asked) -> Reply:
        if queue:
            return queue.popleft()
        if isinstance(answer, Reply):
            return answer
        if callable(answer):
            return answer(asked)
        raise AssertionError(f"request {asked.number}, of {asked.provider}, is beyond the script")

    server = ModelServer(keys or {}, models or {}, Records(script), queue)
    try:
        yield server
    finally:
        server.stop()
