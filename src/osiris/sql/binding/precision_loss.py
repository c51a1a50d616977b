"""Implicit precision loss: digits that the engine would round away where it unifies types.

A decimal has at most 38 digits. Where the integer digits of one value and the fractional digits of another need more
together, the engine keeps the integer digits: `CASE WHEN a THEN x * 1.15 ELSE x END` over x decimal(38, 2) has two
fractional digits. Arithmetic fails instead, and comparisons are exact, except with the rows of a subquery. WITH
RECURSIVE takes the types of its first SELECT.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from osiris.errors import diagnostic
from osiris.sql.binding.duck_types import inside
from osiris.sql.binding.problems import ENGINE_ERRORS, kind_of
from osiris.sql.safety import tree as trees
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.text import place
from osiris.sql.safety.tree import called, write
from osiris.sql.scope import ancestors, leaves, nodes_of, reads_itself, standalone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType
    from sqlglot import Dialect as Grammar

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.sql.check_text import Verdict

_FULL = "DECIMAL(38,"
_DIGITS = 38
_USUAL = 18
"""Digits that are enough for most amounts, and fast."""
_LENGTH = 60
_FROM: dict[str, int] = {
    **dict.fromkeys(("array_append", "array_concat", "array_prepend", "array_push_back", "array_push_front"), 0),
    **dict.fromkeys(("array_value", "coalesce", "greatest", "ifnull", "least", "list_append", "list_cat"), 0),
    **dict.fromkeys(("list_concat", "list_pack", "list_prepend", "list_value", "array_cat"), 0),
    **dict.fromkeys(("if", "iif"), 1),
    **dict.fromkeys(("lag", "lead", "list_resize", "array_resize"), 2),
}
"""Functions that unify the types of their arguments, with the index of the first one."""
_ROUNDING = {"ceil", "ceiling", "floor", "round", "round_even", "roundbankers", "sign", "trunc"}
_INTEGERS = {
    "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint",
}  # fmt: skip


class _Unification(NamedTuple):
    """A place where values take on one type: the node, the expression that has that type, and the values."""

    node: exp.Expr
    whole: exp.Expr
    values: list[exp.Expr]


class _Loss(NamedTuple):
    node: exp.Expr
    found: DuckDBPyType
    kept: DuckDBPyType
    column: str | None
    wide: exp.Expr | None
    recursive: bool = False


def tree_of(query: Verdict) -> exp.Expr:
    """Return the tree of a query that may run in DuckDB; parsed again if not at hand."""
    return query.tree or trees.parse(str(query.canonical), DIALECTS["duckdb"].load_grammar())[0]


def precision_losses(query: Verdict, engine: DuckDBPyConnection, values: Mapping[str, JsonValue]) -> list[Diagnostic]:
    """Return an SQL031 for each value in a checked query of which the engine would silently drop digits.

    The engine has the inputs and binds the text; `values` are those of its parameters. Lambdas and correlated columns
    are not covered.
    """
    with trees.deep_recursion():
        tree, text = tree_of(query), str(query.canonical)
        parts = Parts(engine, values, DIALECTS["duckdb"].load_grammar())
        losses = [*_of_values(tree, parts), *_of_queries(tree, parts)]
        return [_problem(loss, text) for loss in losses]


def _of_values(tree: exp.Expr, parts: Parts) -> Iterator[_Loss]:
    selects: dict[int, tuple[exp.Select, list[_Unification]]] = {}
    for unification in filter(None, map(_unification, nodes_of(tree))):
        select = unification.node.find_ancestor(exp.Select)
        if select is not None:
            selects.setdefault(id(select), (select, []))[1].append(unification)
    for select, unifications in selects.values():
        kinds = parts.of_values([each.whole for each in unifications], select)
        for unification, kind in zip(unifications, kinds, strict=True):
            # one that has the type of its first argument narrows even where digits are left
            if kind is not None and (_FULL in str(kind) or _FROM.get(called(unification.node), 0) > 1):
                yield from _losses_at(unification, kind, select, parts)


def _unification(node: exp.Expr) -> _Unification | None:
    find = _UNIFICATIONS.get(type(node))
    return find(node) if find else None


def _of_call(node: exp.Expr) -> _Unification | None:
    name = called(node)
    if name not in _FROM:
        return None
    window = node.find_ancestor(exp.Window) if name in ("lag", "lead") else None
    return _Unification(node, window or node, node.expressions[_FROM[name] :])


def _listed(node: exp.Expr, values: list[exp.Expr]) -> _Unification:
    """Return a place at which values are unified as in a list."""
    return _Unification(node, exp.Array(expressions=[each.copy() for each in values]), values)


_UNIFICATIONS: dict[type[exp.Expr], Callable[[exp.Expr], _Unification | None]] = {
    exp.Anonymous: _of_call,
    exp.Array: lambda node: _Unification(node, node, node.expressions),
    exp.Case: lambda node: _Unification(
        node, node, [*(each.args["true"] for each in node.args["ifs"]), *filter(None, [node.args.get("default")])]
    ),
    exp.In: lambda node: _listed(node, [node.this, node.args["query"]]) if node.args.get("query") else None,
    exp.ToMap: lambda node: _listed(
        node, [each.expression for each in node.this.expressions if isinstance(each, exp.PropertyEQ)]
    ),
}


def _losses_at(unification: _Unification, kind: DuckDBPyType, select: exp.Select, parts: Parts) -> Iterator[_Loss]:
    # the column of its SELECT to which the expression belongs
    here = next(each for each in ancestors(unification.node) if isinstance(each, (exp.Alias, exp.Select)))
    column = here.alias if isinstance(here, exp.Alias) else None
    for value, source in zip(unification.values, parts.of_values(unification.values, select), strict=True):
        pair = _narrowed(source, kind)
        if pair and not _is_kept(value, _scale(pair[1])):
            yield _Loss(value, *pair, column, _widest_value(unification, select, pair[1], parts))


def _widest_value(unification: _Unification, select: exp.Select, target: DuckDBPyType, parts: Parts) -> exp.Expr | None:
    """Return the column, or else the value, that uses up the digits."""
    columns = {each.sql(): each for value in unification.values for each in value.find_all(exp.Column)}
    nodes = [*columns.values(), *unification.values]
    kinds = parts.of_values(nodes, select)
    return next((node for node, kind in zip(nodes, kinds, strict=True) if kind == target and _FULL in str(kind)), None)


def _of_queries(tree: exp.Expr, parts: Parts) -> Iterator[_Loss]:
    for operation in tree.find_all(exp.SetOperation):
        parent = operation.parent
        while isinstance(parent, (exp.Subquery, exp.Paren)) and not parent.alias:
            parent = parent.parent
        if isinstance(parent, exp.SetOperation):
            continue
        cte = _recursion(operation)
        targets = parts.of_recursion(cte) if cte else parts.of_query(operation)
        if cte or any(_FULL in str(kind) for kind in targets.values()):
            yield from _of_leaves(operation, targets, parts, recursive=bool(cte))


def _of_leaves(
    operation: exp.Expr, kinds: dict[str, DuckDBPyType], parts: Parts, *, recursive: bool
) -> Iterator[_Loss]:
    by_name = any(each.args.get("by_name") for each in operation.find_all(exp.SetOperation))
    columns_of = [(leaf, [*parts.of_query(leaf).items()]) for leaf in leaves(operation)]
    for leaf, columns in columns_of:
        names = [name for name, _ in columns] if by_name else [*kinds]
        for index, (name, (_, kind)) in enumerate(zip(names, columns, strict=False)):
            pair, node = _narrowed(kind, kinds.get(name)), _output(leaf, index)
            if pair and not _is_kept(node, _scale(pair[1])):
                wide = None if by_name else _widest(columns_of, index, pair[1])
                yield _Loss(node, *pair, name, wide, recursive)


def _widest(
    columns_of: list[tuple[exp.Expr, list[tuple[str, DuckDBPyType]]]], index: int, target: DuckDBPyType
) -> exp.Expr | None:
    """Return the first column at a place that has the type which is kept."""
    kinds = ((leaf, [kind for _, kind in columns][index : index + 1]) for leaf, columns in columns_of)
    return next((_output(leaf, index) for leaf, kind in kinds if kind == [target]), None)


def _recursion(operation: exp.Expr) -> exp.CTE | None:
    """Return the recursive CTE that a set operation defines."""
    cte = operation.parent
    if not isinstance(cte, exp.CTE) or not cte.parent or not cte.parent.args.get("recursive"):
        return None
    return cte if reads_itself(cte) else None


def _output(leaf: exp.Expr, index: int) -> exp.Expr:
    """Return the expression of an output column; the start of the query if there is a star."""
    columns = leaf.expressions if isinstance(leaf, exp.Select) else []
    if index >= len(columns) or any(each.is_star for each in columns):
        return columns[0] if columns else leaf
    output: exp.Expr = columns[index].unalias()
    return output


def _narrowed(source: DuckDBPyType | None, target: DuckDBPyType | None) -> tuple[DuckDBPyType, DuckDBPyType] | None:
    """Return the numeric types inside two types of which the second has fewer fractional digits, else None."""
    if source is None or target is None:
        return None
    source, target = _element(source), _element(target)
    if source.id in ("struct", "map") and target.id == source.id:
        others = {name.lower(): kind for name, kind in inside(target)}
        pairs = (_narrowed(kind, others.get(name.lower())) for name, kind in inside(source))
        return next(filter(None, pairs), None)
    before, after = _scale(source), _scale(target)
    return (source, target) if before is not None and after is not None and before > after else None


def _element(kind: DuckDBPyType) -> DuckDBPyType:
    while kind.id in ("list", "array"):
        kind = inside(kind)[0][1]
    return kind


def _scale(kind: DuckDBPyType) -> float | None:
    """Return the number of fractional digits of a numeric type, None for another type."""
    if kind.id == "decimal":
        return int(str(kind.children[1][1]))
    if kind.id in ("float", "double"):
        return math.inf
    return 0 if kind.id in _INTEGERS else None


def _is_kept(node: exp.Expr, scale: float | None) -> bool:
    """Tell whether a value certainly has no more fractional digits: such a literal, or a whole number."""
    inner = node.unnest()
    inner = inner.this if isinstance(inner, exp.Neg) else inner
    if called(inner) in _ROUNDING:
        return len(inner.expressions) == 1
    if not isinstance(inner, exp.Literal) or inner.is_string:
        return False
    exponent = Decimal(inner.name).normalize().as_tuple().exponent
    return isinstance(exponent, int) and -exponent <= (scale or 0)


def _problem(loss: _Loss, text: str) -> Diagnostic:
    value = _short(loss.node)
    what = f"column '{loss.column}': {value}" if loss.column else value
    kinds = {"found": str(loss.found).lower(), "type": str(loss.kept).lower()}
    at = place(text, trees.offset_of(loss.node))
    return diagnostic("SQL031", at=at, hint=_hint(loss, value), fix=(), what=what, **kinds)


def _hint(loss: _Loss, value: str) -> str:
    if loss.recursive:
        return "CAST the column in the first SELECT to the type that is meant, and this one to the same"
    before, after = _scale(loss.found), _scale(loss.kept)
    part = f"a part of {value}" if isinstance(loss.node, (exp.Struct, exp.Array)) else value
    cast = f"if they may go, CAST({part} AS {loss.kept})"
    if loss.wide is None or before is None or after is None or before >= _DIGITS:
        return cast
    digits = int(after + min(_DIGITS - before, max(_USUAL - after, 1)))
    return f"where {digits} digits are enough, CAST({_short(loss.wide)} AS DECIMAL({digits}, {int(after)})); {cast}"


def _short(node: exp.Expr) -> str:
    text = " ".join(node.sql(dialect="duckdb", comments=False).split())
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"


_NOT_ABOUT_TYPES = ("where", "having", "qualify", "order", "limit", "offset", "distinct")
"""What of a SELECT leaves the types of its columns as they are; without it, less can fail to bind on its own."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Binds parts of a checked statement in an engine that has its inputs; `values` are those of its parameters."""

    engine: DuckDBPyConnection
    values: Mapping[str, JsonValue]
    grammar: type[Grammar]

    def of_query(self, query: exp.Expr) -> dict[str, DuckDBPyType]:
        """Return the types of a query's columns by folded name, in order; none if it cannot be bound alone."""
        return self._bound(standalone(query.unnest().copy(), query)) or {}

    def of_recursion(self, cte: exp.CTE) -> dict[str, DuckDBPyType]:
        """Return the types of the columns of a recursive CTE, as its readers see them."""
        source = exp.From(this=exp.Table(this=cte.args["alias"].this.copy()))
        return self._bound(standalone(exp.Select(expressions=[exp.Star()], from_=source), cte)) or {}

    def of_values(self, nodes: Sequence[exp.Expr], select: exp.Select) -> list[DuckDBPyType | None]:
        """Return the types of expressions inside a SELECT, None where unknown."""
        types = self._in_select(nodes, select)
        if types is not None:
            return [*types]
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
        types = self._bound(standalone(copy, select))
        if types is None:
            copy = copy.copy()
            copy.set("group", None)
            copy.set("expressions", copy.expressions[-len(nodes) :])
            types = self._bound(standalone(copy, select))
        return None if types is None else [*types.values()][-len(nodes) :]

    def _bound(self, query: exp.Expr) -> dict[str, DuckDBPyType] | None:
        used = {each.name for each in query.find_all(exp.Placeholder)}
        values = {name: value for name, value in self.values.items() if name in used}
        try:
            relation = self.engine.sql(write(query, self.grammar), params=values or None)
        except ENGINE_ERRORS as error:
            if kind_of(error) != "other":
                raise
            return None
        return dict(zip((name.lower() for name in relation.columns), relation.types, strict=True))
