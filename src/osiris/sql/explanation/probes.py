"""Probes: queries that count what joins lose or multiply, and how many things share a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.explanation.grain import Grains
from osiris.sql.explanation.read_back import NAMES, best_key, grouped_columns, in_order, inner_first
from osiris.sql.explanation.sources import conjuncts
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import deep_recursion, parse, write
from osiris.sql.scope import standalone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.sql.explanation.grain import Facts, JoinFacts
    from osiris.sql.explanation.sources import Item, Rows

_KEYS = ("id", "key", "code", "no", "nr", "number", "uuid")
_OF_A_PERSON = ("", "l", "f", "first", "last", "full", "sur", "nick", "user")
_LATER = ("group", "having", "qualify", "windows", "order", "limit", "offset", "distinct", "with_")


@dataclass(frozen=True, slots=True)
class JoinProbe:
    """A join and its query, which returns three numbers: rows before it, those of them with a match, and rows after it.

    `side` is the side whose unmatched rows are kept (`LEFT`, `RIGHT`, `FULL`), empty if they are dropped. `narrow`:
    keys prove that a row has at most one match.
    """

    left: str
    right: str
    side: str
    query: str
    narrow: bool = False
    numbers: int = 3

    def more(self, numbers: Sequence[int]) -> int:
        """Return how many rows were added by multiple matches."""
        before, matched, after = numbers
        return after - (before if self.side in ("LEFT", "FULL") else matched)

    def text(self, numbers: Sequence[int]) -> str:
        """Return the numbers in words."""
        before, matched, _ = numbers
        unmatched = before - matched
        is_outer = self.side in ("LEFT", "FULL")
        lost = f"{unmatched:,} of them {'kept without a match' if is_outer else 'dropped'}, " if unmatched else ""
        more = self.more(numbers)
        grown = f"{more:,} rows more by several matches" if more > 0 else "no row multiplied"
        return f"{self.left} with {self.right}: {matched:,} of {before:,} rows match, {lost}{grown}"


@dataclass(frozen=True, slots=True)
class NameProbe:
    """Grouping columns, the key beside them, and the query that counts both."""

    source: str
    names: tuple[str, ...]
    key: tuple[str, ...]
    query: str
    numbers: int = 2

    def text(self, numbers: Sequence[int]) -> str:
        """Return the numbers in words; empty if each name has one key at most."""
        names, keys = numbers
        if names >= keys:
            return ""
        labels, key = " and ".join(self.names), " and ".join(self.key)
        return f"{names:,} different {labels} for {keys:,} different {key}: rows of different {self.source} become one"


Probe = JoinProbe | NameProbe


def probes_of(text: str, relations: Mapping[str, Rows]) -> list[Probe]:
    """Return the probes of a checked DuckDB query; `relations` are by folded name."""
    dialect = DIALECTS["duckdb"]
    grammar = dialect.load_grammar()
    probes: list[Probe] = []
    with deep_recursion():
        tree = parse(text, grammar)[0]
        grains = Grains(relations, dialect)
        for query in inner_first(tree):
            if isinstance(query, exp.Select) and not _is_bound_outside(query):
                facts = grains.facts_of(query)
                probes += _join_probes(query, facts)
                probes += _name_probes(query, facts)
    return probes


def _is_bound_outside(query: exp.Select) -> bool:
    """Tell whether a query depends on outer rows: below LATERAL, or in a recursive WITH."""
    with_ = query.find_ancestor(exp.With)
    recursive = bool(with_ and with_.args.get("recursive"))
    return recursive or query.find_ancestor(exp.Lateral) is not None or query.find(exp.Lateral) is not None


def _join_probes(select: exp.Select, facts: Facts) -> Iterator[Probe]:
    """Yield a probe for each join with a condition; WHERE conditions on its left side are applied."""
    places = {id(join): place for place, join in enumerate(select.args.get("joins") or ())}
    for joined in facts.joins:
        kind, side, method = joined.words
        # unmatched right rows would count as multiplied
        pairs = kind in ("", "INNER", "OUTER") and side not in ("RIGHT", "FULL") and not method
        if pairs and (joined.node.args.get("on") or joined.node.args.get("using")):
            query = _join_query(select, joined, places[id(joined.node)], facts)
            yield JoinProbe(joined.before[0].label, joined.item.label, side, query, joined.narrow)


def _join_query(select: exp.Select, joined: JoinFacts, place: int, facts: Facts) -> str:
    """Return the probe query of the join at a position."""
    sources = {item.alias for item in joined.before}
    conditions = [(each, facts.scope.aliases(each)) for each in conjuncts(select.args.get("where"))]
    filters = [each for each, aliases in conditions if aliases and aliases <= sources]
    semi = joined.node.copy()
    semi.set("side", None)
    semi.set("kind", "SEMI")
    before, itself = select.args["joins"][:place], select.args["joins"][place]
    counted: list[exp.Expr] = []
    for joins in ([*before], [*before, semi], [*before, itself]):
        query = _bare(select, joins)
        query.set("expressions", [exp.Anonymous(this="count", expressions=[exp.Star()])])
        query.set("where", exp.Where(this=exp.and_(*(each.copy() for each in filters))) if filters else None)
        counted.append(query)
    return _numbers(counted, select, facts)


def _bare(select: exp.Select, joins: Sequence[exp.Expr]) -> exp.Select:
    """Return a SELECT without the clauses after WHERE, and with other joins."""
    copy: exp.Select = select.copy()
    for key in _LATER:
        copy.set(key, None)
    copy.set("joins", [join.copy() for join in joins])
    return copy


def _numbers(counted: Sequence[exp.Expr], select: exp.Select, facts: Facts) -> str:
    """Return a query that returns several counts as one row, with the CTEs visible at the SELECT."""
    columns = [exp.alias_(exp.Subquery(this=query), f"n{number}") for number, query in enumerate(counted)]
    with_ = select.args.get("with_")
    query = exp.Select(expressions=columns, with_=with_.copy() if with_ else None)
    return write(standalone(query, select), facts.scope.grammar)


def _name_probes(select: exp.Select, facts: Facts) -> Iterator[Probe]:
    """Yield a probe for each source grouped by a name without its key."""
    grouped = grouped_columns(select, facts)
    for item in facts.scope.items:
        columns = [each for each in grouped if facts.scope.item_of(each) is item]
        labels = [each for each in columns if each.name.lower().endswith(NAMES)]
        key = _key_beside(labels[0].name, item) if labels else ()
        if key and {*map(str.lower, key)}.isdisjoint(each.name.lower() for each in columns):
            yield _name_probe(select, facts, item, labels, key)


def _name_probe(
    select: exp.Select, facts: Facts, item: Item, names_of: Sequence[exp.Expr], key: tuple[str, ...]
) -> NameProbe:
    columns: list[exp.Expr] = [exp.column(name, table=item.alias, quoted=True) for name in key]
    counted = [_distinct(select, [*names_of], columns), _distinct(select, columns, columns)]
    source, _ = item.rows.origins.get(names_of[0].name.lower(), (item.label, ""))
    names, keys = (tuple(_shown(each, item) for each in several) for several in ([each.name for each in names_of], key))
    return NameProbe(source, names, keys, _numbers(counted, select, facts))


def _shown(column: str, item: Item) -> str:
    """Return the display name of a column, with the relation it comes from."""
    return ".".join(item.rows.origins.get(column.lower(), (item.label, column)))


def _distinct(select: exp.Select, values: list[exp.Expr], present: list[exp.Expr]) -> exp.Select:
    """Return a query that counts distinct values in rows whose key is not NULL."""
    inner = _bare(select, select.args.get("joins") or ())
    inner.set("expressions", [exp.alias_(value.copy(), f"v{place}") for place, value in enumerate(values)])
    inner.set("distinct", exp.Distinct())
    conditions = [each.copy() for each in conjuncts(select.args.get("where"))]
    conditions += [exp.Not(this=exp.Is(this=each.copy(), expression=exp.Null())) for each in present]
    inner.set("where", exp.Where(this=exp.and_(*conditions)))
    source = exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("v")))
    return exp.Select(expressions=[exp.Anonymous(this="count", expressions=[exp.Star()])], from_=exp.From(this=source))


def _key_beside(name: str, item: Item) -> tuple[str, ...]:
    """Return the key for a name column: `customer_id` beside `customer_name`, else its relation's."""
    relation, called = item.rows.origins.get(name.lower(), (item.label, name))
    stem = _stem(called)
    key_names = {f"{stem.replace('_', '')}{word}" for word in _KEYS} if stem else set()
    matches = [each for each in item.rows.named if each.lower().replace("_", "") in key_names]
    if matches:
        return (matches[0],)
    is_of_relation = stem in _OF_A_PERSON or relation.lower().startswith(stem)
    return _key_of(relation, item) if is_of_relation and name.lower() in item.rows.origins else ()


def _stem(name: str) -> str:
    """Return what a name column names: `customer` for `customer_name`."""
    return next(name.lower().removesuffix(word) for word in NAMES if name.lower().endswith(word)).strip("_ ")


def _key_of(relation: str, item: Item) -> tuple[str, ...]:
    """Return the key of an item's relation: the declared one, or one recognized by its name."""
    declared = [key for key in item.rows.keys if key and item.rows.declared]
    if declared:
        return in_order(best_key(declared), item.rows)
    origins = {column: item.rows.origins.get(column.lower(), (None, column)) for column in item.rows.named}
    return tuple(each for each, (of, own) in origins.items() if of == relation and own.lower() in _KEYS)[:1]
