"""Load rows into PostgreSQL by COPY: directly into their table, through a temporary table, or by delete and insert.

Rows that are merged or cast are first loaded into a temporary table.

An upsert can delete the rows with the same keys and append the new ones. That takes about half the time of `ON
CONFLICT`, which inserts row by row: only the keys go into a temporary table. It is used only where the result
is the same as that of an update: all columns are given, and no trigger, rule or foreign key acts on the delete. The
table is locked against other writers: a concurrent update would find its row deleted, and miss the new one.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from osiris.families.postgres.encode import HEADER, TRAILER, encode_rows
from osiris.families.postgres.encode import number as encode_number
from osiris.families.postgres.target_table import Column, Way, columns_of, expect_table, ways_into, whole_key
from osiris.families.quarantine import InvalidValue, RowRejected, with_row_numbers
from osiris.families.sql.database import Target, insert_rows, listed
from osiris.families.sql.deletes import KEYS_TO_DELETE, gone_batches, gone_columns
from osiris.families.sql.sending import (
    SUPERSEDED,
    encoded_columns,
    fail_rejected,
    fail_value,
    move_staged,
    reject_row,
    send_rows,
    trying,
)
from osiris.families.sql.target_table import expect_all_written, fail_key, on_conflict
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from osiris.families.postgres.encode import Part
    from osiris.families.postgres.session import Session
    from osiris.families.postgres.target_table import Ways
    from osiris.families.postgres.types import Kind
    from osiris.families.sql.database import Delivery, Staged
    from osiris.replication import KeysToDelete
    from osiris.table import RowStream

_TABLE = "osiris_rows"
_STAGING = f"pg_temp.{_TABLE}"
_NUMBER = "osiris_row"
_DUPLICATE_KEYS = "21000"
_SHOWN = 100
_XML, _INTERVAL = 142, 1186
_STYLES = {"postgres": "NOT LIKE 'P%'", "iso_8601": "LIKE 'P%'"}
"""The accepted interval styles, and the condition that a text has one."""
_KEYS = "osiris_keys"
_PLAIN = """
SELECT relkind = 'r' AND NOT (relhasrules OR relrowsecurity OR relhassubclass OR relispartition)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE confrelid = c.oid AND contype = 'f')
FROM pg_catalog.pg_class c WHERE oid = %s"""
_ROW = ("22", "23", "44", "P0")
_NOT_POSSIBLE = ("42501", "53200", "55000", "55P03")
"""The user may not delete, the locks of its partitions are too many, replication of the table prevents it, or somebody
else is writing the table."""


def send(session: Session, delivery: Delivery, table: str, ways: Ways, batches: Iterable[pa.RecordBatch]) -> None:
    """Send all rows of batches with these columns; fails as `send_rows`, and with DRV015.

    DRV015 means that the server wrote more or fewer rows than it was sent.
    """

    def encode(piece: pa.RecordBatch) -> tuple[int, memoryview]:
        return piece.num_rows, encode_rows(encoded_columns(delivery, ways, piece, _parts), piece.num_rows)

    send_rows(session, delivery, batches, encode, partial(_copy, session, delivery, table, ways))


def _parts(array: pa.Array, column: Column, how: Way) -> Sequence[Part]:
    try:
        return how.parts(array)
    except pa.ArrowInvalid:
        raise InvalidValue(column.name, "a value", f"it is out of the range of {how.type}") from None


def expect_taken(delivery: Delivery, given: int, taken: int) -> None:
    """Fail with DRV015 if the server wrote more or fewer rows than it was sent, for instance because of a trigger."""
    expect_all_written(delivery.ctx, Target(delivery.table, delivery.config.schema), given, taken)


def _copy(
    session: Session, delivery: Delivery, table: str, ways: Ways, parts: Iterable[tuple[int, memoryview]]
) -> None:
    """Send pieces, each a number of rows and their bytes, by one COPY, and count the rows written."""
    listed, sent = ", ".join(quote_name(column.name) for column, _ in ways), Counter[str]()
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


def stage(session: Session, delivery: Delivery, ways: Ways, rows: RowStream) -> None:
    """Load the rows into a temporary table, and move them to the target, which casts texts to other types.

    Fails with DAT028 if rows of an upsert have the same key, or NULL in it, unless such rows are rejected.
    """
    if delivery.rejected:
        number = _free_name(ways)
        columns = [*ways, (Column(number, "int64", "bigint", required=True), Way("int64", encode_number(">i8")))]
        _make(session, delivery, columns)
        send(session, delivery, _STAGING, columns, with_row_numbers(rows.batches(), number))
        _sift(session, delivery, ways, number)
        return
    _make(session, delivery, ways)
    send(session, delivery, _STAGING, ways, rows.batches())
    try:
        with trying(session, delivery):
            _refuse_changed(session, ways)
            _move(session, delivery, _moving(delivery, ways))
    except InvalidValue as misfit:
        fail_value(delivery, misfit)
    except RowRejected as refused:
        fail_rejected(session, delivery, _with_column(session, delivery, ways, "TRUE", refused))


def _make(session: Session, delivery: Delivery, columns: Ways) -> None:
    """Create the temporary table; if rows of an upsert can be rejected, its key columns are NOT NULL."""
    needed = delivery.merged if delivery.rejected else ()
    parts = [
        f"{quote_name(c.name)} {how.staged or c.declared + c.collation}{' NOT NULL' if c.name in needed else ''}"
        for c, how in columns
    ]
    session.run(f"CREATE TEMPORARY TABLE {_TABLE} ({', '.join(parts)}) ON COMMIT DROP")


def _free_name(ways: Ways) -> str:
    name, taken = _NUMBER, {column.name for column, _ in ways}
    while name in taken:
        name += "_"
    return name


def _moving(delivery: Delivery, ways: Ways, where: str = "") -> str:
    """Return the statement that moves staged rows, all or some, to the target."""
    columns = [column.name for column, _ in ways]
    source = f"OVERRIDING SYSTEM VALUE SELECT {', '.join(_cast(*way) for way in ways)} FROM {_STAGING}{where}"
    statement = insert_rows(delivery.quoted, columns, source)
    if delivery.mode != "upsert":
        return statement
    return statement + on_conflict(
        columns, delivery.key, update_key=whole_key([column for column, _ in ways], delivery.key)
    )


def _cast(column: Column, how: Way) -> str:
    name = quote_name(column.name)
    return f"CAST({name} AS {column.declared})" if how.text else name


def _refuse_changed(session: Session, ways: Ways, where: str = "TRUE") -> None:
    """Raise InvalidValue for a text that its column's type does not round-trip."""
    for column, how in ways:
        kind = column.kind.item or column.kind
        if how.text and kind.oid == _INTERVAL:
            for style, begin in _STYLES.items():
                session.run(f"SET LOCAL intervalstyle = '{style}'")  # the last one is the session's setting
                _refuse_misshown(session, column, how, where, begin)
        elif how.text:
            _refuse_misshown(session, column, how, where)


