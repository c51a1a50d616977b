"""Queries that count what a query does with rows: what its joins lose or multiply, and how many things share a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.explanation.grain import Grains
from osiris.sql.explanation.read_back import NAMES, best_key, grouped_columns, in_order, inner_first
from osiris.sql.explanation.sources import conjuncts
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import deep_recursion, parse, write
from osiris.sql.scope import standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.sql.explanation.grain import Facts, Joined
    from osiris.sql.explanation.sources import Item, Rows

_KEYS = ("id", "key", "code", "no", "nr", "number", "uuid")
_OF_A_PERSON = ("", "l", "f", "first", "last", "full", "sur", "nick", "user")
_LATER = ("group", "having", "qualify", "windows", "order", "limit", "offset", "distinct", "with_")


@dataclass(frozen=True, slots=True)
class JoinProbe:
    """A join and its query, which gives three numbers: rows before it, those of them with a match, and rows after it.

    `side` is that whose unmatched rows are kept (`LEFT`, `RIGHT`, `FULL`), nothing where they are dropped. `narrow`: a
    row has at most one match, as the keys say.
    """

    left: str
    right: str
    side: str
    query: str
    narrow: bool = False
    numbers: int = 3

    def more(self, numbers: Sequence[int]) -> int:
        """Return how many rows there are more because several match one."""
        before, matched, after = numbers
        return after - (before if self.side in ("LEFT", "FULL") else matched)

    def text(self, numbers: Sequence[int]) -> str:
        """Return what the numbers say."""
        before, matched, _ = numbers
        unmatched = before - matched
        kept = self.side in ("LEFT", "FULL")
        lost = f"{unmatched:,} of them {'kept without a match' if kept else 'dropped'}, " if unmatched else ""
        more = self.more(numbers)
        grown = f"{more:,} rows more by several matches" if more > 0 else "no row multiplied"
        return f"{self.left} with {self.right}: {matched:,} of {before:,} rows match, {lost}{grown}"


@dataclass(frozen=True, slots=True)
class NameProbe:
    """Columns by which rows are grouped, the key beside them, and the query that gives how many there are of each."""

    source: str
    names: tuple[str, ...]
    key: tuple[str, ...]
    query: str
    numbers: int = 2

    def text(self, numbers: Sequence[int]) -> str:
        """Return what the numbers say; nothing where each name has one key at most."""
        names, keys = numbers
        if names >= keys:
            return ""
        shown, key = " and ".join(self.names), " and ".join(self.key)
        return f"{names:,} different {shown} for {keys:,} different {key}: rows of different {self.source} become one"


Probe = JoinProbe | NameProbe


def probes_of(text: str, relations: Mapping[str, Rows]) -> list[Probe]:
    """Return the probes of a checked query of DuckDB; `relations` are by folded name."""
    dialect = DIALECTS["duckdb"]
    grammar = dialect.load_grammar()
    found: list[Probe] = []
    with deep_recursion():
        tree = parse(text, grammar)[0]
        grains = Grains(relations, dialect)
        for query in inner_first(tree):
            if isinstance(query, exp.Select) and not _is_bound_outside(query):
                facts = grains.facts_of(query)
                found += _join_probes(query, facts)
                found += _name_probes(query, facts)
    return found


def _is_bound_outside(query: exp.Select) -> bool:
    """Tell whether a query stands where others decide what it reads: below LATERAL, or in a recursive WITH."""
    with_ = query.find_ancestor(exp.With)
    recursive = bool(with_ and with_.args.get("recursive"))
    return recursive or query.find_ancestor(exp.Lateral) is not None or query.find(exp.Lateral) is not None


def _join_probes(select: exp.Select, facts: Facts) -> Iterator[Probe]:
    """Yield a probe for each join that pairs rows by a condition; what the WHERE says of its left side is applied."""
    places = {id(join): place for place, join in enumerate(select.args.get("joins") or ())}
    for joined in facts.joins:
        kind, side, method = joined.words
        # rows that only the right has would count as made by matches
        pairs = kind in ("", "INNER", "OUTER") and side not in ("RIGHT", "FULL") and not method
        if pairs and (joined.node.args.get("on") or joined.node.args.get("using")):
            query = _join_query(select, joined, places[id(joined.node)], facts)
            yield JoinProbe(joined.before[0].label, joined.item.label, side, query, joined.narrow)


def _join_query(select: exp.Select, joined: Joined, place: int, facts: Facts) -> str:
    """Return the query of a probe, of the join at a place."""
    own = {item.alias for item in joined.before}
    read = [(each, facts.scope.aliases(each)) for each in conjuncts(select.args.get("where"))]
    where = [each for each, aliases in read if aliases and aliases <= own]
    semi = joined.node.copy()
    semi.set("side", None)
    semi.set("kind", "SEMI")
    before, itself = select.args["joins"][:place], select.args["joins"][place]
    counted: list[exp.Expr] = []
    for joins in ([*before], [*before, semi], [*before, itself]):
        query = _bare(select, joins)
        query.set("expressions", [exp.Anonymous(this="count", expressions=[exp.Star()])])
        query.set("where", exp.Where(this=exp.and_(*(each.copy() for each in where))) if where else None)
        counted.append(query)
    return _numbers(counted, select, facts)


def _bare(select: exp.Select, joins: Sequence[exp.Expr]) -> exp.Select:
    """Return a SELECT without all that comes after its WHERE, and with other joins."""
    copy: exp.Select = select.copy()
    for key in _LATER:
        copy.set(key, None)
    copy.set("joins", [join.copy() for join in joins])
    return copy


def _numbers(counted: Sequence[exp.Expr], select: exp.Select, facts: Facts) -> str:
    """Return a query that gives the numbers of several as one row, where the SELECT stands."""
    made = [exp.alias_(exp.Subquery(this=query), f"n{number}") for number, query in enumerate(counted)]
    with_ = select.args.get("with_")
    query = exp.Select(expressions=made, with_=with_.copy() if with_ else None)
    return write(standing(query, select), facts.scope.grammar)


def _name_probes(select: exp.Select, facts: Facts) -> Iterator[Probe]:
    """Yield a probe for each source that is grouped by a name without the key that stands beside it."""
    grouped = grouped_columns(select, facts)
    for item in facts.scope.items:
        own = [each for each in grouped if facts.scope.item_of(each) is item]
        named = [each for each in own if each.name.lower().endswith(NAMES)]
        key = _key_beside(named[0].name, item) if named else ()
        if key and {*map(str.lower, key)}.isdisjoint(each.name.lower() for each in own):
            yield _name_probe(select, facts, item, named, key)


def _name_probe(
    select: exp.Select, facts: Facts, item: Item, named: Sequence[exp.Expr], key: tuple[str, ...]
) -> NameProbe:
    columns: list[exp.Expr] = [exp.column(name, table=item.alias, quoted=True) for name in key]
    counted = [_distinct(select, [*named], columns), _distinct(select, columns, columns)]
    source, _ = item.rows.origins.get(named[0].name.lower(), (item.label, ""))
    names, keys = (tuple(_shown(each, item) for each in several) for several in ([each.name for each in named], key))
    return NameProbe(source, names, keys, _numbers(counted, select, facts))


def _shown(column: str, item: Item) -> str:
    """Return a column as people know it: that of the relation that it comes from."""
    return ".".join(item.rows.origins.get(column.lower(), (item.label, column)))


def _distinct(select: exp.Select, values: list[exp.Expr], present: list[exp.Expr]) -> exp.Select:
    """Return a query that counts the different values of rows whose key is there."""
    inner = _bare(select, select.args.get("joins") or ())
    inner.set("expressions", [exp.alias_(value.copy(), f"v{place}") for place, value in enumerate(values)])
    inner.set("distinct", exp.Distinct())
    conditions = [each.copy() for each in conjuncts(select.args.get("where"))]
    conditions += [exp.Not(this=exp.Is(this=each.copy(), expression=exp.Null())) for each in present]
    inner.set("where", exp.Where(this=exp.and_(*conditions)))
    source = exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("v")))
    return exp.Select(expressions=[exp.Anonymous(this="count", expressions=[exp.Star()])], from_=exp.From(this=source))


def _key_beside(name: str, item: Item) -> tuple[str, ...]:
    """Return the key of what a name is of: `customer_id` beside `customer_name`, else that of its relation."""
    relation, called = item.rows.origins.get(name.lower(), (item.label, name))
    stem = _stem(called)
    wanted = {f"{stem.replace('_', '')}{word}" for word in _KEYS} if stem else set()
    beside = [each for each in item.rows.named if each.lower().replace("_", "") in wanted]
    if beside:
        return (beside[0],)
    is_of_relation = stem in _OF_A_PERSON or relation.lower().startswith(stem)
    return _key_of(relation, item) if is_of_relation and name.lower() in item.rows.origins else ()


def _stem(name: str) -> str:
    """Return what a name is the name of: `customer` for `customer_name`."""
    return next(name.lower().removesuffix(word) for word in NAMES if name.lower().endswith(word)).strip("_ ")


def _key_of(relation: str, item: Item) -> tuple[str, ...]:
    """Return the key of the relation that an item has columns of: the declared one, or one that is called so."""
    declared = [key for key in item.rows.keys if key and item.rows.declared]
    if declared:
        return in_order(best_key(declared), item.rows)
    origins = {column: item.rows.origins.get(column.lower(), (None, column)) for column in item.rows.named}
    return tuple(each for each, (of, own) in origins.items() if of == relation and own.lower() in _KEYS)[:1]
