"""Name resolution in a SQL tree: what WITH and FROM name, and which queries a name can be resolved in.

The check, the lineage, the lint, the binder and the read-back all use it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    Catalogue = Mapping[str, Collection[str] | None]

    Ctes = Mapping[str, exp.CTE]
    """The CTEs in scope at one place, by folded name."""

QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
Names = frozenset[str]

_OF_EVERY_TABLE = frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"})
_OF_FUNCTIONS = {
    "json_each": ("key", "value"), "json_each_text": ("key", "value"),
    "jsonb_each": ("key", "value"), "jsonb_each_text": ("key", "value"),
    "json_array_elements": ("value",), "json_array_elements_text": ("value",),
    "jsonb_array_elements": ("value",), "jsonb_array_elements_text": ("value",),
}  # fmt: skip
_PASSING = (exp.Bracket, exp.Cast, exp.Collate, exp.Filter, exp.Paren, exp.Window, exp.WithinGroup)
"""Nodes through which a column keeps its name."""
_FUNCTIONS = (exp.Anonymous, exp.JSONTable, exp.Unnest)


class Folding(Protocol):
    """The part of a dialect that name resolution needs: implemented in `osiris.sql.safety.dialects`."""

    @property
    def traits(self) -> Collection[str]:
        """Traits of the dialect's server."""

    def fold(self, name: exp.Expr) -> str:
        """Return a name as the server folds it."""

    def call_of(self, call: exp.Anonymous) -> str:
        """Return the name of the function that a call means."""


class Source(NamedTuple):
    """One item of FROM: its `node`, and either a `relation`, a `function`, or a `query` (of its `cte`, if it has one).

    `columns` are new names of its first columns. A join in parentheses counts as a query too.
    """

    node: exp.Expr
    columns: tuple[str, ...] = ()
    relation: exp.Table | None = None
    function: exp.Expr | None = None
    query: exp.Expr | None = None
    cte: exp.CTE | None = None

    @property
    def is_joined(self) -> bool:
        """Tell whether other items are joined to this one inside it."""
        return any(self.node.args.get(key) for key in ("joins", "laterals", "pivots"))

    @property
    def is_recursive(self) -> bool:
        """Tell whether it is a CTE that may read itself."""
        return bool(self.cte and self.cte.parent and self.cte.parent.args.get("recursive"))


