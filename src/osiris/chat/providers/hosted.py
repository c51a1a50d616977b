"""A model behind a service, as whoever proposes: one question, one answer, within a pace and a budget.

Whatever a service sends, or its library fails with, becomes a value or a code. The library is reached only here, and
only when a model is asked. Its HTTP client takes no more bytes than an answer can have. Nothing compressed is asked for
or taken, since a few bytes may stand for any number of them. TLS, proxies and timeouts are those of the library.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import warnings
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import httpx2

from osiris.chat.choices import one_line
from osiris.chat.prompts.compose import compose, plain_json, tokens_of
from osiris.chat.provider_api import LONGEST_SAID, Answer, Interest, Usage
from osiris.chat.request import Request
from osiris.chat.request_json import answer_schema
from osiris.errors import OsirisError, fail
from osiris.secret import Scrubber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from pydantic_ai.messages import ModelResponse, ModelResponsePart
    from pydantic_ai.models import Model as LibraryModel
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.usage import RequestUsage

    from osiris.chat.prompts.compose import ComposedPrompt, Prompts
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
        wanted = answer_schema(Interest if asked.purpose == "intent" else Request, asked.choices)
        found = self._tried(model, spoken, wanted)
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

    def _tried(self, model: str, spoken: ComposedPrompt, wanted: Schema) -> ModelResponse | Failure:
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

    def _sent(self, model: str, spoken: ComposedPrompt, wanted: Schema) -> ModelResponse | Failure:
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


_UNREADABLE = 2_000
"""Characters that are kept of an answer that is no JSON."""


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed: code, reason in words, and after how many seconds to try again (None: not at all)."""

    code: str
    reason: str
    again_after: float | None = None


def value_of(response: ModelResponse, model: str) -> JsonValue:
    """Return what a model answered: JSON, the text itself if it is none, or why it declines.

    Fails with LLM016 if there is nothing, with LLM018 if it was cut off, and with LLM019 if the model calls what it was
    not offered.
    """
    if response.finish_reason == "content_filter":
        words = str((response.provider_details or {}).get("refusal") or "its filter stopped the answer")
        return {"cannot": f"The model declines: {words}"}
    if not response.parts and response.finish_reason is None:
        fail("LLM016", model=model, reason="it is empty")
    value = _parsed(_given(response.parts, model))
    if isinstance(value, str) and response.finish_reason == "length":
        fail("LLM018", model=model)
    return value


def _given(parts: Sequence[ModelResponsePart], model: str) -> str:
    """Return the answer as a text: what the tool for it was called with, else what was said."""
    from pydantic_ai.messages import TextPart, ToolCallPart

    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    stray = next((each.tool_name for each in calls if each.tool_name != ANSWER_TOOL), None)
    if stray is not None:
        fail("LLM019", model=model, tool=one_line(str(stray), LONGEST_SAID))
    # Not all that a service sends has the type that the library says.
    told = "".join(str(part.content) for part in parts if isinstance(part, TextPart))
    given = calls[0].args if calls else told
    return given if isinstance(given, str) else json.dumps(given)


def _parsed(text: str) -> JsonValue:
    """Return the first JSON object of a text; else the beginning of the text, which is no answer to anything.

    Models put words or a fence around what they were asked for; it is not believed before it is read anyway.
    """
    try:
        value: JsonValue = _DECODER.raw_decode(text, max(0, text.find("{")))[0]
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return text[:_UNREADABLE].encode(errors="replace").decode()
    return value


def failure_of(error: Exception, *, seconds: float, exceeded: bool) -> Failure:
    """Return what an exception of the library means; `exceeded` tells that the answer was larger than allowed."""
    from pydantic_ai import exceptions as library

    if exceeded:
        return Failure("LLM017", "")
    reason = _reason(error)
    asked: float | None = getattr(error, "retry_after", None)
    known: tuple[tuple[type[Exception], str, float | None], ...] = (
        (library.ModelRequestTimeout, "LLM013", None),
        (library.ModelTimeoutError, "LLM013", None),
        (asyncio.TimeoutError, "LLM013", None),
        (library.ModelQuotaExceededError, "LLM020", None),
        (library.ModelRateLimitError, "LLM010", asked or 0.0),
        (library.ModelUnavailableError, "LLM011", asked or 0.0),
        (library.ModelServerError, "LLM011", asked or 0.0),
        (library.ModelConnectionError, "LLM012", 0.0),
        (library.ModelAuthenticationError, "LLM014", None),
        (library.ModelContextWindowExceededError, "LLM021", None),
        (library.ModelHTTPError, "LLM015", None),
    )
    for kind, code, again_after in known:
        if isinstance(error, kind):
            return Failure(code, f"{seconds:g}" if code == "LLM013" else reason, again_after)
    return Failure("LLM016", reason)


