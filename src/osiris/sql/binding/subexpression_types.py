"""The types of the parts of a query, told by the engine: each part is bound where its own names are in sight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.binding.problems import ENGINE_ERRORS, kind_of
from osiris.sql.safety.tree import write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType
    from sqlglot import Dialect as Grammar

    from osiris.model import JsonValue

_NOT_ABOUT_TYPES = ("where", "having", "qualify", "order", "limit", "offset", "distinct")
"""What of a SELECT leaves the types of its columns as they are; without it, less can fail to bind on its own."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Binds parts of a checked statement in an engine that has its inputs; `values` are those of its parameters."""

    engine: DuckDBPyConnection
    values: Mapping[str, JsonValue]
    grammar: type[Grammar]

    def of_query(self, query: exp.Expr) -> dict[str, DuckDBPyType]:
        """Return the types of the columns of a query by folded name, in order; none if it cannot stand alone."""
        return self._bound(standing(query.unnest().copy(), query)) or {}

    def of_recursion(self, cte: exp.CTE) -> dict[str, DuckDBPyType]:
        """Return the types of the columns of a recursive CTE, as its readers see them."""
        source = exp.From(this=exp.Table(this=cte.args["alias"].this.copy()))
        return self._bound(standing(exp.Select(expressions=[exp.Star()], from_=source), cte)) or {}

    def of_values(self, nodes: Sequence[exp.Expr], select: exp.Select) -> list[DuckDBPyType | None]:
        """Return the types of expressions that stand somewhere in a SELECT, None for what cannot be told."""
        found = self._in_select(nodes, select)
        if found is not None:
            return [*found]
        alone = [self._in_select([node], select) if len(nodes) > 1 else None for node in nodes]
        return [each[0] if each else None for each in alone]

    def _in_select(self, nodes: Sequence[exp.Expr], select: exp.Select) -> list[DuckDBPyType] | None:
        """Return their types beside the columns of the SELECT, or, for parts of aggregates, ungrouped."""
        if not nodes:
            return []
        copy = select.copy()
        for key in _NOT_ABOUT_TYPES:
            copy.set(key, None)
        added = [exp.alias_(node.copy(), f"_part_{number}") for number, node in enumerate(nodes)]
        copy.set("expressions", [*copy.expressions, *added])
        found = self._bound(standing(copy, select))
        if found is None:
            copy = copy.copy()
            copy.set("group", None)
            copy.set("expressions", copy.expressions[-len(nodes) :])
            found = self._bound(standing(copy, select))
        return None if found is None else [*found.values()][-len(nodes) :]

    def _bound(self, query: exp.Expr) -> dict[str, DuckDBPyType] | None:
        asked = {each.name for each in query.find_all(exp.Placeholder)}
        values = {name: value for name, value in self.values.items() if name in asked}
        try:
            relation = self.engine.sql(write(query, self.grammar), params=values or None)
        except ENGINE_ERRORS as error:
            if kind_of(error) != "other":
                raise
            return None
        return dict(zip((name.lower() for name in relation.columns), relation.types, strict=True))


def standing(query: exp.Expr, place: exp.Expr) -> exp.Expr:
    """Return a query as a statement of its own, with all that WITH names at the place where it stood."""
    here = place
    while here.parent is not None:
        inside, here = here, here.parent
        if isinstance(here, exp.With):
            recursive = bool(here.args.get("recursive"))
            query = _behind(query, here.expressions[: (inside.index or 0) + recursive], recursive)
        elif here.args.get("with_") and inside.arg_key != "with_":
            named = here.args["with_"]
            query = _behind(query, named.expressions, bool(named.args.get("recursive")))
    return query


def _behind(query: exp.Expr, ctes: list[exp.Expr], recursive: bool) -> exp.Expr:
    if not ctes:
        return query
    source = exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("_part")))
    named = exp.With(expressions=[cte.copy() for cte in ctes], recursive=recursive)
    return exp.Select(expressions=[exp.Star()], from_=exp.From(this=source), with_=named)
