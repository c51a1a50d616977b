"""Where the words of a text stand in another text that says the same: a canonical statement, and what was written."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_WORD = re.compile(
    r"""
    (?: -- [^\n]* | /\* .*? \*/ | \s )+       # stands between words
    | ( \$\{ [^{}]* \}                        # a parameter
      | ' (?: [^'] | '' )* '
      | " (?: [^"] | "" )* "
      | \w+ | :: | [^\w\s] )
    """,
    re.VERBOSE | re.DOTALL,
)
_MANY = 4_000
"""Above so many words the frequent ones do not count: comparing each comma with each would take minutes."""


def align(text: str, offset: int, other: str) -> int:
    """Return where in `other` the word stands that `text` has at an offset; for one that is not there, what follows."""
    if text == other:
        return offset
    words, others = _words(text), _words(other)
    index = max((i for i, word in enumerate(words) if word.start() <= offset), default=None)
    if index is None or not others:
        return 0
    matcher = SequenceMatcher(None, _folded(words), _folded(others), autojunk=len(words) > _MANY)
    for tag, begin, end, first, last in matcher.get_opcodes():
        if begin <= index < end:
            found = others[min(first + index - begin, max(first, last - 1), len(others) - 1)]
            return found.start() + (offset - words[index].start() if tag == "equal" else 0)
    return 0


def _words(text: str) -> list[re.Match[str]]:
    return [found for found in _WORD.finditer(text) if found[1]]


def _folded(words: list[re.Match[str]]) -> list[str]:
    return [word[0].strip('"').lower() for word in words]
