"""Numbers for people: tables in which they stand below each other, and nouns that agree with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.cli.render import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from osiris.cli.render import Line


def figures(rows: Iterable[Sequence[object]], header: Sequence[str]) -> list[Line]:
    """Return the lines of a table; columns with numbers are right-aligned, without decimals, in groups of three."""
    columns = [_column(title, cells) for title, *cells in zip(header, *rows, strict=True)]
    head, *lines = zip(*columns, strict=True)
    return table(lines, head)


def _column(title: str, cells: Sequence[object]) -> list[str]:
    texts = [title, *(_text(cell) for cell in cells)]
    if not any(_is_number(cell) for cell in cells):
        return texts
    width = max(map(len, texts))
    return [text.rjust(width) for text in texts]


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.0f}"
    return f"{cell:,}" if _is_number(cell) else str(cell)


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 output`, `1,024 outputs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
