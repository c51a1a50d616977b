"""Decode the values of PostgREST's JSON into Arrow arrays: exactly, or rejected with their row."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from osiris.families.sql.columnar import InvalidCell
from osiris.families.text_format import Spelling
from osiris.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Values = Sequence[Any]

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FLOATS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_SHOWN = 60
_OTHER = "it is of another kind"


def readable(kind: str) -> bool:
    """Whether values of a type can be read from JSON."""
    if kind.startswith("list<"):
        inner = kind[5:-1]
        return inner != "json" and not inner.startswith("list<") and readable(inner)
    zone = kind.partition(",")[2].rstrip("]") if kind.startswith("timestamp[") else ""
    return not kind.startswith("struct<") and (zone in ("", "UTC"))


def array_of(kind: str, values: Values) -> pa.Array:
    """Return values as an array of a type; raises InvalidCell for an invalid one."""
    if kind.startswith("list<"):
        return _lists(kind, values)
    convert = _CONVERTERS.get(kind) or next((convert for start, convert in _FAMILIES if kind.startswith(start)), _texts)
    return convert(kind, values)


def _unfit(row: int, value: object, reason: str) -> InvalidCell:
    return InvalidCell(row, repr(str(value)[:_SHOWN]), reason)


def _convert(values: Values, convert: Callable[[Any], Any], reason: str = _OTHER) -> list[Any]:
    """Return converted values, NULL as None; raises InvalidCell with `reason` for a value that cannot be converted."""
    converted = []
    for row, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value))
        except (ValueError, TypeError, KeyError, ArithmeticError):
            raise _unfit(row, value, reason) from None
    return converted


def _array(kind: str, values: Values, reason: str) -> pa.Array:
    """Return Python values as an array; raises InvalidCell for the first value that the type does not hold."""
    expected = arrow_type(kind)
    try:
        return pa.array(values, expected)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        for row, value in enumerate(values):
            try:
                pa.array([value], expected)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                raise _unfit(row, value, reason) from None
        raise


def _to_booleans(kind: str, values: Values) -> pa.Array:
    return _array(kind, _convert(values, lambda value: _expect(value, bool)), _OTHER)


def _to_integers(kind: str, values: Values) -> pa.Array:
    return _array(kind, _convert(values, _integer), f"it is out of the range of {kind}")


def _integer(value: object) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, str):
        return int(value)
    number: int = _expect(value, int)
    return number


def _floating(kind: str, values: Values) -> pa.Array:
    numbers = pa.array(_convert(values, _float), pa.float64())
    return numbers.cast(arrow_type(kind))


def _float(value: object) -> float:
    return _FLOATS[value] if isinstance(value, str) else float(_expect(value, (int, Decimal)))


def _decimal(kind: str, values: Values) -> pa.Array:
    reason = f"it is none of {kind}"
    return _array(kind, _convert(values, _number, reason), reason)


def _number(value: object) -> Decimal:
    number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    if not number.is_finite():
        raise ValueError
    return number


def _binary(kind: str, values: Values) -> pa.Array:
    return _array(kind, _convert(values, _bytes), _OTHER)


def _bytes(value: str) -> bytes:
    if not value.startswith("\\x"):
        raise ValueError
    return bytes.fromhex(value[2:])


def _uuid(kind: str, values: Values) -> pa.Array:
    expected = arrow_type(kind)
    storage = pa.array(_convert(values, lambda value: uuid.UUID(value).bytes), expected.storage_type)
    return pa.ExtensionArray.from_storage(expected, storage)


def _json(kind: str, values: Values) -> pa.Array:
    return pa.ExtensionArray.from_storage(arrow_type(kind), _texts("utf8", values))


def _texts(kind: str, values: Values) -> pa.Array:
    return _array(kind, _convert(values, _text), _OTHER)


def _text(value: object) -> str:
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    text: str = _expect(value, str)
    return text


def _moment(kind: str, values: Values) -> pa.Array:
    spelling = Spelling(kind, declared=True)
    cells = pa.array(_convert(values, lambda value: _expect(value, str)), pa.string())
    moments = spelling.read(cells)
    if moments is None:
        row = next(spelling.misfits(cells))
        years = "" if kind.startswith("time[") else " of the years 1 to 9999"
        raise _unfit(row, cells[row].as_py(), f"it is no {kind}{years}")
    return moments


def _lists(kind: str, values: Values) -> pa.Array:
    rows = _convert(values, lambda value: _expect(value, list))
    offsets, flat = [0], list[Any]()
    for row in rows:
        flat += row or ()
        offsets.append(len(flat))
    try:
        items = array_of(kind[5:-1], flat)
    except InvalidCell as unfit:
        row = next(number for number, end in enumerate(offsets[1:]) if end > unfit.row)
        raise InvalidCell(row, unfit.value, unfit.reason) from None
    null = pa.array([row is None for row in rows], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items, mask=null)


def _expect(value: Any, kind: type | tuple[type, ...]) -> Any:  # noqa: ANN401  whatever JSON may hold
    if not isinstance(value, kind):
        raise TypeError
    return value


_CONVERTERS: dict[str, Callable[[str, Values], pa.Array]] = {
    "bool": _to_booleans,
    **dict.fromkeys(_INTEGERS, _to_integers),
    "float32": _floating,
    "float64": _floating,
    "binary": _binary,
    "uuid": _uuid,
    "json": _json,
}
_FAMILIES = (("decimal(", _decimal), ("date", _moment), ("time", _moment))


_REASON = "its style is another than postgres or iso_8601; set intervalstyle of the role that the key has"
_SIGNED = r"([+-]?\d+)"
_POSTGRES = re.compile(
    rf"(?:{_SIGNED} years? ?)?(?:{_SIGNED} mons? ?)?(?:{_SIGNED} days? ?)?"
    r"(?:([+-]?)(\d+):(\d\d):(\d\d)(\.\d+)?)?"
)
"""PostgreSQL's default interval style: `1 year 2 mons -3 days -04:05:06.7`."""
_ISO_8601 = re.compile(r"P(?=[\dT-])(-?\d+Y)?(-?\d+M)?(-?\d+W)?(-?\d+D)?(T(-?\d+H)?(-?\d+M)?(-?\d+(\.\d+)?S)?)?")


