"""A client's request: as received, and in a form that is the same for all providers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

How = Literal["native", "tool", "json", "text"]
OUTPUT_TOOL = "final_result"  # how pydantic-ai names the tool that takes the answer


class Message(NamedTuple):
    """A role and its text; results of tools and arguments of calls are text, too."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str


@dataclass(frozen=True)
class Tool:
    """What a model may call."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request, the same for all providers.

    `how` a structured answer is requested: `native` (the text must fit `schema`), `tool` (the arguments of `tool` must
    fit `schema`), `json` (any JSON) or `text`. `tool` is the one that the client forces, else the one with
    pydantic-ai's name, else the last. `forced`: whether some tool must be called. `number` counts the requests of a
    server that reached its script, from 1. `streamed`: whether the answer is streamed.
    """

    provider: str
    model: str
    messages: tuple[Message, ...]
    how: How
    schema: dict[str, Any] | None
    tool: str | None
    tools: tuple[Tool, ...]
    forced: bool
    number: int = 0
    streamed: bool = False

    @property
    def text(self) -> str:
        """Return everything that a model would read: messages, then tools and schemas, which can contain injected text
        too.
        """
        parts = [message.text for message in self.messages]
        for tool in self.tools:
            parts += [tool.name, tool.description, *strings(tool.schema)]
        return "\n".join([*parts, *strings(self.schema)])


@dataclass
class Received:
    """A request as received. `key` is its API key, `status` is None if nothing was answered."""

    provider: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    key: str | None = None
    asked: Asked | None = None
    status: int | None = None
    parsed: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        try:
            self.parsed = json.loads(self.body)
        except ValueError:
            self.parsed = None

    def places(self, secret: str) -> list[str]:
        """Return where a text occurs, plain or escaped: `header NAME`, `path`, `query`, `body`."""
        found = [f"header {name}" for name, text in self.headers.items() if secret in text]
        found += [name for name in ("path", "query") if secret in unquote_plus(getattr(self, name))]
        if secret.encode() in self.body or any(secret in text for text in strings(self.parsed)):
            found.append("body")
        return found


def choose_tool(tools: tuple[Tool, ...], insisted: str | None) -> Tool | None:
    """Return the tool that takes the structured answer."""
    named = [tool for tool in tools if tool.name == insisted]
    usual = [tool for tool in tools if tool.name.startswith(OUTPUT_TOOL)]
    return next(iter(named or usual or tools[-1:]), None)


def strings(data: Any) -> Iterator[str]:
    """Yield all texts in a JSON value, including names of fields."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for name, inner in data.items():
            yield name
            yield from strings(inner)
    elif isinstance(data, list):
        for inner in data:
            yield from strings(inner)
