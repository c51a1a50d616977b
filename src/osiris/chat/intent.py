"""What a model may answer beside a request: a question, a refusal, or the relations that matter.

    {"tables": [relation id…], "question": null, "cannot": null}

`question` is {"about": key, "text": …, "choices": [text…]}: with it, or with `cannot` (why nothing can be proposed),
the rest is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from osiris.chat.found import one_line
from osiris.errors import Location, diagnostic, did_you_mean, raise_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.chat.choices import Choices
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

LONGEST_SAID = 500
"""Characters of a question, a reason or an assumption; what is longer is cut off."""

LONGEST_CHOICE = 120
"""Characters of a choice: who picks it by its number must have read it, for it counts as the person's words."""

MOST_SAID = 10
_MOST_PROBLEMS = 20
_ENUMERATED = 250
"""Of more relations than these the schema lists none, for services limit it; `read_interest` knows them all."""


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


_TEXT: JsonValue = {"type": "string"}
_TEXTS: JsonValue = {"type": "array", "items": _TEXT}
_QUESTION: JsonValue = {
    "type": "object",
    "properties": {"about": _TEXT, "text": _TEXT, "choices": _TEXTS},
    "required": ["about", "text", "choices"],
    "additionalProperties": False,
}
REPLIES: Mapping[str, JsonValue] = {
    "question": {"anyOf": [_QUESTION, {"type": "null"}]},
    "cannot": {"anyOf": [_TEXT, {"type": "null"}]},
}
"""Properties that every answer has: with one of them, the rest of it is not read."""


def interest_schema(choices: Choices) -> dict[str, JsonValue]:
    """Return the JSON Schema of an answer to `intent`; the relations are an enumeration."""
    names = [each.id for each in choices.relations]
    relation = {"type": "string", "enum": names} if 0 < len(names) <= _ENUMERATED else _TEXT
    properties = {"tables": {"type": "array", "items": relation}, **REPLIES}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


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


def read_interest(value: JsonValue, choices: Choices) -> Interest | Question | Refusal:
    """Return what an answer to `intent` says; fails with CHT001 for each of the first problems, with its pointer."""
    if reply := said_in(value):
        return reply
    tables = value.get("tables") if isinstance(value, dict) else None
    if not isinstance(tables, list):
        raise_all([_problem("/tables", "is missing", "a list of ids, as they are listed")])
    known = [each.id for each in choices.relations]
    unknown = ((number, name) for number, name in enumerate(tables) if name not in known)
    if found := list(islice(unknown, _MOST_PROBLEMS)):
        raise_all(
            [_problem(f"/tables/{number}", "is not among the choices", _near(name, known)) for number, name in found]
        )
    return Interest(tuple(dict.fromkeys(tables)))


def _near(name: JsonValue, known: list[str]) -> str | None:
    return did_you_mean(str(name)[:LONGEST_CHOICE], known)


def _problem(pointer: str, problem: str, hint: str | None) -> Diagnostic:
    return diagnostic("CHT001", at=Location(pointer=pointer), problem=f"'{pointer}' {problem}", hint=hint)
