"""A hosted model: one request, one answer, within rate limits and a budget.

Whatever a service sends, or its library raises, becomes a value or a code. The library is imported only here, and only
when a model is called. The HTTP client reads no more bytes than an answer can have, and refuses compression, since a
few compressed bytes may expand without bound. TLS, proxies and timeouts are the library's.
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
from osiris.chat.provider_api import LONGEST_SENTENCE, Answer, Interest, Usage
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
"""Seconds before the second try, doubled for each further one, and the longest wait that a service may demand."""


class Hosted:
    """A hosted model, and its fallback; fails with LLM008 if a price is unknown."""

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

    def complete(self, query: ModelRequest) -> Answer:
        """Return the answer of the first model that gives one; fails as the last one does, with LLM006 to LLM021."""
        self._requests = 0
        *others, last = self._settings.models
        for model in others:
            try:
                return self._answer(query, model)
            except OsirisError as error:
                if error.diagnostics[0].code in _FINAL:
                    raise
        return self._answer(query, last)

    def _answer(self, query: ModelRequest, model: str) -> Answer:
        prompt = compose(query, self._settings.provider, self._prompts, self._settings.context_tokens)
        schema = answer_schema(Interest if query.purpose == "intent" else Request, query.choices)
        response = self._send_with_retries(model, prompt, schema)
        name = f"{self._settings.provider}:{model}"
        if isinstance(response, Failure):
            reason = self._scrubber.text(response.reason)
            fail(response.code, model=name, reason=reason, limit=f"{LARGEST:,}")
        used = response.usage
        cost = price(self._settings.provider, model, used)
        usage = Usage(used.input_tokens, used.output_tokens, self._requests, cost)
        self._pace.sent(used.input_tokens + used.output_tokens)
        self._budget.spend(usage)
        return Answer(value_of(response, name), name, usage, prompt.to_json())

    def _send_with_retries(self, model: str, prompt: ComposedPrompt, schema: Schema) -> ModelResponse | Failure:
        """Send a request, with retries, and return the response or the final failure."""
        expected = tokens_of(prompt.system) + tokens_of(prompt.user) + tokens_of(plain_json(schema))
        number = 0
        while True:
            self._budget.check(expected)
            self._pace.wait(expected)
            response = self._sent(model, prompt, schema)
            number += 1
            wait = _wait(response, number) if isinstance(response, Failure) else None
            if wait is None:
                return response
            self._pace.sent(expected)
            time.sleep(wait)

    def _sent(self, model: str, prompt: ComposedPrompt, schema: Schema) -> ModelResponse | Failure:
        """Send a request once."""
        self._requests += 1
        bounds, settings = Bounded(), self._settings

        async def send() -> ModelResponse:
            async with bounds.client(settings.timeout) as client:
                return await request(settings, model, prompt, schema, client)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of the library, on which the user could not act
            try:
                return asyncio.run(send())
            except LIBRARY_ERRORS as error:
                return failure_of(error, seconds=settings.timeout, exceeded=bounds.exceeded)


def _wait(failure: Failure, number: int) -> float | None:
    """Return the seconds before a request that was sent `number` times is retried; None if it is not."""
    if failure.delay is None or number == _TRIES:
        return None
    wait = max(failure.delay, _FIRST_WAIT * 2 ** (number - 1))
    return wait if wait <= _LONGEST_WAIT else None


_FINAL = ("LLM006", "LLM007")
"""Codes that end the request: no fallback is tried."""

_MINUTE = 60.0


class Pace:
    """Rate limits per minute, over a sliding window: None is no limit."""

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
        """Wait until a request of about `tokens` tokens may be sent; one above the limit waits for an empty window."""
        while self._sent and not self._has_room(tokens):
            self._sleep(max(0.0, self._sent[0][0] + _MINUTE - self._clock()))
            while self._sent and self._sent[0][0] + _MINUTE <= self._clock():
                self._sent.popleft()

    def sent(self, tokens: int) -> None:
        """Record a request of `tokens` tokens."""
        self._sent.append((self._clock(), tokens))

    def _has_room(self, tokens: int) -> bool:
        used = sum(each for _, each in self._sent)
        few = self._requests is None or len(self._sent) < self._requests
        return few and (self._tokens is None or used + tokens <= self._tokens)


class Budget:
    """The budget of a conversation: tokens, and US dollars unless None."""

    def __init__(self, max_tokens: int, max_cost: float | None, spent: Usage) -> None:
        self._max_tokens, self._max_cost = max_tokens, max_cost
        self._tokens = spent.input_tokens + spent.output_tokens
        self._cost = spent.cost or 0.0

    def check(self, tokens: int) -> None:
        """Fail with LLM006 or LLM007 if a request of about `tokens` tokens exceeds the budget."""
        if self._tokens + tokens > self._max_tokens:
            fail("LLM006", used=f"{self._tokens:,}", needed=f"{tokens:,}", limit=f"{self._max_tokens:,}")
        if self._max_cost is not None and self._cost >= self._max_cost:
            fail("LLM007", used=f"{self._cost:.4f}", limit=f"{self._max_cost:g}")

    def spend(self, usage: Usage) -> None:
        """Record the usage of an answer."""
        self._tokens += usage.input_tokens + usage.output_tokens
        self._cost += usage.cost or 0.0


_UNREADABLE = 2_000
"""Characters kept of an answer that is not JSON."""


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed: code, reason, and seconds before a retry (None: do not retry)."""

    code: str
    reason: str
    delay: float | None = None


