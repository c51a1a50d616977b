"""A query read back in plain words: what names a row, which rows are kept, what is joined, and what each column is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.explanation.phrases import Phrases
from osiris.sql.nondeterminism.grain import Grains, group_values
from osiris.sql.nondeterminism.order import written_order
from osiris.sql.nondeterminism.sources import Key, Rows, conjuncts
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import QUERIES, deep_recursion, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from osiris.sql.nondeterminism.grain import Facts, Joined


@dataclass(slots=True)
class QueryText:
    """A query in plain words. `keys` are all that are known, in folded names; `grain` is the shortest of them.

    `columns` are outputs that the text names, and what is computed below them, with what each is; `groups` what each
    query has one row for.
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
        """Return the columns that name a row, none for at most one row; None where they are not known."""
        return None if not self.rows.keys else in_order(best_key(self.rows.keys), self.rows)


def best_key(keys: Iterable[Key]) -> Key:
    """Return the shortest of some keys."""
    return min(keys, key=lambda key: (len(key), sorted(key)))


def in_order(key: Key, rows: Rows) -> tuple[str, ...]:
    """Return the columns of a key as they are written, in the order of the columns."""
    return tuple(name for name in rows.columns or () if name and name.lower() in key)


def read_query(
    text: str, relations: Mapping[str, Rows], dialect: str = "duckdb", names: Sequence[str] = ()
) -> QueryText:
    """Return a checked query in plain words; `relations` are by folded name, `names` its columns where known."""
    with deep_recursion():
        tree = parse(text, DIALECTS[dialect].load_grammar())[0]
        _name_outputs(tree, names)
        grains = Grains(relations, DIALECTS[dialect])
        found = QueryText(grains.of(tree))
        for query in inner_first(tree):
            if isinstance(query, exp.Select):
                _read_select(query, grains, found)
        _read_computed(tree, grains, found)
        _read_outermost(tree, grains, found)
    return found


def _name_outputs(tree: exp.Expr, names: Sequence[str]) -> None:
    """Give outputs without a name the ones that the engine gave them."""
    plain = isinstance(tree, exp.Select) and not tree.is_star and len(tree.expressions) == len(names)
    for each, name in zip(list(tree.expressions), names, strict=True) if plain else ():
        if not each.alias_or_name:
            each.replace(exp.alias_(each.copy(), name, quoted=True))


