"""Read a query back in words: its key, which rows are kept, what is joined, and what each column is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.explanation.grain import Grains, group_values
from osiris.sql.explanation.sources import Key, Rows, conjuncts, reference
from osiris.sql.nondeterminism.row_order import written_order
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import deep_recursion, parse, write
from osiris.sql.scope import QUERIES, from_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from osiris.sql.explanation.grain import Facts, JoinFacts
    from osiris.sql.explanation.sources import Item, SelectScope


_TESTS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Like, exp.Between)
_STRICT = (*_TESTS, exp.Column, exp.Identifier, exp.Literal, exp.Cast, exp.DataType, exp.Placeholder)
"""Nodes that are NULL if a column in them is."""
NAMES = ("name", "title", "label")
"""Names, or endings of names, of columns by which people identify things; several things may share a value."""
_INFIX: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.DPipe: "||",
    exp.And: "and",
    exp.Or: "or",
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
"""Aggregates in which an order only makes rounding deterministic."""
_UNITS = frozenset({"year", "quarter", "month", "week", "day", "weekday", "hour", "minute", "dayofweek"})
_LONGEST = 400


@dataclass(slots=True)
class QueryText:
    """A query in words. `keys` are all known keys, in folded names; `grain` is the shortest of them.

    `columns` are named outputs, and computed columns of inner queries, with what each is; `groups` is what each query
    has one row for.
    """

    rows: Rows = field(default_factory=Rows)
    filters: list[str] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    sort: list[str] = field(default_factory=list)
    limit: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def grain(self) -> tuple[str, ...] | None:
        """Return the columns that identify a row, none for at most one row; None if unknown."""
        return None if not self.rows.keys else in_order(best_key(self.rows.keys), self.rows)


def best_key(keys: Iterable[Key]) -> Key:
    """Return the shortest key."""
    return min(keys, key=lambda key: (len(key), sorted(key)))


def in_order(key: Key, rows: Rows) -> tuple[str, ...]:
    """Return the columns of a key as written, in column order."""
    return tuple(name for name in rows.named if name.lower() in key)


def read_query(
    text: str, relations: Mapping[str, Rows], dialect: str = "duckdb", names: Sequence[str] = ()
) -> QueryText:
    """Return a checked query in words; `relations` are by folded name, `names` its columns if known."""
    with deep_recursion():
        tree = parse(text, DIALECTS[dialect].load_grammar())[0]
        has_names = isinstance(tree, exp.Select) and not tree.is_star and len(tree.expressions) == len(names)
        for each, name in zip(list(tree.expressions), names, strict=True) if has_names else ():
            if not each.alias_or_name:
                each.replace(exp.alias_(each.copy(), name, quoted=True))
        grains = Grains(relations, DIALECTS[dialect])
        summary = QueryText(grains.of(tree))
        for query in inner_first(tree):
            if isinstance(query, exp.Select):
                _read_select(query, grains, summary)
        _read_computed(tree, grains, summary)
        _read_outermost(tree, grains, summary)
    return summary


def inner_first(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the queries that rows pass through, those of WITH and FROM before their readers."""
    with_ = tree.args.get("with_")
    inner = [cte.this for cte in with_.expressions] if isinstance(with_, exp.With) else []
    if isinstance(tree, (exp.Subquery, exp.Lateral)) and isinstance(tree.this, QUERIES):
        inner.append(tree.this)
    elif isinstance(tree, exp.SetOperation):
        inner += [tree.left, tree.right]
    elif isinstance(tree, exp.Select):
        inner += from_items(tree)
    for each in inner:
        yield from inner_first(each)
    if isinstance(tree, exp.Select):
        yield tree


def _read_select(select: exp.Select, grains: Grains, summary: QueryText) -> None:
    facts = grains.facts_of(select)
    phrases = Phrases(facts.scope, grains)
    for joined in facts.joins:
        _read_join(joined, phrases, summary)
    for key in ("where", "having", "qualify"):
        for condition in conjuncts(select.args.get(key)):
            summary.filters.append(phrases.say(condition))
            summary.notes += _lost_matches(condition, facts, phrases)
    values = group_values(select, facts.scope)
    if not values and select.args.get("distinct"):
        values = [each.unalias() for each in select.expressions]
    if values:
        summary.groups.append(" and ".join(phrases.say(each) for each in values))
    summary.notes += _namesakes(select, facts)