def _reason(error: Exception) -> str:
    """Return what the service says of it, on one line, without what it was sent."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else body
    said = inner.get("message") if isinstance(inner, dict) else inner
    status = getattr(error, "status_code", None)
    text = one_line(str(said or error), 300).rstrip(".")
    return f"{status}, {text}" if status else text


ANSWER_TOOL = "answer"
"""Name of the tool that takes an answer where a service gives structured ones as arguments of a tool."""
_NO_KEY = "none"
_LONGEST_ANSWER = 16_000
"""Tokens of the longest answer, where a service wants to be told."""
Output = Literal["native", "tool", "prompted"]
_OUTPUTS: dict[str, Output] = {"native": "native", "tool": "tool", "json": "prompted"}
_PRICED_AS = {"gemini": "google"}


async def request(
    settings: Settings, model: str, spoken: ComposedPrompt, schema: dict[str, JsonValue], client: httpx2.AsyncClient
) -> ModelResponse:
    """Send one request, once, and return the answer as the library has it; fails with the library's exceptions."""
    from pydantic_ai.direct import model_request
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    # Address and key are always given, so that no variable of the process counts.
    key = settings.key.reveal() if settings.key is not None else _NO_KEY
    opened = _OPENERS[settings.provider](model, settings.address, key, client)
    told: ModelSettings = {"max_retries": 0, "request_timeout": settings.timeout, "framing_announcement": "never"}
    if settings.provider == "anthropic":
        told["max_tokens"] = _LONGEST_ANSWER
    message = ModelRequest(parts=[UserPromptPart(spoken.user)], instructions=spoken.system)
    parameters = _parameters(_output(settings, opened), schema)
    return await model_request(opened, [message], model_settings=told, model_request_parameters=parameters)


def price(provider: str, model: str, usage: RequestUsage | None = None) -> float | None:
    """Return the price of some tokens (of one and one if None) in US dollars; None if nobody knows it."""
    from genai_prices import calc_price
    from pydantic_ai.usage import RequestUsage

    used = usage or RequestUsage(input_tokens=1, output_tokens=1)
    with suppress(LookupError, ValueError):
        return float(calc_price(used, model, provider_id=_PRICED_AS.get(provider, provider)).total_price)
    return None


def _output(settings: Settings, model: LibraryModel) -> Output:
    if settings.answers in _OUTPUTS:
        return _OUTPUTS[settings.answers]
    return "native" if model.profile.get("supports_json_schema_output") else "tool"


def _parameters(output: Output, schema: dict[str, JsonValue]) -> ModelRequestParameters:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    if output == "tool":
        tool = ToolDefinition(
            name=ANSWER_TOOL, description="Give your answer.", parameters_json_schema=schema, kind="output", strict=True
        )
        return ModelRequestParameters(output_mode=output, output_tools=[tool], allow_text_output=False)
    wanted = OutputObjectDefinition(json_schema=schema, name=ANSWER_TOOL, strict=True)
    return ModelRequestParameters(output_mode=output, output_object=wanted)


def _openai(model: str, address: str, key: str, client: httpx2.AsyncClient) -> LibraryModel:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=address, api_key=key, http_client=client))


def _compatible(model: str, address: str, key: str, client: httpx2.AsyncClient) -> LibraryModel:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    provider = OpenAICompatibleProvider("compatible", base_url=address, api_key=key, http_client=client)
    return OpenAIChatModel(model, provider=provider)


def _anthropic(model: str, address: str, key: str, client: httpx2.AsyncClient) -> LibraryModel:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    return AnthropicModel(model, provider=AnthropicProvider(base_url=address, api_key=key, http_client=client))


def _gemini(model: str, address: str, key: str, client: httpx2.AsyncClient) -> LibraryModel:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    logging.getLogger("google_genai").addHandler(logging.NullHandler())  # it would warn on the person's terminal
    return GoogleModel(model, provider=GoogleProvider(base_url=address, api_key=key, http_client=client))


_OPENERS = {"openai": _openai, "compatible": _compatible, "anthropic": _anthropic, "gemini": _gemini}
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
