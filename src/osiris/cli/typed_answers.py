"""What typed text means as an answer of the guide: choices, a value, or nothing, and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.chat.expressions import Misfit, literal
from osiris.chat.guide.draft import Answer, Matches, is_same, match_options
from osiris.chat.guide.flow import READ
from osiris.cli.render import safe, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.chat.guide.draft import Ask, Option
    from osiris.chat.guide.environment import Command

_NAMED = 10
_LABEL = 40
"""Most choices that a diagnostic names, and most characters of each."""

_COMMANDS: dict[str, Command] = {":back": "back", ":look": "look", ":quit": "quit"}

_SENTENCE = 3
"""Number of words from which an answer counts as a sentence."""

_SQL = re.compile(r"'.*'|[=<>!].*", re.DOTALL)
"""Values quoted as in SQL; the quotes are not part of the value."""

_NUMBERED = re.compile(r"[\s,]*#\d+([\s,]+#\d+)*[\s,]*")
"""Numbers of choices, each after a `#`."""

_MOMENT = "a date or timestamp, as 2025-01-31 or 2025-01-31 09:30:00"
_TYPES: dict[str, tuple[str, str]] = {
    "whole number": ("int64", "a whole number, as 1234"),
    "number": ("float64", "a number, as 1234.5"),
    "count": ("int64", "a whole number from 1"),
    "decimal places": ("int64", "a whole number from 0"),
    "date": ("date", "a date, as 2025-01-31"),
    "timestamp": ("timestamp[us]", _MOMENT),
    "timestamp with zone": ("timestamp[us,UTC]", _MOMENT),
    "time": ("time[us]", "a time, as 09:30:00"),
    "truth": ("bool", "true or false"),
    "uuid": ("uuid", "a UUID"),
}
"""Types of typed values, and their names for people."""

NONE = Matches()

_RANGES = {"count": range(1, 2**63), "decimal places": range(2**63)}
"""Numbers that are taken, where not all of a type are."""


def typed_as(ask: Ask) -> str:
    """Return a description of the text that a question accepts."""
    if ask.typed == "flags":
        return "or type flags, as shown"
    what = _TYPES[ask.typed][1] if ask.typed in _TYPES else f"a {ask.typed}"
    return f"or type {what}" if ask.options or ask.source else f"type {what}"


def problem_of(ask: Ask, text: str) -> str | None:
    """Return the problem of typed text; None if it is a valid answer."""
    if not text:
        return "nothing was typed"
    if ask.endings and not text.endswith(ask.endings):
        return f"the name of a file ends in {', '.join(ask.endings)}"
    if ask.typed == "flags" and not text.startswith("--"):
        return f"there is no choice {quoted(text)}"
    if ask.about in ("condition", "value") and _SQL.fullmatch(text):
        return f"{quoted(text)} contains quotes or an operator: type only the value"
    return _type_problem(ask, text)


def _type_problem(ask: Ask, text: str) -> str | None:
    type_, what = _TYPES.get(ask.typed or "", ("utf8", "a text"))
    try:
        literal(text, type_)
        is_fitting = type_ != "int64" or int(text) in _RANGES.get(ask.typed or "", (int(text),))
    except (Misfit, ValueError):
        is_fitting = False
    return None if is_fitting else f"{quoted(text)} is not {what}"


class NoAnswer(Exception):
    """Typed text is not an answer; the message says why, and `match` what it may mean."""

    def __init__(self, why: str, match: Matches = NONE) -> None:
        super().__init__(why)
        self.match = match


def read(ask: Ask, choices: Sequence[Option], words: str) -> Answer | Command:
    """Return the typed answer; raises `NoAnswer` if the text is not one."""
    if words in _COMMANDS and all(each.label != words for each in choices):
        return _COMMANDS[words]
    if words.strip():
        return _typed(ask, choices, words) if needs_sign(ask) else _named(ask, choices, words)
    if ask.default is None:
        raise NoAnswer("this question cannot be skipped")
    return Answer(ask.default)


def _named(ask: Ask, choices: Sequence[Option], words: str) -> Answer | Command:
    match = match_options(words.strip(), choices, several=ask.several, display=safe)
    command = f":{words.strip().casefold()}"
    if match.options:
        return Answer(tuple(each.key for each in match.options))
    if ask.typed and (ask.typed != "flags" or words.lstrip().startswith("--")):
        return _free(ask, words.strip() if ask.typed == "flags" else words, match)
    if command in _COMMANDS:
        return _COMMANDS[command]
    is_sentence = ask.about == READ and not match.candidates and len(words.split()) >= _SENTENCE
    raise NoAnswer(SENTENCE if is_sentence else safe(match.problem), match)


def _typed(ask: Ask, choices: Sequence[Option], words: str) -> Answer:
    """Return the option named exactly or by `#` and number, else the text itself.

    Case matters only where the text may be a value. Text that cannot be one is compared with the names.
    """
    exact = [each for each in choices if words in (each.label, safe(each.label))]
    same = exact or [each for each in choices if is_same(each.label, words) and _is_name(ask, each)]
    if len(same) == 1:
        return Answer((same[0].key,))
    if _NUMBERED.fullmatch(words):
        return _numbered(ask, choices, words)
    if ask.several and "," in words:
        return _several(ask, choices, words)
    if not problem_of(ask, words) or words.strip().isdecimal():
        return _free(ask, words)
    match = match_options(words.strip(), choices, several=False, display=safe)
    return Answer((match.options[0].key,)) if match.options else _free(ask, words, match)


def _several(ask: Ask, choices: Sequence[Option], words: str) -> Answer:
    """Return the options named between commas, or the text itself if none is one; raises `NoAnswer` for a mixture."""
    keys = {each.label: each.key for each in reversed(choices)}
    parts = [part.strip() for part in words.split(",")]
    chosen = [keys[part] for part in parts if part in keys]
    if not chosen:
        return _free(ask, words)
    if len(chosen) < len(parts):
        raise NoAnswer(f"not all of {quoted(words)} are choices")
    return Answer(tuple(dict.fromkeys(chosen)))


def _numbered(ask: Ask, choices: Sequence[Option], words: str) -> Answer:
    """Return the options of numbers after `#`."""
    keys = {str(number): option.key for number, option in enumerate(choices, 1)}
    chosen = [keys.get(number) for number in re.findall(r"#(\d+)", words)]
    if None in chosen or (len(chosen) > 1 and not ask.several):
        raise NoAnswer(f"there is no choice {quoted(words)}")
    return Answer(tuple(key for key in dict.fromkeys(chosen) if key is not None))


def needs_sign(ask: Ask) -> bool:
    """Return whether a typed number may be a value: then choices are selected as `#` and number."""
    return ask.typed not in (None, "path", "flags")


def _is_name(ask: Ask, option: Option) -> bool:
    """Tell whether an option is no value of a column, which differs from another one by case."""
    return ask.typed != "text" or not option.key.startswith("v:")


def _free(ask: Ask, words: str, match: Matches = NONE) -> Answer:
    """Return the text as typed; raises `NoAnswer` if it cannot be an answer."""
    if wrong := problem_of(ask, words):
        raise NoAnswer(safe(match.problem) if match.candidates else wrong, match)
    return Answer(text=words)


SENTENCE = (
    "Free text needs a model; this guide works with choices. Choose a table or file, or set up a model: "
    "its key in .env, chat.provider in osiris.yaml, and then 'osiris chat'."
)


def quoted(text: str) -> str:
    """Return the beginning of a text in quotation marks, as messages name it."""
    return f"'{shortened(safe(text), _LABEL)}'"


def named(options: Sequence[Option]) -> str:
    """Return the first options in words; those with commas in quotation marks."""
    labels = ", ".join(
        quoted(each.label) if "," in each.label else shortened(safe(each.label), _LABEL) for each in options[:_NAMED]
    )
    return f"{labels} … and {len(options) - _NAMED:,} more" if len(options) > _NAMED else labels
