"""Filters and orders in PostgREST's syntax (`eq.5`, `not.is.null`, `created_at.desc`), for REST and as SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.document import join
from osiris.errors import Location, fail
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COMPARISONS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "LIKE",
    "ilike": "ILIKE",
}
_STATES = ("null", "not_null", "true", "false", "unknown")
_EXPRESSION = re.compile(r"(not\.)?([a-z]+)\.(.*)", re.DOTALL)
_LISTED = re.compile(r'"(?:[^"\\]|\\.)*"|[^,"]*', re.DOTALL)
_ORDER = re.compile(r'("(?:[^"\\]|\\.)*"|[^".,]+)((?:\.(?:asc|desc|nullsfirst|nullslast))*)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a column: `text` in PostgREST's syntax, `sql` as SQL."""

    column: str
    text: str
    sql: str


@dataclass(frozen=True, slots=True)
class Term:
    """A term of an order: `text` in PostgREST's syntax, `sql` as SQL."""

    column: str
    text: str
    sql: str


def quoted(name: str) -> str:
    """Quote a name, or a value of a list, for PostgREST."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def conditions(filters: Mapping[str, str] | None) -> list[Condition]:
    """Return the conditions of the config key `filter`; fails with OML046 for an invalid one."""
    return [_condition(column, str(text)) for column, text in (filters or {}).items()]


def _condition(column: str, text: str) -> Condition:
    match = _EXPRESSION.fullmatch(text)
    sql = _sql(quote_name(column), match[2], match[3]) if match else None
    if match is None or sql is None:
        operators = ", ".join((*_COMPARISONS, "is", "in"))
        at = Location(pointer=join("/config/filter", column))
        fail("OML046", at=at, column=column, condition=text[:60], operators=operators)
    return Condition(column, text, f"NOT ({sql})" if match[1] else sql)


def _sql(name: str, operator: str, value: str) -> str | None:
    if operator in ("like", "ilike"):
        value = value.replace("*", "%")
    if operator in _COMPARISONS:
        return f"{name} {_COMPARISONS[operator]} {_literal(value)}"
    if operator == "is" and value.lower() in _STATES:
        return f"{name} IS {value.upper().replace('_', ' ')}"
    items = _items(value) if operator == "in" else None
    return f"{name} IN ({', '.join(map(_literal, items))})" if items else None


def _items(value: str) -> list[str] | None:
    """Return the values of a list like `(1,"a,b")`; None if it is not one."""
    if not (value.startswith("(") and value.endswith(")") and value != "()"):
        return None
    items, at, inner = [], 0, value[1:-1]
    while at <= len(inner):
        match = _LISTED.match(inner, at)
        item = match[0] if match else ""
        items.append(re.sub(r"\\(.)", r"\1", item[1:-1]) if item.startswith('"') else item)
        at += len(item)
        if at < len(inner) and inner[at] != ",":
            return None
        at += 1
    return items


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def terms(order: str | None) -> list[Term]:
    """Return the terms of the config key `order`; fails with OML047 if it is invalid."""
    parsed, at, text = [], 0, order or ""
    while at < len(text):
        match = _ORDER.match(text, at)
        if match is None or text[match.end() : match.end() + 1] not in ("", ","):
            fail("OML047", at=Location(pointer="/config/order"), order=text[at : at + 60])
        parsed.append(_term(match[1].strip(), match[2].split(".")[1:]))
        at = match.end() + 1
    return parsed


def _term(name: str, modifiers: Sequence[str]) -> Term:
    column = re.sub(r"\\(.)", r"\1", name[1:-1]) if name.startswith('"') else name
    parts = ["DESC" if "desc" in modifiers else "ASC"]
    parts += [f"NULLS {text.removeprefix('nulls').upper()}" for text in modifiers if text.startswith("nulls")]
    return Term(column, ".".join([quoted(column), *modifiers]), " ".join([quote_name(column), *parts]))


def statement(
    table: str,
    columns: Sequence[str] | None,
    filters: Sequence[Condition],
    order: Sequence[Term],
    limit: int | None,
    offset: int,
) -> str:
    """Return the equivalent SELECT, for connections with a database address."""
    listed = "*" if columns is None else ", ".join(map(quote_name, columns))
    parts = [f"SELECT {listed} FROM {quote_name(table)}"]
    if filters:
        parts.append("WHERE " + " AND ".join(condition.sql for condition in filters))
    if order:
        parts.append("ORDER BY " + ", ".join(term.sql for term in order))
    if limit is not None:
        parts.append(f"LIMIT {limit}")
    if offset:
        parts.append(f"OFFSET {offset}")
    return " ".join(parts)