class TableNames:
    """Which tables of a tree are CTEs, resolved in one pass. Names are folded as the dialect folds them.

    `reads` are the tables in each CTE's body, by its `id`, and those outside all CTEs (0), in the order of the text; a
    WITH comes after all that it applies to. `used` and `repeats` are the `id` of CTEs that are read, and that read
    themselves. `met` is called with each table that is no CTE, and with the CTEs in scope there.
    """

    def __init__(self, tree: exp.Expr, dialect: Folding, met: Callable[[exp.Table, Ctes], None] | None = None) -> None:
        self.dialect = dialect
        self.reads: dict[int, list[exp.Table | exp.With]] = {0: []}
        self.used: set[int] = set()
        self.repeats: set[int] = set()
        self._tree = tree  # or the ids would be those of others
        self._met = met
        self._ctes: dict[int, exp.CTE] = {}
        self._itself: dict[int, exp.CTE] = {}
        self._ahead: dict[int, exp.CTE] = {}
        self._repeated: dict[int, exp.CTE] = {}
        self._open: set[int] = set()
        self._visit(tree, {}, {}, self.reads[0])

    def cte(self, table: exp.Expr) -> exp.CTE | None:
        """Return the preceding CTE that a table refers to; None for a relation, and for a recursive self-reference."""
        return self._ctes.get(id(table))

    def itself(self, table: exp.Expr) -> exp.CTE | None:
        """Return the recursive CTE that a table in its recursive part refers to."""
        return self._itself.get(id(table))

    def possible_cte(self, table: exp.Expr) -> exp.CTE | None:
        """Return the nearest CTE that a server could resolve a table to: WITH RECURSIVE also sees later CTEs."""
        return self._ahead.get(id(table)) or self.cte(table) or self.itself(table)

    def source(self, node: exp.Expr) -> Source:
        """Return what an item of FROM refers to."""
        columns, inner = _names(node.args.get("alias")), _inner(node)
        if isinstance(inner, _FUNCTIONS):
            return Source(node, columns, function=inner)
        if not isinstance(node, exp.Table) or not isinstance(inner, exp.Identifier):
            return Source(node, columns, query=inner)
        cte = self.cte(node)
        if cte is None:
            return Source(node, columns, relation=node)
        return Source(node, columns_of(cte, columns), query=cte.this, cte=cte)

    def _visit(self, node: exp.Expr, ctes: Ctes, ahead: Ctes, reads: list[exp.Table | exp.With]) -> None:
        if id(node) in self._repeated:
            itself = self._repeated[id(node)]
            ctes = {**ctes, self._name_of(itself): itself}
        with_ = node.args.get("with_")
        if isinstance(with_, exp.With):  # of some nodes it is a flag
            ctes, ahead = self._with(with_, ctes, ahead)
        if isinstance(node, exp.Table) and node.this and not isinstance(node.this, (exp.Anonymous, exp.JSONTable)):
            self._table(node, ctes, ahead)
            reads.append(node)
        for child in node.iter_expressions():
            if child is not with_:
                self._visit(child, ctes, ahead, reads)
        if isinstance(with_, exp.With):
            reads.append(with_)

    def _with(self, node: exp.With, ctes: Ctes, ahead: Ctes) -> tuple[Ctes, Ctes]:
        """Return the CTEs in scope below a WITH, and those that a server might also see."""
        recursive, inner = bool(node.args.get("recursive")), dict(ctes)
        possible = dict(ahead) if recursive or ahead is not ctes else inner
        if recursive:
            possible.update((self._name_of(cte), cte) for cte in node.expressions)
        for cte in node.expressions:
            if recursive:
                self._repeated.update((id(part), cte) for part in _repeated_parts(cte.this, self.dialect))
            self._open.add(id(cte))
            self._visit(cte.this, inner, possible, self.reads.setdefault(id(cte), []))
            self._open.remove(id(cte))
            inner[self._name_of(cte)] = cte
            if not recursive:
                possible[self._name_of(cte)] = cte
        return inner, possible

    def _table(self, node: exp.Table, ctes: Ctes, ahead: Ctes) -> None:
        name = "" if node.args.get("db") else folded_name(node, self.dialect)
        cte, possible = ctes.get(name), ahead.get(name)
        if possible is not None and possible is not cte:
            self._ahead[id(node)] = possible
        if cte is None:
            if self._met:
                self._met(node, ctes)
        elif id(cte) in self._open:
            self._itself[id(node)] = cte
            self.repeats.add(id(cte))
        else:
            self._ctes[id(node)] = cte
            self.used.add(id(cte))

    def _name_of(self, cte: exp.Expr) -> str:
        return self.dialect.fold(cte.args["alias"].this)


def _repeated_parts(query: exp.Expr, dialect: Folding) -> Iterator[exp.Expr]:
    """Yield the parts of a recursive CTE that may refer to itself; elsewhere its name is a table's, or a file's."""
    while isinstance(query, exp.Subquery):
        query = query.this
    while isinstance(query, exp.Union) and not query.args.get("by_name"):
        yield query.expression
        if "several recursive parts" not in dialect.traits:
            return
        query = query.this


def folded_name(table: exp.Table, dialect: Folding) -> str:
    """Return the folded name of a table, with its schema."""
    return ".".join(dialect.fold(part) for part in table.parts)


