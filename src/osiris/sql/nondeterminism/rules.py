"""The determinism lint: what may make two runs of one plan over the same data differ.

One walk over a tree, one rule per kind of node. The rules describe what the engine does, measured with one and several
threads over shuffled rows and over a million unshuffled ones, not all that SQL leaves open. Tested and equal: `median`,
`fsum`, `avg` of integers and decimals, `approx_count_distinct`, `rank` and its kin, frames by RANGE and GROUPS, casts
that involve a time zone (the session's is fixed). It is no proof: untested features are not reported. An ORDER BY
inside a query, which the compiler cannot complete, is noted if its ties can affect the result; the outermost one is
completed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from osiris.sql.nondeterminism.determinism import ANY, Finding
from osiris.sql.nondeterminism.row_order import FIXED, RowFacts, grouped, is_ordered, is_total, reads_only
from osiris.sql.safety.dialects import load_allowed
from osiris.sql.safety.grammar import Plus
from osiris.sql.safety.text import place
from osiris.sql.safety.tree import called, offset_of
from osiris.sql.scope import TableNames, from_items, leaves, nodes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from osiris.sql.nondeterminism.row_order import Arrival, Keys, Tied
    from osiris.sql.safety.dialects import Dialect

CLOCK, CHANCE = "SQL020", "SQL021"
CUT, TIES = "SQL022", "SQL023"
WINDOW, GATHERED = "SQL024", "SQL025"
APPROXIMATE, FLOATS = "SQL026", "SQL027"
COLLATED, POSITIONAL = "SQL028", "SQL029"
TIED = "SQL030"

_CLOCKS = {
    "ago", "age", "current_date", "current_localtime", "current_localtimestamp", "current_time", "current_timestamp",
    "get_current_time", "get_current_timestamp", "localtime", "localtimestamp", "now", "today", "transaction_timestamp",
    "clock_timestamp", "curdate", "curtime", "statement_timestamp", "sysdate", "timeofday", "utc_date", "utc_time",
    "utc_timestamp",
}  # fmt: skip
_CHANCES = {
    "gen_random_uuid", "rand", "random", "random_bytes", "sys_guid", "uuid", "uuid_v4", "uuid_v7", "uuidv4", "uuidv7",
}  # fmt: skip
_GATHERING = {
    "any_value", "arbitrary", "array_agg", "first", "group_concat", "json_group_array", "json_group_object", "last",
    "list", "listagg", "lttb", "mode", "string_agg", "json_agg", "json_arrayagg", "json_object_agg", "json_objectagg",
    "jsonb_agg", "jsonb_object_agg",
}  # fmt: skip
_APPROXIMATE = {
    "approx_quantile": "write quantile_cont(…)",
    "approx_top_k": "count by group, and keep the first by ORDER BY and LIMIT",
    "reservoir_quantile": "write quantile_cont(…)",
}
_SUMS = {"avg", "mean", "regr_avgx", "regr_avgy", "sum", "wavg", "weighted_avg"}
"""Exact for integers and decimals."""
_MOMENTS = {
    "corr", "covar_pop", "covar_samp", "entropy", "geomean", "geometric_mean", "kurtosis", "kurtosis_pop", "product",
    "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "sem", "skewness", "stddev",
    "stddev_pop", "stddev_samp", "var_pop", "var_samp", "variance",
}  # fmt: skip
"""Always computed in floating point."""
_EXTREMES = {
    "arg_max", "arg_max_null", "arg_max_nulls_last", "arg_min", "arg_min_null", "arg_min_nulls_last", "argmax",
    "argmin", "max_by", "min_by",
}  # fmt: skip
_IN_FRAME = {"first_value", "last_value", "nth_value"}
"""The order of peer rows is irrelevant if the values taken from them are equal."""
_BY_POSITION = {"fill", "lag", "lead", "ntile", "row_number"} | _IN_FRAME
_NO_ORDER_INSIDE = {
    "array": "put an ORDER BY into its query",
    "entropy": "round its answer",
    "geomean": "write exp(avg(ln(x) ORDER BY x))",
    "geometric_mean": "write exp(avg(ln(x) ORDER BY x))",
    "json_group_array": "write to_json(list(… ORDER BY …))",
    "json_group_object": "write to_json(map_from_entries(list((key, value) ORDER BY key)))",
    "wavg": "write sum(value * weight ORDER BY …) / sum(weight ORDER BY …)",
    "weighted_avg": "write sum(value * weight ORDER BY …) / sum(weight ORDER BY …)",
}
_ONE_MATCH = "join with one row for each time: SELECT … GROUP BY the columns of ON"
_ORDERLESS = {
    "array_contains", "array_has", "array_has_all", "array_has_any", "array_length", "array_reverse_sort", "array_sort",
    "array_unique", "len", "length", "list_contains", "list_count", "list_has", "list_has_all", "list_has_any",
    "list_max", "list_min", "list_reverse_sort", "list_sort", "list_unique",
}  # fmt: skip
"""Functions whose result does not depend on the order of a list."""
_WHOLE = {"array_agg", "group_concat", "list", "listagg", "string_agg"}
"""Aggregates that keep all values."""


@dataclass(frozen=True, slots=True)
class _Text:
    """The statement being linted."""

    tree: exp.Expr
    sql: str
    rows: RowFacts

    def finding(
        self,
        code: str,
        node: exp.Expr,
        what: str,
        hint: str | None = None,
        columns: frozenset[str] | None = None,
        relations: frozenset[str] | None = None,
        tied: Tied | None = None,
    ) -> Finding:
        at = _cut_at(node, what, self.sql) if isinstance(node, exp.Query) else offset_of(node)
        return Finding(code, place(self.sql, at), what, hint, columns, relations, tied)


def findings(tree: exp.Expr, sql: str, dialect: Dialect, names: TableNames | None = None) -> tuple[Finding, ...]:
    """Return the sources of nondeterminism in a checked statement; `tree` is the tree of the text `sql`.

    `names` are those of the tree, if already resolved.
    """
    names, aggregates = names or TableNames(tree, dialect), load_allowed(dialect).aggregates
    text = _Text(tree, sql, RowFacts(names, aggregates))
    rules = ((node, _RULES.get(type(node))) for node in nodes_of(tree))
    return tuple(finding for node, rule in rules if rule for finding in rule(node, text))


_CLOCK_WORDS: dict[type[exp.Expr], str] = {
    kind: kind.sql_name().lower()
    for kind in (exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp)
}


def _clock(node: exp.Expr, text: _Text) -> Iterator[Finding]:
    word = _CLOCK_WORDS[type(node)]
    at = text.sql.lower().find(word)  # the parser records no position
    yield Finding(CLOCK, place(text.sql, at if at >= 0 else offset_of(node)), word)


def _call(node: exp.Expr, text: _Text) -> Iterator[Finding]:
    name = node.name.lower()
    what = f"{name}(…)" if node.expressions else f"{name}()"
    if name in _CLOCKS and not (name == "age" and len(node.expressions) > 1):
        yield text.finding(CLOCK, node, what)
    elif name in _CHANCES:
        yield text.finding(CHANCE, node, what)
    elif name in _APPROXIMATE:
        yield text.finding(APPROXIMATE, node, what, hint=_APPROXIMATE[name])
    elif name in _EXTREMES:
        yield from _extreme(node, name, what, text)
    elif _is_ordered_inside(node):
        yield from _sorted_inside(node, name, what, text)
    elif any(_orders(_window_of(node), "order")):
        yield from _sorted_window(node, name, what, text)
    else:
        yield from _by_order(node, name, what, text)


def _by_order(node: exp.Expr, name: str, what: str, text: _Text) -> Iterator[Finding]:
    """Yield the effects of row order on a call without its own ORDER BY."""
    window = _window_of(node)
    if window and (name in _BY_POSITION or _counts_rows(window)):
        partitioned = any(each.args.get("partition_by") for each in _definitions(window))
        select = None if partitioned else node.find_ancestor(exp.Select)
        yield from _unless_fixed(WINDOW, node, what, text.rows.arrival_before(select) if select else None, text)
    elif name in _GATHERING or (name == "array" and node.find(exp.Query)):
        yield from _gathered(node, name, what, text)
    else:
        yield from _summed(FLOATS, node, name, text, what, _NO_ORDER_INSIDE.get(name))


def _summed(
    code: str, node: exp.Expr, name: str, text: _Text, what: str, hint: str | None = None, tied: Tied | None = None
) -> Iterator[Finding]:
    """Yield a finding if the order of additions affects floats."""
    if name in _SUMS | _MOMENTS:
        proof = Evidence(True) if name in _MOMENTS else evidence(node, text.rows.names)
        if proof != EXACT:
            yield text.finding(code, node, what, hint, columns=None if proof.certain else proof.columns, tied=tied)


def _gathered(node: exp.Expr, name: str, what: str, text: _Text) -> Iterator[Finding]:
    first = node.expressions[0] if node.expressions else node
    if name == "array":
        yield from _unless_fixed(GATHERED, node, what, text.rows.arrival(first), text, _NO_ORDER_INSIDE[name])
    elif not isinstance(first, exp.Literal) and not _is_order_ignored(node, name):
        yield text.finding(GATHERED, node, what, hint=_NO_ORDER_INSIDE.get(name))


def _extreme(node: exp.Expr, name: str, what: str, text: _Text) -> Iterator[Finding]:
    """Yield a finding if the extreme may occur in several rows: which of their values is returned is undefined."""
    arguments = _arguments(node)
    if len(arguments) < 2:
        return
    value, by = arguments[:2]
    sort_keys = _inside(node)
    tied = _of_values(node, text.rows.keys([by, *sort_keys, *_classes(node, text)]), [value], text)
    if tied == ():
        yield from _sorted_window(node, name, what, text)
    elif sort_keys:
        yield text.finding(TIED, node, what, tied=tied)
    else:
        argument_text = ", ".join(each.sql(dialect="duckdb") for each in arguments)
        distinct = "DISTINCT " if isinstance(node.expressions[0], exp.Distinct) else ""
        better = f"write {node.name}({distinct}{argument_text} ORDER BY {value.sql(dialect='duckdb')})"
        yield text.finding(GATHERED, node, what, hint=better, tied=tied)


def _sorted_inside(node: exp.Expr, name: str, what: str, text: _Text) -> Iterator[Finding]:
    """Yield the effects of ties in a call's own ORDER BY."""
    keys = text.rows.keys([*_inside(node), *_classes(node, text)])
    if name in _BY_POSITION and name not in _IN_FRAME:
        yield from _unless_total(node, what, keys, text)
    elif name in _GATHERING | _IN_FRAME | _SUMS | _MOMENTS:
        yield from _unless_equal(node, name, what, keys, text)
    window = _window_of(node)
    if window and _counts_rows(window):
        yield from _unless_total(node, what, text.rows.keys([*_orders(window, "order"), *_classes(node, text)]), text)


