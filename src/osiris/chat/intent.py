"""What a model may answer beside a request: a question, a refusal, or the relations that matter.

    {"tables": [relation id…], "question": null, "cannot": ""}

`question` is {"about": key, "text": …, "choices": [text…]}: with it, or with `cannot` (why nothing can be proposed),
the rest is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.chat.catalog_import import one_line

if TYPE_CHECKING:
    from osiris.model import JsonValue

LONGEST_SAID = 500
"""Characters of a question, a reason or an assumption; what is longer is cut off."""

LONGEST_CHOICE = 120
"""Characters of a choice: who picks it by its number must have read it, for it counts as the person's words."""

MOST_SAID = 10


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only the person can decide; `choices` may be empty, and any other reply is as good."""

    about: str
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing can be proposed, in words for the person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interest:
    """The relations that matter, by id."""

    tables: tuple[str, ...]


def said_in(value: JsonValue) -> Question | Refusal | None:
    """Return the question or the refusal of an answer; None if it has none that can be read."""
    if not isinstance(value, dict):
        return None
    asked, cannot = value.get("question"), value.get("cannot")
    if isinstance(cannot, str) and cannot.strip():
        return Refusal(one_line(cannot, LONGEST_SAID))
    if not isinstance(asked, dict) or not isinstance(asked.get("text"), str) or not asked["text"].strip():
        return None
    about, offered = asked.get("about"), asked.get("choices")
    texts = [each for each in offered if isinstance(each, str) and each.strip()] if isinstance(offered, list) else []
    choices = tuple(one_line(each, LONGEST_CHOICE) for each in texts[:MOST_SAID])
    return Question(one_line(str(about or "question"), 60), one_line(asked["text"], LONGEST_SAID), choices)
