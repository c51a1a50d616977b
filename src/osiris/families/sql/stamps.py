"""What shows that a clock gives a column its values: the text of triggers on INSERT, and the zone of a clock.

Only triggers that do nothing but assign values to columns are understood, in PL/pgSQL, in the language of MySQL and in
that of SQLite: https://www.postgresql.org/docs/current/plpgsql-trigger.html,
https://dev.mysql.com/doc/refman/8.4/en/trigger-syntax.html, https://sqlite.org/lang_createtrigger.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

_UNCLEAR = re.compile(r"[\\$#]|--(?!\s)|/\*M?!|/\*(?:(?!\*/).)*/\*", re.DOTALL)
"""Escapes, other quotes, and comments that only one of the languages has, that are nested, or whose content is run."""
_TOKEN = re.compile(
    r"(?P<comment>--\s[^\n]*|/\*.*?\*/)|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`|\w+|:=|\S", re.DOTALL
)
_UTC = ("utc", "etc/utc", "gmt", "etc/gmt", "universal", "zulu")
_WHOLE_ROW = re.compile(r"\bnew\s*:?=|\binto\s+(?:strict\s+)?new\b|\breturn\s+(?!(?:new|null|old)\s*;)", re.IGNORECASE)


def is_zone(given: str, zone: str | None) -> bool:
    """Return whether the name of a time zone in a query names the zone of a cursor."""
    own = (zone or "").lower()
    return given.lower() == own or (given.lower() in _UTC and own in _UTC)


def value_given(texts: Iterable[str], column: str, assignments: Callable[[str], dict[str, str] | None]) -> str | None:
    """Return the expression, without spaces, that triggers give a column.

    None if they leave it as it is, "" if their texts do not show it. `assignments` is `of_new` or `of_updates` with
    the keys of the table.
    """
    given = None
    for text in texts:
        assigned = assignments(text)
        if assigned is None:
            named = re.search(rf"(?<!\w){re.escape(column)}(?!\w)", text, re.IGNORECASE)
            value = "" if named or _WHOLE_ROW.search(text) else None
        else:
            value = assigned.get(column.lower())
        if value is not None:
            given = value if given in (None, value) else ""
    return given


def of_new(body: str) -> dict[str, str] | None:
    """Return the expressions, by column in lower case, of the body of a trigger that only assigns to NEW.

    None for any other body, or if a column is assigned twice.
    """
    statements = list(_split(_tokens(body), ";"))
    if _UNCLEAR.search(body) or not statements:
        return None
    if _same(statements[0][:1], "begin"):
        statements[0] = statements[0][1:]
        if not _same(statements.pop(), "end"):
            return None
    if statements and _same(statements[-1], "return", "new"):
        statements.pop()
    parts = [part for each in statements for part in _split(each[1:] if _same(each[:1], "set") else each, ",")]
    if not all(_same(part[:2], "new", ".") for part in parts):
        return None
    return _assigned([part[2:] for part in parts])


def of_updates(text: str, keys: Container[str]) -> dict[str, str] | None:
    """Return the expressions, by column in lower case, of a CREATE TRIGGER that only updates the row after its INSERT.

    Empty for a trigger that is not on INSERT; None for any other one, or if a column is assigned twice. `keys` are
    the columns, in lower case, that are never NULL: in another one, a row may not be equal to itself.
    """
    tokens = _tokens(text)
    words = [each.lower().strip('"`') for each in tokens]
    begin = words.index("begin") if "begin" in words else len(words)
    if "insert" not in words[:begin]:
        return {}
    at = words.index("insert")
    own = words[at + 2] if words[at - 1 : at + 2] == ["after", "insert", "on"] else None
    if _UNCLEAR.search(text) or own is None or "when" in words[:begin]:
        return None
    parts: list[list[str]] = []
    for statement in _split(tokens[begin + 1 : -1], ";"):
        match [each.lower().strip('"`') for each in statement]:
            case ["update", table, "set", *_, "where", key, "=", "new", ".", same]:
                if table != own or key != same or key not in keys:
                    return None
                parts += _split(statement[3:-6], ",")
            case _:
                return None
    return _assigned(parts)


def _assigned(parts: Sequence[Sequence[str]]) -> dict[str, str] | None:
    expressions: dict[str, str] = {}
    for part in parts:
        match part:
            case [name, (":=" | "="), first, *more] if name.strip('"`[]').lower() not in expressions:
                expressions[name.strip('"`[]').lower()] = "".join((first, *more))
            case _:
                return None
    return expressions


def _tokens(text: str) -> list[str]:
    return [match[0] for match in _TOKEN.finditer(text) if match.lastgroup != "comment"]


def _same(tokens: Sequence[str], *words: str) -> bool:
    return [each.lower() for each in tokens] == [*words]


def _split(tokens: Sequence[str], mark: str) -> Iterator[list[str]]:
    """Yield the parts of tokens between marks outside of parentheses, without empty ones."""
    part: list[str] = []
    depth = 0
    for each in tokens:
        depth += (each == "(") - (each == ")")
        if each == mark and depth == 0:
            yield from ([part] if part else ())
            part = []
        else:
            part.append(each)
    yield from ([part] if part else ())
