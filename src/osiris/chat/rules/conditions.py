"""Conditions in words: comparisons, known values, times, what is missing, what is related."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.rules.comparing import behind, opposite
from osiris.chat.rules.cursor import Cursor, column_mention, linked, mention, table_mention
from osiris.chat.rules.lexicon import is_date, is_number
from osiris.chat.rules.measures import aggregate
from osiris.chat.rules.operators import ADJECTIVES, COMPARISONS, MEASURED, MEASURED_BY, MEASURES, MONEY
from osiris.chat.rules.periods import within
from osiris.chat.rules.query import (
    Aggregate,
    Condition,
    Known,
    Mention,
    Missing,
    Related,
    Test,
    Value,
    Within,
)
from osiris.chat.rules.values import STARTS, is_table, number_value, unit_behind
from osiris.chat.rules.vocabulary import EMPTY, FUNCTION_OF, UNIT_OF, word_set

if TYPE_CHECKING:
    from osiris.chat.rules.lexicon import Candidate

_OPENERS = word_set("""
    where with whose whereby having only when if who which that are is have has and but for
    """)
_NOUN_GRAMMAR = frozenset(EMPTY | set(FUNCTION_OF) | set(UNIT_OF) | {"number", "count", "first", "last", "by", "name"})


def condition(cursor: Cursor) -> Condition | None:
    """Read one condition; None, and nothing read, if none comes."""
    start = cursor.at
    if cursor.text() == "but" and (
        cursor.text(1) in _EXCEPTED or not (cursor.said.conditions or cursor.text(1) == "not")
    ):
        return None  # `all but the open ones`
    for read in (
        _related,
        _undone,
        _signed,
        _without,
        _counted,
        _named,
        _adjective,
        _bare_time,
        _between,
        _number_first,
        _known,
        _having,
    ):
        if found := read(cursor):
            return found
        cursor.at = start
    return None


_EXCEPTED = frozenset(("the", "those", "for", "any"))


def _related(cursor: Cursor) -> Condition | None:
    """Read `that have no orders`, `without any orders`, `with at least one order`."""
    cursor.skip(_OPENERS)
    negated = bool(
        cursor.take("without") or cursor.take("no") or cursor.take("do", "not", "have") or cursor.take("not", "have")
    )
    some = negated or cursor.take("at", "least", "one") or cursor.take("some") or cursor.take("at", "least", "1")
    cursor.skip(("any", "a", "an", "single", "corresponding", "matching"))
    if not some or _column_here(cursor):
        return None
    table = table_mention(cursor)
    return Related(table, negated) if table else None


def _undone(cursor: Cursor) -> Condition | None:
    """Read `not returned yet`, `never shipped` of a date: that it is missing."""
    cursor.skip(_OPENERS)
    if not cursor.take_one(("not", "never")):
        return None
    cursor.skip(("been", "yet"))
    start = cursor.at
    left = column_mention(cursor) if cursor.text().endswith("ed") else None
    if left is None or cursor.names.find("values", cursor.tokens, start)[1]:
        return None
    if not all(each.column and is_date(each.column) for each in left.columns) or is_table(left):
        return None
    if within(replace(cursor), left, bare=True) is not None:
        return None
    cursor.skip(("yet", "so", "far"))
    return Missing(left, negated=False)


_SIGNED = {"negative": "<", "positive": ">"}


def _signed(cursor: Cursor) -> Condition | None:
    """Read `with a negative balance`."""
    cursor.skip(_OPENERS | {"a", "an", "the"})
    sign = cursor.take_one(_SIGNED)
    left = _number_column(cursor) if sign else None
    return Test(left, _SIGNED[sign], (Value("0", "number"),), text=str(sign)) if sign and left else None


def _column_here(cursor: Cursor) -> bool:
    """Tell whether a column is named here exactly, which goes before a table."""
    end, found = cursor.names.find("columns", cursor.tokens, cursor.at)
    table_end, tables = cursor.names.find("tables", cursor.tokens, cursor.at)
    near = min((each.tier for each in found), default=9)
    return end > table_end or (end == table_end and bool(found) and (not tables or near < min(t.tier for t in tables)))


def _without(cursor: Cursor) -> Condition | None:
    """Read `without an email`, `missing email`, `with no email`, `that have an email`."""
    cursor.skip(_OPENERS)
    negative = cursor.take_one(("without", "no", "missing", "lacking")) or (cursor.take("do", "not", "have") and "no")
    if not negative:
        return None
    cursor.skip(("any", "a", "an", "known", "given"))
    if cursor.text() in ("column", "columns", "field", "fields", "the"):
        return None
    left = column_mention(cursor)
    if left is None or cursor.text() in ("column", "columns", "field", "fields"):
        return None
    if cursor.names.find("values", cursor.tokens, cursor.at)[1]:
        return None  # `without status paid`
    return Missing(left, negated=False)


def _having(cursor: Cursor) -> Condition | None:
    """Read `with an email`, `who have a phone number`."""
    if not cursor.take_one(("with", "having", "have", "has")) or not cursor.take_one(("a", "an", "any", "some")):
        return None
    cursor.skip(("known", "valid", "given"))
    left = column_mention(cursor)
    if left is None or is_table(left) or cursor.text() in ("and", ",", "column", "as", "field"):
        return Missing(left, negated=True) if left and not is_table(left) and _ends(cursor) else None
    return Missing(left, negated=True)


def _ends(cursor: Cursor) -> bool:
    """Tell whether nothing more of a list follows, so that not the columns of the result are meant."""
    probe = replace(cursor)
    probe.skip(("and", ",", "as", "a", "an", "the", "to"))
    return mention(probe) is None


def _counted(cursor: Cursor) -> Condition | None:
    """Read `with more than 5 orders`: a comparison with how many rows of a table there are."""
    cursor.skip(_OPENERS)
    operator = cursor.phrase(COMPARISONS)
    number = number_value(cursor) if operator in ("<", ">", "<=", ">=", "=") else None
    if operator is None or number is None or _column_here(cursor):
        return None
    distinct = cursor.take_one(("different", "distinct", "unique")) is not None
    table = table_mention(cursor)
    if table is None:
        return None
    return Test(Aggregate("count", table, distinct=distinct), operator, (number,))


def _named(cursor: Cursor) -> Condition | None:
    """Read a condition that begins with its column, or with an aggregate."""
    cursor.skip(_OPENERS)
    negated = cursor.take("not") is True
    left = _left(cursor)
    if left is None:
        return None
    found = behind(cursor, left)
    if found is None or not negated:
        return found
    return opposite(found)


def _left(cursor: Cursor) -> Mention | Aggregate | None:
    start = cursor.at
    opened = cursor.text(-1) in ("where", "whose", "with", "having", "if", "when", "only")
    if opened and (found := aggregate(cursor)):
        if isinstance(found, Aggregate) and cursor.text() in STARTS | {"is", "are", "of", "between"}:
            return found.plain if found.plain and not found.of else found
        cursor.at = start
    found_ = mention(cursor)
    far = found_ is not None and bool(found_.owners) and " of " in f" {found_.text.lower()} "
    if found_ is None or ((far or is_table(found_)) and cursor.text() not in _LABELLED):
        cursor.at = start
        return None
    return found_


_LABELLED = frozenset(("is", "are", "=", ":", "equals", "named", "called", "was"))


def _adjective(cursor: Cursor) -> Condition | None:
    """Read `cheaper than 5`, `priced above 5`: the word tells the column."""
    cursor.skip(_OPENERS)
    word = cursor.take_one(ADJECTIVES)
    if word is None:
        return None
    operator, columns = ADJECTIVES[word]
    if not operator and (low := _low(cursor)) and (high := number_value(cursor)):
        return Test(None, "between", (low, high), words=columns, text=word)
    said = cursor.phrase(COMPARISONS) if not operator else (operator if cursor.take("than") else None)
    number = number_value(cursor) if said else None
    if number is None:
        return None
    unit = unit_behind(cursor)
    if unit and columns == MEASURED["long"]:
        columns = MEASURED_BY[MEASURES[cursor.text(-1)][0]]
    left = None if unit else _number_column(cursor)
    return Test(left, str(said), (number,), words="" if left else columns, text=f"{word}{unit}")


def _low(cursor: Cursor) -> Value | None:
    """Read `between 20 and` before another number."""
    low = number_value(cursor) if cursor.take_one(("between", "from")) else None
    return low if low and cursor.take_one(("and", "to")) else None


def _number_column(cursor: Cursor) -> Mention | None:
    """Read the column that a number is of: `longer than 300 pages`."""
    start = cursor.at
    left = column_mention(cursor)
    if left and not is_table(left) and all(each.column and is_number(each.column) for each in left.columns):
        return left
    cursor.at = start
    return None


def _bare_time(cursor: Cursor) -> Condition | None:
    """Read a time of which no column is said: `in 2024`, `2024` before a table, `only 2024`."""
    start = cursor.at
    if cursor.text(-1) in ("like", "as") or (cursor.text(-2), cursor.text(-1)) == ("as", "of"):
        return None  # a time that shows how times are written, or of which rows are a snapshot
    cursor.skip(_OPENERS - {"for"})
    cursor.take("not")
    if cursor.tokens[cursor.at - 1 : cursor.at] and cursor.tokens[cursor.at - 1].text == "not":
        return None
    generic = cursor.take_one(("placed", "made", "taken", "issued", "recorded", "happened", "occurred", "dated"))
    said = cursor.said.conditions
    later = cursor.text(-1) == "or" and bool(said) and isinstance(said[-1], Within)
    bare = bool(generic) or later or cursor.text(-1) == "only" or start == 0 or cursor.kind() == "date"
    found = within(cursor, None, bare=bare)
    if found and generic == "dated":
        return replace(found, text=f"dated {found.text}", dated=True)
    return found or _year_of(cursor)


def _year_of(cursor: Cursor) -> Condition | None:
    """Read `2024 orders`, `the March 2024 orders`."""
    cursor.skip(("the",))
    found = within(cursor, None, bare=True)
    if found is None:
        return None
    _, tables = cursor.names.find("tables", cursor.tokens, cursor.at)
    return found if tables else None


def _number_first(cursor: Cursor) -> Condition | None:
    """Read `over 5 seats`, `with at least 3 bedrooms`, `over $10`: a comparison, then its column or a sum of money."""
    cursor.skip(_OPENERS)
    start = cursor.at
    operator = cursor.phrase(COMPARISONS)
    if operator is None and cursor.text(-1) in ("with", "having", "have", "has"):
        return _so_many(cursor)
    number = number_value(cursor) if operator in ("<", ">", "<=", ">=", "=") else None
    if operator is None or number is None:
        return None
    money = cursor.tokens[cursor.at - 1].raw[:1] in "$€£" or cursor.take_one(MONEY) is not None
    if not money and (measured := _measured(cursor, operator, number)):
        return measured
    cursor.skip(("in", "of") if cursor.text(1) != "total" else ("in",))
    left = None if money else column_mention(cursor)
    if left is None and cursor.kind() == "word" and money:
        left = column_mention(cursor)
    text = cursor.raw(start)
    if left is None and not money and _is_of_groups(cursor, start):
        return Test(None, operator, (number,), words="group", text=text)
    if left is None:
        return Test(None, operator, (number,), words="money" if money else "measure", text=text)
    return Test(left, operator, (number,), text=text)


def _between(cursor: Cursor) -> Condition | None:
    """Read `between 5 and 10 seats`, `between 100 and 200`; of years nothing is read, nor of groups."""
    cursor.skip(_OPENERS)
    start = cursor.at
    low = _low(cursor)
    high = number_value(cursor) if low else None
    if low is None or high is None or {len(low.text), len(high.text)} == {4} or _is_of_groups(cursor, start):
        return None
    text = cursor.raw(start)
    left = None if cursor.take_one(MONEY) else _number_column(cursor)
    return Test(left, "between", (low, high), words="" if left else "measure", text=text)


def _is_of_groups(cursor: Cursor, start: int) -> bool:
    return bool({cursor.tokens[at].text for at in range(max(0, start - 4), start)} & _OF_GROUPS)


def _measured(cursor: Cursor, operator: str, number: Value) -> Condition | None:
    """Read the unit behind a number, which tells the column: `over 5 minutes`, `at least 50 meters high`."""
    start = cursor.at
    if cursor.text() not in MEASURES or _number_column(replace(cursor)):
        return None
    unit = unit_behind(cursor)
    words = MEASURED_BY[MEASURES[cursor.text(-1)][0]]
    if left := _number_column(cursor):
        return Test(left, operator, (number,), text=f"{number.text} {cursor.raw(start)}{unit}")
    if word := cursor.take_one(MEASURED):
        words = MEASURED[word]
    return Test(None, operator, (number,), words=words, text=f"{number.text} {cursor.raw(start)}{unit}")


def _so_many(cursor: Cursor) -> Condition | None:
    """Read `with 2 engines`."""
    number = number_value(cursor)
    left = _number_column(cursor) if number else None
    return Test(left, "=", (number,)) if number and left else None


_OF_GROUPS = frozenset(("those", "ones", "having", "groups"))


def _known(cursor: Cursor) -> Condition | None:
    """Read values that the data hold: `paid orders`, `in Germany or France`, `not cancelled`."""
    cursor.skip(_OPENERS | {"in", "from", "of", "by", "at", "the", "marked", "as", "called", "named"})
    negated = cursor.take("not") is True or cursor.take_one(("non", "except", "excluding", "outside")) is not None
    if not cursor.text().startswith("work") and linked(cursor):
        negated = negated or cursor.take("outside")
    cursor.skip(("-", "for", "in", "the", "of", "from", "to"))
    start = cursor.at
    choices = []
    while True:
        end, found = cursor.names.find("values", cursor.tokens, cursor.at)
        column_end, columns = cursor.names.find("columns", cursor.tokens, cursor.at)
        named = column_end > end and any(each.tier <= 1 for each in columns)  # the value SHIP in `ship mode`
        if not found or named or (end == cursor.at + 1 and cursor.text() in _NOUN_GRAMMAR):
            break
        choices.append(found)
        cursor.at = end
        if not _joined_value(cursor, found):
            break
    if not choices:
        return None
    text = cursor.raw(start)
    before = cursor.at
    _noun(cursor, choices[0])
    return Known(tuple(choices), negated, text, noun=cursor.at > before)


def _joined_value(cursor: Cursor, before: tuple[Candidate, ...]) -> bool:
    """Read what stands between two values of a column, if another one follows."""
    start = cursor.at
    cursor.skip((",", "or", "and", "nor", "in", "from", "the"))
    _, found = cursor.names.find("values", cursor.tokens, cursor.at)
    shared = {each.key for each in found} & {each.key for each in before}
    if cursor.at > start and shared and cursor.text() not in _NOUN_GRAMMAR:
        return True
    cursor.at = start
    return False


def _noun(cursor: Cursor, found: tuple[Candidate, ...]) -> None:
    """Read the noun behind a value if it is what holds it: `Rock genre`, `paid status`."""
    start = cursor.at
    end, columns = cursor.names.find("columns", cursor.tokens, start)
    table_end, tables = cursor.names.find("tables", cursor.tokens, start)
    own = {each.key for each in found}
    relations = {each.relation.id for each in found}
    near = min((each.tier for each in tables), default=9)
    if any(each.key in own and each.tier <= near for each in columns) and end >= table_end:
        cursor.at = end
    elif relations & {each.relation.id for each in tables} and cursor.said.tables:
        cursor.at = table_end
