"""What stands behind a dot: a column, or on some servers a call.

PostgreSQL reads `t.f` as a call of the function `f` with a row of `t` where `t` has no column `f`. So where the columns
of the relations are known, every such name must be one of them; of what a query computes, the names are known anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.errors import diagnostic, did_you_mean
from osiris.sql.safety.text import place
from osiris.sql.safety.tree import QUERIES, offset_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from osiris.errors import Diagnostic
    from osiris.sql.safety.dialects import Dialect

    Catalogue = Mapping[str, Collection[str] | None]

Names = frozenset[str]

_OF_EVERY_TABLE = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})
_OF_FUNCTIONS = {
    "json_each": ("key", "value"), "json_each_text": ("key", "value"),
    "jsonb_each": ("key", "value"), "jsonb_each_text": ("key", "value"),
    "json_array_elements": ("value",), "json_array_elements_text": ("value",),
    "jsonb_array_elements": ("value",), "jsonb_array_elements_text": ("value",),
}  # fmt: skip
_OF_ROWS = frozenset({
    "count", "json_agg", "json_build_array", "json_build_object", "json_object_agg", "jsonb_agg", "jsonb_build_array",
    "jsonb_build_object", "jsonb_object_agg", "num_nonnulls", "num_nulls", "pg_column_size", "row_to_json", "to_json",
    "to_jsonb",
})  # fmt: skip
"""Functions that take any row, and give none back."""
_PASSING = (exp.Bracket, exp.Cast, exp.Collate, exp.Filter, exp.Paren, exp.Window, exp.WithinGroup)
"""What a name goes through."""


def unknown_members(tree: exp.Expr, sql: str, dialect: Dialect, catalogue: Catalogue) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each `t.f` that may be no column, and for each row that is given away as a whole.

    `catalogue` maps relations to their columns, None where they are not known: what is a column of those is not judged.
    """
    members = Members(dialect, catalogue)
    for node in tree.find_all(exp.Column):
        at = place(sql, offset_of(node))
        if members.is_row(node):
            if not _keeps_row(node, dialect):
                problem = f"'{node.table or node.name}' is a whole row here, for which anybody may have made a function"
                yield diagnostic("SQL009", at=at, problem=problem, hint="name its columns, or write to_jsonb(…)")
        elif node.args.get("table") and not isinstance(node.this, exp.Star):
            source = members.source_of(node)
            columns = members.columns(source) if source is not None else frozenset()
            if columns is not None and dialect.fold(node.this) not in columns:
                problem = f"'{node.table}' has no column '{node.name}' here"
                yield diagnostic("SQL009", at=at, problem=problem, hint=did_you_mean(node.name, columns))


def _keeps_row(node: exp.Expr, dialect: Dialect) -> bool:
    """Tell whether a whole row stays with the server's own functions, or is what the statement gives."""
    around, inside = node.parent, node
    while isinstance(around, (exp.Alias, exp.Distinct, exp.Order, exp.Ordered, exp.Paren)) and around.parent:
        around, inside = around.parent, around
    if isinstance(around, exp.Anonymous):
        return dialect.call_of(around) in _OF_ROWS
    if isinstance(around, exp.Cast):
        return around.to.this in (exp.DType.TEXT, exp.DType.VARCHAR)
    if isinstance(around, exp.Select):
        is_output = inside.arg_key == "expressions"
        return not is_output or isinstance(node.this, exp.Star) or _is_outermost(around)
    return isinstance(around, (exp.EQ, exp.Group, exp.Is, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Window))


def _is_outermost(query: exp.Expr) -> bool:
    while isinstance(query.parent, (exp.SetOperation, exp.Subquery)) and not query.parent.alias:
        query = query.parent
    return query.parent is None