def _refuse_misshown(session: Session, column: Column, how: Way, where: str, begin: str = "") -> None:
    text, stored = quote_name(column.name), _cast(column, how)
    kind = column.kind.item or column.kind
    changed = _differs(text, stored, kind, begin)
    if column.kind.item:
        items = f"ROWS FROM (unnest({text}), unnest({stored})) u(a, b)"
        changed = f"(SELECT bool_or({_differs('a', 'b', kind, begin)}) FROM {items})"
    row = f"(SELECT count(*) FROM {_STAGING} b WHERE b.ctid < s.ctid)"
    selected = f"{text}::text, {_shown(stored)}, {row}"
    for value, instead, before in session.rows(
        f"SELECT {selected} FROM {_STAGING} s WHERE ({where}) AND {changed} LIMIT 1"
    ):
        shown = f"{value[:_SHOWN]!r}, of which it would make {instead[:_SHOWN]!r},"
        raise InvalidValue(column.name, shown, f"the column is {column.declared}", before)


def _differs(text: str, stored: str, kind: Kind, begin: str) -> str:
    """Return the condition that a text differs from the text of the value stored for it.

    A value has two texts: the one that clients get, and its cast to text. They differ for addresses, whose cast has the
    network too, and for XML, whose cast no client gets. `begin` limits the condition to texts of one interval style.
    """
    differs = f"{text} <> {_shown(stored)}"
    if kind.oid != _XML:
        differs += f" AND {text} <> CAST({stored} AS text)"
    return f"({text} {begin} AND {differs})" if begin else f"({differs})"