def _read_computed(tree: exp.Expr, grains: Grains, summary: QueryText) -> None:
    """Describe computed columns of inner queries, along a chain of single sources, where names keep their meaning.

    A name that is computed twice is left out.
    """
    with_ = tree.args.get("with_")
    ctes = {each.alias: each.this for each in with_.expressions} if isinstance(with_, exp.With) else {}
    twice: set[str] = set()
    query = _only_source(tree, ctes)
    while query is not None:
        phrases = Phrases(grains.facts_of(query).scope, grains)
        for each in query.expressions:
            if isinstance(each, exp.Alias) and not isinstance(each.this, exp.Column):
                twice |= {each.alias} & summary.columns.keys()
                summary.columns[each.alias] = phrases.say(each)
        query = _only_source(query, ctes)
    summary.columns = {name: text for name, text in summary.columns.items() if name not in twice}


def _only_source(query: exp.Expr, ctes: dict[str, exp.Expr]) -> exp.Select | None:
    """Return the query that is a query's only source; a CTE is taken out of `ctes`."""
    first = query.args.get("from_") if isinstance(query, exp.Select) and not query.args.get("joins") else None
    source = first.this if first else None
    inner = ctes.pop(source.name, None) if isinstance(source, exp.Table) and not source.args.get("db") else source
    inner = inner.this if isinstance(inner, exp.Subquery) else inner
    return inner if isinstance(inner, exp.Select) else None


_KEPT = {"LEFT": "rows of {0}", "RIGHT": "rows of {1}", "FULL": "rows of both"}
_MATCHED = {"SEMI": "only rows of {0} with a match", "ANTI": "only rows of {0} without a match"}
_BY_METHOD = {"ASOF": "; the nearest match of each row", "POSITIONAL": "; rows at the same place"}


def _read_join(joined: JoinFacts, phrases: Phrases, summary: QueryText) -> None:
    """Describe what a join is on, and the conditions of ON that only filter."""
    on = [pair[0].name for pair in joined.pairs]
    kept = _KEPT.get(joined.words.side, "").format(joined.before[0].label, joined.item.label)
    for condition in conjuncts(joined.node.args.get("on")):
        if _is_match(condition, joined, phrases):
            on.append(phrases.say(condition))
        else:
            aside = f" (in the join only: {kept} without a match are kept)" if kept else ""
            summary.filters.append(phrases.say(condition) + aside)
    summary.joins.append(
        f"{joined.before[0].label} with {joined.item.label}{_join_text(joined, ' and '.join(on), kept)}"
    )


def _join_text(joined: JoinFacts, on: str, kept: str) -> str:
    kind, _, method = joined.words
    if not (method or joined.node.args.get("on") or joined.node.args.get("using")):
        return ": every row with every row"
    rows = f"unmatched {kept} kept" if kept else "unmatched rows dropped"
    if kind in _MATCHED:
        rows = _MATCHED[kind].format(joined.before[0].label)
    many = "" if joined.narrow or method == "POSITIONAL" else "; rows may multiply"
    return f"{f' on {on}' if on else ''}; {rows}{_BY_METHOD.get(method, '')}{many}"


def _is_match(condition: exp.Expr, joined: JoinFacts, phrases: Phrases) -> bool:
    """Tell whether a condition of ON equates both sides; any other only filters."""
    if not isinstance(condition, (exp.EQ, exp.NullSafeEQ)):
        return False
    if joined.words.only_filters:
        return True
    sides = [phrases.scope.aliases(each) for each in (condition.this, condition.expression)]
    alias = {joined.item.alias}
    return None in sides or (
        any(side == alias for side in sides) and not all(side == alias for side in sides) and all(sides)
    )


def _lost_matches(condition: exp.Expr, facts: Facts, phrases: Phrases) -> Iterator[str]:
    """Yield a note on a condition that drops the unmatched rows of an outer join, since its columns are NULL there."""
    if not isinstance(condition, _TESTS) or any(not isinstance(part, _STRICT) for part in condition.walk()):
        return
    reads = facts.scope.aliases(condition) or set()
    for joined in facts.joins:
        if joined.words.side == "LEFT" and joined.item.alias in reads:
            yield (
                f"the condition {phrases.say(condition)} drops the unmatched rows "
                f"that the join with {joined.item.label} keeps"
            )


def _namesakes(select: exp.Select, facts: Facts) -> Iterator[str]:
    """Yield a note for each source grouped by a name rather than its key: rows with equal names become one group."""
    grouped = grouped_columns(select, facts)
    texts = facts.key(filter(None, map(facts.scope.spelled, grouped)))
    for item in facts.scope.items:
        columns = [each.name for each in grouped if facts.scope.item_of(each) is item]
        types = item.rows.types
        names = [name for name in columns if types.get(name.lower()) in ("utf8", None) and name.lower().endswith(NAMES)]
        keys = [in_order(key, item.rows) for key in item.rows.keys]
        if names and _is_split(keys, item, texts, facts):
            yield (
                f"different rows of {item.label} with the same {' and '.join(names)} "
                f"are counted as one group (its key is {' and '.join(sorted(keys, key=len)[0])})"
            )


