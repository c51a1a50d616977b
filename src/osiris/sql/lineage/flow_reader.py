"""Extract the flow of a checked query from its tree, in one walk: its scopes, and what each refers to."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from osiris.sql.lineage.flow import AGGREGATE, COPY, VALUE, Flow, FlowOutput, FlowScope, FlowSource, Ref, Star
from osiris.sql.safety.dialects import DIALECTS, load_allowed
from osiris.sql.safety.relations import spelling
from osiris.sql.safety.tree import called, deep_recursion
from osiris.sql.scope import QUERIES, TableNames, columns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from osiris.sql.scope import Source as FromItem

_JSON_COLUMNS = ("key", "value", "type", "atom", "id", "parent", "fullkey", "path")
_GROUPINGS = (exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)
_ALL = FlowOutput(None, star=Star())


_MATCHES = (exp.Like, exp.ILike, exp.Glob, exp.SimilarTo, exp.Not)
"""`* LIKE 'a%'` selects columns by name; it computes nothing."""


def flow_of(tree: exp.Expr, dialect: str = "duckdb", names: TableNames | None = None) -> Flow:
    """Return the flow of a checked query, from the tree of its canonical text.

    `names` are those of the tree, if already resolved.
    """
    row = DIALECTS[dialect]
    with deep_recursion():
        walk = _Walk(load_allowed(row).aggregates, names or TableNames(tree, row))
        walk.query(tree)
    return Flow(tuple(walk.scopes))


@dataclass(slots=True)
class _Rows:
    """The references that decide the rows of one scope, as they are collected: see `FlowScope`."""

    refs: list[Ref] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    whole: bool = False


_Windows = dict[str, tuple[Ref, ...]]
"""References in the named windows of a SELECT, by folded name."""


@dataclass(slots=True)
class _Walk:
    """Collects the scopes of one tree, inner ones first; `ctes` maps CTEs, by `id`, to their scopes."""

    aggregates: frozenset[str]
    names: TableNames
    scopes: list[FlowScope] = field(default_factory=list)
    ctes: dict[int, int] = field(default_factory=dict)

    def query(self, node: exp.Expr) -> int:
        """Add the scopes of a query and return its own."""
        ctes = self._with(node)
        if isinstance(node, exp.Select):
            return self._select(node, ctes)
        if isinstance(node, exp.SetOperation):
            inner = self._set_operation(node)
        elif isinstance(node, exp.Values):
            inner = self._values(node)
        elif isinstance(node.this, QUERIES):
            inner = self.query(node.this)
        else:
            rows = _Rows()
            sources = tuple(self._joined(node.this, {}, rows))
            inner = self._add(FlowScope(sources, (_ALL,), _unique(rows.refs)))
        return self._ordered(node, inner, ctes)

    def _add(self, scope: FlowScope) -> int:
        self.scopes.append(scope)
        return len(self.scopes) - 1

    def _with(self, query: exp.Expr) -> tuple[int, ...]:
        """Add the scopes of a query's CTEs, if any, and return them."""
        with_ = query.args.get("with_")
        if with_ is None:
            return ()
        for cte in with_.expressions:
            may_repeat = isinstance(cte.this, exp.Union) and not cte.this.args.get("by_name")
            recursive = may_repeat and with_.args.get("recursive")
            self.ctes[id(cte)] = self._recursive(cte) if recursive else self.query(cte.this)
        return tuple(self.ctes[id(cte)] for cte in with_.expressions)

    def _recursive(self, cte: exp.CTE) -> int:
        """Add a scope that is initially the anchor part, and finally everything that recursion finds."""
        body = cte.this
        ctes = self._with(body)
        start = self.query(body.this)
        itself = self._add(FlowScope(sources=(FlowSource("", scope=start),), outputs=(_ALL,)))
        self.ctes[id(cte)] = itself
        step = self.query(body.expression)
        whole = bool(body.args.get("distinct") or cte.args.get("key_expressions"))
        scope = FlowScope(whole=whole, branches=((start, True), (step, True)), again=itself)
        return self._ordered(body, self._add(scope), ctes)

    def _set_operation(self, node: exp.SetOperation) -> int:
        """Add one scope for a chain of the same operation: a thousand branches are not a thousand levels."""
        first, tails = node.this, [node.expression]
        while _continues(first, node):
            tails.append(first.expression)
            first = first.this
        values = isinstance(node, exp.Union)
        branches = [(self.query(first), True)]
        branches += [(self.query(tail), values) for tail in reversed(tails)]
        whole = bool(node.args.get("distinct")) or not values
        return self._add(FlowScope(whole=whole, branches=tuple(branches), by_name=bool(node.args.get("by_name"))))

    def _values(self, node: exp.Values) -> int:
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
        columns: list[list[Ref]] = [[] for _ in rows[0]]
        for row in rows:
            for refs, cell in zip(columns, row, strict=False):
                refs += self._refs(cell, {})
        return self._add(
            FlowScope(outputs=tuple(FlowOutput(f"col{i}", _unique(refs)) for i, refs in enumerate(columns)))
        )

    def _ordered(self, node: exp.Expr, scope: int, ctes: tuple[int, ...]) -> int:
        """Return a scope with its trailing ORDER BY and LIMIT and its WITH, if any."""
        rows = _Rows()
        self._modifiers(node, {}, rows, {})
        if not (rows.refs or rows.positions or rows.whole or ctes):
            return scope
        refs = _unique(Ref(ref.kind) if len(ref.parts) > 1 else ref for ref in rows.refs)
        source = FlowSource("", scope=scope)
        return self._add(FlowScope((source,), (_ALL,), refs, tuple(rows.positions), whole=rows.whole, ctes=ctes))

    def _select(self, node: exp.Select, ctes: tuple[int, ...]) -> int:
        rows, sources = _Rows(), []
        windows: _Windows = {}
        if node.args.get("from_"):
            sources += self._joined(node.args["from_"].this, windows, rows)
        sources += self._joins(node, windows, rows)
        for window in _listed(node, "windows"):
            windows[window.name.lower()] = _unique(self._refs(window, windows))
        outputs = tuple(self._output(each, windows, rows) for each in node.expressions)
        by_name: dict[str, tuple[Ref, ...]] = {}  # what ORDER BY can refer to by name; names may repeat
        for each in outputs:
            if each.name and not each.star:
                by_name[each.name.lower()] = by_name.get(each.name.lower(), ()) + each.refs
        self._modifiers(node, windows, rows, by_name)
        group = node.args.get("group")
        scope = FlowScope(
            tuple(sources), outputs, _unique(rows.refs), tuple(rows.positions), whole=rows.whole, ctes=ctes
        )
        return self._add(scope._replace(grouped=True) if group and group.args.get("all") else scope)

    def _output(self, node: exp.Expr, windows: _Windows, rows: _Rows) -> FlowOutput:
        mentions, inner = self._mentions(node, windows), node.unnest()
        is_column = isinstance(inner, exp.Column) and not isinstance(inner.this, exp.Star)
        name = str(inner.alias_or_name) if is_column or isinstance(node, exp.Alias) else None
        if mentions.unnests:
            rows.refs += mentions.every_ref()
        if mentions.star and name and "\\" in name:
            name = None
        return FlowOutput(name, _unique(mentions.refs), mentions.star, mentions.star_kind, mentions.unnests)

    def _modifiers(
        self, node: exp.Expr, windows: _Windows, rows: _Rows, aliases: Mapping[str, tuple[Ref, ...]]
    ) -> None:
        """Collect references of WHERE to LIMIT; `aliases` are outputs, which take precedence in ORDER BY."""
        for key in ("where", "having", "qualify", "limit", "offset"):
            if node.args.get(key):
                rows.refs += self._refs(node.args[key], windows)
        distinct = node.args.get("distinct")
        if isinstance(distinct, exp.Distinct):
            rows.whole |= not distinct.args.get("on")
            self._keys(_leaves(distinct.args.get("on")), windows, rows, {})
        self._keys(_leaves(node.args.get("group")), windows, rows, {})
        self._keys(_order_keys(node), windows, rows, aliases)

    def _keys(
        self, keys: Iterable[exp.Expr], windows: _Windows, rows: _Rows, aliases: Mapping[str, tuple[Ref, ...]]
    ) -> None:
        for key in keys:
            if isinstance(key, exp.Literal) and key.is_int:
                rows.positions.append(int(key.name))
            elif isinstance(key, exp.Column) and not key.table and key.name.lower() in aliases:
                rows.refs += aliases[key.name.lower()]
            else:
                rows.refs += self._refs(key, windows)
                rows.whole |= isinstance(key, (exp.Var, exp.All, exp.PositionalColumn))

    def _joined(self, node: exp.Expr, windows: _Windows, rows: _Rows) -> list[FlowSource]:
        """Return the source of a node of FROM, and those joined to it."""
        return [*self._source(node, windows, rows), *self._joins(node, windows, rows)]

    def _joins(self, node: exp.Expr, windows: _Windows, rows: _Rows) -> Iterator[FlowSource]:
        for lateral in _listed(node, "laterals"):
            yield from self._source(lateral, windows, rows)
        for join in _listed(node, "joins"):
            side = "SEMI" if join.kind in ("SEMI", "ANTI") else join.side
            using, natural = tuple(each.name for each in _listed(join, "using")), join.method == "NATURAL"
            for source in self._joined(join.this, windows, rows):
                yield source._replace(
                    side=side or source.side, using=using + source.using, natural=natural or source.natural
                )
            if join.args.get("on"):
                rows.refs += self._refs(join.args["on"], windows)

    def _source(self, node: exp.Expr, windows: _Windows, rows: _Rows) -> Iterable[FlowSource]:
        source, alias = self.names.source(node), node.alias
        if source.function is not None:
            return [self._function(source, source.function, alias, windows)]
        if source.relation is not None:
            return [self._table(source.relation, alias, source.columns)]
        if source.cte is not None:
            scope = self.ctes[id(source.cte)]
            return [FlowSource(alias or node.name, scope=scope, columns=source.columns, is_cte=True)]
        inner = node.this if isinstance(node, (exp.Lateral, exp.Table)) else node
        if isinstance(inner, exp.Subquery) and not isinstance(inner.this, QUERIES) and not alias:
            return self._joined(inner.this, windows, rows)
        return [FlowSource(alias, scope=self.query(inner), columns=source.columns)]

    def _table(self, table: exp.Table, alias: str, columns: tuple[str, ...]) -> FlowSource:
        """Return the source of a relation, or of a recursive self-reference."""
        alias, itself = alias or table.name, self.names.itself(table)
        if itself is None or id(itself) not in self.ctes:
            return FlowSource(alias, relation=spelling(table), columns=columns)
        return FlowSource(alias, scope=self.ctes[id(itself)], columns=columns_of(itself, columns), is_cte=True)

    def _function(self, source: FromItem, node: exp.Expr, alias: str, windows: _Windows) -> FlowSource:
        name = called(node) or "unnest"
        columns: tuple[str, ...] = _JSON_COLUMNS if name.startswith("json_") else (alias or name,)
        arguments = node.expressions
        if isinstance(node, exp.JSONTable):
            columns = tuple(filter(None, (each.name for each in node.find_all(exp.JSONColumnDef))))
            arguments = [node.this]
        columns += ("ordinality",) if any(map(source.node.args.get, ("offset", "ordinality"))) else ()
        refs = _unique(ref for each in arguments for ref in self._refs(each, windows))
        return FlowSource(alias or name, columns=source.columns + columns[len(source.columns) :], refs=refs)

    def _mentions(self, node: exp.Expr, windows: _Windows) -> References:
        def query(inner: exp.Expr, only_rows: bool) -> int:
            scope = self.query(inner)
            return self._add(FlowScope(sources=(FlowSource("", scope=scope),))) if only_rows else scope

        mentions = References(self.aggregates, windows, query)
        mentions.read(node)
        return mentions

    def _refs(self, node: exp.Expr, windows: _Windows) -> list[Ref]:
        return self._mentions(node, windows).every_ref()


