"""Brings Arrow data to the one form that each type has here, whatever encoding it came in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.table.values import relisted
from osiris.types import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

    from osiris.model import Schema


def conform(batch: pa.RecordBatch, schema: Schema, arrow: pa.Schema) -> pa.RecordBatch:
    """Return a batch in the form of `arrow`, which is the Arrow form of `schema`; no value changes.

    Fails with DAT016 if its columns have other names or types, or NULL where there must be none.
    """
    import pyarrow as pa

    if batch.schema.equals(arrow):
        return batch
    found = schema_of(batch.schema)
    if [(column.name, column.type) for column in found] != [(column.name, column.type) for column in schema]:
        fail("DAT016", problem=_difference(found, schema))
    columns = [_encoded(batch.column(i), field.type) for i, field in enumerate(arrow)]
    for column, field in zip(columns, arrow, strict=True):
        if column.null_count and not field.nullable:
            fail("DAT016", problem=f"column '{field.name}' has NULL and is declared without")
    return pa.RecordBatch.from_arrays(columns, schema=arrow)


def _encoded(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return an array of the same type in its own encoding; Arrow's cast alone does not reach into every nesting."""
    import pyarrow as pa
    import pyarrow.types as is_

    if array.type.equals(kind):
        return array
    if isinstance(array, pa.DictionaryArray):
        return _encoded(array.dictionary, kind).take(array.indices)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _encoded(array.storage, kind.storage_type))
    if is_.is_list(kind):
        lists = array.cast(pa.list_(array.type.value_type))
        return relisted(lists, _encoded(lists.values, kind.value_type))
    if is_.is_struct(kind):
        children = [_encoded(child, field.type) for child, field in zip(array.flatten(), kind.fields, strict=True)]
        return pa.StructArray.from_arrays(children, fields=kind.fields, mask=array.is_null())
    return array.cast(kind)


def _difference(found: Schema, expected: Schema) -> str:
    """Say the first thing that is not as declared."""
    for got, column in zip(found, expected, strict=False):
        if got.name != column.name:
            return f"column '{got.name}' stands where '{column.name}' is declared"
        if got.type != column.type:
            return f"column '{column.name}' is {got.type} and is declared {column.type}"
    return f"there are {len(found)} columns, and {len(expected)} are declared"
