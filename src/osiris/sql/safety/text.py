"""Offsets in a text as lines and columns, and back."""

from __future__ import annotations

from osiris.errors import Location


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
