"""Row order of a query: sorted, inherited from relations, or undefined.

Also whether ties of an inner ORDER BY can affect the result: rows that compare equal but differ. For the outermost
query they cannot, once the order is total.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import called, calls_any, canonical, deep_recursion, parse
from osiris.sql.scope import all_items, from_items, join_words, queries_around, union_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osiris.sql.scope import Source, TableNames

Arrival = frozenset[str] | None
"""The relations whose order is inherited, folded (empty: the order is fixed); None if undefined."""

FIXED: frozenset[str] = frozenset()

_MIXING = ("group", "having", "qualify", "joins", "laterals")


Tied = tuple[tuple[str, tuple[str, ...]], ...]
"""Relations, each with its columns that are keys, folded: tied rows differ only if it has others."""
_MANY = (exp.Rollup, exp.Cube, exp.GroupingSets)
_UNNAMED = (exp.Star, exp.Query, exp.PositionalColumn)
"""What reads columns that it does not name."""
_OPAQUE = (*_UNNAMED, exp.Window)
_MERGED = "\0"
"""Stands for the table of a bare column that an outer join with USING makes of two."""


def _is_opaque(source: Source) -> bool:
    """Tell whether nothing is known of the rows of an item of FROM."""
    return source.is_joined or source.is_recursive or isinstance(source.node, exp.Lateral)


def _moves_rows(select: exp.Select) -> bool:
    windows = [window for each in select.expressions for window in each.find_all(exp.Window)]
    keys = ("partition_by", "order", "alias")
    return bool(select.args.get("distinct")) or any(window.args.get(key) for window in windows for key in keys)


def aggregates(select: exp.Select, names: frozenset[str]) -> bool:
    """Tell whether a SELECT returns one row: it has no GROUP BY, and aggregates outside windows."""
    return not select.args.get("group") and any(
        calls_any(each, names, exp.Select, exp.Window) for each in select.expressions
    )


def is_total(query: exp.Expr, names: frozenset[str]) -> bool:
    """Tell whether an ORDER BY is clearly total: its keys are all columns, or all grouping columns."""
    if isinstance(query, exp.Select) and aggregates(query, names):
        return True
    if not isinstance(query, exp.Query):
        return False
    columns = [each.alias_or_name.lower() for each in query.selects]
    keys = {_name(ordered.this, columns) for ordered in query.args["order"].expressions}
    return "all" in keys or _distinguishing(query, columns, names) <= keys - {"", "*"}


def _distinguishing(query: exp.Query, columns: list[str], names: frozenset[str]) -> set[str]:
    group = query.args.get("group")
    if group is None or not (group.expressions or group.args.get("all")):
        return set(columns) or {""}
    if group.args.get("all"):
        keys = [each for each in query.selects if not calls_any(each, names, exp.Select, exp.Window)]
        return {each.alias_or_name.lower() for each in keys}
    return {_name(each, columns) for each in group.expressions}


def _name(key: exp.Expr, columns: list[str]) -> str:
    """Return the name of a bare column, or of that at a position; empty for anything else."""
    if isinstance(key, exp.Literal) and key.is_int:
        return dict(enumerate(columns, 1)).get(int(key.name), "")
    if isinstance(key, exp.All) or (isinstance(key, exp.Var) and key.name.upper() == "ALL"):
        return "all"
    return key.name.lower() if isinstance(key, exp.Column) else ""


@dataclass(frozen=True, slots=True)
class Keys:
    """What tied rows have in common: `columns` as (table or empty, name), folded, and other expressions."""

    columns: frozenset[tuple[str, str]]
    nodes: tuple[exp.Expr, ...]
    aggregates: frozenset[str]

    def has(self, column: exp.Expr) -> bool:
        """Tell whether a column is one of the keys, or the same for all rows that have the same keys."""
        table, name = _place_of(column)
        return any(name == key and (not table or of in ("", _MERGED, table)) for of, key in self.columns)

    def make(self, value: exp.Expr) -> bool:
        """Tell whether a value is computed from the keys alone, and so is equal for tied rows."""
        if value in self.nodes:
            return True
        if isinstance(value, exp.Column):
            return self.has(value)
        if isinstance(value, _OPAQUE) or called(value) in self.aggregates or called(value) == "columns":
            return False
        return all(self.make(each) for each in value.iter_expressions())

    def of(self, alias: str) -> frozenset[str]:
        """Return the names of the columns that may belong to a source."""
        return frozenset(name for table, name in self.columns if table in ("", _MERGED, alias.lower()))


def _place_of(column: exp.Expr) -> tuple[str, str]:
    """Return the table (or nothing) and the name of a column, folded; a field of a struct has a name of its own."""
    table, name = column.args["table"].name.lower() if column.args.get("table") else "", column.name.lower()
    items = [item for query in queries_around(column) for item in all_items(query)]
    if table and items and table not in (item.alias_or_name.lower() for item in items):
        return "", f"{table}.{name}"
    is_merged = not table and any(isinstance(item.parent, exp.Join) and _merges(item.parent) for item in items)
    return _MERGED if is_merged else table, name


def _merges(join: exp.Join) -> bool:
    """Tell whether a join makes one column of two that can differ."""
    words = join_words(join)
    return bool(words.side and (join.args.get("using") or words.method == "NATURAL"))


@dataclass(slots=True)
class RowFacts:
    """Order and ties of the rows of the queries of one tree, each computed once."""

    names: TableNames
    aggregates: frozenset[str]
    arrivals: dict[int, Arrival] = field(default_factory=dict)
    ties: dict[tuple[int, frozenset[str]], Tied | None] = field(default_factory=dict)

    def arrival(self, query: exp.Expr) -> Arrival:
        """Return what determines the row order of a query.

        The engine preserves it through filters, UNION ALL, subqueries and windows over all rows, and nothing else.
        """
        if id(query) not in self.arrivals:
            self.arrivals[id(query)] = FIXED if query.args.get("order") else self._unordered(query)
        return self.arrivals[id(query)]

    def arrival_before(self, select: exp.Select) -> Arrival:
        """Return what determines the order of the input rows of a SELECT, before its windows, DISTINCT and ORDER BY."""
        if any(select.args.get(key) for key in _MIXING):
            return None
        first = select.args.get("from_")
        if first is None:
            return FIXED
        source = self.names.source(first.this)
        if _is_opaque(source):
            return None
        if source.relation is not None:
            return frozenset({source.relation.name.lower()})
        return FIXED if source.query is None else self.arrival(source.query)

    def _unordered(self, query: exp.Expr) -> Arrival:
        if isinstance(query, exp.Values):
            return FIXED
        if isinstance(query, exp.Subquery):
            return None if query.args.get("joins") else self.arrival(query.this)
        if isinstance(query, exp.Union):
            is_all = query.args.get("distinct") is False
            return union_names(map(self.arrival, (query.left, query.right))) if is_all else None
        if not isinstance(query, exp.Select):
            return None
        if aggregates(query, self.aggregates):
            return FIXED
        return None if _moves_rows(query) else self.arrival_before(query)

    def keys(self, nodes: Iterable[exp.Expr]) -> Keys:
        """Return the expressions of ORDER BY, PARTITION BY or GROUP BY as keys."""
        bare = [part for node in nodes for part in _parts(node)]
        columns = {_place_of(each) for each in bare if isinstance(each, exp.Column)}
        return Keys(frozenset(columns), tuple(bare), self.aggregates)

    def ties_of_rows(self, select: exp.Select, keys: Keys) -> Tied | None:
        """Return what decides whether keys distinguish the rows that the windows of a SELECT see: empty if they do.

        None if unknown.
        """
        group = select.args.get("group")
        if aggregates(select, self.aggregates):
            return ()
        if group is None:
            return self.ties_of_sources(select, keys)
        is_determined = all(any(keys.make(way) for way in ways) for ways in grouped(select, self.aggregates))
        return () if is_determined and not any(group.find(kind) for kind in _MANY) else None

    def ties_of_sources(self, select: exp.Select, keys: Keys) -> Tied | None:
        """Return the same for the input rows of a SELECT, before grouping."""
        if select.args.get("laterals"):
            return None
        relations: set[tuple[str, tuple[str, ...]]] = set()
        for source in _sources(select):
            tied = self.ties_of_source(source, keys)
            if tied is None:
                return None
            relations.update(tied)
        return tuple(sorted(relations))

    def ties_of_source(self, node: exp.Expr, keys: Keys) -> Tied | None:
        """Return the same for the rows of an item of FROM."""
        source, named = self.names.source(node), keys.of(node.alias_or_name)
        renamed = [column.lower() for column in source.columns]
        if _is_opaque(source):
            return None
        if source.relation is not None and not renamed:
            return ((source.relation.name.lower(), tuple(sorted(named))),)
        if isinstance(node, exp.Values):
            return () if renamed and named.issuperset(renamed) else None
        return (
            None if source.query is None else self._of_query(source.query, _inner_names(source.query, named, renamed))
        )

    def _of_query(self, query: exp.Expr, named: frozenset[str]) -> Tied | None:
        cache_key = id(query), named
        if cache_key not in self.ties:
            self.ties[cache_key] = self._of_outputs(query, named)
        return self.ties[cache_key]

    def _of_outputs(self, query: exp.Expr, named: frozenset[str]) -> Tied | None:
        """Return the same for the rows of a query, by some of its columns; rows that agree in all columns are
        identical.
        """
        if isinstance(query, exp.Subquery):
            return None if query.args.get("joins") else self._of_query(query.this, named)
        if not isinstance(query, exp.Query):
            return None
        if not query.is_star and named.issuperset(each.alias_or_name.lower() for each in query.selects):
            return ()
        if not isinstance(query, exp.Select) or multiplies(query):
            return None
        return self.ties_of_rows(query, self.keys(_values_of(query, named)))


def _values_of(select: exp.Select, named: frozenset[str]) -> list[exp.Expr]:
    """Return the SELECT's expressions of some names, and the columns of those that its * passes on."""
    outputs = {each.alias_or_name.lower(): each.unalias() for each in reversed(select.expressions)}
    passed = named - outputs.keys() if _passes_all(select) else ()
    return [*(value for name, value in outputs.items() if name in named), *map(exp.column, passed)]


