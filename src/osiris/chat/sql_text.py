"""SQL templates in both directions: `{column} + {typed}` is filled in, and matched against SQL text.

Matching compares token by token: white space is ignored, and keywords are case-insensitive.
"""

from __future__ import annotations

import re
from functools import cache

_WORDS = """
all alter analyse analyze and anti any array as asc asof asymmetric at authorization between binary both by case cast
check collate collation column concurrently constraint create cross cube current_catalog current_role current_schema
current_user default deferrable desc describe distinct do else end except false fetch for force foreign freeze from full
glob grant group having ilike in initially inner insert intersect interval into is isnull join lambda lateral leading
left like limit lock map natural not notnull null offset on only or order outer overlaps pivot pivot_longer pivot_wider
placing positional primary qualify references returning revoke right rollback rollup select semi session_user show
similar some summarize symmetric table tablesample then to trailing true union unique unpack unpivot using values
variadic verbose when where window with partitioned_by regexp rlike uncache xor
"""
_RESERVED = frozenset(_WORDS.split())
"""Words that need quotes as a name."""

_CONTROL = r"[\x00-\x1f\x7f\u0085\u2028\u2029]"
_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$\{[^}]*\}|\{\w+\}"""
    r"""|(?P<clause>(?i:group|order|partition)\s+(?i:by)\b|(?i:over)(?=\s*\())"""
    r"""|(?P<blank>\s+)|\d+\.\d+|\w+|--|/\*|<=|>=|<>|\|\||.""",
    re.DOTALL,
)

_NAME = r'(?:[A-Za-z_]\w*|"(?:[^"]|"")*")'
_REFERENCE = rf"{_NAME}(?: \. {_NAME})?"
_TEXT = r"'(?:[^']|'')*'"
_PIECE = rf"(?:{_TEXT}|chr \( \d+ \))"
_LITERAL = (
    rf"(?:(?:- )?\d+(?:\.\d+)?|TRUE|FALSE|CAST \( {_TEXT} AS UUID \)"
    rf"|(?:DATE|TIME|TIMESTAMP|TIMESTAMPTZ) {_TEXT}|{_PIECE}(?: \|\| {_PIECE})*)"
)
_OPERAND = rf"(?:CAST \( {_REFERENCE} AS DATE \)|{_REFERENCE})"
_PARTS = {
    "column": _REFERENCE,
    "other": _REFERENCE,
    "operand": _OPERAND,
    "side": rf"(?:{_LITERAL}|\$\{{[^}}]*\}}|{_OPERAND})",
    "sides": rf"{_LITERAL}(?: , {_LITERAL})*",
    "formats": rf"{_TEXT}(?: , {_TEXT})+",
    "both": rf"{_LITERAL} AND {_LITERAL}",
    "type": r"[A-Z]\w*(?: [A-Z]+)*(?: \( \d+ , \d+ \))?",
    "measure": ".+",
    "keys": ".+",
}
"""Patterns of placeholders by name; all others match a literal."""


def quote(name: str) -> str:
    """Return a name as a SQL identifier, quoted only where necessary."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _RESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'


def unquoted(name: str) -> str:
    """Return the name of a SQL identifier."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def text_literal(text: str) -> str:
    """Return a text as a SQL literal on one line; OML placeholders in it are split."""
    parts = re.split(rf"({_CONTROL})|(?<=\$)(?=\{{)|(?<=\{{)(?=\{{)", text)
    pieces = [
        f"chr({ord(part)})" if re.fullmatch(_CONTROL, part) else "'" + part.replace("'", "''") + "'"
        for part in parts
        if part
    ]
    return " || ".join(pieces) or "''"


def tokens(sql: str) -> list[str]:
    """Return the tokens of a text."""
    return [
        " ".join(each[0].upper().split()) if each["clause"] or each[0].lower() in _RESERVED else each[0]
        for each in _TOKEN.finditer(sql)
        if not each["blank"]
    ]


def spaced(sql: str) -> str:
    """Return a text with one space between its tokens."""
    return " ".join(tokens(sql))


def split(words: list[str], by: str) -> list[list[str]]:
    """Split tokens at a separator outside parentheses; the AND of BETWEEN is not one."""
    parts: list[list[str]] = [[]]
    depth, is_between = 0, False
    for word in words:
        depth += (word == "(") - (word == ")")
        if word == by and not depth and not is_between:
            parts.append([])
        else:
            parts[-1].append(word)
        if word in ("BETWEEN", "AND") and not depth:
            is_between = word == "BETWEEN"
    return parts


def read(template: str, text: str) -> dict[str, str] | None:
    """Return the placeholders of a template matched against a `spaced` text; None if it does not match."""
    match = _pattern(template).fullmatch(text)
    return match.groupdict() if match else None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    used: set[str] = set()

    def part(word: str) -> str:
        name = word[1:-1]
        if not re.fullmatch(r"\{\w+\}", word):
            return re.escape(word)
        if name in used:
            return f"(?P={name})"
        used.add(name)
        return f"(?P<{name}>{_PARTS.get(name, _LITERAL)})"

    return re.compile(" ".join(map(part, tokens(template))), re.DOTALL)


def literals(text: str) -> list[str]:
    """Return the values of the literals in a text that otherwise has only commas and AND."""
    return [value_of(each) for each in re.findall(_LITERAL, text)]


def is_literal(text: str) -> bool:
    """Tell whether a text is a literal."""
    return re.fullmatch(_LITERAL, text) is not None


def value_of(literal: str) -> str:
    """Return the value of a literal for a request."""
    parts = re.findall(rf"({_TEXT})|chr \( (\d+) \)", literal)
    if not parts:
        return literal.replace("- ", "-").lower()
    return "".join(text[1:-1].replace("''", "'") if text else chr(int(code)) for text, code in parts)
