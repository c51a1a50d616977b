"""Names that are no column: where the columns of all relations in sight are known, whatever is named must be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.errors import diagnostic, did_you_mean
from osiris.sql.safety.qualified_names import Members, queries_around, sources_of
from osiris.sql.safety.text import place
from osiris.sql.safety.tree import offset_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.errors import Diagnostic
    from osiris.sql.safety.dialects import Dialect
    from osiris.sql.safety.qualified_names import Catalogue, Names


_WITH_UNIT = frozenset({"get_format", "timestampadd", "timestampdiff"})


def unknown_columns(tree: exp.Expr, sql: str, dialect: Dialect, catalogue: Catalogue) -> Iterator[Diagnostic]:
    """Yield a diagnostic (SQL009) for each name that no relation in sight of it has as a column.

    `catalogue` maps relations to their columns, None where they are not known: beside such a one nothing is judged.
    """
    members = Members(dialect, catalogue)
    for node in tree.find_all(exp.Column):
        if isinstance(node.this, exp.Star) or node.args.get("db") or _is_other(node):
            continue
        names = _of_source(node, members) if node.args.get("table") else _in_sight(node, members)
        if names is None or _word(node.this, dialect) in _folded(names, dialect):
            continue
        problem = f"'{node.table}' has no column '{node.name}' here" if node.table else _no_column(node)
        hint = did_you_mean(node.name, names)
        yield diagnostic("SQL009", at=place(sql, offset_of(node)), problem=problem, hint=hint)


def _is_other(node: exp.Column) -> bool:
    """Tell whether a name is a unit of time, or may be of a lambda's own."""
    around = node.parent
    is_unit = isinstance(around, exp.Anonymous) and around.name.lower() in _WITH_UNIT and node.index == 0
    return is_unit or node.find_ancestor(exp.Lambda, exp.Comprehension) is not None


def _no_column(node: exp.Column) -> str:
    return f"there is no column '{node.name}' here"


def _word(name: exp.Expr, dialect: Dialect) -> str:
    """Return a column's name to compare; where relations are exact, their columns are not."""
    return str(name.name).lower() if "exact names" in dialect.traits else dialect.fold(name)


def _folded(names: Names, dialect: Dialect) -> Names:
    return frozenset(name.lower() for name in names) if "exact names" in dialect.traits else names


def _of_source(node: exp.Column, members: Members) -> Names | None:
    source = members.source_of(node)
    return None if source is None else members.columns(source)


def _in_sight(node: exp.Expr, members: Members) -> Names | None:
    """Return every bare name that may stand where a node stands; None if not all of them are known."""
    names: set[str] = set()
    for query in queries_around(node):
        for source in sources_of(query):
            columns = members.columns(source)
            if columns is None or isinstance(source, exp.Lateral):
                return None
            names |= {*columns, members.alias_of(source) or ""}
        names |= {members.dialect.fold(each.args["alias"]) for each in query.expressions if isinstance(each, exp.Alias)}
    for query in _ordered_around(node):
        outputs = None if query.args.get("by_name") else members.outputs(query)
        if outputs is None:
            return None
        names |= outputs
    return frozenset(names)


def _ordered_around(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the set operations and queries in brackets behind which a node stands: it can name what they give."""
    here = node
    while here.parent is not None:
        inside, here = here, here.parent
        if isinstance(here, (exp.SetOperation, exp.Subquery)) and inside.arg_key == "order":
            yield here
