"""The services, as the library reaches them. It is imported only here, and only when a model is asked.

Their HTTP client takes no more bytes than an answer can have. Nothing compressed is asked for or taken, since a few
bytes may stand for any number of them. TLS, proxies and timeouts are those of the library.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model as LibraryModel
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.usage import RequestUsage

    from osiris.chat.prompts.compose import ComposedPrompt
    from osiris.chat.providers.settings import Settings
    from osiris.model import JsonValue

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