def _sorted_window(node: exp.Expr, name: str, what: str, text: _Text) -> Iterator[Finding]:
    """Yield the effects of ties in a window's ORDER BY."""
    window = _window_of(node)
    keys = text.rows.keys([*_orders(window, "order"), *_classes(node, text)])
    if window and (name in _BY_POSITION - _IN_FRAME or _counts_rows(window)):
        yield from _unless_total(node, what, keys, text)
    elif name in _GATHERING | _IN_FRAME | _SUMS | _MOMENTS:
        yield from _unless_equal(node, name, what, keys, text)


def _unless_total(node: exp.Expr, what: str, keys: Keys, text: _Text) -> Iterator[Finding]:
    select = node.find_ancestor(exp.Select)
    if select is None or reads_only(select, keys):
        return
    tied = text.rows.ties_of_rows(select, keys)
    if tied != ():
        yield text.finding(TIED, node, what, tied=tied)


def _unless_equal(node: exp.Expr, name: str, what: str, keys: Keys, text: _Text) -> Iterator[Finding]:
    tied = _of_values(node, keys, _arguments(node), text)
    if tied == () or _is_order_ignored(node, name):
        return
    if name in _SUMS | _MOMENTS:
        yield from _summed(TIED, node, name, text, what, tied=tied)
    else:
        yield text.finding(TIED, node, what, tied=tied)


