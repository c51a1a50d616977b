"""SQL as templates, both ways: `{column} + {typed}` is filled in, and text in which that was done is read.

What is read is compared word by word: blanks do not count, nor do small letters in words that SQL keeps for itself.
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
"""Words that SQL does not take as a name without quotes."""

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
"""What stands in a template, by the name of its place; for all others a value."""


def quote(name: str) -> str:
    """Return a name as SQL takes it, in quotation marks only where it must have them."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _RESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'


def unquoted(name: str) -> str:
    """Return a name that SQL has."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def text_literal(text: str) -> str:
    """Return a text as SQL on one line; what would be a placeholder of OML is split."""
    parts = re.split(rf"({_CONTROL})|(?<=\$)(?=\{{)|(?<=\{{)(?=\{{)", text)
    written = [
        f"chr({ord(part)})" if re.fullmatch(_CONTROL, part) else "'" + part.replace("'", "''") + "'"
        for part in parts
        if part
    ]
    return " || ".join(written) or "''"


def tokens(sql: str) -> list[str]:
    """Return the words of a text."""
    return [
        " ".join(each[0].upper().split()) if each["clause"] or each[0].lower() in _RESERVED else each[0]
        for each in _TOKEN.finditer(sql)
        if not each["blank"]
    ]


def spaced(sql: str) -> str:
    """Return a text with one blank between its words."""
    return " ".join(tokens(sql))


def split(words: list[str], by: str) -> list[list[str]]:
    """Return the words between those that separate them outside of parentheses; BETWEEN has an AND of its own."""
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
    """Return what stands in the places of a template in a text, which is `spaced`; None if it is none of that."""
    found = _pattern(template).fullmatch(text)
    return found.groupdict() if found else None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    seen: set[str] = set()

    def part(word: str) -> str:
        name = word[1:-1]
        if not re.fullmatch(r"\{\w+\}", word):
            return re.escape(word)
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>{_PARTS.get(name, _LITERAL)})"

    return re.compile(" ".join(map(part, tokens(template))), re.DOTALL)


def literals(text: str) -> list[str]:
    """Return the values of all literals of a text that has nothing else beside commas and AND."""
    return [value_of(each) for each in re.findall(_LITERAL, text)]


def is_literal(text: str) -> bool:
    """Tell whether a text is a value."""
    return re.fullmatch(_LITERAL, text) is not None


def value_of(literal: str) -> str:
    """Return the value of a literal as a request has it."""
    parts = re.findall(rf"({_TEXT})|chr \( (\d+) \)", literal)
    if not parts:
        return literal.replace("- ", "-").lower()
    return "".join(text[1:-1].replace("''", "'") if text else chr(int(code)) for text, code in parts)
