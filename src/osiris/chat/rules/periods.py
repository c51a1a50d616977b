"""Times in words: days, months, quarters and years, and the spans between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from osiris.chat.rules.query import Within
from osiris.chat.rules.vocabulary import MONTHS, RELATIVE, UNIT_OF

if TYPE_CHECKING:
    from osiris.chat.rules.cursor import Cursor
    from osiris.chat.rules.query import Mention

_QUARTERS = {"q1": 1, "q2": 2, "q3": 3, "q4": 4, "first": 1, "second": 2, "third": 3, "fourth": 4, "last": 4}
_HALVES = {"h1": 1, "h2": 2}
_IN = frozenset(["in", "during", "within", "for", "of", "on", "from", "throughout"])
_FROM, _UNTIL = frozenset(["since", "from", "starting", "onwards"]), frozenset(["until", "till", "through", "by"])


@dataclass(frozen=True, slots=True)
class Span:
    """A time from (included) until (excluded); a month of no year has neither."""

    start: str
    end: str
    month: int | None = None
    days: int = 0


def span(cursor: Cursor) -> Span | None:
    """Read a day, a month, a quarter or a year; None, and nothing read, if none comes."""
    start = cursor.at
    for read in (_iso, _quarter, _month, _year):
        if found := read(cursor):
            return found
        cursor.at = start
    return None


def is_relative(cursor: Cursor) -> int:
    """Return how many tokens a time takes that depends on today (`last year`, `past 30 days`); 0 if none comes."""
    if cursor.text() in ("today", "yesterday", "tomorrow"):
        return 1
    if cursor.text() not in RELATIVE:
        return 0
    size = 2 if cursor.kind(1) == "number" or cursor.text(1) in ("couple", "few") else 1
    return size + 1 if cursor.text(size) in UNIT_OF and cursor.text(size) != "date" else 0


def within(cursor: Cursor, left: Mention | None, *, bare: bool = False) -> Within | None:
    """Read `in 2024`, `since March 2023`, `between A and B`, or with `bare` a time alone; None if none comes."""
    start = cursor.at
    cursor.skip(("is", "are", "was", "were", "dated"))
    found = _between(cursor, left) or _one_sided(cursor, left)
    if found is None:
        cursor.at = start
        stated = cursor.take_one(("dated", "=", "is", "was", "are", "were"))
        preposition = cursor.take_one(_IN) or stated or bare
        cursor.skip(("the",))
        time = span(cursor) if preposition else None
        found = Within(left, time.start, time.end, cursor.raw(start), time.month) if time else None
    if found is None:
        cursor.at = start
    return found


def _between(cursor: Cursor, left: Mention | None) -> Within | None:
    start = cursor.at
    opening = cursor.take_one(("between", "from"))
    first = span(cursor) if opening else None
    closing = ("and", "to", "-") if opening == "between" else ("to", "until", "till", "through", "-", "and")
    if first and cursor.take_one(closing):
        cursor.skip(("including",))
        last = span(cursor)
        if last and first.month and last.start[5:] >= f"{first.month:02}-01":
            first = _months(int(last.start[:4]), first.month, 1)
        if last and not last.month and not first.month:
            return Within(left, first.start, last.end, cursor.raw(start), edge=bool(last.days == 0))
    cursor.at = start
    return None


def _one_sided(cursor: Cursor, left: Mention | None) -> Within | None:
    start = cursor.at
    word = _direction(cursor)
    cursor.skip(("the", "including"))
    time = span(cursor) if word else None
    if time is None or time.month:
        cursor.at = start
        return None
    from_on = cursor.tokens[start].text == "from" and cursor.take("on")
    onwards = word == "in" and (from_on or cursor.take_one(("onwards", "onward")))
    or_later = cursor.take("or", "later") or cursor.take("and", "later") or cursor.take("or", "after") or onwards
    text = cursor.raw(start)
    if word == "since" or or_later:
        return Within(left, time.start, None, text)
    if word == "after":
        return Within(left, time.end, None, text, edge=time.days == 1)
    if word == "before":
        return Within(left, None, time.start, text)
    if word == "until":
        return Within(left, None, time.end, text)
    cursor.at = start
    return None


def _direction(cursor: Cursor) -> str | None:
    """Read which side of a time is meant; `in` is none yet."""
    for words, meaning in _DIRECTIONS.items():
        if cursor.take(*words):
            return meaning
    return None


_DIRECTIONS = {
    ("on", "or", "after"): "since",
    ("on", "or", "before"): "until",
    ("no", "later", "than"): "until",
    ("not", "later", "than"): "until",
    ("up", "to"): "until",
    ("later", "than"): "after",
    ("newer", "than"): "after",
    ("earlier", "than"): "before",
    ("older", "than"): "before",
    ("prior", "to"): "before",
    ("starting", "from"): "since",
    ("starting", "in"): "since",
    ("starting",): "since",
    ("since",): "since",
    ("after",): "after",
    ("before",): "before",
    ("until",): "until",
    ("till",): "until",
    ("through",): "until",
    (">=",): "since",
    (">",): "after",
    ("<",): "before",
    ("<=",): "until",
    ("from",): "in",
    ("in",): "in",
}


def _iso(cursor: Cursor) -> Span | None:
    if cursor.kind() not in ("date", "string"):
        return None
    try:
        return _iso_span(cursor.text().upper())
    except ValueError:
        return None
    finally:
        cursor.at += 1


def _iso_span(text: str) -> Span | None:
    if len(text) == 7:
        return _months(int(text[:4]), int(text[5:]), 1)
    if len(text) > 10:
        moment = text.replace("T", " ")
        moment = moment if len(moment) == 19 else f"{moment}:00"
        return Span(moment, moment, days=-1)
    return _day(date.fromisoformat(text))


def _quarter(cursor: Cursor) -> Span | None:
    early = _bare_year(cursor)
    word = cursor.take_one(_QUARTERS) or cursor.take_one(_HALVES)
    if word is None:
        return None
    if word in ("first", "second", "third", "fourth", "last"):
        unit = cursor.take_one(("quarter", "half"))
        if unit is None:
            return None
        size, number = (3, _QUARTERS[word]) if unit == "quarter" else (6, min(_QUARTERS[word], 2))
    else:
        size, number = (3, _QUARTERS[word]) if word in _QUARTERS else (6, _HALVES[word])
    cursor.skip(("of", "in"))
    year = early or _bare_year(cursor)
    return _months(year, (number - 1) * size + 1, size) if year else None


def _month(cursor: Cursor) -> Span | None:
    day = _day_number(cursor)
    cursor.skip(("of",))
    name = cursor.take_one(MONTHS)
    if name is None:
        return None
    month = MONTHS[name]
    day = day or _day_number(cursor)
    cursor.skip((",", "of"))
    year = _bare_year(cursor)
    if year and day:
        return _checked_day(year, month, day)
    if year:
        return _months(year, month, 1)
    return None if day or (name == "may" and cursor.tokens[cursor.at - 1].raw != "May") else Span("", "", month)


def _checked_day(year: int, month: int, day: int) -> Span | None:
    try:
        return _day(date(year, month, day))
    except ValueError:
        return None


def _day_number(cursor: Cursor) -> int | None:
    text = cursor.text()
    bare = text[:-2] if text[-2:] in ("st", "nd", "rd", "th") else text
    if not bare.isdigit() or not 1 <= int(bare) <= 31:
        return None
    cursor.at += 1
    return int(bare)


def _year(cursor: Cursor) -> Span | None:
    cursor.skip(("year", "calendar"))
    year = _bare_year(cursor)
    return _months(year, 1, 12) if year else None


def _bare_year(cursor: Cursor) -> int | None:
    text = cursor.text()
    if cursor.kind() != "number" or len(cursor.tokens[cursor.at].raw) != 4 or not 1900 <= float(text) <= 2099:
        return None
    cursor.at += 1
    return int(text)


def _months(year: int, month: int, size: int) -> Span:
    last = month - 1 + size
    return Span(f"{year}-{month:02}-01", f"{year + last // 12}-{last % 12 + 1:02}-01")


def _day(day: date) -> Span:
    return Span(day.isoformat(), (day + timedelta(days=1)).isoformat(), days=1)
