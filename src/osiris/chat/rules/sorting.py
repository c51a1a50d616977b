"""What the rows of a result are sorted by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.chat.rules.answers import Ask, Cannot
from osiris.chat.rules.lexicon import is_date, is_number
from osiris.chat.rules.measuring import expression_of
from osiris.chat.rules.naming import Piece, name, ref_of
from osiris.chat.rules.query import UNKNOWN, Aggregate, Mention
from osiris.chat.rules.scope import Ref, Scope
from osiris.chat.rules.shape import Selected, Shape, is_grouped
from osiris.chat.rules.subjects import key_of_aggregate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.chat.rules.query import Order, Said


_SO_MANY = 10
"""Rows of `the largest orders` where that is not asked."""


def sort(said: Said, scope: Scope, shape: Shape) -> None:
    """Put what rows are sorted by into a shape; asks for what is not clear."""
    for order in said.orders:
        for piece in _key(order, said, scope, shape):
            shape.order.append((*piece, " DESC") if order.descending else piece)
    measured = [each for each in shape.columns if each.aggregate]
    if shape.limit is not None and said.groups and any(order.text.startswith("\0") for order in said.orders):
        raise Cannot("I cannot take the first of each group, only the first of all")
    if said.ranked and not shape.order and len(measured) == 1:
        shape.order.append((name(measured[0].name), "" if said.bottom else " DESC"))
    if shape.limit == UNKNOWN and scope.fast:
        shape.limit = _SO_MANY
        scope.assume(f"the first {_SO_MANY} are taken")
    if shape.limit == UNKNOWN:
        raise Ask("limit", "How many of them?")
    if shape.limit is not None and not shape.order:
        raise Ask("top", f"The first {shape.limit} by what?", _ranks(scope))
    if scope.fast and not shape.order and (groups := [each.name for each in shape.columns if each.is_group]):
        scope.assume(f"rows are sorted by {', '.join(groups)}")
    if shape.order or is_grouped(shape):
        _break_ties(scope, shape)


def _ranks(scope: Scope) -> tuple[str, ...]:
    main = scope.main[0] if scope.main else None
    numbers = (
        [each.name for each in (main.columns or ()) if is_number(each) and not scope.is_key(main, each)] if main else []
    )
    dates = [each.name for each in (main.columns or ()) if is_date(each)] if main else []
    many = [edge.many.name for edge in scope.graph.edges.get(main.id, ()) if edge.one == main] if main else []
    return tuple(dict.fromkeys([*numbers, *dates, *(f"number of {each}" for each in many)]))


def _break_ties(scope: Scope, shape: Shape) -> None:
    """Order rows that are equal otherwise, so that the same rows come out each time."""
    if is_grouped(shape):
        rest: list[Piece] = [(name(each.name),) for each in shape.columns if each.is_group]
    elif shape.distinct or not scope.main or not shape.whole:
        rest = []
    else:
        rest = [(ref_of(scope.main[0], key),) for key in scope.main[0].primary_key]
    shape.order += [each for each in rest if each not in shape.order and (*each, " DESC") not in shape.order]


def _key(order: Order, said: Said, scope: Scope, shape: Shape) -> list[Piece]:
    """Return what an order is by: a column of the result by its name, or another column."""
    measured = [each for each in shape.columns if each.aggregate]
    if isinstance(order.by, Aggregate):
        wanted = key_of_aggregate(order.by)
        same = [each for each in measured if each.aggregate and key_of_aggregate(each.aggregate) == wanted]
        return [(name(each.name),) for each in same[:1]]
    if order.by is None:
        return [_unnamed(order, said, scope, shape)]
    if isinstance(order.by, Mention):
        by_text = [each for each in shape.columns if each.name.lower() == order.by.text.lower().replace(" ", "_")]
        by_text = by_text or [
            each for each in shape.columns if each.is_group and each.by_mention.lower() == order.by.text.lower()
        ]
        if by_text:
            return [(name(by_text[0].name),)]
    if measured:
        return [_measured(order, measured, scope, shape)]
    return [expression_of(order.by, scope)]


def _measured(order: Order, measured: Sequence[Selected], scope: Scope, shape: Shape) -> Piece:
    piece = expression_of(order.by, scope) if order.by and not isinstance(order.by, Aggregate) else ()
    for each in shape.columns:
        if each.piece == piece or (
            each.aggregate and any(part in each.piece for part in piece if isinstance(part, Ref))
        ):
            return (name(each.name),)
    raise Cannot(
        f"the result has no '{order.text}' to sort by; its numbers are {', '.join(each.name for each in measured)}"
    )


def _unnamed(order: Order, said: Said, scope: Scope, shape: Shape) -> Piece:
    """Return what an order is by that names nothing: what is counted, the only date, the label."""
    words = order.text.removeprefix("\0") if order.text.startswith("\0") else ""
    measured = [each for each in shape.columns if each.aggregate]
    if measured and words in ("", "measure"):
        options = [(each.name, each) for each in measured]
        picked = scope.pick("order of", "Sorted by which?", options)
        return (name(picked.name),) if isinstance(picked, Selected) else ()
    if not scope.main or measured:
        raise Ask("order", "Sorted by what?")
    main = scope.main[0]
    text = said.tables[0].text if said.tables else main.name
    if "alphabetical" in order.text and (label := scope.label_of(main)):
        return (label,)
    if words == "date" or "newest" in order.text or "oldest" in order.text or "latest" in order.text:
        return (scope.date_of([main], "latest" if order.descending else "earliest"),)
    if words:
        wanted = [] if words == "measure" else words.split()
        return (scope.measure_of(main, wanted, f"{'largest' if order.descending else 'smallest'} {text}"),)
    if (groups := [each for each in shape.columns if each.is_group]) and len(groups) == 1:
        return (name(groups[0].name),)
    raise Ask("order", "Sorted by what?", tuple(each.name for each in main.columns or ())[:12])
