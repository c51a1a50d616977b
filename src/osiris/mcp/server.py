"""The MCP server on stdio: lists tools, resources and prompts, and runs each call in another process."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import anyio
import mcp_types as types
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from osiris.distribution import own_version
from osiris.errors import diagnostic
from osiris.mcp.definitions import INSTRUCTIONS, PROMPTS, TEMPLATES, offered
from osiris.mcp.pages import written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from types import TracebackType

    from anyio.abc import ObjectReceiveStream, ObjectSendStream, Process
    from mcp.server.context import ServerRequestContext

    from osiris.mcp.definitions import Tool
    from osiris.model import JsonValue

    Context = ServerRequestContext[Any, Any]
    Paged = types.PaginatedRequestParams | None
    Answer = dict[str, JsonValue]
    Report = Callable[[str], Awaitable[None]]

_NO_RESOURCE = -32002
_UNTRUSTED = {"osiris/untrusted": True}
"""Metadata that marks resources, which have no place for a sentence, as untrusted data."""


def serve(root: Path, *, allow_run: bool) -> None:
    """Serve the project at `root` on stdin and stdout until the client disconnects."""
    anyio.run(_serve, root, allow_run)


async def _serve(root: Path, allow_run: bool) -> None:
    async with Callers(root) as callers, messages() as (incoming, outgoing):
        server = _server(_Answers(callers, allow_run=allow_run))
        await server.run(incoming, outgoing, server.create_initialization_options())


def _server(answers: _Answers) -> Server[Any]:
    return Server(
        "osiris",
        version=own_version(),
        title="Osiris",
        instructions=INSTRUCTIONS,
        on_list_tools=answers.tools,
        on_call_tool=answers.call,
        on_list_resources=answers.resources,
        on_list_resource_templates=answers.templates,
        on_read_resource=answers.read,
        on_list_prompts=answers.prompts,
        on_get_prompt=answers.prompt,
    )


class _Answers:
    """The handlers of the server, by kind of request."""

    def __init__(self, callers: Callers, *, allow_run: bool) -> None:
        self._callers = callers
        self._allow_run = allow_run

    async def tools(self, _ctx: Context, _params: Paged) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(each) for each in offered(allow_run=self._allow_run)])

    async def call(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        call = {"name": params.name, "arguments": params.arguments or {}, "allow_run": self._allow_run}
        answer = await self._ask(ctx, call)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=str(answer["text"]))], is_error=not answer["ok"]
        )

    async def resources(self, ctx: Context, _params: Paged) -> types.ListResourcesResult:
        answer = await self._ask(ctx, {"uri": None, "allow_run": self._allow_run})
        resources = [
            types.Resource(uri=each["uri"], name=each["name"], mime_type=each["mime"])
            for each in answer.get("listed") or ()
        ]
        return types.ListResourcesResult(resources=resources)

    async def templates(self, _ctx: Context, _params: Paged) -> types.ListResourceTemplatesResult:
        templates = [
            types.ResourceTemplate(uri_template=uri, name=uri.removeprefix("osiris://"), description=text)
            for uri, text in TEMPLATES.items()
        ]
        return types.ListResourceTemplatesResult(resource_templates=templates)

    async def read(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        answer = await self._ask(ctx, {"uri": str(params.uri), "allow_run": self._allow_run})
        if not answer["ok"]:
            first = (answer.get("diagnostics") or [{"message": answer.get("text")}])[0]
            raise MCPError(code=_NO_RESOURCE, message=str(first["message"]), data=answer.get("diagnostics"))
        text = types.TextResourceContents(
            uri=params.uri, mime_type=str(answer["mime"]), text=str(answer["text"]), _meta=_UNTRUSTED
        )
        return types.ReadResourceResult(contents=[text])

    async def prompts(self, _ctx: Context, _params: Paged) -> types.ListPromptsResult:
        prompts = [
            types.Prompt(
                name=each.name,
                description=each.description,
                arguments=[
                    types.PromptArgument(name=each.argument, description=each.meaning, required=each.default is None)
                ],
            )
            for each in PROMPTS.values()
        ]
        return types.ListPromptsResult(prompts=prompts)

    async def prompt(self, _ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        prompt = PROMPTS.get(params.name)
        value = (params.arguments or {}).get(prompt.argument, prompt.default) if prompt else None
        if prompt is None or value is None:
            problem = (
                f"'{params.name}' needs {prompt.argument}" if prompt else f"there is no prompt '{params.name[:80]}'"
            )
            raise MCPError(code=types.INVALID_PARAMS, message=problem)
        text = types.TextContent(type="text", text=prompt.filled(value))
        return types.GetPromptResult(
            description=prompt.description, messages=[types.PromptMessage(role="user", content=text)]
        )

    async def _ask(self, ctx: Context, call: dict[str, JsonValue]) -> dict[str, JsonValue]:
        done = 0

        async def report(text: str) -> None:
            nonlocal done
            done += 1
            await ctx.session.report_progress(done, message=text)

        try:
            return await self._callers.ask(call, report)
        except Gone as gone:
            crash = diagnostic("INT000", kind="end of the worker process", reason=f"exit status {gone.status}")
            return {"ok": False, "text": written({"ok": False, "data": None, "diagnostics": [crash.to_json()]})}


def _tool(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=not tool.changes, destructive_hint=tool.destroys, open_world_hint=tool.outside
    )
    return types.Tool(
        name=tool.name, title=tool.title, description=tool.text, input_schema=tool.schema, annotations=hints
    )


_TEXT = ("json_invalid", "string_unicode")
"""Pydantic's error types for a line that is not JSON, or not Unicode."""


