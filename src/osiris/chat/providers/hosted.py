"""A model behind a service, as whoever proposes: one question, one answer, within a pace and a budget."""

from __future__ import annotations

import asyncio
import time
import warnings
from typing import TYPE_CHECKING

from osiris.chat.context import plain_json, tokens_of
from osiris.chat.prompts import compose
from osiris.chat.provider_api import Answer, Usage
from osiris.chat.providers.answers import Failure, failure_of, value_of
from osiris.chat.providers.pace import Budget, Pace
from osiris.chat.providers.services import price, request
from osiris.chat.providers.wire import LARGEST, LIBRARY_ERRORS, Bounded
from osiris.chat.request_json import interest_schema, request_schema
from osiris.errors import OsirisError, fail
from osiris.secret import Scrubber

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse

    from osiris.chat.prompts import Prompts, Spoken
    from osiris.chat.provider_api import ModelRequest
    from osiris.chat.providers.settings import Settings
    from osiris.model import JsonValue

    Schema = dict[str, JsonValue]

_TRIES = 4
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
"""Seconds before the second try, which double, and the longest that a service may have us wait."""


class Hosted:
    """A model behind a service, and the one that is asked where it fails; fails with LLM008 if a price is unknown."""

    def __init__(self, settings: Settings, prompts: Prompts, spent: Usage) -> None:
        self._settings = settings
        self._prompts = prompts
        self._pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        self._budget = Budget(settings.max_tokens, settings.max_cost, spent)
        self._requests = 0
        self._scrubber = Scrubber([settings.key] if settings.key is not None else [])
        for model in settings.models if settings.max_cost is not None else ():
            if price(settings.provider, model) is None:
                fail("LLM008", model=model)

    @property
    def name(self) -> str:
        """Provider and model."""
        return f"{self._settings.provider}:{self._settings.models[0]}"

    def complete(self, asked: ModelRequest) -> Answer:
        """Return the answer of the first model that gives one; fails as the last one does, with LLM006 to LLM021."""
        self._requests = 0
        *others, last = self._settings.models
        for model in others:
            try:
                return self._answer(asked, model)
            except OsirisError as error:
                if error.diagnostics[0].code in _FINAL:
                    raise
        return self._answer(asked, last)

    def _answer(self, asked: ModelRequest, model: str) -> Answer:
        spoken = compose(asked, self._settings.provider, self._prompts, self._settings.context_tokens)
        wanted = interest_schema if asked.purpose == "intent" else request_schema
        found = self._tried(model, spoken, wanted(asked.choices))
        name = f"{self._settings.provider}:{model}"
        if isinstance(found, Failure):
            reason = self._scrubber.text(found.reason)
            fail(found.code, model=name, reason=reason, limit=f"{LARGEST:,}")
        used = found.usage
        cost = price(self._settings.provider, model, used)
        usage = Usage(used.input_tokens, used.output_tokens, self._requests, cost)
        self._pace.sent(used.input_tokens + used.output_tokens)
        self._budget.spend(usage)
        return Answer(value_of(found, name), name, usage, spoken.to_json())

    def _tried(self, model: str, spoken: Spoken, wanted: Schema) -> ModelResponse | Failure:
        """Send a request until trying again is no use, and return what came of it."""
        expected = tokens_of(spoken.system) + tokens_of(spoken.user) + tokens_of(plain_json(wanted))
        number = 0
        while True:
            self._budget.check(expected)
            self._pace.wait(expected)
            found = self._sent(model, spoken, wanted)
            number += 1
            wait = _wait(found, number) if isinstance(found, Failure) else None
            if wait is None:
                return found
            self._pace.sent(expected)
            time.sleep(wait)

    def _sent(self, model: str, spoken: Spoken, wanted: Schema) -> ModelResponse | Failure:
        """Send a request once."""
        self._requests += 1
        bounds, settings = Bounded(), self._settings

        async def send() -> ModelResponse:
            async with bounds.client(settings.timeout) as client:
                return await request(settings, model, spoken, wanted, client)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's, which nobody here could act on
            try:
                return asyncio.run(send())
            except LIBRARY_ERRORS as error:
                return failure_of(error, seconds=settings.timeout, exceeded=bounds.exceeded)


def _wait(failure: Failure, number: int) -> float | None:
    """Return after how many seconds a request is sent again that was sent `number` times; None if it is not."""
    if failure.again_after is None or number == _TRIES:
        return None
    wait = max(failure.again_after, _FIRST_WAIT * 2 ** (number - 1))
    return wait if wait <= _LONGEST_WAIT else None


_FINAL = ("LLM006", "LLM007")
"""Codes after which no other model is asked either."""
