"""What one expression mentions: names, stars and queries, each with the way in which it reaches the value."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.lineage.flow import AGGREGATE, COPY, VALUE, Ref, Star
from osiris.sql.safety.tree import QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MATCHES = (exp.Like, exp.ILike, exp.Glob, exp.SimilarTo, exp.Not)
"""`* LIKE 'a%'` chooses columns by their names; it computes nothing."""


@dataclass(slots=True)
class Mentions:
    """Reads one expression without recursion. `query` adds the scopes of a query inside it and returns the last.

    `star` is set when there is one, which is then read as `star_kind`; `unnests` when it may be many rows or columns.
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
        """Add what an expression mentions."""
        left = self._left
        left.append((root, COPY))
        while left:
            node, kind = left.pop()
            visit = _VISITS.get(type(node))
            if visit:
                visit(self, node, kind)
            else:
                self.push(node.iter_expressions(), max(kind, VALUE))

    def push(self, nodes: Iterable[exp.Expr], kind: int) -> None:
        """Read these nodes later."""
        self._left += [(node, kind) for node in nodes]

    def every_ref(self) -> list[Ref]:
        """Return the refs where there are no outputs: a star then is every column in sight."""
        return [*self.refs, Ref(self.star_kind)] if self.star else self.refs

    def read_body(self, body: exp.Expr, variables: Iterable[exp.Expr], kind: int) -> None:
        """Add what an expression mentions but for its variables."""
        names = {variable.name.lower() for variable in variables}
        for ref in _inner(self, body).every_ref():
            if not ref.parts or ref.parts[0].lower() not in names:
                self.refs.append(ref._replace(kind=max(ref.kind, kind)))


def parts_of(node: exp.Expr) -> tuple[str, ...]:
    """Return the parts of a column's name, `*` for its star."""
    parts = (node.args[key] for key in ("catalog", "db", "table", "this") if node.args.get(key))
    return tuple("*" if isinstance(part, exp.Star) else part.name for part in parts)


def _inner(reader: Mentions, node: exp.Expr) -> Mentions:
    inner = Mentions(reader.aggregates, reader.windows, reader.query)
    inner.read(node)
    return inner


def _star(reader: Mentions, node: exp.Expr, kind: int) -> None:
    """Read `*` or `source.*`; where it is neither an output nor in COLUMNS, it chooses columns by their names."""
    args = (node.this if isinstance(node, exp.Column) else node).args
    replaced = tuple((each.alias, tuple(_inner(reader, each).every_ref())) for each in args.get("replace") or ())
    parent = node.parent
    reader.star = Star(
        node.text("table") or None,
        exclude=tuple(parts_of(each) for each in args.get("except_") or ()),
        replace=replaced,
        rename=tuple((each.this.name, each.alias) for each in args.get("rename") or ()),
        some=not (parent is None or isinstance(parent, exp.Select) or _is_columns(parent)),
    )
    reader.star_kind = COPY if isinstance(parent, _MATCHES) else kind


def _column(reader: Mentions, node: exp.Expr, kind: int) -> None:
    """Read a name. The star of a source counts rows in `count(t.*)`, and behind `s.t.` gives the parts of a struct."""
    is_star, is_struct = isinstance(node.this, exp.Star), bool(node.args.get("db"))
    if is_star and not is_struct and not _is_count(node.parent):
        _star(reader, node, kind)
    else:
        reader.refs.append(Ref(max(kind, VALUE) if is_star else kind, parts_of(node)))
        reader.unnests |= is_star and is_struct