def grouped(select: exp.Select, aggregates: frozenset[str]) -> Iterator[list[exp.Expr]]:
    """Yield for each GROUP BY key its spellings: itself, and the output column of it."""
    group = select.args.get("group")
    if group is None:
        return
    values = [each.unalias() for each in select.expressions]
    keys = [each for each in values if not calls_any(each, aggregates)]
    for key in keys if group.args.get("all") else group.expressions:
        outputs = _outputs_of(key, select)
        variants = [] if isinstance(key, exp.Literal) else [key]
        yield variants + [way for each in outputs for way in (each.unalias(), exp.column(each.alias_or_name))]


def _outputs_of(key: exp.Expr, select: exp.Select) -> list[exp.Expr]:
    """Return the outputs that a GROUP BY key refers to: by position, name or value."""
    if isinstance(key, exp.Literal) and key.is_int:
        return list(select.expressions[int(key.name) - 1 : int(key.name)])
    return [each for each in select.expressions if key in (each.unalias(), exp.column(each.alias))]


def reads_only(select: exp.Select, keys: Keys) -> bool:
    """Tell whether a SELECT without groups reads only keys: then tied rows are interchangeable."""
    if select.args.get("group"):
        return False
    parts = [*select.expressions, *filter(None, map(select.args.get, ("qualify", "distinct")))]
    windows = [window for part in parts for window in part.find_all(exp.Window)]
    # the partitions and orders of windows, as text
    words = {(str(each.args.get("partition_by")), str(each.args.get("order")), each.alias) for each in windows}
    inner = [node for part in parts for node in part.walk()]
    if len(words) != 1 or any(isinstance(node, _UNNAMED) or called(node) == "columns" for node in inner):
        return False
    return all(_reads(part, keys, select) for part in parts)


