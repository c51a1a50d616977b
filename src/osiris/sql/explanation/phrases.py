"""SQL in plain words: conditions, measures and what rows are sorted by. What has no plain words keeps its SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.nondeterminism.sources import conjuncts
from osiris.sql.safety.tree import write

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.sql.nondeterminism.grain import Grains
    from osiris.sql.nondeterminism.sources import Scope

_COMPARED: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
}
_COMPUTED: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.DPipe: "||",
}
_JOINED: dict[type[exp.Expr], str] = {exp.And: "and", exp.Or: "or"}
_INFIX: dict[type[exp.Expr], str] = {
    **_COMPARED,
    **_COMPUTED,
    **_JOINED,
    exp.NullSafeEQ: "is the same as",
    exp.NullSafeNEQ: "is not the same as",
}
_GATHERED = {
    "sum": "sum of",
    "avg": "average of",
    "mean": "average of",
    "min": "minimum of",
    "max": "maximum of",
    "median": "median of",
    "first": "first",
    "last": "last",
    "any_value": "any",
    "list": "list of",
    "array_agg": "list of",
    "string_agg": "joined text of",
    "row_number": "row number",
    "rank": "rank",
    "dense_rank": "rank without gaps",
}
_ORDERLESS = frozenset({"sum", "avg", "mean", "min", "max", "median"})
"""Figures in which an order only makes the rounding the same each time."""
_UNITS = frozenset({"year", "quarter", "month", "week", "day", "weekday", "hour", "minute", "dayofweek"})
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Phrases:
    """Says what the nodes of one SELECT mean; columns are called by `named`."""

    scope: Scope
    grains: Grains
    around: Phrases | None = None

    def column(self, column: exp.Expr) -> str:
        """Return the name of a column: with that of its source where there are several, or where it is around."""
        item = self.scope.item_of(column)
        if item is not None:
            return f"{item.label}.{column.name}" if self._has_several() else column.name
        around = self.around
        while around is not None:
            item = around.scope.item_of(column)
            if item is not None:
                return f"{item.label}.{column.name}"
            around = around.around
        return f"{column.args['table'].name}.{column.name}" if column.args.get("table") else column.name

    def _has_several(self) -> bool:
        return len(self.scope.items) > 1 or bool(self.scope.select.args.get("joins"))

    def say(self, node: exp.Expr) -> str:
        """Return a node in plain words."""
        for kind, phrase in _PHRASES:
            if isinstance(node, kind):
                told = phrase(self, node)
                if told is not None:
                    return told
        infix = _INFIX.get(type(node))
        if infix is not None:
            return f"{self.say(node.this)} {infix} {self.say(node.expression)}"
        return self.sql(node)

    def sql(self, node: exp.Expr) -> str:
        """Return the SQL of a node on one line."""
        text = " ".join(write(node, self.scope.grammar).split())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

    def listed(self, nodes: list[exp.Expr]) -> str:
        """Return nodes in plain words, with commas between."""
        return ", ".join(self.say(node) for node in nodes)


def _literal(_: Phrases, node: exp.Expr) -> str | None:
    return f"'{node.name}'" if node.is_string else node.name


def _cast(phrases: Phrases, node: exp.Expr) -> str | None:
    to = node.args["to"]
    if isinstance(node.this, exp.Literal) and to.this in (exp.DType.DATE, exp.DType.TIMESTAMP):
        return str(node.this.name)
    return f"{phrases.say(node.this)} as {to.sql().lower()}"


def _negated(phrases: Phrases, node: exp.Expr) -> str | None:
    inner = node.this.unnest()
    if isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null):
        return f"{phrases.say(inner.this)} is not empty"
    if isinstance(inner, exp.In):
        return _in(phrases, inner, "not in")
    if isinstance(inner, (exp.Like, exp.ILike)):
        return _like(phrases, inner, "does not ")
    if isinstance(inner, exp.Exists):
        return _exists(phrases, inner, "no row exists in")
    return f"not ({phrases.say(inner)})"


def _is(phrases: Phrases, node: exp.Expr) -> str | None:
    return f"{phrases.say(node.this)} is empty" if isinstance(node.expression, exp.Null) else None


def _in(phrases: Phrases, node: exp.Expr, word: str = "in") -> str | None:
    query = node.args.get("query")
    inside = _query(phrases, query) if query else phrases.listed(node.expressions)
    return f"{phrases.say(node.this)} {word} ({inside})" if inside and not node.args.get("field") else None


def _exists(phrases: Phrases, node: exp.Expr, word: str = "a row exists in") -> str | None:
    query = node.this.unnest()
    return f"{word} {_rest(phrases, query)}" if isinstance(query, exp.Select) and query.args.get("from_") else None


def _query(phrases: Phrases, query: exp.Expr) -> str | None:
    """Return a plain query in words: its columns, and where they come from."""
    query = query.unnest()
    if not isinstance(query, exp.Select) or not query.args.get("from_") or query.find(exp.Star):
        return " ".join(write(query, phrases.scope.grammar).split())
    inner = _inside(phrases, query)
    return f"{inner.listed([each.unalias() for each in query.expressions])} of {_rest(phrases, query)}"


def _inside(phrases: Phrases, query: exp.Select) -> Phrases:
    return Phrases(phrases.grains.facts_of(query).scope, phrases.grains, phrases)


def _rest(phrases: Phrases, query: exp.Select) -> str:
    inner = _inside(phrases, query)
    sources = ", ".join(item.label for item in inner.scope.items)
    where = " and ".join(inner.say(each) for each in conjuncts(query.args.get("where")))
    keys = [key for key in ("group", "having", "qualify", "limit", "joins") if query.args.get(key)]
    more = f" ({phrases.sql(query)})" if keys else ""
    return f"{sources}{f' where {where}' if where else ''}{more}"


def _subquery(phrases: Phrases, node: exp.Expr) -> str | None:
    return f"({_query(phrases, node.this)})" if isinstance(node.this, exp.Query) else None


def _between(phrases: Phrases, node: exp.Expr) -> str | None:
    low, high = phrases.say(node.args["low"]), phrases.say(node.args["high"])
    return f"{phrases.say(node.this)} between {low} and {high}" if not node.args.get("symmetric") else None


def _like(phrases: Phrases, node: exp.Expr, negated: str = "") -> str | None:
    pattern = node.expression
    text = pattern.name if isinstance(pattern, exp.Literal) and pattern.is_string else None
    inner = text.strip("%") if text else ""
    words = {(True, True): "contain", (False, True): "start with", (True, False): "end with"}
    ends = (text.startswith("%"), text.endswith("%")) if text else (False, False)
    if not inner or ends not in words or any(sign in inner for sign in "%_\\"):
        return f"{phrases.say(node.this)} {'is not' if negated else 'is'} like {phrases.say(pattern)}"
    verb, _, with_ = words[ends].partition(" ")
    shown = f"{negated}{verb}{'' if negated else 's'}{f' {with_}' if with_ else ''}"
    case = " in any case" if isinstance(node, exp.ILike) else ""
    return f"{phrases.say(node.this)} {shown} '{inner}'{case}"


def _paren(phrases: Phrases, node: exp.Expr) -> str | None:
    return f"({phrases.say(node.this)})"


def _filtered(phrases: Phrases, node: exp.Expr) -> str | None:
    conditions = " and ".join(phrases.say(each) for each in conjuncts(node.expression))
    return f"{phrases.say(node.this)} where {conditions}"


def _window(phrases: Phrases, node: exp.Expr) -> str | None:
    if node.args.get("alias") or node.args.get("spec"):
        return None
    by, order = node.args.get("partition_by") or [], node.args.get("order")
    per = f" per {phrases.listed(by)}" if by else ""
    sort = f", by {', '.join(ordered(phrases, order))}" if order else ""
    return f"{phrases.say(node.this)}{per or ('' if order else ' over all rows')}{sort}"


def _call(phrases: Phrases, node: exp.Expr) -> str | None:
    name, parts = node.name.lower(), list(node.expressions)
    if name in ("count", "count_star"):
        return _count(phrases, parts)
    if name in _GATHERED:
        distinct = bool(parts) and isinstance(parts[0], exp.Distinct)
        parts = [*parts[0].expressions, *parts[1:]] if distinct else parts
        if name in _ORDERLESS and parts and isinstance(parts[0], exp.Order):
            parts = [parts[0].this, *parts[1:]]
        return " ".join(filter(None, (_GATHERED[name], "different" if distinct else "", phrases.listed(parts))))
    if name in ("date_trunc", "datetrunc") and len(parts) == 2 and isinstance(parts[0], exp.Literal):
        return f"{parts[0].name.lower()} of {phrases.say(parts[1])}"
    if name in _UNITS and len(parts) == 1:
        return f"{name} of {phrases.say(parts[0])}"
    return f"{name}({phrases.listed(parts)})" if not node.args.get("distinct") else None


def _count(phrases: Phrases, parts: list[exp.Expr]) -> str:
    if not parts or isinstance(parts[0], (exp.Star, exp.Literal)):
        return "number of rows"
    if isinstance(parts[0], exp.Distinct):
        return f"number of different {phrases.listed(parts[0].expressions)}"
    return f"number of rows with {phrases.listed(parts)}"


def _extract(phrases: Phrases, node: exp.Expr) -> str | None:
    return f"{node.this.name.lower()} of {phrases.say(node.expression)}"


def _neg(phrases: Phrases, node: exp.Expr) -> str | None:
    return f"-{phrases.say(node.this)}"


def _order(phrases: Phrases, node: exp.Expr) -> str | None:
    return f"{phrases.say(node.this)} in the order of {', '.join(ordered(phrases, node))}" if node.this else None


def ordered(phrases: Phrases, order: exp.Expr) -> list[str]:
    """Return what an ORDER BY sorts by, in plain words."""
    return [f"{phrases.say(each.this)}{' descending' if each.args.get('desc') else ''}" for each in order.expressions]


_PHRASES: tuple[tuple[type[exp.Expr], Callable[[Phrases, exp.Expr], str | None]], ...] = (
    (exp.Column, lambda phrases, node: None if isinstance(node.this, exp.Star) else phrases.column(node)),
    (exp.Literal, _literal),
    (exp.Boolean, lambda _, node: str(node.this).lower()),
    (exp.Null, lambda _phrases, _node: "NULL"),
    (exp.Alias, lambda phrases, node: phrases.say(node.this)),
    (exp.Cast, _cast),
    (exp.Not, _negated),
    (exp.Is, _is),
    (exp.In, _in),
    (exp.Exists, _exists),
    (exp.Between, _between),
    (exp.Like, _like),
    (exp.ILike, _like),
    (exp.Paren, _paren),
    (exp.Filter, _filtered),
    (exp.Window, _window),
    (exp.Anonymous, _call),
    (exp.Extract, _extract),
    (exp.Neg, _neg),
    (exp.Order, _order),
    (exp.Subquery, _subquery),
)
