"""Which columns of its tables a query gives as they are: all that can be told of one that runs on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import deep_recursion, parse

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

COUNT = ""
"""Stands for a count, which is no column of a table."""

_AGGREGATES = frozenset({"avg", "max", "min", "sum"})
_CLAUSES = frozenset(
    {"distinct", "expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset"}
)
_TABLE = frozenset({"this", "db", "catalog", "alias"})


def plain_columns(query: str, dialect: str, names: Sequence[str]) -> dict[str, str | None]:
    """Return the column of a table that each column of a query is, whatever it is called, or is an aggregate of.

    It is None where that does not follow from the text alone: an expression, a subquery, a whole row.
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
    """Return what the tables of a query are called in it; None if it reads anything else than tables."""
    if not isinstance(tree, exp.Select) or not _CLAUSES.issuperset(key for key, value in tree.args.items() if value):
        return None
    if not tree.args.get("from_"):
        return None
    sources = [tree.args["from_"].this, *(join.this for join in tree.args.get("joins") or ())]
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
    if isinstance(value, exp.Anonymous) and value.name.lower() == "count":
        return COUNT
    while isinstance(value, (exp.Cast, exp.Paren)) or _is_aggregate(value):
        value = value.expressions[0] if isinstance(value, exp.Anonymous) else value.this
    is_column = isinstance(value, exp.Column) and isinstance(value.this, exp.Identifier)
    return value.name if is_column and value.name.lower() not in rows else None


def _is_aggregate(value: exp.Expr) -> bool:
    is_call = isinstance(value, exp.Anonymous) and value.name.lower() in _AGGREGATES
    return is_call and len(value.expressions) == 1
