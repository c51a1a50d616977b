"""The reserved config key `cast`: converts columns to the given types, or fails the step.

A value must survive the round trip. Text need not, as `007` is the integer 7: it must denote exactly its value, see
`osiris.families.text_format.first_changed`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.document import join
from osiris.errors import Location, diagnostic, did_you_mean, fail, raise_all
from osiris.table import RowStream, stream
from osiris.types import arrow_schema, arrow_type, is_type_name, parse_type, type_name, unknown_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from osiris.errors import Diagnostic
    from osiris.model import Schema

_ROUNDED = ("float32", "float64", "decimal", "time", "timestamp")
"""Kinds of types whose values may be too exact for another type."""
_SHOWN = 60
"""Maximum characters of a value in a message."""


def _unknown(types: Mapping[str, str], casts: Mapping[str, str], step: str) -> Iterator[Diagnostic]:
    """Yield problems with the columns and types that casts name."""
    where = f"the cast of step '{step}'"
    for name in casts:
        if name not in types:
            yield diagnostic("DAT005", at=_at(name), column=name, where=where, hint=did_you_mean(name, types))
    yield from (unknown_type(kind, _at(name)) for name, kind in casts.items() if not is_type_name(kind))


def _impossible(types: Mapping[str, str], casts: Mapping[str, str], step: str) -> Iterator[Diagnostic]:
    """Yield DAT014 for each cast between types without a conversion."""
    for name, kind in casts.items():
        if not _is_possible(types[name], kind):
            reason, hint = f"{types[name]} has no form in it", _alternative(name, types[name])
            yield diagnostic("DAT014", at=_at(name), hint=hint, step=step, column=name, type=kind, reason=reason)


def cast_schema(schema: Schema, casts: Mapping[str, str], step: str) -> Schema:
    """Return the schema after the casts.

    Fails with DAT005 for unknown columns, DAT012 for unknown types, DAT014 for types without a conversion.
    """
    types = {column.name: column.type for column in schema}
    if problems := [*_unknown(types, casts, step)]:
        raise_all(problems)
    if problems := [*_impossible(types, casts, step)]:
        raise_all(problems)
    return tuple(replace(column, type=casts.get(column.name, column.type)) for column in schema)


def _is_possible(source: str, target: str) -> bool:
    """Return whether Arrow can convert one type to the other and back, for some values."""
    import pyarrow as pa

    if any(map(_is_unsupported, *_leaves(arrow_type(source), arrow_type(target)))):
        return False
    try:
        _round_trip(pa.nulls(1, arrow_type(source)), arrow_type(target))  # some are refused only if there is a row
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return False
    return True


def _leaves(source: pa.DataType, target: pa.DataType) -> tuple[list[pa.DataType], list[pa.DataType]]:
    """Return the pairwise leaf types of two types, descending into lists and structs of equal shape."""
    if not source.num_fields or source.id != target.id or _names(source) != _names(target):
        return [source], [target]
    pairs = [_leaves(source.field(n).type, target.field(n).type) for n in range(source.num_fields)]
    return [kind for pair in pairs for kind in pair[0]], [kind for pair in pairs for kind in pair[1]]


def _names(kind: pa.DataType) -> list[str]:
    """Return the field names of a struct; the item name of a list does not count."""
    import pyarrow as pa

    return [field.name for field in kind.fields] if pa.types.is_struct(kind) else [""]


def _is_unsupported(source: pa.DataType, target: pa.DataType) -> bool:
    """Return whether Arrow converts these types although the result has another meaning."""
    import pyarrow as pa

    if pa.types.is_struct(source) and pa.types.is_struct(target):  # Arrow would drop fields missing in the target
        return True
    if isinstance(source, pa.JsonType):  # in JSON, these are strings with quotes
        return pa.types.is_temporal(target) or isinstance(target, pa.UuidType)
    if isinstance(target, pa.JsonType):
        kinds = (_is_text, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
        return not any(test(source) for test in kinds)
    pair = (source, target)  # Arrow would reinterpret bytes as text
    return any(isinstance(kind, pa.UuidType) for kind in pair) and any(map(_is_text, pair))


def _at(column: str) -> Location:
    return Location(pointer=join("/config/cast", column))


def cast_stream(source: RowStream, casts: Mapping[str, str], step: str) -> RowStream:
    """Return the stream with its columns cast; a value that does not survive the round trip fails with DAT014."""
    target = cast_schema(source.schema, casts, step)
    arrow = arrow_schema(target)

    def batches() -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        row = 1
        for batch in source.batches():
            columns = [
                _cast(batch.column(i), arrow.field(i), step, row) if column.name in casts else batch.column(i)
                for i, column in enumerate(target)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=arrow)
            row += batch.num_rows

    return stream(target, batches(), lambda: source.order)


def _cast(column: pa.Array, field: pa.Field, step: str, row: int) -> pa.Array:
    """Return a column cast to the type of a field; fails with DAT014. `row` is the number of the column's first row."""
    result, change = _try_cast(column, field.type)
    if change is not None:
        index, problem = change
        about = {"column": field.name, "type": type_name(field.type), "reason": f"row {row + index:,}: {problem}"}
        fail("DAT014", at=_at(field.name), hint=_alternative(field.name, type_name(column.type)), step=step, **about)
    return result


