"""Whether values are valid Arrow: libraries do not check what they are given, and damage what is invalid."""

from __future__ import annotations

from bisect import bisect_left
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_

from osiris.errors import fail
from osiris.types import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Place = tuple[int, pa.Array] | None
    """The index of a value, and that value alone."""

_AROUND = 20
_BYTES = {pa.utf8(): pa.binary(), pa.large_utf8(): pa.large_binary(), pa.string_view(): pa.binary_view()}
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_INFINITY = {pa.int32(): 2**31 - 1, pa.int64(): 2**63 - 1}
"""The day, and the timestamp of each unit, that is infinity in DuckDB. It cannot read the least number of each."""
_READABLE = {"timestamp[s]": (2**63 - 1) // 10**6, "timestamp[ms]": (2**63 - 1) // 10**3}
"""The greatest timestamp of a unit that DuckDB converts to microseconds; of other types it reads all finite values."""


def check_values(batch: pa.RecordBatch, before: int) -> None:
    """Fail with DAT031 for a value that its type does not allow, and with DAT016 if an array itself is invalid.

    Such values are texts that are not UTF-8, decimals with too many digits, and times outside of a day, also inside
    lists and structs. `before` is the number of earlier rows.
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            invalid = _first(column, _first_invalid)
        except pa.ArrowException as error:
            fail("DAT016", problem=f"column '{name}' is not valid Arrow: {str(error).splitlines()[0]}")
        if invalid:
            value, reason = _described(invalid[1])
            fail("DAT031", column=name, row=before + invalid[0] + 1, value=value, reason=reason)


def finite(batches: Generator[pa.RecordBatch, None, None]) -> Generator[pa.RecordBatch, None, None]:
    """Yield rows that DuckDB gave or gets; fails with DAT031 for a time that is infinity there, or too large.

    Elsewhere these values are times: the last nanosecond of a timestamp is often written for "for ever". DuckDB stores
    a time that is too large, and ends with an internal error when a statement reads it.
    """
    with closing(batches) as given:
        rows = 0
        for batch in given:
            _check_finite(batch, rows)
            rows += batch.num_rows
            yield batch


def _check_finite(batch: pa.RecordBatch, before: int) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if _has_dates(column.type) and (place := _first(column, _first_infinite)):
            index, value = place
            number, kind = _as_number(value), type_name(value.type)
            text = value.cast(pa.utf8())[0].as_py() if kind.startswith("timestamp[ns") else f"{number[0]} as {kind}"
            is_infinity = abs(number[0].as_py()) >= _INFINITY[number.type]
            reason = "it is infinity in DuckDB" if is_infinity else "it is too large for DuckDB"
            fail("DAT031", column=name, row=before + index + 1, value=text, reason=reason)


def _has_dates(kind: pa.DataType) -> bool:
    return any(word in str(kind) for word in ("date32", "timestamp"))


def _first_infinite(array: pa.Array) -> Place:
    if not _has_dates(array.type):
        return None
    numbers = _as_number(array)
    least, greatest = pc.min_max(numbers).as_py().values()
    unit = f"timestamp[{array.type.unit}]" if is_.is_timestamp(array.type) else ""
    most = _READABLE.get(unit, _INFINITY[numbers.type] - 1)
    if least is None or (least >= -most and greatest <= most):
        return None
    index = pc.index(numbers, greatest if greatest > most else least).as_py()
    return index, array.slice(index, 1)


def _as_number(array: pa.Array) -> pa.Array:
    return array.view(pa.int32() if is_.is_date32(array.type) else pa.int64())


def _first(array: pa.Array, find: Callable[[pa.Array], Place]) -> Place:
    """Return what `find` finds in an array, or first in its lists, structs and dictionary.

    Raises ArrowInvalid for an invalid array.
    """
    array.validate()
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _first(array.storage, find)
    if is_.is_dictionary(kind) and _first(array.dictionary, find):
        return _first(array.dictionary.take(array.indices), find)
    if is_.is_struct(kind):
        return next(filter(None, (_first(field, find) for field in array.flatten())), None)
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        return _first_in_lists(array, find)
    return find(array)


def _first_in_lists(lists: pa.Array, find: Callable[[pa.Array], Place]) -> Place:
    if not is_.is_fixed_size_list(lists.type) and not _rise(lists.offsets):
        raise pa.ArrowInvalid("offsets of lists decrease")
    place = _first(lists.flatten(), find)
    return place and (pc.list_parent_indices(lists)[place[0]].as_py(), place[1])


def _first_invalid(array: pa.Array) -> Place:
    return None if _is_ascii(array) or _is_valid(array) else _first_invalid_value(array)


def _is_ascii(values: pa.Array) -> bool:
    """Tell quickly whether values are texts of ASCII, which most are: Arrow's check takes ten times as long."""
    if not is_.is_string(values.type) or not len(values):
        return False
    _nulls, offsets, content = values.buffers()
    ends = np.frombuffer(offsets, np.int32, len(values) + 1, values.offset * 4)
    return _rise(ends) and bool(np.frombuffer(content or b"", np.int8)[ends[0] : ends[-1]].min(initial=0) >= 0)


def _rise(offsets: object) -> bool:
    ends = np.asarray(offsets)
    return bool((ends[1:] >= ends[:-1]).all())


def _is_valid(values: pa.Array) -> bool:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _first_invalid_value(values: pa.Array) -> Place:
    kind = values.type
    if kind in _BYTES:
        values.view(_BYTES[kind]).validate(full=True)
    index = bisect_left(range(len(values)), True, key=lambda last: not _is_valid(values.slice(0, last + 1)))
    if index == len(values) or not (kind in _BYTES or is_.is_decimal(kind) or is_.is_time(kind)):
        values.validate(full=True)
    return index, values.slice(index, 1)


def _described(value: pa.Array) -> tuple[str, str]:
    """Return the text of an invalid value, and what is wrong with it."""
    kind = value.type
    if is_.is_decimal(kind):
        return f"{value[0].as_py():f}", f"it has more digits than {type_name(kind)}"
    if is_.is_time(kind):
        number = value.view(pa.int32() if is_.is_time32(kind) else pa.int64())[0].as_py()
        return clock(number, kind.unit), "it is outside of a day"
    raw = value.view(_BYTES[kind])[0].as_py()
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raw = raw[max(0, error.start - _AROUND) : error.start + _AROUND]
    return f"'{raw.decode(errors='backslashreplace')}'", "it is not valid UTF-8"


def clock(number: int, unit: str) -> str:
    """Return a time as hours, minutes and seconds, also one outside of a day: `25:00:00`, `-00:00:00.5`."""
    seconds, part = divmod(abs(number), _PER_SECOND[unit])
    digits = f".{part:0{len(str(_PER_SECOND[unit])) - 1}}".rstrip("0") if part else ""
    return f"{'-' * (number < 0)}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{digits}"
