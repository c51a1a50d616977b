"""The server: it speaks the protocol on stdio, knows what may be asked, and has it answered elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from osiris.distribution import own_version
from osiris.errors import diagnostic
from osiris.mcp.definitions import INSTRUCTIONS, offered
from osiris.mcp.pages import written
from osiris.mcp.prompts import PROMPTS
from osiris.mcp.resources import TEMPLATES
from osiris.mcp.wire import messages
from osiris.mcp.worker_pool import Callers, Gone

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from mcp.server.context import ServerRequestContext

    from osiris.mcp.definitions import Tool
    from osiris.model import JsonValue

    Context = ServerRequestContext[Any, Any]
    Paged = types.PaginatedRequestParams | None

_NO_RESOURCE = -32002
_UNTRUSTED = {"osiris/untrusted": True}
"""Says of resources, which have no place for a sentence, that they are data."""


def serve(root: Path, *, allow_run: bool) -> None:
    """Serve the project at `root` on stdin and stdout until the client is gone."""
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
    """What the server answers to each kind of request."""

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
        answer = await self._ask(ctx, {"uri": None})
        found = [
            types.Resource(uri=each["uri"], name=each["name"], mime_type=each["mime"])
            for each in answer.get("listed") or ()
        ]
        return types.ListResourcesResult(resources=found)

    async def templates(self, _ctx: Context, _params: Paged) -> types.ListResourceTemplatesResult:
        found = [
            types.ResourceTemplate(uri_template=uri, name=uri.removeprefix("osiris://"), description=text)
            for uri, text in TEMPLATES.items()
        ]
        return types.ListResourceTemplatesResult(resource_templates=found)

    async def read(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        answer = await self._ask(ctx, {"uri": str(params.uri)})
        if not answer["ok"]:
            first = (answer.get("diagnostics") or [{"message": answer.get("text")}])[0]
            raise MCPError(code=_NO_RESOURCE, message=str(first["message"]), data=answer.get("diagnostics"))
        text = types.TextResourceContents(
            uri=params.uri, mime_type=str(answer["mime"]), text=str(answer["text"]), _meta=_UNTRUSTED
        )
        return types.ReadResourceResult(contents=[text])

    async def prompts(self, _ctx: Context, _params: Paged) -> types.ListPromptsResult:
        found = [
            types.Prompt(
                name=each.name,
                description=each.description,
                arguments=[
                    types.PromptArgument(name=each.argument, description=each.meaning, required=each.default is None)
                ],
            )
            for each in PROMPTS.values()
        ]
        return types.ListPromptsResult(prompts=found)

    async def prompt(self, _ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        found = PROMPTS.get(params.name)
        value = (params.arguments or {}).get(found.argument, found.default) if found else None
        if found is None or value is None:
            problem = f"'{params.name}' needs {found.argument}" if found else f"there is no prompt '{params.name[:80]}'"
            raise MCPError(code=types.INVALID_PARAMS, message=problem)
        text = types.TextContent(type="text", text=found.filled(value))
        return types.GetPromptResult(
            description=found.description, messages=[types.PromptMessage(role="user", content=text)]
        )

    async def _ask(self, ctx: Context, call: dict[str, JsonValue]) -> dict[str, JsonValue]:
        done = 0

        async def told(text: str) -> None:
            nonlocal done
            done += 1
            await ctx.session.report_progress(done, message=text)

        try:
            return await self._callers.ask(call, told)
        except Gone as gone:
            found = diagnostic("INT000", kind="end of the process that answers", reason=f"exit status {gone.status}")
            return {"ok": False, "text": written({"ok": False, "data": None, "diagnostics": [found.to_json()]})}


def _tool(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=not tool.changes, destructive_hint=tool.destroys, open_world_hint=tool.outside
    )
    return types.Tool(
        name=tool.name, title=tool.title, description=tool.text, input_schema=tool.schema, annotations=hints
    )
