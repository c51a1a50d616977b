"""In which order the rows of a query come: sorted, as those of some relations come, or in none that is fixed."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

Arrival = frozenset[str] | None
"""The relations whose order decides, folded (none: the order is fixed anyhow); None if nothing fixes it."""

FIXED: frozenset[str] = frozenset()

_MIXING = ("group", "having", "qualify", "joins", "laterals")


@dataclass(slots=True)
class Names:
    """What the names in FROM stand for; remembers the CTEs of each WITH of one tree."""

    ctes: dict[int, dict[str, exp.CTE]] = field(default_factory=dict)

    def cte(self, table: exp.Expr) -> exp.CTE | None:
        """Return the CTE that is meant, one that stands before; None for a relation."""
        here: exp.Expr | None = table
        inside: exp.Expr | None = None
        while here is not None:
            inside = here if isinstance(here, exp.CTE) else inside
            cte = self._named(here.args.get("with_")).get(table.name.lower())
            if cte and (inside is None or inside.parent is not cte.parent or (cte.index or 0) < (inside.index or 0)):
                return cte
            here = here.parent
        return None

    def _named(self, node: exp.With | None) -> dict[str, exp.CTE]:
        if node is None:
            return {}
        if id(node) not in self.ctes:
            self.ctes[id(node)] = {cte.alias.lower(): cte for cte in node.expressions}
        return self.ctes[id(node)]


@dataclass(slots=True)
class Arrivals:
    """What fixes the order of the rows of the queries of one tree, each asked for once."""

    names: Names
    aggregates: frozenset[str]
    known: dict[int, Arrival] = field(default_factory=dict)

    def of(self, query: exp.Expr) -> Arrival:
        """Return what fixes the order of the rows of a query.

        The engine keeps it through filters, UNION ALL, subqueries and windows over all rows; nothing else counts on.
        """
        if id(query) not in self.known:
            self.known[id(query)] = FIXED if query.args.get("order") else self._unordered(query)
        return self.known[id(query)]

    def before(self, select: exp.Select) -> Arrival:
        """Return what fixes the order of the rows that a SELECT takes in, before its windows, DISTINCT and ORDER BY."""
        if any(select.args.get(key) for key in _MIXING):
            return None
        source = select.args.get("from_")
        return FIXED if source is None else self._of_source(source.this)

    def _unordered(self, query: exp.Expr) -> Arrival:
        if isinstance(query, exp.Values):
            return FIXED
        if isinstance(query, exp.Subquery):
            return None if query.args.get("joins") else self.of(query.this)
        if isinstance(query, exp.Union) and query.args.get("distinct") is False:
            left, right = self.of(query.left), self.of(query.right)
            return None if left is None or right is None else left | right
        if not isinstance(query, exp.Select):
            return None
        if aggregates(query, self.aggregates):
            return FIXED
        return None if _moves_rows(query) else self.before(query)

    def _of_source(self, source: exp.Expr) -> Arrival:
        if source.args.get("joins") or source.args.get("laterals"):
            return None
        if not isinstance(source, exp.Table):
            return FIXED if isinstance(source, exp.Unnest) else self.of(source)
        if isinstance(source.this, exp.Anonymous):
            return FIXED
        cte = self.names.cte(source)
        if cte is None:
            return frozenset({source.name.lower()})
        recursive = isinstance(cte.parent, exp.With) and cte.parent.args.get("recursive")
        return None if recursive else self.of(cte.this)


def _moves_rows(select: exp.Select) -> bool:
    windows = [window for each in select.expressions for window in each.find_all(exp.Window)]
    keys = ("partition_by", "order", "alias")
    return bool(select.args.get("distinct")) or any(window.args.get(key) for window in windows for key in keys)


def aggregates(select: exp.Select, names: frozenset[str]) -> bool:
    """Tell whether a SELECT makes one row of all: it has no GROUP BY, and aggregates outside of windows."""
    return not select.args.get("group") and any(_gathers(each, names) for each in select.expressions)


def _gathers(value: exp.Expr, names: frozenset[str]) -> bool:
    """Tell whether a value is made from many rows, by an aggregate outside of windows and inner queries."""
    calls = value.walk(prune=lambda inner: isinstance(inner, (exp.Select, exp.Window)))
    return any(isinstance(call, exp.Anonymous) and call.name.lower() in names for call in calls)


def is_total(query: exp.Expr, names: frozenset[str]) -> bool:
    """Tell whether an ORDER BY plainly tells all rows apart: its keys are all columns, or all that are grouped by."""
    if isinstance(query, exp.Select) and aggregates(query, names):
        return True
    if not isinstance(query, exp.Query):
        return False
    columns = [each.alias_or_name.lower() for each in query.selects]
    keys = {_name(ordered.this, columns) for ordered in query.args["order"].expressions}
    return "all" in keys or _distinguishing(query, columns, names) <= keys - {"", "*"}


def _distinguishing(query: exp.Query, columns: list[str], names: frozenset[str]) -> set[str]:
    group = query.args.get("group")
    if group is None or not (group.expressions or group.args.get("all")):
        return set(columns) or {""}
    if group.args.get("all"):
        return {each.alias_or_name.lower() for each in query.selects if not _gathers(each, names)}
    return {_name(each, columns) for each in group.expressions}


def _name(key: exp.Expr, columns: list[str]) -> str:
    """Return the name of a bare column, or of that at a position; nothing for anything else."""
    if isinstance(key, exp.Literal) and key.is_int:
        return dict(enumerate(columns, 1)).get(int(key.name), "")
    if isinstance(key, exp.All) or (isinstance(key, exp.Var) and key.name.upper() == "ALL"):
        return "all"
    return key.name.lower() if isinstance(key, exp.Column) else ""
