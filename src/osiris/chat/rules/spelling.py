"""Small typing errors: a word of five letters or more that is nothing, one letter away from one that is something."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.rules import arranging, operators, vocabulary
from osiris.chat.rules.tokens import stem, verb_stems
from osiris.chat.rules.vocabulary import word_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from osiris.chat.rules.lexicon import Lexicon
    from osiris.chat.rules.tokens import Token

_SHORTEST, _LONG = 5, 7
GRAMMAR = (
    vocabulary.EMPTY
    | vocabulary.COUNTS
    | vocabulary.DISTINCT
    | vocabulary.DAILY
    | operators.MONEY
    | set(operators.MEASURES)
    | vocabulary.RELATIVE
    | vocabulary.SCHEDULES
    | set(vocabulary.FORMATS)
    | set(vocabulary.FAMILIES)
    | set(vocabulary.MODE_OF)
    | set(vocabulary.FUNCTION_OF)
    | set(vocabulary.UNIT_OF)
    | set(vocabulary.MONTHS)
    | set(vocabulary.NUMBERS)
    | set(operators.ADJECTIVES)
    | set(arranging.SUPERLATIVES)
    | {word for words in operators.COMPARISONS for word in words}
    | {word for words in vocabulary.REFUSED.values() for word in words.split()}
    | vocabulary.LINKING
    | {word for words in vocabulary.PHRASES for word in words}
    | word_set("""
    where whose per grouped group sorted order ordered ascending descending alphabetically between since before
    after until without except excluding broken split across rounded decimals duplicates rename existing
    matching keyed missing empty highest first bottom active anything nothing starting beginning exactly other
    negative positive
    """)
)
"""Words of which the rules know what to do with them, or that they may be passed over."""


def corrected(words: Sequence[Token], names: Lexicon) -> tuple[list[Token], list[str]]:
    """Return tokens with small typing errors put right, and a note on each."""
    known = {stem(word) for word in names.words}
    found, notes = [], []
    for token in words:
        better = _better(token, names.words, known) if _may_be_wrong(token) else None
        if better:
            notes.append(f"'{token.raw}' is read as '{better}'")
        found.append(replace(token, raw=better, text=better) if better else token)
    return found, notes


def _may_be_wrong(token: Token) -> bool:
    if token.text.endswith(("ed", "ing")):
        return False
    return token.kind == "word" and len(token.text) >= _SHORTEST and token.text.isalpha() and token.text not in GRAMMAR


def _better(token: Token, names: Iterable[str], known: set[str]) -> str | None:
    if known & verb_stems(stem(token.text)) or any(stem(token.text) in word for word in known):
        return None
    near = {word for word in names if _is_near(token.text, word)}
    near |= {f"{word}s" for word in names if _is_near(token.text, f"{word}s")}
    near |= {word for word in GRAMMAR if _is_near(token.text, word) and _is_slip(token.text, word)}
    return min(near, key=lambda word: (word not in names, word)) if len({stem(word) for word in near}) == 1 else None


def _is_slip(said: str, word: str) -> bool:
    """Tell whether a letter is missing or two have changed places: another letter makes too many words of others."""
    return len(said) < len(word) or (len(said) == len(word) and sorted(said) == sorted(word))


def _is_near(left: str, right: str) -> bool:
    """Tell whether two words differ in one letter: another, one more, one less, or two that changed places.

    Another letter counts in long words only: `stores` is no `scores`.
    """
    if abs(len(left) - len(right)) > 1 or len(right) < _SHORTEST - 1 or left == right:
        return False
    size = min(len(left), len(right))
    at = next((index for index in range(size) if left[index] != right[index]), size)
    swapped = left[:at] + left[at + 1 : at + 2] + left[at : at + 1] + left[at + 2 :]
    another = left[at + 1 :] == right[at + 1 :] and len(left) == len(right) >= _LONG
    return left[at + 1 :] == right[at:] or left[at:] == right[at + 1 :] or another or swapped == right
