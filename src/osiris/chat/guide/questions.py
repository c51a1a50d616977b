"""What the guide asks for, as values: questions for the person, and figures of the data.

A flow (`flow.pipeline`) is a generator that yields these and is sent what they give; it does nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator

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
    """A question for the person.

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
class Tell:
    """Something to be shown; gives None."""

    text: str


Effect: TypeAlias = Ask | Look | Compare | Propose | Tell
"""What a flow can ask for."""

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")
    Flow: TypeAlias = Generator[Effect, JsonValue, T]