def _reads(part: exp.Expr, keys: Keys, select: exp.Select) -> bool:
    """Tell whether a part of a SELECT reads only keys; QUALIFY may also read the SELECT's outputs."""
    aliases = {each.alias.lower() for each in select.expressions} if isinstance(part, exp.Qualify) else set()
    return all(keys.has(column) or column.name.lower() in aliases for column in part.find_all(exp.Column))


def _passes_all(select: exp.Select) -> bool:
    """Tell whether a SELECT has a * that passes on the columns of one source unrenamed."""
    stars = [star for each in select.expressions for star in each.find_all(exp.Star)]
    changed = any(star.args.get(key) for star in stars for key in ("replace", "rename"))
    return select.is_star and not changed and len(_sources(select)) == 1


def multiplies(select: exp.Select) -> bool:
    """Tell whether a SELECT may return several rows for one."""
    nodes = (node for each in select.expressions for node in each.walk())
    return any(isinstance(node, exp.UDTF) or called(node) == "unnest" for node in nodes)


def _parts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield what must be equal for a key to be equal: the key itself, or each part of a row."""
    while isinstance(node, (exp.Ordered, exp.Paren)):
        node = node.this
    if isinstance(node, exp.Tuple) or called(node) == "row":
        for part in node.expressions:
            yield from _parts(part)
    yield node


def _inner_names(query: exp.Expr, named: frozenset[str], renamed: list[str]) -> frozenset[str]:
    """Return a query's own names of columns that its alias may rename; those of a * are lost."""
    if not renamed or not isinstance(query, exp.Query):
        return named
    own = [] if query.is_star else [each.alias_or_name.lower() for each in query.selects]
    called = [*renamed, *own[len(renamed) :]]
    return frozenset(name for name, outside in zip(own, called, strict=False) if outside in named)


