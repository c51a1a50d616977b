"""Values in SQL: a placeholder becomes a literal of its type, or escaped text inside quotes; never syntax."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from osiris.sql.safety.dialects import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlglot import Token

    from osiris.model import JsonValue
    from osiris.sql.safety.dialects import Dialect

Where = Literal["code", "string", "escape string", "name", "dollar string", "comment"]

_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_AFTER_IN = re.compile(r"\bIN\s*$", re.IGNORECASE)
_INSIDE_IN = re.compile(r"\bIN\s*\(\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One `${name}` in a SQL text, and its context."""

    name: str
    start: int
    end: int
    where: Where
    quote: str = ""


def placeholders(sql: str, dialect: str) -> list[Placeholder]:
    """Return the placeholders of a text, in order. In a text that cannot be tokenized, all are in code."""
    spans = _spans(sql, dialect)
    return [Placeholder(m[1], m.start(), m.end(), *_where(spans, m.start())) for m in _PLACEHOLDER.finditer(sql)]


def substitute(
    sql: str, values: Mapping[str, JsonValue], dialect: str, *, bound: Mapping[str, str] | None = None
) -> str:
    """Return the text with each known `${scope.name}` replaced; others stay unchanged.

    `values` become literals and `bound` become bound parameters, by full name, as in `{"params.limit": 10}` and
    `{"run.id": "run_id"}`. Outside quotes a value becomes a literal of its type; a list becomes `(1, 2)` after IN, `1,
    2` inside IN's parentheses, and an engine list elsewhere. Inside quotes it becomes escaped text. In a comment it is
    kept. Raises ValueError with the placeholder that cannot be replaced in its context.
    """
    parts: list[str] = []
    end = 0
    for placeholder in placeholders(sql, dialect):
        text = _replacement(placeholder, sql, values, bound or {}, dialect)
        if text is not None:
            parts += [sql[end : placeholder.start], text]
            end = placeholder.end
    return "".join([*parts, sql[end:]])


def _replacement(
    placeholder: Placeholder, sql: str, values: Mapping[str, JsonValue], bound: Mapping[str, str], dialect: str
) -> str | None:
    if placeholder.where == "comment":
        return None
    if placeholder.name in bound:
        return f"${bound[placeholder.name]}" if placeholder.where == "code" else _misplaced(placeholder)
    if placeholder.name not in values:
        return None
    value = values[placeholder.name]
    context = sql[: placeholder.start], sql[placeholder.end :]
    text = _in_code(value, *context, dialect) if placeholder.where == "code" else _text(value, placeholder)
    return text if text is not None else _misplaced(placeholder)


def _misplaced(placeholder: Placeholder) -> NoReturn:
    raise ValueError(f"${{{placeholder.name}}}")


def literal(value: JsonValue, dialect: str = "duckdb") -> str | None:
    """Return a value as a literal of its type; None if it has none (NaN, infinity, an object)."""
    writers: dict[type, Callable[[Any], str | None]] = {
        bool: lambda v: str(v).upper(),
        int: _number,
        float: _number,
        str: lambda v: quoted(v, dialect),
        list: lambda v: _list(v, dialect),
        dt.date: lambda v: f"DATE '{v.isoformat()}'",
        dt.datetime: lambda v: _timestamp(v, dialect),
        type(None): lambda _: "NULL",
    }
    write = writers.get(type(value))
    return write(value) if write else None


def quoted(text: str, dialect: str = "duckdb") -> str:
    """Return a text as a string literal; on PostgreSQL, one that no server setting changes."""
    plain, escaped = "'" + text.replace("'", "''") + "'", DIALECTS[dialect].escaped
    if escaped is None or "\\" not in text:
        return plain
    return escaped + plain.replace("\\", "\\\\")


def _number(value: float) -> str | None:
    if not math.isfinite(value):
        return None
    return f"({value!r})" if value < 0 else repr(value)


def _timestamp(value: dt.datetime, dialect: str) -> str:
    """Return a timestamp; literals without a zone are read in the session's, which is UTC."""
    aware = value.tzinfo is not None
    if aware and not DIALECTS[dialect].zones:
        return f"TIMESTAMP '{value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(sep=' ')}'"
    return f"{'TIMESTAMPTZ' if aware else 'TIMESTAMP'} '{value.isoformat(sep=' ')}'"


def _list(values: list[JsonValue], dialect: str) -> str | None:
    items, forms = _items(values, dialect), DIALECTS[dialect].list_forms
    if items is None or forms is None:
        return None
    return forms[not items].format(items)


def _items(values: list[JsonValue], dialect: str) -> str | None:
    items = [literal(value, dialect) for value in values]
    return ", ".join(item for item in items if item is not None) if None not in items else None


def _in_code(value: JsonValue, before: str, after: str, dialect: str) -> str | None:
    if not isinstance(value, list):
        return literal(value, dialect)
    items = _items(value, dialect)
    rows = items if items != "" else DIALECTS[dialect].no_rows
    if _INSIDE_IN.search(before) and after.lstrip().startswith(")"):
        return rows
    if _AFTER_IN.search(before):
        return f"({rows})" if rows is not None else None
    return _list(value, dialect)


def _text(value: JsonValue, placeholder: Placeholder) -> str | None:
    """Return a value as text for the quotes around its placeholder."""
    text = str(value).lower() if isinstance(value, bool) else value.isoformat() if isinstance(value, dt.date) else value
    if isinstance(text, (list, dict, type(None))):
        return None
    text = str(text)
    if placeholder.where == "dollar string":
        return None if "$" in text else text
    if placeholder.where == "escape string":
        text = text.replace("\\", "\\\\")
    return text.replace(placeholder.quote, placeholder.quote * 2)


def _spans(sql: str, dialect: str) -> list[tuple[int, int, Where, str]]:
    """Return the spans of strings, quoted names and comments; split by the parser's tokenizer, so that both agree."""
    from sqlglot.errors import TokenError

    from osiris.sql.safety.preflight import comments

    try:
        tokens = list(DIALECTS[dialect].load_grammar()().tokenize(sql))
    except TokenError:
        return []
    row = DIALECTS[dialect]
    quotes = ((t.start, t.end + 1, *context) for t in tokens if (context := _quotes(t, sql, row)))
    gaps: Iterator[tuple[int, int, Where, str]] = (
        (at, at + len(gap), "comment", "") for at, gap in comments(sql, tokens)
    )
    return sorted([*quotes, *gaps])


def _quotes(token: Token, sql: str, dialect: Dialect) -> tuple[Where, str] | None:
    """Return the kind of a quoted token, and its quote."""
    opening = sql[token.start]
    if opening == dialect.name_quote:
        return "name", opening
    if opening in dialect.text_quotes:
        return "string" if dialect.escaped != "" else "escape string", opening
    if "more text quotes" not in dialect.traits:
        return None
    if opening in "eE" and sql[token.start + 1 : token.start + 2] == "'":
        return "escape string", "'"
    return ("dollar string", "$") if opening == "$" and token.end - token.start >= len("$$$$") - 1 else None


def _where(spans: list[tuple[int, int, Where, str]], offset: int) -> tuple[Where, str]:
    return next(((context, quote) for start, end, context, quote in spans if start <= offset < end), ("code", ""))
