"""The person's words, and what they name: a thing by its text, by the stems of its name, or by its very name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from osiris.chat.provider_api import Message

GROUNDING = "grounding"
"""Key of the questions whose replies name nothing: who says no to a thing names it as well."""

REPLACE = "replace"
"""Key of the questions whether data may be replaced; their replies name nothing either."""

MODE = "mode"
"""Key of the question for how rows go into a table; the reply is a word of the person as any other."""

_GENERIC = ("nam", "id", "cod", "titl", "label", "kei", "no", "nr", "number")
"""Stems of what names of columns say beside what they are about."""

_TO = re.compile(r"(?:\b(?:in)?to\b|\bonto\b|->|→)((?:\s+\S+){1,6})", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|of)\b", re.IGNORECASE)
_TABLE = re.compile(r"\btable\s+(?:named\s+|called\s+)?[\"'`]?([\w.]+)", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:not|never|no|without|don't|dont|instead of|rather than)\s+(?:to\s+)?\w+", re.IGNORECASE)
_SHORT = 3
"""A stem is not shorter than this: `bus` is no plural."""


@dataclass(frozen=True, slots=True)
class Said:
    """The words as a text, and as stems, several where a word is a name of several: `order_items`."""

    text: str
    names: frozenset[tuple[str, ...]]
    exact: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, messages: Iterable[Message]) -> Said:
        """Return the words of the person among some messages."""
        return cls.in_text(
            "\n".join(m.text for m in messages if m.role == "person" and m.about not in (GROUNDING, REPLACE))
        )

    @classmethod
    def in_text(cls, text: str) -> Said:
        """Return a text as words of the person."""
        words = re.findall(r"\w+", text)
        return cls(text, frozenset(map(stems, words)), frozenset(map(_parts, words)))

    def after_to(self) -> Said:
        """Return the few words behind each `to`, as far as no `from` or `of` comes between."""
        return self.in_text("\n".join(_FROM.split(each)[0] for each in _TO.findall(self.text)))

    def affirmed(self) -> Said:
        """Return the words without those that a `not` or the like stands before."""
        return self.in_text(_NEGATED.sub(" ", self.text))

    def tables(self) -> list[str]:
        """Return the names that stand behind the word `table`."""
        return _TABLE.findall(self.text)

    def has_path(self, path: str) -> bool:
        """Tell whether a text stands in the words as it is, and is no part of a longer one."""
        return re.search(_whole(path), self.text) is not None

    def has_text(self, text: str) -> bool:
        """Tell the same of a text in whatever case."""
        return bool(text) and re.search(_whole(_lowered(text)), _lowered(self.text)) is not None

    def has_name(self, name: str) -> bool:
        """Tell whether all words of a name are there, each by itself or all of them as one name."""
        return _is_in(stems(name), self.names)

    def has_exactly(self, name: str) -> bool:
        """Tell the same of words as they are spelt, in whatever case."""
        return _is_in(_parts(name), self.exact)

    def has_column(self, name: str) -> bool:
        """Tell whether a column is there: by what its name says besides being a name, if it says more than that."""
        own = [each for each in stems(name) if each not in _GENERIC]
        return self.has_name(name) or (bool(own) and all((each,) in self.names for each in own))

    def has_any(self, words: str) -> bool:
        """Tell whether one of some words is there."""
        return any(stems(word) in self.names for word in words.split())


def _is_in(parts: tuple[str, ...], names: frozenset[tuple[str, ...]]) -> bool:
    return bool(parts) and (parts in names or all((each,) in names for each in parts))


def _whole(text: str) -> str:
    return rf"(?<![\w./@-]){re.escape(text)}(?![\w/@-]|\.\w)"


def stems(name: str) -> tuple[str, ...]:
    """Return the stems of the words of a name: `OrderItems` and `order_items` have the same two."""
    return tuple(map(stem, _parts(name)))


def _parts(name: str) -> tuple[str, ...]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(re.findall(r"[^\W_]+", _lowered(apart)))


def _lowered(text: str) -> str:
    """Return a text in lower case, but for letters that only look like others then, as the sign of Kelvin does."""
    return "".join(low if (low := char.lower()).upper() == char else char for char in text)


def stem(word: str) -> str:
    """Return a word without the endings of plurals and of verbs: what is left of `cities` and `city` is the same."""
    for ending in ("ing", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORT and not word.endswith("ss"):
            word = word.removesuffix(ending)
            break
    return word[:-1] + "i" if word.endswith("y") else word