def columns_of(cte: exp.CTE, columns: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the column names of a CTE: those that its reader gives the first ones, then those of its WITH."""
    return columns + _names(cte.args["alias"])[len(columns) :]


def _names(alias: exp.Expr | None) -> tuple[str, ...]:
    return tuple(each.name for each in alias.args.get("columns") or ()) if alias else ()


def reads_itself(cte: exp.Expr) -> bool:
    """Tell whether the query of a CTE reads something by its name."""
    return any(table.name.lower() == cte.alias.lower() for table in cte.this.find_all(exp.Table))


def from_items(select: exp.Expr) -> list[exp.Expr]:
    """Return the items of the FROM of a SELECT, including joined ones."""
    first = select.args.get("from_")
    return [each.this for each in (*([first] if first else ()), *(select.args.get("joins") or ()))]


class JoinWords(NamedTuple):
    """The words of a join in upper case: `SEMI`, `ANTI`, `CROSS`; `LEFT`, `RIGHT`, `FULL`; `NATURAL`, `ASOF`, …."""

    kind: str
    side: str
    method: str

    @property
    def only_filters(self) -> bool:
        """Tell whether the columns of the joined item stay out of the result."""
        return self.kind in ("SEMI", "ANTI")


def join_words(join: exp.Expr) -> JoinWords:
    """Return the words of a join, empty ones where they are not written."""
    return JoinWords(*(str(join.args.get(key) or "").upper() for key in ("kind", "side", "method")))


def all_items(query: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the items of the FROM of a query, those of joins in parentheses too."""
    first = query.args.get("from_")
    if first:
        yield from _joined(first.this)
    elif isinstance(query, exp.Subquery) and not isinstance(query.this, QUERIES):
        yield from _joined(query.this)
    yield from _joins(query)


def _joined(node: exp.Expr) -> Iterator[exp.Expr]:
    yield node
    unnamed = isinstance(node, (exp.Subquery, exp.Paren)) and not node.alias
    if unnamed and not isinstance(node.this, QUERIES):
        yield from _joined(node.this)
    yield from _joins(node)


def _joins(node: exp.Expr) -> Iterator[exp.Expr]:
    for key in ("laterals", "joins"):
        for each in node.args.get(key) or ():
            yield from _joined(each.this if isinstance(each, exp.Join) else each)


def nodes_of(tree: exp.Expr) -> list[exp.Expr]:
    """Return a node and all nodes inside, outer ones first, as `walk` does."""
    nodes = [tree]
    for node in nodes:
        for value in node.args.values():
            if type(value) is list:
                nodes += [each for each in value if isinstance(each, exp.Expr)]
            elif isinstance(value, exp.Expr):
                nodes.append(value)
    return nodes


def ancestors(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield a node and its ancestors, inner ones first."""
    here: exp.Expr | None = node
    while here is not None:
        yield here
        here = here.parent


def queries_around(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the queries whose FROM is visible to a node, inner ones first."""
    return (each for each in ancestors(node) if isinstance(each, (exp.Select, exp.Subquery)))


def leaves(query: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the queries that a set operation is made of, however deep, and any other query itself."""
    waiting = [query]
    while waiting:
        inner = waiting.pop().unnest()
        if isinstance(inner, exp.SetOperation):
            waiting += (inner.expression, inner.this)
        else:
            yield inner


@dataclass(slots=True)
class ColumnNames:
    """Resolves column names in one tree. A set of names that is None is unknown.

    `catalogue` maps relations to their columns, None where unknown.
    """

    names: TableNames
    catalogue: Catalogue
    _known: dict[int, Names | None] = field(default_factory=dict)

    @property
    def dialect(self) -> Folding:
        """Return the dialect of the tree."""
        return self.names.dialect

    def is_row(self, column: exp.Expr) -> bool:
        """Tell whether a name refers to a whole row of an item of FROM."""
        if isinstance(column.this, exp.Star):
            return bool(column.args.get("table")) and not isinstance(column.parent, exp.Select)
        return not column.args.get("table") and self._is_item(column)

    def _is_item(self, column: exp.Expr) -> bool:
        """Tell whether a bare name is that of an item of FROM, and of no known column."""
        name = self.dialect.fold(column.this)
        sources = [*chain.from_iterable(map(all_items, queries_around(column)))]
        if any(name in (self.columns(source) or ()) for source in sources):
            return False
        matches = (each for each in sources if name == self.alias_of(each))
        item = next((each for each in matches if not isinstance(_inner(each), (exp.Anonymous, exp.Unnest))), None)
        return item is not None and (bool(item.alias) or self.columns(item) is not None)

    def source_of(self, column: exp.Expr) -> exp.Expr | None:
        """Return the nearest item of FROM that a column's qualifier names."""
        name = self.dialect.fold(column.args["table"])
        for query in queries_around(column):
            for source in all_items(query):
                if name == self.alias_of(source):
                    return source
        return None

    def of_source(self, column: exp.Expr) -> Names | None:
        """Return the column names of the item that a column's qualifier names."""
        source = self.source_of(column)
        return None if source is None else self.columns(source)

    def alias_of(self, source: exp.Expr) -> str | None:
        """Return the name that an item of FROM has in its query, if it has one."""
        alias = source.args.get("alias")
        if alias and alias.this:
            return self.dialect.fold(alias.this)
        inner = _inner(source)
        if isinstance(inner, exp.Anonymous):
            return self.dialect.call_of(inner)
        if isinstance(inner, exp.Unnest):
            return "unnest"
        return self.dialect.fold(inner) if isinstance(inner, exp.Identifier) else None

    def columns(self, source: exp.Expr) -> Names | None:
        """Return the names of the columns of an item of FROM."""
        alias = source.args.get("alias")
        inner = source.this if isinstance(source, exp.Lateral) else source
        base, offset = self._own_columns(source), inner.args.get("offset")
        renamed = [*(alias.columns if alias else ()), *([offset] if isinstance(offset, exp.Identifier) else ())]
        names = (each.this if isinstance(each, exp.ColumnDef) else each for each in renamed)
        return None if base is None else base.union(map(self.dialect.fold, names))

    def _own_columns(self, source: exp.Expr) -> Names | None:
        if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier):
            return self._of_name(source)
        inner = source.this if isinstance(source, (exp.Table, exp.Lateral, exp.Subquery)) else source
        if isinstance(inner, exp.JSONTable):
            return None
        if isinstance(inner, (exp.Anonymous, exp.Unnest)):
            name = self.dialect.call_of(inner) if isinstance(inner, exp.Anonymous) else "unnest"
            return frozenset({*_OF_FUNCTIONS.get(name, (name, self.alias_of(source) or name)), "ordinality"})
        return self.outputs(inner) if isinstance(inner, QUERIES) else self._of_join(inner)

    def _of_join(self, joined: exp.Expr) -> Names | None:
        return union_names(self.columns(each) for each in _joined(joined))

    def _of_name(self, table: exp.Table) -> Names | None:
        """Return the columns of a CTE or a relation."""
        cte = self.names.possible_cte(table)
        if cte is not None:
            outputs = self.outputs(cte.this)
            return None if outputs is None else outputs.union(map(self.dialect.fold, cte.args["alias"].columns))
        columns = self.catalogue.get(folded_name(table, self.dialect))
        return None if columns is None else _OF_EVERY_TABLE.union(columns)

    def outputs(self, query: exp.Expr) -> Names | None:
        """Return the possible names of a query's columns; several for one without an alias."""
        if id(query) not in self._known:
            self._known[id(query)] = frozenset()  # a recursive CTE comes back to itself
            self._known[id(query)] = self._outputs(query)
        return self._known[id(query)]

    def _outputs(self, query: exp.Expr) -> Names | None:
        if isinstance(query, (exp.SetOperation, exp.Subquery)):
            return self.outputs(query.this) if isinstance(query.this, QUERIES) else self._of_join(query.this)
        if isinstance(query, exp.Values):
            if "named by their text" in self.dialect.traits:
                return None
            return frozenset(f"column{place}" for place in range(1, len(query.expressions[0].expressions) + 1))
        return union_names(self._output(each, query) for each in query.expressions)

    def _output(self, node: exp.Expr, query: exp.Expr) -> Names | None:
        if isinstance(node, exp.Alias):
            return frozenset({self.dialect.fold(node.args["alias"])})
        star = node.this if isinstance(node, exp.Column) else node
        if isinstance(star, exp.Star):
            source = self.source_of(node) if star is not node else None
            return union_names(self.columns(each) for each in ([source] if source is not None else all_items(query)))
        if isinstance(node, exp.Column):
            return frozenset({self.dialect.fold(node.this)})
        return None if "named by their text" in self.dialect.traits else frozenset(self._made_up(node))

    def _made_up(self, node: exp.Expr) -> Iterator[str]:
        """Yield the names that the server may generate for a column: a function's, a type's, or one inside it."""
        yield node.key
        if isinstance(node, exp.Anonymous):
            yield self.dialect.call_of(node)
        elif isinstance(node, exp.Func):
            yield node.sql_name().lower()
        if isinstance(node, exp.Column):
            yield self.dialect.fold(node.this)
        elif isinstance(node, QUERIES):
            yield from self.outputs(node) or ()
        elif isinstance(node, _PASSING):
            yield from self._made_up(node.this)
        elif isinstance(node, exp.Case) and node.args.get("default"):
            yield from self._made_up(node.args["default"])


def _inner(source: exp.Expr) -> exp.Expr:
    """Return what an item of FROM is without its alias."""
    inner: exp.Expr = source.this if isinstance(source, (exp.Table, exp.Lateral)) else source
    return inner


def union_names(several: Iterable[Names | None]) -> Names | None:
    """Return the union of sets of names, None if one of them is unknown."""
    names = [*several]
    return None if None in names else frozenset().union(*filter(None, names))


def standalone(query: exp.Expr, place: exp.Expr) -> exp.Expr:
    """Return a query as a separate statement, with all CTEs visible where it was."""
    here = place
    while here.parent is not None:
        child, here = here, here.parent
        if isinstance(here, exp.With):
            recursive = bool(here.args.get("recursive"))
            ctes = here.expressions[: (child.index or 0) + recursive]
        elif here.args.get("with_") and child.arg_key != "with_":
            ctes, recursive = here.args["with_"].expressions, bool(here.args["with_"].args.get("recursive"))
        else:
            continue
        if ctes:
            source = exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("_part")))
            with_ = exp.With(expressions=[cte.copy() for cte in ctes], recursive=recursive)
            query = exp.Select(expressions=[exp.Star()], from_=exp.From(this=source), with_=with_)
    return query
