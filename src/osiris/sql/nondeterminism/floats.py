"""Whether what an expression adds up is a float, told from its text and the columns that decide the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from osiris.sql.nondeterminism.determinism import ANY
from osiris.sql.safety.grammar import Plus
from osiris.sql.safety.tree import called
from osiris.sql.scope import from_items, leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from osiris.sql.scope import TableNames

_FLOAT_TYPES = {exp.DType.DOUBLE, exp.DType.FLOAT}

_ALWAYS = {
    "acos", "acosh", "array_cosine_distance", "array_cosine_similarity", "array_distance", "array_dot_product",
    "array_inner_product", "array_negative_dot_product", "array_negative_inner_product", "asin", "asinh", "atan",
    "atan2", "atanh", "avg", "cbrt", "corr", "cos", "cosh", "cot", "covar_pop", "covar_samp", "cume_dist", "degrees",
    "entropy", "epoch", "even", "exp", "favg", "fdiv", "fmod", "fsum", "gamma", "geomean", "geometric_mean",
    "jaccard", "jaro_similarity", "jaro_winkler_similarity", "julian", "kahan_sum", "kurtosis", "kurtosis_pop",
    "lgamma", "list_cosine_distance", "list_cosine_similarity", "list_distance", "list_dot_product",
    "list_inner_product", "list_negative_dot_product", "list_negative_inner_product", "ln", "log", "log10", "log2",
    "mean", "nextafter", "percent_rank", "pi", "pow", "power", "product", "radians", "random", "regr_avgx",
    "regr_avgy", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "sem", "sin", "sinh",
    "skewness", "sqrt", "stddev", "stddev_pop", "stddev_samp", "sumkahan", "tan", "tanh", "var_pop", "var_samp",
    "variance",
}  # fmt: skip
_PASSING = {
    "abs", "add", "any_value", "arbitrary", "arg_max", "arg_max_null", "arg_max_nulls_last", "arg_min",
    "arg_min_null", "arg_min_nulls_last", "argmax", "argmin", "ceil", "ceiling", "coalesce", "divide", "fill",
    "first", "first_value", "floor", "greatest", "ifnull", "lag", "last", "last_value", "lead", "least", "mad", "max",
    "max_by", "median", "min", "min_by", "mod", "mode", "multiply", "nth_value", "nullif", "percentile_cont",
    "percentile_disc", "quantile", "quantile_cont", "quantile_disc", "round", "round_even", "roundbankers",
    "subtract", "sum", "trunc",
}  # fmt: skip
"""A float if their first argument is one, or, for those of equals, any argument."""
_OF_EQUALS = {"add", "coalesce", "greatest", "ifnull", "least", "mod", "multiply", "subtract"}

_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.IntDiv)
_THROUGH = (exp.Alias, exp.Paren, exp.Neg, Plus, exp.Window, exp.Filter, exp.Order, exp.Abs)


@dataclass(frozen=True, slots=True)
class Evidence:
    """`certain`: it is a float whatever the inputs are; else if one of these input columns (folded) is one."""

    certain: bool = False
    columns: frozenset[str] = frozenset()


EXACT = Evidence()
"""No float in sight."""


def evidence(call: exp.Expr, names: TableNames) -> Evidence:
    """Return what tells whether the arguments of an aggregate are floats."""
    walker = _Walker(names)
    certain = any(walker.walk(each) for each in call.expressions)
    return Evidence(certain, EXACT.columns if certain else frozenset(walker.columns))


@dataclass(slots=True)
class _Walker:
    names: TableNames
    columns: set[str] = field(default_factory=set)
    seen: set[tuple[str, int]] = field(default_factory=set)

    def walk(self, node: exp.Expr) -> bool:
        """Tell whether a value is certainly a float; if not, `columns` has gained what can make it one."""
        if isinstance(node, exp.Column):
            return self._column(node.name.lower(), node.table.lower(), node.find_ancestor(exp.Select))
        if isinstance(node, (exp.Cast, exp.TryCast)):
            return node.to.this in _FLOAT_TYPES
        if called(node) == "columns":
            self.columns.add(ANY)
        if isinstance(node, exp.Literal):
            return not node.is_string and "e" in node.name.lower()
        if isinstance(node, (exp.Div, exp.Pow)):
            return True
        return any(self.walk(each) for each in _values(node) if each is not None)

    def _column(self, name: str, table: str, select: exp.Select | None) -> bool:
        if select is None or (name, id(select)) in self.seen:
            return False
        self.seen.add((name, id(select)))
        sources = [each for each in _sources(select) if table in ("", each.alias_or_name.lower())]
        if not sources:
            self.columns.add(name)
        return any(self._of_source(name, each) for each in sources)

    def _of_source(self, name: str, node: exp.Expr) -> bool:
        source = self.names.source(node)
        if isinstance(node, exp.Lateral) or not isinstance(source.query, exp.Query):
            self.columns.add(name)
            return False
        renamed = [column.lower() for column in source.columns]
        selects = (each for each in leaves(source.query) if isinstance(each, exp.Select))
        return any(self._of_query(name, renamed, select) for select in selects)

    def _of_query(self, name: str, renamed: list[str], select: exp.Select) -> bool:
        if select.is_star:
            return self._column(name, "", select)
        names = [each.alias_or_name.lower() for each in select.expressions]
        names[: len(renamed)] = renamed
        outputs = zip(select.expressions, names, strict=False)
        return any(self.walk(each) for each, output in outputs if output == name)


def _values(node: exp.Expr) -> Iterable[exp.Expr | None]:
    """Return the parts whose type an expression takes on; a condition has none."""
    return next((parts(node) for kind, parts in _PARTS if isinstance(node, kind)), ())


def _of_call(node: exp.Expr) -> Iterable[exp.Expr]:
    name = called(node)
    if name in _ALWAYS:
        return [exp.Literal.number("1e0")]
    if name in _PASSING:
        return node.expressions if name in _OF_EQUALS else node.expressions[:1]
    return node.expressions[1:] if name == "if" else ()


_PARTS: tuple[tuple[type[exp.Expr] | tuple[type[exp.Expr], ...], Callable[[exp.Expr], Iterable[Any]]], ...] = (
    (exp.Anonymous, _of_call),
    (exp.Case, lambda node: [*(each.args.get("true") for each in node.args["ifs"]), node.args.get("default")]),
    (exp.Distinct, lambda node: node.expressions),
    (exp.Subquery, lambda node: node.this.expressions if isinstance(node.this, exp.Select) else ()),
    (_ARITHMETIC, lambda node: (node.this, node.expression)),
    (_THROUGH, lambda node: (node.this,)),
)


def _sources(select: exp.Select) -> Iterator[exp.Expr]:
    for item in from_items(select):
        yield item
        yield from (join.this for join in item.args.get("joins") or ())
