"""Rows on their way to a database: as values, in pieces, and row by row where some are refused and set aside.

Of several rows with one key, an upsert that sets rows aside writes the last one that the table takes. The last rows of
all keys are tried first. Where one is refused, the one before it has its turn: so no row is set aside for a rival that
is not there itself, and all servers keep the same one.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from osiris.errors import fail
from osiris.families.quarantine import MAX_ROW, Misfit, Refused, divide, of_row, row_of, row_text
from osiris.families.sql.columnar import Unfit, refuse_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from osiris.families.sql.database import CatalogueColumn, Delivery, Session, Staged
    from osiris.model import Field

T = TypeVar("T")
Encoded = TypeVar("Encoded")
PIECE = 4 << 20
"""The bytes that are encoded at once."""
_TURNS, _DONE = "_osiris_turns", "_osiris_done"
_PAGE = 1000
SUPERSEDED = "a later row has the same key"


def pieces(delivery: Delivery, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the next rows, and how many came before."""
    before = 0
    for batch in batches:
        size = max(1, min(delivery.config.batch_size, PIECE * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, size):
            yield before + start, batch.slice(start, size)
        before += batch.num_rows


def stored_rows(
    delivery: Delivery,
    waiting: Staged,
    first_refused: Callable[[Field, pa.Array], tuple[int, str, str] | None],
    stored: Callable[[pa.Array, str], Iterable[Any]],
) -> Iterator[tuple[int, Iterator[tuple[Any, ...]]]]:
    """Yield the rows of each batch as a client library takes them, and how many came before.

    `stored(array, type)` gives the values of a column. Fails with DAT015 for the first value that would be changed,
    which `first_refused` tells with its row and why, and with RUN003 if the step is cancelled.
    """
    before, fields = 0, delivery.schema
    for batch in waiting.open().batches():
        if delivery.ctx.cancelled():
            fail("RUN003", signal="request")
        for field, array in zip(fields, batch.columns, strict=True):
            if refused := first_refused(field, array):
                row, value, why = refused
                value = f"{value} in row {before + row + 1}"
                fail("DAT015", step=delivery.ctx.step, column=field.name, value=value, reason=why)
        columns = [stored(array, field.type) for field, array in zip(fields, batch.columns, strict=True)]
        yield before, zip(*columns, strict=True)
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


def send_rows(
    session: Session,
    delivery: Delivery,
    batches: Iterable[pa.RecordBatch],
    encode: Callable[[pa.RecordBatch], Encoded],
    take: Callable[[Iterable[Encoded]], object],
) -> None:
    """Send rows in pieces: all of them by one call of `take`, or one by one where rows that are refused are set aside.

    `encode` raises Misfit for a value that the table would change, `take` may raise Refused. Fails with DAT015 or
    DAT032 where nothing is set aside.
    """

    def fitting(before: int, piece: pa.RecordBatch) -> Encoded:
        try:
            return encode(piece)
        except Misfit as misfit:
            fail_value(delivery, misfit, before)

    def attempt(part: pa.RecordBatch) -> None:
        encoded = encode(part)
        with trying(session, delivery):
            take([encoded])

    if delivery.rejected is None:
        try:
            take(fitting(*piece) for piece in pieces(delivery, batches))
        except Refused as refused:
            fail_refused(session, delivery, refused)
        return
    names = [field.name for field in delivery.schema]

    def sift(before: int, piece: pa.RecordBatch) -> None:
        def refuse(row: int, refused: Refused) -> None:
            set_aside(session, delivery, before + row, row_text(row_of(piece, row, names)), refused)

        divide(piece.num_rows, lambda first, end: attempt(piece.slice(first, end - first)), refuse)

    for before, piece in pieces(delivery, batches):
        sift(before, piece)
        delivery.sent.update(seen=piece.num_rows)


def encoded_columns(
    delivery: Delivery,
    columns: Sequence[tuple[CatalogueColumn, T]],
    piece: pa.RecordBatch,
    encode: Callable[[pa.Array, CatalogueColumn, T], Encoded],
) -> list[Encoded]:
    """Return the columns of a piece as `encode` gives them, which may raise Unfit; raises Misfit.

    `columns` are those of the table, each with what else `encode` is told of it.
    """
    found = []
    for array, (column, about) in zip(piece.columns, columns, strict=True):
        try:
            refuse_large(array, delivery.config.max_cell_bytes)
            found.append(encode(array, column, about))
        except Unfit as unfit:
            raise Misfit(column.name, unfit.value, unfit.reason, unfit.row) from None
    return found


@contextmanager
def trying(session: Session, delivery: Delivery) -> Iterator[None]:
    """Undo what the block does, and raise Refused, if the server refuses a row in it."""
    errors: tuple[type[Exception], ...] = (Refused, *delivery.database.errors())
    session.run("SAVEPOINT trying")
    try:
        yield
    except errors as error:
        refused = error if isinstance(error, Refused) else delivery.database.refusal(error)
        if refused is None:
            raise
        session.run("ROLLBACK TO SAVEPOINT trying")
        raise refused from None
    session.run("RELEASE SAVEPOINT trying")


def move_staged(
    session: Session,
    delivery: Delivery,
    staged: tuple[str, str],
    count: int,
    attempt: Callable[[str], None],
    take_out: Callable[[int, Refused], None],
) -> None:
    """Move all rows that fit to the table of a delivery: at once, or if some do not, by parts of them.

    `count` rows wait in a table with a column of their numbers, both quoted. `attempt(where)` moves some, or raises
    Refused; `take_out` sets a row aside, which is then removed.
    """
    table, number = staged

    def refuse(row: int, refused: Refused) -> None:
        take_out(row, refused)
        session.run(f"DELETE FROM {table} WHERE {number} = {row}")

    def move(which: str) -> None:
        parts = f"{which} AND {number} >= {{}} AND {number} < {{}}"
        divide(count, lambda first, end: attempt(parts.format(first, end)), refuse)

    if delivery.merged:
        move_in_turns(session, staged, [*map(delivery.database.quote, delivery.key)], move, refuse)
    else:
        move("TRUE")


def move_in_turns(
    server: Session,
    staged: tuple[str, str],
    key: Sequence[str],
    move: Callable[[str], None],
    set_aside: Callable[[int, Refused], None],
) -> None:
    """Call `move` with the condition of the rows whose turn it is, until each key has its row or has none left.

    `staged` are the table in which rows wait and its column with their numbers, and `key` its columns that name a row,
    all quoted. What `move` refuses it removes from that table, as `set_aside` does, which is called for each row before
    the one that was taken.
    """
    table, number = staged
    of_key = f"OVER (PARTITION BY {', '.join(key)}"
    server.run(
        f"CREATE TEMPORARY TABLE {_TURNS} AS SELECT {number} AS place, "
        f"ROW_NUMBER() {of_key} ORDER BY {number} DESC) AS turn, MAX({number}) {of_key}) AS newest FROM {table}"
    )
    server.run(f"CREATE TEMPORARY TABLE {_DONE} (newest BIGINT)")  # a table is never dropped: that would commit
    ((most,),) = server.rows(f"SELECT MAX(turn) FROM {_TURNS}")
    for turn in range(1, (most or 0) + 1):
        move(f"{number} IN (SELECT place FROM {_TURNS} WHERE turn = {turn})" if most > 1 else "1 = 1")
        if not server.rows(f"SELECT 1 FROM {_TURNS} WHERE turn > {turn} LIMIT 1"):
            break
        taken = f"turn = {turn} AND place IN (SELECT {number} FROM {table})"
        server.run(f"INSERT INTO {_DONE} SELECT newest FROM {_TURNS} WHERE {taken}")
        _pass_over(server, f"turn > {turn} AND newest IN (SELECT newest FROM {_DONE})", set_aside)


def _pass_over(server: Session, which: str, set_aside: Callable[[int, Refused], None]) -> None:
    """Set aside rows whose key is taken, some at a time."""
    while rows := server.rows(f"SELECT place FROM {_TURNS} WHERE {which} ORDER BY place LIMIT {_PAGE}"):
        for (place,) in rows:
            set_aside(place, Refused("", SUPERSEDED))
        server.run(f"DELETE FROM {_TURNS} WHERE {which} AND place <= {rows[-1][0]}")
