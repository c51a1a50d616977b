"""The keys and values at a place in the text of a pipeline. Lines and columns count from 0, in characters.

A text that is being typed is rarely valid YAML, so what is needed to complete a value is read from its lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.document import Document

_TYPED = re.compile(r"[^\s\[\]{},:\"']*$")
_OPEN = (
    re.compile(r"([\w-]+):\s*[\"']?$"),
    re.compile(r"([\w-]+):\s*\[[^\]]*$"),
    re.compile(r"([\w-]+):\s*\{(?:[^{}:,]*:[^{}:,]*,)*\s*[\"']?$"),
)
"""A key whose value, list or mapping is open at the end of a text."""
_REST = re.compile(r"[^\s\[\]{},:\"']*")
_WORD = re.compile(r"\w+")


def pointer_at(document: Document, line: int, column: int) -> str:
    """Return the JSON Pointer of the value, or of the key, that begins last at or before a place."""
    places = (
        ((at.line or 0, at.column or 0), pointer)
        for group in (document.positions, document.keys)
        for pointer, at in group.items()
    )
    return max((each for each in places if each[0] <= (line + 1, column + 1)), default=((0, 0), ""))[1]


def word_at(line: str, column: int) -> str:
    """Return the word at a column of a line; empty if there is none."""
    return next((match[0] for match in _WORD.finditer(line) if match.start() <= column <= match.end()), "")


def open_key(lines: Sequence[str], line: int, column: int) -> tuple[str, str, str]:
    """Return the key whose value is typed at a place, and the value's letters before and after it; else empty texts."""
    before = lines[line][:column]
    typed, rest = _TYPED.search(before), _REST.match(lines[line], column)
    word, more = typed[0] if typed else "", rest[0] if rest else ""
    head = before[: len(before) - len(word)]
    for pattern in _OPEN:
        if match := pattern.search(head):
            return match[1], word, more
    return (_key_above(lines, line, head), word, more) if not head.strip(" -\"'") else ("", "", "")


def _key_above(lines: Sequence[str], line: int, head: str) -> str:
    """Return the key of the block in which a line begins with `head`; entries of a list may be as deep as their key."""
    depth = len(head) - len(head.lstrip(" ")) + ("-" in head)
    for above in reversed(lines[:line]):
        if above.strip() and len(above) - len(above.lstrip(" ")) < depth and not above.lstrip().startswith("- "):
            match = re.fullmatch(r"\s*([\w-]+):\s*", above)
            return match[1] if match else ""
    return ""


def step_text(lines: Sequence[str], line: int) -> str:
    """Return the lines of the step that contains a line; empty outside of steps."""
    begin = next((number for number in range(line, -1, -1) if lines[number].startswith("steps:")), None)
    dashes = [] if begin is None else [n for n in range(begin + 1, len(lines)) if lines[n].lstrip().startswith("- ")]
    depth = lines[dashes[0]].index("-") if dashes else 0
    starts = [number for number in dashes if lines[number].index("-") == depth]
    first = max((number for number in starts if number <= line), default=None)
    if first is None:
        return ""
    after = min((number for number in starts if number > line), default=len(lines))
    return "\n".join(lines[first:after])


def value_of(step: str, key: str) -> str:
    """Return the one-line value of a key in the text of a step; empty if it has none."""
    match = re.search(rf"(?<![\w-]){key}:[ \t]*[\"']?([^\s\"',\]}}]+)", step)
    return match[1] if match else ""
