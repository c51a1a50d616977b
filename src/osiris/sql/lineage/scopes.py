"""From the tree of a checked query to its flow, in one walk: which scopes there are, and what each mentions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.lineage.expression_refs import Mentions
from osiris.sql.lineage.flow import Flow, Output, Ref, Scope, Source, Star
from osiris.sql.safety.dialects import DIALECTS, load_allowed, lower
from osiris.sql.safety.relations import spelling
from osiris.sql.safety.tree import QUERIES, deep_recursion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_JSON_COLUMNS = ("key", "value", "type", "atom", "id", "parent", "fullkey", "path")
_GROUPINGS = (exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)
_ALL = Output(None, star=Star())


def flow_of(tree: exp.Expr, dialect: str = "duckdb") -> Flow:
    """Return the flow of a checked query, of the tree that its canonical text reads as."""
    walk = _Walk(load_allowed(DIALECTS[dialect]).aggregates)
    with deep_recursion():
        walk.query(tree, {})
    return Flow(tuple(walk.scopes))


@dataclass(frozen=True, slots=True)
class _Cte:
    scope: int
    columns: tuple[str, ...]


@dataclass(slots=True)
class _Rows:
    """What decides the rows of one scope, as it is gathered: see `Scope`."""

    refs: list[Ref] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    whole: bool = False


@dataclass(frozen=True, slots=True)
class _Sight:
    """The names that an expression can use: CTEs, and the windows of its SELECT."""

    ctes: Mapping[str, _Cte]
    windows: dict[str, tuple[Ref, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _Walk:
    """Collects the scopes of one tree, inner ones first."""

    aggregates: frozenset[str]
    scopes: list[Scope] = field(default_factory=list)

    def query(self, node: exp.Expr, ctes: Mapping[str, _Cte]) -> int:
        """Add the scopes of a query and return the one that stands for it."""
        own: tuple[int, ...] = ()
        if node.args.get("with_"):
            ctes, own = self._with(node.args["with_"], ctes)
        if isinstance(node, exp.Select):
            return self._select(node, ctes, own)
        if isinstance(node, exp.SetOperation):
            inner = self._set_operation(node, ctes)
        elif isinstance(node, exp.Values):
            inner = self._values(node, ctes)
        elif isinstance(node.this, QUERIES):
            inner = self.query(node.this, ctes)
        else:
            inner = self._join_in_parentheses(node, ctes)
        return self._ordered(node, inner, ctes, own)

    def _add(self, scope: Scope) -> int:
        self.scopes.append(scope)
        return len(self.scopes) - 1

    def _with(self, node: exp.With, ctes: Mapping[str, _Cte]) -> tuple[Mapping[str, _Cte], tuple[int, ...]]:
        inner, own = dict(ctes), []
        for cte in node.expressions:
            columns = _words(cte.args["alias"].args.get("columns"))
            if node.args.get("recursive") and _repeats(cte.this):
                scope = self._recursive(cte, columns, inner)
            else:
                scope = self.query(cte.this, inner)
            inner[lower(cte.alias)] = _Cte(scope, columns)
            own.append(scope)
        return inner, tuple(own)

    def _recursive(self, cte: exp.CTE, columns: tuple[str, ...], ctes: Mapping[str, _Cte]) -> int:
        """Add a scope that at first is the part that starts, and at last everything that repeating has found."""
        body = cte.this
        own: tuple[int, ...] = ()
        if body.args.get("with_"):
            ctes, own = self._with(body.args["with_"], ctes)
        start = self.query(body.this, ctes)
        itself = self._add(Scope(sources=(Source("", scope=start),), outputs=(_ALL,)))
        inside = {**ctes, lower(cte.alias): _Cte(itself, columns)}
        step = self.query(body.expression, inside)
        whole = bool(body.args.get("distinct") or cte.args.get("key_expressions"))
        scope = Scope(whole=whole, branches=((start, True), (step, True)), again=itself)
        return self._ordered(body, self._add(scope), inside, own)

    def _set_operation(self, node: exp.SetOperation, ctes: Mapping[str, _Cte]) -> int:
        """Add one scope for a chain of the same operation: a thousand branches are no thousand levels."""
        first, tails = node.this, [node.expression]
        while _continues(first, node):
            tails.append(first.expression)
            first = first.this
        values = isinstance(node, exp.Union)
        branches = [(self.query(first, ctes), True)]
        branches += [(self.query(tail, ctes), values) for tail in reversed(tails)]
        whole = bool(node.args.get("distinct")) or not values
        return self._add(Scope(whole=whole, branches=tuple(branches), by_name=bool(node.args.get("by_name"))))

    def _values(self, node: exp.Values, ctes: Mapping[str, _Cte]) -> int:
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
        columns: list[list[Ref]] = [[] for _ in rows[0]]
        for row in rows:
            for refs, cell in zip(columns, row, strict=False):
                refs += self._refs(cell, _Sight(ctes))
        return self._add(Scope(outputs=tuple(Output(f"col{i}", _unique(refs)) for i, refs in enumerate(columns))))

    def _join_in_parentheses(self, node: exp.Expr, ctes: Mapping[str, _Cte]) -> int:
        rows = _Rows()
        sources = tuple(self._joined(node.this, _Sight(ctes), rows))
        return self._add(Scope(sources, (_ALL,), _unique(rows.refs)))

    def _ordered(self, node: exp.Expr, scope: int, ctes: Mapping[str, _Cte], own: tuple[int, ...]) -> int:
        """Return a scope, with the ORDER BY and LIMIT that stand behind it and the WITH before it, if any do."""
        rows = _Rows()
        self._modifiers(node, _Sight(ctes), rows, {})
        if not (rows.refs or rows.positions or rows.whole or own):
            return scope
        refs = _unique(Ref(ref.kind) if len(ref.parts) > 1 else ref for ref in rows.refs)
        source = Source("", scope=scope)
        return self._add(Scope((source,), (_ALL,), refs, tuple(rows.positions), whole=rows.whole, ctes=own))

    def _select(self, node: exp.Select, ctes: Mapping[str, _Cte], own: tuple[int, ...]) -> int:
        rows, sight, sources = _Rows(), _Sight(ctes), []
        if node.args.get("from_"):
            sources += self._joined(node.args["from_"].this, sight, rows)
        sources += self._joins(node, sight, rows)
        for window in node.args.get("windows") or ():
            sight.windows[window.name.lower()] = _unique(self._refs(window, sight))
        outputs = tuple(self._output(each, sight, rows) for each in node.expressions)
        self._modifiers(node, sight, rows, _named(outputs))
        group = node.args.get("group")
        scope = Scope(tuple(sources), outputs, _unique(rows.refs), tuple(rows.positions), whole=rows.whole, ctes=own)
        return self._add(scope._replace(grouped=True) if group and group.args.get("all") else scope)

    def _output(self, node: exp.Expr, sight: _Sight, rows: _Rows) -> Output:
        found = self._mentions(node, sight)
        name = _name(node)
        if found.unnests:
            rows.refs += found.every_ref()
        if found.star and name and "\\" in name:
            name = None
        return Output(name, _unique(found.refs), found.star, found.star_kind, found.unnests)

    def _modifiers(self, node: exp.Expr, sight: _Sight, rows: _Rows, named: Mapping[str, tuple[Ref, ...]]) -> None:
        """Gather what WHERE to LIMIT mention; `named` outputs come first in ORDER BY."""
        for key in ("where", "having", "qualify", "limit", "offset"):
            if node.args.get(key):
                rows.refs += self._refs(node.args[key], sight)
        distinct = node.args.get("distinct")
        if isinstance(distinct, exp.Distinct):
            rows.whole |= not distinct.args.get("on")
            self._keys(_leaves(distinct.args.get("on")), sight, rows, {})
        self._keys(_leaves(node.args.get("group")), sight, rows, {})
        self._keys(_order_keys(node), sight, rows, named)

    def _keys(self, keys: Iterable[exp.Expr], sight: _Sight, rows: _Rows, named: Mapping[str, tuple[Ref, ...]]) -> None:
        for key in keys:
            if isinstance(key, exp.Literal) and key.is_int:
                rows.positions.append(int(key.name))
            elif isinstance(key, exp.Column) and not key.table and key.name.lower() in named:
                rows.refs += named[key.name.lower()]
            else:
                rows.refs += self._refs(key, sight)
                rows.whole |= isinstance(key, (exp.Var, exp.All, exp.PositionalColumn))

    def _joined(self, node: exp.Expr, sight: _Sight, rows: _Rows) -> list[Source]:
        """Return the source that a node of FROM is, and those that are joined to it."""
        return [*self._source(node, sight, rows), *self._joins(node, sight, rows)]

    def _joins(self, node: exp.Expr, sight: _Sight, rows: _Rows) -> Iterator[Source]:
        for lateral in node.args.get("laterals") or ():
            yield from self._source(lateral, sight, rows)
        for join in node.args.get("joins") or ():
            side = "SEMI" if join.kind in ("SEMI", "ANTI") else join.side
            using, natural = _words(join.args.get("using")), join.method == "NATURAL"
            for source in self._joined(join.this, sight, rows):
                yield source._replace(
                    side=side or source.side, using=using + source.using, natural=natural or source.natural
                )
            if join.args.get("on"):
                rows.refs += self._refs(join.args["on"], sight)

    def _source(self, node: exp.Expr, sight: _Sight, rows: _Rows) -> Iterator[Source]:
        alias, columns = node.alias, _words(node.args["alias"].args.get("columns") if node.args.get("alias") else ())
        inner = node.this if isinstance(node, (exp.Lateral, exp.Table)) else node
        if isinstance(inner, (exp.Anonymous, exp.JSONTable, exp.Unnest)):
            yield self._function(inner, alias, columns, sight, with_place=_has_place(node))
        elif isinstance(inner, exp.Identifier):
            qualified = node.args.get("db")
            cte = None if qualified else sight.ctes.get(lower(inner.name))
            alias = alias or inner.name
            if cte:
                columns += cte.columns[len(columns) :]
                yield Source(alias, scope=cte.scope, columns=columns, is_cte=True)
            else:
                yield Source(alias, relation=spelling(node) if qualified else inner.name, columns=columns)
        elif isinstance(inner, exp.Subquery) and not isinstance(inner.this, QUERIES) and not alias:
            yield from self._joined(inner.this, sight, rows)
        else:
            yield Source(alias, scope=self.query(inner, sight.ctes), columns=columns)

    def _function(
        self, node: exp.Expr, alias: str, columns: tuple[str, ...], sight: _Sight, *, with_place: bool
    ) -> Source:
        name = node.name.lower() if isinstance(node, exp.Anonymous) else "unnest"
        known: tuple[str, ...] = _JSON_COLUMNS if name.startswith("json_") else (alias or name,)
        if isinstance(node, exp.JSONTable):
            known = tuple(each.name for each in node.find_all(exp.JSONColumnDef) if each.name)
        known += ("ordinality",) if with_place else ()
        arguments = [node.this] if isinstance(node, exp.JSONTable) else node.expressions
        refs = _unique(ref for each in arguments for ref in self._refs(each, sight))
        return Source(alias or name, columns=columns + known[len(columns) :], refs=refs)

    def _mentions(self, node: exp.Expr, sight: _Sight) -> Mentions:
        def query(inner: exp.Expr, only_rows: bool) -> int:
            scope = self.query(inner, sight.ctes)
            return self._add(Scope(sources=(Source("", scope=scope),))) if only_rows else scope

        found = Mentions(self.aggregates, sight.windows, query)
        found.read(node)
        return found

    def _refs(self, node: exp.Expr, sight: _Sight) -> list[Ref]:
        return self._mentions(node, sight).every_ref()


def _repeats(query: exp.Expr) -> bool:
    """Tell whether a recursive CTE may refer to itself in its last part."""
    return isinstance(query, exp.Union) and not query.args.get("by_name")


def _continues(node: exp.Expr, chain: exp.SetOperation) -> bool:
    """Tell whether a set operation is the left part of a longer chain of itself."""
    same = type(node) is type(chain) and all(
        bool(node.args.get(key)) == bool(chain.args.get(key)) for key in ("distinct", "by_name")
    )
    return same and not any(node.args.get(key) for key in ("with_", "order", "limit", "offset"))


def _leaves(node: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the keys of GROUP BY or DISTINCT ON, out of ROLLUP and other groupings."""
    if isinstance(node, _GROUPINGS):
        for each in node.iter_expressions():
            yield from _leaves(each)
    elif node is not None:
        yield node


