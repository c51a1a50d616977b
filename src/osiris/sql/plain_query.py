"""What the text of a plain query alone proves: its columns, its number of rows, and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import called, deep_recursion, parse
from osiris.sql.scope import from_items, nodes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


COUNT = ""
"""Represents a count, which is no column of a table."""

_AGGREGATES = frozenset({"avg", "max", "min", "sum"})
_CLAUSES = frozenset(
    {"distinct", "expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset"}
)
_MIXING = ("with_", "group", "having", "distinct", "qualify", "windows", "joins", "laterals", "order")
"""Parts of a SELECT that change the order of rows."""
_MANY_ROWS = (exp.Window, exp.Select, exp.SetOperation)
"""Nodes that read more than one row, or other queries."""
_TABLE = frozenset({"this", "db", "catalog", "alias"})


_PLAIN = frozenset(("kind", "expressions", "from_", "order", "operation_modifiers"))
"""Parts of a SELECT that neither leave rows out nor multiply them."""
_MULTIPLYING = frozenset(("generate_subscripts", "regexp_split_to_table", "unnest"))
"""Functions that return several rows when used in the SELECT list."""


def plain_columns(query: str, dialect: str, names: Sequence[str]) -> dict[str, str | None]:
    """Return, for each column of a query, the table column that it is, or aggregates, whatever its alias.

    None where the text alone does not prove it: an expression, a subquery, a whole row.
    """
    with deep_recursion():
        tree = parse(query, DIALECTS[dialect].load_grammar())[0]
    tables = _tables(tree)
    if tables is None:
        return dict.fromkeys(names)
    outputs = tree.expressions
    stars = [star for star in map(_own, outputs) if isinstance(star, exp.Star)]
    if len(stars) == len(outputs) == len(tables) == 1 and not any(stars[0].args.values()):
        return {name: name for name in names}
    if stars or len(outputs) != len(names):
        return dict.fromkeys(names)
    return {name: _column(output, tables) for name, output in zip(names, outputs, strict=True)}


def _tables(tree: exp.Expr) -> list[str] | None:
    """Return the names of a query's tables in it; None if it reads anything but tables."""
    if not isinstance(tree, exp.Select) or not _CLAUSES.issuperset(key for key, value in tree.args.items() if value):
        return None
    if not tree.args.get("from_"):
        return None
    sources = from_items(tree)
    return [source.alias_or_name.lower() for source in sources] if all(map(_is_table, sources)) else None


def _is_table(source: exp.Expr) -> bool:
    is_named = isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier)
    return is_named and not source.alias_column_names and _TABLE.issuperset(k for k, v in source.args.items() if v)


def _own(output: exp.Expr) -> exp.Expr:
    """Return the name or star of a column without its table."""
    inner: exp.Expr = output.this if isinstance(output, exp.Column) else output
    return inner


def _column(output: exp.Expr, rows: Collection[str]) -> str | None:
    value = output.unalias()
    if called(value) == "count":
        return COUNT
    while isinstance(value, (exp.Cast, exp.Paren)) or (called(value) in _AGGREGATES and len(value.expressions) == 1):
        value = value.expressions[0] if isinstance(value, exp.Anonymous) else value.this
    is_column = isinstance(value, exp.Column) and isinstance(value.this, exp.Identifier)
    return value.name if is_column and value.name.lower() not in rows else None


def keeps_row_count(tree: exp.Expr, aggregates: frozenset[str]) -> bool:
    """Tell whether a query returns one row for each row of the one relation that it reads.

    False if that is not certain: a filter, a limit, a join, a grouping, a function that may return several rows.
    """
    if not isinstance(tree, exp.Select) or not _is_plain(tree):
        return False
    nodes = nodes_of(tree)
    if any(isinstance(node, exp.Subquery) for node in nodes):
        return False
    return all(_is_single(node, aggregates) for node in nodes if isinstance(node, exp.Func))


def _is_plain(tree: exp.Select) -> bool:
    used = {key for key, value in tree.args.items() if value}
    table = tree.args["from_"].this if "from_" in used else None
    return used <= _PLAIN and isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier)


def _is_single(node: exp.Func, grouping: frozenset[str]) -> bool:
    """Tell whether a function returns one value per row: it is neither an aggregate nor multiplies rows."""
    name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key
    if isinstance(node, exp.UDTF) or name in _MULTIPLYING:
        return False
    above = node.parent.parent if isinstance(node.parent, exp.Filter) else node.parent
    return name not in grouping or isinstance(above, exp.Window)


def keeps_order(tree: exp.Expr, aggregates: frozenset[str]) -> bool:
    """Tell whether a query only filters, computes and cuts rows of at most one relation, which keeps their order."""
    if isinstance(tree, exp.Subquery):
        return not tree.args.get("joins") and keeps_order(tree.this, aggregates)
    if not isinstance(tree, exp.Select):
        return isinstance(tree, exp.Values)
    source = tree.args.get("from_")
    children = [child for child in tree.iter_expressions() if child is not source]
    if any(map(tree.args.get, _MIXING)) or any(_mixes(each, aggregates) for each in children):
        return False
    return source is None or _source_keeps_order(source.this, aggregates)


def _source_keeps_order(source: exp.Expr, aggregates: frozenset[str]) -> bool:
    if isinstance(source, exp.Subquery):
        return keeps_order(source, aggregates)
    return isinstance(source, (exp.Table, exp.Values)) and not source.args.get("joins")


def _mixes(part: exp.Expr, aggregates: frozenset[str]) -> bool:
    """Tell whether a part of a SELECT reads more than one row, or other queries."""
    return any(isinstance(node, _MANY_ROWS) or called(node) in aggregates for node in nodes_of(part))
