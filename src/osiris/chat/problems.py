"""What is wrong, as a model may be told it that sees no rows: the words of a diagnostic without values of the data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue

_OF_THE_TEXT = ("CHT", "CMP", "CON", "LCK", "LLM", "OML", "PRJ", "REG", "SQL")
"""Codes of what is written rather than of what is read, but for those of `_OF_VALUES`."""

_OF_VALUES = ("SQL011",)

_WORDS = """
bytes check column component done encoding expected file kind limit path run_key seconds source step table timeout type
where
"""
_NAMES = frozenset(_WORDS.split())
"""Parameters of diagnostics that name things or count them. All others may quote a row."""

_PLACE = re.compile(r"\{(\w+)\}")
_HIDDEN = "…"


def without_values(problem: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a diagnostic, as JSON, without what may be a value of a row in its message and its hint."""
    code = str(problem["code"])
    row = CODES.get(code)
    is_of_text = code.startswith(_OF_THE_TEXT) and code not in _OF_VALUES
    if is_of_text or (row and _NAMES.issuperset(_PLACE.findall(row.message))):
        return dict(problem)
    told = f"{row.title}: {_masked(row.message, str(problem['message']))}" if row else code
    hint = problem.get("hint")
    return {**problem, "message": told, "hint": hint if row and hint == row.hint else None}


def _masked(template: str, message: str) -> str:
    """Return a message with its template's names as they are, and all else that was put in left out."""
    parts = _PLACE.split(template)
    groups = (f"(.+{'?' if name in _NAMES else ''})" if at % 2 else re.escape(name) for at, name in enumerate(parts))
    found = re.fullmatch("".join(groups), message, re.DOTALL)
    if found is None:
        return _HIDDEN
    told = iter(found.groups())
    shown = (next(told) if at % 2 else text for at, text in enumerate(parts))
    return "".join(text if not at % 2 or parts[at] in _NAMES else _HIDDEN for at, text in enumerate(shown))