def value_of(response: ModelResponse, model: str) -> JsonValue:
    """Return a model's answer: JSON, the text itself if it is not JSON, or why it declines.

    Fails with LLM016 if it is empty, with LLM018 if it was cut off, and with LLM019 if the model calls an unknown tool.
    """
    if response.finish_reason == "content_filter":
        words = str((response.provider_details or {}).get("refusal") or "its filter stopped the answer")
        return {"cannot": f"The model declines: {words}"}
    if not response.parts and response.finish_reason is None:
        fail("LLM016", model=model, reason="it is empty")
    value = _parsed(_answer_text(response.parts, model))
    if isinstance(value, str) and response.finish_reason == "length":
        fail("LLM018", model=model)
    return value


def _answer_text(parts: Sequence[ModelResponsePart], model: str) -> str:
    """Return the answer as text: the arguments of the answer tool, else the message."""
    from pydantic_ai.messages import TextPart, ToolCallPart

    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    stray = next((each.tool_name for each in calls if each.tool_name != ANSWER_TOOL), None)
    if stray is not None:
        fail("LLM019", model=model, tool=one_line(str(stray), LONGEST_SENTENCE))
    # Values from a service may not have the types that the library declares.
    text = "".join(str(part.content) for part in parts if isinstance(part, TextPart))
    answer = calls[0].args if calls else text
    return answer if isinstance(answer, str) else json.dumps(answer)


def _parsed(text: str) -> JsonValue:
    """Return the first JSON object of a text; else the start of the text, which is no valid answer.

    Models put words or a fence around JSON; the value is validated later anyway.
    """
    try:
        value: JsonValue = _DECODER.raw_decode(text, max(0, text.find("{")))[0]
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return text[:_UNREADABLE].encode(errors="replace").decode()
    return value


def failure_of(error: Exception, *, seconds: float, exceeded: bool) -> Failure:
    """Return the failure for an exception of the library; `exceeded`: the answer was larger than allowed."""
    from pydantic_ai import exceptions as library

    if exceeded:
        return Failure("LLM017", "")
    reason = _reason(error)
    retry_after: float | None = getattr(error, "retry_after", None)
    mapping: tuple[tuple[type[Exception], str, float | None], ...] = (
        (library.ModelRequestTimeout, "LLM013", None),
        (library.ModelTimeoutError, "LLM013", None),
        (asyncio.TimeoutError, "LLM013", None),
        (library.ModelQuotaExceededError, "LLM020", None),
        (library.ModelRateLimitError, "LLM010", retry_after or 0.0),
        (library.ModelUnavailableError, "LLM011", retry_after or 0.0),
        (library.ModelServerError, "LLM011", retry_after or 0.0),
        (library.ModelConnectionError, "LLM012", 0.0),
        (library.ModelAuthenticationError, "LLM014", None),
        (library.ModelContextWindowExceededError, "LLM021", None),
        (library.ModelHTTPError, "LLM015", None),
    )
    for kind, code, delay in mapping:
        if isinstance(error, kind):
            return Failure(code, f"{seconds:g}" if code == "LLM013" else reason, delay)
    return Failure("LLM016", reason)