def _continues(node: exp.Expr, chain: exp.SetOperation) -> bool:
    """Tell whether a set operation continues a chain of the same operation on the left."""
    same = type(node) is type(chain) and all(
        bool(node.args.get(key)) == bool(chain.args.get(key)) for key in ("distinct", "by_name")
    )
    return same and not any(node.args.get(key) for key in ("with_", "order", "limit", "offset"))


def _leaves(node: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the keys of GROUP BY or DISTINCT ON, inside ROLLUP and other groupings."""
    if isinstance(node, _GROUPINGS):
        for each in node.iter_expressions():
            yield from _leaves(each)
    elif node is not None:
        yield node


def _unique(refs: Iterable[Ref]) -> tuple[Ref, ...]:
    return tuple(dict.fromkeys(refs))


def _order_keys(node: exp.Expr) -> list[exp.Expr]:
    """Return the keys that order a query; positions are irrelevant if the whole result is ordered."""
    order = node.args.get("order")
    keys = [each.this for each in order.expressions] if order else []
    if node.parent is None and not (node.args.get("limit") or node.args.get("offset")):
        return [key for key in keys if not key.is_int]
    return keys


@dataclass(slots=True)
class References:
    """Collects the references of one expression without recursion. `query` adds the scopes of an inner query and
    returns the last.

    `star` is set if there is one, read as `star_kind`; `unnests` if it may return many rows or columns.
    """

    aggregates: frozenset[str]
    windows: Mapping[str, tuple[Ref, ...]]
    query: Callable[[exp.Expr, bool], int]
    refs: list[Ref] = field(default_factory=list)
    star: Star | None = None
    star_kind: int = COPY
    unnests: bool = False
    _left: list[tuple[exp.Expr, int]] = field(default_factory=list)

    def read(self, root: exp.Expr) -> None:
        """Add the references of an expression."""
        pending = self._left
        pending.append((root, COPY))
        while pending:
            node, kind = pending.pop()
            visit = _VISITS.get(type(node))
            if visit:
                visit(self, node, kind)
            else:
                self.push(node.iter_expressions(), max(kind, VALUE))

    def push(self, nodes: Iterable[exp.Expr], kind: int) -> None:
        """Read these nodes later."""
        self._left += [(node, kind) for node in nodes]

    def every_ref(self) -> list[Ref]:
        """Return the refs where there are no outputs: a star is then every visible column."""
        return [*self.refs, Ref(self.star_kind)] if self.star else self.refs

    def read_body(self, body: exp.Expr, variables: Iterable[exp.Expr], kind: int) -> None:
        """Add the references of an expression except its variables."""
        names = {variable.name.lower() for variable in variables}
        for ref in _inner(self, body).every_ref():
            if not ref.parts or ref.parts[0].lower() not in names:
                self.refs.append(ref._replace(kind=max(ref.kind, kind)))


def parts_of(node: exp.Expr) -> tuple[str, ...]:
    """Return the parts of a column's name, `*` for its star."""
    parts = (node.args[key] for key in ("catalog", "db", "table", "this") if node.args.get(key))
    return tuple("*" if isinstance(part, exp.Star) else part.name for part in parts)


def _inner(reader: References, node: exp.Expr) -> References:
    inner = References(reader.aggregates, reader.windows, reader.query)
    inner.read(node)
    return inner


def _star(reader: References, node: exp.Expr, kind: int) -> None:
    """Read `*` or `source.*`; where it is neither an output nor in COLUMNS, it selects columns by name."""
    star = node.this if isinstance(node, exp.Column) else node
    parent = node.parent
    reader.star = Star(
        node.text("table") or None,
        exclude=tuple(parts_of(each) for each in _listed(star, "except_")),
        replace=tuple((each.alias, tuple(_inner(reader, each).every_ref())) for each in _listed(star, "replace")),
        rename=tuple((each.this.name, each.alias) for each in _listed(star, "rename")),
        some=not (parent is None or isinstance(parent, exp.Select) or called(parent) == "columns"),
    )
    reader.star_kind = COPY if isinstance(parent, _MATCHES) else kind


def _listed(node: exp.Expr, key: str) -> Iterable[Any]:
    return node.args.get(key) or ()


def _column(reader: References, node: exp.Expr, kind: int) -> None:
    """Read a name. The star of a source counts rows in `count(t.*)`; after `s.t.` it is the fields of a struct."""
    is_star, is_struct = isinstance(node.this, exp.Star), bool(node.args.get("db"))
    if is_star and not is_struct and called(node.parent) != "count":
        _star(reader, node, kind)
    else:
        reader.refs.append(Ref(max(kind, VALUE) if is_star else kind, parts_of(node)))
        reader.unnests |= is_star and is_struct


def _call(reader: References, node: exp.Expr, kind: int) -> None:
    name, arguments = node.name.lower(), node.expressions
    if name == "columns":
        if any(isinstance(each, exp.Star) or isinstance(each.this, exp.Star) for each in arguments):
            reader.push(arguments, kind)
        else:
            reader.star, reader.star_kind = Star(some=True), kind
    elif name != "count" or [type(each) for each in arguments] != [exp.Star]:
        reader.unnests |= name == "unnest"
        reader.push(arguments, AGGREGATE if name in reader.aggregates else max(kind, VALUE))


def _over_many(reader: References, node: exp.Expr, _: int) -> None:
    alias = node.args.get("alias")
    if alias:
        reader.refs += [ref._replace(kind=AGGREGATE) for ref in reader.windows.get(alias.name.lower(), ())]
    reader.push((each for each in node.iter_expressions() if not isinstance(each, exp.Identifier)), AGGREGATE)


def _dot(reader: References, node: exp.Expr, kind: int) -> None:
    """Read a chain like `t.name.lower().left(2)` or `(s).field`: the first part is a name, up to a call."""
    words: list[exp.Expr] = []
    while isinstance(node, exp.Dot):
        words, node = [node.expression, *words], node.this
    gathers = any(called(word) in reader.aggregates for word in words)
    kind = AGGREGATE if gathers else max(kind, VALUE)
    reader.push((each for word in words if isinstance(word, exp.Anonymous) for each in word.expressions), kind)
    if isinstance(node, (exp.Identifier, exp.Column)):
        members = itertools.takewhile(lambda word: isinstance(word, exp.Identifier), words)
        start = parts_of(node) if isinstance(node, exp.Column) else (node.name,)
        reader.refs.append(Ref(kind, (*start, *(word.name for word in members))))
    else:
        reader.push([node], kind)
    reader.unnests |= isinstance(words[-1], exp.Star)


def _comprehension(reader: References, node: exp.Expr, kind: int) -> None:
    """Read `[body FOR name IN list IF condition]`: the name is a variable in body and condition."""
    kind = max(kind, VALUE)
    reader.push([node.args["iterator"]], kind)
    for part in (node.this, node.args.get("condition")):
        if part:
            reader.read_body(part, [node.expression], kind)


_VISITS: dict[type[exp.Expr], Callable[[References, exp.Expr, int], None]] = {
    **dict.fromkeys((exp.Alias, exp.Paren), lambda reader, node, kind: reader.push([node.this], kind)),
    exp.Anonymous: _call,
    exp.Collate: lambda reader, node, kind: reader.push([node.this], max(kind, VALUE)),
    exp.Column: _column,
    exp.Comprehension: _comprehension,
    **dict.fromkeys((exp.DataType, exp.Literal), lambda *_: None),
    exp.Exists: lambda reader, node, kind: reader.refs.append(
        Ref(max(kind, VALUE), scope=reader.query(node.this, True))
    ),
    **dict.fromkeys((exp.Filter, exp.Window, exp.WithinGroup), _over_many),
    exp.Dot: _dot,
    exp.Identifier: lambda reader, node, kind: reader.refs.append(Ref(kind, (node.name,))),
    **dict.fromkeys(
        (exp.Kwarg, exp.PropertyEQ), lambda reader, node, kind: reader.push([node.expression], max(kind, VALUE))
    ),
    exp.Lambda: lambda reader, node, kind: reader.read_body(node.this, node.expressions, max(kind, VALUE)),
    exp.PositionalColumn: lambda reader, _, kind: reader.refs.append(Ref(kind)),
    exp.Star: _star,
    **dict.fromkeys(
        (*QUERIES, exp.Union, exp.Intersect, exp.Except),
        lambda reader, node, kind: reader.refs.append(Ref(kind, scope=reader.query(node, False))),
    ),
}
