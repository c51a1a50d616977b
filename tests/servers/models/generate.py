"""Gemini's generateContent. Field names may be in camelCase or snake_case, as protocol buffers allow."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .asked import Asked, Message, Tool, choose_tool
from .replies import Blocked, Call, Malformed, Placed, Refusal, Text, Unfinished, Usage, half
from .shape import OBJECT, Rejected, Turn, fields, listed, misfit, unpaired
from .wire import Wire, event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .asked import Received

_PATH = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]+):(?:generateContent|streamGenerateContent)")
_OPAQUE = ("responseJsonSchema", "responseSchema", "parametersJsonSchema", "parameters", "args", "response", "labels")
_PARTS = listed(least=1)
_DECLARED = listed(name={"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$"})
_SHAPE = fields({"contents": listed(least=1, parts=_PARTS)}, "model labels cachedContent serviceTier")
_SHAPE["properties"] |= {
    "systemInstruction": {"type": "object", "properties": {"parts": _PARTS}},
    "tools": {"type": "array", "items": {"type": "object", "properties": {"functionDeclarations": _DECLARED}}},
    "toolConfig": OBJECT,
    "safetySettings": {"type": "array"},
    "generationConfig": fields(
        {},
        """responseMimeType responseSchema responseJsonSchema responseModalities responseFormat temperature topP topK
        candidateCount maxOutputTokens stopSequences responseLogprobs logprobs presencePenalty frequencyPenalty seed
        mediaResolution speechConfig thinkingConfig imageConfig enableEnhancedCivicAnswers audioTimestamp""",
    ),
}
_SAY = {
    "missing": "* GenerateContentRequest.{0}: {0} is not specified",
    "unknown": 'Invalid JSON payload received. Unknown name "{0}": Cannot find field.',
    "invalid": "Invalid value at '{0}': {1}",
}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RPC = "type.googleapis.com/google.rpc."


def _read(received: Received) -> Asked:
    """Read a request; raises Rejected."""
    body = _camel(received.parsed)
    wrong = misfit(_SHAPE, body)
    if wrong:
        raise Rejected(400, _SAY[wrong.kind].format(wrong.where, wrong.why))
    _check_pairs(body["contents"])
    config = body.get("generationConfig", {})
    declared = [one for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())]
    tools = tuple(Tool(one["name"], one.get("description", ""), _schema(one, "parameters")) for one in declared)
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    mode = str(calling.get("mode", "AUTO")).upper()
    if mode == "ANY" and not tools:
        raise Rejected(400, "Function calling config is set without function_declarations.")
    if tools and config.get("responseMimeType") == "application/json":
        raise Rejected(400, "Function calling with a response mime type: 'application/json' is unsupported")
    model = unquote(_PATH.fullmatch(received.path)[1])
    allowed = (calling.get("allowedFunctionNames") or [None])[0]
    return _asked(model, _messages(body), tools if mode != "NONE" else (), config, (mode == "ANY", allowed))


def _asked(
    model: str, messages: tuple[Message, ...], tools: tuple[Tool, ...], config: dict[str, Any], choice: tuple[bool, Any]
) -> Asked:
    forced, tool = choice[0], choose_tool(tools, choice[1])
    if tool:
        return Asked("google", model, messages, "tool", tool.schema, tool.name, tools, forced)
    is_json, schema = config.get("responseMimeType") == "application/json", _schema(config, "response")
    how = "native" if is_json and schema else "json" if is_json else "text"
    return Asked("google", model, messages, how, schema if how == "native" else None, None, tools, forced)


def _camel(data: Any) -> Any:
    """Convert field names to camelCase, but leave schemas and values alone."""
    if isinstance(data, list):
        return [_camel(inner) for inner in data]
    if not isinstance(data, dict):
        return data
    named = {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): inner for name, inner in data.items()}
    return {name: inner if name in _OPAQUE else _camel(inner) for name, inner in named.items()}


def _schema(holder: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the schema of a function or of the answer, in either of two forms."""
    other = "parameters" if kind == "parameters" else "responseSchema"
    return holder.get(f"{kind}JsonSchema") or holder.get(other) or {}


def _messages(body: dict[str, Any]) -> tuple[Message, ...]:
    found = [Message("system", "\n".join(map(_words, body.get("systemInstruction", {}).get("parts", ()))))]
    for content in body["contents"]:
        usual = "assistant" if content.get("role") == "model" else "user"
        for part in content["parts"]:
            role, words = "tool" if "functionResponse" in part else usual, _words(part)
            if found[-1].role == role and part is not content["parts"][0]:
                words = found.pop().text + "\n" + words
            found.append(Message(role, words))
    return tuple(found if found[0].text else found[1:])


