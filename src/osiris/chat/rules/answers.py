"""Questions that only the person can decide, and which of the choices a reply means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.chat.rules.lexicon import full_words
from osiris.chat.rules.tokens import split_name, stem
from osiris.chat.rules.vocabulary import EMPTY, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
_POLITE = EMPTY | frozenset(["option", "choice", "number", "use", "mean", "meant", "by", "only", "yes", "column"])


class Ask(Exception):
    """Something must be decided by the person."""

    def __init__(self, about: str, text: str, choices: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.about, self.text, self.choices = key_text(about), text, choices


def key_text(key: str) -> str:
    """Return the key of a question as it is kept: on one line, and not long."""
    return " ".join(key.split())[:56].rstrip()


class Cannot(Exception):
    """Nothing can be proposed; says why."""


def chosen(answer: str | None, choices: Sequence[str]) -> str | None:
    """Return the choice that a reply means; None if it means none, several, or something else besides."""
    said = (answer or "").strip().strip(".!\"'").lower()
    if not said:
        return None
    for each in choices:
        if said == each.lower():
            return each
    number = _number(said)
    if number is not None:
        return choices[number - 1] if 0 < number <= len(choices) else None
    stems = {stem(word) for word in split_name(said)} - _POLITE
    spelled = {
        each: {form for word in split_name(each) for form in (stem(word), *full_words(word))} for each in choices
    }
    whole = [each for each, words in spelled.items() if stems and stems <= words]
    if len(whole) > 1:
        exact = [each for each in whole if stems == {stem(word) for word in split_name(each.rpartition(".")[2])}]
        return exact[0] if len(exact) == 1 else None
    return whole[0] if whole else None


def _number(said: str) -> int | None:
    words = [word for word in said.replace("the ", "").replace("#", "").split() if word not in ("one", "option")]
    if len(words) != 1:
        return 1 if said in ("one", "the one") else None
    word = words[0].rstrip(".)")
    return int(word) if word.isdigit() else _ORDINALS.get(word) or NUMBERS.get(word)