def _is_split(keys: Sequence[Sequence[str]], item: Item, texts: Key, facts: Facts) -> bool:
    """Tell whether a source has keys, and none of them is among the grouping values."""
    complete = any(facts.key(reference(item, name) for name in key) <= texts for key in keys)
    return bool(keys) and all(keys) and not complete


def grouped_columns(select: exp.Select, facts: Facts) -> list[exp.Column]:
    """Return the plain columns by which a SELECT groups."""
    return [each for each in group_values(select, facts.scope) if isinstance(each, exp.Column)]


def _read_outermost(tree: exp.Expr, grains: Grains, summary: QueryText) -> None:
    """Describe the outermost query: its columns, their order and its limit."""
    query = tree
    while isinstance(query, (exp.Subquery, exp.SetOperation)):
        query = query.this
    if not isinstance(query, exp.Select):
        return
    phrases = Phrases(grains.facts_of(query).scope, grains)
    if query is tree or isinstance(tree, exp.Subquery):
        _read_outputs(query, phrases, summary)
    order = written_order(tree, [name or "" for name in summary.rows.columns or ()])
    summary.sort = [_sorted_by(each, query, phrases) for each in order]
    summary.limit = _limit_text(tree, phrases)


def _read_outputs(query: exp.Select, phrases: Phrases, summary: QueryText) -> None:
    """Describe named columns; one that is passed on keeps its description."""
    for each in query.expressions:
        value = each.unalias()
        if not isinstance(value, exp.Star) and not isinstance(each.this, exp.Star):
            name = each.alias_or_name or phrases.say(each)
            is_passed_on = isinstance(value, exp.Column) and value.name == name
            summary.columns[name] = summary.columns.get(name if is_passed_on else "", phrases.say(each))


def _limit_text(tree: exp.Expr, phrases: Phrases) -> str | None:
    limit, offset = tree.args.get("limit"), tree.args.get("offset")
    if limit is None:
        return None
    count: exp.Expr = limit.args["count"] if isinstance(limit, exp.Fetch) else limit.expression
    options = limit.args.get("limit_options")
    unit = "%" if options and options.args.get("percent") else ""
    skipped = f" after the first {phrases.say(offset.expression)}" if offset else ""
    return f"{phrases.say(count)}{unit}{skipped}"


def _sorted_by(key: exp.Expr, query: exp.Select, phrases: Phrases) -> str:
    value, down = key.this, " descending" if key.args.get("desc") else ""
    if isinstance(value, exp.Literal) and value.is_int:
        place = int(value.name) - 1
        output = query.expressions[place] if place < len(query.expressions) else value
        return f"{output.alias_or_name or phrases.say(output)}{down}"
    if isinstance(value, exp.Column) and not value.table and value.name in query.named_selects:
        return f"{value.name}{down}"  # a name is that of an output column first
    return f"{phrases.say(value)}{down}" if not isinstance(value, exp.Var) else f"all columns{down}"


@dataclass(frozen=True, slots=True)
class Phrases:
    """Describes the nodes of one SELECT in words."""

    scope: SelectScope
    grains: Grains
    around: Phrases | None = None

    def column(self, column: exp.Expr) -> str:
        """Return the name of a column, qualified if there are several sources, or if it is from an outer query."""
        has_several = len(self.scope.items) > 1 or bool(self.scope.select.args.get("joins"))
        phrases: Phrases | None = self
        while phrases is not None:
            item = phrases.scope.item_of(column)
            if item is not None:
                return column.name if phrases is self and not has_several else f"{item.label}.{column.name}"
            phrases = phrases.around
        return f"{column.args['table'].name}.{column.name}" if column.args.get("table") else column.name

    def say(self, node: exp.Expr) -> str:
        """Return a node in words."""
        for kind, phrase in _PHRASES:
            if isinstance(node, kind):
                text = phrase(self, node)
                if text is not None:
                    return text
        infix = _INFIX.get(type(node))
        if infix is not None:
            return f"{self.say(node.this)} {infix} {self.say(node.expression)}"
        return self.sql(node)

    def sql(self, node: exp.Expr) -> str:
        """Return the SQL of a node on one line."""
        text = " ".join(write(node, self.scope.grammar).split())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

    def listed(self, nodes: list[exp.Expr]) -> str:
        """Return nodes in words, separated by commas."""
        return ", ".join(self.say(node) for node in nodes)


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
    values = _query(phrases, query) if query else phrases.listed(node.expressions)
    return f"{phrases.say(node.this)} {word} ({values})" if values and not node.args.get("field") else None