def _reason(error: Exception) -> str:
    """Return the service's message on one line."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else body
    message = inner.get("message") if isinstance(inner, dict) else inner
    status = getattr(error, "status_code", None)
    text = one_line(str(message or error), 300).rstrip(".")
    return f"{status}, {text}" if status else text


ANSWER_TOOL = "answer"
"""Name of the tool for answers, where a service returns structured ones as tool arguments."""
_NO_KEY = "none"
_LONGEST_ANSWER = 16_000
"""Most tokens of an answer, for services that require a limit."""
Output = Literal["native", "tool", "prompted"]
_OUTPUTS: dict[str, Output] = {"native": "native", "tool": "tool", "json": "prompted"}
_PRICED_AS = {"gemini": "google"}


async def request(
    settings: Settings, model: str, prompt: ComposedPrompt, schema: dict[str, JsonValue], client: httpx2.AsyncClient
) -> ModelResponse:
    """Send one request, without retries, and return the library's response; raises the library's exceptions."""
    from pydantic_ai.direct import model_request
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    # Address and key are always given, so that no environment variable applies.
    key = settings.key.reveal() if settings.key is not None else _NO_KEY
    opened = _OPENERS[settings.provider](model, settings.address, key, client)
    model_settings: ModelSettings = {
        "max_retries": 0,
        "request_timeout": settings.timeout,
        "framing_announcement": "never",
    }
    if settings.provider == "anthropic":
        model_settings["max_tokens"] = _LONGEST_ANSWER
    message = ModelRequest(parts=[UserPromptPart(prompt.user)], instructions=prompt.system)
    parameters = _parameters(_output(settings, opened), schema)
    return await model_request(opened, [message], model_settings=model_settings, model_request_parameters=parameters)


def price(provider: str, model: str, usage: RequestUsage | None = None) -> float | None:
    """Return the price of tokens (of one each if None) in US dollars; None if unknown."""
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
    definition = OutputObjectDefinition(json_schema=schema, name=ANSWER_TOOL, strict=True)
    return ModelRequestParameters(output_mode=output, output_object=definition)


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

    logging.getLogger("google_genai").addHandler(logging.NullHandler())  # it would print warnings to the terminal
    return GoogleModel(model, provider=GoogleProvider(base_url=address, api_key=key, http_client=client))


_OPENERS = {"openai": _openai, "compatible": _compatible, "anthropic": _anthropic, "gemini": _gemini}
LARGEST = 2_000_000
"""Most bytes of an answer."""


class TooLarge(Exception):
    """An answer exceeds the limit, or may."""


LIBRARY_ERRORS = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, OSError),
    *(httpx2.HTTPError, TooLarge),
)
"""Exceptions that the library and those below it raise for unexpected responses, some of which they do not validate."""


class Bounded:
    """Client hooks that limit answers; `exceeded` is set whatever the library makes of the exception."""

    def __init__(self) -> None:
        self.exceeded = False

    def client(self, seconds: float) -> httpx2.AsyncClient:
        """Return a client with these hooks; the caller closes it."""
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
        """Abort the answer being read."""
        self.exceeded = True
        raise TooLarge


class _Counted(httpx2.AsyncByteStream):
    """A stream that fails after `LARGEST` bytes."""

    def __init__(self, inner: httpx2.AsyncByteStream, bounds: Bounded) -> None:
        self._inner, self._bounds = inner, bounds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for piece in self._inner:
            received += len(piece)
            if received > LARGEST:
                self._bounds.refuse()
            yield piece

    async def aclose(self) -> None:
        """Close the stream."""
        await self._inner.aclose()
