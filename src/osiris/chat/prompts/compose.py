"""From a request to what is said: a system text and one message, always the same bytes for the same request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.chat.context import framed, named, plain_json, quoted, render_context
from osiris.chat.prompts.texts import INTENT, INTENT_EXAMPLE, SQL, SQL_EXAMPLE, USER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.chat.prompts.texts import Prompts
    from osiris.chat.provider_api import Message, ModelRequest, Purpose
    from osiris.model import JsonValue

_SYSTEM: dict[Purpose, tuple[str, str]] = {
    "intent": (INTENT, INTENT_EXAMPLE),
    "synthesis": (SQL, SQL_EXAMPLE),
    "regenerate": (SQL, SQL_EXAMPLE),
}
"""The system text of each purpose, and its example."""

_WITH_EXAMPLE = frozenset(("compatible",))
"""Providers whose models are often small: these do much better with an example, and others need none."""

_TASK: dict[Purpose, str] = {
    "intent": "Name what must be read.",
    "synthesis": "Make the request.",
    "regenerate": "Your request has the problems below. Make it again without them.",
}
_FAST = (
    'Ask nothing that can be assumed: assume what is likeliest, and say so in "assumptions" where there are any. '
    "A target, a mode and a column are never assumed."
)
_MESSAGES, _WORDS = 40, 8_000
"""So many messages are told beside the first one, each cut off at so many characters."""

_PROBLEMS, _TOLD = 20, 600


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is said: the system text, and the message."""

    system: str
    user: str

    def to_json(self) -> JsonValue:
        """Return it as the record has it."""
        return [{"role": "system", "text": self.system}, {"role": "user", "text": self.user}]


def compose(request: ModelRequest, provider: str, prompts: Prompts, context_tokens: int) -> Spoken:
    """Return what is said to a model of that provider; what discovery found takes about `context_tokens` of it."""
    system, example = _SYSTEM[request.purpose]
    words = "\n".join(each.text for each in request.messages if each.role == "person")
    values = {
        "task": _task(request),
        "conversation": _conversation(request.messages),
        "context": render_context(request.choices, words, context_tokens),
        "draft": _draft(request.draft),
        "problems": _problems(request.problems),
    }
    shown = prompts.texts[example].rstrip() if provider in _WITH_EXAMPLE else ""
    return Spoken(
        prompts.filled(system, {"fast": _FAST if request.fast else "", "example": shown}),
        prompts.filled(USER, values),
    )


def _task(request: ModelRequest) -> str:
    """Return what is to be done, what day it is, and how the project does things: words of the person."""
    today = [f"Today is {request.choices.today}."] if request.choices.today else []
    own = request.choices.conventions
    conventions = [f"How this project does things: {named(own, _WORDS)}"] if own else []
    return " ".join([_TASK[request.purpose], *today, *conventions])


def _conversation(messages: Sequence[Message]) -> str:
    """Return the first message and the last ones, each a line: what the agent asked is no word of the person."""
    lines = [f'{{"role":"{each.role}","text":{named(each.text, _WORDS)}}}' for each in messages]
    left = len(lines) - _MESSAGES - 1
    return "\n".join(lines if left <= 0 else [lines[0], f"({left} messages left out)", *lines[-_MESSAGES:]])


def _draft(draft: Mapping[str, JsonValue] | None) -> str:
    return "" if draft is None else f"\nThe request before:\n{framed(plain_json(_bare(draft)))}\n"


def _bare(value: JsonValue) -> JsonValue:
    """Return a value without what says nothing in it: an empty text or list, or null."""
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items() if inner not in ("", [], None)}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value


def _problems(problems: Sequence[Mapping[str, JsonValue]]) -> str:
    """Return what was wrong with it: messages of the compiler and of servers, which quote what they were given."""
    if not problems:
        return ""
    lines = [_problem(each) for each in problems[:_PROBLEMS]]
    left = len(problems) - _PROBLEMS
    told = "\n".join([*lines, f"({left} problems left out)"] if left > 0 else lines)
    return f"\nWhat is wrong with it:\n{framed(told)}\n"


def _problem(problem: Mapping[str, JsonValue]) -> str:
    told = ((key, problem.get(key)) for key in ("code", "pointer", "message", "hint"))
    return "{" + ",".join(f'"{key}":{quoted(str(text), _TOLD)}' for key, text in told if text) + "}"
