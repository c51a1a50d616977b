"""Texts of types that REST gives in another form than the wire does: made the same here, each as it says the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from osiris.families.sql.columnar import Unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_REASON = "its style is another than postgres or iso_8601; set intervalstyle of the role that the key has"
_SIGNED = r"([+-]?\d+)"
_POSTGRES = re.compile(
    rf"(?:{_SIGNED} years? ?)?(?:{_SIGNED} mons? ?)?(?:{_SIGNED} days? ?)?"
    r"(?:([+-]?)(\d+):(\d\d):(\d\d)(\.\d+)?)?"
)
"""The style in which PostgreSQL writes intervals unless it is told another: `1 year 2 mons -3 days -04:05:06.7`."""
_ISO_8601 = re.compile(r"P(?=[\dT-])(-?\d+Y)?(-?\d+M)?(-?\d+W)?(-?\d+D)?(T(-?\d+H)?(-?\d+M)?(-?\d+(\.\d+)?S)?)?")


def in_one_form(oid: int, values: Sequence[Any]) -> Sequence[Any]:
    """Return texts of a type, by its number, or lists of them, as they are over the wire.

    Raises Unfit for an interval in a style that does not say all by itself.
    """
    convert = _FORMS.get(oid)
    return values if convert is None else [_converted(convert, row, value) for row, value in enumerate(values)]


def _converted(convert: Callable[[str], str], row: int, value: Any) -> Any:  # noqa: ANN401  whatever JSON may hold
    if value is None:
        return None
    if isinstance(value, list):
        return [_converted(convert, row, item) for item in value]
    try:
        return convert(value)
    except (ValueError, TypeError):
        raise Unfit(row, repr(value), _REASON) from None


def iso_8601(text: str) -> str:
    """Return an interval in the style of ISO 8601, as PostgreSQL writes it; raises ValueError for other styles."""
    if _ISO_8601.fullmatch(text):
        return text
    found = _POSTGRES.fullmatch(text)
    if not text or found is None:
        raise ValueError(text)
    *days, sign, hours, minutes, seconds, fraction = found.groups()
    minus = "-" if sign == "-" else ""
    date = "".join(f"{int(count)}{unit}" for count, unit in zip(days, "YMD", strict=True) if int(count or 0))
    exact = f"{int(seconds or 0)}{(fraction or '').rstrip('0').rstrip('.')}"
    clock = [(str(int(hours or 0)), "H"), (str(int(minutes or 0)), "M"), (exact, "S")]
    time = "".join(f"{minus}{count}{unit}" for count, unit in clock if count != "0")
    return f"P{date}{'T' if time else ''}{time}" if date or time else "PT0S"


def with_mask(text: str) -> str:
    """Return an address with its mask, which is left out within a list where it is that of a single host."""
    return text if "/" in text else f"{text}/{128 if ':' in text else 32}"


_FORMS: dict[int, Callable[[str], str]] = {869: with_mask, 1186: iso_8601}
"""By the number that a type has in every PostgreSQL: inet and interval."""