@dataclass(slots=True)
class Members:
    """Looks up what is behind a dot, in one tree. A set of names that is None is not known."""

    dialect: Dialect
    catalogue: Catalogue
    _known: dict[int, Names | None] = field(default_factory=dict)

    def is_row(self, column: exp.Expr) -> bool:
        """Tell whether a name stands for all columns of an item of FROM at once."""
        if isinstance(column.this, exp.Star):
            return bool(column.args.get("table")) and not isinstance(column.parent, exp.Select)
        if column.args.get("table"):
            return False
        wanted, found = self.dialect.fold(column.this), None
        for source in (each for query in queries_around(column) for each in sources_of(query)):
            if wanted in (self.columns(source) or ()):
                return False
            if found is None and wanted == self.alias_of(source) and not _is_function(source):
                found = source
        return found is not None and bool(found.alias or self.columns(found) is not None)

    def source_of(self, column: exp.Expr) -> exp.Expr | None:
        """Return the item of FROM that a column is said to be of: the nearest one around it by that name."""
        wanted = self.dialect.fold(column.args["table"])
        for query in queries_around(column):
            for source in sources_of(query):
                if wanted == self.alias_of(source):
                    return source
        return None

    def alias_of(self, source: exp.Expr) -> str | None:
        """Return the name that an item of FROM has in its query, if it has one."""
        alias = source.args.get("alias")
        if alias and alias.this:
            return self.dialect.fold(alias.this)
        inner = source.this if isinstance(source, (exp.Table, exp.Lateral)) else source
        if isinstance(inner, exp.Anonymous):
            return self.dialect.call_of(inner)
        if isinstance(inner, exp.Unnest):
            return "unnest"
        return self.dialect.fold(inner) if isinstance(inner, exp.Identifier) else None

    def columns(self, source: exp.Expr) -> Names | None:
        """Return the names of the columns of an item of FROM."""
        alias = source.args.get("alias")
        inner = source.this if isinstance(source, exp.Lateral) else source
        own, place = self._own_columns(source), inner.args.get("offset")
        renamed = [*(alias.columns if alias else ()), *([place] if isinstance(place, exp.Identifier) else ())]
        return None if own is None else own | {self._word(each) for each in renamed}

    def _word(self, column: exp.Expr) -> str:
        return self.dialect.fold(column.this if isinstance(column, exp.ColumnDef) else column)

    def _own_columns(self, source: exp.Expr) -> Names | None:
        if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
            cte = self._cte(source)
            return self._of_cte(cte) if cte is not None else self._of_relation(source)
        inner = source.this if isinstance(source, (exp.Table, exp.Lateral, exp.Subquery)) else source
        if isinstance(inner, exp.JSONTable):
            return None
        if isinstance(inner, (exp.Anonymous, exp.Unnest)):
            name = self.dialect.call_of(inner) if isinstance(inner, exp.Anonymous) else "unnest"
            return frozenset({*_OF_FUNCTIONS.get(name, (name, self.alias_of(source) or name)), "ordinality"})
        return self.outputs(inner) if isinstance(inner, QUERIES) else self._of_join(inner)

    def _of_join(self, joined: exp.Expr) -> Names | None:
        return _together(self.columns(each) for each in _joined(joined))

    def _of_cte(self, cte: exp.CTE) -> Names | None:
        outputs = self.outputs(cte.this)
        return None if outputs is None else outputs | {self.dialect.fold(each) for each in cte.args["alias"].columns}

    def _of_relation(self, table: exp.Table) -> Names | None:
        columns = self.catalogue.get(".".join(self.dialect.fold(part) for part in table.parts))
        return None if columns is None else frozenset(columns) | _OF_EVERY_TABLE

    def outputs(self, query: exp.Expr) -> Names | None:
        """Return the names that the columns of a query may have; more of them for one that is given none."""
        if id(query) not in self._known:
            self._known[id(query)] = frozenset()  # a recursive CTE comes back to itself
            self._known[id(query)] = self._outputs(query)
        return self._known[id(query)]

    def _outputs(self, query: exp.Expr) -> Names | None:
        if isinstance(query, (exp.SetOperation, exp.Subquery)):
            return self.outputs(query.this) if isinstance(query.this, QUERIES) else self._of_join(query.this)
        if isinstance(query, exp.Values):
            if "named by their text" in self.dialect.traits:
                return None
            return frozenset(f"column{place}" for place in range(1, len(query.expressions[0].expressions) + 1))
        return _together(self._output(each, query) for each in query.expressions)

    def _output(self, node: exp.Expr, query: exp.Expr) -> Names | None:
        if isinstance(node, exp.Alias):
            return frozenset({self.dialect.fold(node.args["alias"])})
        star = node.this if isinstance(node, exp.Column) else node
        if isinstance(star, exp.Star):
            source = self.source_of(node) if star is not node else None
            return _together(self.columns(each) for each in ([source] if source is not None else sources_of(query)))
        if isinstance(node, exp.Column):
            return frozenset({self.dialect.fold(node.this)})
        return None if "named by their text" in self.dialect.traits else frozenset(self._made_up(node))

    def _made_up(self, node: exp.Expr) -> Iterator[str]:
        """Yield the names that the server may give a column without one: a function's, a type's, or one inside it."""
        yield node.key
        if isinstance(node, exp.Anonymous):
            yield self.dialect.call_of(node)
        elif isinstance(node, exp.Func):
            yield node.sql_name().lower()
        if isinstance(node, exp.Column):
            yield self.dialect.fold(node.this)
        elif isinstance(node, QUERIES):
            yield from self.outputs(node) or ()
        elif isinstance(node, _PASSING):
            yield from self._made_up(node.this)
        elif isinstance(node, exp.Case) and node.args.get("default"):
            yield from self._made_up(node.args["default"])

    def _cte(self, table: exp.Table) -> exp.CTE | None:
        """Return what WITH means by the name of a table: the nearest before it, or around it where it is recursive."""
        if table.args.get("db"):
            return None
        wanted = self.dialect.fold(table.this)
        here: exp.Expr = table
        while here.parent is not None:
            inside, here = here, here.parent
            for cte in reversed(_ctes_in_sight(here, inside)):
                if self.dialect.fold(cte.args["alias"].this) == wanted:
                    return cte
        return None


