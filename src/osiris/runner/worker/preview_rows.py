"""The preview job: limits the rows read from each source, and sends rows."""

from __future__ import annotations

import uuid
from contextlib import closing
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from osiris.families.text_format import first_without_spelling, spell
from osiris.table import passed_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from osiris.model import JsonValue
    from osiris.runner.worker.event_writer import Outbox
    from osiris.table import RowStream


def sampled(source: RowStream, most: int, on_cut: Callable[[], None]) -> RowStream:
    """Return the first `most` rows of a stream; calls `on_cut` after them if there are more."""

    def batches() -> Iterator[pa.RecordBatch]:
        left = most
        with closing(source.batches()) as rows:
            for batch in rows:
                if batch.num_rows > left:
                    break
                left -= batch.num_rows
                yield batch
            else:
                return
        yield batch.slice(0, left)
        on_cut()

    return passed_on(source, batches())


def send_rows(outbox: Outbox, step: str, rows: RowStream, most: int, total: int) -> None:
    """Send at most `most` rows of a step's output, which has `total`, as lists of JSON values."""
    sent = 0
    for batch in rows.batches():
        part = batch.slice(0, most - sent)
        lines = [list(line) for line in zip(*map(json_values, part.columns), strict=True)]
        outbox.send("rows", step=step, fields={"rows": lines})
        sent += len(lines)
        if sent >= most:
            break
    columns = [column.to_json() for column in rows.schema]
    outbox.send("shown", step=step, fields={"columns": columns}, total=total)


def json_values(values: pa.Array) -> list[JsonValue]:
    """Return values as JSON: bool, integers and finite floats as such, text as text, other values as exact text.

    Binary values are hexadecimal; a list becomes an array and a struct an object of such values.
    """
    import pyarrow.types as is_

    makers: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[JsonValue]]], ...] = (
        (_is_extension, _extensions),
        (is_.is_struct, _structs),
        (is_.is_list, _lists),
        (is_.is_floating, _floats),
        (is_.is_binary, lambda column: [value if value is None else value.hex() for value in column.to_pylist()]),
        (is_.is_decimal, _spelled),
        (is_.is_temporal, _spelled),
    )
    make = next((make for fits, make in makers if fits(values.type)), None)
    return make(values) if make else list(values.to_pylist())


def _is_extension(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return isinstance(kind, pa.BaseExtensionType)


def _extensions(values: pa.Array) -> list[JsonValue]:
    """Return JSON as its text, and a UUID in its canonical text form."""
    import pyarrow as pa

    if isinstance(values.type, pa.UuidType):
        return [value if value is None else str(uuid.UUID(bytes=value)) for value in values.storage.to_pylist()]
    return json_values(values.storage)


def _structs(values: pa.Array) -> list[JsonValue]:
    names = [field.name for field in values.type.fields]
    rows = zip(*map(json_values, values.flatten()), strict=True)
    return [
        dict(zip(names, row, strict=True)) if there else None for row, there in zip(rows, _valid(values), strict=True)
    ]


def _lists(values: pa.Array) -> list[JsonValue]:
    inner = json_values(values.flatten())
    lengths = values.value_lengths().fill_null(0).to_pylist()
    parts = [inner[begin:end] for begin, end in pairwise(accumulate(lengths, initial=0))]
    return [part if there else None for part, there in zip(parts, _valid(values), strict=True)]


def _valid(values: pa.Array) -> list[bool]:
    return list(values.is_valid().to_pylist())


def _floats(values: pa.Array) -> list[JsonValue]:
    """Return finite floats as numbers, others as text, as JSON has no numbers for them."""
    import pyarrow.compute as pc

    numbers = zip(spell(values).to_pylist(), pc.is_finite(values).to_pylist(), strict=True)
    return [float(text) if finite else text for text, finite in numbers]


def _spelled(values: pa.Array) -> list[JsonValue]:
    """Return each value as text; dates and times outside of the supported years as days or units since 1970."""
    import pyarrow as pa

    if first_without_spelling(values) is None:
        return list(spell(values).to_pylist())
    numbers = values.cast(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
    return [number if number is None else f"{number} since 1970" for number in numbers.to_pylist()]
