"""From a SELECT back to a step of a request: what `statement` writes, and nothing more.

What is read here is rendered again and compared by who asks (`parse_request`), so nothing has to be sure here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast, get_args

from sqlglot import exp

from osiris.chat.expressions import quote
from osiris.chat.request import (
    Chosen,
    Computed,
    Filter,
    Function,
    Group,
    Join,
    Match,
    Measure,
    Pick,
    Pivot,
    Sort,
    Step,
    Unit,
)
from osiris.chat.statement import Given, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from osiris.chat.request import Measured, Operator


Names = dict[str, str]
"""The names of columns in a request, by how SQL writes them."""

PARAMETER = "\x02"
"""How the text begins that stands for a parameter."""

_COMPARED: dict[type[exp.Expr], Operator] = {
    exp.EQ: "=",
    exp.NullSafeNEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_TEXTUAL: dict[str, Operator] = {"contains": "contains", "starts_with": "starts with", "ends_with": "ends with"}
_ARITHMETIC: dict[type[exp.Expr], Function] = {exp.Add: "add", exp.Sub: "subtract", exp.Mul: "multiply"}
_OF_ONE: dict[str, Function] = {
    "abs": "absolute",
    "isodow": "weekday",
    **{name: name for name in ("year", "quarter", "month", "week", "day", "hour", "lower", "upper", "trim", "length")},
}
_AGGREGATES: dict[str, Measured] = {
    "count": "count",
    "sum": "sum",
    "avg": "average",
    "min": "minimum",
    "max": "maximum",
    "median": "median",
}
_TYPES = {"text": "utf8", "varchar": "utf8", "bigint": "int64", "int": "int32", "double": "float64", "boolean": "bool"}
_TWO = 2


class Outside(Exception):
    """A SELECT that no step renders to."""


@dataclass(slots=True)
class _Layers:
    """The SELECTs of a statement: the one that computes columns and the one that groups, where they stand below."""

    top: exp.Select
    computed: exp.Select | None = None
    grouped: exp.Select | None = None


def read_step(tree: exp.Expr, name: str, given: Given) -> Iterator[Step]:
    """Yield the steps that may render to a statement, the likeliest first; raises `Outside` if there are none."""
    layers = _layers(tree)
    base = layers.computed or layers.grouped or layers.top
    step, names = _joined(base, name, given)
    if layers.computed is None and _computes(layers.top) and not layers.grouped:
        step = replace(step, compute=tuple(_computed(layers.top, names)))
        computed = {quote(each.name): each.name for each in step.compute}
        yield _ended(step, layers.top, names | computed, ())
        return
    if layers.computed is not None:
        step = replace(step, compute=tuple(_computed(layers.computed, names)))
        scope = joined(replace(step, compute=()), given)[0]
        names = {quote(column.result): key for key, column in scope.items()}
        names |= {quote(each.name): each.name for each in step.compute}
    filtering = layers.grouped or layers.top
    where = filtering.args.get("where")
    step = replace(step, filters=tuple(_filters(where.this, names)) if where else ())
    if filtering.args.get("group") or _aggregates(filtering):
        yield from _grouped(step, layers, names)
        return
    for pick in _picks(layers.top, names):
        for columns in dict.fromkeys(((), _chosen(layers.top, names))):
            yield _ended(replace(step, pick=pick), layers.top, names, columns)


def _layers(tree: exp.Expr) -> _Layers:
    if not isinstance(tree, exp.Select):
        raise Outside
    ctes = {each.alias: each.this for each in tree.ctes}
    found = _Layers(tree)
    for name, select in ctes.items():
        if not isinstance(select, exp.Select):
            raise Outside
        if re.fullmatch(r"computed(_\d+)?", name):
            found.computed = select
        elif re.fullmatch(r"grouped(_\d+)?", name):
            found.grouped = select
        else:
            raise Outside
    return found


def _joined(select: exp.Select, name: str, given: Given) -> tuple[Step, Names]:
    """Return the step with what it reads and joins, and its columns by how SQL names them."""
    step = Step(name, _plain_table(select.args["from_"].this))
    names = {f"{quote(step.input or '')}.{column.sql}": key for key, column in joined(step, given)[0].items()}
    for join in select.args.get("joins") or ():
        label = join.this.alias or join.this.name
        matches = []
        for each in _flat(join.args["on"], exp.And):
            left, right = _sides(each)
            if not isinstance(right, exp.Column) or right.table != label:
                raise Outside
            matches.append(Match(_named(left, names), right.name))
        made = Join(join.this.name, tuple(matches), "keep" if join.side == "LEFT" else "drop")
        step = replace(step, joins=(*step.joins, made))
        names = {column.sql: key for key, column in joined(step, given)[0].items()}
    return step, names if step.joins else {sql.partition(".")[2]: key for sql, key in names.items()}


def _plain_table(node: exp.Expr) -> str:
    if not isinstance(node, exp.Table) or node.alias:
        raise Outside
    return node.name


def _sides(node: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    if not isinstance(node, exp.Binary):
        raise Outside
    return node.left, node.right


def _flat(node: exp.Expr, kind: type[exp.Connector]) -> Iterator[exp.Expr]:
    """Yield what a chain of AND, or of OR, joins."""
    if isinstance(node, kind):
        yield from _flat(node.left, kind)
        yield from _flat(node.right, kind)
    else:
        yield node


def _text(node: exp.Expr) -> str:
    """Return how a column is written."""
    if not isinstance(node, exp.Column):
        raise Outside
    return f"{quote(node.table)}.{quote(node.name)}" if node.table else quote(node.name)


def _named(node: exp.Expr, names: Names) -> str:
    text = _text(node)
    if text not in names:
        raise Outside
    return names[text]


def _call(node: exp.Expr, name: str) -> list[exp.Expr] | None:
    """Return the arguments of a call of a function; None if it is none."""
    is_one = isinstance(node, exp.Anonymous) and node.name.lower() == name
    return list(node.expressions) if is_one else None


def _value(node: exp.Expr) -> str:
    """Return the text of a literal."""
    if isinstance(node, exp.Literal):
        return str(node.this)
    if isinstance(node, exp.Boolean):
        return "true" if node.this else "false"
    if isinstance(node, exp.Neg):
        return f"-{_value(node.this)}"
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal):
        return str(node.this.this)
    if isinstance(node, exp.DPipe):
        return _value(node.left) + _value(node.right)
    code = _call(node, "chr")
    if code:
        return chr(int(_value(code[0])))
    raise Outside


# --- computed columns ----------------------------------------------------------------------------------------------


def _computes(select: exp.Select) -> bool:
    """Tell whether a SELECT computes columns beside all that it reads."""
    plain = not any(select.args.get(part) for part in ("where", "group", "qualify"))
    return plain and any(map(_is_computed, select.expressions)) and not _aggregates(select)


def _is_computed(node: exp.Expr) -> bool:
    return isinstance(node, exp.Alias) and not isinstance(node.this, exp.Column)


def _computed(select: exp.Select, names: Names) -> Iterator[Computed]:
    names = dict(names)
    for each in filter(_is_computed, select.expressions):
        yield replace(_expression(each.this, names), name=each.alias)
        names[quote(each.alias)] = each.alias


def _expression(node: exp.Expr, names: Names) -> Computed:
    if type(node) in _ARITHMETIC or isinstance(node, exp.Div):
        return _arithmetic(node, names)
    if isinstance(node, exp.Cast) and not isinstance(node.this, exp.Literal):
        return _cast(node, names)
    if isinstance(node, exp.Anonymous):
        return _function(node.name.lower(), list(node.expressions), names)
    return Computed("", "constant", value=_value(node))


def _arithmetic(node: exp.Expr, names: Names) -> Computed:
    left, right = _sides(node)
    function = _ARITHMETIC.get(type(node), "divide")
    divisor = _call(right, "nullif")
    return _two("", function, left, divisor[0] if divisor else right, names)


def _two(name: str, function: Function, one: exp.Expr, other: exp.Expr, names: Names) -> Computed:
    column = _named(one, names)
    if isinstance(other, exp.Column):
        return Computed(name, function, column, _named(other, names))
    return Computed(name, function, column, value=_value(other))


def _cast(node: exp.Cast, names: Names) -> Computed:
    read = _call(node.this, "strptime")
    if read:
        return Computed("", "convert", _named(read[0], names), value=f"date {_value(read[1])}")
    kind = node.to.sql("duckdb").lower().replace(" ", "")
    column = _named(node.this, names)
    return Computed(
        "", "date" if kind == "date" else "convert", column, value=None if kind == "date" else _TYPES.get(kind, kind)
    )


def _function(name: str, parts: list[exp.Expr], names: Names) -> Computed:
    if name in _OF_ONE:
        return Computed("", _OF_ONE[name], _named(parts[0], names))
    if name not in _CALLS:
        raise Outside
    return _CALLS[name](parts, names)


def _if_empty(parts: list[exp.Expr], names: Names) -> Computed:
    held = _call(parts[0], "nullif")
    return _two("", "if empty", held[0] if held else parts[0], parts[1], names)


def _days_between(parts: list[exp.Expr], names: Names) -> Computed:
    one, other = (part.this if isinstance(part, exp.Cast) else part for part in parts[1:])
    return _two("", "days between", one, parts[2] if isinstance(other, exp.Literal) else other, names)


def _joined_text(parts: list[exp.Expr], names: Names) -> Computed:
    return Computed("", "join text", _named(parts[1], names), _named(parts[2], names), _value(parts[0]) or None)


_CALLS: dict[str, Callable[[list[exp.Expr], Names], Computed]] = {
    "round": lambda parts, names: _two("", "round", parts[0], parts[1], names),
    "left": lambda parts, names: _two("", "first characters", parts[0], parts[1], names),
    "replace": lambda parts, names: replace(
        _two("", "replace", parts[0], parts[1], names), new=_value(parts[2]) or None
    ),
    "concat": lambda parts, names: Computed("", "join text", _named(parts[0], names), value=_value(parts[1]) or None),
    "concat_ws": _joined_text,
    "coalesce": _if_empty,
    "date_diff": _days_between,
}


# --- conditions ----------------------------------------------------------------------------------------------------


def _filters(node: exp.Expr, names: Names) -> Iterator[Filter]:
    number = 0
    for part in _flat(node, exp.And):
        inside = part.this if isinstance(part, exp.Paren) else part
        if isinstance(inside, exp.Or) and not _is_not_in(inside):
            number += 1
            yield from (replace(_filter(each, names), either=number) for each in _flat(inside, exp.Or))
        else:
            yield _filter(part, names)


def _is_not_in(node: exp.Expr) -> bool:
    return isinstance(node, exp.Or) and isinstance(node.left, exp.Not) and isinstance(node.left.this, exp.In)


def _filter(node: exp.Expr, names: Names) -> Filter:
    if isinstance(node, exp.Paren) and _is_not_in(node.this):
        return replace(_filter(node.this.left.this, names), operator="not in")
    if isinstance(node, exp.Not):
        return replace(_filter(node.this, names), operator="is not empty")
    if isinstance(node, exp.Anonymous) and node.name.lower() in _TEXTUAL:
        left, right = node.expressions
        return _compared(_TEXTUAL[node.name.lower()], left, right, names)
    return _CONDITIONS.get(type(node), _comparison)(node, names)


def _comparison(node: exp.Expr, names: Names) -> Filter:
    left, right = _sides(node)
    empty = _call(left, "coalesce")
    if empty:
        return Filter(_named(empty[0], names), "is empty" if isinstance(node, exp.EQ) else "is not empty")
    if type(node) not in _COMPARED:
        raise Outside
    return _compared(_COMPARED[type(node)], left, right, names)


def _between(node: exp.Expr, names: Names) -> Filter:
    return Filter(_left(node.this, names), "between", (_value(node.args["low"]), _value(node.args["high"])))


_CONDITIONS: dict[type[exp.Expr], Callable[[exp.Expr, Names], Filter]] = {
    exp.Is: lambda node, names: Filter(_named(node.this, names), "is empty"),
    exp.In: lambda node, names: Filter(_left(node.this, names), "in", tuple(map(_value, node.expressions))),
    exp.Between: _between,
}


def _compared(operator: Operator, left: exp.Expr, right: exp.Expr, names: Names) -> Filter:
    column = _left(left, names)
    other = right.this if isinstance(right, exp.Cast) else right
    if isinstance(other, exp.Column):
        return Filter(column, operator, other=_named(other, names))
    value = _value(right)
    if value.startswith(PARAMETER):
        return Filter(column, operator, parameter=value.removeprefix(PARAMETER))
    return Filter(column, operator, (value,))


def _left(node: exp.Expr, names: Names) -> str:
    """Return the column of the left side; of a timestamp its day may stand there."""
    return _named(node.this if isinstance(node, exp.Cast) else node, names)


# --- groups --------------------------------------------------------------------------------------------------------


def _aggregates(select: exp.Select) -> bool:
    bare = (each.unalias() for each in select.expressions)
    calls = (each.this if isinstance(each, exp.Filter) else each for each in bare)
    return any(isinstance(each, exp.Anonymous) and each.name.lower() in _AGGREGATES for each in calls)


def _grouped(step: Step, layers: _Layers, names: Names) -> Iterator[Step]:
    """Yield the step with all columns that come out in their order, else with chosen ones."""
    select = layers.grouped or layers.top
    held = select.args.get("group")
    keys = list(held.expressions) if held else []
    outputs = {each.unalias().sql("duckdb"): each.alias_or_name for each in select.expressions}
    groups = tuple(_group(key, outputs.get(key.sql("duckdb")), names) for key in keys)
    rest = [each for each in select.expressions if each.unalias() not in keys]
    measures = [
        _measure(each.unalias(), each.alias_or_name, names)
        for each in rest
        if not isinstance(each.unalias(), exp.Filter)
    ]
    pivot = _pivot([each for each in rest if isinstance(each.unalias(), exp.Filter)], names)
    results = [each.alias_or_name for each in select.expressions]
    scope = {quote(name): name for name in results}
    if layers.grouped is not None:
        measures = _with_derived(layers.top, measures, scope)
        scope |= {quote(each.name): each.name for each in measures}
    made = replace(step, group=groups, measures=tuple(measures), pivot=pivot)
    for columns in ((), tuple(_renamed(each, scope) for each in layers.top.expressions)):
        yield _ended(made, layers.top, scope, columns)


def _renamed(node: exp.Expr, scope: Names) -> Chosen:
    bare = node.unalias()
    name = scope.get(quote(bare.name), node.alias_or_name) if isinstance(bare, exp.Column) else node.alias_or_name
    return Chosen(name, node.alias if isinstance(node, exp.Alias) and node.alias != name else None)


def _group(key: exp.Expr, name: str | None, names: Names) -> Group:
    cut = _call(key.this, "date_trunc") if isinstance(key, exp.Cast) else None
    if cut is None:
        column = _named(key, names)
        result = column.replace(".", "_")
        return Group(column, None, None if name in (None, result) else name)
    unit = _value(cut[0])
    if unit not in get_args(Unit):
        raise Outside
    return Group(_left(cut[1], names), cast("Unit", unit), None if name in (None, unit) else name)


def _measure(node: exp.Expr, name: str, names: Names) -> Measure:
    if not isinstance(node, exp.Anonymous) or node.name.lower() not in _AGGREGATES:
        raise Outside
    function = _AGGREGATES[node.name.lower()]
    what = node.expressions[0]
    if isinstance(what, exp.Star):
        return Measure(name, function)
    if isinstance(what, exp.Distinct):
        return Measure(name, "count distinct", _named(what.expressions[0], names))
    return Measure(name, function, _named(what.this if isinstance(what, exp.Order) else what, names))


def _pivot(outputs: Sequence[exp.Expr], names: Names) -> Pivot | None:
    if not outputs:
        return None
    values = []
    for each in outputs:
        inside = each.unalias()
        column, value = _sides(inside.expression.this)
        measure = _measure(inside.this, "", names)
        values.append(_value(value))
        made = Pivot(_left(column, names), tuple(values), measure.function, measure.column)  # type: ignore[arg-type]
    return made


def _with_derived(top: exp.Select, measures: list[Measure], scope: Names) -> list[Measure]:
    """Return measures with the shares and ratios of the SELECT above, in its order."""
    plain = {each.name: each for each in measures}
    found: list[Measure] = []
    for each in top.expressions:
        bare = each.unalias()
        if isinstance(bare, exp.Div):
            divisor = (_call(bare.right, "nullif") or [bare.right])[0]
            of = _named(bare.left, scope)
            if isinstance(divisor, exp.Window):
                found.append(Measure(each.alias, "share of total", of=of))
            else:
                found.append(Measure(each.alias, "ratio", of=of, over=_named(divisor, scope)))
        elif _named(bare, scope) in plain:
            found.append(plain.pop(_named(bare, scope)))
    return [*plain.values(), *found]


# --- the end of a step ---------------------------------------------------------------------------------------------


def _picks(select: exp.Select, names: Names) -> Iterator[Pick | None]:
    """Yield what QUALIFY may mean: the first of its keys are the order, the others make it complete."""
    held = select.args.get("qualify")
    if held is None:
        yield None
        return
    window, rows = _sides(held.this)
    if not isinstance(window, exp.Window):
        raise Outside
    per = tuple(_named(each, names) for each in window.args.get("partition_by") or ())
    order = window.args["order"].expressions
    keys = tuple(Sort(_named(each.this, names), bool(each.args.get("desc"))) for each in order)
    for count in range(1, len(keys) + 1):
        yield Pick(per, keys[:count], int(_value(rows)))


def _chosen(select: exp.Select, names: Names) -> tuple[Chosen, ...]:
    if any(isinstance(each, exp.Star) for each in select.expressions):
        return ()
    made = []
    for each in select.expressions:
        name = _named(each.unalias(), names)
        default = name.replace(".", "_")
        made.append(Chosen(name, None if each.alias_or_name in (default, each.name) else each.alias))
    return tuple(made)


def _ended(step: Step, select: exp.Select, names: Names, columns: tuple[Chosen, ...]) -> Step:
    results = {
        quote(each.alias_or_name): each.alias_or_name for each in select.expressions if not isinstance(each, exp.Star)
    }
    order, limit = select.args.get("order"), select.args.get("limit")
    sort = []
    for each in order.expressions if order else ():
        text = _text(each.this)
        name = results.get(text) or names.get(text)
        if name is None:
            raise Outside
        sort.append(Sort(name, bool(each.args.get("desc"))))
    return replace(step, columns=columns, sort=tuple(sort), limit=int(_value(limit.expression)) if limit else None)
