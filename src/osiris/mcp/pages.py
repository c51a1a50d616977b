"""Limits the size of answers: what does not fit is left out and counted, or is on the next page.

A token is counted as three bytes of the text as sent; measured tokenizers need fewer tokens for JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.chat.choices import is_visible
from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

BYTES_PER_TOKEN = 3
TOKENS = 4_000
"""Maximum tokens of an answer."""

BUDGET = TOKENS * BYTES_PER_TOKEN - 600
"""Maximum bytes of the document, without the marks around it."""

_DEFAULT_LIMIT = 50
_LEFT_OUT = "too large for one answer; ask for less, or with detail: full"
_REST = 3
"""Beside uncut texts, one part in this many of an answer is reserved for the rest."""

_LEVELS = ((600, 60), (300, 40), (160, 20), (100, 10), (60, 5), (40, 3), (24, 1))


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a tool: `data` as in `--json`, and `brief` to shorten it.

    `items` names the list in `data` to page through; `item` shortens each item. `uncut` names texts that are sent whole
    or left out. `next` are the tools to call next, with arguments.
    """

    data: Mapping[str, JsonValue]
    items: str | None = None
    item: Callable[[JsonValue], JsonValue] = lambda value: value
    brief: Callable[[Mapping[str, JsonValue]], Mapping[str, JsonValue]] = lambda data: data
    uncut: Sequence[str] = ()
    diagnostics: Sequence[Diagnostic] = ()
    next: Sequence[tuple[str, Mapping[str, JsonValue]]] = field(default=())
    ok: bool = True


def laid_out(reply: Reply, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the document of an answer, at most `BUDGET` bytes; fails with MCP005 for an invalid cursor."""
    full, start = arguments.get("detail") == "full", _start(arguments.get("cursor"))
    diagnostics, left = _diagnostics(reply.diagnostics, full=full)
    document: dict[str, JsonValue] = {"ok": reply.ok, "data": None, "diagnostics": diagnostics}
    if left:
        document["more_diagnostics"] = left
    document["next"] = [{"tool": tool, "arguments": dict(words)} for tool, words in reply.next]
    room = BUDGET - size_of(document)
    if reply.items is not None:
        limit = int(arguments.get("limit") or _DEFAULT_LIMIT)
        data, following = _window(reply, start, limit, room, full=full)
    elif full:
        data, following = _slice(dict(reply.data), start, room)
    else:
        data, following = _brief(reply, room), None
    document["data"] = data
    if following is not None:
        document["next_cursor"] = str(following)
    return document


def _brief(reply: Reply, room: int) -> JsonValue:
    data = dict(reply.brief(reply.data))
    uncut = {key: data.pop(key) for key in reply.uncut if key in data}
    if size_of(uncut) > room - room // _REST:
        uncut = dict.fromkeys(uncut, _LEFT_OUT)
    rest = shortened(data, room - size_of(uncut))
    return {**uncut, **rest}


def _start(cursor: JsonValue) -> int:
    if cursor is None:
        return 0
    if not (isinstance(cursor, str) and cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        fail("MCP005", problem="'/cursor' is not valid", hint="pass next_cursor of the previous response")
    return int(cursor)


def _diagnostics(diagnostics: Sequence[Diagnostic], *, full: bool) -> tuple[list[JsonValue], int]:
    """Return the diagnostics that fit into half of an answer, errors first, and the number left out."""
    order = ("error", "warning", "note")
    ranked = sorted(diagnostics, key=lambda item: order.index(item.severity))
    included: list[JsonValue] = []
    used = 0
    for item in ranked:
        data = item.to_json() if full else {key: value for key, value in item.to_json().items() if value is not None}
        data = shortened(data, BUDGET // 4)
        used += size_of(data) + 1
        if used > BUDGET // 2:
            break
        included.append(data)
    return included, len(ranked) - len(included)


def _window(reply: Reply, start: int, limit: int, room: int, *, full: bool) -> tuple[JsonValue, int | None]:
    """Return the data with as many items as fit, and the start of the next page; None if there is none."""
    key = reply.items or ""
    items = reply.data[key]
    rest = {name: value for name, value in reply.data.items() if name != key}
    data = shortened(dict(rest if full else reply.brief(rest)), room // 3)
    page = _page(items[start : start + limit], reply, room, room - size_of(data) - len(key) - 40, full=full)
    end = start + len(page)
    total_entry = {} if "total" in data else {f"{key}_total": len(items)}
    return {**data, key: page, **total_entry}, end if end < len(items) and page else None


def _page(items: Sequence[JsonValue], reply: Reply, room: int, left: int, *, full: bool) -> list[JsonValue]:
    """Return as many items as fit into `left` bytes: at least the first, cut if necessary."""
    page: list[JsonValue] = []
    for item in items:
        entry = item if full else shortened(reply.item(item), room if page else left)
        if page and size_of(entry) + 1 > left:
            break
        entry = entry if size_of(entry) < left else shortened(entry, left)
        page.append(entry)
        left -= size_of(entry) + 1
    return page


def _slice(data: JsonValue, start: int, room: int) -> tuple[JsonValue, int | None]:
    """Return data unchanged if it fits, else a page of its JSON text."""
    if start == 0 and size_of(data) < room:
        return data, None
    text = written(data)
    width = room - 60
    part = text[start : start + width]
    while size_of({"json": part}) > room - 40:
        width = width * 3 // 4
        part = text[start : start + width]
    end = start + len(part)
    return {"json": part, "characters": len(text)}, end if end < len(text) else None


def shortened(value: JsonValue, room: int) -> JsonValue:
    """Return a value with long texts and lists cut to fit into `room` bytes of JSON."""
    if size_of(value) <= room:
        return value
    for text, items in _LEVELS:
        cut = _cut(value, text, items)
        if size_of(cut) <= room:
            return cut
    return {"left_out": _LEFT_OUT}


def _cut(value: JsonValue, text: int, items: int) -> JsonValue:
    if isinstance(value, str):
        return value if len(value) <= text else f"{value[:text]}…"
    if isinstance(value, list):
        more = len(value) - items
        return [_cut(item, text, items) for item in value[:items]] + ([f"… and {more} more"] if more > 0 else [])
    if isinstance(value, dict):
        entries = list(value.items())[: max(items, 24)]
        more = len(value) - len(entries)
        cut = {key if len(key) <= 200 else f"{key[:200]}…": _cut(item, text, items) for key, item in entries}
        return {**cut, **({"…": f"and {more} more"} if more > 0 else {})}
    return value


def size_of(value: JsonValue) -> int:
    """Return the size of a value as sent, in bytes."""
    return len(written(value).encode())


def written(value: JsonValue) -> str:
    """Return compact JSON with invisible and bidirectional characters escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if is_visible(char) else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if char != "\x7f" else "\\u007f"
