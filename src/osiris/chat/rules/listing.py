"""What a result shows: columns, aggregates, new names, what is left out."""

from __future__ import annotations

from dataclasses import replace

from osiris.chat.rules import measures
from osiris.chat.rules.conditions import condition
from osiris.chat.rules.cursor import ARTICLES, Cursor, column_mention, mention, table_mention
from osiris.chat.rules.lexicon import is_date
from osiris.chat.rules.query import Aggregate, Mention, Output
from osiris.chat.rules.tokens import split_name, stem
from osiris.chat.rules.vocabulary import DISTINCT, EMPTY, FORMATS, word_set

_ADDING = word_set("""
    with including plus add adding along together include attach also alongside showing and
    """)


def renamed(cursor: Cursor) -> bool:
    """Read `rename name to artist`, `call it artist`."""
    if not cursor.take_one(("rename", "renaming", "call")):
        return False
    of = column_mention(cursor)
    cursor.skip(("column", "field"))
    if of is None or not (cursor.take_one(("to", "as", "into")) or cursor.text(-2) == "call"):
        return False
    name = _name(cursor)
    if name:
        cursor.said.renamed.append((of, name))
    return name is not None


def _name(cursor: Cursor) -> str | None:
    """Read a name that the person gives."""
    if cursor.kind() not in ("word", "string") or cursor.text() in EMPTY | set(FORMATS):
        return None
    cursor.at += 1
    return cursor.tokens[cursor.at - 1].raw.strip("\"'\u201c\u201d\u2018\u2019`")


def distinct(cursor: Cursor) -> bool:
    """Read `distinct`, `without duplicates`."""
    for words in (
        ("without", "duplicates"),
        ("no", "duplicates"),
        ("remove", "duplicates"),
        ("without", "any", "duplicates"),
    ):
        if cursor.take(*words):
            cursor.said.distinct = True
            return True
    if cursor.take_one(DISTINCT) or cursor.take_one(("dedupe", "deduplicate")):
        cursor.said.distinct = True
        return True
    return False


def counted_some(cursor: Cursor) -> bool:
    """Read `number of paid orders`: a condition between the count and its table."""
    found = condition(cursor) if measures.counting(cursor) else None
    table = table_mention(cursor) if found else None
    if found is None or table is None:
        return False
    cursor.said.conditions.append(found)
    cursor.said.joints.append("and")
    cursor.said.aggregates.append(Output(Aggregate("count", table)))
    return True


def counted_rows(cursor: Cursor) -> bool:
    """Read `flights per carrier with count`: what is counted is what was grouped."""
    said, opened = cursor.said, cursor.text(-1) in ("with", "the", "a", "and", "their")
    if not (said.groups and said.tables and opened) or cursor.take_one(("count", "counts")) is None:
        return False
    if cursor.kind() in ("number", "op") or mention(replace(cursor)) is not None:
        return False
    said.aggregates.append(Output(Aggregate("count", said.tables[0]), name=_given_name(cursor)))
    return True


def rounded(cursor: Cursor) -> bool:
    """Read `rounded to 2 decimals`, said of all that is computed."""
    digits = measures.rounding(cursor)
    if digits is None or not cursor.said.aggregates:
        return False
    cursor.said.aggregates = [
        replace(each, of=replace(each.of, digits=digits)) if isinstance(each.of, Aggregate) else each
        for each in cursor.said.aggregates
    ]
    return True


def aggregated(cursor: Cursor) -> bool:
    """Read aggregates, and further columns of the same one: `total price and quantity`."""
    cursor.skip((*_ADDING, "only", ","))
    start = cursor.at
    several = measures.functions(cursor)
    of = measures.expression(cursor) if several else None
    if of is not None:
        cursor.said.aggregates.extend(Output(Aggregate(function, of)) for function in several)
        return True
    cursor.at = start
    found = measures.aggregate(cursor)
    if found is None:
        return False
    cursor.said.aggregates.append(Output(found, name=_given_name(cursor)))
    while found.of is not None and found.function != "count" and (more := _further(cursor)):
        cursor.said.aggregates.append(Output(replace(found, of=more, plain=None), name=_given_name(cursor)))
    return True


def _further(cursor: Cursor) -> Mention | None:
    start = cursor.at
    if cursor.take_one(("and", ",", "&")) and measures.aggregate(replace(cursor)) is None:
        found = column_mention(cursor)
        if found and not (found.tables and found.tables[0].tier == 0):
            return found
    cursor.at = start
    return None


def _given_name(cursor: Cursor) -> str | None:
    start = cursor.at
    if cursor.take_one(("as", "called", "named", "renamed")):
        cursor.skip(("to", "as"))
        if name := _name(cursor):
            return name
    cursor.at = start
    return None


def mentioned(cursor: Cursor) -> bool:
    """Read a list of columns, or a table."""
    added = cursor.text(-1) in _ADDING or cursor.text(-2) in _ADDING - {"and"}
    start, before = cursor.at, cursor.text(-1)
    found = mention(cursor)
    if found is None:
        return False
    said = cursor.said
    if found.tables and (not found.columns or _nearer(found)):
        _tabled(cursor, found, start, before, added=added)
    elif cursor.group_end == start or _is_done(found) or (not said.outputs and not added and _may_be_count(found)):
        said.unread.append(found.text)
    else:
        beside = before == "and" and cursor.table_end == start - 1
        said.outputs.append(Output(found, added=added, name=_given_name(cursor), beside=beside))
        cursor.output_start, cursor.output_end = start, cursor.at
    return True


def _tabled(cursor: Cursor, found: Mention, start: int, before: str, *, added: bool) -> None:
    """Keep a table: as what rows are of, or as a column of the result where one thing of it is added."""
    said = cursor.said
    if (said.tables or said.outputs) and (added or cursor.text(-2) in (",", "and")) and is_singular(found):
        said.outputs.append(Output(found, added=added, name=_given_name(cursor)))
    elif before == "with" and said.aggregates and not said.tables:
        said.unread.append(f"with {found.text}")  # of which rows are counted, or only that there are any
    elif said.outputs and cursor.output_end == start and cursor.tokens[start].text not in ARTICLES:
        said.unread.append(cursor.raw(cursor.output_start))  # one name of two nouns, or a list
    else:
        said.tables.append(found)
        if "of" not in (before, cursor.tokens[max(0, start - 2)].text):
            cursor.table_end = cursor.at


def _is_done(found: Mention) -> bool:
    """Tell whether a verb speaks of dates, as `shipped` does, so that it tells when rather than what to list."""
    last = found.text.lower().split()[-1]
    dates = [each.column for each in found.columns if each.column and is_date(each.column)]
    named = any(last in split_name(each.name) and len(split_name(each.name)) == 1 for each in dates)
    return last.endswith(("ed", "sold", "born", "paid")) and len(dates) == len(found.columns) and not named


def _may_be_count(found: Mention) -> bool:
    """Tell whether `amount of fines` may be how many there are as well as their column of that name."""
    return found.text.lower().startswith(("amount of ", "quantity of ")) and not is_singular(found)


def is_singular(found: Mention) -> bool:
    """Tell whether one thing is meant, as `with their category` means the name of one."""
    word = found.text.lower().split()[-1]
    return word == stem(word) and word != "data"


def _nearer(found: Mention) -> bool:
    return min(each.tier for each in found.tables) <= min(each.tier for each in found.columns)
