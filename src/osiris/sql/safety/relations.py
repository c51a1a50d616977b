"""Which relations a tree reads, and how often: the scopes of WITH, and the tables behind them.

An input of a step is a stream that can be read once, so the count is never too low: a CTE that is used twice counts
its tables twice, and the part of a recursive CTE that refers to itself counts them once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.errors import diagnostic, did_you_mean
from osiris.sql.safety.dialects import any_case, lower
from osiris.sql.safety.text import place
from osiris.sql.safety.tree import offset_of, parse, write

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from osiris.errors import Diagnostic
    from osiris.sql.safety.dialects import Dialect

Reads = Counter[str]


@dataclass(slots=True)
class _Named:
    """A CTE in sight: what one use of it reads, and whether anybody used it."""

    reads: Reads
    used: bool = False


Scope = Mapping[str, _Named]


@dataclass(slots=True)
class _Reader:
    """Walks one tree; `names` maps folded names to their declared spelling, None when any plain name will do.

    `tables` gathers the nodes that name relations, which the names of CTEs are not. `repeating` adds to what is in
    sight in the parts of recursive CTEs that are repeated.
    """

    sql: str
    dialect: Dialect
    names: Mapping[str, str] | None
    problems: list[Diagnostic] = field(default_factory=list)
    tables: list[exp.Table] = field(default_factory=list)
    repeating: dict[int, Scope] = field(default_factory=dict)

    def read(self, node: exp.Expr, scope: Scope) -> Reads:
        """Return the reads of a node, with the CTEs of `scope` in sight; one that nobody uses is read once."""
        total: Reads = Counter()
        added: list[_Named] = []
        if id(node) in self.repeating:
            scope = {**scope, **self.repeating[id(node)]}
        ctes = node.args.get("with_")
        if isinstance(ctes, exp.With):  # of some nodes it is a flag
            scope, added = self._with(ctes, scope)
        if isinstance(node, exp.Table) and node.this and not isinstance(node.this, (exp.Anonymous, exp.JSONTable)):
            total += self._table(node, scope)
        for child in node.iter_expressions():
            if child is not ctes:
                total += self.read(child, scope)
        for cte in added:
            total += Counter() if cte.used else cte.reads
        return total

    def _with(self, node: exp.With, scope: Scope) -> tuple[Scope, list[_Named]]:
        """Return the scope below a WITH, and what it adds."""
        inner, added = dict(scope), []
        for cte in node.expressions:
            named = self._cte(cte, inner, recursive=bool(node.args.get("recursive")))
            inner[self._name_of(cte)] = named
            added.append(named)
        return inner, added

    def _cte(self, cte: exp.CTE, scope: Scope, *, recursive: bool) -> _Named:
        itself = _Named(Counter())
        for part in _repeated(cte.this, self.dialect) if recursive else ():
            self.repeating[id(part)] = {self._name_of(cte): itself}
        body = self.read(cte.this, scope)
        return _Named(Counter({name: count * 2 for name, count in body.items()}) if itself.used else body)

    def _name_of(self, cte: exp.CTE) -> str:
        return self.dialect.fold(cte.args["alias"].this)

    def _table(self, node: exp.Table, scope: Scope) -> Reads:
        shown, folded = spelling(node), ".".join(self.dialect.fold(part) for part in node.parts)
        if folded in scope and not node.args.get("db"):
            scope[folded].used = True
            return scope[folded].reads
        if self._is_nameless(node):
            return Counter()
        if self._problem(node, folded, scope):
            known, offset = (*scope, *(self.names or {}).values()), offset_of(node)
            found = diagnostic("SQL006", at=place(self.sql, offset), name=shown, hint=did_you_mean(shown, known))
            self.problems.append(found)
            return Counter()
        self.tables.append(node)
        return Counter([self.names[folded] if self.names is not None else folded])

    def _is_nameless(self, node: exp.Table) -> bool:
        return self.dialect.nameless is not None and bare_word(node) == self.dialect.nameless

    def _problem(self, node: exp.Table, folded: str, scope: Scope) -> bool:
        schema = node.args.get("db")
        if node.args.get("catalog") or not isinstance(node.this, exp.Identifier):
            return True
        if schema and not self._is_open(schema):
            return True
        if not node.this.quoted and node.name.upper() in self.dialect.statements:
            return True
        if "exact names" in self.dialect.traits and folded.lower() in {name.lower() for name in scope}:
            return True  # a CTE on one server, a table on another
        if self.names is not None and folded not in self.names:
            return True
        return self._is_foreign(node)

    def _is_open(self, schema: exp.Expr) -> bool:
        """Tell whether a schema may be named, and is none of the server's own."""
        named = "qualified names" in self.dialect.traits and isinstance(schema, exp.Identifier)
        return named and not any_case(schema.name).startswith(self.dialect.system_schemas)

    def _is_foreign(self, node: exp.Table) -> bool:
        """Tell whether a name is a path or one of the server's own relations; an input of a step may be named so."""
        if self.names is not None and "qualified names" not in self.dialect.traits:
            return False
        system = not node.args.get("db") and any_case(node.name).startswith(self.dialect.system_tables)
        return system or any(self.dialect.path_like & set(part.name) for part in node.parts)


