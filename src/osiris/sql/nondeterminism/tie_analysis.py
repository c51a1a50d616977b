"""Whether what an ORDER BY inside a query leaves equal can show: rows that are not told apart, and differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.nondeterminism.row_order import aggregates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osiris.sql.nondeterminism.row_order import Names

Tied = tuple[tuple[str, tuple[str, ...]], ...]
"""Relations, each with those of its columns that are keys, folded: rows that tie differ only if one has others."""

_MANY = (exp.Rollup, exp.Cube, exp.GroupingSets)
_OPAQUE = (exp.Star, exp.Query, exp.Window)


@dataclass(frozen=True, slots=True)
class Keys:
    """What two rows have equal if they tie: `columns` as (table or nothing, name), folded, and other expressions."""

    columns: frozenset[tuple[str, str]]
    nodes: tuple[exp.Expr, ...]
    aggregates: frozenset[str]

    def has(self, column: exp.Expr) -> bool:
        """Tell whether a column is one of the keys."""
        table, name = column.args["table"].name.lower() if column.args.get("table") else "", column.name.lower()
        return any(name == known and (not table or not of or of == table) for of, known in self.columns)

    def make(self, value: exp.Expr) -> bool:
        """Tell whether a value is computed from the keys alone, and so is the same for all rows that tie."""
        if value in self.nodes:
            return True
        if isinstance(value, exp.Column):
            return self.has(value)
        is_call = isinstance(value, exp.Anonymous)
        if isinstance(value, _OPAQUE) or (is_call and value.name.lower() in {*self.aggregates, "columns"}):
            return False
        return all(self.make(each) for each in value.iter_expressions())

    def of(self, alias: str) -> frozenset[str]:
        """Return the names of the columns that may be those of one source."""
        return frozenset(name for table, name in self.columns if table in ("", alias.lower()))


@dataclass(slots=True)
class Ties:
    """What is known of the rows of the queries of one tree, each asked for once."""

    names: Names
    aggregates: frozenset[str]
    known: dict[tuple[int, frozenset[str]], Tied | None] = field(default_factory=dict)

    def keys(self, nodes: Iterable[exp.Expr]) -> Keys:
        """Return as keys what stands in ORDER BY, PARTITION BY or GROUP BY."""
        bare = [part for node in nodes for part in _parts(node)]
        columns = {(each.table.lower(), each.name.lower()) for each in bare if isinstance(each, exp.Column)}
        return Keys(frozenset(columns), tuple(bare), self.aggregates)

    def of_rows(self, select: exp.Select, keys: Keys) -> Tied | None:
        """Return what decides whether keys tell apart the rows that the windows of a SELECT see: nothing if they do.

        None if no more is known.
        """
        group = select.args.get("group")
        if aggregates(select, self.aggregates):
            return ()
        if group is None:
            return self.of_sources(select, keys)
        told = all(any(keys.make(way) for way in ways) for ways in grouped(select, self.aggregates))
        return () if told and not any(group.find(kind) for kind in _MANY) else None

    def of_sources(self, select: exp.Select, keys: Keys) -> Tied | None:
        """Return the same of the rows that a SELECT takes in, before it groups them."""
        if select.args.get("laterals"):
            return None
        found: set[tuple[str, tuple[str, ...]]] = set()
        for source in _sources(select):
            tied = self.of_source(source, keys)
            if tied is None:
                return None
            found.update(tied)
        return tuple(sorted(found))

    def of_source(self, source: exp.Expr, keys: Keys) -> Tied | None:
        """Return the same of the rows of one thing that stands in FROM."""
        named = keys.of(source.alias_or_name)
        alias = source.args.get("alias")
        renamed = [column.name.lower() for column in alias.columns] if alias else []
        if source.args.get("joins") or source.args.get("laterals"):
            return None
        if isinstance(source, exp.Values):
            return () if renamed and named.issuperset(renamed) else None
        cte = self.names.cte(source) if isinstance(source, exp.Table) else None
        if cte is not None:
            recursive = isinstance(cte.parent, exp.With) and cte.parent.args.get("recursive")
            renamed = renamed or [column.name.lower() for column in cte.args["alias"].columns]
            return None if recursive else self._of_query(cte.this, _given(cte.this, named, renamed))
        if isinstance(source, exp.Subquery):
            return self._of_query(source.this, _given(source.this, named, renamed))
        plain = isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier) and not renamed
        return ((source.name.lower(), tuple(sorted(named))),) if plain else None

    def _of_query(self, query: exp.Expr, named: frozenset[str]) -> Tied | None:
        asked = id(query), named
        if asked not in self.known:
            self.known[asked] = self._of_outputs(query, named)
        return self.known[asked]

    def _of_outputs(self, query: exp.Expr, named: frozenset[str]) -> Tied | None:
        """Return the same of the rows of a query, by some of its columns; rows that agree in all of them are one."""
        if isinstance(query, exp.Subquery):
            return None if query.args.get("joins") else self._of_query(query.this, named)
        if not isinstance(query, exp.Query):
            return None
        if not query.is_star and named.issuperset(each.alias_or_name.lower() for each in query.selects):
            return ()
        if not isinstance(query, exp.Select) or multiplies(query):
            return None
        called = {each.alias_or_name.lower(): each.unalias() for each in reversed(query.expressions)}
        held = [value for name, value in called.items() if name in named]
        passed = [exp.column(name) for name in named - called.keys()] if _passes_all(query) else []
        return self.of_rows(query, self.keys([*held, *passed]))


def grouped(select: exp.Select, aggregates: frozenset[str]) -> Iterator[list[exp.Expr]]:
    """Yield for each key of GROUP BY the ways in which it can be written: itself, and the column that it becomes."""
    group = select.args.get("group")
    if group is None:
        return
    keys = group.expressions
    if group.args.get("all"):
        keys = [
            each.unalias()
            for each in select.expressions
            if not any(call.name.lower() in aggregates for call in each.find_all(exp.Anonymous))
        ]
    for key in keys:
        if isinstance(key, exp.Literal) and key.is_int:
            meant = select.expressions[int(key.name) - 1 : int(key.name)]
        else:
            meant = [each for each in select.expressions if key in (each.unalias(), exp.column(each.alias))]
        plain = [] if isinstance(key, exp.Literal) else [key]
        yield plain + [way for each in meant for way in (each.unalias(), exp.column(each.alias_or_name))]


def reads_only(select: exp.Select, keys: Keys) -> bool:
    """Tell whether a SELECT without groups reads only keys: then it matters not which of its rows is which."""
    if select.args.get("group"):
        return False
    parts = [*select.expressions, *(select.args[key] for key in ("qualify", "distinct") if select.args.get(key))]
    nodes = [node for part in parts for node in part.walk()]
    windows = [node for node in nodes if isinstance(node, exp.Window)]
    alike = (
        len({(str(each.args.get("partition_by")), str(each.args.get("order")), each.alias) for each in windows}) == 1
    )
    sees_more = any(isinstance(node, (exp.Star, exp.Query)) for node in nodes)
    return alike and not sees_more and all(_reads(part, keys, select) for part in parts)


def _reads(part: exp.Expr, keys: Keys, select: exp.Select) -> bool:
    """Tell whether a part of a SELECT reads only keys; QUALIFY may read what the SELECT makes of them."""
    made = {each.alias.lower() for each in select.expressions} if isinstance(part, exp.Qualify) else set()
    return all(keys.has(column) or column.name.lower() in made for column in part.find_all(exp.Column))


def _passes_all(select: exp.Select) -> bool:
    """Tell whether a SELECT has a * that gives the columns of one source the names that they have there."""
    stars = [star for each in select.expressions for star in each.find_all(exp.Star)]
    changed = any(star.args.get(key) for star in stars for key in ("replace", "rename"))
    return select.is_star and not changed and len(list(_sources(select))) == 1


def multiplies(select: exp.Select) -> bool:
    """Tell whether a SELECT makes several rows of one."""
    nodes = (node for each in select.expressions for node in each.walk())
    return any(isinstance(node, exp.UDTF) or _is_called(node, "unnest") for node in nodes)


def _is_called(node: exp.Expr, name: str) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() == name


def _parts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield what has to be equal for a key to be equal: the key itself, or each part of a row."""
    while isinstance(node, (exp.Ordered, exp.Paren)):
        node = node.this
    if isinstance(node, exp.Tuple) or _is_called(node, "row"):
        for part in node.expressions:
            yield from _parts(part)
    yield node


def _given(query: exp.Expr, named: frozenset[str], renamed: list[str]) -> frozenset[str]:
    """Return what a query itself calls columns that its alias may call otherwise; those of a * are lost."""
    if not renamed or not isinstance(query, exp.Query):
        return named
    own = [] if query.is_star else [each.alias_or_name.lower() for each in query.selects]
    called = [*renamed, *own[len(renamed) :]]
    return frozenset(name for name, outside in zip(own, called, strict=False) if outside in named)


def _sources(select: exp.Select) -> Iterator[exp.Expr]:
    """Yield what a SELECT takes its rows from; a join that only filters adds none."""
    if source := select.args.get("from_"):
        yield source.this
    for join in select.args.get("joins") or ():
        if join.args.get("kind") not in ("SEMI", "ANTI"):
            yield join.this