def _is_columns(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() == "columns"


def _is_count(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() == "count"


def _call(reader: Mentions, node: exp.Expr, kind: int) -> None:
    name, arguments = node.name.lower(), node.expressions
    if name == "columns":
        _columns(reader, arguments, kind)
    elif name != "count" or [type(each) for each in arguments] != [exp.Star]:
        reader.unnests |= name == "unnest"
        reader.push(arguments, AGGREGATE if name in reader.aggregates else max(kind, VALUE))


def _columns(reader: Mentions, arguments: list[exp.Expr], kind: int) -> None:
    if any(isinstance(each, exp.Star) or isinstance(each.this, exp.Star) for each in arguments):
        reader.push(arguments, kind)
    else:
        reader.star, reader.star_kind = Star(some=True), kind


def _same(reader: Mentions, node: exp.Expr, kind: int) -> None:
    reader.push([node.this], kind)


def _collate(reader: Mentions, node: exp.Expr, kind: int) -> None:
    reader.push([node.this], max(kind, VALUE))


def _over_many(reader: Mentions, node: exp.Expr, _: int) -> None:
    named = node.args.get("alias")
    if named:
        reader.refs += [ref._replace(kind=AGGREGATE) for ref in reader.windows.get(named.name.lower(), ())]
    reader.push((each for each in node.iter_expressions() if not isinstance(each, exp.Identifier)), AGGREGATE)


def _dot(reader: Mentions, node: exp.Expr, kind: int) -> None:
    """Read a chain like `t.name.lower().left(2)` or `(s).field`: what stands first is a name, until it is called."""
    words: list[exp.Expr] = []
    while isinstance(node, exp.Dot):
        words, node = [node.expression, *words], node.this
    calls = [word for word in words if isinstance(word, exp.Anonymous)]
    kind = AGGREGATE if any(call.name.lower() in reader.aggregates for call in calls) else max(kind, VALUE)
    reader.push((each for call in calls for each in call.expressions), kind)
    if isinstance(node, (exp.Identifier, exp.Column)):
        members = itertools.takewhile(lambda word: isinstance(word, exp.Identifier), words)
        start = parts_of(node) if isinstance(node, exp.Column) else (node.name,)
        reader.refs.append(Ref(kind, (*start, *(word.name for word in members))))
    else:
        reader.push([node], kind)
    reader.unnests |= isinstance(words[-1], exp.Star)


def _property(reader: Mentions, node: exp.Expr, kind: int) -> None:
    reader.push([node.expression], max(kind, VALUE))


def _comprehension(reader: Mentions, node: exp.Expr, kind: int) -> None:
    """Read `[body FOR name IN list IF condition]`: the name is a variable in body and condition."""
    kind = max(kind, VALUE)
    reader.push([node.args["iterator"]], kind)
    for part in (node.this, node.args.get("condition")):
        if part:
            reader.read_body(part, [node.expression], kind)


def _lambda(reader: Mentions, node: exp.Expr, kind: int) -> None:
    reader.read_body(node.this, node.expressions, max(kind, VALUE))


def _name(reader: Mentions, node: exp.Expr, kind: int) -> None:
    reader.refs.append(Ref(kind, (node.name,)))


def _query(reader: Mentions, node: exp.Expr, kind: int) -> None:
    reader.refs.append(Ref(kind, scope=reader.query(node, False)))


def _exists(reader: Mentions, node: exp.Expr, kind: int) -> None:
    reader.refs.append(Ref(max(kind, VALUE), scope=reader.query(node.this, True)))


def _every(reader: Mentions, _: exp.Expr, kind: int) -> None:
    reader.refs.append(Ref(kind))


def _nothing(_: Mentions, __: exp.Expr, ___: int) -> None:
    return


_VISITS: dict[type[exp.Expr], Callable[[Mentions, exp.Expr, int], None]] = {
    exp.Alias: _same,
    exp.Anonymous: _call,
    exp.Collate: _collate,
    exp.Column: _column,
    exp.Comprehension: _comprehension,
    exp.DataType: _nothing,
    exp.Exists: _exists,
    exp.Filter: _over_many,
    exp.Dot: _dot,
    exp.Identifier: _name,
    exp.Kwarg: _property,
    exp.Lambda: _lambda,
    exp.Literal: _nothing,
    exp.Paren: _same,
    exp.PositionalColumn: _every,
    exp.PropertyEQ: _property,
    exp.Star: _star,
    exp.Window: _over_many,
    exp.WithinGroup: _over_many,
    **dict.fromkeys((*QUERIES, exp.Union, exp.Intersect, exp.Except), _query),
}
