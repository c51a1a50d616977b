"""How many rows a query gives, where that is certain without looking at any."""

from __future__ import annotations

from sqlglot import exp

from osiris.sql.safety.dialects import DIALECTS, load_allowed
from osiris.sql.safety.tree import deep_recursion, parse

_PLAIN = frozenset(("kind", "expressions", "from_", "order", "operation_modifiers"))
"""Parts of a SELECT that neither leave rows out nor multiply them."""
_MULTIPLYING = frozenset(("generate_subscripts", "regexp_split_to_table", "unnest"))
"""Functions that give several rows where they stand among the columns."""


def keeps_row_count(text: str, dialect: str = "duckdb") -> bool:
    """Tell whether a canonical query gives one row for each row of the one relation that it reads.

    False wherever that is not certain: a filter, a limit, a join, a grouping, a function that may give several rows.
    """
    grammar = DIALECTS[dialect].load_grammar()
    with deep_recursion():
        tree = parse(text, grammar)[0]
        if not isinstance(tree, exp.Select) or not _is_plain(tree) or tree.find(exp.Subquery):
            return False
        grouping = load_allowed(DIALECTS[dialect]).aggregates
        return all(_is_single(node, grouping) for node in tree.find_all(exp.Func))


def _is_plain(tree: exp.Select) -> bool:
    used = {key for key, value in tree.args.items() if value}
    table = tree.args["from_"].this if "from_" in used else None
    return used <= _PLAIN and isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier)


def _is_single(node: exp.Func, grouping: frozenset[str]) -> bool:
    """Tell whether a function gives one value a row: it does unless it makes one of many rows, or many of one."""
    name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key
    if isinstance(node, exp.UDTF) or name in _MULTIPLYING:
        return False
    return name not in grouping or _in_window(node)


def _in_window(node: exp.Func) -> bool:
    above = node.parent.parent if isinstance(node.parent, exp.Filter) else node.parent
    return isinstance(above, exp.Window)
