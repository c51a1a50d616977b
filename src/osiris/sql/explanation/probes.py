"""Queries that count what a query does with rows: what its joins lose or multiply, and how many things share a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.binding.subexpression_types import standing
from osiris.sql.explanation.read_back import NAMES, best_key, inner_first
from osiris.sql.nondeterminism.grain import Grains, group_values
from osiris.sql.nondeterminism.sources import conjuncts
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import deep_recursion, parse, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.sql.nondeterminism.grain import Facts
    from osiris.sql.nondeterminism.sources import Item, Rows

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
        node, place = joined.node, places[id(joined.node)]
        plain = not node.args.get("method") and str(node.args.get("kind") or "").upper() in ("", "INNER", "OUTER")
        if not plain or not (node.args.get("on") or node.args.get("using")):
            continue
        where = _conditions(select, facts, joined.before)
        semi = node.copy()
        semi.set("side", None)
        semi.set("kind", "SEMI")
        joins = list(select.args["joins"])
        counted = [
            _count(select, joins[:place], where),
            _count(select, [*joins[:place], semi], where),
            _count(select, joins[: place + 1], where),
        ]
        side = str(node.args.get("side") or "").upper()
        if side in ("RIGHT", "FULL"):  # rows that only the right side has would be counted as made by matches
            continue
        yield JoinProbe(
            joined.before[0].label, joined.item.label, side, _numbers(counted, select, facts), joined.narrow
        )


def _conditions(select: exp.Select, facts: Facts, before: Sequence[Item]) -> list[exp.Expr]:
    own = {item.alias for item in before}
    read = [(each, facts.scope.aliases(each)) for each in conjuncts(select.args.get("where"))]
    return [each for each, aliases in read if aliases and aliases <= own]


def _bare(select: exp.Select, joins: Sequence[exp.Expr]) -> exp.Select:
    """Return a SELECT without all that comes after its WHERE, and with other joins."""
    copy: exp.Select = select.copy()
    for key in _LATER:
        copy.set(key, None)
    copy.set("joins", [join.copy() for join in joins])
    return copy


def _count(select: exp.Select, joins: Sequence[exp.Expr], where: Sequence[exp.Expr]) -> exp.Select:
    counted = _bare(select, joins)
    counted.set("expressions", [exp.Anonymous(this="count", expressions=[exp.Star()])])
    counted.set("where", exp.Where(this=exp.and_(*(each.copy() for each in where))) if where else None)
    return counted


def _numbers(counted: Sequence[exp.Expr], select: exp.Select, facts: Facts) -> str:
    """Return a query that gives the numbers of several as one row, where the SELECT stands."""
    made = [exp.alias_(exp.Subquery(this=query), f"n{number}") for number, query in enumerate(counted)]
    with_ = select.args.get("with_")
    query = exp.Select(expressions=made, with_=with_.copy() if with_ else None)
    return write(standing(query, select), facts.scope.grammar)


def _name_probes(select: exp.Select, facts: Facts) -> Iterator[Probe]:
    """Yield a probe for each source that is grouped by a name without the key that stands beside it."""
    scope = facts.scope
    grouped = [each for each in group_values(select, scope) if isinstance(each, exp.Column)]
    for item in scope.items:
        own = [each for each in grouped if scope.item_of(each) is item]
        named = [each for each in own if _is_name(each.name)]
        key = _key_beside(named[0].name, item) if named else ()
        if not key or any(each.name.lower() in map(str.lower, key) for each in own):
            continue
        columns: list[exp.Expr] = [exp.column(name, table=item.alias, quoted=True) for name in key]
        counted = [_distinct(select, [*named], columns), _distinct(select, columns, columns)]
        source, _ = item.rows.origins.get(named[0].name.lower(), (item.label, ""))
        names = tuple(_shown(each.name, item) for each in named)
        keys = tuple(_shown(each, item) for each in key)
        yield NameProbe(source, names, keys, _numbers(counted, select, facts))


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


def _is_name(column: str) -> bool:
    return column.lower().endswith(NAMES)


def _key_beside(name: str, item: Item) -> tuple[str, ...]:
    """Return the key of what a name is of: `customer_id` beside `customer_name`, else that of its relation."""
    origins = item.rows.origins
    relation, called = origins.get(name.lower(), (item.label, name))
    columns = {column: origins.get(column.lower(), (None, column)) for column in item.rows.columns or () if column}
    stem = next(called.lower().removesuffix(word) for word in NAMES if called.lower().endswith(word)).strip("_ ")
    wanted = {f"{stem.replace('_', '')}{word}" for word in _KEYS} if stem else set()
    beside = [each for each in columns if each.lower().replace("_", "") in wanted]
    if beside:
        return (beside[0],)
    if name.lower() not in origins or (stem not in _OF_A_PERSON and not relation.lower().startswith(stem)):
        return ()
    declared = [key for key in item.rows.keys if key and item.rows.declared]
    if declared:
        return tuple(each for each in columns if each.lower() in best_key(declared))
    return tuple(each for each, (of, own) in columns.items() if of == relation and own.lower() in _KEYS)[:1]
