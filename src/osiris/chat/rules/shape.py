"""A statement in its parts, before its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.chat.rules.naming import Piece
    from osiris.chat.rules.query import Aggregate


@dataclass(slots=True)
class Selected:
    """A column of the result: its SQL, its name, whether rows are grouped by it, and what it aggregates."""

    piece: Piece
    name: str
    is_group: bool = False
    aggregate: Aggregate | None = None
    by_mention: str = ""


@dataclass(slots=True)
class Shape:
    """A SELECT in its parts; no `columns` are all of the first table."""

    columns: list[Selected] = field(default_factory=list)
    whole: bool = False
    where: list[Piece] = field(default_factory=list)
    having: list[Piece] = field(default_factory=list)
    order: list[Piece] = field(default_factory=list)
    limit: int | None = None
    distinct: bool = False


def is_grouped(shape: Shape) -> bool:
    """Tell whether rows are grouped or aggregated."""
    return any(each.is_group or each.aggregate for each in shape.columns)
