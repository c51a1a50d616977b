"""Compiled versions of Osiris functions: same name, arguments and result, or None to fall back to the Python function.

Functions take numpy arrays, and Osiris objects that hold them (a page's `u1`, a column's `at`, `length` and `null`),
and return new arrays. The library checks all bounds, and the GIL is released while it runs.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

VERSION = 1
"""The version that Osiris expects; increased when the arguments or the result of a function change."""

_LIBRARY = ctypes.CDLL(str(Path(__file__).parent / "kernels.so"))


def _call(name: str, *values: Any) -> int:
    """Call a library function with arrays (as the address of their first item) and integers.

    Returns -1, as functions do that cannot handle a case, if an array is not contiguous and aligned.
    """
    if not all(value.flags.c_contiguous and value.flags.aligned for value in values if isinstance(value, np.ndarray)):
        return -1
    function = getattr(_LIBRARY, name)
    function.restype = ctypes.c_int64
    return int(function(*map(_argument, values)))


def _argument(value: Any) -> Any:
    if value is None:
        return None
    return ctypes.c_void_p(value.ctypes.data) if isinstance(value, np.ndarray) else ctypes.c_int64(value)


def postgres_split(octets: Any, begin: int, used: int, width: int) -> Any:
    """Return the starts and ends of the rows of a COPY, which have `width` values each."""
    if not 0 <= begin <= used <= len(octets) or width < 0:
        return None
    room = (used - begin) // (7 + 4 * width) + 1
    starts, ends = np.empty((2, room), np.int64)
    count = _call("postgres_split", octets, len(octets), begin, used, width, starts, ends, room)
    return None if count < 0 else (starts[:count], ends[:count])


def postgres_cells(rows: Any, widths: Any) -> Any:
    """Return the starts, lengths and NULLs of each column's values; None in place of the NULLs if there are none."""
    fixed = np.array([-1 if width is None else width for width in widths], np.int64)
    return _cells("postgres_cells", rows, len(widths), fixed)


def _cells(name: str, rows: Any, columns: int, *more: Any) -> Any:
    octets, count = rows.page.u1, len(rows.starts)
    at, length = np.empty((2, columns, count), np.int64)
    null = np.empty((columns, count), np.bool_)
    places = np.ascontiguousarray(rows.starts), np.ascontiguousarray(rows.ends)
    done = _call(name, octets, len(octets), *places, count, columns, *more, at, length, null)
    if done < 0:
        return None
    return [(*cells, nulls if nulls.any() else None) for *cells, nulls in zip(at, length, null, strict=True)]


