"""Operations of a fix: RFC 6902 operations on the document, and character changes in its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.errors import Fix
    from osiris.model import JsonValue


def put(pointer: str, value: JsonValue) -> Fix:
    """Replace the value at a pointer."""
    return ({"op": "replace", "path": pointer, "value": value},)


def add(pointer: str, value: JsonValue) -> Fix:
    """Add a key to a mapping, or an entry to a list (`-` appends)."""
    return ({"op": "add", "path": pointer, "value": value},)


def drop(pointer: str) -> Fix:
    """Remove a key with its value, or a list entry; of a duplicate key, the last one."""
    return ({"op": "remove", "path": pointer},)


def rename(pointer: str, key: str) -> Fix:
    """Rename a key within its mapping; `key` is already escaped."""
    return ({"op": "move", "from": pointer, "path": f"{pointer.rpartition('/')[0]}/{key}"},)


def retype(line: int, column: int, old: str, value: str) -> Fix:
    """Replace the characters `old` in a text; line and column count from 1."""
    return ({"op": "text", "line": line, "column": column, "old": old, "value": value},)