def _of_values(node: exp.Expr, keys: Keys, values: list[exp.Expr], text: _Text) -> Tied | None:
    """Return what decides whether tied rows can give several values; empty if they cannot."""
    select = node.find_ancestor(exp.Select)
    if select is None or all(keys.make(value) for value in values):
        return ()
    return text.rows.ties_of_rows(select, keys) if _window_of(node) else text.rows.ties_of_sources(select, keys)


def _arguments(call: exp.Expr) -> list[exp.Expr]:
    """Return the arguments of a call without DISTINCT and ORDER BY."""
    bare = [each.this if isinstance(each, exp.Order) else each for each in call.expressions]
    return [part for each in bare for part in (each.expressions if isinstance(each, exp.Distinct) else [each])]


def _inside(call: exp.Expr) -> list[exp.Expr]:
    """Return the keys of a call's own ORDER BY."""
    orders = [each for arg in call.expressions for each in (arg, arg.this) if isinstance(each, exp.Order)]
    return [key for order in orders for key in order.expressions]


def _classes(call: exp.Expr, text: _Text) -> list[exp.Expr]:
    """Return the expressions equal in all rows that a call sees: the keys of its partition or group."""
    window, select = _window_of(call), call.find_ancestor(exp.Select)
    if window:
        return list(_orders(window, "partition_by"))
    return [way for ways in grouped(select, text.rows.aggregates) for way in ways] if select else []


