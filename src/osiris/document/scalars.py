"""What a plain YAML scalar means, where everybody agrees on it.

`null`, `true`, `false` (also capitalised) and nothing at all are what they say; decimal and 0x integers and decimal
fractions are numbers; an ISO date is text. Whatever YAML 1.1 and YAML 1.2 read differently has no value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.model import JsonValue

MAX_DIGITS = 308

_SPECIAL = frozenset("0123456789+-.~=<nNyYtTfFoO")
_WORDS = {word: value for name, value in (("null", None), ("true", True), ("false", False))
          for word in (name, name.capitalize(), name.upper())}  # fmt: skip
_TWO_WAYS = re.compile(
    r"~|=|<<|[yn]|yes|no|on|off"  # words of YAML 1.1
    r"|[-+]?0[0-9_]+|0o[0-7]+|[-+]?0b[01_]+|[-+]0x[0-9a-f_]+"  # octal, binary, signed hexadecimal
    r"|[-+]?[0-9]*[0-9.]_[0-9._]*(e[-+]?[0-9]+)?|0x[0-9a-f]*_[0-9a-f_]*"  # digits in groups
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # base 60
    r"|[-+]?([0-9]+|[0-9]*\.[0-9]*)e[0-9]+|[-+]?[0-9]+e[-+][0-9]+"  # exponents without a sign or a point
    r"|[-+]\.[0-9]+(e[-+]?[0-9]+)?"  # a sign, and nothing before the point
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([t]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}.*",  # a date with a time
    re.IGNORECASE,
)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def resolve_plain(text: str) -> JsonValue:
    """Return the value of a plain scalar; raises `TwoWays` or `NotANumber` where it has none."""
    if not text:
        return None
    if text[0] not in _SPECIAL:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _TWO_WAYS.fullmatch(text):
        raise TwoWays
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise NotANumber
        return int(text, 0)
    if _NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        number = float(text) if _NUMBER.fullmatch(text) else float("inf")
        if number in (float("inf"), float("-inf")):
            raise NotANumber
        return number
    return text


class TwoWays(ValueError):
    """A plain scalar that means one thing in YAML 1.1 and another in YAML 1.2."""


class NotANumber(ValueError):
    """A plain scalar that looks like a number and is none that JSON could carry."""
