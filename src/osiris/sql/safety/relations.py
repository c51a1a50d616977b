"""Which relations a tree reads, and how often; and which columns do not exist, or would be calls.

An input of a step is a stream that can be read once, so the count is never too low: a CTE that is used twice counts its
tables twice, and the recursive part of a CTE counts them once more.

If the columns of all relations in scope are known, every named column must exist. PostgreSQL reads `t.f` as a call of
the function `f` with a row of `t` if `t` has no column `f`; so every such name must be a column. Names of computed
columns are known anyway.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from osiris.errors import diagnostic, did_you_mean
from osiris.sql.safety.dialects import any_case, lower
from osiris.sql.safety.text import place
from osiris.sql.safety.tree import offset_of, parse, write
from osiris.sql.scope import ColumnNames, TableNames, all_items, ancestors, folded_name, queries_around, union_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from osiris.errors import Diagnostic
    from osiris.sql.safety.dialects import Dialect
    from osiris.sql.scope import Catalogue, Folding, Names

Reads = Counter[str]


_OF_ROWS = frozenset({
    "count", "json_agg", "json_build_array", "json_build_object", "json_object_agg", "jsonb_agg", "jsonb_build_array",
    "jsonb_build_object", "jsonb_object_agg", "num_nonnulls", "num_nulls", "pg_column_size", "row_to_json", "to_json",
    "to_jsonb",
})  # fmt: skip
"""Functions that accept any row, and return none."""
_WITH_UNIT = frozenset({"get_format", "timestampadd", "timestampdiff"})


@dataclass(slots=True)
class _Relations:
    """Judges the tables that are no CTEs; `names` maps folded names to their declared spelling, None allows any plain
    one.

    `tables` are those that name relations, `spelled` the spelling of each by its `id`.
    """

    sql: str
    dialect: Dialect
    names: Mapping[str, str] | None
    problems: list[Diagnostic] = field(default_factory=list)
    tables: list[exp.Table] = field(default_factory=list)
    spelled: dict[int, str] = field(default_factory=dict)

    def judge(self, node: exp.Table, ctes: Collection[str]) -> None:
        """Add a table to the relations, or a problem if it may not be read; `ctes` are in scope there."""
        is_bare = isinstance(node.this, exp.Identifier) and not node.this.quoted and not node.args.get("db")
        if is_bare and node.name.lower() == self.dialect.nameless:
            return
        folded = folded_name(node, self.dialect)
        if self._is_refused(node, folded, ctes):
            name, available = spelling(node), (*ctes, *(self.names or {}).values())
            at = place(self.sql, offset_of(node))
            self.problems.append(diagnostic("SQL006", at=at, name=name, hint=did_you_mean(name, available)))
            return
        self.tables.append(node)
        self.spelled[id(node)] = folded if self.names is None else self.names[folded]

    def _is_refused(self, node: exp.Table, folded: str, ctes: Collection[str]) -> bool:
        schema = node.args.get("db")
        if node.args.get("catalog") or not isinstance(node.this, exp.Identifier):
            return True
        if schema and not self._is_open(schema):
            return True
        if not node.this.quoted and node.name.upper() in self.dialect.statements:
            return True
        is_unknown = self.names is not None and folded not in self.names
        return self._is_cte_elsewhere(folded, ctes) or is_unknown or self._is_foreign(node)

    def _is_cte_elsewhere(self, folded: str, ctes: Collection[str]) -> bool:
        """Tell whether a name is a CTE on one server, and a table on another."""
        return "exact names" in self.dialect.traits and folded.lower() in map(str.lower, ctes)

    def _is_open(self, schema: exp.Expr) -> bool:
        """Tell whether a schema may be named, and is no system schema."""
        is_qualified = "qualified names" in self.dialect.traits and isinstance(schema, exp.Identifier)
        return is_qualified and not any_case(schema.name).startswith(self.dialect.system_schemas)

    def _is_foreign(self, node: exp.Table) -> bool:
        """Tell whether a name is a path or a system relation; an input of a step may have such a name."""
        if self.names is not None and "qualified names" not in self.dialect.traits:
            return False
        system = not node.args.get("db") and any_case(node.name).startswith(self.dialect.system_tables)
        return system or any(self.dialect.path_like & set(part.name) for part in node.parts)


@dataclass(slots=True)
class _Counter:
    """Counts the reads of relations; each CTE as often as it is read, or once if it is unused."""

    names: TableNames
    spelled: Mapping[int, str]
    _of_ctes: dict[int, Reads] = field(default_factory=dict)

    def count(self, body: int = 0) -> Reads:
        """Return the reads of the body of a CTE, by its `id`; 0 for those outside all CTEs."""
        total: Reads = Counter()
        for each in self.names.reads[body]:
            if isinstance(each, exp.With):
                for cte in each.expressions:
                    total += self._of_cte(cte) if id(cte) not in self.names.used else Counter()
            elif cte := self.names.cte(each):
                total += self._of_cte(cte)
            elif id(each) in self.spelled:
                total[self.spelled[id(each)]] += 1
        return total

    def _of_cte(self, cte: exp.Expr) -> Reads:
        if id(cte) not in self._of_ctes:
            counts = self.count(id(cte))
            times = 2 if id(cte) in self.names.repeats else 1
            self._of_ctes[id(cte)] = Counter({name: count * times for name, count in counts.items()})
        return self._of_ctes[id(cte)]


def spelling(table: exp.Expr) -> str:
    """Return the name of a table as written, with its schema."""
    return ".".join(table.text(part) for part in ("catalog", "db", "this") if table.args.get(part))


def count_reads(
    tree: exp.Expr, sql: str, dialect: Dialect, relations: Collection[str] | None
) -> tuple[dict[str, int], list[Diagnostic], TableNames]:
    """Return how often each relation is read, a diagnostic for each that may not be, and the resolved table names."""
    exact = "qualified names" in dialect.traits
    declared = None if relations is None else {name if exact else lower(name): name for name in relations}
    relations_read = _Relations(sql, dialect, declared)
    names = TableNames(tree, dialect, relations_read.judge)
    return dict(_Counter(names, relations_read.spelled).count()), relations_read.problems, names


def qualify(text: str, dialect: Dialect, schema: str, functions: Mapping[str, str]) -> str:
    """Return a canonical statement in which relations and the user's functions are qualified by schema.

    So its meaning does not depend on the server's search path. `schema` is that of unqualified relations. `functions`
    maps functions, as `Dialect.call_of` names them, to their schemas.
    """
    grammar = dialect.load_grammar()
    (tree,) = parse(text, grammar)
    relations = _Relations(text, dialect, None)
    TableNames(tree, dialect, relations.judge)
    for table in relations.tables:
        if not table.args.get("db"):
            table.set("db", exp.to_identifier(schema, quoted=True))
    for call in list(tree.find_all(exp.Anonymous)):
        home = functions.get(dialect.call_of(call))
        if home is not None:
            call.replace(exp.Dot(this=exp.to_identifier(home, quoted=True), expression=call.copy()))
    return write(tree, grammar)


def unknown_members(tree: exp.Expr, sql: str, names: TableNames, catalogue: Catalogue) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each `t.f` that may be no column, and for each whole row passed to other functions.

    `catalogue` maps relations to their columns, None where unknown: columns of those are not checked.
    """
    members = ColumnNames(names, catalogue)
    for node in tree.find_all(exp.Column):
        at = place(sql, offset_of(node))
        if members.is_row(node):
            if not _keeps_row(node, names.dialect):
                problem = f"'{node.table or node.name}' is a whole row here, for which anybody may have made a function"
                yield diagnostic("SQL009", at=at, problem=problem, hint="name its columns, or write to_jsonb(…)")
        elif node.args.get("table") and not isinstance(node.this, exp.Star):
            source = members.source_of(node)
            columns = members.columns(source) if source is not None else frozenset()
            if columns is not None and names.dialect.fold(node.this) not in columns:
                problem = f"'{node.table}' has no column '{node.name}' here"
                yield diagnostic("SQL009", at=at, problem=problem, hint=did_you_mean(node.name, columns))


