"""Rows of MySQL as Arrow: those of one SELECT, in the order in which they come."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from osiris.families.mysql.decode import cells_of
from osiris.families.mysql.result_packets import Broken, Result
from osiris.families.mysql.session import columns_of, expect_nothing_lost
from osiris.families.mysql.types import decoder
from osiris.families.sql.batch_decode import COARSE, account, decode_rows
from osiris.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import pyarrow as pa

    from osiris.families.mysql.decode import Decode
    from osiris.families.mysql.result_packets import Rows
    from osiris.families.mysql.session import ResultColumn, Session
    from osiris.families.sql.batch_decode import Batch, Sieve


def read_query(
    session: Session, text: str, columns: Sequence[ResultColumn], sieve: Sieve = COARSE
) -> Generator[Batch, None, None]:
    """Yield the rows of a SELECT, sent as it is.

    A value that cannot be carried is set aside, or fails with DAT031; fails with DAT033 at the end if the server lost
    some.
    """
    _send(session, text, columns)
    result = Result(session.connection, session.watch)
    yield from account(_batches(result, columns, sieve), sieve)
    expect_nothing_lost(session, result.warnings)


def _batches(result: Result, columns: Sequence[ResultColumn], sieve: Sieve) -> Iterator[Batch]:
    arrow = arrow_schema(tuple(column.field for column in columns))
    decoders = [decoder(column.carried) for column in columns]
    for rows in result.rows():
        size = int(rows.ends[-1] - rows.starts[0])
        yield decode_rows(len(rows.starts), size, partial(_decoded, rows, decoders), arrow, sieve)


def _send(session: Session, text: str, columns: Sequence[ResultColumn]) -> None:
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


def _decoded(rows: Rows, decoders: Sequence[Decode], first: int, end: int) -> Iterator[pa.Array]:
    try:
        cells = cells_of(rows.page, rows.starts[first:end], rows.ends[first:end], len(decoders))
    except ValueError as error:
        raise Broken(str(error)) from None
    for decode, column in zip(decoders, cells, strict=True):
        yield decode(rows.page, column)
