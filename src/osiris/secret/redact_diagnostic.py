"""Diagnostics as they may be told: without secrets, and, for agents, packages and pages, without values of data.

Whoever runs a pipeline needs the value to repair it, and sees it on the console. What is told of a run later, and to
agents, has columns and counts: of a value only its kind and length. Names and numbers of rows stay.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from string import Formatter
from typing import TYPE_CHECKING, Any

from osiris.codes import CODES
from osiris.secret.literals import conceal, find_literal_secrets, sounds_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue


def concealed(item: Diagnostic) -> Diagnostic:
    """Return a diagnostic that repeats no secret, whatever it quotes."""
    pointer = _plain(item.location.pointer or "")
    at = item.location if conceal(pointer) == pointer else replace(item.location, pointer=None)
    fix = item.fix if all(map(_is_open, item.fix)) else ()
    return replace(item, message=conceal(item.message), hint=item.hint and conceal(item.hint), location=at, fix=fix)


def _is_open(operation: Mapping[str, Any]) -> bool:
    """Tell whether a part of a fix repeats no secret."""
    key, value = str(operation.get("path", "")).rpartition("/")[2], operation.get("value")
    texts = [_plain(str(operation.get(name, ""))) for name in ("path", "from", "old")]
    if any(conceal(text) != text for text in texts):
        return False
    return value is None or not (find_literal_secrets(value, f"/{key}") or (key and sounds_secret(key)))


def _plain(pointer: str) -> str:
    """Return a JSON Pointer as the words that it is made of were written."""
    return pointer.replace("~1", "/").replace("~0", "~")


_VALUES = {"DAT001": "value", "DAT015": "value reason", "DAT028": "key", "DAT031": "value reason"}
_TEXTS = {
    "problem": "DAT020 DRV026 DAT032 DAT033 DAT035 DAT047 DRV013 RUN007 SQL011",
    "reason": "DAT014 DRV000 DRV064 DSC005 INT000",
    "what": "DAT010",
}
QUOTING = {code: names.split() for code, names in _VALUES.items()} | {
    code: [name] for name, codes in _TEXTS.items() for code in codes.split()
}
"""By code: the parameters of its message that are, or quote, values of data. Other programs wrote some of them."""

_ENGINE_WORDS = """
a according addition an and any are argument array as at be because been bigint binary bit blob boolean by bytes
called can can't cannot cast casting char character column constant conversion convert converted could data date
datetime day decimal destination digits division does double empty entry error escape exceeded exceeds expected
expression failed field fit float float4 float8 following for format from function has have hour hugeint in incorrect
input int int128 int16 int32 int64 int8 integer interval into invalid is it its json key larger length limit list long
maximum memory minute missing month more multiplication must name negative no not null number numeric of on one only
or out overflow parameter parse parsed parsing pattern positive precision query range regex regexp result row rows
scale second set signed size smaller smallint source specifier string struct subquery subtraction syntax table text
than that the time timestamp tinyint to too truncated type uint16 uint32 uint64 uint8 unexpected unsigned unterminated
used using uuid value values varchar warning was when which with without would xml year zero
"""
_OF_ENGINES = frozenset(_ENGINE_WORDS.split())
"""Words of which the messages of engines are made; a query can put any others into one (`error(name)`)."""

_SHAPES = {("DAT028", "problem"): "has NULL in it|stands in [0-9]+ rows[^=]*"}
"""What else tells where a value ends, of which nothing but a blank parts it."""

_PIECES = re.compile(
    r"""
    (?P<kept> <(?:text|value|number)\b[^<>]*>
      | \b(?:column|table|relation|file|constraint|schema|database|user|role|type|check|field|step|function|index
        |for[ ]key) [ ] (?:'[^'\n]*' | "[^"\n]*")
      | \b(?:has|row|line|byte|column|position|error|warning|status|SQLSTATE) [ ]+ \d[\w,]*
      | \b\d[\d,]* [ ] (?:rows?|lines?|bytes|characters|digits|fields|columns|values)\b
      | \b[A-Za-z]\w* \( \d[\d,\ ]* \) )
    | =\( (?P<tuple> .*? ) \) (?=[ ]already | [ ]is[ ] | [ ]conflicts | \.? \)? $)
    | (?:(?<=with[ ]value[ ]) (?P<cast> .*?) (?=[ ]can't[ ]be[ ]cast)
      | (?<=cast[ ]value[ ]) (?P<other> .*?) (?=[ ]to[ ])
      | (?<=Input:[ ]) (?P<input> .*) )
    | (?:(?<!\w) | (?<=\bb))
      (?: ' (?P<single> (?:\\. | [^'\\] | '(?=\w))* ) (?:' | $)
        | " (?P<double> (?:\\. | [^"\\] | "(?=\w))* ) (?:" | $) )
    | (?P<number> (?<![\w.]) [+-]? \.? \d [\w.,:+-]*\w | (?<![\w.]) [+-]? \d | \b[0-9a-f]{8}-[0-9a-f-]{27}\b )
    """,
    re.VERBOSE | re.DOTALL,
)
"""What may be a value in a text, after what is surely none: names with what they are the name of, places, counts."""


def unvalued(item: Diagnostic) -> Diagnostic:
    """Return a diagnostic without values of data."""
    return replace(item, message=masked_message(item.code, item.message))


def masked_message(code: str, message: str) -> str:
    """Return the message of a code with kind and length instead of each value that it quotes."""
    if code not in QUOTING or code not in CODES:
        return message
    template = CODES[code].message
    found = message_pattern(code, greedy=True).fullmatch(message)
    if found is None:
        return masked_text(message)
    masked = _masked_words if code == "SQL011" else masked_text
    known = {name: masked(text) for name, text in found.groupdict().items() if name in QUOTING[code]}
    for name in _VALUES.get(code, "").split()[:1]:
        known[name] = _key(found[name]) if code == "DAT028" else _value(found[name])
    return template.format(**(found.groupdict() | known))


def masked_text(text: str) -> str:
    """Return a text with kind and length instead of what is quoted in it, and of its numbers."""
    return _PIECES.sub(_masked, text)


def _masked_words(text: str) -> str:
    """Return a text of an engine with its own words alone: a query chooses the others, and may make them of values."""
    return _WORDS.sub(
        lambda word: word[0] if word["engine"] is None or word[0].lower() in _OF_ENGINES else "…", masked_text(text)
    )


def masked_problems(value: JsonValue) -> JsonValue:
    """Return a JSON value with all diagnostics in it without values of data."""
    if isinstance(value, list):
        return [masked_problems(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: masked_problems(item) for key, item in value.items()}
    is_problem = isinstance(inner.get("code"), str) and isinstance(inner.get("message"), str)
    return {**inner, "message": masked_message(inner["code"], inner["message"])} if is_problem else inner


_WORDS = re.compile(r"<[^<>]*>|(?P<engine>[^\W\d_][\w'-]*)")


def _masked(piece: re.Match[str]) -> str:
    kind, text = next((name, found) for name, found in piece.groupdict().items() if found is not None)
    if kind == "kept":
        return text
    if kind == "number":
        return "<number>"
    told = f"<text of {len(text)} characters>" if kind in ("single", "double") else "<value>"
    return f"=({told})" if kind == "tuple" else told


def _value(text: str) -> str:
    """Return what is told of a value, which may be followed by its row."""
    found = re.fullmatch(r"(?P<value>.*?)(?P<row> in row \d+| \(row[^()]*\))?", text, re.DOTALL)
    value, row = (found["value"], found["row"] or "") if found else (text, "")
    if re.fullmatch(r"(a|one of its) values?", value):
        return text
    masked = masked_text(value)
    told = masked if re.fullmatch(r"<[^<>]*>", masked) else f"<value of {len(value)} characters>"
    return told + masked_text(row)


def _key(text: str) -> str:
    """Return the columns of a key with kind and length of their values."""
    parts = re.split(r"(?:^|, )([^=,'\"]+)=", text)
    return (
        ", ".join(f"{name}={_value(value)}" for name, value in zip(parts[1::2], parts[2::2], strict=True)) or "<value>"
    )


@cache
def message_pattern(code: str, *, greedy: bool = False) -> re.Pattern[str]:
    """Return what matches the messages of a code, with its parameters as groups.

    Each takes as little as it can; what quotes values (`QUOTING`) as much, if `greedy`.
    """
    parts, seen = [], set[str]()
    for literal, name, _, _ in Formatter().parse(CODES[code].message):
        parts.append(re.escape(literal))
        if name in seen:
            parts.append(f"(?P={name})")
        elif name:
            quoting = greedy and name in QUOTING[code]
            shape = (greedy and _SHAPES.get((code, name))) or (".*" if quoting else ".*?")
            parts.append(f"(?P<{name}>{shape})")
            seen.add(name)
    return re.compile("".join(parts), re.DOTALL)
