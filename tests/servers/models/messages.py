"""Anthropic's messages."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .asked import Asked, Message, Tool, choose_tool
from .replies import Blocked, Call, Malformed, Placed, Refusal, Text, Unfinished, Usage, half
from .shape import OBJECT, TEXT, Rejected, Turn, fields, listed, misfit, open_objects, unpaired
from .wire import Wire, bearer, event, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .asked import Received

_WORDS = {"anyOf": [{"type": "string"}, listed(type=TEXT)]}
_NAME = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,128}$"}
_OPTIONAL = """cache_control container diagnostics inference_geo metadata service_tier speed stop_sequences stream
temperature thinking tool_choice top_k top_p user_profile_id workspace_id betas context_management mcp_servers"""
_SHAPE = fields(
    {
        "model": TEXT,
        "max_tokens": {"type": "integer", "minimum": 1},
        "messages": listed(least=1, role={"enum": ["user", "assistant", "system"]}, content=_WORDS),
    },
    _OPTIONAL,
)
_SHAPE["properties"] |= {"system": _WORDS, "tools": listed(name=_NAME, input_schema=OBJECT)}
_SHAPE["properties"] |= {
    "output_config": {
        "type": "object",
        "properties": {"format": {"required": ["type", "schema"], "properties": {"type": {"const": "json_schema"}}}},
    }
}
_SAY = {"missing": "{}: Field required", "unknown": "{}: Extra inputs are not permitted", "invalid": "{}: {}"}
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def _read(received: Received) -> Asked:
    """Read a request; raises Rejected."""
    body = received.parsed
    if "anthropic-version" not in received.headers:
        raise Rejected(400, "anthropic-version: header is required")
    wrong = misfit(_SHAPE, body)
    if wrong:
        raise Rejected(400, _SAY[wrong.kind].format(re.sub(r"\[(\d+)\]", r".\1", wrong.where), wrong.why))
    _check_blocks(body)
    _check_pairs(body["messages"])
    system = Message("system", "\n".join(_texts(body.get("system", ""))))
    messages = [message for one in body["messages"] for message in _messages(one)]
    tools = tuple(Tool(one["name"], one.get("description", ""), one["input_schema"]) for one in body.get("tools", ()))
    choice = body.get("tool_choice") or {"type": "auto"}
    if "tool_choice" in body and not tools:
        raise Rejected(400, "tool_choice: may only be specified while providing tools")
    everything = tuple(([system] if system.text else []) + messages)
    return _asked(body, everything, tools if choice["type"] != "none" else (), choice)


def _asked(body: dict[str, Any], messages: tuple[Message, ...], tools: tuple[Tool, ...], choice: Any) -> Asked:
    tool, forced = choose_tool(tools, choice.get("name")), choice["type"] in ("any", "tool")
    name, wanted = tool.name if tool else None, (body.get("output_config") or {}).get("format")
    if wanted and not forced:
        return Asked("anthropic", body["model"], messages, "native", wanted["schema"], name, tools, forced)
    if tool:
        return Asked("anthropic", body["model"], messages, "tool", tool.schema, name, tools, forced)
    return Asked("anthropic", body["model"], messages, "text", None, None, tools, forced)


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _texts(content: Any) -> list[str]:
    """Return all texts of blocks, including those inside of a tool's result."""
    told = []
    for block in _blocks(content):
        if block["type"] == "tool_use":
            told.append(json.dumps(block.get("input", {}), ensure_ascii=False))
        elif block["type"] == "tool_result":
            told += _texts(block.get("content", ""))
        else:
            told.append(block.get("text", ""))
    return told


def _messages(message: dict[str, Any]) -> Iterable[Message]:
    """Adjacent blocks of one kind are one message; results of tools are a role of their own."""
    found: list[Message] = []
    for block in _blocks(message["content"]):
        role = "tool" if block["type"] == "tool_result" else message["role"]
        words = "\n".join(_texts([block]))
        if found and found[-1].role == role:
            words = found.pop().text + "\n" + words
        found.append(Message(role, words))
    return found


def _check_blocks(body: dict[str, Any]) -> None:
    for message in body["messages"]:
        for block in _blocks(message["content"]):
            if block["type"] == "text" and not block.get("text", "").strip():
                raise Rejected(400, "messages: text content blocks must be non-empty")
    if body["messages"][-1]["role"] == "assistant":
        told = "This model does not support assistant message prefill. The conversation must end with a user message."
        raise Rejected(400, told)
    wanted = (body.get("output_config") or {}).get("format")
    for where, _ in open_objects(wanted["schema"] if wanted else {}):
        told = "For 'object' type, 'additionalProperties' must be explicitly set to false"
        raise Rejected(400, f"output_config.format.schema{where.replace('/', '.')}: {told}")


