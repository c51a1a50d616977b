"""The differences between providers, so that the rest of the server is the same for all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping

    from .asked import Asked, Received
    from .replies import Placed, Usage
    from .shape import Rejected


@dataclass(frozen=True)
class Wire:
    """One provider.

    `base`: what a client's base URL has after the address. `path`: what is served. `models`: patterns of the names that
    it knows. `find_key` gives the key of a request's headers, `check_key` raises Rejected unless the key shown (first)
    is the right one (None: any). `read` raises Rejected for what the service does not take. `write` makes the body of
    an answer, `stream` the events that tell it bit by bit, `write_failure` the body of an error (with Retry-After, if
    any). `id_header` carries the request's id.
    """

    provider: str
    base: str
    path: re.Pattern[str]
    models: tuple[str, ...]
    find_key: Callable[[Mapping[str, str]], str | None]
    check_key: Callable[[str | None, str | None], None]
    read: Callable[[Received], Asked]
    unknown_model: Callable[[str], Rejected]
    write: Callable[[Asked, Placed, Usage | None], dict[str, Any]]
    stream: Callable[[Asked, dict[str, Any]], Iterator[str]]
    write_failure: Callable[[Rejected, float | str | None], dict[str, Any]]
    id_header: str


def bearer(headers: Mapping[str, str]) -> str | None:
    """The key of an Authorization header."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def event(data: dict[str, Any] | str, name: str | None = None) -> str:
    """Return one event of a stream."""
    told = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {name}\n" if name else "") + f"data: {told}\n\n"


def pieces(words: str) -> Iterator[str]:
    """Return a text in up to three pieces, as streamed."""
    step = len(words) // 3 + 1
    return (words[start : start + step] for start in range(0, len(words), step))