def postgres_decimals(page: Any, cells: Any, width: int, scale: int) -> Any:
    """Return decimals of a scale as unscaled integers of `width` bytes."""
    out = np.empty((len(cells.at), width // 8), np.int64)
    done = _call(
        "postgres_decimals", page.u1, len(page.u1), cells.at, cells.null, len(cells.at), scale, width // 8, out
    )
    return None if done < 0 else out


def postgres_numeric(unscaled: Any, scale: int) -> Any:
    """Return decimals in the binary format of numeric."""
    if unscaled.dtype != np.int64 or not 0 <= scale <= 76:
        return None
    digits, groups = int(np.abs(unscaled).max(initial=0)), min(scale % 4, 1)
    if digits < 0:
        return None
    digits //= 10 ** (scale % 4)
    while digits:
        digits, groups = digits // 10_000, groups + 1
    out = np.empty((len(unscaled), 4 + groups), ">i2")
    done = _call("postgres_numeric", unscaled, len(unscaled), scale, groups, out)
    return None if done < 0 else out


def postgres_join(parts: Any, count: int) -> Any:
    """Join the parts of rows: returns their bytes in row order, and the start of each row with the end of the last."""
    try:
        described = [_varying(part, count) if hasattr(part, "step") else _fixed(part, count) for part in parts]
    except (OverflowError, TypeError, ValueError):  # the Python function raises these, or handles the case
        return None
    if count < 0 or not described or None in described:
        return None
    room = sum(size for _, size, _ in described)
    if not 0 <= room <= _MOST_ROOM:
        return None
    out, starts = np.empty(room, np.uint8), np.empty(count + 1, np.int64)
    places = np.array([place for place, _, _ in described], np.int64)
    done = _call("postgres_join", places, len(places), count, out, len(out), starts)
    return None if done < 0 else (pa.py_buffer(out), starts)


def _varying(part: Any, count: int) -> Any:
    """Return a struct Part of postgres.c, its total size in bytes, and the array that must outlive the call."""
    array, step = part.array, part.step
    if array.type != pa.large_binary() or array.null_count or step < 1 or len(array) <= (count - 1) * step:
        return None
    _, offsets, data = array.buffers()
    places = np.frombuffer(offsets or bytes(8), np.int64)[array.offset :]
    ends, begins = places[1::step][:count], places[::step][:count]
    size = int((ends - begins).sum())
    return (2, 0, step, *_place(data), places.ctypes.data, places.nbytes), size, places


def _fixed(part: Any, count: int) -> Any:
    """Return the same for numbers or bytes of fixed width."""
    form = np.dtype(part.form)
    if form.kind not in "iufV":
        return None
    if np.ndim(part.values) == 0:
        packed = np.empty(1, form)
        packed[:] = part.values
        return (0, form.itemsize, 0, packed.ctypes.data, packed.nbytes, 0, 0), count * form.itemsize, packed
    if getattr(part.values, "shape", None) != (count,):
        return None
    values = np.ascontiguousarray(part.values)
    if values.dtype.kind == "b":
        values = values.astype(form)
    native, same = values.dtype, values.dtype == form
    counts = native.kind in "iu" and form.kind in "iu" and native.itemsize >= form.itemsize
    turned = (
        native.isnative and not form.isnative and (counts or (native.kind == "f" and native == form.newbyteorder("=")))
    )
    if not (same or turned):
        return None
    place = values.ctypes.data, values.nbytes
    return (int(not same), form.itemsize, native.itemsize, *place, 0, 0), count * form.itemsize, values


def mysql_split(octets: Any, begin: int, used: int) -> Any:
    """Return the starts and ends of the rows of a result set."""
    if not 4 <= begin <= used <= len(octets):
        return None
    room = (used - begin) // 4 + 1
    starts, ends = np.empty((2, room), np.int64)
    count = _call("mysql_split", octets, len(octets), begin, used, starts, ends, room)
    return None if count < 0 else (starts[:count], ends[:count])


def mysql_cells(rows: Any, columns: int) -> Any:
    """Return the starts, lengths and NULLs of each column's values; None in place of the NULLs if there are none."""
    return _cells("mysql_cells", rows, columns)


def mysql_integers(page: Any, cells: Any, native: Any) -> Any:
    """Return integers of a numpy dtype."""
    return _texts("mysql_integers", page, cells, np.empty(len(cells.at), native), native.itemsize)


def mysql_decimals(page: Any, cells: Any, scale: int) -> Any:
    """Return decimals of a scale as unscaled integers of two words."""
    return _texts("mysql_decimals", page, cells, np.empty((len(cells.at), 2), np.int64), scale)


def mysql_dates(page: Any, cells: Any) -> Any:
    """Return dates as days since 1970."""
    return _texts("mysql_dates", page, cells, np.empty(len(cells.at), np.int32))


def mysql_moments(page: Any, cells: Any) -> Any:
    """Return DATETIME and TIMESTAMP values as microseconds since 1970."""
    return _texts("mysql_moments", page, cells, np.empty(len(cells.at), np.int64))


def mysql_times(page: Any, cells: Any) -> Any:
    """Return times of day as microseconds."""
    return _texts("mysql_times", page, cells, np.empty(len(cells.at), np.int64))


def _texts(name: str, page: Any, cells: Any, out: Any, *more: int) -> Any:
    places = cells.at, cells.length, cells.null, len(cells.at)
    return None if _call(name, page.u1, len(page.u1), *places, *more, out) < 0 else out


def columns_load(page: Any, kind: str, at: Any) -> Any:
    """Load the numbers of a kind (i8, f4, ...) at each position, in network byte order."""
    out = np.empty(len(at), kind)
    done = _call("columns_load", page.u1, len(page.u1), np.ascontiguousarray(at), len(at), out.itemsize, out)
    return None if done < 0 else out


def columns_bytes(page: Any, cells: Any, skip: int) -> Any:
    """Return texts or bytes of variable length as offsets and data, and whether all are ASCII."""
    room = int(cells.length.sum())
    if not 0 <= room < 1 << 31:
        return None
    offsets, data, ascii_ = np.empty(len(cells.at) + 1, np.int32), np.empty(room, np.uint8), np.zeros(1, np.bool_)
    size = _call(
        "columns_bytes",
        *(page.u1, len(page.u1), cells.at, cells.length, len(cells.at), skip),
        *(offsets, data, room, ascii_),
    )
    return None if size < 0 else (offsets, data[:size], bool(ascii_[0]))


class _Column(ctypes.Structure):
    """The struct Column of csv_blocks.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("kind", "whole", "scale", "nulls", "room")),
        *((name, ctypes.c_void_p) for name in ("values", "offsets", "data", "valid")),
    )


_CSV_KINDS = {"": 0, "text": 1, "integer": 2, "decimal": 3, "date": 4}


_MOST_ROOM = 1 << 28
"""The maximum size of output buffers in bytes of address space; only the part that is written uses memory."""


def csv_columns(text: bytes, grammar: Any) -> Any:
    """Parse the requested columns of a text that ends with `grammar.end_row`; unsupported types stay text."""
    if grammar.nulls or grammar.delimiter in '"\r\n' or not (grammar.delimiter.isascii() and _is_utf8(text)):
        return None
    body = np.frombuffer(text, np.uint8)[3 * text.startswith(b"\xef\xbb\xbf") : len(text) - len(grammar.end_row)]
    rows, width = int(np.count_nonzero(body == 10)), len(grammar.names)
    if len(body) * sum(kind[0] == "text" for kind in grammar.kinds) > _MOST_ROOM:
        return None
    columns, buffers = (_Column * width)(), {}
    for name, column, kind in zip(grammar.names, columns, grammar.kinds, strict=True):
        column.kind, column.whole, column.scale = _CSV_KINDS[kind[0]], *kind[1:]
        buffers[name] = column, kind[0], _csv_buffers(column, kind[0], rows, len(body))
    done = _call("csv_columns", body, len(body), ord(grammar.delimiter), width, rows, np.frombuffer(columns, np.uint8))
    names = list(grammar.columns)
    return None if done < 0 else pa.table([_csv_array(*buffers[name], done) for name in names], names=names)


def _is_utf8(text: bytes) -> bool:
    try:
        return text.isascii() or text.decode() is not None
    except UnicodeDecodeError:
        return False


def _csv_buffers(column: _Column, kind: str, rows: int, room: int) -> list[Any]:
    """Allocate a column's output buffers, and set their addresses in it."""
    if not kind:
        return []
    valid = np.zeros(rows // 8 + 1, np.uint8)
    column.valid = valid.ctypes.data
    if kind == "text":
        offsets, data = np.zeros(rows + 1, np.int32), np.empty(room, np.uint8)
        column.offsets, column.data, column.room = offsets.ctypes.data, data.ctypes.data, room
        return [valid, offsets, data]
    values = np.empty(rows * {"integer": 8, "decimal": 16, "date": 4}[kind], np.uint8)
    column.values = values.ctypes.data
    return [valid, values]


def _csv_array(column: _Column, kind: str, buffers: list[Any], rows: int) -> Any:
    valid, *values = buffers
    if kind == "text":
        values[1] = values[1][: values[0][rows]].copy()  # the buffer has the size of the whole text
    decimal = kind == "decimal" and pa.decimal128(column.whole + column.scale, column.scale)
    validity = pa.py_buffer(valid) if column.nulls else None
    types = {"text": pa.string(), "integer": pa.int64(), "date": pa.date32(), "decimal": decimal}
    return pa.Array.from_buffers(types[kind], rows, [validity, *map(pa.py_buffer, values)], column.nulls)


_NAMES = (
    *("BOOL", "INT8", "INT16", "INT32 DATE32 TIME32", "INT64 TIME64 TIMESTAMP", "UINT8", "UINT16", "UINT32", "UINT64"),
    *("FLOAT", "DOUBLE", "", "DECIMAL128 FIXED_SIZE_BINARY", "DECIMAL256", "STRING BINARY", "LIST", "STRUCT"),
)
_KINDS = {getattr(pa.lib, f"Type_{name}"): kind for kind, names in enumerate(_NAMES) for name in names.split()}
"""The type numbers of digest.c, by Arrow type id."""
_NARROW, _WIDE16, _TEXT, _LIST, _STRUCT = 11, 12, 14, 15, 16
_RECAST = (0, 9, 10, _NARROW)
"""Booleans, floats and narrow decimals: their canonical bytes differ from Arrow's."""


def _kind(array: Any) -> int | None:
    kind = _KINDS.get(array.type.id)
    if kind != _WIDE16:
        return kind
    if array.type.id == pa.lib.Type_DECIMAL128:
        return _NARROW if array.type.precision <= 18 else kind
    return kind if array.type.byte_width == 16 else None


def _place(buffer: Any) -> tuple[int, int]:
    return (buffer.address, buffer.size) if buffer else (0, 0)


def _nodes(array: Any) -> list[tuple[int, ...]]:
    """Describe an array, followed by its children, for digest.c; raises TypeError for unsupported types."""
    kind, buffers, inner = _kind(array), array.buffers(), []
    if kind is None:
        raise TypeError(str(array.type))
    if kind == _LIST:
        inner = _nodes(array.values)
    elif kind == _STRUCT:
        inner = [node for index in range(array.type.num_fields) for node in _nodes(array.field(index))]
    offsets = buffers[1] if kind in (_TEXT, _LIST) else None
    values = buffers[2] if kind == _TEXT else buffers[1] if kind < _TEXT else None
    head = (kind, array.offset, len(array), 1 + len(inner))
    return [(*head, *_place(buffers[0]), *_place(offsets), *_place(values)), *inner]


def digest_rows(arrays: Any) -> Any:
    """Return the sums of each column's hashes and of their squares, and last those of the row hashes."""
    try:
        nodes = np.array([node for array in arrays for node in _nodes(array)], np.int64)
    except TypeError:
        return None
    sums = np.zeros((len(arrays) + 1, 2), np.uint64)
    done = _call("digest_rows", nodes, len(nodes), len(arrays[0]) if arrays else 0, sums)
    return None if done < 0 else sums


def digest_parts(array: Any, first: int) -> Any:
    """Return the numbers of NULL rows, the lengths of texts, and the canonical bytes of the values."""
    kind, rows = _kind(array), len(array)
    if kind is None or kind > _TEXT or not (array.null_count or kind in _RECAST):
        return None  # unsupported, or Arrow's buffer has the canonical bytes already
    nodes = _nodes(array)
    texts, room = (rows, nodes[0][-1]) if kind == _TEXT else (0, 32 * rows)
    nulls, lengths, out = np.empty(rows, np.uint64), np.empty(texts, np.int32), np.empty(room, np.uint8)
    null = np.empty(1, np.int64)
    size = _call("digest_parts", np.array(nodes, np.int64), first, nulls, lengths, out, room, null)
    return None if size < 0 else (nulls[: null[0]], lengths[: rows - null[0]], out[:size])


_UNITS = {"time32[s]": 0, "time32[ms]": 3, "time64[us]": 6, "time64[ns]": 9}
_SPELLED = {
    "string": (0, 4, 0, 0),
    "bool": (1, 0, 0, 0),
    **{f"int{bits}": (2, bits // 8, 0, 0) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (3, bits // 8, 0, 0) for bits in (8, 16, 32, 64)},
    "date32[day]": (5, 4, 0, 0),
    **{name: (6, int(name[4:6]) // 8, digits, 0) for name, digits in _UNITS.items()},
    **{f"timestamp{name[6:-1]}]": (7, 8, digits, 0) for name, digits in _UNITS.items()},
    **{f"timestamp{name[6:-1]}, tz=UTC]": (7, 8, digits, 1) for name, digits in _UNITS.items()},
}
"""Arrow types for csv.c: kind, bytes per value, fractional digits, and the style of times."""
_SQL = 2
_QUOTED = {"none": 0, "needy": 1, "all": 2}


def csv_rows(columns: Any, delimiter: str, end: str) -> Any:
    """Format rows as UTF-8 text; columns of types not in `_SPELLED` are formatted by Osiris first."""
    if len(delimiter.encode()) != 1 or not columns:
        return None
    arrays = [column.values if _spelling(column.values) else column.texts() for column in columns]
    described = [_column_of(array, column.quoted) for array, column in zip(arrays, columns, strict=True)]
    return _csv_rows(arrays, described, delimiter, end, "")


def mysql_rows(arrays: Any) -> Any:
    """Return rows as LOAD DATA reads them; floating-point numbers are spelled by Arrow first."""
    if not arrays or sum(array.nbytes for array in arrays) > _MOST_ROOM:
        return None
    texts = [array.cast(pa.string()) if str(array.type) in _BY_ARROW else array for array in arrays]
    if not all(map(_spelling, texts)) or any(str(array.type).endswith(_NEVER_SENT) for array in arrays):
        return None
    quoted = [_quoted_in_sql(array.type) for array in arrays]
    described = [_column_of(array, how, _SQL) for array, how in zip(texts, quoted, strict=True)]
    return _csv_rows(texts, described, ",", "\n", "NULL")


_BY_ARROW = ("float", "double", "large_string")
_NEVER_SENT = ("tz=UTC]", "extension<arrow.json>")


def _quoted_in_sql(kind: Any) -> str:
    return "all" if pa.types.is_decimal(kind) or str(kind) in ("string", "large_string") else "none"


def _csv_rows(arrays: Any, described: Any, delimiter: str, end: str, null: str) -> Any:
    rows, ends, word = len(arrays[0]), *(np.frombuffer(text.encode(), np.uint8) for text in (end, null))
    columns = np.array(described, np.int64)
    room = _call("csv_room", columns, len(columns), rows, len(ends))
    if not 0 <= room <= _MOST_ROOM or {len(array) for array in arrays} != {rows}:
        return None
    out = np.empty(room, np.uint8)
    texts = ends, len(ends), word, len(word)
    size = _call("csv_rows", columns, len(columns), rows, ord(delimiter), *texts, out, room)
    return None if size < 0 else memoryview(out)[:size]


def csv_formulas(texts: Any) -> Any:
    """Return the rows of texts that a spreadsheet evaluates as formulas."""
    out = np.empty(len(texts), np.int64)
    count = _call("csv_formulas", np.array(_column_of(texts, "none"), np.int64), len(texts), out)
    return None if count < 0 else out[:count]


def _spelling(array: Any) -> Any:
    name, kind = str(array.type), array.type
    if name.startswith("decimal128") and kind.precision <= 18 and kind.scale >= 0:
        return 4, 16, kind.scale, 0
    return _SPELLED["string"] if name == "extension<arrow.json>" else _SPELLED.get(name)


def _column_of(array: Any, quoted: str, style: int | None = None) -> Any:
    """Return the fields of csv.c's struct Column, with the address and size of each buffer; 0 for a missing one."""
    *form, iso = _spelling(array)
    buffers = [(buffer.address, buffer.size) if buffer else (0, 0) for buffer in array.buffers()]
    valid, values, data = (*buffers, (buffers[1][0], 0))[:3]
    return (*form, iso if style is None else style, _QUOTED[quoted], array.offset, *valid, *values, *data)