def _ctes_in_sight(around: exp.Expr, inside: exp.Expr) -> list[exp.CTE]:
    if isinstance(around, exp.With):
        return around.expressions if around.args.get("recursive") else around.expressions[: inside.index]
    ctes = around.args.get("with_")
    return ctes.expressions if ctes and inside is not ctes else []


def _is_function(source: exp.Expr) -> bool:
    inner = source.this if isinstance(source, (exp.Table, exp.Lateral)) else source
    return isinstance(inner, (exp.Anonymous, exp.Unnest))


def _together(several: Iterable[Names | None]) -> Names | None:
    found = list(several)
    return None if None in found else frozenset().union(*(each for each in found if each is not None))


def queries_around(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the queries whose FROM a node can use, inner ones first."""
    here: exp.Expr | None = node
    while here is not None:
        if isinstance(here, (exp.Select, exp.Subquery)):
            yield here
        here = here.parent


def sources_of(query: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the items of the FROM of a query, those of joins in parentheses too."""
    first = query.args.get("from_")
    if first:
        yield from _joined(first.this)
    elif isinstance(query, exp.Subquery) and not isinstance(query.this, QUERIES):
        yield from _joined(query.this)
    yield from _joins(query)


def _joined(node: exp.Expr) -> Iterator[exp.Expr]:
    yield node
    unnamed = isinstance(node, (exp.Subquery, exp.Paren)) and not node.alias
    if unnamed and not isinstance(node.this, QUERIES):
        yield from _joined(node.this)
    yield from _joins(node)


def _joins(node: exp.Expr) -> Iterator[exp.Expr]:
    for key in ("laterals", "joins"):
        for each in node.args.get(key) or ():
            yield from _joined(each.this if isinstance(each, exp.Join) else each)
