"""A tree with comments becomes YAML text in one form: two spaces a level, and quotes only where they are needed."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING

from osiris.document.commented import BLANK
from osiris.document.scalars import NotANumber, TwoWays, resolve_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.document.commented import Entry, Node
    from osiris.model import JsonValue

WIDTH = 100
TALL = 80
"""A text that wishes to be a block becomes one if it is longer than this."""
MAX_KEY = 1000
"""A longer key must be marked as one: YAML looks for its colon in 1024 characters."""

_STEP = "  "
_UNSAFE = re.compile(r"[^\t\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_NOT_PLAIN = re.compile(r"^[-?:,\[\]{}#&*!|>'\"%@` ]|^\.\.\.|: | #|[: ]$|[\t\n]")
_NOT_PLAIN_IN_FLOW = re.compile(r"[,\[\]{}:]")
_LIKE_A_NUMBER = re.compile(r"[-+.0-9][-+.:0-9_TZeE ]*")
_FOLDABLE = re.compile(r"\S+( \S+)+\n?")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_TO_ESCAPE = re.compile(rf"[\"\\\t\n]|{_UNSAFE.pattern}")
_CONSTANTS = {None: "null", True: "true", False: "false"}


def write(root: Entry) -> str:
    """Return the text of a mapping: its comments, its entries, one line break at the end."""
    above, lines = _collection(root.value, "")
    head = _comments([*root.before, *above], "", first=True)
    return "\n".join([*head, *(lines if root.value.entries else ["{}", *lines])]) + "\n"


def inline(value: JsonValue, *, flow: bool = False) -> str:
    """Return data on one line; `flow` tells that it will stand between brackets."""
    if isinstance(value, str):
        return _text(value, flow=flow)
    if isinstance(value, list):
        return f"[{', '.join(inline(each, flow=True) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(key, flow=True)}: {inline(each, flow=True)}' for key, each in value.items())}}}"
    return json.dumps(value)


def _collection(node: Node, pad: str) -> tuple[list[str], list[str]]:
    """Return the comments above the first entry of a block, and its lines."""
    head: list[str] = []
    lines: list[str] = []
    after_section = False
    for number, entry in enumerate(node.entries):
        above, own = _entry(entry, pad)
        section = not pad and entry.value.kind != "scalar" and len(own) > 1
        if number == 0:
            head = above
        else:
            apart = node.spaced or section or after_section
            lines += _comments([BLANK, *above] if apart else above, pad)
        lines += own
        after_section = section
    return head, [*lines, *_comments(node.after, pad)]


def _comments(found: list[str], pad: str, *, first: bool = False) -> list[str]:
    """Return the lines of comments, never two blank ones in a row, and none to begin with if they come first."""
    lines: list[str] = []
    for comment in found:
        if comment != BLANK:
            lines.append(pad + comment)
        elif lines[-1:] != [BLANK] and (lines or not first):
            lines.append(BLANK)
    return lines


def _entry(entry: Entry, pad: str) -> tuple[list[str], list[str]]:
    """Return the comments above an entry, and its lines."""
    marked, head = _head(entry, pad)
    value = entry.value
    beside = [entry.beside] if entry.beside else []
    tail = "".join(f"  {comment}" for comment in beside)
    if value.kind == "scalar":
        first, *more = _scalar(value, pad, len(head) + 1)
        return entry.before, [*marked, f"{head} {first}{tail}", *more]
    line = _on_one_line(value, WIDTH - len(head) - 1)
    if line is not None:
        return entry.before, [*marked, f"{head} {line}{tail}"]
    above, lines = _collection(value, pad + _STEP)
    if beside and value.flow and value.has_comments():
        # It stood behind the closing bracket, and so behind those inside.
        lines += [pad + _STEP + comment for comment in beside]
        beside, tail = [], ""
    if marked:  # behind its colon a comment is one of the lines below
        above, tail = [*beside, *above], ""
    if entry.key is None:
        lines[0] = f"{head} {lines[0].removeprefix(pad + _STEP)}"
        return [*entry.before, *beside, *above], lines
    return entry.before, [*marked, head + tail, *_comments(above, pad + _STEP, first=True), *lines]


def _head(entry: Entry, pad: str) -> tuple[list[str], str]:
    """Return what stands before a value, and the line before that of a very long key."""
    if entry.key is None:
        return [], f"{pad}-"
    key = _text(entry.key, flow=False)
    return ([], f"{pad}{key}:") if len(key) <= MAX_KEY else ([f"{pad}? {key}"], f"{pad}:")


def _scalar(node: Node, pad: str, column: int) -> list[str]:
    """Return the lines of a scalar that begins at a column; those behind the first have their indentation."""
    if _wants_block(node):
        return _block(node.text, pad)
    inline = _inline(node, flow=False)
    if not node.tall and column + len(inline) > WIDTH and _is_foldable(node):
        words = node.text.removesuffix("\n")
        width = max(WIDTH - len(pad + _STEP), WIDTH // 2)
        lines = textwrap.wrap(words, width, break_long_words=False, break_on_hyphens=False)
        return [">" if words != node.text else ">-", *(f"{pad}{_STEP}{line}" for line in lines)]
    return [inline]


def _is_foldable(node: Node) -> bool:
    return _is_text(node) and bool(_FOLDABLE.fullmatch(node.text)) and not _UNSAFE.search(node.text)


def _wants_block(node: Node) -> bool:
    """Tell whether a scalar has lines of its own, and can have them."""
    body = node.text.removesuffix("\n")
    if not ("\n" in node.text or (node.tall and len(body) > TALL)) or not _is_text(node):
        return False
    if not node.tall and "\n" not in body and len(body) > TALL and _is_foldable(node):
        return False
    return bool(body.rpartition("\n")[2].strip()) and not _UNSAFE.search(body)


def _block(text: str, pad: str) -> list[str]:
    indicator = str(len(_STEP)) if text.lstrip("\n")[:1] in (" ", "\t") else ""
    body = text.removesuffix("\n")
    chomp = "-" if body == text else ""
    return [f"|{indicator}{chomp}", *(f"{pad}{_STEP}{line}" if line else BLANK for line in body.split("\n"))]


def _on_one_line(node: Node, room: int) -> str | None:
    """Return a list or mapping that was written on one line, if it still can be in so many characters."""
    if not node.entries:
        return "".join(part for part in _flow(node) if part)
    line = ""
    for part in _flow(node) if node.flow else (None,):
        if part is None or len(line) + len(part) > room:
            return None
        line += part
    return line


def _flow(node: Node) -> Iterator[str | None]:
    """Yield the parts of a value on one line; None where a comment or a text of several lines stands in the way."""
    if node.kind == "scalar":
        yield None if _wants_block(node) else _inline(node, flow=True)
        return
    begin, end = "{}" if node.kind == "mapping" else "[]"
    yield begin
    for number, entry in enumerate(node.entries):
        if entry.before or entry.beside:
            yield None
        separator = ", " if number else ""
        yield separator if entry.key is None else f"{separator}{_text(entry.key, flow=True)}: "
        yield from _flow(entry.value)
    yield None if node.after else end


def _inline(node: Node, *, flow: bool) -> str:
    """Return a scalar on one line; a number as it was written."""
    if _is_text(node):
        return _text(node.text, flow=flow)
    value = resolve_plain(node.text)
    return _CONSTANTS[value] if value is None or isinstance(value, bool) else node.text


def _is_text(node: Node) -> bool:
    return not node.plain or isinstance(resolve_plain(node.text), str)


def _text(text: str, *, flow: bool) -> str:
    """Return a text plain if every reader of YAML takes it for a text, else in double quotes."""
    if _is_plain(text) and not (flow and _NOT_PLAIN_IN_FLOW.search(text)):
        return text
    return '"' + _TO_ESCAPE.sub(lambda match: _escape(match[0]), text) + '"'


def _is_plain(text: str) -> bool:
    if not text or _NOT_PLAIN.search(text) or _UNSAFE.search(text) or _LIKE_A_NUMBER.fullmatch(text):
        return False
    try:
        return isinstance(resolve_plain(text), str)
    except (TwoWays, NotANumber):
        return False


def _escape(character: str) -> str:
    number = ord(character)
    return _ESCAPES.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")
