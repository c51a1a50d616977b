"""The lines of the protocol: each that is no message of it is answered with the error that JSON-RPC has for it."""

from __future__ import annotations

import io
import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio
import mcp_types as types
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import ObjectReceiveStream, ObjectSendStream

_TEXT = ("json_invalid", "string_unicode")
"""What the library calls a line that is no JSON, or no text."""


@asynccontextmanager
async def messages() -> AsyncIterator[tuple[ObjectReceiveStream[Any], ObjectSendStream[Any]]]:
    """Give the messages that come in on stdin, and the stream for those that go out on stdout."""
    send, receive = anyio.create_memory_object_stream[Any](0)
    with _stdin() as lines:
        async with (
            stdio_server(stdin=cast("Any", _Lines(lines))) as (incoming, outgoing),
            anyio.create_task_group() as both,
        ):
            both.start_soon(_pass_on, incoming, outgoing, send)
            yield receive, outgoing
            both.cancel_scope.cancel()


class _Lines:
    """The lines of a file, those with an id that no request may have (null, 1.5) as ones that are no messages.

    The library would take them for notifications, which get no answer.
    """

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = anyio.wrap_file(file)

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line in self._file:
            yield _NO_MESSAGE if _has_bad_id(line) else line


_NO_MESSAGE = '{"jsonrpc": "2.0"}'


def _has_bad_id(line: str) -> bool:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return False
    is_call = isinstance(message, dict) and "method" in message and "id" in message
    return is_call and (isinstance(message["id"], bool) or not isinstance(message["id"], (int, str)))


async def _pass_on(incoming: Any, outgoing: Any, server: ObjectSendStream[Any]) -> None:  # noqa: ANN401  the SDK's own
    async with server:
        async for item in incoming:
            if isinstance(item, SessionMessage):
                await server.send(item)
            elif error := _error(item):
                await outgoing.send(SessionMessage(error))


def _error(problem: Exception) -> types.JSONRPCError | None:
    """Return the answer to a line that is no message; None for an empty one, which many clients send."""
    number, code, message = None, types.PARSE_ERROR, "the line is no JSON in UTF-8, or nested too deeply"
    found = problem.errors(include_url=False)[0] if isinstance(problem, ValidationError) else None
    if found and found["type"] == "json_invalid" and not str(found["input"]).strip():
        return None
    if found and found["type"] not in _TEXT:
        code, message = types.INVALID_REQUEST, "the line is no request, notification or response of JSON-RPC 2.0"
        number = next((each["id"] for each in _inputs(problem) if isinstance(each.get("id"), (int, str))), None)
    return types.JSONRPCError(jsonrpc="2.0", id=number, error=types.ErrorData(code=code, message=message))


def _inputs(problem: Exception) -> list[dict[str, Any]]:
    """Return the objects that were no messages; the id of a request is in each of them."""
    found = problem.errors(include_url=False) if isinstance(problem, ValidationError) else []
    return [each["input"] for each in found if isinstance(each["input"], dict) and "jsonrpc" in each["input"]]


def _stdin() -> io.TextIOWrapper:
    """Return the lines of stdin, which nobody else in this process or its children reads from now on.

    A byte that is no UTF-8 stays recognisable; the library would put another character in its place.
    """
    own = os.dup(0)
    os.set_inheritable(own, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return io.TextIOWrapper(os.fdopen(own, "rb", closefd=False), encoding="utf-8", errors="surrogateescape")
