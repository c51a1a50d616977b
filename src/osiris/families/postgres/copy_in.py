"""Rows sent to PostgreSQL by COPY: all in one, or piece by piece where rows that it refuses are set aside."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NoReturn

import pyarrow as pa

from osiris.errors import fail
from osiris.families.postgres.column_mapping import Way
from osiris.families.postgres.constraint_errors import explained
from osiris.families.postgres.encode import HEADER, TRAILER, encode_rows, number
from osiris.families.postgres.session import quote_name
from osiris.families.postgres.target_table import Column
from osiris.families.postgres.transaction import trying
from osiris.families.postgres.types import Kind
from osiris.families.quarantine import MAX_ROW, Misfit, Refused, Rejected, divide, of_row, row_of, row_text
from osiris.families.sql.columnar import Unfit, refuse_large

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osiris.driver import StepContext
    from osiris.families.postgres.encode import Part
    from osiris.families.postgres.session import Session
    from osiris.families.postgres.transaction import Place
    from osiris.model import Schema

    Found = Sequence[tuple[Column, Way]]

_PIECE = 4 << 20
"""The bytes that are encoded at once."""


@dataclass(frozen=True, slots=True)
class Work:
    """One delivery: where it goes, how, and the columns of the rows; `rejected` takes those that are set aside.

    `sent` counts the rows and bytes that the server has taken, and the rows that were `seen`.
    """

    ctx: StepContext
    place: Place
    schema: Schema
    mode: Literal["append", "replace", "upsert"]
    key: Sequence[str]
    create: bool
    batch: int
    largest: int | None = None
    rejected: Rejected | None = None
    sent: Counter[str] = field(default_factory=Counter)


def send(session: Session, work: Work, table: str, found: Found, batches: Iterable[pa.RecordBatch]) -> None:
    """Send all rows of some batches, whose columns are `found`.

    Fails with DAT015 for a value that the table would change, DRV015 if the server took more or fewer rows than it was
    given; rows that are refused are set aside where `work` says so.
    """
    pieces = _pieces(work, batches)
    if work.rejected is None:
        _copy(session, work, table, found, (_fitting(work, found, piece) for piece in pieces))
        return
    for piece in pieces:
        _sift(session, work, table, found, piece)


def number_column(name: str) -> tuple[Column, Way]:
    """Return the column in which rows have their number."""
    kind = Kind(20, "bigint", "b", "int8")
    return Column(name, kind.name, True, False, False, False, "", -1, kind), Way("int64", number(">i8"))


def set_aside(session: Session, work: Work, row: int, values: str, refused: Refused) -> None:
    """Take a row, by its number from 0, among those that the table refuses; `values` is its text."""
    if work.rejected:
        known = explained(session, work.place.quoted, refused)
        work.rejected.take(of_row(row + 1, known.column, values, known.told), MAX_ROW)


def expect_taken(work: Work, given: int, taken: int) -> None:
    """Fail with DRV015 if the server took more or fewer rows than it was given, as a trigger may have it."""
    if taken != given:
        place = work.place
        fail("DRV015", step=work.ctx.step, table=place.table, path=place.schema, given=given, taken=taken)


def refuse_value(work: Work, misfit: Misfit, before: int = 0) -> NoReturn:
    """Fail with DAT015 for a value; `before` is how many rows came before those that were tried."""
    value = misfit.value if misfit.row is None else f"{misfit.value} in row {before + misfit.row + 1}"
    fail("DAT015", step=work.ctx.step, column=misfit.column, value=value, reason=misfit.why)


def _sift(session: Session, work: Work, table: str, found: Found, piece: pa.RecordBatch) -> None:
    """Send a piece, and set aside the rows of it that do not fit."""
    before, names = work.sent["seen"], [field.name for field in work.schema]

    def attempt(first: int, end: int) -> None:
        part = piece.slice(first, end - first)
        data = _encoded(work, found, part)
        with trying(session):
            _copy(session, work, table, found, [(part.num_rows, data)])

    def refuse(row: int, refused: Refused) -> None:
        set_aside(session, work, before + row, row_text(row_of(piece, row, names)), refused)

    divide(piece.num_rows, attempt, refuse)
    work.sent.update(seen=piece.num_rows)


def _copy(session: Session, work: Work, table: str, found: Found, pieces: Iterable[tuple[int, memoryview]]) -> None:
    """Send pieces by one COPY, each a number of rows and their bytes, and count what was taken."""
    listed, sent = ", ".join(quote_name(column.name) for column, _ in found), Counter[str]()
    command = f"COPY {table} ({listed}) FROM STDIN (FORMAT binary)".encode()
    with session.connection.cursor() as cursor, ExitStack() as stack:
        with session.watch.waiting():
            copy = stack.enter_context(cursor.copy(command))
            copy.write(HEADER)
        for count, data in pieces:
            with session.watch.waiting():
                copy.write(data)
            sent.update(rows=count, bytes=len(data))
        with session.watch.waiting():
            copy.write(TRAILER)
            stack.close()
        expect_taken(work, sent["rows"], cursor.rowcount)
    work.sent.update(sent)


def _pieces(work: Work, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        size = _rows_at_once(batch, work.batch)
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)


def _rows_at_once(batch: pa.RecordBatch, most: int) -> int:
    each = batch.nbytes // max(batch.num_rows, 1)
    return int(max(1, min(most, _PIECE // max(each, 1))))


def _fitting(work: Work, found: Found, piece: pa.RecordBatch) -> tuple[int, memoryview]:
    """Return how many rows a piece has, and their bytes; fails with DAT015."""
    try:
        data = _encoded(work, found, piece)
    except Misfit as misfit:
        refuse_value(work, misfit, work.sent["seen"])
    work.sent.update(seen=piece.num_rows)
    return piece.num_rows, data


def _encoded(work: Work, found: Found, piece: pa.RecordBatch) -> memoryview:
    """Return rows as COPY takes them; raises Misfit."""
    cells = zip(found, piece.columns, strict=True)
    parts = [_parts(column.name, array, how, work.largest) for (column, how), array in cells]
    return encode_rows(parts, piece.num_rows)


def _parts(name: str, array: pa.Array, how: Way, largest: int | None) -> Sequence[Part]:
    try:
        refuse_large(array, largest)
        return how.parts(array)
    except Unfit as unfit:
        raise Misfit(name, unfit.value, unfit.reason, unfit.row) from None
    except pa.ArrowInvalid:
        raise Misfit(name, "a value", f"it is out of the range of {how.type}") from None
