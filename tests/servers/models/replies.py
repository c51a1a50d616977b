"""The replies of a script: content, usage, and faults."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asked import Asked

HTML = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Network login required</h1></body></html>"
MANY = 10_000_000  # bytes


@dataclass(frozen=True)
class Structured:
    """A value, put where the request wants it: the arguments of its tool, or text."""

    value: Any
    tool: str | None


@dataclass(frozen=True)
class Text:
    """Text, even if a tool was requested."""

    text: str


@dataclass(frozen=True)
class Call:
    """A call of a tool, possibly one that the request does not have."""

    name: str
    arguments: Any


@dataclass(frozen=True)
class Malformed:
    """Invalid JSON in the place of the structured value."""

    text: str


@dataclass(frozen=True)
class Unfinished:
    """The first half of a value: the model ran into its limit of tokens."""

    value: Any


@dataclass(frozen=True)
class Refusal:
    """The model declines."""

    text: str


@dataclass(frozen=True)
class Blocked:
    """The provider's filter stops it, and there is no text."""


@dataclass(frozen=True)
class Failure:
    """The service fails, in the provider's form."""

    status: int
    retry_after: float | str | None
    message: str | None


@dataclass(frozen=True)
class Raw:
    """Anything."""

    status: int
    headers: dict[str, str]
    body: bytes


Says = Structured | Text | Call | Malformed | Unfinished | Refusal | Blocked | Failure | Raw
Placed = Text | Call | Malformed | Unfinished | Refusal | Blocked


@dataclass(frozen=True)
class Usage:
    """Tokens. `input` are all input tokens, `cached` those of them that the provider had cached."""

    input: int = 11
    output: int = 7
    cached: int = 0


@dataclass(frozen=True)
class Reply:
    """One answer. `usage` None: the service reports none, like some compatible ones.

    `wait`: seconds before the first byte. `pause`: seconds after each piece. `sent`: share of the body that is sent
    before the connection ends. `size`: minimum size of the body in bytes. `last`: the address refuses connections from
    then on.
    """

    says: Says
    usage: Usage | None = Usage()
    wait: float = 0.0
    pause: float = 0.0
    sent: float | None = None
    size: int = 0
    zipped: bool = False
    last: bool = False


def value(content: Any, *, tool: str | None = None, usage: Usage | None = Usage()) -> Reply:
    """Reply with a structured value where the request wants it (or by this tool), whether or not it fits the schema."""
    return Reply(Structured(content, tool), usage)


def text(words: str, *, usage: Usage | None = Usage()) -> Reply:
    """Reply with text."""
    return Reply(Text(words), usage)


def call(name: str, arguments: Any = None, *, usage: Usage | None = Usage()) -> Reply:
    """Call a tool, known or not. As the only reply of a script it is a model that never stops calling."""
    return Reply(Call(name, {} if arguments is None else arguments), usage)


def malformed(words: str) -> Reply:
    """Reply with invalid JSON in the place of the structured value, as far as the provider lets that through."""
    return Reply(Malformed(words))


def unfinished(content: Any) -> Reply:
    """Reply with half of a structured value, and report that the limit of tokens was reached."""
    return Reply(Unfinished(content))


def refusal(words: str = "I can't help with that.") -> Reply:
    """Decline, in the provider's own form."""
    return Reply(Refusal(words))


def blocked() -> Reply:
    """Stop at the provider's filter: an answer without any content."""
    return Reply(Blocked())


def failure(status: int, *, retry_after: float | str | None = None, message: str | None = None) -> Reply:
    """Fail with a status and the provider's error; `retry_after` in seconds, or a date as HTTP writes it."""
    return Reply(Failure(status, retry_after, message))


def page(status: int = 200, body: bytes | str = HTML, kind: str = "text/html; charset=utf-8") -> Reply:
    """Reply with something that no provider would send: an HTML page by default."""
    return Reply(Raw(status, {"Content-Type": kind}, body.encode() if isinstance(body, str) else body))


def silent() -> Reply:
    """Accept the request and never answer."""
    return Reply(Text(""), wait=math.inf)


def slow(reply: Reply, seconds: float) -> Reply:
    """Answer late."""
    return replace(reply, wait=seconds)


def dripping(reply: Reply, seconds: float) -> Reply:
    """Reply in a hundred pieces with a pause after each: no single read times out, but the whole takes long."""
    return replace(reply, pause=seconds)


def cut(reply: Reply, share: float = 0.5) -> Reply:
    """Promise the whole body, send this share of it, and end the connection."""
    return replace(reply, sent=share)


def big(reply: Reply, size: int = MANY) -> Reply:
    """Pad the body to that many bytes with spaces at its end, which JSON allows."""
    return replace(reply, size=size)


def zipped(reply: Reply) -> Reply:
    """Compress the body (a big one becomes small) if the client accepts that."""
    return replace(reply, zipped=True)


def last(reply: Reply) -> Reply:
    """Refuse all connections to this provider's address after this answer."""
    return replace(reply, last=True)


def placed(says: Says, asked: Asked) -> Placed:
    """Put a structured value where the request wants it."""
    match says:
        case Structured(content, tool):
            name = tool or (asked.tool if asked.how == "tool" else None)
            return Call(name, content) if name else Text(json.dumps(content, ensure_ascii=False))
        case Malformed(words) if asked.how != "tool":
            return Text(words)
        case Failure() | Raw():
            raise TypeError(f"{says} is no answer of a model")
        case _:
            return says


def half(content: Any) -> str:
    """The first half of a value's JSON."""
    written = json.dumps(content, ensure_ascii=False)
    return written[: len(written) // 2]
