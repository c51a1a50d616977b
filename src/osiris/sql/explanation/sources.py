"""What a SELECT takes its rows from, and what its names stand for: a column is told by its source and its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from osiris.sql.safety.tree import called, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlglot import Dialect as Grammar

    from osiris.sql.safety.dialects import Allowed

Key = frozenset[str]
"""Columns of which no two rows have the same values, NULL being one; without any, there is at most one row."""

_EXACT = ("int", "uint", "decimal")
_COUNTS = ("count", "count_star", "row_number")
_CAST_TYPES = {"DATE": "date", "TEXT": "utf8", "VARCHAR": "utf8", "BIGINT": "int64", "INT": "int32"}
_UNCERTAIN = (exp.Query, exp.Star, exp.Lambda)
MOST_KEYS = 8


@dataclass(frozen=True, slots=True)
class Rows:
    """What is known of the rows of a relation or query. Names are folded, but for those in `columns`.

    `columns` is None where they are not known, and a column is None that nobody can name. `types` are texts: columns
    whose types are the same text have the same type. `origins` are the columns of relations of which columns are
    copies, `constants` the texts that columns have in all rows. `declared`: the keys hold no NULL.
    """

    columns: tuple[str | None, ...] | None = None
    keys: frozenset[Key] = frozenset()
    types: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    constants: Mapping[str, frozenset[str]] = field(default_factory=dict)
    declared: bool = False

    @property
    def named(self) -> list[str]:
        """Return the names of the columns that have one."""
        return [name for name in self.columns or () if name]

    def has(self, name: str) -> bool:
        """Tell whether exactly one column has a folded name."""
        return [each.lower() for each in self.named].count(name) == 1

    def may_have(self, name: str) -> bool:
        """Tell whether a column may have a folded name, and no two have it."""
        return self.columns is None or self.has(name)

    def renamed(self, names: list[str]) -> Rows:
        """Return the same rows, the first columns with other names."""
        if not names:
            return self
        if self.columns is None or len(names) > len(self.columns):
            return Rows()
        columns = (*names, *self.columns[len(names) :])
        new = self._folded_names(columns)
        keys = frozenset(frozenset(new[name] for name in key) for key in self.keys if key <= new.keys())
        types, origins, constants = (_renamed(each, new) for each in (self.types, self.origins, self.constants))
        return Rows(columns, keys, types, origins, constants, self.declared)

    def _folded_names(self, columns: tuple[str | None, ...]) -> dict[str, str]:
        """Return by their folded names what the columns that can be told apart are called in other columns."""
        pairs = zip(self.columns or (), columns, strict=True)
        return {old.lower(): name.lower() for old, name in pairs if old and name and self.has(old.lower())}


def _renamed(values: Mapping[str, Any], new: Mapping[str, str]) -> dict[str, Any]:
    return {new[name]: value for name, value in values.items() if name in new}


def smallest(keys: frozenset[Key]) -> frozenset[Key]:
    """Return the keys of which no other is a part, at most a few of them."""
    found: list[Key] = []
    for key in sorted(keys, key=lambda key: (len(key), sorted(key))):
        if not any(known <= key for known in found):
            found.append(key)
    return frozenset(found[:MOST_KEYS])


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that stands in FROM: the name that it has there, the one by which people know it, and its rows."""

    alias: str
    label: str
    rows: Rows