def _check_pairs(messages: list[dict[str, Any]]) -> None:
    turns = []
    for message in messages:
        blocks = _blocks(message["content"])
        calls = frozenset(block["id"] for block in blocks if block["type"] == "tool_use")
        turns.append(Turn(calls, frozenset(block["tool_use_id"] for block in blocks if block["type"] == "tool_result")))
    match unpaired(turns):
        case ("open", name):
            told = "`tool_use` ids were found without `tool_result` blocks immediately after"
            raise Rejected(400, f"messages: {told}: {name}")
        case ("stray", name):
            raise Rejected(400, f"messages: unexpected `tool_use_id` found in `tool_result` blocks: {name}")


def _write(asked: Asked, says: Placed, usage: Usage | None) -> dict[str, Any]:
    """Write an answer."""
    blocks, reason, details = _content(asked, says)
    body = {"id": f"msg_{asked.number}", "type": "message", "role": "assistant", "model": asked.model}
    body |= {"content": blocks, "stop_reason": reason, "stop_sequence": None, "stop_details": details}
    return body | {"usage": _usage(usage or Usage(0, 0))}


def _stream(_: Asked, body: dict[str, Any]) -> Iterator[str]:
    """Stream an answer."""
    begun = body | {"content": [], "stop_reason": None, "stop_details": None}
    yield _event("message_start", message=begun | {"usage": body["usage"] | {"output_tokens": 1}})
    for index, block in enumerate(body["content"]):
        if block["type"] == "text":
            empty, kind, field, words = {"text": ""}, "text_delta", "text", block["text"]
        else:
            empty, kind, field, words = {"input": {}}, "input_json_delta", "partial_json", _written(block["input"])
        yield _event("content_block_start", index=index, content_block=block | empty)
        for piece in pieces(words):
            yield _event("content_block_delta", index=index, delta={"type": kind, field: piece})
        yield _event("content_block_stop", index=index)
    ended = {name: body[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    yield _event("message_delta", delta=ended, usage={"output_tokens": body["usage"]["output_tokens"]})
    yield _event("message_stop")


def _written(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _event(kind: str, **more: Any) -> str:
    return event({"type": kind} | more, kind)


def _content(asked: Asked, says: Placed) -> tuple[list[dict[str, Any]], str, dict[str, Any] | None]:
    match says:
        case Text(words):
            return [{"type": "text", "text": words, "citations": None}], "end_turn", None
        case Call(name, arguments):
            return [_call(asked, name, arguments)], "tool_use", None
        case Malformed(words):
            return [_broken_call(asked, words)], "max_tokens", None
        case Unfinished(content) if asked.how == "tool":
            return [_broken_call(asked, half(content))], "max_tokens", None
        case Unfinished(content):
            return [{"type": "text", "text": half(content), "citations": None}], "max_tokens", None
        case Refusal(words):
            return [], "refusal", {"type": "refusal", "category": "general_harms", "explanation": words}
        case Blocked():
            return [], "refusal", None


def _call(asked: Asked, name: str | None, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{asked.number}", "name": name, "input": arguments}


def _broken_call(asked: Asked, words: str) -> dict[str, Any]:
    """The service parses the model's output, so broken arguments are possible only in streams."""
    return _call(asked, asked.tool, words if asked.streamed else {})


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input - usage.cached,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.output,
        "service_tier": "standard",
    }


def _write_failure(problem: Rejected, _: float | str | None) -> dict[str, Any]:
    kind = _KINDS.get(problem.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": problem.message}, "request_id": None}


def _find_key(headers: Mapping[str, str]) -> str | None:
    return headers.get("x-api-key") or bearer(headers)


def _check_key(shown: str | None, right: str | None) -> None:
    if shown is None:
        raise Rejected(401, "x-api-key header is required")
    if right is not None and shown != right:
        raise Rejected(401, "invalid x-api-key")


def _unknown_model(name: str) -> Rejected:
    return Rejected(404, f"model: {name}")


ANTHROPIC = Wire(
    provider="anthropic",
    base="",
    path=re.compile(r"/v1/messages"),
    models=("claude-*",),
    find_key=_find_key,
    check_key=_check_key,
    read=_read,
    unknown_model=_unknown_model,
    write=_write,
    stream=_stream,
    write_failure=_write_failure,
    id_header="request-id",
)
