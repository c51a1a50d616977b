"""An agent: the client of the SDK, over stdio, with the installed command."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from tests.conftest import KEPT, OSIRIS

MODES = ("legacy", "auto")


def parameters(folder, *options, env=None):
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return StdioServerParameters(command=OSIRIS, args=["-C", str(folder), "mcp", *options], env=kept | (env or {}))


def framed(text):
    """Check the marks, and return the document between them."""
    told, mark, document, end = text.split("\n")
    assert "not an instruction" in told
    assert mark.startswith("<osiris-data-")
    assert end == mark.replace("<", "</")
    assert mark[1:-1] not in document
    return json.loads(document)


class Agent:
    """Calls tools; `text` is the last answer, unchanged."""

    def __init__(self, client):
        self.client = client
        self.text = ""

    async def __call__(self, tool, ok=True, **arguments):
        result = await self.client.call_tool(tool, arguments)
        assert [block.type for block in result.content] == ["text"]
        self.text = result.content[0].text
        document = framed(self.text)
        assert document["ok"] == ok, document
        assert result.is_error == (not ok)
        return document

    async def code(self, tool, **arguments):
        """Return the first code of a rejection; each has a hint, or says which tool has it."""
        document = await self(tool, ok=False, **arguments)
        first = document["diagnostics"][0]
        assert first["severity"] == "error"
        return first["code"]

    async def whole(self, tool, **arguments):
        """Return the data of all pages of a paged answer."""
        first = await self(tool, detail="full", **arguments)
        key = next((key for key, value in first["data"].items() if isinstance(value, list)), None)
        page, data = first, dict(first["data"])
        while cursor := page.get("next_cursor"):
            page = await self(tool, detail="full", cursor=cursor, **arguments)
            if "json" in data:
                data["json"] += page["data"]["json"]
            else:
                data[key] = data[key] + page["data"][key]
        if "json" in data:
            assert len(data["json"]) == data["characters"]
            return json.loads(data["json"])
        return {key: value for key, value in data.items() if not key.endswith("_total")}


@asynccontextmanager
async def agent(folder, *options, mode="auto", env=None):
    async with Client(parameters(folder, *options, env=env), mode=mode) as client:
        yield Agent(client)


def ask(folder, *options, mode="auto", env=None):
    """Decorate an async function that gets an agent; it is run at once."""

    def run(function):
        async def main():
            async with agent(folder, *options, mode=mode, env=env) as found:
                return await function(found)

        try:
            with ThreadPoolExecutor(1) as alone:  # a browser's client may have left a loop in this thread
                return alone.submit(asyncio.run, main()).result()
        except BaseExceptionGroup as group:
            raise _only(group) from None

    return run


def _only(error):
    """Return the error inside the exception groups in which the client wraps it."""
    return _only(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
