"""Groups and orders in words."""

from __future__ import annotations

from dataclasses import replace
from re import fullmatch
from typing import TYPE_CHECKING

from osiris.chat.rules.cursor import ARTICLES, column_mention, mention, table_mention
from osiris.chat.rules.lexicon import best, is_date, is_number, key_of
from osiris.chat.rules.measures import aggregate, expression
from osiris.chat.rules.query import Aggregate, Expression, Group, Mention, Order, Within
from osiris.chat.rules.vocabulary import DAILY, PARTS, UNIT_OF

if TYPE_CHECKING:
    from osiris.chat.rules.cursor import Cursor


_GROUPS = {
    ("per",): False,
    ("for", "each"): False,
    ("for", "every"): False,
    ("in", "each"): False,
    ("in", "every"): False,
    ("by", "each"): False,
    ("within", "each"): False,
    ("grouped", "by"): False,
    ("group", "by"): False,
    ("grouping", "by"): False,
    ("group", "them", "by"): False,
    ("group", "it", "by"): False,
    ("broken", "down", "by"): False,
    ("broken", "down", "per"): False,
    ("split", "by"): False,
    ("aggregated", "by"): False,
    ("aggregate", "by"): False,
    ("summed", "by"): False,
    ("across",): False,
    ("each",): True,
    ("every",): True,
    ("by",): True,
}
"""What opens a list of groups, and whether it may be meant otherwise."""


_ASCENDING = {
    ("ascending",): False,
    ("asc",): False,
    ("alphabetically",): False,
    ("in", "ascending", "order"): False,
    ("in", "alphabetical", "order"): False,
    ("in", "chronological", "order"): False,
    ("chronologically",): False,
    ("descending",): True,
    ("desc",): True,
    ("in", "descending", "order"): True,
    ("in", "reverse", "order"): True,
    ("from", "highest", "to", "lowest"): True,
    ("from", "largest", "to", "smallest"): True,
    ("from", "high", "to", "low"): True,
    ("from", "most", "to", "least"): True,
    ("highest", "to", "lowest"): True,
    ("from", "lowest", "to", "highest"): False,
    ("from", "low", "to", "high"): False,
    ("from", "newest", "to", "oldest"): True,
    ("from", "oldest", "to", "newest"): False,
    ("decreasing",): True,
    ("increasing",): False,
    ("ascending", "order"): False,
    ("descending", "order"): True,
    ("in", "increasing", "order"): False,
    ("in", "decreasing", "order"): True,
    ("from", "a", "to", "z"): False,
    ("from", "z", "to", "a"): True,
} | {
    (word, "first"): descending
    for words, descending in (
        ("highest largest biggest greatest most newest latest longest top", True),
        ("lowest smallest least oldest earliest shortest cheapest fewest", False),
    )
    for word in words.split()
}
"""Directions, and whether they go down."""


_SORTED = frozenset(["sorted", "ordered", "sort", "order", "arranged", "ranked", "sorting", "ordering", "arrange"])


SUPERLATIVES = {
    "largest": (True, "measure"),
    "biggest": (True, "measure"),
    "highest": (True, "measure"),
    "greatest": (True, "measure"),
    "smallest": (False, "measure"),
    "lowest": (False, "measure"),
    "cheapest": (False, "price cost"),
    "priciest": (True, "price cost"),
    "expensive": (True, "price cost"),
    "longest": (True, "duration length minutes milliseconds seconds"),
    "shortest": (False, "duration length minutes milliseconds seconds"),
    "heaviest": (True, "weight mass"),
    "lightest": (False, "weight mass"),
    "newest": (True, "date"),
    "latest": (True, "date"),
    "recent": (True, "date"),
    "oldest": (False, "date"),
    "earliest": (False, "date"),
}
"""Words that rank: whether the greatest come first, and by which columns."""


def groups(cursor: Cursor) -> list[Group]:
    """Read what rows are grouped by; nothing is read if it does not come."""
    start = cursor.at
    if cursor.text() in ("each", "every") and _is_nothing_said(cursor):
        return []
    cursor.take("and")
    loose = cursor.phrase(_GROUPS)
    found: list[Group] = []
    item = _group(cursor, loose=loose) if loose is not None else None
    while item is not None:
        found.append(item)
        before = cursor.at
        cursor.skip(("and", ",", "&", "then", "per", "by", "for", "each", "every"))
        by = cursor.text(-1) == "by" and cursor.at == before + 1
        item = _group(cursor, loose=loose or by) if cursor.at > before and not _is_other(cursor) else None
        if item is None:
            cursor.at = before
    if not found:
        cursor.at = start
    return found


def _is_nothing_said(cursor: Cursor) -> bool:
    """Tell whether nothing came so far that could be grouped: `get me every order` is about orders."""
    said = cursor.said
    return not (said.tables or said.outputs or said.aggregates or said.groups or said.conditions)


