"""The canonical bytes of values: what an array of fixed width is brought to before it is hashed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.types import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

    from osiris.model import Schema

_NAN = {32: 0x7FC00000, 64: 0x7FF8000000000000}
_ONE_WORD_DIGITS = 18


def plain(array: pa.Array) -> pa.Array:
    """Return an array without extension types at any depth: a uuid is its 16 bytes, json its text."""
    import pyarrow as pa
    import pyarrow.types as is_

    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return array.storage
    if not _has_extension(kind):
        return array
    if is_.is_list(kind):
        return relisted(array, plain(array.values))
    children = [plain(child) for child in array.flatten()]
    return pa.StructArray.from_arrays(children, names=[child.name for child in kind.fields], mask=array.is_null())


def relisted(lists: pa.Array, items: pa.Array) -> pa.Array:
    """Return the same lists of other items, which stand where theirs stood."""
    import pyarrow as pa

    validity, offsets = lists.buffers()[:2]
    kind = pa.list_(items.type)
    return pa.Array.from_buffers(kind, len(lists), [validity, offsets], offset=lists.offset, children=[items])


def _has_extension(kind: pa.DataType) -> bool:
    import pyarrow as pa

    inner = (kind.field(i).type for i in range(kind.num_fields))
    return isinstance(kind, pa.BaseExtensionType) or any(_has_extension(each) for each in inner)


def is_text(kind: pa.DataType) -> bool:
    """Tell whether values are bytes of varying length."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def ends(array: pa.Array) -> tuple[int, int]:
    """Return where the bytes of texts, or the items of lists, begin and end that belong to an array's rows."""
    offsets = array.buffers()[1]
    if not len(array) or offsets is None:
        return 0, 0
    numbers = memoryview(offsets).cast("i")
    return numbers[array.offset], numbers[array.offset + len(array)]


def fixed(array: pa.Array) -> pa.Array:
    """Return the canonical form of an array of fixed width, without validity; what stands under NULL is arbitrary.

    bool: one byte. Floats: their bits, all NaN alike, and both zeros. Decimals of up to 18 digits: 8 bytes. The rest
    as in Arrow.
    """
    import pyarrow as pa
    import pyarrow.types as is_

    kind = array.type
    if is_.is_boolean(kind):
        return _bare(array.cast(pa.uint8()), pa.uint8())
    if is_.is_floating(kind):
        return _float_bits(array)
    if is_.is_decimal128(kind) and kind.precision <= _ONE_WORD_DIGITS:
        halves = pa.Array.from_buffers(pa.int64(), 2 * len(array), [None, array.buffers()[1]], offset=2 * array.offset)
        return halves.take(_even(len(array)))
    if is_.is_integer(kind):
        return _bare(array, kind)
    width = kind.bit_width
    return _bare(array, {32: pa.int32(), 64: pa.int64()}.get(width) or pa.binary(width // 8))


def _bare(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the values alone, seen as another type of the same width."""
    import pyarrow as pa

    return pa.Array.from_buffers(kind, len(array), [None, array.buffers()[1]], offset=array.offset)


def _float_bits(array: pa.Array) -> pa.Array:
    """Return the bits of floats, the same for all that SQL takes for equal: adding zero makes -0.0 to 0.0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    width = array.type.bit_width
    bits = pa.uint32() if width == 32 else pa.uint64()
    floats = pc.add(_bare(array, array.type), pa.scalar(0.0, array.type))
    values = _bare(floats, bits)
    nan = pc.is_nan(floats)
    return pc.if_else(nan, pa.scalar(_NAN[width], bits), values) if pc.any(nan).as_py() else values


@lru_cache(maxsize=4)
def _even(count: int) -> pa.Array:
    import pyarrow as pa

    return pa.arange(0, 2 * count, 2)


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