def _try_cast(column: pa.Array, target: pa.DataType) -> tuple[pa.Array | None, tuple[int, str] | None]:
    """Return a column cast to a type, or the index of the first value that changes, and why."""
    import pyarrow as pa

    try:
        result, back = _round_trip(column, target)
    except pa.ArrowException:
        index = _first_refused(column, target)
        return None, (index, f"{_shown(column[index])} is not {type_name(target)}")
    return result, _first_lost(column, result, back)


def _alternative(column: str, source: str) -> str:
    """Return the hint for a cast that changes values."""
    way = "convert it in a SQL step"
    if source in ("utf8", "json"):
        way += ": TRY_CAST gives NULL where CAST fails"
    elif parse_type(source).kind in _ROUNDED:
        way = "round it in a SQL step"
    return f"leave '{column}' out of cast, then it stays {source}; or {way}"


def _round_trip(column: pa.Array, target: pa.DataType) -> tuple[pa.Array, pa.Array]:
    """Return a column cast to a type, and that cast back; text is returned as it is instead."""
    import pyarrow.compute as pc

    result = pc.cast(pc.cast(column, _widened(column.type, target)), target, safe=True)
    if _is_text(column.type):
        return result, column
    return result, pc.cast(pc.cast(result, _widened(target, column.type)), column.type, safe=True)


def _first_refused(column: pa.Array, target: pa.DataType) -> int:
    """Return the index of the first value that Arrow cannot cast to a type."""
    import pyarrow as pa

    from osiris.families.text_format import misfits

    def is_possible(low: int, high: int) -> bool:
        try:
            _round_trip(column.slice(low, high - low), target)
        except pa.ArrowException:
            return False
        return True

    return next(misfits(is_possible, 0, len(column)), 0)


def _first_lost(before: pa.Array, result: pa.Array, back: pa.Array) -> tuple[int, str] | None:
    """Return the index of the first value that a cast changed, and the problem.

    Text must denote its value, also inside lists; other values must survive the round trip; JSON must be valid.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_text(before.type):
        return _first_misread(before, result)
    if isinstance(result.type, pa.JsonType) and pa.types.is_floating(before.type):  # NaN is not valid JSON
        return _first_invalid_json(result.storage)
    if not before.type.num_fields or before.type.id != result.type.id:
        return _first_loss(before, back)
    if pa.types.is_struct(before.type):
        fields = zip(*(each.flatten() for each in (before, result, back)), strict=True)
        return min(filter(None, (_first_lost(*each) for each in fields)), default=None)
    change = _first_lost(before.flatten(), result.flatten(), back.flatten())
    return change and (pc.list_parent_indices(before)[change[0]].as_py(), change[1])


def _first_misread(texts: pa.Array, values: pa.Array) -> tuple[int, str] | None:
    """Return the index of the first text that does not denote its value, and why."""
    import pyarrow as pa

    from osiris.families.text_format import first_changed

    if isinstance(values.type, pa.JsonType):
        return _first_invalid_json(texts)
    index = first_changed(texts, values)
    return None if index is None else (index, _would_change(texts[index]))


def _first_invalid_json(texts: pa.Array) -> tuple[int, str] | None:
    """Return the index of the first text that is not valid JSON, which Arrow does not check."""
    from osiris.families.json_text import BadJson, parse

    for index, text in enumerate(texts.to_pylist()):
        try:
            parse("null" if text is None else text)
        except BadJson as error:
            return index, f"{text[:_SHOWN]!r} is no JSON: {error.problem}"
    return None


def _would_change(value: pa.Scalar) -> str:
    return f"{_shown(value)} would change"


def _shown(value: pa.Scalar) -> str:
    from osiris.families.text_format import value_text

    try:
        shown = value_text(value.as_py())
    except (OverflowError, ValueError):  # a date or time that Python does not have
        return "a value"
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


def _widened(source: pa.DataType, target: pa.DataType) -> pa.DataType:
    """Return the type to cast to first: integers become a decimal that holds them all if the target is a decimal.

    Arrow would check the types of such a cast, not the values.
    """
    import pyarrow as pa

    if pa.types.is_integer(source) and pa.types.is_decimal(target):
        return pa.decimal256(76, target.scale) if target.scale > 18 else pa.decimal128(38, target.scale)
    if not source.num_fields or source.id != target.id:
        return source
    pairs = [(source.field(n), target.field(n).type) for n in range(source.num_fields)]
    fields = [own.with_type(_widened(own.type, other)) for own, other in pairs]
    return pa.struct(fields) if pa.types.is_struct(source) else pa.list_(fields[0])


def _is_text(kind: pa.DataType) -> bool:
    """Return whether a type is text, which is parsed and may lose its spelling: '007' is the integer 7."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _first_loss(before: pa.Array, after: pa.Array) -> tuple[int, str] | None:
    """Return the index of the first value that did not survive the round trip, and the problem.

    NaN counts as unchanged, though it equals nothing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if before.equals(after):
        return None
    if isinstance(before.type, pa.BaseExtensionType):
        before, after = before.storage, after.storage
    is_changed = pc.not_equal(before, after)
    if pa.types.is_floating(before.type):
        is_changed = pc.and_not(is_changed, pc.and_(pc.is_nan(before), pc.is_nan(after)))
    index = pc.index(is_changed, pa.scalar(value=True)).as_py()
    return None if index < 0 else (index, _would_change(before[index]))