@dataclass(slots=True)
class Scope:
    """The names of one SELECT. `merged` are those of USING, with the item whose values they have, None if of both."""

    select: exp.Select
    allowed: Allowed
    grammar: type[Grammar]
    items: list[Item] = field(default_factory=list)
    merged: dict[str, Item | None] = field(default_factory=dict)

    def item_of(self, column: exp.Expr) -> Item | None:
        """Return the item that a column is of, None if that is not certain."""
        name, table = column.name.lower(), column.args.get("table")
        if table:
            named = [item for item in self.items if item.alias == table.name.lower()]
            return named[0] if len(named) == 1 and named[0].rows.may_have(name) else None
        if name in self.merged:
            return self.merged[name]
        fitting = [item for item in self.items if item.rows.may_have(name)]
        return fitting[0] if len(fitting) == 1 else None

    def meaning(self, column: exp.Expr) -> exp.Expr | None:
        """Return the output that a bare name stands for where no source has a column of that name."""
        if column.args.get("table") or any(item.rows.may_have(column.name.lower()) for item in self.items):
            return None
        node = column
        while node.parent is not None and node.parent is not self.select:
            node = node.parent
        before = self.select.expressions[: node.index if node.arg_key == "expressions" else None]
        named = [each for each in before if each.alias.lower() == column.name.lower()]
        return named[0].unalias() if len(named) == 1 else None

    def spelled(self, node: exp.Expr) -> str | None:
        """Return a text of a value that equal values have: columns with their items. None where it is not certain."""
        return self._replaced(node, reference)

    def type_of(self, node: exp.Expr) -> str | None:
        """Return a text that values of the same type have, None where that is not known."""
        if isinstance(node, exp.Column):
            item = self.item_of(node)
            return item.rows.types.get(node.name.lower()) if item else None
        if isinstance(node, exp.Cast):
            return _CAST_TYPES.get(node.to.this.value, f"type {node.to.sql()}")
        if called(node.this if isinstance(node, (exp.Filter, exp.Window)) else node) in _COUNTS:
            return "int64"
        text = self._replaced(node, lambda item, name: item.rows.types.get(name))
        return text if text is None else f"type of {text}"

    def _replaced(self, node: exp.Expr, text: Callable[[Item, str], str | None]) -> str | None:
        """Return a value as text, with other texts for its columns; None if one has none, or the value may change."""
        parts = list(node.walk())
        if any(isinstance(part, _UNCERTAIN) or called(part) in self.allowed.volatile for part in parts):
            return None
        names = {id(part): self._text_of(part, text) for part in parts if isinstance(part, exp.Column)}
        if None in names.values():
            return None
        if isinstance(node, exp.Column):
            return names[id(node)]
        copied = node.copy()
        for part, copy in zip(parts, list(copied.walk()), strict=True):
            if id(part) in names:
                copy.replace(exp.Identifier(this=names[id(part)], quoted=True))
        return write(copied, self.grammar)

    def _text_of(self, column: exp.Column, text: Callable[[Item, str], str | None]) -> str | None:
        item = self.item_of(column)
        if item is not None:
            return text(item, column.name.lower())
        meant = self.meaning(column)
        return None if meant is None else self._replaced(meant, text)

    def is_constant(self, node: exp.Expr) -> bool:
        """Tell whether a value is the same in all rows: it reads no column."""
        return self.spelled(node) is not None and not any(
            isinstance(part, (exp.Column, exp.Window)) or called(part) in self.allowed.aggregates
            for part in node.walk()
        )

    def aliases(self, node: exp.Expr) -> set[str] | None:
        """Return the items that a value reads, None where one of its names is not certain."""
        found = set()
        for column in node.find_all(exp.Column):
            item = self.item_of(column)
            if item is None:
                return None
            found.add(item.alias)
        return None if self.spelled(node) is None else found


def reference(item: Item, name: str) -> str:
    """Return how a column of an item is told from others."""
    return f"{item.alias}.{name.lower()}"


def same_type(one: str | None, other: str | None) -> bool:
    """Tell whether values of two types are equal only if both are the same value, cast to nothing else."""
    if one is None or other is None:
        return False
    return one == other or (one.startswith(_EXACT) and other.startswith(_EXACT))


def is_told_by(kind: str | None, constant: exp.Expr, other: str | None) -> bool:
    """Tell whether only one value of a type is equal to a constant of the other: a text may be cast to a number."""
    if kind is None or not isinstance(constant, exp.Literal):
        return same_type(kind, other)
    if kind == "utf8":
        return bool(constant.is_string)
    return bool(constant.is_string) or "e" not in constant.name.lower()


def conjuncts(node: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the conditions of which all have to be true."""
    while isinstance(node, (exp.Paren, exp.Where, exp.Having, exp.Qualify)):
        node = node.this
    if isinstance(node, exp.And):
        yield from conjuncts(node.left)
        yield from conjuncts(node.right)
    elif node is not None:
        yield node
