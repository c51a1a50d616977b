"""What a diagnostic may suggest: operations of RFC 6902 on the document, and changes of characters of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.errors import Fix
    from osiris.model import JsonValue


def put(pointer: str, value: JsonValue) -> Fix:
    """Put a value in the place of the one at a pointer."""
    return ({"op": "replace", "path": pointer, "value": value},)


def add(pointer: str, value: JsonValue) -> Fix:
    """Give a mapping a key that it does not have, or a list an entry (`-`: at its end)."""
    return ({"op": "add", "path": pointer, "value": value},)


def drop(pointer: str) -> Fix:
    """Take a key with its value, or an entry of a list, away; of a key that stands there twice, the last one."""
    return ({"op": "remove", "path": pointer},)


def rename(pointer: str, key: str) -> Fix:
    """Give the value at a pointer another key in the same mapping; `key` is escaped already."""
    return ({"op": "move", "from": pointer, "path": f"{pointer.rpartition('/')[0]}/{key}"},)


def retype(line: int, column: int, old: str, value: str) -> Fix:
    """Put other characters where a text has `old`; line and column count from 1."""
    return ({"op": "text", "line": line, "column": column, "old": old, "value": value},)
