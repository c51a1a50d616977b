"""Whether a statement is row-wise: each output row depends on one row of the input with a cursor; the others are whole.

Then the output for all rows is that for the earlier rows together with that for the new ones. The input is read once,
so its rows take one path through the tree: from its name up to the statement, through CTEs that are read once. What is
on this path is held against lists of what is allowed. What is beside it reads only whole inputs, and may do anything,
but for one thing: an aggregate whose columns are all those of an outer query belongs to that query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from osiris.sql.safety.dialects import DIALECTS, load_allowed
from osiris.sql.safety.text import place
from osiris.sql.safety.tree import beginning_of, called, deep_recursion, parse
from osiris.sql.scope import TableNames, all_items, ancestors, folded_name, join_words, nodes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from osiris.errors import Location


class Problem(NamedTuple):
    """Why a statement is not row-wise: the place in its text (from 1), and a clause that names the reason."""

    place: Location
    reason: str


class RowWise(NamedTuple):
    """The answer for one statement: its first problem, if any, and whether it also reads inputs that are whole."""

    problem: Problem | None
    joins_whole: bool


_DIALECT = DIALECTS["duckdb"]

_PARTS: dict[type[exp.Expr], frozenset[str]] = {
    exp.CTE: frozenset({"this", "alias", "materialized"}),
    exp.From: frozenset({"this"}),
    exp.Join: frozenset({"this", "side", "kind", "method", "on", "using"}),
    exp.Select: frozenset({"expressions", "from_", "joins", "where", "order", "with_"}),
    exp.Subquery: frozenset({"this", "alias", "joins", "order", "with_"}),
    exp.Table: frozenset({"this", "alias", "joins"}),
}
"""The nodes on the path of the rows, and which parts they may have."""

_STEPS = {
    (exp.From, "this"), (exp.Join, "this"), (exp.Subquery, "this"), (exp.CTE, "this"),
    (exp.Select, "from_"), (exp.Select, "joins"), (exp.Table, "joins"), (exp.Subquery, "joins"),
}  # fmt: skip
"""Where a node on the path may be: the kind of its parent, and the part of it."""

_KINDS = """
Abs Add Alias All And Anonymous Any Array ArrayContainedBy ArrayContainsAll ArrayOverlaps AtTimeZone Between BitwiseAnd
BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift Boolean Bracket ByteString Case Cast Collate Column ColumnDef
Comprehension CurrentDate CurrentTime CurrentTimestamp DPipe DataType DataTypeParam Distance Div Dot EQ Escape Exists
Extract GT GTE Glob ILike Identifier If In IntDiv Interval IntervalSpan Is JSONExtract JSONExtractScalar Kwarg LT LTE
Lambda Like Literal Localtime Localtimestamp Map Mod Mul NEQ Neg Not Null NullSafeEQ NullSafeNEQ Or Order Ordered
Overlay Paren Placeholder Plus PositionalColumn Pow PropertyEQ RawString RegexpLike SimilarTo Slice Star StartsWith
StrPosition Struct Sub Substring ToMap Trim TryCast Tuple Unnest Var Where
"""
_VALUES = frozenset(_KINDS.split())
"""Kinds of node whose value depends on one row. Queries inside are beside the path."""

_ON_LEFT = ({"", "INNER", "OUTER", "CROSS", "SEMI", "ANTI"}, {"", "LEFT"}, {"", "ASOF", "NATURAL"})
_ON_RIGHT = ({"", "INNER", "OUTER", "CROSS"}, {"", "RIGHT"}, {"", "NATURAL"})
"""The words that a join may have (kind, side, method) with the rows on its left or on its right."""

_SEVERAL = frozenset({"grouping", "grouping_id", "reservoir_quantile"})
"""Functions of groups that are not listed as aggregates."""

_CLAUSES = {
    "distinct": ("DISTINCT", "compares rows with each other"),
    "group": ("GROUP BY", "puts rows together"),
    "having": ("HAVING", "puts rows together"),
    "limit": ("LIMIT", "counts rows"),
    "offset": ("OFFSET", "counts rows"),
    "qualify": ("QUALIFY", "compares rows with each other"),
    "windows": ("WINDOW", "compares rows with each other"),
}


def row_wise(sql: str, cursor: Collection[str]) -> RowWise:
    """Return whether a checked statement of DuckDB is row-wise in one of its inputs.

    `sql` is the canonical text of a verdict, and `cursor` are the folded names of the input whose rows are new ones
    only. All other relations are taken for inputs that are read whole.
    """
    with deep_recursion():
        tree = parse(sql, _DIALECT.load_grammar())[0]
        names = TableNames(tree, _DIALECT)
        tables = [node for node in nodes_of(tree) if isinstance(node, exp.Table) and _is_named(node)]
        relations = [each for each in tables if names.cte(each) is None and names.itself(each) is None]
        reads = [each for each in relations if folded_name(each, _DIALECT) in cursor]
        first = next(_problems(reads, tables, names, tree), None)
        problem = Problem(place(sql, _offset(*first[:2], sql)), first[2]) if first else None
        return RowWise(problem, len(relations) > len(reads))


_GATHERING: dict[type[exp.Expr], tuple[str, str]] = {
    exp.Distinct: _CLAUSES["distinct"],
    exp.Fetch: ("FETCH", "counts rows"),
    exp.Group: _CLAUSES["group"],
    exp.Limit: _CLAUSES["limit"],
    exp.Offset: _CLAUSES["offset"],
    exp.Qualify: _CLAUSES["qualify"],
    exp.SetOperation: ("", "compares rows with each other"),
    exp.TableSample: ("TABLESAMPLE", "leaves rows out"),
    exp.Window: ("OVER", "compares rows with each other"),
}
"""Nodes by which a row of a result depends on several rows."""


def gathering(sql: str, dialect: str) -> Problem | None:
    """Return where a checked query of a source lets a row depend on several rows, and how; None if nowhere.

    Such a row would change with new rows, but the rows read before stay as they were. `sql` is the canonical text.
    """
    aggregates = load_allowed(DIALECTS[dialect]).aggregates | _SEVERAL
    with deep_recursion():
        tree = parse(sql, DIALECTS[dialect].load_grammar())[0]
        for node in nodes_of(tree):
            if called(node) in aggregates:
                return Problem(place(sql, _offset(node, "", sql)), f"{called(node)}() puts rows together")
            for kind, (word, reason) in _GATHERING.items():
                if isinstance(node, kind):
                    return Problem(place(sql, _offset(node, word, sql)), f"{word or called(node)} {reason}")
    return None


_Reason = tuple[exp.Expr, str, str]
"""A node, the word that introduces it (or nothing), and the reason."""


def _is_named(table: exp.Expr) -> bool:
    return isinstance(table.this, exp.Identifier)


def _offset(node: exp.Expr, word: str, sql: str) -> int | None:
    start = beginning_of(node, sql)
    before = sql.upper().rfind(word, 0, start) if word and start is not None else -1
    return before if before >= 0 else start


def _problems(
    reads: list[exp.Table], tables: Iterable[exp.Expr], names: TableNames, tree: exp.Expr
) -> Iterator[_Reason]:
    if not reads:
        yield tree, "", "it does not read the rows of the step with the cursor"
    for again in reads[1:]:
        yield again, "", f"it reads '{again.name}' twice, so that its new rows meet only each other"
    for table in tables:
        if names.itself(table) is None and names.possible_cte(table) is not names.cte(table):
            yield table, "", f"'{table.name}' can be a step or a part of WITH"
    for read in reads[:1]:
        yield from _path(read, tables, names)


def _path(read: exp.Expr, tables: Iterable[exp.Expr], names: TableNames) -> Iterator[_Reason]:
    """Follow the rows from the name of their input up to the statement."""
    node: exp.Expr | None = read
    child: exp.Expr | None = None
    while node is not None:
        yield from _on_path(node, child)
        if isinstance(node, exp.CTE):
            readers = [each for each in tables if names.possible_cte(each) is node or names.itself(each) is node]
            yield from _read_otherwise(node, readers)
            node, child = readers[0], None
        else:
            if node.parent and (type(node.parent), node.arg_key) not in _STEPS:
                yield node, "", _astray(node.parent)
            node, child = node.parent, node


def _read_otherwise(cte: exp.CTE, readers: list[exp.Expr]) -> Iterator[_Reason]:
    for again in readers[1:]:
        yield again, "", f"it reads '{cte.alias}' twice, so that its new rows meet only each other"
    if not readers:
        yield cte, "", f"nothing reads '{cte.alias}'"


def _astray(parent: exp.Expr) -> str:
    """Return why rows may not pass into a node."""
    if isinstance(parent, exp.SetOperation):
        return f"{parent.key.upper()} compares or repeats rows"
    if isinstance(parent, exp.Lateral):
        return "it reads the rows of the step with the cursor inside LATERAL"
    return "it reads the rows of the step with the cursor inside a subquery"


def _on_path(node: exp.Expr, child: exp.Expr | None) -> Iterator[_Reason]:
    """Yield the problems of one node that the rows pass, coming from `child`."""
    yield from _extra_parts(node)
    yield from _joins(node, child)
    values = [*node.expressions] if isinstance(node, exp.Select) else []
    values += [node.args[key] for key in ("where", "order") if node.args.get(key)]
    yield from (node for value in values for node in _not_of_one_row(value))
    if isinstance(node, exp.Select):
        yield from _borrowed(node)


def _joins(node: exp.Expr, child: exp.Expr | None) -> Iterator[_Reason]:
    """Yield the problems of the joins in a node: of the one in which the rows come, and of those behind it."""
    joins = list(node.args.get("joins") or ())
    if isinstance(child, exp.Join):
        yield from _joined(child, _ON_RIGHT)
        joins = joins[(child.index or 0) + 1 :]
    for join in joins:
        yield from _extra_parts(join)
        yield from _joined(join, _ON_LEFT)


def _extra_parts(node: exp.Expr) -> Iterator[_Reason]:
    allowed = _PARTS.get(type(node), frozenset())
    for key, value in node.args.items():
        if value and key not in allowed:
            word, reason = _CLAUSES.get(key, (key.strip("_").upper(), "is not known to keep rows apart"))
            word = "FETCH" if isinstance(value, exp.Fetch) else word
            inner = value[0] if isinstance(value, list) else value
            is_placed = isinstance(inner, exp.Expr) and any("start" in each.meta for each in inner.walk())
            yield (inner if is_placed else node), (word if is_placed else ""), f"{word} {reason}"


def _joined(join: exp.Expr, allowed: tuple[set[str], set[str], set[str]]) -> Iterator[_Reason]:
    """Yield the problems of a join whose other side is read whole."""
    words = join_words(join)
    text = " ".join(word for word in (words.method, words.side, words.kind, "JOIN") if word)
    for word, usable in zip(words, allowed, strict=True):
        if word not in usable:
            yield join, "", f"{text} can match or leave out rows because of others"
    if join.args.get("on"):
        yield from _not_of_one_row(join.args["on"])


def _is_single(name: str) -> bool:
    """Tell whether a function returns values of one row; an unknown one may be an aggregate."""
    allowed = load_allowed(_DIALECT)
    return name in (allowed.scalar | allowed.volatile) - _SEVERAL


def _not_of_one_row(value: exp.Expr) -> Iterator[_Reason]:
    """Yield the parts of a value that depend on more than one row."""
    for node in value.walk(prune=lambda inner: isinstance(inner, exp.Query)):
        name = called(node)
        if isinstance(node, exp.Query):
            continue
        if name and not _is_single(name):
            yield node, "", f"{name}() puts rows together"
        elif type(node).__name__ not in _VALUES:
            what = "a window function" if isinstance(node, exp.Window) else node.key.upper()
            yield node, "", f"{what} depends on several rows"


def _borrowed(select: exp.Select) -> Iterator[_Reason]:
    """Yield aggregates in subqueries that may belong to this SELECT: all their columns may be its own.

    If it outputs a column of its own, DuckDB refuses such an aggregate.
    """
    if any(_is_own(node, select) for node in _outside_queries(select.expressions)):
        return
    parts = [*select.expressions, *filter(None, [select.args.get("order")])]
    for node in (inner for part in parts for inner in nodes_of(part)):
        name = called(node)
        if name and not _is_single(name) and not isinstance(node.parent, exp.Window):
            reason = f"{name}() in a subquery can belong to the outer SELECT, which has no column of its own"
            yield node, "", reason


def _outside_queries(values: Iterable[exp.Expr]) -> Iterator[exp.Expr]:
    for value in values:
        yield from value.walk(prune=lambda inner: isinstance(inner, exp.Query))


def _is_own(node: exp.Expr, select: exp.Select) -> bool:
    """Tell whether a node is certainly a column of the FROM of a SELECT, and no alias or column of an outer query."""
    if isinstance(node, exp.Star):
        return isinstance(node.parent, exp.Select)
    if not isinstance(node, exp.Column):
        return False
    first = _DIALECT.fold(node.args.get("table") or node.this)
    around = (each for each in ancestors(node) if isinstance(each, exp.Comprehension))
    if any(first in _variables(each) for each in around):
        return False
    if node.args.get("table"):
        return first in map(_alias, all_items(select))
    aliases = {_DIALECT.fold(each.args["alias"]) for each in select.expressions if isinstance(each, exp.Alias)}
    return first not in aliases and not select.find_ancestor(exp.Join)


def _variables(comprehension: exp.Comprehension) -> list[str]:
    named = (comprehension.args.get(part) for part in ("expression", "position"))
    return [_DIALECT.fold(each) for each in named if each]


def _alias(item: exp.Expr) -> str | None:
    alias = item.args.get("alias")
    name = alias.this if alias and alias.this else item.this if isinstance(item, exp.Table) else None
    return _DIALECT.fold(name) if isinstance(name, exp.Identifier) else None
