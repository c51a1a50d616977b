"""Which inputs of a flat statement can be in buckets together: those whose columns a join or WHERE holds equal.

Let an item of FROM be cut by columns C, and J be the rows that FROM and WHERE give. The part of a bucket has the rows
of J whose cut row is in it, if other items are fed by columns as follows.

1. A conjunct `a = b` of WHERE, or of the ON or USING of an inner join, holds for all rows of J, of the whole statement
   and of each part. So a column that such conjuncts connect with one of C equals it in each row of J, and is not NULL.
   An item with such a column for each of C has no row in J with another hash than the cut row. It can be fed by them.
2. The ON or USING of a LEFT JOIN holds only for rows that match. The joined item can still be fed by its columns, if
   for each of C a conjunct compares one of them with a column of rule 1, or of an item that this rule fed before. Where
   that other column is NULL, nothing matches. Where it is not, it has the hash of the cut row, and so do all rows that
   match. So in each part the same rows match, or none, as in the whole statement.

Equal values must have equal hashes: both columns have one exact type, or are integers of any size. NULL is equal to
nothing; so `IS NOT DISTINCT FROM` does not count. One below OR or NOT is no conjunct.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from osiris.sql.exactness import INTEGER, kind_of_type
from osiris.sql.flat import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.sql.flat import Flat


class Bucket(NamedTuple):
    """Columns of the cut item, and those of `others` that equal them, in the same order; by folded names."""

    columns: tuple[str, ...]
    others: Mapping[str, tuple[str, ...]]


def best_bucket(flat: Flat, alias: str, columns: Sequence[str]) -> Bucket:
    """Return the columns of an item to cut it by: the most other items are fed by them. Ties: the most columns."""
    if not columns:
        return Bucket((), {})
    equal = {column: _equal(flat, Origin(alias, column)) for column in columns}
    wider = {
        column: tuple(each for each in columns if equal[column].keys() <= equal[each].keys()) for column in columns
    }
    best = max(columns, key=lambda each: (len(equal[each]), len(wider[each])))
    return Bucket(wider[best], {item: tuple(equal[each][item] for each in wider[best]) for item in equal[best]})


def _equal(flat: Flat, column: Origin) -> dict[str, str]:
    """Return the columns that equal one, by item: the first one found of each item whose input is read once."""
    certain, optional = [*_compared(flat, flat.tree.args.get("where"))], []
    for alias, item in flat.items.items():
        pairs = _joined(flat, alias)
        if item.is_optional:
            optional += [(mine, other) for mine, other in pairs if mine.item == alias != other.item]
        else:
            certain += pairs
    reached = [column]
    for match in reached:  # which grows
        reached += dict.fromkeys(other for one, other in certain if one == match and other not in reached)
    for mine, other in optional:
        if other in reached and mine not in reached:
            reached.append(mine)
    times = Counter(item.input for item in flat.items.values())
    once = [each for each in reversed(reached) if times[flat.items[each.item].input] == 1]
    return {each.item: each.column for each in once if each.item != column.item}


def _joined(flat: Flat, alias: str) -> list[tuple[Origin, Origin]]:
    """Return the columns that the join of an item holds equal, in both orders."""
    item, earlier = flat.items[alias], [*flat.items][: [*flat.items].index(alias)]
    pairs = [*_compared(flat, item.node.parent.args.get("on"))] if item.node.parent else []
    for name in sorted(item.using):
        owners = flat.owners(name, earlier)
        if len(owners) == 1:
            pairs += _both(flat, Origin(alias, name), Origin(owners[0], name))
    return pairs


def _compared(flat: Flat, condition: exp.Expr | None) -> Iterator[tuple[Origin, Origin]]:
    """Yield the columns that the conjuncts of WHERE or ON hold equal, in both orders."""
    waiting = [condition] if condition else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, (exp.And, exp.Paren, exp.Where)):
            waiting += node.iter_expressions()
        elif isinstance(node, exp.EQ):
            left, right = flat.origin(node.this), flat.origin(node.expression)
            if left and right:
                yield from _both(flat, left, right)


def _both(flat: Flat, left: Origin, right: Origin) -> Iterator[tuple[Origin, Origin]]:
    types = [flat.items[each.item].types[each.column] for each in (left, right)]
    kinds = {kind_of_type(each) for each in types}
    if kinds == {INTEGER} or (None not in kinds and len({*types}) == 1):
        yield from ((left, right), (right, left))
