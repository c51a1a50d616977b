"""Chat completions, as implemented by OpenAI, Ollama and vLLM."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .asked import Asked, Message, Tool, choose_tool
from .replies import Blocked, Call, Malformed, Placed, Refusal, Text, Unfinished, Usage, half
from .shape import OBJECT, TEXT, Rejected, Turn, fields, listed, misfit, open_objects, unpaired
from .wire import Wire, bearer, event, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .asked import Received

_ROLES = {"enum": ["system", "developer", "user", "assistant", "tool"]}
_NAME = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}
_FUNCTION = {"type": "object", "required": ["name"], "properties": {"name": _NAME, "parameters": OBJECT}}
_FORMAT = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"enum": ["text", "json_object", "json_schema"]},
        "json_schema": {"type": "object", "required": ["name"], "properties": {"name": _NAME, "schema": OBJECT}},
    },
    "if": {"properties": {"type": {"const": "json_schema"}}},
    "then": {"required": ["json_schema"]},
}
_OPTIONAL = """audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens
metadata modalities moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options
prompt_cache_retention reasoning_effort safety_identifier seed service_tier stop store stream stream_options temperature
top_logprobs top_p user verbosity web_search_options tool_choice"""
_SHAPE = fields({"model": TEXT, "messages": listed(least=1, role=_ROLES)}, _OPTIONAL)
_SHAPE["properties"] |= {"tools": listed(least=1, type={"const": "function"}, function=_FUNCTION)}
_SHAPE["properties"] |= {"response_format": _FORMAT}
_OPEN_SHAPE = _SHAPE | {"additionalProperties": True}  # compatible services ignore what they do not know
_SAY = {
    "missing": ("Missing required parameter: '{}'.", "missing_required_parameter"),
    "unknown": ("Unknown parameter: '{}'.", "unknown_parameter"),
    "invalid": ("Invalid value for '{}': {}", "invalid_value"),
}
_KINDS = {429: "requests"}
_COMPATIBLE_KINDS = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError"}
_CODES = {429: "rate_limit_exceeded", 401: "invalid_api_key"}


def _read(received: Received) -> Asked:
    """Read a request; raises Rejected."""
    body = received.parsed
    wrong = misfit(_SHAPE if received.provider == "openai" else _OPEN_SHAPE, body)
    if wrong:
        message, code = _SAY[wrong.kind]
        raise Rejected(400, message.format(wrong.where, wrong.why), wrong.where or None, code)
    messages = tuple(Message(_role(one["role"]), _words(one)) for one in body["messages"])
    _check_pairs(body["messages"])
    functions = [one["function"] for one in body.get("tools", ())]
    tools = tuple(Tool(one["name"], one.get("description", ""), one.get("parameters", {})) for one in functions)
    choice = body.get("tool_choice")
    if choice and not tools:
        told = "'tool_choice' is only allowed when 'tools' are specified."
        raise Rejected(400, f"Invalid value for 'tool_choice': {told}", "tool_choice")
    if received.provider == "openai":
        _check_strict(body, messages)
    return _asked(received.provider, body, messages, tools if choice != "none" else ())


def _asked(provider: str, body: dict[str, Any], messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> Asked:
    choice, wanted = body.get("tool_choice"), body.get("response_format", {"type": "text"})
    named = choice["function"]["name"] if isinstance(choice, dict) and "function" in choice else None
    tool, forced = choose_tool(tools, named), named is not None or choice == "required"
    name = tool.name if tool else None
    if wanted["type"] == "json_schema" and not forced:
        schema = wanted["json_schema"].get("schema", {})
        return Asked(provider, body["model"], messages, "native", schema, name, tools, forced)
    if tool:
        return Asked(provider, body["model"], messages, "tool", tool.schema, name, tools, forced)
    how = "json" if wanted["type"] == "json_object" else "text"
    return Asked(provider, body["model"], messages, how, None, None, tools, forced)


def _role(role: str) -> Any:
    return "system" if role == "developer" else role


def _words(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    parts += [one["function"]["arguments"] for one in message.get("tool_calls") or ()]
    return "\n".join(filter(None, parts))


def _check_pairs(messages: list[dict[str, Any]]) -> None:
    turns = [
        Turn(
            frozenset(one["id"] for one in message.get("tool_calls") or ()),
            frozenset([message.get("tool_call_id", "")] if message["role"] == "tool" else ()),
        )
        for message in messages
    ]
    match unpaired(turns):
        case ("open", name):
            told = "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            told += f"'tool_call_id'. The following tool_call_ids did not have response messages: {name}"
            raise Rejected(400, told, "messages")
        case ("stray", _):
            told = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
            raise Rejected(400, f"Invalid parameter: {told}", "messages")


def _check_strict(body: dict[str, Any], messages: tuple[Message, ...]) -> None:
    """OpenAI's own conditions: closed schemas in strict mode, and the word JSON with the format of that name."""
    wanted = body.get("response_format", {})
    if "json_schema" in wanted:
        _check_schema("response_format", wanted["json_schema"], "schema")
    for tool in body.get("tools", ()):
        _check_schema("function", tool["function"], "parameters")
    if wanted.get("type") == "json_object" and not any("json" in one.text.lower() for one in messages):
        told = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        raise Rejected(400, told, "messages")


