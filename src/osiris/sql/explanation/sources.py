"""The sources of a SELECT, and resolution of its names: a column is identified by source and name."""

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
"""Columns that are unique together, with NULLs equal; empty means at most one row."""

_EXACT = ("int", "uint", "decimal")
_COUNTS = ("count", "count_star", "row_number")
_CAST_TYPES = {"DATE": "date", "TEXT": "utf8", "VARCHAR": "utf8", "BIGINT": "int64", "INT": "int32"}
_UNCERTAIN = (exp.Query, exp.Star, exp.Lambda)
MOST_KEYS = 8


@dataclass(frozen=True, slots=True)
class Rows:
    """What is known of the rows of a relation or query. Names are folded, except in `columns`.

    `columns` is None if unknown; a column without a name is None. `types` are texts: equal texts mean equal types.
    `origins` maps columns to the relation columns that they copy, `constants` to the texts that they have in all rows.
    `declared`: the keys hold no NULL.
    """

    columns: tuple[str | None, ...] | None = None
    keys: frozenset[Key] = frozenset()
    types: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    constants: Mapping[str, frozenset[str]] = field(default_factory=dict)
    declared: bool = False

    @property
    def named(self) -> list[str]:
        """Return the names of the named columns."""
        return [name for name in self.columns or () if name]

    def has(self, name: str) -> bool:
        """Tell whether exactly one column has a folded name."""
        return [each.lower() for each in self.named].count(name) == 1

    def may_have(self, name: str) -> bool:
        """Tell whether a column may have a folded name, without ambiguity."""
        return self.columns is None or self.has(name)

    def renamed(self, names: list[str]) -> Rows:
        """Return the same rows, with the first columns renamed."""
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
        """Return the new folded names of the columns with unique names, by their old ones."""
        pairs = zip(self.columns or (), columns, strict=True)
        return {old.lower(): name.lower() for old, name in pairs if old and name and self.has(old.lower())}


def _renamed(values: Mapping[str, Any], new: Mapping[str, str]) -> dict[str, Any]:
    return {new[name]: value for name, value in values.items() if name in new}


def smallest(keys: frozenset[Key]) -> frozenset[Key]:
    """Return the minimal keys, at most a few."""
    minimal: list[Key] = []
    for key in sorted(keys, key=lambda key: (len(key), sorted(key))):
        if not any(smaller <= key for smaller in minimal):
            minimal.append(key)
    return frozenset(minimal[:MOST_KEYS])


@dataclass(frozen=True, slots=True)
class Item:
    """An item of FROM: its alias, its display name, and its rows."""

    alias: str
    label: str
    rows: Rows


@dataclass(slots=True)
class SelectScope:
    """The names of one SELECT. `merged` are those of USING, with the item whose values they have, None if of both."""

    select: exp.Select
    allowed: Allowed
    grammar: type[Grammar]
    items: list[Item] = field(default_factory=list)
    merged: dict[str, Item | None] = field(default_factory=dict)

    def item_of(self, column: exp.Expr) -> Item | None:
        """Return the item that a column belongs to, None if ambiguous."""
        name, table = column.name.lower(), column.args.get("table")
        if table:
            matches = [item for item in self.items if item.alias == table.name.lower()]
            return matches[0] if len(matches) == 1 and matches[0].rows.may_have(name) else None
        if name in self.merged:
            return self.merged[name]
        fitting = [item for item in self.items if item.rows.may_have(name)]
        return fitting[0] if len(fitting) == 1 else None

    def meaning(self, column: exp.Expr) -> exp.Expr | None:
        """Return the output that a bare name refers to, where no source has such a column."""
        if column.args.get("table") or any(item.rows.may_have(column.name.lower()) for item in self.items):
            return None
        node = column
        while node.parent is not None and node.parent is not self.select:
            node = node.parent
        before = self.select.expressions[: node.index if node.arg_key == "expressions" else None]
        matches = [each for each in before if each.alias.lower() == column.name.lower()]
        return matches[0].unalias() if len(matches) == 1 else None

    def spelled(self, node: exp.Expr) -> str | None:
        """Return a canonical text of a value, with qualified columns, equal for equal values. None if not certain."""
        return self._replaced(node, reference)

    def type_of(self, node: exp.Expr) -> str | None:
        """Return a text equal for values of equal types, None if unknown."""
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
        """Return a value as text with its columns replaced; None if a column has no text, or the value is volatile."""
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
        output = self.meaning(column)
        return None if output is None else self._replaced(output, text)

    def is_constant(self, node: exp.Expr) -> bool:
        """Tell whether a value is the same in all rows: it reads no column."""
        return self.spelled(node) is not None and not any(
            isinstance(part, (exp.Column, exp.Window)) or called(part) in self.allowed.aggregates
            for part in node.walk()
        )

    def aliases(self, node: exp.Expr) -> set[str] | None:
        """Return the aliases of the items that a value reads, None if a name is ambiguous."""
        aliases = set()
        for column in node.find_all(exp.Column):
            item = self.item_of(column)
            if item is None:
                return None
            aliases.add(item.alias)
        return None if self.spelled(node) is None else aliases


def reference(item: Item, name: str) -> str:
    """Return the qualified name of an item's column."""
    return f"{item.alias}.{name.lower()}"


def same_type(one: str | None, other: str | None) -> bool:
    """Tell whether equality of values of two types means the same value, without a lossy cast."""
    if one is None or other is None:
        return False
    return one == other or (one.startswith(_EXACT) and other.startswith(_EXACT))


def fixes_value(kind: str | None, constant: exp.Expr, other: str | None) -> bool:
    """Tell whether only one value of a type equals a constant of the other type: text may be cast to a number."""
    if kind is None or not isinstance(constant, exp.Literal):
        return same_type(kind, other)
    if kind == "utf8":
        return bool(constant.is_string)
    return bool(constant.is_string) or "e" not in constant.name.lower()


def conjuncts(node: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the conditions joined by AND."""
    while isinstance(node, (exp.Paren, exp.Where, exp.Having, exp.Qualify)):
        node = node.this
    if isinstance(node, exp.And):
        yield from conjuncts(node.left)
        yield from conjuncts(node.right)
    elif node is not None:
        yield node