def _repeated(query: exp.Expr, dialect: Dialect) -> Iterator[exp.Expr]:
    """Yield the parts of a recursive CTE that may refer to itself; elsewhere its name is that of a table, or a file."""
    while isinstance(query, exp.Subquery):
        query = query.this
    while isinstance(query, exp.Union) and not query.args.get("by_name"):
        yield query.expression
        if "several recursive parts" not in dialect.traits:
            return
        query = query.this


def spelling(table: exp.Expr) -> str:
    """Return the name of a table as it is written, with its schema."""
    return ".".join(table.text(part) for part in ("catalog", "db", "this") if table.args.get(part))


def bare_word(table: exp.Table) -> str | None:
    """Return the bare word that a table is, in lower case; None for one that is quoted or has a schema."""
    bare = isinstance(table.this, exp.Identifier) and not table.this.quoted and not table.args.get("db")
    return table.name.lower() if bare else None


def count_reads(
    tree: exp.Expr, sql: str, dialect: Dialect, relations: Collection[str] | None
) -> tuple[dict[str, int], list[Diagnostic]]:
    """Return how often each relation is read, and a diagnostic for each that may not be."""
    exact = "qualified names" in dialect.traits
    names = None if relations is None else {name if exact else lower(name): name for name in relations}
    reader = _Reader(sql, dialect, names)
    return dict(reader.read(tree, {})), reader.problems


def qualify(text: str, dialect: Dialect, schema: str, functions: Mapping[str, str]) -> str:
    """Return a canonical statement in which relations and the user's functions are named with their schema.

    So the statement means the same on the server whatever its search path is. `schema` is that of relations that are
    named without one. `functions` maps functions, named as `Dialect.call_of` names them, to their schemas.
    """
    grammar = dialect.load_grammar()
    (tree,) = parse(text, grammar)
    reader = _Reader(text, dialect, None)
    reader.read(tree, {})
    for table in reader.tables:
        if not table.args.get("db"):
            table.set("db", exp.to_identifier(schema, quoted=True))
    for call in list(tree.find_all(exp.Anonymous)):
        home = functions.get(dialect.call_of(call))
        if home is not None:
            call.replace(exp.Dot(this=exp.to_identifier(home, quoted=True), expression=call.copy()))
    return write(tree, grammar)


def keeps_order(tree: exp.Expr, aggregates: frozenset[str]) -> bool:
    """Tell whether a query only filters, computes and cuts rows of at most one relation, so that their order stays."""
    if isinstance(tree, exp.Subquery):
        return not tree.args.get("joins") and keeps_order(tree.this, aggregates)
    if isinstance(tree, exp.Values):
        return True
    if not isinstance(tree, exp.Select) or any(tree.args.get(key) for key in _MIXING):
        return False
    source = tree.args.get("from_")
    outside = [child for child in tree.iter_expressions() if child is not source]
    if any(_mixes(node, aggregates) for child in outside for node in child.walk()):
        return False
    return source is None or _source_keeps_order(source.this, aggregates)


_MIXING = ("with_", "group", "having", "distinct", "qualify", "windows", "joins", "laterals", "order")


def _mixes(node: exp.Expr, aggregates: frozenset[str]) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in aggregates
    return isinstance(node, (exp.Window, exp.Select, exp.SetOperation))


def _source_keeps_order(source: exp.Expr, aggregates: frozenset[str]) -> bool:
    if isinstance(source, exp.Subquery):
        return keeps_order(source, aggregates)
    return isinstance(source, (exp.Table, exp.Values)) and not source.args.get("joins")
