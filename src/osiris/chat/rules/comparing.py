"""What is said of a column: a time, a comparison, values, that it is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.rules.lexicon import is_dated
from osiris.chat.rules.operators import COMPARISONS
from osiris.chat.rules.periods import within
from osiris.chat.rules.query import (
    Aggregate,
    Condition,
    Flag,
    Known,
    Mention,
    Missing,
    Related,
    Test,
    Value,
)
from osiris.chat.rules.values import NOTHING, SOMETHING, number_value, unit_behind, values_of

if TYPE_CHECKING:
    from osiris.chat.rules.cursor import Cursor

_IS = ("is", "are", "was", "were", "be", "equals", ":", "being")


_NEGATIVE = {"<": ">=", ">": "<=", "=": "<>", ">=": "<", "<=": ">"}


def behind(cursor: Cursor, left: Mention | Aggregate) -> Condition | None:
    """Read what is said of a column: a time, a comparison, values, that it is missing."""
    start = cursor.at
    readers = (_time_of, _null, _between, _compared, _listed, _flag)
    for read in readers:
        if found := read(cursor, left):
            return found
        cursor.at = start
    return None


def _time_of(cursor: Cursor, left: Mention | Aggregate) -> Condition | None:
    if not isinstance(left, Mention) or not any(each.column and is_dated(each.column) for each in left.columns):
        return None
    cursor.skip(("values", "value"))
    if (cursor.text(-1), cursor.text()) == ("on", "or") or (cursor.text(-1) == "since" and cursor.text() != "is"):
        cursor.at -= 1  # `due on or after 2024-06-01`, `since 2024`, where the columns are due_on and since
    dated = tuple(each for each in left.columns if each.column and is_dated(each.column))
    is_done = left.text.lower().endswith("ed")
    return within(cursor, replace(left, columns=dated), bare=is_done or cursor.kind() == "date")


def _null(cursor: Cursor, left: Mention | Aggregate) -> Condition | None:
    if not isinstance(left, Mention):
        return None
    cursor.skip(("is", "are", "was", "has", "have", "being", "do", "does"))
    negated = cursor.take("not") is True
    cursor.skip(("been", "be", "a", "an", "have"))
    word = cursor.take_one(NOTHING) or cursor.take_one(SOMETHING)
    if word is None and cursor.take("set"):
        word = "known" if cursor.text() != "to" else None
    if word is None:
        return None
    return Missing(left, negated=negated != (word not in NOTHING))


def _between(cursor: Cursor, left: Mention | Aggregate) -> Condition | None:
    cursor.skip(("is", "are", "was", "lies", "ranges", "ranging"))
    word = cursor.take_one(("between", "from"))
    low = number_value(cursor) if word else None
    if low is None or not cursor.take_one(("and", "to", "-")):
        return None
    high = number_value(cursor)
    return Test(left, "between", (low, high)) if high else None


def _compared(cursor: Cursor, left: Mention | Aggregate) -> Condition | None:
    cursor.skip(("is", "are", "was", "were", "of", "has", "have", "being"))
    negated = cursor.take("not") is True
    operator = cursor.phrase(COMPARISONS)
    if operator is None:
        return None
    values = (_spelled_part(cursor) if operator in _PARTS else ()) or values_of(cursor, left, free=True)
    if not values:
        return None
    if operator in (">", "<", ">=", "<=") and (len(values) > 1 or values[0].kind == "text"):
        return None
    found = _or_equal(cursor, Test(left, operator, values, text=unit_behind(cursor)))
    return opposite(found) if negated else found


_PARTS = frozenset(("contains", "starts", "ends"))


def _spelled_part(cursor: Cursor) -> tuple[Value, ...]:
    """Read a part of a text that is no word: one capital letter, or `example.com`."""
    token = cursor.tokens[cursor.at] if not cursor.done else None
    if token is None or not (token.kind == "dotted" or (len(token.raw) == 1 and token.raw.isupper())):
        return ()
    cursor.at += 1
    return (Value(token.raw, "text", exact=True),)


def _or_equal(cursor: Cursor, test: Test) -> Test:
    """Read `5 or more`, `5 and above`."""
    for words, operator in _AFTER.items():
        if test.operator == "=" and cursor.take(*words):
            return replace(test, operator=operator)
    return test


_AFTER = {
    ("or", "more"): ">=",
    ("or", "above"): ">=",
    ("or", "higher"): ">=",
    ("or", "over"): ">=",
    ("or", "greater"): ">=",
    ("and", "above"): ">=",
    ("and", "over"): ">=",
    ("and", "up"): ">=",
    ("or", "less"): "<=",
    ("or", "fewer"): "<=",
    ("or", "lower"): "<=",
    ("or", "under"): "<=",
    ("or", "below"): "<=",
    ("and", "below"): "<=",
}


def _listed(cursor: Cursor, left: Mention | Aggregate) -> Condition | None:
    """Read `is paid`, `in (paid, open)`, `not paid`, `: paid`, `paid or open`."""
    opened = isinstance(left, Mention) and cursor.text(-len(left.text.split()) - 1) in (
        "with",
        "where",
        "having",
        "whose",
    )
    cursor.skip(("column", "field", "value"))
    said = cursor.take_one(_IS) is not None or cursor.take("set", "to")
    negated = cursor.take("not") is True
    said = said or negated or cursor.take_one(("either",)) is not None
    weak = cursor.take_one(("in", "among", "of", "from", "for")) is not None
    cursor.take("one", "of")
    cursor.skip(("of", ":", "(", "either", "equal", "to", "called"))
    values = values_of(cursor, left, free=bool(said) or _is_name_ahead(cursor, left))
    cursor.skip((")",))
    if not values or (isinstance(left, Aggregate) and values[0].kind != "number"):
        return None
    if not said and not weak and not opened and values[0].kind == "number":
        return None
    unit = unit_behind(cursor) if values[-1].kind == "number" else ""
    found = _or_equal(cursor, Test(left, "=", values, text=unit))
    return opposite(found) if negated else found


def _is_name_ahead(cursor: Cursor, left: Mention | Aggregate) -> bool:
    """Tell whether a word with a capital stands right behind a column, that is nothing else: `last name Novak`."""
    if cursor.kind() != "word" or not cursor.tokens[cursor.at].raw[:1].isupper() or not isinstance(left, Mention):
        return False
    return all(not cursor.names.find(kind, cursor.tokens, cursor.at)[1] for kind in ("tables", "columns"))


def _flag(cursor: Cursor, left: Mention | Aggregate) -> Condition | None:
    """Read `is active`, `active is true`, `not active` of a column that is true or false."""
    if not isinstance(left, Mention):
        return None
    flags = tuple(each for each in left.columns if each.column and each.column.type == "bool")
    if not flags:
        return None
    size = len(left.text.split()) + 1
    before = cursor.text(-size) if cursor.text(-size) not in ("the", "a") else cursor.text(-size - 1)
    cursor.skip(("is", "are", "="))
    word = cursor.take_one(("true", "false", "yes", "no", "1", "0", "set"))
    if (
        word is None
        and before not in _SAYS
        and cursor.text() not in ("ones", "but")
        and not (cursor.text() == "and" and cursor.names.find("values", cursor.tokens, cursor.at + 1)[1])
        and not cursor.names.find("tables", cursor.tokens, cursor.at)[1]
    ):
        return None
    return Flag(replace(left, columns=flags), negated=word in ("false", "no", "0"))


_SAYS = frozenset(["is", "are", "was", "were", "not", "only", "who", "that", "still", "currently", "be"])


def opposite(found: Condition) -> Condition | None:
    """Return the opposite of a condition; None where no words say it."""
    match found:
        case Test() if found.operator in _NEGATIVE and len(found.values) == 1:
            return replace(found, operator=_NEGATIVE[found.operator])
        case Test(operator="=") | Test(operator="contains") | Test(operator="starts") | Test(operator="ends"):
            return replace(found, operator=f"not {found.operator}")
        case Missing() | Known() | Flag() | Related():
            return replace(found, negated=not found.negated)
        case _:
            return None