def _orders(window: exp.Window | None, part: str) -> Iterator[exp.Expr]:
    for each in _definitions(window) if window else ():
        clause = each.args.get(part) or ()
        yield from clause.expressions if isinstance(clause, exp.Order) else clause


def _is_order_ignored(node: exp.Expr, name: str) -> bool:
    if name not in _WHOLE:
        return False
    parent = node.parent.parent if isinstance(node.parent, exp.Filter) else node.parent
    return called(parent) in _ORDERLESS


def _is_ordered_inside(call: exp.Expr) -> bool:
    """Tell whether a call sorts its rows; `entropy` accepts an ORDER BY and ignores it."""
    sorts = any(isinstance(each, exp.Order) for arg in call.expressions for each in (arg, arg.this))
    return (sorts and call.name.lower() != "entropy") or isinstance(call.parent, exp.WithinGroup)


def _window_of(call: exp.Expr) -> exp.Window | None:
    inner = call.parent if isinstance(call.parent, exp.Filter) else call
    return inner.parent if isinstance(inner.parent, exp.Window) and inner.arg_key == "this" else None


def _definitions(window: exp.Window) -> Iterator[exp.Window]:
    """Yield a window and the named windows that it extends."""
    select = window.find_ancestor(exp.Select)
    windows = {each.this.name.lower(): each for each in (select.args.get("windows") or () if select else ())}
    here: exp.Window | None = window
    while here is not None:
        yield here
        here = windows.pop(here.alias.lower(), None)


def _counts_rows(window: exp.Window) -> bool:
    specs = [spec for each in _definitions(window) if (spec := each.args.get("spec"))]
    ends = {side for spec in specs for side in (spec.args.get("start"), spec.args.get("end"))}
    return any(spec.args.get("kind") == "ROWS" for spec in specs) and ends != {"UNBOUNDED"}


def _unless_fixed(
    code: str, node: exp.Expr, what: str, relations: Arrival, text: _Text, hint: str | None = None
) -> Iterator[Finding]:
    """Yield a finding that applies if the rows of one of `relations` are unordered; none if the order is fixed."""
    if relations != FIXED:
        yield text.finding(code, node, what, hint, relations=relations)


def _query(node: exp.Expr, text: _Text) -> Iterator[Finding]:
    """Yield a finding for a query that keeps only some rows by position."""
    what = _cut(node)
    is_completed = node is text.tree and is_ordered(node)
    if not what or is_completed or isinstance(node.parent, exp.Exists):
        return
    if node.args.get("order"):
        if not is_total(node, text.rows.aggregates):
            yield text.finding(TIES, node, what)
        return
    if isinstance(node, exp.Select) and what == "DISTINCT ON":
        relations = None if text.rows.arrival_before(node) != FIXED else FIXED
    else:
        relations = text.rows.arrival(node)
    yield from _unless_fixed(CUT, node, what, relations, text)


def _cut_at(query: exp.Query, what: str, sql: str) -> int | None:
    """Return the offset of the keyword that limits a query; else that of its first column."""
    cut = query.args.get("offset" if what == "OFFSET" else "limit")
    starts = [node.meta["start"] for node in cut.walk() if node._meta and "start" in node._meta] if cut else []
    at = sql.upper().rfind(what, 0, min(starts)) if starts else -1
    return at if at >= 0 else offset_of(query.expressions[0] if isinstance(query, exp.Select) else query)


def _cut(node: exp.Expr) -> str | None:
    limit, distinct = node.args.get("limit"), node.args.get("distinct")
    if limit and (limit.expression is None or limit.expression.name.upper() not in ("0", "ALL")):
        return "FETCH" if isinstance(limit, exp.Fetch) else "LIMIT"
    if node.args.get("offset"):
        return "OFFSET"
    return "DISTINCT ON" if isinstance(distinct, exp.Distinct) and distinct.args.get("on") else None