def inner_first(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the queries that rows go through, those of WITH and FROM before those that read them."""
    with_ = tree.args.get("with_")
    for cte in with_.expressions if isinstance(with_, exp.With) else ():
        yield from inner_first(cte.this)
    if isinstance(tree, (exp.Subquery, exp.Lateral)) and isinstance(tree.this, QUERIES):
        yield from inner_first(tree.this)
    elif isinstance(tree, exp.SetOperation):
        yield from inner_first(tree.left)
        yield from inner_first(tree.right)
    elif isinstance(tree, exp.Select):
        first = tree.args.get("from_")
        for source in [*([first.this] if first else []), *(join.this for join in tree.args.get("joins") or ())]:
            yield from inner_first(source)
        yield tree


def _read_select(select: exp.Select, grains: Grains, found: QueryText) -> None:
    facts = grains.facts_of(select)
    phrases = Phrases(facts.scope, grains)
    for joined in facts.joins:
        found.joins.append(_join_text(joined, phrases))
        found.filters += _join_filters(joined, phrases)
    for key in ("where", "having", "qualify"):
        for condition in conjuncts(select.args.get(key)):
            found.filters.append(phrases.say(condition))
            found.notes += _lost_matches(condition, facts, phrases)
    if values := _one_row_per(select, facts):
        found.groups.append(" and ".join(phrases.say(each) for each in values))
    found.notes += _namesakes(select, facts)


def _one_row_per(select: exp.Select, facts: Facts) -> list[exp.Expr]:
    """Return the values of which each comes out once: those of GROUP BY, and without one those of DISTINCT."""
    values = group_values(select, facts.scope)
    return values or ([each.unalias() for each in select.expressions] if select.args.get("distinct") else [])


def _read_computed(tree: exp.Expr, grains: Grains, found: QueryText) -> None:
    """Read what is computed below the outermost query, as far as each reads one other alone: there names are the same.

    A name that is computed twice is left out.
    """
    with_ = tree.args.get("with_")
    known = {each.alias: each.this for each in with_.expressions} if isinstance(with_, exp.With) else {}
    twice: set[str] = set()
    query = _only_source(tree, known)
    while query is not None:
        phrases = Phrases(grains.facts_of(query).scope, grains)
        for each in query.expressions:
            if isinstance(each, exp.Alias) and not isinstance(each.this, exp.Column):
                twice |= {each.alias} & found.columns.keys()
                found.columns[each.alias] = phrases.say(each)
        query = _only_source(query, known)
    found.columns = {name: text for name, text in found.columns.items() if name not in twice}


def _only_source(query: exp.Expr, known: dict[str, exp.Expr]) -> exp.Select | None:
    """Return the query that a query reads, if it reads nothing else; one of `known` is taken from there."""
    first = query.args.get("from_") if isinstance(query, exp.Select) and not query.args.get("joins") else None
    source = first.this if first else None
    inner = known.pop(source.name, None) if isinstance(source, exp.Table) and not source.args.get("db") else source
    inner = inner.this if isinstance(inner, exp.Subquery) else inner
    return inner if isinstance(inner, exp.Select) else None


def _join_text(joined: Joined, phrases: Phrases) -> str:
    node, first, item = joined.node, joined.before[0].label, joined.item.label
    kind, side, method = (str(node.args.get(key) or "").upper() for key in ("kind", "side", "method"))
    conditions = [each for each in conjuncts(node.args.get("on")) if _is_match(each, joined, phrases)]
    on = " and ".join([*(pair[0].name for pair in joined.pairs), *(phrases.say(each) for each in conditions)])
    if not on and not node.args.get("on") and not node.args.get("using") and not method:
        return f"{first} with {item}: every row with every row"
    kept = {"LEFT": f"of {first} kept", "RIGHT": f"of {item} kept", "FULL": "of both kept"}.get(side, "dropped")
    rows = {
        "SEMI": f"only rows of {first} with a match",
        "ANTI": f"only rows of {first} without a match",
    }.get(kind, f"unmatched rows {kept}")
    nearest = "; the nearest match of each row" if method == "ASOF" else ""
    by_place = "; rows at the same place" if method == "POSITIONAL" else ""
    many = "" if joined.narrow or by_place else "; rows may multiply"
    return f"{first} with {item}{f' on {on}' if on else ''}; {rows}{nearest}{by_place}{many}"


def _is_match(condition: exp.Expr, joined: Joined, phrases: Phrases) -> bool:
    """Tell whether a condition of ON compares both sides for being equal; any other only filters."""
    if not isinstance(condition, (exp.EQ, exp.NullSafeEQ)):
        return False
    if str(joined.node.args.get("kind") or "").upper() in ("SEMI", "ANTI"):
        return True
    sides = [phrases.scope.aliases(each) for each in (condition.this, condition.expression)]
    own = {joined.item.alias}
    return None in sides or (
        any(side == own for side in sides) and not all(side == own for side in sides) and all(sides)
    )


def _join_filters(joined: Joined, phrases: Phrases) -> Iterator[str]:
    side = str(joined.node.args.get("side") or "").upper()
    kept = {
        "LEFT": f"rows of {joined.before[0].label} without a match are kept",
        "RIGHT": f"rows of {joined.item.label} without a match are kept",
        "FULL": "rows of both without a match are kept",
    }.get(side)
    for condition in conjuncts(joined.node.args.get("on")):
        if not _is_match(condition, joined, phrases):
            yield phrases.say(condition) + (f" (in the join only: {kept})" if kept else "")


def _lost_matches(condition: exp.Expr, facts: Facts, phrases: Phrases) -> Iterator[str]:
    """Yield a note on a condition that drops the rows which an outer join kept: what it needs is empty in them."""
    if not isinstance(condition, (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Like, exp.Between)):
        return
    reads = facts.scope.aliases(condition) or set()
    if any(not isinstance(part, _STRICT) for part in condition.walk()):
        return
    for joined in facts.joins:
        if str(joined.node.args.get("side") or "").upper() == "LEFT" and joined.item.alias in reads:
            yield (
                f"the condition {phrases.say(condition)} drops the unmatched rows "
                f"that the join with {joined.item.label} keeps"
            )


_STRICT = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Like, exp.Between, exp.Column, exp.Identifier,
    exp.Literal, exp.Cast, exp.DataType, exp.Placeholder,
)  # fmt: skip
"""What is NULL if a column in it is."""


def _namesakes(select: exp.Select, facts: Facts) -> Iterator[str]:
    """Yield a note for each source that is grouped by a text beside its key: rows that agree in it become one group."""
    grouped = [each for each in group_values(select, facts.scope) if isinstance(each, exp.Column)]
    texts = facts.key(text for each in grouped if (text := facts.scope.spelled(each)) is not None)
    for item in facts.scope.items:
        own = [each for each in grouped if facts.scope.item_of(each) is item]
        keys = [[name for name in item.rows.columns or () if name and name.lower() in key] for key in item.rows.keys]
        complete = any(facts.key(f"{item.alias}.{name.lower()}" for name in key) <= texts for key in keys)
        named = [each.name for each in own if _may_name(each.name, item.rows)]
        if named and keys and all(keys) and not complete:
            shown = " and ".join(sorted(keys, key=len)[0])
            yield (
                f"different rows of {item.label} with the same {' and '.join(named)} "
                f"are counted as one group (its key is {shown})"
            )


def _may_name(column: str, rows: Rows) -> bool:
    """Tell whether a column looks like the name of a thing: a text that is called so."""
    return rows.types.get(column.lower()) in ("utf8", None) and column.lower().endswith(NAMES)


NAMES = ("name", "title", "label")
"""What columns are called, or end with, that people know things by; several things may share one."""


def _read_outermost(tree: exp.Expr, grains: Grains, found: QueryText) -> None:
    """Read what only the outermost query says of what comes out: its columns, their order and how many rows."""
    query = tree
    while isinstance(query, (exp.Subquery, exp.SetOperation)):
        query = query.this
    if not isinstance(query, exp.Select):
        return
    phrases = Phrases(grains.facts_of(query).scope, grains)
    if query is tree or isinstance(tree, exp.Subquery):
        for each in query.expressions:
            if not isinstance(each.unalias(), exp.Star) and not isinstance(each.this, exp.Star):
                name = each.alias_or_name or phrases.say(each)
                is_passed_on = isinstance(each.unalias(), exp.Column) and each.unalias().name == name
                found.columns[name] = found.columns.get(name if is_passed_on else "", phrases.say(each))
    order = written_order(tree, [name or "" for name in found.rows.columns or ()])
    if order:
        found.sort = [_sorted_by(each, query, phrases) for each in order]
    limit = tree.args.get("limit")
    if limit is not None:
        count: exp.Expr = limit.args["count"] if isinstance(limit, exp.Fetch) else limit.expression
        options = limit.args.get("limit_options")
        unit = "%" if options and options.args.get("percent") else ""
        offset = tree.args.get("offset")
        skipped = f" after the first {phrases.say(offset.expression)}" if offset else ""
        found.limit = f"{phrases.say(count)}{unit}{skipped}"


def _sorted_by(key: exp.Expr, query: exp.Select, phrases: Phrases) -> str:
    value, down = key.this, " descending" if key.args.get("desc") else ""
    if isinstance(value, exp.Literal) and value.is_int:
        place = int(value.name) - 1
        output = query.expressions[place] if place < len(query.expressions) else value
        return f"{output.alias_or_name or phrases.say(output)}{down}"
    return f"{phrases.say(value)}{down}" if not isinstance(value, exp.Var) else f"all columns{down}"
