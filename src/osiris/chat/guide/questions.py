"""What the guide asks for, as values: questions for the person, and figures of the data; and what typed text means.

A flow (`flow.pipeline`) is a generator that yields these and is sent what they give; it does nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from osiris.errors import certain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from osiris.chat.request import Request
    from osiris.model import JsonValue


Typed = Literal[
    "text",
    "name",
    "whole number",
    "number",
    "date",
    "timestamp",
    "timestamp with zone",
    "time",
    "truth",
    "uuid",
    "path",
    "table",
    "flags",
]
"""What may be typed where no choice fits."""

RELATIONS = "relations"
"""Options of a question that come from sources while it is asked."""


@dataclass(frozen=True, slots=True)
class Option:
    """A choice: what is recorded of it, what is shown of it and compared with typed text, and a remark."""

    key: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for the person; gives an `Answer`.

    With `several` any number of options may be chosen; `typed` is what may be typed instead of choosing; `default` are
    the keys that skipping gives, None if it cannot be skipped. `source` is RELATIONS if the options are the tables and
    files that are found meanwhile, or `tables:@family.alias`, those of one connection. `head` are lines above it, and
    `endings` those of paths that may be typed.
    """

    about: str
    text: str
    options: tuple[Option, ...] = ()
    several: bool = False
    typed: Typed | None = None
    default: tuple[str, ...] | None = None
    source: str | None = None
    head: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The keys that were chosen, or the text that was typed."""

    keys: tuple[str, ...] = ()
    text: str | None = None

    def recorded(self) -> str:
        """Return it as it is recorded, in JSON."""
        return json.dumps({"keys": list(self.keys), "text": self.text}, ensure_ascii=False)

    @classmethod
    def of(cls, value: JsonValue) -> Answer:
        """Return what was recorded, read from JSON."""
        return cls(tuple(value["keys"]), value["text"])


@dataclass(frozen=True, slots=True)
class Look:
    """Columns, keys and frequent values of a relation; gives its TABLE (see `environment`), or a diagnostic as JSON."""

    relation: str
    source: str
    table: str


@dataclass(frozen=True, slots=True)
class Compare:
    """Figures: the only row of the last step of a request, as a list; gives None if it cannot be had."""

    request: Request
    about: str


@dataclass(frozen=True, slots=True)
class Propose:
    """The plan of a whole request, which is shown; gives what `check` of `environment` does, and `confirm`.

    `confirm` has a sentence for each thing that is to be confirmed by itself.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class Show:
    """Something to be shown; gives None."""

    text: str


Effect: TypeAlias = Ask | Look | Compare | Propose | Show
"""What a flow can ask for."""

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")
    Flow: TypeAlias = Generator[Effect, JsonValue, T]


@dataclass(frozen=True, slots=True)
class Meant:
    """The options that text means; without any, those that it `may` mean."""

    options: tuple[Option, ...] = ()
    may: tuple[Option, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.options or self.may)


def meant(text: str, options: Sequence[Option], *, several: bool, shown: Callable[[str], str]) -> Meant:
    """Return what text means among options: one, or with `several` any number, separated by commas (numbers: blanks).

    Options count from 1. `shown` is how a label looks on the terminal, which may be typed as well.
    """
    whole, parts = _exact(text, options, shown), _parts(text)
    if whole or not several or len(parts) == 1:
        return whole or _near(text, options)
    return _each_of([_exact(part, options, shown) or _near(part, options) for part in parts])


def _each_of(found: Sequence[Meant]) -> Meant:
    """Return what several parts of a text mean, unless one of them is unclear, or two mean the same."""
    unclear = next((each for each in found if not each.options), None)
    if unclear is not None:
        return Meant(may=unclear.may)
    chosen = [each.options[0] for each in found]
    doubled = tuple(each for n, each in enumerate(chosen) if each in chosen[:n])
    return Meant(may=doubled) if doubled else Meant(tuple(chosen))


def _parts(text: str) -> list[str]:
    """Return what commas separate, and of whole numbers blanks."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    is_numbers = len(parts) == 1 and all(word.isdecimal() for word in text.split())
    return text.split() if is_numbers else parts


def _exact(text: str, options: Sequence[Option], shown: Callable[[str], str]) -> Meant:
    rules: tuple[Callable[[str], bool], ...] = (
        lambda label: label == text,
        lambda label: shown(label) == text,
        lambda label: label.casefold() == text.casefold(),
    )
    for rule in rules:
        found = tuple(each for each in options if rule(each.label))
        if found:
            return Meant(found) if len(found) == 1 else Meant(may=found)
    number = text.removeprefix("#")
    is_place = number.isdecimal() and 1 <= int(number) <= len(options)
    return Meant((options[int(number) - 1],)) if is_place else Meant()


def _near(text: str, options: Sequence[Option]) -> Meant:
    """Return the only option that a slip makes of text; else those that have all of its words, to choose from."""
    near = certain(text, [each.label for each in options])
    found = tuple(each for each in options if each.label == near)
    return Meant(found) if len(found) == 1 else Meant(may=tuple(narrowed(text, options)))


def narrowed(text: str, options: Sequence[Option]) -> list[Option]:
    """Return the options that have all typed words, in any order and case."""
    words = text.casefold().split()
    return [each for each in options if all(word in each.label.casefold() for word in words)] if words else []
