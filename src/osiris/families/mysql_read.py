"""Rows of MySQL as Arrow: those of one SELECT, in the order in which they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.cells import Unfit
from osiris.families.mysql import columns_of, expect_nothing_lost
from osiris.families.mysql_cells import cells_of
from osiris.families.mysql_types import decoder
from osiris.families.mysql_wire import Broken, Result
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import pyarrow as pa

    from osiris.families.mysql import Column, Session
    from osiris.families.mysql_cells import Decode
    from osiris.families.mysql_wire import Rows


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, and the bytes that they had as the server sent them."""

    rows: pa.RecordBatch
    size: int


def read_query(session: Session, text: str, columns: Sequence[Column]) -> Generator[Batch, None, None]:
    """Yield the rows of a SELECT, sent as it is.

    Fails with DAT031 for a value that cannot be carried, and with DAT033 at the end if the server lost some.
    """
    _send(session, text, columns)
    arrow = arrow_schema(tuple(column.field for column in columns))
    decoders = [decoder(column.carried) for column in columns]
    result, before = Result(session.connection, session.watch), 0
    for rows in result.rows():
        yield Batch(_decoded(rows, decoders, arrow, before), int(rows.ends[-1] - rows.starts[0]))
        before += len(rows.starts)
    expect_nothing_lost(session, result.warnings)


def _send(session: Session, text: str, columns: Sequence[Column]) -> None:
    """Send a SELECT, and let the client library forget it: it would wait for the rows that it has not seen."""
    connection = session.connection
    with session.watch.waiting():
        connection.query(text, unbuffered=True)
    result, connection._result = connection._result, None
    result.unbuffered_active, result.connection = False, None
    kinds = {c.field.name: "float" for c in columns if c.field.type == "float32"}
    kinds |= {c.field.name: c.field.type for c in columns if c.field.type in ("json", "uuid")}
    found = columns_of(result.fields, kinds, {c.field.name: not c.field.nullable for c in columns})
    if [column.field for column in found] != [column.field for column in columns]:
        raise Broken("its rows have other columns than it told before")


def _decoded(rows: Rows, decoders: Sequence[Decode], arrow: pa.Schema, before: int) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = []
    try:
        cells = cells_of(rows.page, rows.starts, rows.ends, len(decoders))
        for decode, column in zip(decoders, cells, strict=True):
            arrays.append(decode(rows.page, column))
    except Unfit as unfit:
        place = {"column": arrow.names[len(arrays)], "row": before + unfit.row + 1}
        fail("DAT031", **place, value=unfit.value, reason=unfit.reason)
    except ValueError as error:
        raise Broken(str(error)) from None
    return pa.RecordBatch.from_arrays(arrays, schema=arrow)
