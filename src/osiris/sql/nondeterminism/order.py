"""A total order: rows that the author's ORDER BY leaves equal cannot change places between runs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import canonical, deep_recursion, parse

if TYPE_CHECKING:
    from collections.abc import Sequence


def with_total_order(text: str, columns: Sequence[str], dialect: str = "duckdb") -> str:
    """Return a canonical query whose outermost ORDER BY ends with all output columns, by position.

    `columns` are the output columns. A query that is not ordered is returned as it is, and so is one whose order is
    total already. The result is canonical, and calling this again changes nothing.
    """
    grammar = DIALECTS[dialect].load_grammar()
    with deep_recursion():
        tree = parse(text, grammar)[0]
        order: exp.Order = tree.args.get("order") or exp.Order(expressions=[])
        missing = _missing(order, columns) if is_ordered(tree) and not _keeps_ties(tree) else []
        if not missing:
            return text
        first = grammar.NULL_ORDERING == "nulls_are_small"
        for position in missing:
            key = exp.Literal.number(position)
            order.append("expressions", exp.Ordered(this=key, nulls_first=first))
        steady = canonical(tree, grammar)
    return steady[0] if steady else text


def _keeps_ties(tree: exp.Expr) -> bool:
    """Tell whether rows that the order leaves equal to the last are given too: one that leaves none gives fewer."""
    limit = tree.args.get("limit")
    options = limit.args.get("limit_options") if limit else None
    return bool(options and options.args.get("with_ties"))


def is_ordered(tree: exp.Expr) -> bool:
    """Tell whether the outermost query has an ORDER BY that can be made total.

    Where text is compared under a collation, unequal texts tie, and a column keeps its collation: nothing breaks such
    ties by comparing columns.
    """
    return bool(tree.args.get("order")) and tree.find(exp.Collate) is None


def _missing(order: exp.Order, columns: Sequence[str]) -> list[int]:
    """Return the positions (from 1) of the output columns that do not stand in the ORDER BY by themselves."""
    keys = [ordered.this for ordered in order.expressions]
    if any(isinstance(key, (exp.Var, exp.All)) and key.name.upper() in ("ALL", "") for key in keys):
        return []
    folded = [name.lower() for name in columns]
    alone = {name for name, times in Counter(folded).items() if times == 1}
    covered = {folded.index(name) + 1 for key in keys if (name := _bare_name(key)) in alone}
    covered |= {int(key.name) for key in keys if isinstance(key, exp.Literal) and key.is_int}
    return [position for position in range(1, len(columns) + 1) if position not in covered]


def _bare_name(key: exp.Expr) -> str:
    return key.name.lower() if isinstance(key, exp.Column) and not key.table else ""


def written_order(tree: exp.Expr, columns: Sequence[str]) -> list[exp.Expr]:
    """Return the keys of the outermost ORDER BY without those that `with_total_order` added behind them."""
    order = tree.args.get("order")
    keys: list[exp.Expr] = list(order.expressions) if order else []
    for count in range(1, len(keys)):
        rest = [int(each.this.name) if _is_position(each.this) else 0 for each in keys[count:]]
        if rest == _missing(exp.Order(expressions=[each.copy() for each in keys[:count]]), columns):
            return keys[:count]
    return keys


def _is_position(key: exp.Expr) -> bool:
    return isinstance(key, exp.Literal) and bool(key.is_int)
