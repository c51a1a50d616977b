"""By which columns of an input its rows can be put into buckets, so that all rows that meet are in one bucket.

Rows meet in GROUP BY, DISTINCT and windows. Each of them that the rows pass must have a column of the input, unchanged,
among its keys; the columns that all have in common are those of the buckets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from osiris.sql.exactness import Exactness, alias_of, are_plain, items_of, items_of_star, kind_of_type, name_of
from osiris.sql.nondeterminism.rules import arguments_of, sort_keys_of, window_keys, window_of
from osiris.sql.row_wise import Reason, is_single
from osiris.sql.safety.dialects import DIALECTS, load_allowed
from osiris.sql.safety.tree import called, calls_any
from osiris.sql.scope import QUERIES, all_items, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osiris.model import Schema
    from osiris.sql.row_wise import Statement

_DIALECT = DIALECTS["duckdb"]
_COUNTS = frozenset({"count", "count_if", "count_star", "countif"})
_SAME_IN_PARTS = _COUNTS | {
    "arg_max", "arg_min", "array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "cume_dist",
    "dense_rank", "first", "first_value", "group_concat", "lag", "last", "last_value", "lead", "list", "listagg", "max",
    "max_by", "mean", "median", "min", "min_by", "nth_value", "ntile", "percent_rank", "percentile_cont",
    "percentile_disc", "quantile", "quantile_cont", "quantile_disc", "rank", "rank_dense", "row_number", "string_agg",
    "sum",
}  # fmt: skip
"""Aggregates and window functions whose result depends on the rows of their group alone, if their values are exact."""
_SETS = (exp.Cube, exp.GroupingSets, exp.Rollup)


class Keys(NamedTuple):
    """A clause by which rows meet: its words, its node, its keys, and the columns of the input among them."""

    words: str
    node: exp.Expr
    values: tuple[exp.Expr, ...]
    columns: frozenset[str]


class Buckets(NamedTuple):
    """The columns of the buckets, in the order of the schema, and the words of the clauses by which rows meet."""

    columns: tuple[str, ...]
    words: tuple[str, ...]


Columns = dict[str, str]
"""The columns of the input that have arrived somewhere unchanged: their names there, folded, and in the input."""


def buckets(statement: Statement, read: exp.Table, schema: Schema, exact: Exactness) -> Buckets | Reason:
    """Return the buckets for the rows of one input, read at `read`; or why there are none.

    The statement has no problem with these rows but that they are gathered.
    """
    path = _Path(statement, exact, schema)
    clauses: list[Keys] = []
    for clause in path.gathered(read):
        if isinstance(clause, Reason):
            return clause
        clauses.append(clause)
    common = frozenset[str].intersection(*(each.columns for each in clauses)) if clauses else frozenset()
    if not common:
        return _no_keys(clauses, read)
    names = tuple(each.name for each in schema if each.name in common)
    return Buckets(names, tuple(dict.fromkeys(each.words for each in clauses)))


def _no_keys(clauses: list[Keys], read: exp.Table) -> Reason:
    for clause in clauses:
        if not clause.columns:
            what = f"{clause.words} has no column of '{read.name}' among its keys"
            return Reason(clause.node, "", f"{what} (unchanged, and neither a float nor nested)")
    words = " and ".join(dict.fromkeys(each.words for each in clauses))
    return Reason(clauses[-1].node if clauses else read, "", f"{words} have no column of '{read.name}' in common")


@dataclass(slots=True)
class _Path:
    """The way of the rows of one input; `item` is what they come from in FROM, `columns` those that arrive there.

    `order` are the names of all columns there, None if unknown.
    """

    statement: Statement
    exact: Exactness
    schema: Schema
    item: exp.Expr | None = None
    columns: Columns | None = None
    order: list[str] | None = None

    def gathered(self, read: exp.Table) -> Iterator[Keys | Reason]:
        """Yield the clauses by which rows meet, from the input up; a reason where this is not known."""
        fits = {each.name.lower(): each.name for each in self.schema if kind_of_type(each.type)}
        self.columns, self.order = fits, [each.name.lower() for each in self.schema]
        for node, child in self.statement.path(read):
            if isinstance(node, exp.Select):
                yield from self._of_select(node)
                self._leave(node)
            elif isinstance(node, exp.Table) and child is None:
                self._enter(node)
            elif isinstance(node, exp.CTE):
                self._rename(node.args["alias"])
            elif isinstance(node, exp.Subquery) and child is not None and child.arg_key == "this":
                self._pass(node)

    def _pass(self, node: exp.Subquery) -> None:
        """Rows leave parentheses: of a query, or of joins, whose columns are not followed under another name."""
        if isinstance(node.this, QUERIES):
            self._enter(node)
        elif node.alias:
            self.item, self.columns, self.order = node, {}, None

    def _enter(self, item: exp.Expr) -> None:
        self.item = item
        self._rename(item.args.get("alias"))

    def _rename(self, alias: exp.Expr | None) -> None:
        """Give the first columns new names."""
        names = [_DIALECT.fold(each) for each in alias.args.get("columns") or ()] if alias else []
        if not names:
            return
        if self.order is None:
            self.columns = {}
            return
        renamed = [*names, *self.order[len(names) :]]
        before = self.columns or {}
        self.columns = {new: before[old] for old, new in zip(self.order, renamed, strict=False) if old in before}
        self.order = renamed

    def _leave(self, select: exp.Select) -> None:
        """Follow the columns into the outputs of a SELECT."""
        outputs = select.expressions
        if not are_plain(select):
            self.columns, self.order = {}, None
            return
        names = [name_of(each, _DIALECT.fold) for each in outputs if not each.is_star]
        stars = [each for each in outputs if each.is_star]
        passed: Columns = {}
        for output in outputs:
            passed |= self._of_star(output, select) if output.is_star else self._of_output(output)
        self.columns = {
            name: own
            for name, own in passed.items()
            if names.count(name) + sum(self._times(star, select, name) for star in stars) == 1
        }
        self.order = None if stars else names

    def _times(self, star: exp.Expr, select: exp.Select, name: str) -> int:
        """Return in how many columns, at most, a star outputs a name; those that USING joins are one."""
        items = items_of_star(star, select, self.exact.columns, name)
        return 1 if self._is_mine(items, name) else len(items)

    def _of_output(self, output: exp.Expr) -> Columns:
        own = self.own(output.unalias())
        return {name_of(output, _DIALECT.fold): own} if own else {}

    def _of_star(self, star: exp.Expr, select: exp.Select) -> Columns:
        """Return the columns that a star outputs, without those whose name another item of FROM has too."""
        names, arrived = self.exact.columns, self.columns or {}
        items_by_name = {name: items_of_star(star, select, names, name) for name in arrived}
        return {name: arrived[name] for name, items in items_by_name.items() if self._is_mine(items, name)}

    def own(self, value: exp.Expr) -> str | None:
        """Return the column of the input that a value is; None if it is another, or computed."""
        if not isinstance(value, exp.Column) or not isinstance(value.this, exp.Identifier):
            return None
        name = _DIALECT.fold(value.this)
        is_here = self._is_mine(items_of(value, self.exact.columns), name)
        if not is_here or alias_of(value, self.exact.columns) is not None:
            return None
        return (self.columns or {}).get(name)

    def _is_mine(self, items: list[exp.Expr], name: str) -> bool:
        """Tell whether a name is that of a column of the item: the only one, or the first of those that USING joins."""
        if not items or items[0] is not self.item:
            return False
        return all(_is_joined_by(each, name) for each in items[1:])

    def _of_select(self, select: exp.Select) -> Iterator[Keys | Reason]:
        values = _values(select)
        yield from _calls(select, values, self.exact)
        windows = [node for value in values for node in _within(value) if isinstance(node, exp.Window)]
        clauses = [*self._group(select), *map(self._window, windows), *self._distinct(select)]
        for clause in clauses:
            if isinstance(clause, Reason):
                yield clause
            else:
                yield from self._inexact(clause)
                yield clause

    def _inexact(self, clause: Keys) -> Iterator[Reason]:
        """Yield the keys of which equal values can differ, so that it is open which of them a group has."""
        for value in clause.values:
            if not self.exact.kind(value):
                yield Reason(value, "", f"equal values of a key of {clause.words} may differ, as floats can")

    def _keys(self, words: str, node: exp.Expr, values: Iterable[exp.Expr]) -> Keys:
        listed = tuple(values)
        return Keys(words, node, listed, frozenset(filter(None, map(self.own, listed))))

    def _group(self, select: exp.Select) -> Iterator[Keys | Reason]:
        group = select.args.get("group")
        if group is None:
            if select.args.get("having"):
                yield Reason(select.args["having"], "", "HAVING without GROUP BY puts all rows together")
            return
        others = {key for key, value in group.args.items() if value} - {"expressions", "all"}
        if others or any(group.find(kind) for kind in _SETS):
            yield Reason(group, "", "ROLLUP, CUBE and GROUPING SETS put all rows together")
            return
        has_star = any(each.is_star for each in select.expressions)
        is_placed = group.args.get("all") or any(isinstance(each, exp.Literal) for each in group.expressions)
        if is_placed and has_star:
            yield Reason(group, "", "GROUP BY counts the columns of a *")
            return
        yield self._keys("GROUP BY", group, _grouped(select, group))

    def _window(self, window: exp.Expr) -> Keys:
        return self._keys("PARTITION BY", window, window_keys(window, "partition_by"))  # type: ignore[arg-type]

    def _distinct(self, select: exp.Select) -> Iterator[Keys | Reason]:
        distinct = select.args.get("distinct")
        if not distinct:
            return
        if distinct.args.get("on"):
            yield Reason(distinct, "", "DISTINCT ON keeps one of several rows")
            return
        if not are_plain(select) and any(node.is_star or called(node) == "columns" for node in select.expressions):
            yield Reason(distinct, "", "DISTINCT has columns whose names are not known")
            return
        stars = [each for each in select.expressions if each.is_star]
        for star in stars:
            yield from self._inexact_star(star, select)
        keys = self._keys("DISTINCT", distinct, (each.unalias() for each in select.expressions if not each.is_star))
        passed = {name for star in stars for name in self._of_star(star, select).values()}
        yield keys._replace(columns=keys.columns | passed)

    def _inexact_star(self, star: exp.Expr, select: exp.Select) -> Iterator[Reason]:
        names, items = self.exact.columns, [*all_items(select)]
        column_sets = [names.columns(each) for each in items]
        for name in {name for each in column_sets for name in each or ()}:
            for item in items_of_star(star, select, names, name):
                if name in self.exact.names_of(item) and not self.exact.of_item(item, name):
                    yield Reason(star, "", f"equal values of '{name}', a key of DISTINCT, may differ, as floats can")
        if None in column_sets:
            yield Reason(star, "", "DISTINCT has columns whose names are not known")


def _is_joined_by(item: exp.Expr, name: str) -> bool:
    join = item.parent
    if not isinstance(join, exp.Join):
        return False
    words, using = join_words(join), [_DIALECT.fold(each) for each in join.args.get("using") or ()]
    return words.only_filters or words.method == "NATURAL" or (name in using and words.method != "ASOF")


def _values(select: exp.Select) -> list[exp.Expr]:
    return [*select.expressions, *(select.args[key] for key in ("having", "qualify") if select.args.get(key))]


def _within(value: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the nodes of a value, without those of queries in it."""
    return value.walk(prune=lambda inner: isinstance(inner, exp.Query))