def _words(part: dict[str, Any]) -> str:
    for name, field in (("functionCall", "args"), ("functionResponse", "response")):
        if name in part:
            return json.dumps(part[name].get(field, {}), ensure_ascii=False)
    return part.get("text", "")


def _check_pairs(contents: list[dict[str, Any]]) -> None:
    for content in contents:
        if content.get("role", "user") not in ("user", "model", "function"):
            raise Rejected(400, "Please use a valid role: user, model.")
    turns = [Turn(_names(content, "functionCall"), _names(content, "functionResponse")) for content in contents]
    if unpaired(turns):
        told = "Please ensure that the number of function response parts is equal to the number of function call parts "
        raise Rejected(400, told + "of the function call turn.")


def _names(content: dict[str, Any], kind: str) -> frozenset[str]:
    return frozenset(part[kind].get("name", "") for part in content["parts"] if kind in part)


def _write(asked: Asked, says: Placed, usage: Usage | None) -> dict[str, Any]:
    """Write an answer."""
    body: dict[str, Any] = {"modelVersion": asked.model, "responseId": f"response-{asked.number}"}
    if isinstance(says, Blocked):
        body["promptFeedback"] = {"blockReason": "PROHIBITED_CONTENT"}
    else:
        body["candidates"] = [_candidate(asked, says)]
    return body if usage is None else body | {"usageMetadata": _usage(usage)}


def _stream(_: Asked, body: dict[str, Any]) -> Iterator[str]:
    """Stream an answer: the text, then the finish reason and usage."""
    for candidate in body.get("candidates", ()):
        if "content" in candidate:
            yield event({"candidates": [{"index": 0, "content": candidate.pop("content")}]})
    yield event(body)


def _candidate(asked: Asked, says: Placed) -> dict[str, Any]:
    match says:
        case Text(words):
            return _content({"text": words}, "STOP")
        case Call(name, arguments):
            called = {"id": f"call-{asked.number}", "name": name, "args": arguments}
            return _content({"functionCall": called}, "STOP")
        case Malformed(words):
            told = f"Malformed function call: {words}"
            return {"index": 0, "finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": told}
        case Unfinished() if asked.how == "tool":
            return {"index": 0, "content": {"role": "model"}, "finishReason": "MAX_TOKENS"}
        case Unfinished(content):
            return _content({"text": half(content)}, "MAX_TOKENS")
        case Refusal(words):
            rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
            return {"index": 0, "finishReason": "SAFETY", "finishMessage": words, "safetyRatings": [rating]}
    raise TypeError(f"no candidate says {says}")


def _content(part: dict[str, Any], reason: str) -> dict[str, Any]:
    return {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": reason}


def _usage(usage: Usage) -> dict[str, Any]:
    told = {"promptTokenCount": usage.input, "candidatesTokenCount": usage.output}
    told["totalTokenCount"] = usage.input + usage.output
    return told | ({"cachedContentTokenCount": usage.cached} if usage.cached else {})


def _write_failure(problem: Rejected, retry_after: float | str | None) -> dict[str, Any]:
    details: list[dict[str, Any]] = []
    if problem.code:
        details.append({"@type": f"{_RPC}ErrorInfo", "reason": problem.code, "domain": "googleapis.com"})
    if isinstance(retry_after, (int, float)):
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{retry_after}s"})
    status = _STATUSES.get(problem.status, "UNKNOWN")
    told = {"code": problem.status, "message": problem.message, "status": status}
    return {"error": told | ({"details": details} if details else {})}


def _find_key(headers: Mapping[str, str]) -> str | None:
    return headers.get("x-goog-api-key") or None


def _check_key(shown: str | None, right: str | None) -> None:
    """Gemini says 403 for none and 400 for a wrong one, never 401."""
    if shown is None:
        told = (
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
        )
        raise Rejected(403, told + "other form of API consumer identity to call this API.")
    if right is not None and shown != right:
        raise Rejected(400, "API key not valid. Please pass a valid API key.", None, "API_KEY_INVALID")


def _unknown_model(name: str) -> Rejected:
    told = f"models/{name} is not found for API version v1beta, or is not supported for generateContent. "
    return Rejected(404, told + "Call ListModels to see the list of available models and their supported methods.")


GOOGLE = Wire(
    provider="google",
    base="",
    path=_PATH,
    models=("gemini-*",),
    find_key=_find_key,
    check_key=_check_key,
    read=_read,
    unknown_model=_unknown_model,
    write=_write,
    stream=_stream,
    write_failure=_write_failure,
    id_header="x-request-id",
)
