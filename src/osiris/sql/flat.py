"""A flat statement: one SELECT over named inputs, in which each name is proved to be one column or one output.

No query is inside it, and FROM has plain relations, joined by INNER and LEFT JOIN. Anything else is not flat.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from osiris.sql.safety.dialects import DIALECTS, load_allowed, lower
from osiris.sql.safety.tree import called
from osiris.sql.scope import folded_name, from_items, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from osiris.model import Schema

DIALECT = DIALECTS["duckdb"]
AGGREGATES = frozenset({"avg", "bool_and", "bool_or", "count", "count_if", "max", "min", "sum"})
OF_WINDOWS = frozenset({
    "dense_rank", "first_value", "lag", "last_value", "lead", "ntile", "rank", "row_number",
})  # fmt: skip
_OF_SEVERAL = frozenset({
    "columns", "generate_subscripts", "grouping", "grouping_id", "regexp_split_to_table", "unnest",
})  # fmt: skip
"""Listed as functions of one row, but they give several columns or rows, or depend on a group."""

TAKEN = DIALECT.system_names | {
    "current_date", "current_time", "current_timestamp", "file_index", "file_row_number", "filename", "localtime",
    "localtimestamp", "rowid", "user",
}  # fmt: skip
"""Names that can be something else than the output that has them, though no input has such a column."""

_CLAUSES = frozenset({
    "distinct", "expressions", "from_", "group", "having", "joins", "limit", "offset", "order", "qualify", "where",
})  # fmt: skip
_JOINS = frozenset({("", ""), ("INNER", ""), ("CROSS", ""), ("", "LEFT"), ("OUTER", "LEFT")})
"""The words that a join may have: its kind and side."""
_PARTS: dict[type[exp.Expr], frozenset[str]] = {
    exp.Distinct: frozenset({"expressions"}),
    exp.Group: frozenset({"expressions", "all"}),
    exp.Limit: frozenset({"expression"}),
    exp.Offset: frozenset({"expression"}),
    exp.Join: frozenset({"this", "kind", "method", "side", "on", "using"}),
    exp.Select: _CLAUSES,
    exp.Star: frozenset(),
    exp.Table: frozenset({"this", "alias"}),
    exp.TableAlias: frozenset({"this"}),
    exp.Window: frozenset({"this", "partition_by", "order", "spec", "over"}),
}
"""The parts that some nodes may have; the others may have all."""
_KINDS = """
Abs Add Alias All And Anonymous Array AtTimeZone Between BitwiseAnd BitwiseNot BitwiseOr Boolean Bracket Case Cast
Column DPipe DataType DataTypeParam Distinct Div EQ Escape Extract Filter From GT GTE Group Having ILike Identifier If
In IntDiv Interval IntervalSpan Is JSONExtract JSONExtractScalar Join LT LTE Like Limit Literal Mod Mul NEQ Neg Not Null
NullSafeEQ NullSafeNEQ Offset Or Order Ordered Paren Placeholder Plus Pow PropertyEQ Qualify RegexpLike Select SimilarTo
Slice Star StartsWith StrPosition Struct Sub Substring Table TableAlias Trim TryCast Tuple Var Where Window WindowSpec
"""
_NODES = frozenset(_KINDS.split())
"""Kinds of node that a flat statement may have: no query, and nothing that gives a name to something else."""
_PLACES: dict[type[exp.Expr], tuple[type[exp.Expr], ...]] = {
    exp.Order: (exp.Select, exp.Window),
    exp.Star: (exp.Select, exp.Column),
}
"""The parents that some nodes may have, besides `count`."""
_UNKNOWN = "is not known to be the same in parts."
_WORDS = {
    "Distinct.on": "DISTINCT ON",
    "Exists": "A subquery",
    "GroupingSets": "GROUPING SETS",
    "Order": "ORDER BY in a call",
    "Select": "A subquery",
    "Select.windows": "WINDOW",
    "Star": "* in an expression",
    "Subquery": "A subquery",
    "Table.joins": "A join in parentheses",
    "TableAlias.columns": "A relation with new names for its columns",
    "Window.alias": "A window with a name",
    "WithinGroup": "WITHIN GROUP",
}


class NotCut(Exception):
    """Why a statement is not cut: a sentence, and the node that it is about."""

    def __init__(self, node: exp.Expr, reason: str) -> None:
        super().__init__(reason)
        self.node, self.reason = node, reason


class Item(NamedTuple):
    """A relation in FROM: its node, its input, whether its rows are optional, and its columns by folded name."""

    node: exp.Expr
    input: str
    is_optional: bool
    types: Mapping[str, str]
    using: frozenset[str]


class Origin(NamedTuple):
    """A column of an input: the folded names of its item and of itself."""

    item: str
    column: str


class Output(NamedTuple):
    """An output column: its folded name (None if the engine makes one up) and its value."""

    name: str | None
    value: exp.Expr


@dataclass(slots=True)
class Flat:
    """A flat statement: its tree, the items of FROM by folded name, its outputs, and what each name in it is.

    `meaning` maps the `id` of a name to a column of an input, or to the output that it is an alias of.
    """

    tree: exp.Select
    items: dict[str, Item]
    outputs: list[Output] = field(default_factory=list)
    meaning: dict[int, Origin | Output] = field(default_factory=dict)
    aliases: dict[str, Output] = field(default_factory=dict)

    def origin(self, value: exp.Expr) -> Origin | None:
        """Return the column of an input that a value is, through aliases; None if it is computed."""
        meant = self.meaning.get(id(value))
        while isinstance(meant, Output):
            meant = self.meaning.get(id(meant.value))
        return meant

    def prove(self, column: exp.Expr, is_sorted: bool = False) -> None:
        """Set the meaning of a name. `is_sorted`: it is a key of the final ORDER BY, where aliases come first."""
        name, table = DIALECT.fold(column.this), column.args.get("table")
        owners = [DIALECT.fold(table)] if table else self.owners(name, self.items)
        owner = self.items.get(owners[0]) if len(owners) == 1 and not column.args.get("db") else None
        origin = Origin(owners[0], name) if owner and name in owner.types else None
        alias = None if table else self.aliases.get(name)
        if alias and (is_sorted or (not origin and not owners)):
            self.meaning[id(column)] = alias
        elif not origin:
            raise NotCut(column, f"'{column.name}' is not certainly one column of the inputs.")
        elif alias and self.origin(alias.value) != origin and _is_uncertain(column):
            raise NotCut(column, f"'{column.name}' can be a column or an output.")
        else:
            self.meaning[id(column)] = origin

    def owners(self, name: str, among: Iterable[str]) -> list[str]:
        """Return the items that have a column of a bare name; the first one, if USING joins the others to it."""
        owners = [alias for alias in among if name in self.items[alias].types]
        return owners[:1] if all(name in self.items[each].using for each in owners[1:]) else owners


def _is_uncertain(column: exp.Expr) -> bool:
    """Tell whether a name that is both a column and an alias is in HAVING or QUALIFY; elsewhere it is the column."""
    return column.find_ancestor(exp.Having, exp.Qualify) is not None


def read_flat(tree: exp.Expr, names: Mapping[str, str], schemas: Mapping[str, Schema]) -> Flat:
    """Return a statement with all its names proved, but those of its ORDER BY; raises `NotCut` if it is not flat."""
    if not isinstance(tree, exp.Select):
        raise NotCut(tree, "It is no single SELECT.")
    for node in tree.walk():
        _check(node)
    flat = Flat(tree, dict(_items(tree, names, schemas)))
    for join in tree.args.get("joins") or ():
        _prove_all(flat, join.args.get("on"))
    for output in tree.expressions:
        added = [Output(name, value) for name, value in _outputs(flat, output)]
        flat.outputs += added
        if isinstance(output, exp.Alias) and added[0].name not in {*flat.items, *TAKEN}:
            flat.aliases[str(added[0].name)] = added[0]
    for name, times in Counter(each.name for each in flat.outputs).items():
        if times > 1 and name is not None:
            raise NotCut(tree, f"'{name}' is the name of two outputs.")
    for clause in ("where", "group", "having", "qualify"):
        _prove_all(flat, tree.args.get(clause))
    return flat


def _check(node: exp.Expr) -> None:
    """Refuse a node, a part of it or a function that is not known."""
    name, kind = called(node), type(node)
    parts = {key for key, value in node.args.items() if value}
    extra = sorted(parts - _PARTS.get(kind, parts))
    if kind.__name__ not in _NODES or (kind is exp.Select and node.parent):
        raise NotCut(node, f"{_WORDS.get(kind.__name__, node.key.upper())} {_UNKNOWN}")
    if extra:
        raise NotCut(node, f"{_WORDS.get(f'{kind.__name__}.{extra[0]}', extra[0].strip('_').upper())} {_UNKNOWN}")
    if name and name not in _functions():
        raise NotCut(node, f"{name}() {_UNKNOWN}")
    if kind in _PLACES and not (type(node.parent) in _PLACES[kind] or called(node.parent) == "count"):
        raise NotCut(node, f"{_WORDS[kind.__name__]} {_UNKNOWN}")


@functools.cache
def _functions() -> frozenset[str]:
    return load_allowed(DIALECT).scalar - _OF_SEVERAL | AGGREGATES | OF_WINDOWS


def _items(tree: exp.Select, names: Mapping[str, str], schemas: Mapping[str, Schema]) -> Iterator[tuple[str, Item]]:
    """Yield the items of FROM by their folded names."""
    seen = set[str]()
    for table in from_items(tree):
        key = names.get(folded_name(table, DIALECT), "") if isinstance(table, exp.Table) else ""
        if key not in schemas or not isinstance(table.this, exp.Identifier):
            raise NotCut(table, "FROM has something that is no input.")
        types = {lower(each.name): each.type for each in schemas[key]}
        alias = DIALECT.fold(table.args["alias"].this if table.args.get("alias") else table.this)
        if alias in seen or len(types) < len(schemas[key]):
            raise NotCut(table, f"'{alias}' is the name of two relations, or has two columns of one name.")
        seen.add(alias)
        join = table.parent if isinstance(table.parent, exp.Join) else exp.Join()
        words = join_words(join)
        if words.method or words[:2] not in _JOINS:
            raise NotCut(table, f"{' '.join(filter(None, reversed(words)))} JOIN {_UNKNOWN}")
        using = frozenset(map(DIALECT.fold, join.args.get("using") or ()))
        yield alias, Item(table, key, bool(words.side), types, using)


def _outputs(flat: Flat, output: exp.Expr) -> Iterator[tuple[str | None, exp.Expr]]:
    """Yield the names and values of an output; a star has several."""
    if not output.is_star:
        _prove_all(flat, output)
        value = output.unalias()
        named = output.args["alias"] if isinstance(output, exp.Alias) else output.this
        yield (DIALECT.fold(named) if value is not output or isinstance(value, exp.Column) else None), value
        return
    one = DIALECT.fold(output.args["table"]) if isinstance(output, exp.Column) else None
    if one not in (None, *flat.items):
        raise NotCut(output, f"'{one}' is no relation in FROM.")
    if one is None and any(item.using for item in flat.items.values()):
        raise NotCut(output, "* with USING leaves columns out.")
    for alias, item in flat.items.items():
        for name in item.types if one in (None, alias) else ():
            value = exp.column(name, table=alias)
            flat.meaning[id(value)] = Origin(alias, name)
            yield name, value


def _prove_all(flat: Flat, value: exp.Expr | None) -> None:
    for node in value.walk() if value else ():
        if isinstance(node, exp.Column):
            flat.prove(node)