def _exists(phrases: Phrases, node: exp.Expr, word: str = "a row exists in") -> str | None:
    query = node.this.unnest()
    return f"{word} {_rest(phrases, query)}" if isinstance(query, exp.Select) and query.args.get("from_") else None


def _query(phrases: Phrases, query: exp.Expr) -> str | None:
    """Return a simple query in words: its columns and sources."""
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
    condition = " and ".join(inner.say(each) for each in conjuncts(query.args.get("where")))
    keys = [key for key in ("group", "having", "qualify", "limit", "joins") if query.args.get(key)]
    more = f" ({phrases.sql(query)})" if keys else ""
    return f"{sources}{f' where {condition}' if condition else ''}{more}"


def _subquery(phrases: Phrases, node: exp.Expr) -> str | None:
    return f"({_query(phrases, node.this)})" if isinstance(node.this, exp.Query) else None


def _between(phrases: Phrases, node: exp.Expr) -> str | None:
    low, high = phrases.say(node.args["low"]), phrases.say(node.args["high"])
    return f"{phrases.say(node.this)} between {low} and {high}" if not node.args.get("symmetric") else None


_LIKE = {(True, True): "contain", (False, True): "start with", (True, False): "end with"}
"""Meaning of a pattern by the position of its `%`."""


def _like(phrases: Phrases, node: exp.Expr, negated: str = "") -> str | None:
    pattern = node.expression
    text = pattern.name if isinstance(pattern, exp.Literal) and pattern.is_string else ""
    inner, verb = text.strip("%"), _LIKE.get((text.startswith("%"), text.endswith("%")))
    if not inner or not verb or any(sign in inner for sign in "%_\\"):
        return f"{phrases.say(node.this)} {'is not' if negated else 'is'} like {phrases.say(pattern)}"
    first, _, rest = verb.partition(" ")
    predicate = f"{negated}{verb}" if negated else f"{first}s {rest}".rstrip()
    case = " in any case" if isinstance(node, exp.ILike) else ""
    return f"{phrases.say(node.this)} {predicate} '{inner}'{case}"


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
        return _gathered(phrases, name, parts)
    if name in ("date_trunc", "datetrunc") and len(parts) == 2 and isinstance(parts[0], exp.Literal):
        return f"{parts[0].name.lower()} of {phrases.say(parts[1])}"
    if name in _UNITS and len(parts) == 1:
        return f"{name} of {phrases.say(parts[0])}"
    return f"{name}({phrases.listed(parts)})" if not node.args.get("distinct") else None


def _gathered(phrases: Phrases, name: str, parts: list[exp.Expr]) -> str:
    distinct = bool(parts) and isinstance(parts[0], exp.Distinct)
    parts = [*parts[0].expressions, *parts[1:]] if distinct else parts
    if name in _ORDERLESS and parts and isinstance(parts[0], exp.Order):
        parts = [parts[0].this, *parts[1:]]
    return " ".join(filter(None, (_GATHERED[name], "different" if distinct else "", phrases.listed(parts))))


def _count(phrases: Phrases, parts: list[exp.Expr]) -> str:
    if not parts or isinstance(parts[0], (exp.Star, exp.Literal)):
        return "number of rows"
    if isinstance(parts[0], exp.Distinct):
        return f"number of different {phrases.listed(parts[0].expressions)}"
    return f"number of rows with {phrases.listed(parts)}"


def _order(phrases: Phrases, node: exp.Expr) -> str | None:
    return f"{phrases.say(node.this)} in the order of {', '.join(ordered(phrases, node))}" if node.this else None


def ordered(phrases: Phrases, order: exp.Expr) -> list[str]:
    """Return the keys of an ORDER BY in words."""
    return [f"{phrases.say(each.this)}{' descending' if each.args.get('desc') else ''}" for each in order.expressions]


_PHRASES: tuple[tuple[type[exp.Expr], Callable[[Phrases, exp.Expr], str | None]], ...] = (
    (exp.Column, lambda phrases, node: None if isinstance(node.this, exp.Star) else phrases.column(node)),
    (exp.Literal, lambda _, node: f"'{node.name}'" if node.is_string else node.name),
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
    (exp.Paren, lambda phrases, node: f"({phrases.say(node.this)})"),
    (exp.Filter, _filtered),
    (exp.Window, _window),
    (exp.Anonymous, _call),
    (exp.Extract, lambda phrases, node: f"{node.this.name.lower()} of {phrases.say(node.expression)}"),
    (exp.Neg, lambda phrases, node: f"-{phrases.say(node.this)}"),
    (exp.Order, _order),
    (exp.Subquery, _subquery),
)