def _is_other(cursor: Cursor) -> bool:
    """Tell whether something else than a group comes: an aggregate, an order, or how a unit is written."""
    probe = replace(cursor)
    if UNIT_OF.get(probe.text()) and (probe.text(1) in _SHOWN or probe.text(1) == "like"):
        return True
    sorts = probe.text() in _SORTED and (probe.text(1) in ("by", "on") or column_mention(replace(probe)) is None)
    return sorts or aggregate(probe) is not None


def _group(cursor: Cursor, *, loose: bool) -> Group | None:
    start = cursor.at
    cursor.skip((*ARTICLES, "calendar"))
    if part := cursor.phrase(PARTS):
        return Group(None, part, loose)
    unit_at = cursor.at
    unit = UNIT_OF.get(cursor.text())
    of = mention(cursor)
    if unit and (of is None or cursor.at == unit_at + 1):
        cursor.at = unit_at + 1
        later = _date_behind(cursor)
        return Group(later or of, unit, loose)
    if of is None:
        cursor.at = start
        return None
    if unit := UNIT_OF.get(cursor.text()):
        cursor.at += 1
        return Group(None if not of.columns else of, unit, loose)
    return Group(of, None, loose)


def _date_behind(cursor: Cursor) -> Mention | None:
    """Read `of the order date` behind a unit."""
    start = cursor.at
    if cursor.take_one(("of", "from")):
        if found := column_mention(cursor):
            return found
        if table_mention(cursor):
            return None
    cursor.at = start
    return None


def units(cursor: Cursor) -> list[Group]:
    """Read `monthly` before what it is said of."""
    if cursor.text() not in DAILY:
        return []
    probe = replace(cursor, at=cursor.at + 1)
    if aggregate(replace(probe)) is None and mention(replace(probe)) is None:
        return []
    cursor.at += 1
    return [Group(None, UNIT_OF[cursor.text(-1)])]


def written(cursor: Cursor) -> bool:
    """Read `month written like 2024-05` if that is how the unit of a group comes out."""
    start = cursor.at
    cursor.skip(("and", "with", "the", "("))
    unit = UNIT_OF.get(cursor.text())
    cursor.take_one(UNIT_OF)
    cursor.take_one(_SHOWN)
    form = cursor.take_one(("like", "as"))
    said = {each.unit for each in cursor.said.groups}
    units = [
        each for each in _WRITTEN if each in said and unit in (None, each) and (each != "month" or "year" not in said)
    ]
    for size in (5, 3, 1) if form else ():
        example = "".join(each.text for each in cursor.tokens[cursor.at : cursor.at + size])
        if any(fullmatch(_WRITTEN[each], example) for each in units):
            cursor.at += size
            cursor.skip((")",))
            return True
    cursor.at = start
    return False


_SHOWN = frozenset(["written", "shown", "formatted", "displayed", "given", "expressed", "format"])
_WRITTEN = {
    "day": r"\d{4}-\d\d-\d\d|yyyy-mm-dd",
    "week": r"\d{4}-\d\d-\d\d|yyyy-mm-dd",
    "month": r"\d{4}-\d\d|yyyy-mm",
    "year": r"\d{4}|yyyy",
}
"""How units come out, as people show it by one of them."""


def orders(cursor: Cursor) -> list[Order]:
    """Read what rows are sorted by; nothing is read if it does not come."""
    start = cursor.at
    for read in (_sorted, _in_order_of, _first):
        if found := read(cursor):
            return found
        cursor.at = start
    return []


def _first(cursor: Cursor) -> list[Order]:
    """Read `cheapest first`, `highest amount first`; a direction of what was said before is none of these."""
    cursor.skip(("with", "the", "and"))
    start = cursor.at
    cursor.take("most")
    word = cursor.take_one(SUPERLATIVES)
    if word is None:
        return []
    descending, columns = SUPERLATIVES[word]
    said, bare = cursor.said, cursor.text() in ("first", "ones")
    if bare and (said.orders or said.aggregates or said.groups):
        return []
    table = None if bare or said.tables else table_mention(replace(cursor))
    dated = _named_date(cursor) if columns == "date" and not bare and not table else None
    by = None if bare else table_mention(cursor) if table else dated or expression(cursor)
    cursor.skip(("ones",) if bare else ())
    if not cursor.take("first") or not (bare or by):
        return []
    if table:
        said.tables.append(table)
        by = None
    return [Order(by, descending, cursor.raw(start) if by else f"\0{columns}")]


def _named_date(cursor: Cursor) -> Mention | None:
    """Read `start` of `latest start first`: the date that is called so."""
    columns = cursor.names.columns.get(key_of([cursor.text(), "date"]), ())
    found = best(each for each in columns if each.column and is_date(each.column))
    if not found:
        return None
    text = cursor.text()
    cursor.at += 1
    cursor.take_one(("date", "time"))
    return Mention(text, found)


