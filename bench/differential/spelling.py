"""The meaning of the cells of a text file by their spelling, according to docs/decisions/0003-text-files.md."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_EXPONENT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?[eE][+-]?[0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?")
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|\+00:00)?")
_WORDS = {"NaN", "inf", "-inf"}


def guess(cells: Iterable[str | None]) -> str:
    """Return the inferred type of a column; None is NULL."""
    not_null = {cell for cell in cells if cell is not None}
    if not not_null:
        return "utf8"
    for kind, fits in (("bool", _is_bool), ("date", _is_date), ("time[us]", _is_time)):
        if all(map(fits, not_null)):
            return kind
    return _guess_stamp(not_null) or _guess_number(not_null) or "utf8"


def _guess_stamp(texts: set[str]) -> str | None:
    if not all(_STAMP.fullmatch(cell) and _reads(datetime.fromisoformat, cell) for cell in texts):
        return None
    aware = {cell.endswith(("Z", "+00:00")) for cell in texts}
    if len(aware) > 1:
        return None
    return "timestamp[us,UTC]" if True in aware else "timestamp[us]"


def _guess_number(texts: set[str]) -> str | None:
    if all(map(_is_plain_number, texts)):
        return _guess_exact(texts)
    if not any(map(_EXPONENT.fullmatch, texts)):
        return None
    return "float64" if all(map(_is_double, texts)) else None


def _guess_exact(texts: set[str]) -> str | None:
    scale = max(len(cell.partition(".")[2]) for cell in texts)
    whole = max(len(cell.partition(".")[0].lstrip("-").lstrip("0")) for cell in texts)
    if scale == 0 and all(-(2**63) <= int(cell) < 2**63 for cell in texts):
        return "int64"
    return f"decimal(38,{scale})" if whole + scale <= 38 else None


def _is_plain_number(cell: str) -> bool:
    if _INTEGER.fullmatch(cell):
        return True
    return bool(_DECIMAL.fullmatch(cell)) and not (cell.startswith("-") and Decimal(cell) == 0)


def _is_double(cell: str) -> bool:
    if cell in _WORDS:
        return True
    number = any(form.fullmatch(cell) for form in (_INTEGER, _DECIMAL, _EXPONENT)) or cell == "-0"
    return number and double(cell) is not None


def double(text: str) -> float | None:
    """Return the float that keeps all digits of a number, or None."""
    number = float(text)
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return number if Decimal(repr(number)) == Decimal(text) else None


def _is_bool(cell: str) -> bool:
    return cell in ("true", "false")


def _is_date(cell: str) -> bool:
    return bool(_DATE.fullmatch(cell)) and _reads(date.fromisoformat, cell)


def _is_time(cell: str) -> bool:
    return bool(_TIME.fullmatch(cell)) and _reads(time.fromisoformat, cell)


def _reads(parse: Any, cell: str) -> bool:
    try:
        parse(cell)
    except ValueError:
        return False
    return True


def value(cell: str | None, kind: str) -> Any:
    """Return the value of a cell that fits the type."""
    if cell is None:
        return None
    if kind.startswith("decimal"):
        return Decimal(cell)
    if kind.startswith("timestamp"):
        stamp = datetime.fromisoformat(cell)
        return stamp.astimezone(UTC) if stamp.tzinfo else stamp
    plain = {"int64": int, "float64": float, "date": date.fromisoformat, "time[us]": time.fromisoformat}
    return plain[kind](cell) if kind in plain else cell == "true" if kind == "bool" else cell


def spell(item: Any) -> str:
    """Return a canonical spelling of a value."""
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, datetime):
        text = item.replace(tzinfo=None).isoformat()
        return text + "Z" if item.tzinfo else text
    if isinstance(item, date | time):
        return item.isoformat()
    return f"{item:f}" if isinstance(item, Decimal) else str(item)
