"""Reads a message from left to right: at each place the first rule that fits takes its words; the rest is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.chat.rules import arranging, measures
from osiris.chat.rules.conditions import condition
from osiris.chat.rules.cursor import Cursor, column_mention, linked, mention, table_mention
from osiris.chat.rules.goals import goal
from osiris.chat.rules.leaving import excluded, goes_on
from osiris.chat.rules.lexicon import is_date, is_number
from osiris.chat.rules.listing import (
    aggregated,
    counted_rows,
    counted_some,
    distinct,
    is_singular,
    mentioned,
    renamed,
    rounded,
)
from osiris.chat.rules.periods import is_relative
from osiris.chat.rules.query import (
    UNKNOWN,
    Group,
    Mention,
    Missing,
    Order,
    Related,
    Said,
    Test,
    Value,
)
from osiris.chat.rules.spelling import corrected
from osiris.chat.rules.tokens import tokens
from osiris.chat.rules.values import is_table, may_be_value
from osiris.chat.rules.vocabulary import EMPTY, PHRASES, REFUSED, SCHEDULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.chat.rules.goals import Places
    from osiris.chat.rules.lexicon import Lexicon
    from osiris.chat.rules.tokens import Token

_POINTING = frozenset(
    ["it", "them", "this", "that", "these", "those", "the", "all", "me", "us", "every", "each", "old", "to"]
)
_TOPS = {"top": False, "first": False, "best": False, "bottom": True, "worst": True, "last": True}


def read(text: str, names: Lexicon, known: Places) -> Said:
    """Return what a message says."""
    words, notes = corrected(_codes_quoted(tokens(text), names), names)
    cursor = Cursor(_spread(words, names), names)
    cursor.said.notes.extend(notes)
    while not cursor.done:
        if cursor.kind() == "punct":
            cursor.at += 1
        elif not _rule(cursor, known):
            _unread(cursor)
    return cursor.said


def _codes_quoted(words: list[Token], names: Lexicon) -> list[Token]:
    """Return tokens in which a code that is a value as it stands, such as `US`, is a text and no word."""
    values = {each.value for found in names.values.values() for each in found}

    def is_code(token: Token) -> bool:
        return token.kind == "word" and len(token.raw) <= _LONGEST_CODE and token.raw.isupper() and token.raw in values

    return [replace(token, kind="string", text=token.raw) if is_code(token) else token for token in words]


_LONGEST_CODE = 3


def _spread(words: list[Token], names: Lexicon) -> list[Token]:
    """Return `first name and last name` for `first and last name`."""
    found: list[Token] = []
    for at, token in enumerate(words):
        found.append(token)
        joined = words[at + 1].text if at + 2 < len(words) else ""
        if token.kind != "word" or joined not in ("and", "or", "&", "/", ","):
            continue
        end, columns = names.find("columns", words, at + 2)
        if end - at < 4 or not columns or any(each.tier <= 1 for each in names.find("columns", words, at)[1]):
            continue
        last = words[end - 1]
        both = names.find("columns", [token, last], 0)
        if both[0] == 2 and any(each.tier <= 1 for each in both[1]):
            found.append(last)
    return found


def _rule(cursor: Cursor, known: Places) -> bool:
    start = cursor.at
    if _refused(cursor) or goal(cursor, known):
        return True
    for rule in _RULES:
        if rule(cursor):
            return True
        cursor.at = start
    return False


def _refused(cursor: Cursor) -> bool:
    """Read what is not done: an imperative of it, or a rhythm."""
    word = cursor.text()
    if (
        word in ("every", "each")
        and cursor.text(1) in SCHEDULES
        and cursor.text(-1) not in ("for", "in", "of", "by", "per")
    ):
        return _refuse(cursor, "schedule runs", 2)
    what = next((what for what, words in REFUSED.items() if word in words.split()), None)
    begins = cursor.text(-1) in ("", "and", "then", "please", ",", ".", ";", "to", "you", "i")
    points = cursor.text(1) in _POINTING and (cursor.text(1) != "to" or cursor.text(-1) in ("", "please", "then"))
    if what and begins and (points or cursor.at == 0) and not _is_table_here(cursor):
        return _refuse(cursor, what, 1)
    return False


def _is_table_here(cursor: Cursor) -> bool:
    """Tell whether a word is the name of a table or a column, and not an imperative."""
    if cursor.text(1) in _POINTING:
        return False
    return any(cursor.names.find(kind, cursor.tokens, cursor.at)[1] for kind in ("tables", "columns"))


def _refuse(cursor: Cursor, what: str, size: int) -> bool:
    start = cursor.at
    cursor.at += size
    cursor.said.refused.append((what, cursor.raw(start)))
    return True


def _ordered(cursor: Cursor) -> bool:
    found = arranging.orders(cursor)
    cursor.said.orders.extend(found)
    return bool(found)


def _directed(cursor: Cursor) -> bool:
    """Read a direction behind what it is said of, or behind groups which it makes an order."""
    start = cursor.at
    down = arranging.direction(cursor)
    if down is None:
        return False
    said, text = cursor.said, cursor.raw(start)
    if said.orders and not arranging.fits(said.orders[-1].by, text):
        said.orders.append(Order(None, down, f"\0{arranging.SUPERLATIVES[text.lower().split()[-2]][1]}"))
    elif said.orders:
        said.orders[-1] = replace(said.orders[-1], descending=down)
    elif said.groups and _is_sorted(said.groups[-1], text) and not said.aggregates:
        last = said.groups.pop()
        said.orders.append(Order(last.of, down, last.of.text if last.of else ""))
    elif (said.groups or said.aggregates) and not (said.aggregates and arranging.is_measure(text)):
        said.unread.append(text)
    else:
        said.orders.append(Order(None, down, text))
    return True


def _is_sorted(last: Group, text: str) -> bool:
    """Tell whether a direction makes an order of `by`: `by amount, largest first`."""
    is_column = last.loose and last.of is not None and not last.unit
    return is_column and (
        not text.lower().endswith("first") or (_is_numeric(last.of) and arranging.fits(last.of, text))
    )


def _is_numeric(of: Mention | None) -> bool:
    columns = [each.column for each in of.columns] if of else []
    return bool(columns) and all(each and (is_number(each) or is_date(each)) for each in columns)


def _ranked(cursor: Cursor) -> bool:
    """Read `top 5`, `the 5 largest`, `the cheapest`: how many, and by what if a word tells."""
    cursor.skip(("the", "only", "just", "show"))
    word = cursor.take_one(_TOPS)
    number = measures.whole_number(cursor)
    if word is None and number is None and not _superlative_ahead(cursor):
        return False
    cursor.take("most")
    best = cursor.take_one(arranging.SUPERLATIVES)
    if best and number is None:
        number = measures.whole_number(cursor)
    if best is None and (word is None or number is None):
        return False
    said = cursor.said
    said.limit = number if number is not None else _how_many(cursor)
    said.bottom = _TOPS.get(word or "", False)
    said.end = word if word in ("first", "last") else ""
    said.ranked = word in ("top", "best", "bottom", "worst")
    if best:
        descending, columns = arranging.SUPERLATIVES[best]
        said.orders.append(Order(None, descending, f"\0{columns}"))
    return True


def _how_many(cursor: Cursor) -> int:
    """Return 1 before one thing, and that it is not known before several."""
    found = mention(replace(cursor))
    return 1 if found and is_singular(found) else UNKNOWN


def _superlative_ahead(cursor: Cursor) -> bool:
    ahead = 1 if cursor.text() == "most" else 0
    if cursor.text(ahead) not in arranging.SUPERLATIVES:
        return False
    probe = replace(cursor, at=cursor.at + ahead + 1)
    measures.whole_number(probe)
    return table_mention(probe) is not None and cursor.text(-1) != "with"


def _counted_off(cursor: Cursor) -> bool:
    """Read `5 customers with the most orders`."""
    number = measures.whole_number(cursor)
    if number is None or mention(replace(cursor)) is None:
        return False
    probe = replace(cursor)
    mention(probe)
    if arranging.most(probe) is None:
        return False
    cursor.said.limit = number
    return True


def _most(cursor: Cursor) -> bool:
    found = arranging.most(cursor)
    if found is None:
        return False
    cursor.said.orders.append(found)
    if cursor.said.limit is None:
        subject = cursor.said.tables[0] if cursor.said.tables else None
        cursor.said.limit = 1 if subject and is_singular(subject) else UNKNOWN
    return True


def _conditioned(cursor: Cursor) -> bool:
    joined = "and" in (cursor.text(), cursor.text(-1))
    listed = cursor.output_end >= 0 and cursor.output_end in (cursor.at - (cursor.text(-1) in ("and", ",")), cursor.at)
    listed = listed and (joined or cursor.text(-1) == ",")
    joint = "or" if cursor.take("or") else "and" if joined else ""
    start = cursor.at
    found = condition(cursor)
    if found is None:
        return False
    if (
        isinstance(found, Missing)
        and cursor.tokens[start].text in ("without", "with")
        and cursor.text(-2) in ("without", "the")
    ):
        found = replace(found, unsure=cursor.tokens[start].text == "without")
    if isinstance(found, Test) and found.values[-1].kind == "number" and _is_rank(cursor):
        return False
    if goes_on(cursor, start) or (listed and isinstance(found, Test) and isinstance(found.left, Mention)):
        cursor.said.unread.append(cursor.raw(start))  # one more thing to leave out, a column of the list, or neither
        return True
    cursor.said.conditions.append(found)
    cursor.said.joints.append(joint)
    if isinstance(found, Related):
        cursor.skip(("yet", "at", "all"))
    return True


def _is_rank(cursor: Cursor) -> bool:
    """Tell whether a number that was read only tells how many: `price of the 5 drugs`, `of the 5 most expensive`."""
    ahead = 1 if cursor.text() == "most" else 0
    before = {cursor.text(-3), cursor.text(-2)}
    tables = "of" in before and cursor.names.find("tables", cursor.tokens, cursor.at)[1]
    return bool(tables) or cursor.text(ahead) in arranging.SUPERLATIVES


def _grouped(cursor: Cursor) -> bool:
    by = cursor.text() == "by"
    if by and cursor.said.limit is not None:
        probe = replace(cursor, at=cursor.at + 1)
        key = measures.aggregate(probe)
        if key:
            cursor.at = probe.at
            cursor.said.orders.append(Order(key, not cursor.said.bottom, "by"))
            return True
    behind_table = cursor.at == cursor.table_end and cursor.text() in ("per", "for", "grouped", "by")
    found = arranging.units(cursor) or arranging.groups(cursor)
    cursor.said.groups.extend(found)
    if found and found[-1].of:
        cursor.group_end = cursor.at
    if found and behind_table and not found[0].loose:
        cursor.said.counts = True
    return bool(found)


def _filler(cursor: Cursor) -> bool:
    if (cursor.text() == "instead" and cursor.text(1) == "of") or (
        cursor.text() == "like" and cursor.kind(1) == "string"
    ):
        return False
    if cursor.phrase(PHRASES):
        return True
    if linked(cursor):
        cursor.take("to")
        return True
    if cursor.text() == "used" and cursor.text(1) == "to":
        return False
    if cursor.text() not in EMPTY and cursor.text() != "\u2019s":
        return False
    cursor.at += 1
    return True


_RULES: tuple[Callable[[Cursor], bool], ...] = (
    renamed,
    arranging.written,
    _ordered,
    _directed,
    _ranked,
    _counted_off,
    distinct,
    excluded,
    _most,
    _conditioned,
    _grouped,
    aggregated,
    counted_some,
    counted_rows,
    rounded,
    mentioned,
    _filler,
)


def _unread(cursor: Cursor) -> None:
    """Keep what no rule read: a time that depends on today, a value of which no column is known, or a word."""
    said, start = cursor.said, cursor.at
    token = cursor.tokens[start]
    if size := is_relative(cursor):
        cursor.at += size
        said.unread.append(f"\0time {cursor.raw(start)}")
        return
    what = next((what for what, words in REFUSED.items() if token.text in words.split()), None)
    cursor.at += 1
    if what:
        said.refused.append((what, token.raw))
    elif token.kind == "string" or (token.raw[:1].isupper() and start > 0):
        _literal(cursor, start)
    elif found := _valued(cursor, start):
        said.conditions.append(found)
        said.joints.append("and")
    elif token.kind not in ("op",) or token.text not in ("-", "+"):
        said.unread.append(token.raw)


def _valued(cursor: Cursor, start: int) -> Test | None:
    """Read `in tablet form`: a word that is nothing else before the column that it may be a value of."""
    before = cursor.text(-3) if cursor.text(-2) in ("a", "an", "the") else cursor.text(-2)
    if before not in _OF_VALUES or not cursor.said.tables or not may_be_value(replace(cursor, at=start)):
        return None
    probe = replace(cursor)
    left = column_mention(probe)
    if left is None or is_table(left) or left.owners or probe.text() in ("of", "and", ",", "for"):
        return None
    if any(each.tier > 1 or each.column is None or each.column.type != "utf8" for each in left.columns):
        return None
    text = cursor.tokens[start].raw
    cursor.at = probe.at
    return Test(left, "=", (Value(text, "text"),), words="guess", text=text)


_OF_VALUES = frozenset(("in", "of", "have", "has", "having"))


def _literal(cursor: Cursor, start: int) -> None:
    """Keep a value whose column only a noun beside it tells, if anything: `the Rock genre`, `artist Queen`."""
    said, token = cursor.said, cursor.tokens[start]
    if goes_on(cursor, start):
        said.unread.append(token.raw)
        return
    while cursor.kind() == "word" and cursor.tokens[cursor.at].raw[:1].isupper() and token.kind != "string":
        if mention(replace(cursor)) is not None:
            break
        cursor.at += 1
    text = token.text if token.kind == "string" else cursor.raw(start)
    left = _noun_of(cursor, start)
    said.conditions.append(Test(left, "=", (Value(text, "text"),), words="value", text=text))
    said.joints.append("and")


def _noun_of(cursor: Cursor, start: int) -> Mention | None:
    """Return the noun behind a value, or the table right before it, if that is not what the request is about."""
    said, here = cursor.said, cursor.at
    behind = mention(cursor, ())
    if behind and (said.tables or behind.columns):
        return behind
    cursor.at = here
    if cursor.table_end == start and len(said.tables) > 1:
        return said.tables.pop()
    return None
