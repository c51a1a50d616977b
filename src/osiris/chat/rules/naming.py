"""Names and texts as SQL has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.chat.rules.scope import Ref
from osiris.chat.rules.vocabulary import word_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.chat.choices import Relation


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """Return an identifier as SQL has it: plain where that is safe."""
    plain = text.isascii() and text.isidentifier() and text.islower() and text not in _RESERVED
    return text if plain else '"' + text.replace('"', '""') + '"'


_RESERVED = word_set("""
    all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create
    default deferrable desc describe distinct do else end except false fetch for foreign from group having in
    initially intersect into lambda lateral leading limit not null offset on only or order pivot placing primary
    qualify references returning select show some summarize symmetric table then to trailing true union unique
    unpivot using variadic when where window with date time timestamp interval year month day hour minute second
    position left right
    """)
"""Words that are quoted as names: those that SQL reserves, and those that it has other uses for."""


def ref_of(relation: Relation, column: str) -> Ref:
    """Return a column of a relation by its name."""
    return next(Ref(relation, each) for each in relation.columns or () if each.name == column)


Piece = tuple[str | Ref, ...]
"""SQL text in which columns are still open, as their names depend on what else is read."""


def joined(pieces: Sequence[Piece], between: str) -> Piece:
    """Return pieces with something between them."""
    parts: list[str | Ref] = []
    for piece in pieces:
        parts += [between, *piece] if parts else piece
    return tuple(parts)
