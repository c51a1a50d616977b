"""Values of a result in the form in which the grader compares them: one per type, whatever a file spells."""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata

EMPTY = ""
_EMPTY = ("", "NULL", "None", "NaN", "nan", "NaT", "<NA>")
_DAYS = ("%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%d/%m/%Y", "%d-%m-%Y", "%d. %m. %Y", "%Y%m%d")
_MOMENTS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S")
_NEAR = 1e-6


class Unfit(str):
    """A value that does not have its type, as it was spelled."""

    __slots__ = ()


def normal(value, type_, year=None):
    """Return a value in the form of its type; `year` is the year of a bare month or week."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return EMPTY
    if isinstance(value, str) and value.strip() in _EMPTY:
        return EMPTY
    return _FORMS[type_](value, year)


def plain(name):
    """Return a name without case, accents and punctuation."""
    letters = unicodedata.normalize("NFKD", str(name).casefold())
    return re.sub(r"[^a-z0-9]", "", "".join(each for each in letters if not unicodedata.combining(each)))


def _number(value, _):
    text = value
    if isinstance(value, str):
        text = value.strip().replace("\u00a0", "").replace(" ", "").rstrip("%€")
        text = text.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", text) else text
    try:
        return float(text)
    except (TypeError, ValueError):
        return Unfit(value)


def _whole(value, year):
    number = _number(value, year)
    is_whole = not isinstance(number, Unfit) and abs(number - round(number)) < _NEAR
    return round(number) if is_whole else number


def _parsed(value):
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time())
    text = str(value).strip()
    if ":" in text:
        text = re.sub(r"(\.\d+)?(Z|\+00(:?00)?)?$", "", text)
    for form in (*_MOMENTS, *_DAYS):
        try:
            return dt.datetime.strptime(text, form)  # noqa: DTZ007  times of the data have no zone
        except ValueError:
            continue
    return Unfit(text)


def _moment(value, _):
    moment = _parsed(value)
    return moment if isinstance(moment, Unfit) else moment.isoformat()


def _month(value, year):
    text = str(int(value)) if isinstance(value, int | float) else value
    if isinstance(text, str):
        text = text.strip()
        if match := re.fullmatch(r"(\d{4})[-/._ ]?M?(\d{1,2})", text):
            return f"{match[1]}-{int(match[2]):02d}"
        if match := re.fullmatch(r"(\d{1,2})[-/. ]+(\d{4})", text):
            return f"{match[2]}-{int(match[1]):02d}"
        if year and re.fullmatch(r"\d{1,2}(\.0)?", text):
            return f"{year}-{int(float(text)):02d}"
    moment = _parsed(text)
    return moment if isinstance(moment, Unfit) else moment.strftime("%Y-%m")


def _week(value, year):
    text = str(int(value)) if isinstance(value, int | float) else value
    if isinstance(text, str):
        text = text.strip()
        named = re.fullmatch(r"(\d{4})[- /]?(?:W|KW|T)[- ]?(\d{1,2})", text, re.IGNORECASE)
        if match := named or re.fullmatch(r"(\d{4})[-/](\d{1,2})", text):
            return f"{match[1]}-W{int(match[2]):02d}"
        match = re.fullmatch(r"(?:W|KW)?\s*(\d{1,2})(\.0)?", text, re.IGNORECASE)
        if match and year:
            return f"{year}-W{int(match[1]):02d}"
    moment = _parsed(text)
    if isinstance(moment, Unfit):
        return moment
    iso = moment.isocalendar()
    return f"{iso[0]}-W{iso[1]:02d}"


def _text(value, _):
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, dt.datetime | dt.date):
        value = value.isoformat()
    return unicodedata.normalize("NFC", str(value).strip())


_FORMS = {
    "int": _whole,
    "num": _number,
    "date": _moment,
    "ts": _moment,
    "month": lambda value, _: _month(value, None),
    "month1": _month,
    "week": _week,
    "text": _text,
    "itext": lambda value, _: _text(value, None).casefold(),
    "key": lambda value, _: re.sub(r"[^0-9a-z]", "", _text(value, None).casefold()),
}