def _collation(node: exp.Expr, text: _Text) -> Iterator[Finding]:
    """Yield a collation under which one of several unequal texts is kept as representative."""
    parent = node.parent
    while isinstance(parent, (exp.Alias, exp.Paren)):
        parent = parent.parent
    chosen = called(parent) in ("max", "min")
    if isinstance(parent, exp.Select):
        chosen = parent is not text.tree or bool(parent.args.get("group") or parent.args.get("distinct"))
    if chosen:
        yield text.finding(COLLATED, node, f"COLLATE {node.args['expression'].name}")


def _join(node: exp.Expr, text: _Text) -> Iterator[Finding]:
    if node.args.get("method") == "POSITIONAL":
        yield text.finding(POSITIONAL, node, "POSITIONAL JOIN")
    elif node.args.get("method") == "ASOF":
        columns = [*node.args["on"].find_all(exp.Column)] if node.args.get("on") else []
        using = [exp.column(each.name) for each in node.args.get("using") or ()]
        tied = text.rows.ties_of_source(node.this, text.rows.keys([*columns, *using]))
        if tied != ():
            yield text.finding(TIED, node, "ASOF JOIN", hint=_ONE_MATCH, tied=tied)


_FLOAT_TYPES = {exp.DType.DOUBLE, exp.DType.FLOAT, exp.DType.UINT128}
"""DuckDB adds UHUGEINT as floats."""
_FLOAT_PARTS = {"epoch", "jd", "julian"}
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
"""Return floats if their first argument is one, or, for `_OF_EQUALS`, any argument."""
_OF_EQUALS = {"add", "coalesce", "greatest", "ifnull", "least", "mod", "multiply", "subtract"}
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.IntDiv)
_THROUGH = (exp.Alias, exp.Paren, exp.Neg, Plus, exp.Window, exp.Filter, exp.Order, exp.Abs)


@dataclass(frozen=True, slots=True)
class Evidence:
    """`certain`: a float whatever the inputs are; else a float if one of these input columns (folded) is one."""

    certain: bool = False
    columns: frozenset[str] = frozenset()


EXACT = Evidence()
"""No float involved."""


def evidence(call: exp.Expr, names: TableNames) -> Evidence:
    """Return whether the arguments of an aggregate may be floats."""
    walker = _Walker(names)
    certain = any(walker.walk(each) for each in call.expressions)
    return Evidence(certain, EXACT.columns if certain else frozenset(walker.columns))


@dataclass(slots=True)
class _Walker:
    names: TableNames
    columns: set[str] = field(default_factory=set)
    seen: set[tuple[str, int]] = field(default_factory=set)

    def walk(self, node: exp.Expr) -> bool:
        """Tell whether a value is certainly a float; if not, `columns` gains those that can make it one."""
        if isinstance(node, exp.Column):
            return self._column(node.name.lower(), node.table.lower(), node.find_ancestor(exp.Select))
        if isinstance(node, (exp.Cast, exp.TryCast)):
            return node.to.this in _FLOAT_TYPES
        if called(node) == "columns":
            self.columns.add(ANY)
        if isinstance(node, exp.Literal):
            return not node.is_string and "e" in node.name.lower()
        if isinstance(node, exp.Extract):
            return node.name.lower() in _FLOAT_PARTS
        if isinstance(node, (exp.Div, exp.Pow)):
            return True
        return any(self.walk(each) for each in _values(node) if each is not None)

    def _column(self, name: str, table: str, select: exp.Select | None) -> bool:
        if select is None or (name, id(select)) in self.seen:
            return False
        self.seen.add((name, id(select)))
        items = from_items(select)
        items += [join.this for item in items for join in item.args.get("joins") or ()]
        sources = [each for each in items if table in ("", each.alias_or_name.lower())]
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
    """Return the parts that determine an expression's type; a condition has none."""
    return next((parts(node) for kind, parts in _PARTS if isinstance(node, kind)), ())


def _of_call(node: exp.Expr) -> Iterable[exp.Expr]:
    name = called(node)
    is_float_part = name in ("date_part", "datepart") and node.expressions[0].name.lower() in _FLOAT_PARTS
    if is_float_part or name in _ALWAYS:
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


_RULES: dict[type[exp.Expr], Callable[[exp.Expr, _Text], Iterator[Finding]]] = {
    exp.Anonymous: _call,
    **dict.fromkeys(_CLOCK_WORDS, _clock),
    **dict.fromkeys((exp.Select, exp.Subquery, exp.Union, exp.Except, exp.Intersect, exp.Values), _query),
    exp.Collate: _collation,
    exp.Join: _join,
}