def _sources(select: exp.Select) -> list[exp.Expr]:
    """Return the sources of a SELECT's rows; a filtering join adds none."""
    return [each for each in from_items(select) if each.parent and each.parent.args.get("kind") not in ("SEMI", "ANTI")]


def with_total_order(text: str, columns: Sequence[str], dialect: str = "duckdb") -> str:
    """Return a canonical query whose outermost ORDER BY ends with all output columns, by position.

    `columns` are the output columns. An unordered query is returned unchanged, and so is one whose order is total
    already. The result is canonical, and the function is idempotent.
    """
    grammar = DIALECTS[dialect].load_grammar()
    with deep_recursion():
        tree = parse(text, grammar)[0]
        order: exp.Order = tree.args.get("order") or exp.Order(expressions=[])
        limit = tree.args.get("limit")
        options = limit.args.get("limit_options") if limit else None
        # ties of the last row are returned too: a total order would return fewer
        keeps_ties = bool(options and options.args.get("with_ties"))
        missing = _missing(order, columns) if is_ordered(tree) and not keeps_ties else []
        if not missing:
            return text
        first = grammar.NULL_ORDERING == "nulls_are_small"
        for position in missing:
            order.append("expressions", exp.Ordered(this=exp.Literal.number(position), nulls_first=first))
        steady = canonical(tree, grammar)
    return steady.text if steady else text


def is_ordered(tree: exp.Expr) -> bool:
    """Tell whether the outermost query has an ORDER BY that can be made total.

    Under a collation unequal texts may tie, and a column keeps its collation: comparing columns cannot break such ties.
    """
    return bool(tree.args.get("order")) and tree.find(exp.Collate) is None


def _missing(order: exp.Order, columns: Sequence[str]) -> list[int]:
    """Return the positions (from 1) of the output columns that are not plain keys of the ORDER BY."""
    keys = [ordered.this for ordered in order.expressions]
    if any(isinstance(key, (exp.Var, exp.All)) and key.name.upper() in ("ALL", "") for key in keys):
        return []
    folded = [name.lower() for name in columns]
    covered = {_position(key, folded) for key in keys}
    return [position for position in range(1, len(columns) + 1) if position not in covered]


def _position(key: exp.Expr, columns: list[str]) -> int:
    """Return the position of the column that a key refers to, by number or unique name; else 0."""
    if _is_position(key):
        return int(key.name)
    is_bare = isinstance(key, exp.Column) and not key.table
    return columns.index(key.name.lower()) + 1 if is_bare and columns.count(key.name.lower()) == 1 else 0


def written_order(tree: exp.Expr, columns: Sequence[str]) -> list[exp.Expr]:
    """Return the outermost ORDER BY keys without those that `with_total_order` added."""
    order = tree.args.get("order")
    keys: list[exp.Expr] = list(order.expressions) if order else []
    for count in range(1, len(keys)):
        rest = [int(each.this.name) if _is_position(each.this) else 0 for each in keys[count:]]
        if rest == _missing(exp.Order(expressions=[each.copy() for each in keys[:count]]), columns):
            return keys[:count]
    return keys


def _is_position(key: exp.Expr) -> bool:
    return isinstance(key, exp.Literal) and bool(key.is_int)
