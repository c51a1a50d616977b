"""Texts that spell dates, times and numbers: found by the known values of a column, and checked by counting."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from osiris.chat.expressions import OR, unused
from osiris.chat.guide.draft import Ask, Compare, Option, Show, known_texts, plain, remark
from osiris.chat.request import Computed, Step
from osiris.chat.sql_text import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from osiris.chat.guide.draft import Draft, Flow
    from osiris.chat.request import Request

AS_DATE, AS_MOMENT, AS_NUMBER = "text as a date", "text as a time", "text as a number"

_FORMATS = {
    "%Y-%m-%d": "year-month-day",
    "%Y/%m/%d": "year/month/day",
    "%Y%m%d": "yearmonthday",
    "%d.%m.%Y": "day.month.year",
    "%d. %m. %Y": "day. month. year",
    "%d/%m/%Y": "day/month/year",
    "%m/%d/%Y": "month/day/year",
    "%d-%m-%Y": "day-month-year",
}
_ISO = "%Y-%m-%d"
_SWAPPED = ("%d/%m/%Y", "%m/%d/%Y")
MOMENT_TEXT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?")
_NUMBERS = {
    "int64": ("whole numbers, as 1234", r"[+-]?\d+"),
    "decimal(18,2)": ("two decimal places, as 1234.50", r"[+-]?\d+(\.\d{1,2})?"),
    "decimal(18,2) 1.234,5": ("two decimal places, as 1.234,50", r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d{1,2})?"),
    "float64": ("any decimal places, as 1234.5678", r"[+-]?\d+(\.\d+)?"),
}


def as_date(draft: Draft, column: str) -> Flow[str | None]:
    """Compute the date of a text column, and return the new column; None, with a message, if that is not possible."""
    step = draft.step_for("compute")
    spelled = yield from _date_format(draft, column)
    if spelled is None:
        return None
    new = Computed(unused(plain([column, "date"]), draft.fields(step, "input")), "convert", column, value=spelled)
    draft.put(replace(step, compute=(*step.compute, new)))
    return new.name


def is_dates(draft: Draft, column: str) -> bool:
    """Tell whether all known values of a column are dates as text."""
    texts = known_texts(draft.column(column))
    return bool(texts) and _all_spelled(_FORMATS, texts)


def _date_format(draft: Draft, column: str) -> Flow[str | None]:
    """Return the date format of a column: one of the usual formats that fits all known values, alone or combined.

    Few values are known, so each format is also tried together with ISO 8601. Asked for unless exactly one fits all
    values.
    """
    texts = known_texts(draft.column(column))
    ways = _ways(texts)
    if not ways:
        yield Show(f"No usual way to spell dates fits the values of {column}.", rejects=True)
        return None
    values, counts = yield from _count_fits(draft, column, ways)
    complete = [each for each in ways if counts.get(each) == values]
    complete = [each for each in complete if OR not in each] or complete
    if len(complete) == 1:
        yield Show(f"{column} spells all dates as {_way(complete[0])}.")
        return f"date {complete[0]}"

    def option(way: str) -> Option:
        fits = f"{counts[way]:,} of {values:,} values" if counts else ""
        return Option(f"date {way}", _way(way), remark(fits, _first_day(texts, way)))

    options = tuple(map(option, sorted(complete or ways, key=lambda way: -counts.get(way, 0))))
    return str((yield Ask("format", f"How does {column} spell dates?", options)).keys[0])


def _ways(texts: list[str]) -> list[str]:
    """Return the usual date formats that fit all texts, each also combined with ISO 8601."""
    fitting = [each for each in _FORMATS if _all_spelled((each,), texts)]
    return [*(fitting or _joint_formats(texts)), *(OR.join((_ISO, each)) for each in fitting if each != _ISO)]


def _count_fits(draft: Draft, column: str, ways: Sequence[str]) -> Flow[tuple[int, dict[str, int]]]:
    """Return the number of values of a column, and how many fit each format: none if unavailable."""
    values, *counts = (yield Compare(_format_counts(draft, column, ways), column)) or [0]
    return values, dict(zip(ways, map(int, counts), strict=True)) if len(counts) == len(ways) else {}


def _way(format_: str) -> str:
    return OR.join(_FORMATS[each] for each in format_.split(OR))


def _format_counts(draft: Draft, column: str, ways: Sequence[str]) -> Request:
    """Return a request for one row: the number of values of a column, and how many fit each date format."""
    taken = [*(each.name for each in draft.request.steps), *(each.name for each in draft.choices.relations)]
    before = replace(draft.step_for("compute"), name=unused("all_rows", taken))
    name = quote(column)
    tried = (", ".join(f"'{each}'" for each in way.split(OR)) for way in ways)
    # DuckDB reads two-digit years, as in 07.03.25, as the year 25: such a value does not fit.
    counts = ", ".join(
        f"count(*) FILTER (WHERE year(try_strptime({name}, [{each}])) >= 1000) AS n{n}" for n, each in enumerate(tried)
    )
    figures = Step(
        unused("figures", taken), sql=f"SELECT count({name}), {counts} FROM {before.name}", inputs=(before.name,)
    )
    return replace(draft.request, steps=(*draft.request.steps, before, figures))


def _first_day(texts: list[str], format_: str) -> str:
    """Return how the first text is read."""
    if OR in format_ or not texts:
        return ""
    return f"{texts[0]} is {datetime.strptime(texts[0], format_).date()}"  # noqa: DTZ007  a day


def _joint_formats(texts: list[str]) -> list[str]:
    """Return the formats that together fit all values; day and month do not swap places."""
    formats = [each for each in _FORMATS if any(_is_spelled(text, each) for text in texts)]
    ways = (
        [[each for each in formats if each != swapped] for swapped in _SWAPPED]
        if {*_SWAPPED} <= {*formats}
        else [formats]
    )
    return [OR.join(way) for way in ways if _all_spelled(way, texts)]


def _moment_type(draft: Draft, column: str) -> Flow[str | None]:
    if all(MOMENT_TEXT.fullmatch(text) for text in known_texts(draft.column(column))):
        return "timestamp[us]"
    yield Show(f"Values of {column} are not spelled like 2025-01-31 09:30:00.", rejects=True)
    return None


def _number_type(draft: Draft, column: str) -> Flow[str | None]:
    texts = known_texts(draft.column(column))
    fitting = (name for name, (_, spelled) in _NUMBERS.items() if all(re.fullmatch(spelled, text) for text in texts))
    options = tuple(Option(name, _NUMBERS[name][0]) for name in fitting)
    if not options:
        yield Show(f"No usual way to spell numbers fits the values of {column}.", rejects=True)
        return None
    if len(options) == 1:
        yield Show(f"{column} spells numbers as {options[0].label}.")
        return options[0].key
    return str((yield Ask("type", f"How does {column} spell numbers?", options)).keys[0])


CONVERTED = {AS_DATE: _date_format, AS_MOMENT: _moment_type, AS_NUMBER: _number_type}
"""Dialogues for the value of `convert`."""


def _all_spelled(formats: Iterable[str], texts: list[str]) -> bool:
    """Tell whether each text fits one of the formats."""
    return all(any(_is_spelled(text, each) for each in formats) for text in texts)


def _is_spelled(text: str, format_: str) -> bool:
    try:
        return bool(datetime.strptime(text, format_))  # noqa: DTZ007  a day
    except ValueError:
        return False