def in_one_form(oid: int, values: Sequence[Any]) -> Sequence[Any]:
    """Return the texts of a type (an OID), or lists of them, in the form that the postgres family reads.

    Raises InvalidCell for an interval in an ambiguous style.
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
        raise InvalidCell(row, repr(value), _REASON) from None


def iso_8601(text: str) -> str:
    """Convert an interval from the postgres or ISO 8601 style to ISO 8601; raises ValueError for other styles."""
    if _ISO_8601.fullmatch(text):
        return text
    match = _POSTGRES.fullmatch(text)
    if not text or match is None:
        raise ValueError(text)
    *days, sign, hours, minutes, seconds, fraction = match.groups()
    minus = "-" if sign == "-" else ""
    date = "".join(f"{int(count)}{unit}" for count, unit in zip(days, "YMD", strict=True) if int(count or 0))
    exact = f"{int(seconds or 0)}{(fraction or '').rstrip('0').rstrip('.')}"
    clock = [(str(int(hours or 0)), "H"), (str(int(minutes or 0)), "M"), (exact, "S")]
    time = "".join(f"{minus}{count}{unit}" for count, unit in clock if count != "0")
    return f"P{date}{'T' if time else ''}{time}" if date or time else "PT0S"


def with_mask(text: str) -> str:
    """Return an address with its netmask, which lists omit for a single host."""
    return text if "/" in text else f"{text}/{128 if ':' in text else 32}"


_FORMS: dict[int, Callable[[str], str]] = {869: with_mask, 1186: iso_8601}
"""Converters by OID: inet and interval."""
