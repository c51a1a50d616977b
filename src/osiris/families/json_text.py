"""Exact JSON text: numbers keep their characters, and a repeated key in an object is an error.

Texts are parsed one by one. Arrow arrays are written as a whole, and read back as the same values.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring as quoted
from typing import TYPE_CHECKING, Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from osiris.families.text_format import characters, first_without_spelling, spell
from osiris.types import Type, parse_type

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH = 64
SPACE = " \t\r\n"

# Characters to escape in a string; the backslash first, as the other escapes contain it.
_ESCAPES = [(char, quoted(char)[1:-1]) for char in ("\\", '"', *map(chr, range(32)))]


class Number(str):
    """A number, as its source text."""

    __slots__ = ()


class BadJson(ValueError):
    """Why a text is not accepted as JSON; `position` is where, None if the text is well-formed JSON.

    `reason` says the same without a part of the text.
    """

    def __init__(self, problem: str, position: int | None = None, reason: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.position = position
        self.reason = reason or problem


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) < len(pairs):
        names = [name for name, _value in pairs]
        twice, reason = next(n for n in names if names.count(n) > 1), "a key appears twice in one object"
        raise BadJson(f"the key {twice!r} appears twice in one object", reason=reason)
    return items


def _no_number(name: str) -> NoReturn:
    raise BadJson(f"{name} is not a JSON value")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_no_number
).raw_decode


def parse_at(text: str, start: int) -> tuple[Any, int]:
    """Return the value that begins at a position, and the position after it; raises BadJson.

    Numbers are `Number`; all else is as in the json module.
    """
    try:
        return _decode(text, start)
    except json.JSONDecodeError as error:
        raise BadJson(error.msg[:1].lower() + error.msg[1:], error.pos) from None
    except RecursionError:
        raise BadJson(f"it is nested more than {MAX_DEPTH} deep") from None


def parse(text: str) -> Any:  # noqa: ANN401  any JSON value
    """Return the value of a text; raises BadJson if it is not a single JSON value."""
    start = len(text) - len(text.lstrip(SPACE))
    value, end = parse_at(text, start)
    if text[end:].strip(SPACE):
        raise BadJson("something follows the value", end)
    return value


def parse_object(text: str) -> dict[str, Any]:
    """Return the object of a text; raises BadJson if it is not a single JSON object."""
    value = parse(text)
    if type(value) is not dict:
        raise BadJson("an object is expected")
    return value


def compact(value: Any, depth: int = 0) -> str:  # noqa: ANN401  any JSON value
    """Return a parsed value as text: no spaces, keys in order, numbers unchanged, no needless escapes.

    Raises BadJson if it is nested more than MAX_DEPTH deep.
    """
    if isinstance(value, str):
        return str(value) if isinstance(value, Number) else quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if depth == MAX_DEPTH:
        raise BadJson(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return f"[{','.join([compact(item, depth + 1) for item in value])}]"
    return f"{{{','.join([f'{quoted(key)}:{compact(item, depth + 1)}' for key, item in value.items()])}}}"


class Unwritable(ValueError):
    """A value that cannot be represented in JSON, its column, and the reason."""

    def __init__(self, value: str, reason: str) -> None:
        super().__init__(value)
        self.value = value
        self.reason = reason
        self.column = ""


def refusal(type_name: str) -> str | None:
    """Return why a type cannot be represented in JSON; None if it can."""
    return _refusal(parse_type(type_name))


def _refusal(parsed: Type) -> str | None:
    if parsed.kind in ("binary", "uuid"):
        return "JSON has no spelling for it"
    if parsed.kind == "timestamp" and parsed.parameters[1:] not in ((), ("UTC",)):
        return "JSON has only UTC"
    return next((reason for _name, child in parsed.children if (reason := _refusal(child))), None)


def objects(names: Sequence[str], columns: Sequence[pa.Array], end: str = "") -> pa.Array:
    """Return one JSON object for each row; raises Unwritable."""
    parts: list[pa.Array | str] = []
    for position, (name, column) in enumerate(zip(names, columns, strict=True)):
        try:
            parts += [f"{',' if position else '{'}{quoted(name)}:", texts(column)]
        except Unwritable as error:
            error.column = name
            raise
    return pc.binary_join_element_wise(*parts, "}" + end, "")


def first_unwritable(column: pa.Array) -> tuple[int, Unwritable]:
    """Return row and error of the first value that cannot be represented, in a column that has one."""
    row, end = 0, len(column)
    while end - row > 1:
        middle = (row + end) // 2
        if _unwritable(column.slice(row, middle - row)):
            end = middle
        else:
            row = middle
    return row, _unwritable(column.slice(row, 1)) or Unwritable("a value", "JSON has no spelling for it")


def _unwritable(column: pa.Array) -> Unwritable | None:
    try:
        texts(column)
    except Unwritable as error:
        return error
    return None


def texts(values: pa.Array) -> pa.Array:
    """Return each value as JSON, NULL as null; raises Unwritable."""
    return pc.fill_null(_spelled(values), "null")


def _spelled(values: pa.Array) -> pa.Array:
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return pa.array([None if text is None else _compact(text) for text in values.storage.to_pylist()], pa.string())
    if pa.types.is_string(kind):
        return _in_quotes(_escaped(values))
    if pa.types.is_list(kind):
        return _lists(values)
    if pa.types.is_struct(kind):
        rows = objects([field.name for field in kind.fields], values.flatten())
        return pc.if_else(values.is_valid(), rows, None)
    if pa.types.is_temporal(kind):
        _check_moments(values)
        return _in_quotes(spell(values))
    if pa.types.is_floating(kind):
        _check_finite(values)
    return spell(values)


def _compact(text: str) -> str:
    try:
        document = parse(text)
        if document is None:  # it would be read back as NULL
            raise Unwritable("the document null", "in a JSON file that is NULL; make it NULL in SQL")
        return compact(document)
    except BadJson as bad:
        raise Unwritable(repr(text[:60]), bad.reason) from None


def _lists(values: pa.Array) -> pa.Array:
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(values), 0))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    inner = pa.ListArray.from_arrays(offsets, texts(values.flatten()))
    lists = pc.binary_join_element_wise("[", pc.binary_join(inner, ","), "]", "")
    return pc.if_else(values.is_valid(), lists, None)


def _escaped(values: pa.Array) -> pa.Array:
    data = bytes(characters(values))
    for char, escape in _ESCAPES:
        if char.encode() in data:
            values = pc.replace_substring(values, char, escape)
    return values


def _in_quotes(values: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', values, '"', "")


def _check_moments(values: pa.Array) -> None:
    if first := first_without_spelling(values):
        raise Unwritable(*first[1:])


def _check_finite(values: pa.Array) -> None:
    finite = pc.is_finite(values)
    if pc.all(finite).as_py() is False:
        number = values[pc.index(finite, pa.scalar(value=False)).as_py()].as_py()
        raise Unwritable(f"the number {number}", "JSON has no such number; make it NULL or text in SQL")