def _grouped(select: exp.Select, group: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the keys of GROUP BY, without positions."""
    outputs, aggregates = [each.unalias() for each in select.expressions], load_allowed(_DIALECT).aggregates
    if group.args.get("all"):
        yield from (each for each in outputs if not calls_any(each, aggregates, exp.Query))
        return
    for key in group.expressions:
        if isinstance(key, exp.Literal) and key.is_int and 0 < int(key.name) <= len(outputs):
            yield outputs[int(key.name) - 1]
        else:
            yield key


def _calls(select: exp.Select, values: list[exp.Expr], exact: Exactness) -> Iterator[Reason]:
    """Yield the aggregates and window functions of a SELECT that are not known to be the same in parts."""
    here = {id(node) for value in values for node in _within(value)}
    for call in (node for value in values for node in value.walk() if called(node)):
        name, window = called(call), window_of(call)
        if window is None and is_single(name):
            continue
        if id(call) not in here:
            yield from _borrowed(call, exact)
        elif name not in _SAME_IN_PARTS:
            yield Reason(call, "", f"{name}() is not known to be the same in parts")
        elif window is None and not select.args.get("group"):
            yield Reason(call, "", f"{name}() without GROUP BY puts all rows together")
        elif not all(map(exact.kind, _seen(call, name))):
            yield Reason(call, "", f"{name}() of values that may not be exact, like floats, can depend on their order")


def _borrowed(call: exp.Expr, exact: Exactness) -> Iterator[Reason]:
    """Yield an aggregate in a subquery that may belong to a query around it: no column is of its own."""
    columns = [*call.find_all(exp.Column)]
    if columns and not any(map(exact.is_own, columns)):
        yield Reason(call, "", f"{called(call)}() in a subquery can belong to the query around it")


def _seen(call: exp.Expr, name: str) -> Iterator[exp.Expr]:
    """Yield the values by which the result of a call can depend on the order of rows."""
    arguments = () if name in _COUNTS else arguments_of(call)
    within = call.parent.expression.expressions if isinstance(call.parent, exp.WithinGroup) else ()
    keys = [*sort_keys_of(call), *within, *window_keys(window_of(call), "order")]
    yield from (each.this if isinstance(each, (exp.IgnoreNulls, exp.RespectNulls)) else each for each in arguments)
    yield from (each.this if isinstance(each, exp.Ordered) else each for each in keys)
