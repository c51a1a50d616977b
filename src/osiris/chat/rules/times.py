"""Conditions on times as SQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from osiris.chat.rules.answers import Ask, Cannot
from osiris.chat.rules.lexicon import is_date, is_dated, is_number
from osiris.chat.rules.naming import Piece, joined, literal
from osiris.chat.rules.scope import Ref

if TYPE_CHECKING:
    from osiris.chat.rules.query import Within
    from osiris.chat.rules.scope import Scope


def within(time: Within, scope: Scope) -> Piece:
    """Return the condition that a time lies within another."""
    if time.left is None and (parts := _calendar(time, scope)):
        return parts
    if time.month:
        raise Ask(f"year {time.text}", f"Of which year is '{time.text}'?")
    ref = scope.column_of(time.left, is_dated) if time.left else _only_time(time, scope)
    if is_number(ref.column):
        return _years(ref, time)
    if not is_date(ref.column):
        raise Cannot(f"{ref.label} holds no dates")
    zoned = "," in (ref.column.type or "")
    stamp = (ref.column.type or "").startswith("timestamp")
    if (
        time.edge
        and stamp
        and scope.pick_always(f"edge {time.text}", _EDGE.format(time.text), (_NEXT, _SAME), assumed=_NEXT) == _SAME
    ):
        raise Cannot("I can only compare with whole days; name the moment, as in 'after 2024-03-01 12:00'")
    if (
        _may_go_on(time)
        and scope.pick_always(f"edge {time.text}", _ON.format(time.text), (_ONE, _LATER), assumed=_ONE) == _LATER
    ):
        time = replace(time, end=None)
    typed = "TIMESTAMPTZ" if zoned else "DATE"
    left: Piece = ("CAST(", ref, " AS DATE)") if ref.column.type == "utf8" else (ref,)
    sides: list[Piece] = []
    for text, operator in ((time.start, ">="), (time.end, "<")):
        if text:
            kind = "TIMESTAMP" if len(text) > 10 and not zoned else typed
            sides.append(
                (*left, f" {operator} {kind} {literal(text + ' 00:00:00+00' if zoned and len(text) == 10 else text)}")
            )
    return joined(sides, " AND ")


_EDGE = "Does '{}' begin with the next day?"
_NEXT, _SAME = "yes, with the next day", "no, that day counts"


_ON = "Does '{}' mean that day alone?"
_ONE, _LATER = "that day alone", "that day and later ones"


def _may_go_on(time: Within) -> bool:
    """Tell whether a day was said behind `from` alone."""
    if time.start is None or time.end is None or len(time.start) != 10 or " from " not in f" {time.text.lower()}":
        return False
    return date.fromisoformat(time.end) - date.fromisoformat(time.start) == timedelta(days=1)


def _only_time(time: Within, scope: Scope) -> Ref:
    """Return the only date of the tables that are spoken of, else their only year."""
    relations = [*scope.main, *scope.others]
    if not any(is_date(column) for each in relations for column in each.columns or ()):
        years = [Ref(each, c) for each in relations for c in each.columns or () if is_dated(c)]
        if len(years) == 1:
            return years[0]
    return scope.date_of(relations, time.text, named_so=not time.dated)


def _calendar(time: Within, scope: Scope) -> Piece:
    """Return the condition over columns that are called year and month, if the first table has them."""
    relation = scope.main[0] if scope.main else None
    columns = (
        {each.name.lower(): Ref(relation, each) for each in (relation.columns or ()) if is_number(each)}
        if relation
        else {}
    )
    if time.month:
        return (columns["month"], f" = {time.month}") if "month" in columns else ()
    if "year" not in columns or not time.start or not time.end:
        return ()
    year, month = int(time.start[:4]), int(time.start[5:7])
    if (time.start[4:], time.end[4:]) == ("-01-01", "-01-01"):
        return _years(columns["year"], time)
    after = f"{(date.fromisoformat(time.start) + timedelta(days=1)).isoformat()}" if len(time.start) == 10 else ""
    if {"month", "day"} <= set(columns) and time.end == after:
        day = int(time.start[8:])
        return (columns["year"], f" = {year} AND ", columns["month"], f" = {month} AND ", columns["day"], f" = {day}")
    following = f"{year + month // 12}-{month % 12 + 1:02}-01"
    if "month" in columns and time.start.endswith("-01") and time.end == following:
        return (columns["year"], f" = {year} AND ", columns["month"], f" = {month}")
    return ()


def _years(ref: Ref, time: Within) -> Piece:
    if any(text and text[4:] != "-01-01" for text in (time.start, time.end)):
        raise Cannot(f"{ref.label} holds only years, so I cannot say '{time.text}' of it")
    first, last = (int(text[:4]) if text else None for text in (time.start, time.end))
    if first is not None and last is not None:
        return (ref, f" = {first}") if last == first + 1 else (ref, f" BETWEEN {first} AND {last - 1}")
    return (ref, f" >= {first}") if first is not None else (ref, f" < {last}")
