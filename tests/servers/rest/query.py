"""The query string: `select`, filters, `order`, `limit` and `offset`, parsed and written as SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psycopg.sql import SQL, Composed, Identifier, Literal

from .errors import ApiError, unparsable

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPERATORS = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE", "ilike": "ILIKE",
    "match": "~", "imatch": "~*", "cs": "@>", "cd": "<@", "ov": "&&", "sl": "<<", "sr": ">>", "nxr": "&<", "nxl": "&>",
    "adj": "-|-", "isdistinct": "IS DISTINCT FROM",
}  # fmt: skip
_SEARCHES = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
_STATES = {"null": "NULL", "not_null": "NOT NULL", "true": "TRUE", "false": "FALSE", "unknown": "UNKNOWN"}
_EXPECTED = (
    'unexpected {} expecting "not" or operator (eq, gt, gte, lt, lte, neq, like, ilike, match, imatch, in, is, '
    "isdistinct, fts, plfts, phfts, wfts, cs, cd, ov, sl, sr, nxr, nxl, adj)"
)
_CONDITION = re.compile(r"([a-z]+)(?:\((any|all|[a-z_]+)\))?\.(.*)", re.DOTALL)
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:(?!->)[^",.:()])+)')
_STEP = re.compile(r'(->>?)("(?:[^"\\]|\\.)*"|(?:(?!->)[^",.:()])+)')
_CAST = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(\[\])?")
_AGGREGATE = re.compile(r"(\.(count|sum|avg|min|max)|^count)\(\)")
RESERVED = {"select", "order", "limit", "offset", "columns", "on_conflict"}


@dataclass(frozen=True)
class Field:
    """A column, or a path into a JSON column."""

    name: str
    steps: tuple[tuple[str, str], ...] = ()

    def sql(self, table: Composed | Identifier) -> Composed:
        column = SQL("{}.{}").format(table, Identifier(self.name))
        if not self.steps:
            return column
        way = [SQL(f"{arrow}{{}}").format(Literal(int(key) if key.isdigit() else key)) for arrow, key in self.steps]
        return SQL("to_jsonb({}){}").format(column, Composed(way))


@dataclass(frozen=True)
class Item:
    """One selected item: a field, or all columns if it is None."""

    field: Field | None
    alias: str | None = None
    cast: str | None = None

    def sql(self, table: Composed | Identifier) -> Composed:
        if self.field is None:
            return SQL("{}.*").format(table)
        text = self.field.sql(table)
        if self.cast:
            text = SQL(f"CAST({{}} AS {self.cast})").format(text)
        names = [self.alias] if self.alias else [key for _, key in self.field.steps if not key.isdigit()][-1:]
        shown = names[0] if names else self.field.name
        return text if shown == self.field.name and not self.cast else SQL("{} AS {}").format(text, Identifier(shown))


@dataclass(frozen=True)
class Condition:
    """`field operator value`."""

    field: Field
    operator: str
    modifier: str | None
    value: str
    negated: bool

    def sql(self, table: Composed | Identifier) -> Composed:
        text = self._positive(self.field.sql(table))
        return SQL("NOT {}").format(text) if self.negated else text

    def _positive(self, column: Composed) -> Composed:
        if self.operator == "is":
            return SQL(f"{{}} IS {_STATES[self.value.lower()]}").format(column)
        if self.operator == "in":
            return SQL("{} = ANY ({})").format(column, Literal(_array(self.value)))
        if self.operator in _SEARCHES:
            language = SQL("{}, ").format(Literal(self.modifier)) if self.modifier else SQL("")
            query = SQL(f"{_SEARCHES[self.operator]}({{}}{{}})").format(language, Literal(self.value))
            return SQL("{} @@ {}").format(column, query)
        value = self.value.replace("*", "%") if self.operator in ("like", "ilike") else self.value
        compared = SQL(f"{self.modifier.upper()} ({{}})" if self.modifier else "{}").format(Literal(value))
        return SQL(f"{{}} {_OPERATORS[self.operator]} {{}}").format(column, compared)


@dataclass(frozen=True)
class Group:
    """Conditions under `and` or `or`."""

    word: str
    parts: tuple[Condition | Group, ...]
    negated: bool

    def sql(self, table: Composed | Identifier) -> Composed:
        inner = SQL(f" {self.word.upper()} ").join([part.sql(table) for part in self.parts])
        return SQL("NOT ({})" if self.negated else "({})").format(inner)


@dataclass(frozen=True)
class Order:
    """One term of `order`."""

    field: Field
    words: str

    def sql(self, table: Composed | Identifier) -> Composed:
        return SQL(f"{{}}{self.words}").format(self.field.sql(table))


@dataclass
class Query:
    """A parsed query string; `columns` and `on_conflict` are lists of names, None if they are not given."""

    items: list[Item] = field(default_factory=lambda: [Item(None)])
    where: list[Condition | Group] = field(default_factory=list)
    order: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    columns: list[str] | None = None
    on_conflict: list[str] | None = None

    def filter(self, table: Composed | Identifier) -> Composed:
        if not self.where:
            return Composed([])
        return SQL(" WHERE {}").format(SQL(" AND ").join([part.sql(table) for part in self.where]))

    def sort(self, table: Composed | Identifier) -> Composed:
        if not self.order:
            return Composed([])
        return SQL(" ORDER BY {}").format(SQL(", ").join([term.sql(table) for term in self.order]))

    def selected(self, table: Composed | Identifier) -> Composed:
        return SQL(", ").join([item.sql(table) for item in self.items])


def parse_query(pairs: Sequence[tuple[str, str]], arguments: Sequence[str] = ()) -> Query:
    """Parse what follows the `?`; `arguments` are names of a function's arguments, which are not filters."""
    query = Query()
    for key, value in pairs:
        if key in arguments:
            continue
        if key == "select":
            query.items = [_item(text) for text in split(value, ",") if text.strip()]
        elif key == "order":
            query.order = [_order(text) for text in split(value, ",") if text]
        elif key == "limit" and (whole := _whole(value)) is not None:
            query.limit = whole
        elif key == "offset":
            query.offset = max(_whole(value) or 0, 0)
        elif key in ("columns", "on_conflict"):
            names = [_unquoted(text.strip()) for text in split(value, ",") if text.strip()]
            setattr(query, key, names or None)
        elif key not in RESERVED:
            query.where.append(_filter(key, value))
    if query.limit is not None and query.limit < 0:
        told = "Limit should be greater than or equal to zero."
        raise ApiError(416, "PGRST103", "Requested range not satisfiable", told)
    return query


