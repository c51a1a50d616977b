"""From what the library returns, or fails with, to a value or a code; whatever a service sends ends in one of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from osiris.chat.catalog_import import one_line
from osiris.chat.intent import LONGEST_SAID
from osiris.chat.providers.services import ANSWER_TOOL
from osiris.errors import fail

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse

    from osiris.model import JsonValue

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
    from pydantic_ai.messages import TextPart, ToolCallPart

    if response.finish_reason == "content_filter":
        words = str((response.provider_details or {}).get("refusal") or "its filter stopped the answer")
        return {"cannot": f"The model declines: {words}"}
    if not response.parts and response.finish_reason is None:
        fail("LLM016", model=model, reason="it says nothing")
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    stray = next((each.tool_name for each in calls if each.tool_name != ANSWER_TOOL), None)
    if stray is not None:
        fail("LLM019", model=model, tool=one_line(str(stray), LONGEST_SAID))
    # Not all that a service sends has the type that the library says.
    told = "".join(str(part.content) for part in response.parts if isinstance(part, TextPart))
    given = calls[0].args if calls else told
    value = _parsed(given if isinstance(given, str) else json.dumps(given))
    if isinstance(value, str) and response.finish_reason == "length":
        fail("LLM018", model=model)
    return value


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
