"""Rows on their way to a server: in pieces, and row by row where some of them are refused and set aside."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.quarantine import MAX_ROW, Refused, divide, of_row, row_of, row_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from osiris.families.quarantine import Misfit
    from osiris.families.sql.database import Delivery, Session

PIECE = 4 << 20
"""The bytes that are encoded at once."""


def pieces(delivery: Delivery, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the next rows, and how many came before."""
    before = 0
    for batch in batches:
        size = max(1, min(delivery.config.batch_size, PIECE * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, size):
            yield before + start, batch.slice(start, size)
        before += batch.num_rows


def fail_value(delivery: Delivery, misfit: Misfit, before: int = 0) -> NoReturn:
    """Fail with DAT015 for a value; `before` is how many rows came before those that were tried."""
    value = misfit.value if misfit.row is None else f"{misfit.value} in row {before + misfit.row + 1}"
    fail("DAT015", step=delivery.ctx.step, column=misfit.column, value=value, reason=misfit.why)


def fail_refused(session: Session, delivery: Delivery, refused: Refused) -> NoReturn:
    """Fail with DAT032 for a row that the table refuses."""
    problem = delivery.database.explained(session, delivery, refused).problem
    fail("DAT032", step=delivery.ctx.step, table=delivery.target.table, problem=problem)


def set_aside(session: Session, delivery: Delivery, row: int, values: str, refused: Refused) -> None:
    """Take a row, by its number from 0, among those that the table refuses; `values` is its text."""
    if delivery.rejected:
        known = delivery.database.explained(session, delivery, refused)
        delivery.rejected.take(of_row(row + 1, known.column, values, known.told), MAX_ROW)


def sift(
    session: Session, delivery: Delivery, before: int, piece: pa.RecordBatch, send: Callable[[pa.RecordBatch], None]
) -> None:
    """Call `send` with a piece, or with parts of it where that raises Refused, and set aside the rows that do not fit.

    `before` is how many rows came before the piece.
    """
    names = [field.name for field in delivery.schema]

    def refuse(row: int, refused: Refused) -> None:
        set_aside(session, delivery, before + row, row_text(row_of(piece, row, names)), refused)

    divide(piece.num_rows, lambda first, end: send(piece.slice(first, end - first)), refuse)


@contextmanager
def trying(session: Session, delivery: Delivery) -> Iterator[None]:
    """Undo what the block does, and raise Refused, if the server refuses a row in it."""
    session.run("SAVEPOINT trying")
    try:
        yield
    except Refused:
        session.run("ROLLBACK TO SAVEPOINT trying")
        raise
    except delivery.database.errors() as error:
        refused = delivery.database.refusal(error)
        if refused is None:
            raise
        session.run("ROLLBACK TO SAVEPOINT trying")
        raise refused from None
    session.run("RELEASE SAVEPOINT trying")