def _sorted(cursor: Cursor) -> list[Order]:
    cursor.skip(("and", "then"))
    if cursor.take_one(_SORTED) is None:
        return []
    cursor.skip(("it", "them", "this", "the", "result", "results", "rows", "output", "everything"))
    early = cursor.phrase(_ASCENDING)
    if cursor.take_one(("by", "on")):
        return _keys(cursor, bool(early))
    return [Order(None, early, cursor.raw(cursor.at - 1))] if early is not None else []


def _in_order_of(cursor: Cursor) -> list[Order]:
    """Read `in descending order of total`, `by total descending`."""
    early = cursor.phrase(_ASCENDING)
    if early is None or not cursor.take_one(("of", "by")):
        return []
    return _keys(cursor, early)


def _keys(cursor: Cursor, descending: bool) -> list[Order]:
    found: list[Order] = []
    while True:
        start = cursor.at
        cursor.skip(("and", ",", "then", "by") if found else ())
        if found and cursor.at == start:
            return found
        key = _key(cursor, descending)
        if key is None:
            cursor.at = start
            return found
        found.append(key)


def _key(cursor: Cursor, descending: bool) -> Order | None:
    cursor.skip(("the", "their", "its"))
    start = cursor.at
    by: Expression | Aggregate | None = _pointed(cursor) or aggregate(cursor) or expression(cursor)
    if by is None and UNIT_OF.get(cursor.text()):
        cursor.at += 1
        by = Mention(cursor.text(-1))
    if by is None and not cursor.take_one(("it", "that", "this", "count", "counts", "number", "date")):
        return None
    text = cursor.raw(start)
    end = cursor.at
    direction = cursor.phrase(_ASCENDING)
    if direction is None:
        cursor.skip((",", "in", "(") if cursor.phrase_ahead(_ASCENDING) else ())
        direction = cursor.phrase(_ASCENDING)
    if direction is not None and not fits(by, cursor.raw(end)):
        cursor.at, direction = end, None
    cursor.skip((")",) if direction is not None else ())
    return Order(by, descending if direction is None else direction, text)


def _pointed(cursor: Cursor) -> Mention | None:
    """Read `that date`: the column that a time was last said of."""
    start = cursor.at
    times = [each.left for each in cursor.said.conditions if isinstance(each, Within) and each.left]
    if times and cursor.take_one(("that", "this", "same", "said")) and cursor.take("date"):
        return times[-1]
    cursor.at = start
    return None


def is_measure(text: str) -> bool:
    """Tell whether a direction can be said of what is counted or computed, as `newest first` cannot."""
    words = text.lower().split()
    return words[-1] != "first" or SUPERLATIVES.get(words[-2], (False, "measure"))[1] == "measure"


def fits(by: Expression | Aggregate | None, text: str) -> bool:
    """Tell whether `newest first`, `cheapest first` can be said of what rows are sorted by."""
    words = text.lower().split()
    kind = SUPERLATIVES.get(words[-2], (False, "measure"))[1] if words[-1] == "first" else "measure"
    if kind == "measure" or not isinstance(by, Mention) or not by.columns:
        return True
    holds = is_date if kind == "date" else is_number
    return all(each.column is not None and holds(each.column) for each in by.columns)


def direction(cursor: Cursor) -> bool | None:
    """Read a direction by itself: `descending`, `highest first`; returns whether it goes down."""
    start = cursor.at
    cursor.skip(("with", "the", "and"))
    found = cursor.phrase(_ASCENDING)
    if found is None:
        cursor.take("most")
        word = cursor.take_one(SUPERLATIVES)
        found = SUPERLATIVES[word][0] if word and cursor.take("first") else None
    if found is None:
        cursor.at = start
    return found


def most(cursor: Cursor) -> Order | None:
    """Read `with the most orders`, `with the highest price`; None, and nothing read, if it does not come."""
    start = cursor.at
    cursor.skip(("with", "having", "that", "which", "have", "has", "by"))
    cursor.skip(("the",))
    word = cursor.take_one(
        ("most", "fewest", "least", "highest", "largest", "lowest", "smallest", "biggest", "greatest")
    )
    descending = word in ("most", "highest", "largest", "biggest", "greatest")
    if word and cursor.at > start + 1:
        if found := aggregate(cursor):
            return Order(found, descending, cursor.raw(start))
        if word in ("most", "fewest", "least") and (table := table_mention(cursor)):
            return Order(Aggregate("count", table), descending, cursor.raw(start))
        if column := expression(cursor):
            return Order(column, descending, cursor.raw(start))
    cursor.at = start
    return None
