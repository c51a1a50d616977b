"""Values in SQL: a placeholder becomes a literal of its type, or escaped text inside quotes; never syntax."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.errors import fail
from osiris.sql.dialects import DIALECTS
from osiris.sql.text import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlglot.tokens import Token

    from osiris.model import JsonValue

Where = Literal["code", "string", "escape string", "name", "dollar string", "comment"]

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_-]*)\}")
_NO_ROWS = "SELECT NULL WHERE FALSE"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One `${scope.name}` in a SQL text, and what it stands in."""

    scope: str
    name: str
    start: int
    end: int
    where: Where


def placeholders(sql: str, dialect: str) -> list[Placeholder]:
    """Return the placeholders of a text, in order. A text that cannot be split into words has them all in code."""
    spans = _spans(sql, dialect)
    return [
        Placeholder(m[1], m[2], m.start(), m.end(), _where(spans, m.start())) for m in _PLACEHOLDER.finditer(sql)
    ]


def substitute(sql: str, values: Mapping[str, JsonValue], dialect: str) -> str:
    """Return the text with each `${params.x}` replaced by the value of `x`; those without a value stay as they are.

    Outside quotes it becomes a literal of its type; a list becomes `(1, 2)` after IN, `1, 2` inside IN's parentheses, and
    a list of the engine elsewhere. Inside quotes it becomes text, escaped as these quotes need it. In a comment it stays.
    Fails with SQL007 where a value cannot stand.
    """
    parts: list[str] = []
    end = 0
    for found in placeholders(sql, dialect):
        if found.scope != "params" or found.name not in values or found.where == "comment":
            continue
        parts += [sql[end : found.start], _written(values[found.name], found, sql)]
        end = found.end
    return "".join([*parts, sql[end:]])


def bind_names(sql: str, names: Mapping[str, str], dialect: str) -> str:
    """Return the text with each `${scope.name}` in `names` replaced by its bound parameter, as in `{"run.id": "run_id"}`.

    Fails with SQL007 inside quotes, where nothing can be bound.
    """
    parts: list[str] = []
    end = 0
    for found in placeholders(sql, dialect):
        key = f"{found.scope}.{found.name}"
        if key not in names or found.where == "comment":
            continue
        if found.where != "code":
            hint = f"close the quotes and write '…' || ${{{key}}}"
            fail("SQL007", at=place(sql, found.start), what=f"'${{{key}}}' inside quotes", hint=hint)
        parts += [sql[end : found.start], f"${names[key]}"]
        end = found.end
    return "".join([*parts, sql[end:]])


def literal(value: JsonValue) -> str:
    """Return a value as a literal of its type; fails with SQL007 for one that has none (NaN, infinity, an object)."""
    writers = {bool: _bool, int: _number, float: _number, str: quoted, list: _list, type(None): lambda _: "NULL"}
    writers |= {dt.date: lambda v: f"DATE '{v.isoformat()}'", dt.datetime: _timestamp}
    write = writers.get(type(value))
    if write is None:
        fail("SQL007", what=f"a value of type {type(value).__name__}")
    return write(value)


def quoted(text: str) -> str:
    """Return a text as a string literal."""
    return "'" + text.replace("'", "''") + "'"


def _bool(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def _number(value: float) -> str:
    if not math.isfinite(value):
        fail("SQL007", what=f"the number {value}")
    return f"({value})" if value < 0 else repr(value)


def _timestamp(value: dt.datetime) -> str:
    kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
    return f"{kind} '{value.isoformat(sep=' ')}'"


def _list(values: list[JsonValue]) -> str:
    return "[" + ", ".join(literal(value) for value in values) + "]"


def _written(value: JsonValue, found: Placeholder, sql: str) -> str:
    if found.where == "code":
        return _in_code(value, sql[: found.start], sql[found.end :])
    text = _plain_text(value)
    if found.where == "dollar string":
        if "$" in text:
            fail("SQL007", at=place(sql, found.start), what="a value with '$' between dollar quotes")
        return text
    if found.where == "escape string":
        text = text.replace("\\", "\\\\")
    quote = '"' if found.where == "name" else "'"
    return text.replace(quote, quote * 2)


def _in_code(value: JsonValue, before: str, after: str) -> str:
    if not isinstance(value, list):
        return literal(value)
    items = ", ".join(literal(item) for item in value) or _NO_ROWS
    if re.search(r"\bIN\s*\(\s*$", before, re.IGNORECASE) and re.match(r"\s*\)", after):
        return items
    if re.search(r"\bIN\s*$", before, re.IGNORECASE):
        return f"({items})"
    return _list(value)


def _plain_text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if isinstance(value, (str, int, float)):
        return str(value)
    return fail("SQL007", what=f"a value of type {type(value).__name__} inside quotes")


def _spans(sql: str, dialect: str) -> list[tuple[int, int, Where]]:
    """Return where strings, quoted names and comments stand; split as the parser splits, so that both agree."""
    from sqlglot.errors import TokenError

    from osiris.sql.preflight import comments

    try:
        tokens = list(DIALECTS[dialect].load_grammar()().tokenize(sql))
    except TokenError:
        return []
    quotes = ((t.start, t.end + 1, where) for t in tokens if (where := _quotes(t, sql)))
    gaps: Iterator[tuple[int, int, Where]] = ((at, at + len(gap), "comment") for at, gap in comments(sql, tokens))
    return sorted([*quotes, *gaps])


def _quotes(token: Token, sql: str) -> Where | None:
    opening = sql[token.start]
    if opening == '"':
        return "name"
    if opening == "'":
        return "string"
    if opening in "eE" and sql[token.start + 1 : token.start + 2] == "'":
        return "escape string"
    return "dollar string" if opening == "$" and token.end - token.start >= len("$$$$") - 1 else None


def _where(spans: list[tuple[int, int, Where]], offset: int) -> Where:
    return next((where for start, end, where in spans if start <= offset < end), "code")
