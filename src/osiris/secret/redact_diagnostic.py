"""Redact diagnostics: secrets always, and values of data for agents, packages and pages.

Values are shown on the console, where a user needs them to fix the cause. Agents and all later reports of a run get
only their kind and length; names, counts and row numbers are kept.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from string import Formatter
from typing import TYPE_CHECKING, Any

from osiris.codes import CODES
from osiris.secret.literals import find_literal_secrets, redact, sounds_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue


def redacted(item: Diagnostic) -> Diagnostic:
    """Return a diagnostic without secrets."""
    pointer = _plain(item.location.pointer or "")
    at = item.location if redact(pointer) == pointer else replace(item.location, pointer=None)
    fix = item.fix if all(map(_is_free_of_secrets, item.fix)) else ()
    return replace(item, message=redact(item.message), hint=item.hint and redact(item.hint), location=at, fix=fix)


def _is_free_of_secrets(operation: Mapping[str, Any]) -> bool:
    """Whether an operation of a fix contains no secret."""
    key, value = str(operation.get("path", "")).rpartition("/")[2], operation.get("value")
    texts = [_plain(str(operation.get(name, ""))) for name in ("path", "from", "old")]
    if any(redact(text) != text for text in texts):
        return False
    return value is None or not (find_literal_secrets(value, f"/{key}") or (key and sounds_secret(key)))


def _plain(pointer: str) -> str:
    """Return a JSON Pointer without its escapes."""
    return pointer.replace("~1", "/").replace("~0", "~")


_VALUES = {"DAT001": "value", "DAT015": "value", "DAT028": "key", "DAT031": "value"}
"""The reasons of DAT015 and DAT031 are of types and columns: those who give them put no data into them."""
_TEXTS = {
    "problem": "DAT020 DRV026 DAT032 DAT033 DAT035 DAT047 DRV013 RUN007 SQL011",
    "reason": "DAT014 DRV000 DRV064 DSC005 INT000",
    "what": "DAT010",
}
QUOTING = {code: names.split() for code, names in _VALUES.items()} | {
    code: [name] for name, codes in _TEXTS.items() for code in codes.split()
}
"""By code: the parameters of its message that are, or quote, values of data; some are messages of other programs."""

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
"""Words in the messages of engines; other words can come from data, by a query like `error(name)`."""

_SHAPES = {("DAT028", "problem"): "has NULL in it|(?:appears|stands) in [0-9]+ rows[^=]*"}
"""Patterns of parameters that are separated from a value only by a space."""

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
"""Possible values in a text; the group `kept` matches what certainly is none: names after their kind, places, counts.
"""


def mask_values(item: Diagnostic) -> Diagnostic:
    """Return a diagnostic without values of data."""
    return replace(item, message=masked_message(item.code, item.message))


def masked_message(code: str, message: str) -> str:
    """Return the message of a code with kind and length instead of each value that it quotes."""
    if code not in QUOTING or code not in CODES:
        return message
    template, match = match_message(code, message, greedy=True)
    if match is None:
        return masked_text(message)
    mask = _masked_words if code == "SQL011" else masked_text
    masked = {name: mask(text) for name, text in match.groupdict().items() if name in QUOTING[code]}
    for name in _VALUES.get(code, "").split()[:1]:
        masked[name] = _key(match[name]) if code == "DAT028" else _value(match[name])
    return template.format(**(match.groupdict() | masked))


def masked_text(text: str) -> str:
    """Return a text with kind and length in place of quoted values and numbers."""
    return _PIECES.sub(_masked, text)


def _masked_words(text: str) -> str:
    """Return an engine's message with only its own words: the others come from the query, and can contain values."""

    def mask(match: re.Match[str]) -> str:
        return match[0] if match["engine"] is None or match[0].lower() in _OF_ENGINES else "…"

    return _WORDS.sub(mask, masked_text(text))


def masked_problems(value: JsonValue) -> JsonValue:
    """Return a JSON value in which all diagnostics are without values of data."""
    if isinstance(value, list):
        return [masked_problems(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: masked_problems(item) for key, item in value.items()}
    is_problem = isinstance(inner.get("code"), str) and isinstance(inner.get("message"), str)
    return {**inner, "message": masked_message(inner["code"], inner["message"])} if is_problem else inner


_WORDS = re.compile(r"<[^<>]*>|(?P<engine>[^\W\d_][\w'-]*)")


def _masked(piece: re.Match[str]) -> str:
    kind, text = next((name, group) for name, group in piece.groupdict().items() if group is not None)
    if kind == "kept":
        return text
    if kind == "number":
        return "<number>"
    mask = f"<text of {len(text)} characters>" if kind in ("single", "double") else "<value>"
    return f"=({mask})" if kind == "tuple" else mask


def _value(text: str) -> str:
    """Mask a value, which may be followed by its row."""
    match = re.fullmatch(r"(?P<value>.*?)(?P<row> in row \d+| \(row[^()]*\))?", text, re.DOTALL)
    value, row = (match["value"], match["row"] or "") if match else (text, "")
    if re.fullmatch(r"(a|one of its) values?", value):
        return text
    masked = masked_text(value)
    mask = masked if re.fullmatch(r"<[^<>]*>", masked) else f"<value of {len(value)} characters>"
    return mask + masked_text(row)


def _key(text: str) -> str:
    """Mask the values of a key, and keep its columns."""
    parts = re.split(r"(?:^|, )([^=,'\"]+)=", text)
    return (
        ", ".join(f"{name}={_value(value)}" for name, value in zip(parts[1::2], parts[2::2], strict=True)) or "<value>"
    )


def match_message(code: str, message: str, *, greedy: bool = False) -> tuple[str, re.Match[str] | None]:
    """Return the template, today's or a former one, that made a code's message, and the match with its parameters.

    Groups are lazy; with `greedy`, those that quote values (`QUOTING`) are greedy.
    """
    row = CODES[code]
    matches = ((each, _pattern(code, each, greedy=greedy).fullmatch(message)) for each in (row.message, *row.former))
    return next(((template, match) for template, match in matches if match), (row.message, None))


@cache
def _pattern(code: str, template: str, *, greedy: bool) -> re.Pattern[str]:
    """Return the pattern of messages made by a template, with its parameters as named groups."""
    parts, names = [], set[str]()
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(re.escape(literal))
        if name in names:
            parts.append(f"(?P={name})")
        elif name:
            quoting = greedy and name in QUOTING[code]
            shape = (greedy and _SHAPES.get((code, name))) or (".*" if quoting else ".*?")
            parts.append(f"(?P<{name}>{shape})")
            names.add(name)
    return re.compile("".join(parts), re.DOTALL)