def _name(node: exp.Expr) -> str | None:
    """Return the name of an output, if it is written there."""
    if isinstance(node, exp.Alias):
        return str(node.alias)
    while isinstance(node, exp.Paren):
        node = node.this
    return str(node.name) if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star) else None


def _named(outputs: Iterable[Output]) -> dict[str, tuple[Ref, ...]]:
    """Return what an ORDER BY means by the name of an output; one name may stand for several."""
    named: dict[str, tuple[Ref, ...]] = {}
    for each in outputs:
        if each.name and not each.star:
            named[each.name.lower()] = named.get(each.name.lower(), ()) + each.refs
    return named


def _words(nodes: Iterable[exp.Expr] | None) -> tuple[str, ...]:
    return tuple(node.name for node in nodes or ())


def _has_place(node: exp.Expr) -> bool:
    return bool(node.args.get("offset") or node.args.get("ordinality"))


def _unique(refs: Iterable[Ref]) -> tuple[Ref, ...]:
    return tuple(dict.fromkeys(refs))


def _order_keys(node: exp.Expr) -> list[exp.Expr]:
    """Return what a query is ordered by; of all rows of the whole answer it is no matter which output breaks ties."""
    order = node.args.get("order")
    keys = [each.this for each in order.expressions] if order else []
    if node.parent is None and not (node.args.get("limit") or node.args.get("offset")):
        return [key for key in keys if not key.is_int]
    return keys