def _shown(stored: str) -> str:
    return f"pg_catalog.format('%s', {stored})"


def _with_column(session: Session, delivery: Delivery, ways: Ways, where: str, refused: RowRejected) -> RowRejected:
    """Add to a refusal the column whose text its type cannot parse, if that is the cause: a failed cast names none."""
    for column, how in ways:
        if how.text and not (refused.column or refused.rule or refused.reason == SUPERSEDED):
            try:
                with trying(session, delivery):
                    session.rows(f"SELECT count({_cast(column, how)}) FROM {_STAGING} WHERE {where}")
            except RowRejected as cause:
                return RowRejected(column.name, cause.reason)
    return refused


def _counts(delivery: Delivery) -> bool:
    """Whether a merge counts its rows; existing rows of an upsert of nothing but the key are not counted."""
    return delivery.mode != "upsert" or len(delivery.key) < len(delivery.schema)


def _move(session: Session, delivery: Delivery, statement: str) -> None:
    import psycopg

    if delivery.mode != "upsert":
        expect_taken(delivery, delivery.sent["rows"], session.run(statement))
        return
    _refuse_null_keys(session, delivery)
    if not _counts(delivery):  # then the server would silently skip duplicate rows
        _refuse_repeated_keys(session, delivery)
    session.run("SAVEPOINT merging")
    try:
        taken = session.run(statement)
        if _counts(delivery):
            expect_taken(delivery, delivery.sent["rows"], taken)
    except psycopg.Error as error:
        if error.sqlstate != _DUPLICATE_KEYS:
            raise
        session.run("ROLLBACK TO SAVEPOINT merging")
        _refuse_repeated_keys(session, delivery)
        raise


def _sift(session: Session, delivery: Delivery, ways: Ways, number: str) -> None:
    """Move all rows that fit to the target, and reject the others."""
    quoted, sent = quote_name(number), Counter(taken=0, given=delivery.sent["rows"])

    def index() -> None:
        if not sent["indexed"]:
            session.run(f"CREATE INDEX osiris_number ON {_STAGING} ({quoted})")
        sent.update(indexed=1)

    def attempt(where: str) -> None:
        try:
            with trying(session, delivery):
                _refuse_changed(session, ways, where)
                sent.update(taken=session.run(_moving(delivery, ways, f" WHERE {where}")))
        except RowRejected:
            index()
            raise

    def take_out(row: int, refused: RowRejected) -> None:
        index()  # also for rows that are only superseded
        names, where = listed([column.name for column, _ in ways]), f"{quoted} = {row}"
        one = f"SELECT {names} FROM {_STAGING} WHERE {where}"
        for (values,) in session.rows(f"SELECT pg_catalog.row_to_json(q)::text FROM ({one}) q"):
            reject_row(session, delivery, row, values, _with_column(session, delivery, ways, where, refused))
        delivery.sent["rows"] -= 1
        sent["given"] -= 1

    move_staged(session, delivery, (_STAGING, quoted), delivery.sent["seen"], attempt, take_out)
    if _counts(delivery):
        expect_taken(delivery, sent["given"], sent["taken"])


def _refuse_null_keys(session: Session, delivery: Delivery) -> None:
    null = " OR ".join(f"{quote_name(name)} IS NULL" for name in delivery.key)
    for values in session.rows(f"SELECT {listed(delivery.key)} FROM {_STAGING} WHERE {null} LIMIT 1"):
        fail_key(values, delivery.key, "has NULL in it", delivery.ctx)


