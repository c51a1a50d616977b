"""Sending rows to a database: as values, in pieces, and row by row if some are rejected.

Of several rows with the same key, an upsert with quarantine writes the last one that the table accepts. The last rows
of all keys are tried first; if one is rejected, the one before it is tried. So a row is never superseded by a row that
was rejected itself, and all servers keep the same row.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from osiris.errors import fail
from osiris.families.quarantine import MAX_ROW, InvalidValue, RowRejected, bisect_rows, row_json, row_reject, row_values
from osiris.families.sql.columnar import InvalidCell, reject_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from osiris.families.sql.database import CatalogueColumn, Delivery, Session, Staged
    from osiris.model import Field

T = TypeVar("T")
Encoded = TypeVar("Encoded")
PIECE = 4 << 20
"""The bytes that are encoded at a time."""
_TURNS, _DONE = "_osiris_turns", "_osiris_done"
_PAGE = 1000
SUPERSEDED = "a later row has the same key"


def pieces(delivery: Delivery, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield pieces of the batches, each with the number of rows before it."""
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
    """Yield the rows of each batch as tuples for a client library, with the number of rows before them.

    `stored(array, type)` returns the values of a column; `first_refused` returns row, value and reason of the first
    value that would be changed. Fails with DAT015 for that, with RUN003 if the step is cancelled.
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


def fail_value(delivery: Delivery, invalid: InvalidValue, before: int = 0) -> NoReturn:
    """Fail with DAT015 for a value; `before` is the number of rows before those that were tried."""
    value = invalid.value if invalid.row is None else f"{invalid.value} in row {before + invalid.row + 1}"
    fail("DAT015", step=delivery.ctx.step, column=invalid.column, value=value, reason=invalid.why)


def fail_rejected(session: Session, delivery: Delivery, refused: RowRejected) -> NoReturn:
    """Fail with DAT032 for a row that the table rejects."""
    problem = delivery.database.explain_rejection(session, delivery, refused).problem
    fail("DAT032", step=delivery.ctx.step, table=delivery.target.table, problem=problem)


def reject_row(session: Session, delivery: Delivery, row: int, values: str, refused: RowRejected) -> None:
    """Quarantine a row that the table rejects, by its number from 0; `values` is its text."""
    if delivery.rejected:
        explained = delivery.database.explain_rejection(session, delivery, refused)
        delivery.rejected.take(row_reject(row + 1, explained.column, values, explained.description), MAX_ROW)


def send_rows(
    session: Session,
    delivery: Delivery,
    batches: Iterable[pa.RecordBatch],
    encode: Callable[[pa.RecordBatch], Encoded],
    take: Callable[[Iterable[Encoded]], object],
) -> None:
    """Send rows in pieces: all by one call of `take`, or down to single rows if the step quarantines rows.

    `encode` raises InvalidValue for a value that the table would change, `take` may raise RowRejected. Fails with
    DAT015 or DAT032 if the step does not quarantine rows.
    """

    def fitting(before: int, piece: pa.RecordBatch) -> Encoded:
        try:
            return encode(piece)
        except InvalidValue as invalid:
            fail_value(delivery, invalid, before)

    def attempt(part: pa.RecordBatch) -> None:
        encoded = encode(part)
        with trying(session, delivery):
            take([encoded])

    if delivery.rejected is None:
        try:
            take(fitting(*piece) for piece in pieces(delivery, batches))
        except RowRejected as refused:
            fail_rejected(session, delivery, refused)
        return
    names = [field.name for field in delivery.schema]

    def sift(before: int, piece: pa.RecordBatch) -> None:
        def refuse(row: int, refused: RowRejected) -> None:
            reject_row(session, delivery, before + row, row_json(row_values(piece, row, names)), refused)

        bisect_rows(piece.num_rows, lambda first, end: attempt(piece.slice(first, end - first)), refuse)

    for before, piece in pieces(delivery, batches):
        sift(before, piece)
        delivery.sent.update(seen=piece.num_rows)


def encoded_columns(
    delivery: Delivery,
    columns: Sequence[tuple[CatalogueColumn, T]],
    piece: pa.RecordBatch,
    encode: Callable[[pa.Array, CatalogueColumn, T], Encoded],
) -> list[Encoded]:
    """Return the columns of a piece, encoded by `encode`, which may raise InvalidCell; raises InvalidValue.

    `columns` are those of the table, each with the third argument of `encode`.
    """
    encoded = []
    for array, (column, context) in zip(piece.columns, columns, strict=True):
        try:
            reject_large(array, delivery.config.max_cell_bytes)
            encoded.append(encode(array, column, context))
        except InvalidCell as cell:
            raise InvalidValue(column.name, cell.value, cell.reason, cell.row) from None
    return encoded


@contextmanager
def trying(session: Session, delivery: Delivery) -> Iterator[None]:
    """Run the block in a savepoint; if the server rejects a row, roll back to it and raise RowRejected."""
    errors: tuple[type[Exception], ...] = (RowRejected, *delivery.database.client_errors())
    session.run("SAVEPOINT trying")
    try:
        yield
    except errors as error:
        refused = error if isinstance(error, RowRejected) else delivery.database.as_rejection(error)
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
    take_out: Callable[[int, RowRejected], None],
) -> None:
    """Move all valid rows from a staging table to the target: at once, or in smaller parts if some are invalid.

    `staged` is the staging table of `count` rows and its column of row numbers, both quoted. `attempt(where)` moves
    some rows, or raises RowRejected; `take_out` quarantines a row, which is then deleted.
    """
    table, number = staged

    def refuse(row: int, refused: RowRejected) -> None:
        take_out(row, refused)
        session.run(f"DELETE FROM {table} WHERE {number} = {row}")

    def move(which: str) -> None:
        bisect_rows(count, lambda first, end: attempt(which.format(first=first, end=end)), refuse)

    if delivery.merged:
        move_in_turns(session, staged, [*map(delivery.database.quote, delivery.key)], move, refuse)
    else:
        move(_within(number))


def move_in_turns(
    server: Session,
    staged: tuple[str, str],
    key: Sequence[str],
    move: Callable[[str], None],
    reject_row: Callable[[int, RowRejected], None],
) -> None:
    """Call `move` with the condition of the rows to try next, until each key has its row or no candidate is left.

    The condition has `{first}` and `{end}` for the part of the rows that is tried, also where it looks up their turns:
    else each of thousands of attempts would read the turns of all rows. `staged` is the staging table and its column
    of row numbers, and `key` its key columns, all quoted. `move` deletes rejected rows from that table, as `reject_row`
    does, which is called for each row that a later one supersedes.
    """
    table, number = staged
    of_key = f"OVER (PARTITION BY {', '.join(key)}"
    server.run(f"CREATE TEMPORARY TABLE {_TURNS} (place BIGINT PRIMARY KEY, turn BIGINT, newest BIGINT)")
    server.run(
        f"INSERT INTO {_TURNS} SELECT {number}, ROW_NUMBER() {of_key} ORDER BY {number} DESC), "
        f"MAX({number}) {of_key}) FROM {table}"
    )
    server.run(f"CREATE TEMPORARY TABLE {_DONE} (newest BIGINT)")  # a table is never dropped: that would commit
    ((turns,),) = server.rows(f"SELECT MAX(turn) FROM {_TURNS}")
    for turn in range(1, (turns or 0) + 1):
        of_turn = f" AND {number} IN (SELECT place FROM {_TURNS} WHERE turn = {turn} AND {_within('place')})"
        move(_within(number) + (of_turn if turns > 1 else ""))
        if not server.rows(f"SELECT 1 FROM {_TURNS} WHERE turn > {turn} LIMIT 1"):
            break
        moved = f"turn = {turn} AND place IN (SELECT {number} FROM {table})"
        server.run(f"INSERT INTO {_DONE} SELECT newest FROM {_TURNS} WHERE {moved}")
        _pass_over(server, f"turn > {turn} AND newest IN (SELECT newest FROM {_DONE})", reject_row)


def _within(number: str) -> str:
    return f"{number} >= {{first}} AND {number} < {{end}}"


def _pass_over(server: Session, which: str, reject_row: Callable[[int, RowRejected], None]) -> None:
    """Reject rows whose key has been written, a page at a time."""
    while rows := server.rows(f"SELECT place FROM {_TURNS} WHERE {which} ORDER BY place LIMIT {_PAGE}"):
        for (place,) in rows:
            reject_row(place, RowRejected("", SUPERSEDED))
        server.run(f"DELETE FROM {_TURNS} WHERE {which} AND place <= {rows[-1][0]}")
