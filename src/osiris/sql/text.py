"""Offsets in a text as lines and columns, and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.document.edits import retype
from osiris.errors import Location

if TYPE_CHECKING:
    from osiris.errors import Fix

_WORD = re.compile(r"\w+")


def place(text: str, offset: int | None) -> Location:
    """Return line and column (from 1) of a 0-based offset; an empty place for None."""
    if offset is None:
        return Location()
    before = text[: max(0, offset)]
    return Location(line=before.count("\n") + 1, column=len(before) - (before.rfind("\n") + 1) + 1)


def offset_at(text: str, at: Location) -> int:
    """Return the 0-based offset of a line and a column; the end of the text for one that is behind it."""
    before = text.split("\n")[: (at.line or 1) - 1]
    return min(len(text), sum(len(line) + 1 for line in before) + (at.column or 1) - 1)


def respell(text: str, offset: int | None, near: str | None) -> Fix:
    """Return the fix that puts a name that was meant in the place of the word at an offset of a text."""
    word = _WORD.match(text, offset) if offset is not None and near is not None else None
    if word is None or near is None or not _WORD.fullmatch(near):
        return ()
    at = place(text, offset)
    return retype(at.line or 1, at.column or 1, word[0], near)