@asynccontextmanager
async def messages() -> AsyncIterator[tuple[ObjectReceiveStream[Any], ObjectSendStream[Any]]]:
    """Provide the streams of incoming messages (stdin) and of outgoing ones (stdout)."""
    send, receive = anyio.create_memory_object_stream[Any](0)
    with _stdin() as lines:
        async with (
            stdio_server(stdin=cast("Any", _Lines(lines))) as (incoming, outgoing),
            anyio.create_task_group() as both,
        ):
            both.start_soon(_forward, incoming, outgoing, send)
            yield receive, outgoing
            both.cancel_scope.cancel()


class _Lines:
    """The lines of a file; lines with an invalid request id (null, 1.5) are replaced by an invalid message.

    The library would treat them as notifications, which get no answer.
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


async def _forward(incoming: Any, outgoing: Any, server: ObjectSendStream[Any]) -> None:  # noqa: ANN401  the SDK's own
    async with server:
        async for item in incoming:
            if isinstance(item, SessionMessage):
                await server.send(item)
            elif error := _error(item):
                await outgoing.send(SessionMessage(error))


def _error(problem: Exception) -> types.JSONRPCError | None:
    """Return the error for an invalid line; None for an empty one, which many clients send."""
    number, code, message = None, types.PARSE_ERROR, "the line is no JSON in UTF-8, or nested too deeply"
    first = problem.errors(include_url=False)[0] if isinstance(problem, ValidationError) else None
    if first and first["type"] == "json_invalid" and not str(first["input"]).strip():
        return None
    if first and first["type"] not in _TEXT:
        code, message = types.INVALID_REQUEST, "the line is no request, notification or response of JSON-RPC 2.0"
        number = next((each["id"] for each in _inputs(problem) if isinstance(each.get("id"), (int, str))), None)
    return types.JSONRPCError(jsonrpc="2.0", id=number, error=types.ErrorData(code=code, message=message))


def _inputs(problem: Exception) -> list[dict[str, Any]]:
    """Return the objects that failed validation, which contain the id of the request."""
    errors = problem.errors(include_url=False) if isinstance(problem, ValidationError) else []
    return [each["input"] for each in errors if isinstance(each["input"], dict) and "jsonrpc" in each["input"]]


def _stdin() -> io.TextIOWrapper:
    """Return stdin as text, and replace file descriptor 0 by /dev/null for this process and its children.

    Invalid UTF-8 bytes stay recognisable; the library would replace them.
    """
    own = os.dup(0)
    os.set_inheritable(own, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return io.TextIOWrapper(os.fdopen(own, "rb", closefd=False), encoding="utf-8", errors="surrogateescape")


AT_ONCE = 4
"""Maximum number of concurrent calls; others wait."""

_LONGEST = 1 << 24
_GRACE = 20.0
"""Seconds for a cancelled call to end; a cancelled run takes at most half of that."""


class Gone(Exception):
    """A process exited without an answer; `status` is its exit status."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


class Callers:
    """Answers calls in processes for the project at `root`; an async context manager."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spare: Process | None = None
        self._limiter = anyio.CapacityLimiter(AT_ONCE)
        self._ending = anyio.create_task_group()

    async def __aenter__(self) -> Callers:
        await self._ending.__aenter__()
        self._spare = await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._spare is not None:
            self._ending.start_soon(_end_process, self._spare)
        return await self._ending.__aexit__(kind, error, trace)

    async def ask(self, call: Answer, report: Report) -> Answer:
        """Return the answer to a call, reporting progress; cancellation ends its process. Raises Gone."""
        async with self._limiter:
            process = await self._take_process()
            try:
                return await _answer(process, call, report)
            finally:
                self._ending.start_soon(_end_process, process)

    async def _take_process(self) -> Process:
        """Return the spare process, and start another one."""
        process, self._spare = self._spare, None
        if process is None or process.returncode is not None:
            process = await self._start()
        with suppress(OSError):
            self._spare = await self._start()
        return process

    async def _start(self) -> Process:
        return await anyio.open_process(
            [sys.executable, "-I", "-m", "osiris.mcp.call"],
            cwd=self._root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


async def _answer(process: Process, call: Answer, report: Report) -> Answer:
    """Send a call and return its answer; stdin stays open, as closing it cancels the call."""
    if process.stdin is None or process.stdout is None:
        raise Gone(-1)
    lines = BufferedByteReceiveStream(process.stdout)
    try:
        await process.stdin.send(json.dumps(call).encode() + b"\n")
        while True:
            message = _parsed(await lines.receive_until(b"\n", _LONGEST))
            if "answer" in message:
                answer: Answer = message["answer"]
                return answer
            if "progress" in message:
                await report(str(message["progress"]))
    except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
        raise Gone(await process.wait()) from None


def _parsed(line: bytes) -> Answer:
    """Return a parsed message; {} for output printed before the process redirected stdout."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


async def _end_process(process: Process) -> None:
    """Close the process's stdin, give it time to exit, then kill it; shielded from cancellation."""
    with anyio.CancelScope(shield=True):
        if process.stdin is not None:
            with suppress(anyio.BrokenResourceError):
                await process.stdin.aclose()
        with anyio.move_on_after(_GRACE):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
        await process.aclose()