def _keeps_row(node: exp.Expr, dialect: Folding) -> bool:
    """Tell whether a whole row is only passed to built-in functions, or is an output."""
    around, inside = node.parent, node
    while isinstance(around, (exp.Alias, exp.Distinct, exp.Order, exp.Ordered, exp.Paren)) and around.parent:
        around, inside = around.parent, around
    if isinstance(around, exp.Anonymous):
        return dialect.call_of(around) in _OF_ROWS
    if isinstance(around, exp.Cast):
        return around.to.this in (exp.DType.TEXT, exp.DType.VARCHAR)
    if isinstance(around, exp.Select):
        outermost: exp.Expr = around
        while isinstance(outermost.parent, (exp.SetOperation, exp.Subquery)) and not outermost.parent.alias:
            outermost = outermost.parent
        is_given_on = inside.arg_key == "expressions" and outermost.parent is not None
        return not is_given_on or isinstance(node.this, exp.Star)
    return isinstance(around, (exp.EQ, exp.Group, exp.Is, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Window))


def unknown_columns(tree: exp.Expr, sql: str, names: TableNames, catalogue: Catalogue) -> Iterator[Diagnostic]:
    """Yield a diagnostic (SQL009) for each name that is no column of a visible relation.

    `catalogue` maps relations to their columns, None where unknown: those are not checked.
    """
    members = ColumnNames(names, catalogue)
    for node in tree.find_all(exp.Column):
        if isinstance(node.this, exp.Star) or node.args.get("db") or _is_other(node):
            continue
        columns = members.of_source(node) if node.args.get("table") else _in_scope(node, members)
        if columns is None or _has(columns, node.this, names.dialect):
            continue
        problem = f"there is no column '{node.name}' here"
        if node.table:
            problem = f"'{node.table}' has no column '{node.name}' here"
        hint = did_you_mean(node.name, columns)
        yield diagnostic("SQL009", at=place(sql, offset_of(node)), problem=problem, hint=hint)