def split(text: str, separator: str) -> list[str]:
    """Split outside of quotes and parentheses."""
    parts, start, depth, quoted, at = [], 0, 0, False, 0
    while at < len(text):
        letter = text[at]
        if quoted and letter == "\\":
            at += 1
        elif letter == '"':
            quoted = not quoted
        elif not quoted and letter in "({[":
            depth += 1
        elif not quoted and letter in ")}]":
            depth -= 1
        elif not quoted and not depth and letter == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def _field(text: str, what: str) -> tuple[Field, str]:
    """Read a field; returns it and the rest of the text."""
    found = _NAME.match(text)
    if not found:
        raise unparsable(what, text, f'unexpected "{text[:1]}" expecting field name (* or [a..z0..9_$])')
    name, at, steps = _unquoted(found[0]) if found[0][0] == '"' else found[0].strip(), found.end(), []
    while step := _STEP.match(text, at):
        steps.append((step[1], _unquoted(step[2])))
        at = step.end()
    return Field(name, tuple(steps)), text[at:]


def _item(text: str) -> Item:
    text = text.strip()
    if text == "*":
        return Item(None)
    if _AGGREGATE.search(text):
        raise ApiError(400, "PGRST123", "Use of aggregate functions is not allowed")
    chosen, rest = _field(text, "select parameter")
    alias = None
    if rest.startswith(":") and not rest.startswith("::"):
        alias = chosen.name
        chosen, rest = _field(rest[1:], "select parameter")
    cast = rest[2:] if rest.startswith("::") else None
    if rest.startswith(("(", "!")) or "!" in chosen.name:
        raise _no_embedding(chosen.name)
    if (cast and not _CAST.fullmatch(cast)) or (rest and not cast):
        raise unparsable("select parameter", text, f'unexpected "{rest[:1]}" expecting "->", "::", "," or end of input')
    return Item(chosen, alias, cast)


