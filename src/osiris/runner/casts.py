"""The reserved config key `cast`: columns converted to the types that the step names, or the step fails."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from osiris.document import join
from osiris.errors import Location, diagnostic, did_you_mean, fail, raise_all
from osiris.table import RowStream, stream
from osiris.types import arrow_schema, arrow_type, is_type_name, type_name, unknown_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from osiris.model import Schema

_SHOWN = 60
"""Characters of a value that an error shows."""


def cast_schema(schema: Schema, casts: Mapping[str, str], step: str) -> Schema:
    """Return the schema after the casts.

    Fails with DAT005 for unknown columns, DAT012 for unknown types, DAT014 for a type that has no form in the other.
    """
    known = {column.name: column.type for column in schema}
    found = [
        diagnostic(
            "DAT005", at=_at(name), column=name, where=f"the cast of step '{step}'", hint=did_you_mean(name, known)
        )
        for name in casts
        if name not in known
    ]
    found += [unknown_type(kind, _at(name)) for name, kind in casts.items() if not is_type_name(kind)]
    if found:
        raise_all(found)
    found = [
        diagnostic(
            "DAT014",
            at=_at(name),
            hint=_instead(name, known[name]),
            step=step,
            column=name,
            type=kind,
            reason=f"{known[name]} has no form in it",
        )
        for name, kind in casts.items()
        if not _is_possible(known[name], kind)
    ]
    if found:
        raise_all(found)
    return tuple(replace(column, type=casts.get(column.name, column.type)) for column in schema)


def _is_possible(source: str, target: str) -> bool:
    """Tell whether Arrow has a way from one type to the other and back, whatever the values are."""
    import pyarrow as pa

    if {source, target} == {"uuid", "utf8"}:  # Arrow would take the bytes of one for the text of the other
        return False
    try:
        _there_and_back(pa.nulls(0, arrow_type(source)), arrow_type(target))
    except pa.ArrowNotImplementedError:
        return False
    return True


def _at(column: str) -> Location:
    return Location(pointer=join("/config/cast", column))


def cast_stream(source: RowStream, casts: Mapping[str, str], step: str) -> RowStream:
    """Return the stream with its columns cast; a value that would not survive the way back fails with DAT014."""
    target = cast_schema(source.schema, casts, step)
    arrow = arrow_schema(target)

    def batches() -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in source.batches():
            columns = [
                _cast(batch.column(i), arrow.field(i), step) if column.name in casts else batch.column(i)
                for i, column in enumerate(target)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=arrow)

    return stream(target, batches(), source.order)


def _cast(column: pa.Array, field: pa.Field, step: str) -> pa.Array:
    import pyarrow as pa

    if _is_text(column.type) and isinstance(field.type, pa.JsonType):
        _check_documents(column, field, step)
    named = type_name(field.type)
    try:
        result, back = _there_and_back(column, field.type)
    except pa.ArrowException as error:
        _fail(step, field.name, named, column, _first_line(error))
    if (lost := _first_loss(column, back)) is not None:
        _fail(step, field.name, named, column, f"{lost} would change")
    return result


def _fail(step: str, name: str, kind: str, column: pa.Array, reason: str) -> NoReturn:
    hint = _instead(name, type_name(column.type))
    fail("DAT014", step=step, column=name, type=kind, reason=reason, hint=hint)


def _instead(column: str, source: str) -> str:
    """Return what to write instead of a cast that changes values."""
    return f"leave '{column}' out of cast, where it stays {source}; or round or convert it in a SQL step before"


def _there_and_back(column: pa.Array, target: pa.DataType) -> tuple[pa.Array, pa.Array]:
    """Return a column as another type, and that as the type that it had; a text stays as it is."""
    import pyarrow.compute as pc

    result = pc.cast(_widened(column, target), target, safe=True)
    return result, column if _is_text(column.type) else pc.cast(result, column.type, safe=True)


def _check_documents(column: pa.Array, field: pa.Field, step: str) -> None:
    """Fail with DAT014 for a text that is no JSON: to Arrow every text is some."""
    for text in column.drop_null().to_pylist():
        try:
            json.loads(text)
        except ValueError:
            fail("DAT014", step=step, column=field.name, type="json", reason=f"{text[:_SHOWN]!r} is no JSON")


def _widened(column: pa.Array, target: pa.DataType) -> pa.Array:
    """Take integers to decimals by way of one that holds them all: Arrow looks at types only, not at values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_integer(column.type) and pa.types.is_decimal(target)):
        return column
    return pc.cast(column, pa.decimal256(76, target.scale) if target.scale > 18 else pa.decimal128(38, target.scale))


def _is_text(kind: pa.DataType) -> bool:
    """Text is read as the type's literal, whose spelling may be lost: '007' is the integer 7."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _first_loss(before: pa.Array, after: pa.Array) -> str | None:
    """Return the first value that did not survive there and back; NaN is not lost, though it equals nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if before.equals(after):
        return None
    if isinstance(before.type, pa.BaseExtensionType):
        before, after = before.storage, after.storage
    lost = pc.not_equal(before, after)
    if pa.types.is_floating(before.type):
        lost = pc.and_not(lost, pc.and_(pc.is_nan(before), pc.is_nan(after)))
    found = pc.index(lost, pa.scalar(value=True)).as_py()
    return None if found < 0 else repr(before[found].as_py())


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