def _check_schema(kind: str, holder: dict[str, Any], field: str) -> None:
    for where, keyword in open_objects(holder.get(field, {}), all_required=True) if holder.get("strict") else ():
        told = f"Invalid schema for {kind} '{holder['name']}': In context=({where}), '{keyword}' is required to be "
        told += "supplied and to be " + ("false." if keyword != "required" else "an array including every key.")
        raise Rejected(400, told, kind, f"invalid_{kind}_{field}")


def _write(asked: Asked, says: Placed, usage: Usage | None) -> dict[str, Any]:
    """Write an answer."""
    message, reason = _message(asked, says)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    body = {"id": f"chatcmpl-{asked.number}", "object": "chat.completion", "created": int(time.time())}
    body |= {"model": asked.model, "choices": [choice]}
    return body if usage is None else body | {"usage": _usage(usage)}


def _stream(asked: Asked, body: dict[str, Any]) -> Iterator[str]:
    """Stream an answer; usage comes last, and all services here send it."""
    message, reason = body["choices"][0]["message"], body["choices"][0]["finish_reason"]
    told = {name: body[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> str:
        return event(told | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]})

    yield chunk({"role": "assistant", "content": message["content"] and ""})
    for name in ("content", "refusal"):
        yield from (chunk({name: piece}) for piece in pieces(message[name] or ""))
    for call in message.get("tool_calls", ()):
        function = call["function"]
        yield chunk({"tool_calls": [call | {"index": 0, "function": function | {"arguments": ""}}]})
        for piece in pieces(function["arguments"]):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield chunk({}, reason)
    if "usage" in body:
        yield event(told | {"choices": [], "usage": body["usage"]})
    yield event("[DONE]")


def _message(asked: Asked, says: Placed) -> tuple[dict[str, Any], str]:
    words, calls, refused, reason = None, [], None, "stop"
    match says:
        case Text(words):
            pass
        case Call(name, arguments):
            calls, reason = [(name, json.dumps(arguments, ensure_ascii=False))], "tool_calls"
        case Malformed(broken):
            calls, reason = [(asked.tool, broken)], "tool_calls"
        case Unfinished(content):
            words, calls = (None, [(asked.tool, half(content))]) if asked.how == "tool" else (half(content), [])
            reason = "length"
        case Refusal(told) if asked.provider == "openai":
            refused = told
        case Refusal(words):  # compatible models decline in plain words
            pass
        case Blocked():
            reason = "content_filter"
    message: dict[str, Any] = {"role": "assistant", "content": words, "refusal": refused}
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{asked.number}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for name, arguments in calls
        ]
    return message, reason


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def _write_failure(problem: Rejected, _: float | str | None) -> dict[str, Any]:
    kind = "server_error" if problem.status >= 500 else _KINDS.get(problem.status, "invalid_request_error")
    code = problem.code or _CODES.get(problem.status)
    return {"error": {"message": problem.message, "type": kind, "param": problem.field, "code": code}}


def _write_compatible_failure(problem: Rejected, _: float | str | None) -> dict[str, Any]:
    if problem.status == 401:
        return {"error": "Unauthorized"}
    kind = _COMPATIBLE_KINDS.get(problem.status, "InternalServerError")
    return {"error": {"message": problem.message, "type": kind, "param": problem.field, "code": problem.status}}


def _check_key(shown: str | None, right: str | None) -> None:
    if shown is None:
        told = "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        raise Rejected(401, told + "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).")
    if right is not None and shown != right:
        told = f"Incorrect API key provided: {shown[:4]}****{shown[-4:]}. You can find your API key in your account."
        raise Rejected(401, told, None, "invalid_api_key")


def _check_compatible_key(shown: str | None, right: str | None) -> None:
    if right is not None and shown != right:
        raise Rejected(401, "Unauthorized")


def _unknown_model(name: str) -> Rejected:
    return Rejected(404, f"The model `{name}` does not exist or you do not have access to it.", None, "model_not_found")


OPENAI = Wire(
    provider="openai",
    base="/v1",
    path=re.compile(r"/v1/chat/completions"),
    models=("gpt-*", "o[0-9]*"),
    find_key=bearer,
    check_key=_check_key,
    read=_read,
    unknown_model=_unknown_model,
    write=_write,
    stream=_stream,
    write_failure=_write_failure,
    id_header="x-request-id",
)
COMPATIBLE = replace(
    OPENAI,
    provider="compatible",
    models=("qwen*", "llama*", "mistral*", "gemma*", "phi*", "deepseek*", "gpt-oss*", "smollm*"),
    check_key=_check_compatible_key,
    write_failure=_write_compatible_failure,
)
