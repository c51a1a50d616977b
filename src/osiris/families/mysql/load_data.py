"""Rows sent to MySQL: all at once, or piece by piece where rows that it refuses are set aside.

LOAD DATA takes them from memory where the server allows that, else they go in INSERTs of many rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.mysql.constraint_errors import warned
from osiris.families.mysql.encode import FORM, encode_rows, expression, sendable
from osiris.families.mysql.session import quote_name
from osiris.families.quarantine import Misfit, Refused
from osiris.families.sql.columnar import Unfit, refuse_large, refuse_null
from osiris.families.sql.sending import PIECE, fail_refused, fail_value, pieces, sift, trying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

    from osiris.families.mysql.session import Session
    from osiris.families.mysql.target_table import Column
    from osiris.families.sql.database import Delivery

    Used = Sequence[tuple[Column, str]]
    """Columns of a table, each with the type of what goes there."""
    Take = Callable[[Session, str, Used, Iterable[Sequence[pa.Array]]], int]

_QUERY = 3


def used_columns(delivery: Delivery) -> Used:
    """Return the columns that rows have values for, in the order of the rows."""
    known = {column.name: column for column in delivery.columns}
    return [(known[field.name], field.type) for field in delivery.schema]


def send(session: Session, delivery: Delivery, table: str, used: Used, batches: Iterable[pa.RecordBatch]) -> None:
    """Send all rows.

    Fails with DAT015 for a value that the table would change, DAT032 for a row that it refuses; rows that are refused
    are set aside where the delivery says so, as far as they are so far known to be.
    """
    ((allowed,),) = session.rows("SELECT @@local_infile")
    take = _load if allowed else _insert
    if not allowed:
        delivery.ctx.emit(
            "batched_inserts", {"table": delivery.table, "reason": "the server allows no LOAD DATA LOCAL"}
        )
    if delivery.rejected is None:
        try:
            take(session, table, used, (_fitting(delivery, used, *piece) for piece in pieces(delivery, batches)))
        except Refused as refused:
            fail_refused(session, delivery, refused)
        return

    def attempt(part: pa.RecordBatch) -> None:
        arrays = _arrays(delivery, used, part)
        with trying(session, delivery):
            take(session, table, used, [arrays])

    for before, piece in pieces(delivery, batches):
        sift(session, delivery, before, piece, attempt)


def replace_rows(session: Session, delivery: Delivery, used: Used, batches: Iterable[pa.RecordBatch]) -> None:
    """Send all rows, each into the place of the one with its key, by LOAD DATA; fails as `send` does."""
    fitting = (_fitting(delivery, used, *piece) for piece in pieces(delivery, batches))
    try:
        _load(session, delivery.quoted, used, fitting, "REPLACE INTO")
    except Refused as refused:
        fail_refused(session, delivery, refused)


def _load(session: Session, table: str, used: Used, parts: Iterable[Sequence[pa.Array]], into: str = "INTO") -> int:
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
    for arrays in parts:
        data = encode_rows(names, arrays)
        for start in range(0, len(data), PIECE):
            with session.watch.waiting():
                connection.write_packet(bytes(data[start : start + PIECE]))
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


def _insert(session: Session, table: str, used: Used, parts: Iterable[Sequence[pa.Array]]) -> int:
    names = ", ".join(quote_name(column.name) for column, _ in used)
    places = ", ".join(expression(column, "%s") or "%s" for column, _ in used)
    statement, sent = f"INSERT INTO {table} ({names}) VALUES ({places})", 0
    for arrays in parts:
        rows = list(zip(*(array.to_pylist() for array in arrays), strict=True))
        with session.watch.waiting(), session.connection.cursor() as cursor:
            cursor.executemany(statement, rows)
        sent += len(rows)
    return sent


def _fitting(delivery: Delivery, used: Used, before: int, piece: pa.RecordBatch) -> list[pa.Array]:
    """Return the columns of rows, ready to be sent; fails with DAT015."""
    try:
        return _arrays(delivery, used, piece)
    except Misfit as misfit:
        fail_value(delivery, misfit, before)


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
