"""Offsets in a text as lines and columns."""

from __future__ import annotations

from osiris.errors import Location


def place(text: str, offset: int | None) -> Location:
    """Return line and column (from 1) of a 0-based offset; an empty place for None."""
    if offset is None:
        return Location()
    before = text[: max(0, offset)]
    return Location(line=before.count("\n") + 1, column=len(before) - (before.rfind("\n") + 1) + 1)