def _has(columns: Names, name: exp.Expr, dialect: Folding) -> bool:
    """Tell whether a name is among columns; column names are case-insensitive even where relation names are exact."""
    is_exact = "exact names" in dialect.traits
    return name.name.lower() in map(str.lower, columns) if is_exact else dialect.fold(name) in columns


def _is_other(node: exp.Column) -> bool:
    """Tell whether a name is a unit of time, or may be a lambda parameter."""
    around = node.parent
    is_unit = isinstance(around, exp.Anonymous) and around.name.lower() in _WITH_UNIT and node.index == 0
    return is_unit or node.find_ancestor(exp.Lambda, exp.Comprehension) is not None


def _in_scope(node: exp.Expr, members: ColumnNames) -> Names | None:
    """Return every bare name visible at a node; None if not all are known."""
    names = [_named_in(query, members) for query in queries_around(node)]
    # in the ORDER BY of a set operation or parenthesized query, its outputs are visible
    behind = filter(None, (here.parent for here in ancestors(node) if here.arg_key == "order"))
    for each in behind:
        if isinstance(each, (exp.SetOperation, exp.Subquery)):
            names += [None if each.args.get("by_name") else members.outputs(each)]
    return union_names(names)


def _named_in(query: exp.Expr, members: ColumnNames) -> Names | None:
    """Return the bare names that a query makes visible inside; None if not all are known."""
    names: set[str] = set()
    for source in all_items(query):
        columns = members.columns(source)
        if columns is None or isinstance(source, exp.Lateral):
            return None
        names |= {*columns, members.alias_of(source) or ""}
    aliases = (each.args["alias"] for each in query.expressions if isinstance(each, exp.Alias))
    return frozenset(names.union(map(members.dialect.fold, aliases)))
