"""How fast, and how much: waits so that limits of a minute are kept, and ends a conversation that used its budget."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.chat.provider_api import Usage

_MINUTE = 60.0


class Pace:
    """Limits of a minute, over a window that slides: None is no limit."""

    def __init__(
        self,
        requests: int | None,
        tokens: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._requests, self._tokens = requests, tokens
        self._clock, self._sleep = clock, sleep
        self._sent: deque[tuple[float, int]] = deque()

    def wait(self, tokens: int) -> None:
        """Wait until a request of about so many tokens may be sent; one above the limit waits for an empty window."""
        while self._sent and not self._has_room(tokens):
            self._sleep(max(0.0, self._sent[0][0] + _MINUTE - self._clock()))
            while self._sent and self._sent[0][0] + _MINUTE <= self._clock():
                self._sent.popleft()

    def sent(self, tokens: int) -> None:
        """Note a request that took so many tokens."""
        self._sent.append((self._clock(), tokens))

    def _has_room(self, tokens: int) -> bool:
        used = sum(each for _, each in self._sent)
        few = self._requests is None or len(self._sent) < self._requests
        return few and (self._tokens is None or used + tokens <= self._tokens)


class Budget:
    """What a conversation may use: tokens, and US dollars unless that is None."""

    def __init__(self, max_tokens: int, max_cost: float | None, spent: Usage) -> None:
        self._max_tokens, self._max_cost = max_tokens, max_cost
        self._tokens = spent.input_tokens + spent.output_tokens
        self._cost = spent.cost or 0.0

    def check(self, tokens: int) -> None:
        """Fail with LLM006 or LLM007 if a request of about so many tokens goes beyond the budget."""
        if self._tokens + tokens > self._max_tokens:
            fail("LLM006", used=f"{self._tokens:,}", needed=f"{tokens:,}", limit=f"{self._max_tokens:,}")
        if self._max_cost is not None and self._cost >= self._max_cost:
            fail("LLM007", used=f"{self._cost:.4f}", limit=f"{self._max_cost:g}")

    def spend(self, usage: Usage) -> None:
        """Note what an answer took."""
        self._tokens += usage.input_tokens + usage.output_tokens
        self._cost += usage.cost or 0.0
