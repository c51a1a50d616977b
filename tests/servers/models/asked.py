"""What a client asked: as it came, and as it is the same for all providers."""

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
    """Who says what; what a tool gave and what a tool was called with are text, too."""

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

    `how` a structured answer is wanted: `native` (the text must fit `schema`), `tool` (the arguments of `tool` must fit
    `schema`), `json` (any JSON) or `text`. `tool` is the one the client insists on, else the one named as pydantic-ai
    names it, else the last. `forced`: whether some tool must be called. `number` counts the requests of a server that
    reached its script, from 1. `streamed`: whether the answer is told bit by bit.
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
        """All that a model would read: messages, then tools and schemas, where injected text can be as well."""
        parts = [message.text for message in self.messages]
        for tool in self.tools:
            parts += [tool.name, tool.description, *strings(tool.schema)]
        return "\n".join([*parts, *strings(self.schema)])


@dataclass
class Received:
    """A request as it came. `key` is the API key that it showed, `status` None if nothing was answered."""

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
        """Return where a text is, plain or as escaped there: `header NAME`, `path`, `query`, `body`."""
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
    """All texts in a JSON value, names of fields as well."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for name, inner in data.items():
            yield name
            yield from strings(inner)
    elif isinstance(data, list):
        for inner in data:
            yield from strings(inner)
