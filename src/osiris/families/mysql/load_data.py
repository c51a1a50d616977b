"""Rows sent to MySQL: all at once, or piece by piece where rows that it refuses are set aside.

LOAD DATA takes them from memory where the server allows that, else they go in INSERTs of many rows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.mysql.connect import numbered
from osiris.families.mysql.constraint_errors import ROW, explained, refusal, warned
from osiris.families.mysql.encode import FORM, encode_rows, expression, sendable
from osiris.families.mysql.session import quote_name
from osiris.families.quarantine import MAX_ROW, Misfit, Refused, divide, of_row, row_of, row_text
from osiris.families.sql.columnar import Unfit, refuse_large, refuse_null

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from osiris.families.mysql.column_mapping import Column
    from osiris.families.mysql.session import Session
    from osiris.families.sql.database import Delivery

    Used = Sequence[tuple[Column, str]]
    """Columns of a table, each with the type of what goes there."""
    Take = Callable[[Session, str, Used, Iterable[Sequence[pa.Array]]], int]

_QUERY = 3
_PIECE = 4 << 20
"""The bytes that are sent at once."""


def used_columns(delivery: Delivery) -> Used:
    """Return the columns that rows have values for, in the order of the rows."""
    known = {column.name: column for column in delivery.columns}
    return [(known[field.name], field.type) for field in delivery.schema]


def send(session: Session, delivery: Delivery, table: str, used: Used, batches: Iterable[pa.RecordBatch]) -> int:
    """Send all rows, and return how many were sent.

    Fails with DAT015 for a value that the table would change, DAT032 for a row that it refuses; rows that are refused
    are set aside where the delivery says so, as far as they are so far known to be.
    """
    ((allowed,),) = session.rows("SELECT @@local_infile")
    take = _load if allowed else _insert
    if not allowed:
        delivery.ctx.emit(
            "batched_inserts", {"table": delivery.table, "reason": "the server allows no LOAD DATA LOCAL"}
        )
    pieces = _pieces(delivery, batches)
    if delivery.rejected is None:
        try:
            return take(session, table, used, (_fitting(delivery, used, *piece) for piece in pieces))
        except Refused as refused:
            refuse_row(session, delivery, refused)
    return sum(_sift(session, delivery, table, used, take, *piece) for piece in pieces)


def replace_rows(session: Session, delivery: Delivery, used: Used, batches: Iterable[pa.RecordBatch]) -> None:
    """Send all rows, each into the place of the one with its key, by LOAD DATA; fails as `send` does."""
    pieces = (_fitting(delivery, used, *piece) for piece in _pieces(delivery, batches))
    try:
        _load(session, delivery.quoted, used, pieces, "REPLACE INTO")
    except Refused as refused:
        refuse_row(session, delivery, refused)


def refuse_row(session: Session, delivery: Delivery, refused: Refused) -> NoReturn:
    """Fail with DAT032."""
    problem = explained(session, delivery.table, refused).problem
    fail("DAT032", step=delivery.ctx.step, table=delivery.table, problem=problem)


def set_aside(session: Session, delivery: Delivery, row: int, values: str, refused: Refused) -> None:
    """Take a row, by its number from 0, among those that the table refuses; `values` is its text."""
    if delivery.rejected:
        known = explained(session, delivery.table, refused)
        delivery.rejected.take(of_row(row + 1, known.column, values, known.told), MAX_ROW)


@contextmanager
def trying(session: Session) -> Iterator[None]:
    """Undo what the block does, and raise Refused, if the server refuses a row in it."""
    import pymysql

    session.run("SAVEPOINT trying")
    try:
        yield
    except pymysql.MySQLError as error:
        number, message = numbered(error)
        if number not in ROW:
            raise
        session.run("ROLLBACK TO SAVEPOINT trying")
        raise refusal(number, message) from None
    except Refused:
        session.run("ROLLBACK TO SAVEPOINT trying")
        raise
    session.run("RELEASE SAVEPOINT trying")


def _sift(
    session: Session, delivery: Delivery, table: str, used: Used, take: Take, before: int, piece: pa.RecordBatch
) -> int:
    """Send a piece, and set aside the rows of it that do not fit; returns how many do."""
    names, taken = [field.name for field in delivery.schema], 0

    def attempt(first: int, end: int) -> None:
        nonlocal taken
        arrays = _arrays(delivery, used, piece.slice(first, end - first))
        with trying(session):
            taken += take(session, table, used, [arrays])

    def refuse(row: int, refused: Refused) -> None:
        set_aside(session, delivery, before + row, row_text(row_of(piece, row, names)), refused)

    divide(piece.num_rows, attempt, refuse)
    return taken


def _load(session: Session, table: str, used: Used, pieces: Iterable[Sequence[pa.Array]], into: str = "INTO") -> int:
    """Let the server ask for a file, and send it the rows: the client opens no file, whatever the server asks for.

    With rows from a client the server goes on where it would stop otherwise, and only warns: that raises Refused. A row
    that replaces one may count twice.
    """
    from pymysql.protocol import OKPacketWrapper

    connection, names, sent = session.connection, [column.name for column, _ in used], 0
    with session.watch.waiting():
        connection._execute_command(_QUERY, _load_statement(f"{into} TABLE {table}", used))
        packet = connection._read_packet()
    if not packet.is_load_local_packet():
        fail("DRV013", path=session.target.where, problem="it does not take rows with LOAD DATA")
    for arrays in pieces:
        data = encode_rows(names, arrays)
        for start in range(0, len(data), _PIECE):
            with session.watch.waiting():
                connection.write_packet(bytes(data[start : start + _PIECE]))
        sent += len(arrays[0])
    with session.watch.waiting():
        connection.write_packet(b"")
        told = OKPacketWrapper(connection._read_packet())
    if told.warning_count and (refused := warned(session.rows("SHOW WARNINGS"))):
        raise refused
    most = sent if into == "INTO" else 2 * sent
    if not sent <= told.affected_rows <= most:
        raise Refused("", f"it took {told.affected_rows} of {sent}")
    return sent


def _load_statement(target: str, used: Used) -> str:
    places, changes = [], []
    for index, (column, _) in enumerate(used):
        changed = expression(column, f"@v{index}")
        places.append(f"@v{index}" if changed else quote_name(column.name))
        changes += [f"{quote_name(column.name)} = {changed}"] if changed else []
    set_to = f" SET {', '.join(changes)}" if changes else ""
    return f"LOAD DATA LOCAL INFILE 'rows' {target} {FORM} ({', '.join(places)}){set_to}"


def _insert(session: Session, table: str, used: Used, pieces: Iterable[Sequence[pa.Array]]) -> int:
    names = ", ".join(quote_name(column.name) for column, _ in used)
    places = ", ".join(expression(column, "%s") or "%s" for column, _ in used)
    statement, sent = f"INSERT INTO {table} ({names}) VALUES ({places})", 0
    for arrays in pieces:
        rows = list(zip(*(array.to_pylist() for array in arrays), strict=True))
        with session.watch.waiting(), session.connection.cursor() as cursor:
            cursor.executemany(statement, rows)
        sent += len(rows)
    return sent


def _pieces(delivery: Delivery, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the next rows, and how many came before."""
    before = 0
    for batch in batches:
        size = max(1, min(delivery.config.batch_size, _PIECE * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, size):
            yield before + start, batch.slice(start, size)
        before += batch.num_rows


def _fitting(delivery: Delivery, used: Used, before: int, piece: pa.RecordBatch) -> list[pa.Array]:
    """Return the columns of rows, ready to be sent; fails with DAT015."""
    try:
        return _arrays(delivery, used, piece)
    except Misfit as misfit:
        value = f"{misfit.value} in row {before + (misfit.row or 0) + 1}"
        fail("DAT015", step=delivery.ctx.step, column=misfit.column, value=value, reason=misfit.why)


def _arrays(delivery: Delivery, used: Used, piece: pa.RecordBatch) -> list[pa.Array]:
    """Return the columns of rows, ready to be sent; raises Misfit for a value that would be changed."""
    found = []
    for array, (column, source) in zip(piece.columns, used, strict=True):
        try:
            refuse_large(array, delivery.config.max_cell_bytes)
            if delivery.rejected and column.name in delivery.merged:
                refuse_null(array)
            found.append(sendable(array, source, column))
        except Unfit as unfit:
            raise Misfit(column.name, unfit.value, unfit.reason, unfit.row) from None
    return found
