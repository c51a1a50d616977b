"""Rows sent to PostgreSQL by COPY: all in one, or piece by piece where rows that it refuses are set aside."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pyarrow as pa

from osiris.families.postgres.encode import HEADER, TRAILER, encode_rows
from osiris.families.quarantine import Misfit
from osiris.families.sql.columnar import Unfit, refuse_large
from osiris.families.sql.database import Target
from osiris.families.sql.sending import fail_value, pieces, sift, trying
from osiris.families.sql.target_table import expect_all_taken
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from osiris.families.postgres.encode import Part
    from osiris.families.postgres.session import Session
    from osiris.families.postgres.target_table import Found, Way
    from osiris.families.sql.database import Delivery


def send(session: Session, delivery: Delivery, table: str, found: Found, batches: Iterable[pa.RecordBatch]) -> None:
    """Send all rows of some batches, whose columns are `found`.

    Fails with DAT015 for a value that the table would change, DRV015 if the server took more or fewer rows than it was
    given; rows that are refused are set aside where the delivery says so.
    """
    if delivery.rejected is None:
        fitting = (_fitting(delivery, found, *piece) for piece in pieces(delivery, batches))
        _copy(session, delivery, table, found, fitting)
        return

    def attempt(part: pa.RecordBatch) -> None:
        data = _encoded(delivery, found, part)
        with trying(session, delivery):
            _copy(session, delivery, table, found, [(part.num_rows, data)])

    for before, piece in pieces(delivery, batches):
        sift(session, delivery, before, piece, attempt)
        delivery.sent.update(seen=piece.num_rows)


def expect_taken(delivery: Delivery, given: int, taken: int) -> None:
    """Fail with DRV015 if the server took more or fewer rows than it was given, as a trigger may have it."""
    expect_all_taken(delivery.ctx, Target(delivery.table, delivery.config.schema), given, taken)


def _copy(
    session: Session, delivery: Delivery, table: str, found: Found, parts: Iterable[tuple[int, memoryview]]
) -> None:
    """Send pieces by one COPY, each a number of rows and their bytes, and count what was taken."""
    listed, sent = ", ".join(quote_name(column.name) for column, _ in found), Counter[str]()
    command = f"COPY {table} ({listed}) FROM STDIN (FORMAT binary)".encode()
    with session.connection.cursor() as cursor, ExitStack() as stack:
        with session.watch.waiting():
            copy = stack.enter_context(cursor.copy(command))
            copy.write(HEADER)
        for count, data in parts:
            with session.watch.waiting():
                copy.write(data)
            sent.update(rows=count, bytes=len(data))
        with session.watch.waiting():
            copy.write(TRAILER)
            stack.close()
        expect_taken(delivery, sent["rows"], cursor.rowcount)
    delivery.sent.update(sent)


def _fitting(delivery: Delivery, found: Found, before: int, piece: pa.RecordBatch) -> tuple[int, memoryview]:
    """Return how many rows a piece has, and their bytes; fails with DAT015."""
    try:
        return piece.num_rows, _encoded(delivery, found, piece)
    except Misfit as misfit:
        fail_value(delivery, misfit, before)


def _encoded(delivery: Delivery, found: Found, piece: pa.RecordBatch) -> memoryview:
    """Return rows as COPY takes them; raises Misfit."""
    cells = zip(found, piece.columns, strict=True)
    parts = [_parts(column.name, array, how, delivery.config.max_cell_bytes) for (column, how), array in cells]
    return encode_rows(parts, piece.num_rows)


def _parts(name: str, array: pa.Array, how: Way, largest: int | None) -> Sequence[Part]:
    try:
        refuse_large(array, largest)
        return how.parts(array)
    except Unfit as unfit:
        raise Misfit(name, unfit.value, unfit.reason, unfit.row) from None
    except pa.ArrowInvalid:
        raise Misfit(name, "a value", f"it is out of the range of {how.type}") from None