def _no_embedding(name: str) -> ApiError:
    message = f"Could not find a relationship between this table and '{name}' in the schema cache"
    return ApiError(400, "PGRST200", message, "This server does not embed.")


def _order(text: str) -> Order:
    chosen, rest = _field(text, "order")
    words = rest.split(".")[1:]
    known = {"asc": " ASC", "desc": " DESC", "nullsfirst": " NULLS FIRST", "nullslast": " NULLS LAST"}
    if any(word not in known for word in words) or (rest and not rest.startswith(".")):
        raise unparsable(
            "order", text, f'unexpected "{rest[1:2]}" expecting "asc", "desc", "nullsfirst" or "nullslast"'
        )
    return Order(chosen, "".join(known[word] for word in words))


def _filter(key: str, value: str) -> Condition | Group:
    word = key.removeprefix("not.")
    if word in ("and", "or"):
        return _group(word, value, negated=key != word)
    chosen, rest = _field(key, "filter")
    if rest.startswith("."):
        hint = f"Verify that '{chosen.name}' is included in the 'select' query parameter."
        message = f"'{chosen.name}' is not an embedded resource in this request"
        raise ApiError(400, "PGRST108", message, None, hint)
    return _condition(chosen, value, quoted=False)


def _group(word: str, text: str, *, negated: bool) -> Group:
    if not (text.startswith("(") and text.endswith(")")):
        raise unparsable("logic tree", text, f'unexpected "{text[:1]}" expecting "("')
    parts: list[Condition | Group] = []
    for part in split(text[1:-1], ","):
        part = part.strip()
        inner = re.match(r"(not\.)?(and|or)(\(.*\))$", part, re.DOTALL)
        if inner:
            parts.append(_group(inner[2], inner[3], negated=bool(inner[1])))
            continue
        chosen, rest = _field(part, "logic tree")
        parts.append(_condition(chosen, rest.removeprefix("."), quoted=True))
    return Group(word, tuple(parts), negated)


def _condition(chosen: Field, text: str, *, quoted: bool) -> Condition:
    """`quoted`: whether a value may be in quotes, as within and(...) and or(...) only."""
    negated = text.startswith("not.")
    found = _CONDITION.fullmatch(text.removeprefix("not."))
    operator, modifier, value = found.groups() if found else ("", None, "")
    known = operator in _OPERATORS or operator in _SEARCHES or operator in ("is", "in")
    if not known:
        raise unparsable("filter", text, _EXPECTED.format(f'"{text[:1]}"' if text else "end of input"))
    if operator == "is" and value.lower() not in _STATES:
        told = f'unexpected "{value[:1]}" expecting isVal: (null, not_null, true, false, unknown)'
        raise unparsable("filter", text, told)
    if operator == "in" and not (value.startswith("(") and value.endswith(")")):
        raise unparsable("filter", text, f'unexpected "{value[:1]}" expecting "("')
    if quoted and operator != "in":
        value = _unquoted(value)
    return Condition(chosen, operator, modifier, value, negated)


def _array(text: str) -> str:
    """Write `(a,"b,c")` as an array of the database."""
    parts = [_unquoted(part) for part in split(text[1:-1], ",")] if text != "()" else []
    shown = [part.replace("\\", "\\\\").replace('"', '\\"') for part in parts]
    return "{" + ",".join(f'"{part}"' for part in shown) + "}"