def _refuse_repeated_keys(session: Session, delivery: Delivery) -> None:
    names = listed(delivery.key)
    twice = f"SELECT {names}, count(*) FROM {_STAGING} GROUP BY {names} HAVING count(*) > 1 LIMIT 1"
    for *values, count in session.rows(twice):
        fail_key(values, delivery.key, f"appears in {count} rows", delivery.ctx)


def _may_exchange(session: Session, delivery: Delivery, ways: Ways) -> bool:
    """Whether an upsert into the table can be done by delete and insert."""
    table, names = expect_table(session, delivery.table), {column.name for column, _ in ways}
    ((plain,),) = session.rows(_PLAIN, table.oid)
    return bool(plain) and all(column.name in names or column.computed for column in columns_of(session, table))


def exchange(session: Session, delivery: Delivery, ways: Ways, waiting: Staged) -> bool:
    """Upsert by delete and insert; returns False, with nothing changed, if that is not possible or failed.

    The caller then stages the rows, and reports the cause if there is one.
    """
    import psycopg

    if delivery.rejected or any(how.text for _, how in ways):
        return False
    session.run("SAVEPOINT exchanging")
    try:
        session.run(f"LOCK TABLE {delivery.quoted} IN EXCLUSIVE MODE NOWAIT")
        if not _may_exchange(session, delivery, ways):
            session.run("ROLLBACK TO SAVEPOINT exchanging")
            return False
        if _needs_delete(session, delivery, ways):
            _delete(session, delivery, ways, waiting)
        send(session, delivery, delivery.quoted, ways, waiting.open().batches())
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state[:2] not in _ROW and state not in _NOT_POSSIBLE:
            raise
        session.run("ROLLBACK TO SAVEPOINT exchanging")
        delivery.sent.clear()
        return False
    return True


def _needs_delete(session: Session, delivery: Delivery, ways: Ways) -> bool:
    """Return whether the table has rows, or could get a key with NULL, which the table of keys refuses."""
    is_strict = all(column.required for column, _ in ways if column.name in delivery.key)
    return not is_strict or bool(session.rows(f"SELECT 1 FROM {delivery.quoted} LIMIT 1"))


def _delete(session: Session, delivery: Delivery, ways: Ways, waiting: Staged) -> None:
    """Delete the rows that have the keys of new rows."""
    keys = [(column, how) for column, how in ways if column.name in delivery.key]
    names = [column.name for column, _ in keys]
    definitions = ", ".join(
        f"{quote_name(column.name)} {column.declared}{column.collation} NOT NULL" for column, _ in keys
    )
    matches = " AND ".join(f"t.{name} = k.{name}" for name in map(quote_name, names))
    session.run(f"CREATE TEMPORARY TABLE {_KEYS} ({definitions}) ON COMMIT DROP")
    batches = (batch.select(names) for batch in waiting.open().batches())
    send(session, replace(delivery, sent=Counter()), f"pg_temp.{_KEYS}", keys, batches)
    session.run(f"ANALYZE pg_temp.{_KEYS}")
    session.run(f"DELETE FROM {delivery.quoted} t USING pg_temp.{_KEYS} k WHERE {matches}")


def stage_keys_to_delete(session: Session, delivery: Delivery, to_delete: KeysToDelete) -> str:
    """Load the keys of rows to delete into a temporary table; returns its name in SQL."""
    by_name = {column.name: (column, how) for column, how in ways_into(delivery.columns, delivery.schema)}
    keys = [(name, *by_name[key]) for key, name in zip(delivery.key, gone_columns(delivery), strict=True)]
    definitions = ", ".join(f"{name} {column.declared}{column.collation}" for name, column, _ in keys)
    ways = [(replace(column, name=name), how) for name, column, how in keys]
    session.run(f"CREATE TEMPORARY TABLE {KEYS_TO_DELETE} ({definitions}) ON COMMIT DROP")
    table = f"pg_temp.{KEYS_TO_DELETE}"
    send(session, replace(delivery, sent=Counter(), rejected=None), table, ways, gone_batches(delivery, to_delete))
    session.run(f"ANALYZE {table}")
    return table
