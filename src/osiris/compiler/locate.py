"""Where a place inside a text of a pipeline stands in its file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from osiris.errors import Location

_BLOCK = re.compile(r"[|>][0-9+-]*[ \t]*(#.*)?$")


def locate(root: Path, at: Location, pointer: str, inside: Location, text: str) -> Location:
    """Return the place of line and column `inside` a text whose YAML scalar begins at `at`.

    The file is read again for this. Where it tells no exact place (an escape, a folded text, a parameter put in
    before), the beginning of the scalar is named, with `pointer`.
    """
    whole = replace(at, pointer=pointer)
    if at.file is None or at.line is None or inside.line is None:
        return whole
    try:
        lines = (root / at.file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return whole
    line, column = _place(lines, at, inside, text.splitlines())
    return whole if line is None else replace(whole, line=line, column=column)


def _place(lines: list[str], at: Location, inside: Location, text: list[str]) -> tuple[int | None, int | None]:
    line, column = inside.line or 1, inside.column or 1
    first, start = (at.line or 1) - 1, (at.column or 1) - 1
    before = text[line - 1][: column - 1] if line <= len(text) else ""
    head = lines[first][start:] if first < len(lines) else ""
    if _BLOCK.match(head):
        return _block_place(lines, first + line, before) if head.startswith("|") else (None, None)
    quote = 1 if head[:1] in ("'", '"') else 0
    if line == 1 and head[quote:].startswith(before):
        return first + 1, start + quote + column
    return None, None


def _block_place(lines: list[str], index: int, before: str) -> tuple[int | None, int | None]:
    """Return the place in a literal block, where `before` stands before it in its line."""
    if index >= len(lines):
        return None, None
    indent = _spaces(lines[index]) - (_spaces(before) if before.strip() else len(before))
    exact = indent >= 0 and lines[index][indent:].startswith(before)
    return index + 1, indent + len(before) + 1 if exact else None


def _spaces(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
