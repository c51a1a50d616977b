"""Values in words: numbers, what stands in quotes, what the data are known to hold."""

from __future__ import annotations

from dataclasses import replace

from osiris.chat.rules.cursor import Cursor, column_mention
from osiris.chat.rules.numerals import number_text
from osiris.chat.rules.operators import COMPARISONS, MEASURES, MONEY
from osiris.chat.rules.query import (
    Aggregate,
    Mention,
    Value,
)
from osiris.chat.rules.spelling import GRAMMAR
from osiris.chat.rules.vocabulary import EMPTY, word_set

NOTHING = frozenset(
    ["null", "missing", "empty", "blank", "unknown", "nothing", "none", "undefined", "nan", "absent", "unset"]
)


SOMETHING = frozenset(["known", "present", "filled", "available", "given"])


def is_table(found: Mention) -> bool:
    """Tell whether words name a table rather than a column."""
    nearest = min((each.tier for each in found.columns), default=9)
    return bool(found.tables) and min(each.tier for each in found.tables) <= nearest


STARTS = frozenset(words[0] for words in COMPARISONS)


def unit_behind(cursor: Cursor) -> str:
    """Read the unit behind a number; money is none."""
    if cursor.take_one(MONEY):
        return ""
    unit = cursor.take_one(MEASURES)
    return f" in {unit}" if unit else ""


def number_value(cursor: Cursor) -> Value | None:
    """Read a number, in digits or in words."""
    cursor.skip(("a", "an", "the", "$") if cursor.kind(1) in ("number", "word") else ())
    text = number_text(cursor)
    return Value(text, "number") if text is not None else None


def values_of(cursor: Cursor, left: Mention | Aggregate, *, free: bool) -> tuple[Value, ...]:
    """Read values, alternatives; words that are not known to be values of the column only if `free`."""
    found: list[Value] = []
    while (value := _value(cursor, left, free=free)) is not None:
        found.append(value)
        start = cursor.at
        cursor.skip((",", "or", "nor", "and") if _more_follow(cursor, left) else (",", "or", "nor"))
        if cursor.at == start or (_value_ahead(cursor, left) is None):
            cursor.at = start
            break
    return tuple(found)


def _more_follow(cursor: Cursor, left: Mention | Aggregate) -> bool:
    """Tell whether `and` goes on with a value of the same column: a known or a quoted one."""
    if cursor.text() != "and" and cursor.text(1) != "and":
        return False
    probe = replace(cursor, at=cursor.at + (1 if cursor.text() == "and" else 2))
    return _value_ahead(probe, left) is not None


def _value_ahead(cursor: Cursor, left: Mention | Aggregate) -> Value | None:
    """Return the value that comes next if it can be nothing else; nothing is read."""
    probe = replace(cursor)
    found = _value(probe, left, free=False)
    condition_follows = probe.text() in STARTS and found is not None and found.kind == "number"
    return None if condition_follows else found


def _value(cursor: Cursor, left: Mention | Aggregate, *, free: bool) -> Value | None:
    start = cursor.at
    cursor.skip(("the", "a", "an"))
    if cursor.kind() == "string":
        cursor.at += 1
        return Value(cursor.text(-1), "text", exact=True)
    if isinstance(left, Mention) and (known := _known_value(cursor, left)):
        return known
    if number := number_value(cursor):
        cursor.take_one(MONEY)
        return number
    if free and cursor.text() in ("true", "false"):
        cursor.at += 1
        return Value(cursor.text(-1), "bool")
    if free and cursor.kind() in ("word", "dotted", "date") and isinstance(left, Mention):
        return _free_value(cursor, left)
    cursor.at = start
    return None


def may_be_value(cursor: Cursor) -> bool:
    """Tell whether a word that is nothing else comes, which may be a value of the column beside it."""
    token = cursor.tokens[cursor.at] if not cursor.done else None
    if token is None or token.kind != "word" or not token.text.isalpha() or len(token.text) < _SHORTEST:
        return False
    if token.text in GRAMMAR | _VAGUE or token.text.endswith(_ENDINGS) or cursor.text() in STARTS | NOTHING | SOMETHING:
        return False
    return not any(cursor.names.find(kind, cursor.tokens, cursor.at)[1] for kind in ("tables", "columns", "values"))


_SHORTEST = 3
_VAGUE = word_set("""
    old new good bad other same different own previous former original proper right wrong better normal special
    certain particular specific similar general state main primary secondary final initial real actual true false
    usual typical free full half partial near next prior
    """)
"""Adjectives that are hardly ever a value."""

_ENDINGS = ("ed", "ing", "ly")


def _known_value(cursor: Cursor, left: Mention) -> Value | None:
    end, found = cursor.names.find("values", cursor.tokens, cursor.at)
    own = {each.key for each in left.columns}
    spelled = {each.value for each in found if each.key in own and each.value}
    if len(spelled) != 1:
        return None
    cursor.at = end
    return Value(spelled.pop(), "text", exact=True)


def _free_value(cursor: Cursor, left: Mention) -> Value | None:
    """Read words that are taken as a value: those with a capital together, or another column, or one word."""
    if cursor.text() in EMPTY or cursor.text() in STARTS or cursor.text() in NOTHING:
        return None
    numeric = all(each.column and each.column.type != "utf8" for each in left.columns)
    if numeric or cursor.kind() == "dotted":
        other = column_mention(cursor)
        return Value(other.text, "column", of=other) if other else None
    words = [cursor.tokens[cursor.at].raw]
    cursor.at += 1
    while cursor.kind() == "word" and words[0][0].isupper() and cursor.tokens[cursor.at].raw[0].isupper():
        words.append(cursor.tokens[cursor.at].raw)
        cursor.at += 1
    return Value(" ".join(words), "text")
