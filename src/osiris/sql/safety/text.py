"""Positions in a text: offsets as lines and columns, and the matching position in an equivalent text.

Mostly from a canonical statement to the original.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from osiris.errors import Location

_WORD = re.compile(
    r"""
    (?: -- [^\n]* | /\* .*? \*/ | \s )+       # is between words
    | ( \$\{ [^{}]* \}                        # a parameter
      | ' (?: [^'] | '' )* '
      | " (?: [^"] | "" )* "
      | \w+ | :: | [^\w\s] )
    """,
    re.VERBOSE | re.DOTALL,
)
_MANY = 4_000
"""Above this number of words frequent ones are ignored: comparing each comma with each would take minutes."""


def place(text: str, offset: int | None) -> Location:
    """Return line and column (from 1) of a 0-based offset; an empty location for None."""
    if offset is None:
        return Location()
    before = text[: max(0, offset)]
    return Location(line=before.count("\n") + 1, column=len(before) - (before.rfind("\n") + 1) + 1)


def offset_at(text: str, at: Location) -> int:
    """Return the 0-based offset of a line and a column, at most the end of the text."""
    before = text.split("\n")[: (at.line or 1) - 1]
    return min(len(text), sum(len(line) + 1 for line in before) + (at.column or 1) - 1)


def align(text: str, offset: int, other: str) -> int:
    """Return the offset in `other` of the word at an offset of `text`; for a missing word, that of the next."""
    if text == other:
        return offset
    words, others = _words(text), _words(other)
    index = max((i for i, word in enumerate(words) if word.start() <= offset), default=None)
    if index is None or not others:
        return 0
    matcher = SequenceMatcher(None, _folded(words), _folded(others), autojunk=len(words) > _MANY)
    for tag, begin, end, first, last in matcher.get_opcodes():
        if begin <= index < end:
            match = others[min(first + index - begin, max(first, last - 1), len(others) - 1)]
            return match.start() + (offset - words[index].start() if tag == "equal" else 0)
    return 0


def _words(text: str) -> list[re.Match[str]]:
    return [match for match in _WORD.finditer(text) if match[1]]


def _folded(words: list[re.Match[str]]) -> list[str]:
    return [word[0].strip('"').lower() for word in words]
