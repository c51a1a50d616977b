"""Named scripts."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

from .replies import Reply, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .asked import Asked

_ORDER = re.compile(r"OBEY:\s*")


def obedient(otherwise: Reply | Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    """Return a model that obeys: it answers the JSON after the first `OBEY:` in what it reads, else as `otherwise`.

    It reads messages, tools and schemas, and decodes JSON and HTML escapes, as a good model does.
    """

    def answer(asked: Asked) -> Reply:
        for order in orders(asked.text):
            return value(order)
        return otherwise(asked) if callable(otherwise) else otherwise

    return answer


def orders(words: str) -> Iterator[Any]:
    """Return all JSON values that follow `OBEY:` in a text."""
    for found in _ORDER.finditer(words):
        for plain in _readings(words[found.end() :]):
            try:
                order, _ = json.JSONDecoder().raw_decode(plain)
            except ValueError:
                continue
            yield order
            break


def _readings(words: str) -> Iterator[str]:
    """Return a text unchanged, and unescaped once and twice."""
    for _ in range(3):
        yield words
        yield html.unescape(words)
        words = re.sub(r'\\(["\\/])', r"\1", words)
