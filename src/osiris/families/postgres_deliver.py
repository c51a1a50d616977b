"""Rows on their way into a table of PostgreSQL, in one transaction with the record of their delivery.

Appended rows go straight into the table while they are read. Rows that replace others are taken into a file before, so
that nobody who writes the table has to wait for their source; and the old ones are deleted, not truncated: those who
read meanwhile see the old rows until the commit, and the new ones after it, never an empty table. Rows of an upsert go
into a temporary table first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NoReturn

import pyarrow as pa

from osiris.driver import Written
from osiris.errors import fail
from osiris.families.cells import Unfit
from osiris.families.postgres import quote_name
from osiris.families.postgres_encode import HEADER, TRAILER, encode_rows
from osiris.families.postgres_held import column_type
from osiris.families.postgres_ledger import claim_delivery, find_delivery, finish_delivery
from osiris.families.postgres_target import columns_of, expect_table, find_table, refuse, ways_into
from osiris.families.postgres_write import begin, begun, target_of
from osiris.families.statements import create_table, insert_rows, on_conflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osiris.driver import StepContext
    from osiris.families.embedded import Target
    from osiris.families.postgres import Session
    from osiris.families.postgres_encode import Part
    from osiris.families.postgres_held import Way
    from osiris.families.postgres_target import Column
    from osiris.families.postgres_write import Place
    from osiris.model import Schema
    from osiris.table import RowStream

_STAGING = "pg_temp.osiris_rows"
_PIECE = 4 << 20
"""The bytes that are encoded at once."""
_TWICE = "21000"
_LOCK = 0x6F736972
"""The space of our advisory locks."""
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Work:
    """One delivery: where it goes, how, and the columns of the rows."""

    ctx: StepContext
    place: Place
    schema: Schema
    mode: Literal["append", "replace", "upsert"]
    key: Sequence[str]
    create: bool
    batch: int
    sent: Counter[str] = field(default_factory=Counter)


def look(session: Session, work: Work) -> Written | None:
    """Return what was delivered before, and refuse a table that the rows do not fit, before any of them is read."""
    begin(session)
    earlier = find_delivery(session, work.ctx, target_of(session, work.place))
    if earlier is None and (not work.create or find_table(session, work.place)):
        refuse(session, work.ctx, work.place, work.schema, work.mode, work.key)
    session.run("COMMIT")
    return earlier


def deliver(session: Session, work: Work, rows: RowStream) -> Written:
    """Write everything in one transaction; what another attempt has done meanwhile is seen inside of it."""
    target = target_of(session, work.place)
    earlier = begun(session, lambda: _claim(session, work, target))
    if earlier:
        return earlier
    table = expect_table(session, work.place)
    columns = columns_of(session, table)
    found = ways_into(columns, work.schema)
    if len(found) < len(work.schema):
        _fail_changed(work)
    if work.mode == "replace":
        session.run(f"LOCK TABLE {_name(work.place)} IN SHARE ROW EXCLUSIVE MODE")
        session.run(f"DELETE FROM {_name(work.place)}")
    if work.mode == "upsert" or any(how.text for _, how in found):
        _stage(session, work, found, rows)
    else:
        _copy(session, work, _name(work.place), found, rows)
    if columns_of(session, table) != columns:
        _fail_changed(work)
    finish_delivery(session, work.ctx, work.sent["rows"])
    return Written(work.sent["rows"], work.sent["bytes"])


def _claim(session: Session, work: Work, target: Target) -> Written | None:
    """Claim the delivery, and see to it that there is a table that the rows fit."""
    earlier = claim_delivery(session, work.ctx, target)
    if earlier:
        return earlier
    if work.create and not find_table(session, work.place):
        types = {column.name: str(column_type(column.type)) for column in work.schema}
        session.run(create_table(_name(work.place), types, work.key))
    refuse(session, work.ctx, work.place, work.schema, work.mode, work.key)
    return None


def _fail_changed(work: Work) -> NoReturn:
    problem = "its columns were changed while the rows were on their way"
    fail("DAT029", step=work.ctx.step, table=work.place.shown, problem=problem, hint="run the same command again")


def _name(place: Place) -> str:
    return f"{quote_name(place.schema)}.{quote_name(place.table)}"


def _stage(session: Session, work: Work, found: Sequence[tuple[Column, Way]], rows: RowStream) -> None:
    """Take the rows into a temporary table, and from there to where they go, where text is cast to other types."""
    made = ", ".join(f"{quote_name(column.name)} {'text' if how.text else column.declared}" for column, how in found)
    session.run(f"CREATE TEMPORARY TABLE {_STAGING.partition('.')[2]} ({made}) ON COMMIT DROP")
    _copy(session, work, _STAGING, found, rows)
    names = [quote_name(column.name) for column, _ in found]
    casts = [
        f"CAST({name} AS {column.declared})" if how.text else name
        for name, (column, how) in zip(names, found, strict=True)
    ]
    source = f"OVERRIDING SYSTEM VALUE SELECT {', '.join(casts)} FROM {_STAGING}"
    columns = [column.name for column, _ in found]
    statement = insert_rows(_name(work.place), columns, source)
    if work.mode == "upsert":
        statement += on_conflict(columns, work.key, whole=False)
        _merge(session, work, statement, keys_only=len(work.key) == len(names))
    else:
        _expect(work, session.run(statement))


def _expect(work: Work, taken: int) -> None:
    """Fail with DRV015 if the server took more or fewer rows than it was given, as a trigger may have it."""
    if taken != work.sent["rows"]:
        place = work.place
        fail("DRV015", step=work.ctx.step, table=place.table, path=place.schema, given=work.sent["rows"], taken=taken)


def _merge(session: Session, work: Work, statement: str, *, keys_only: bool) -> None:
    """Insert or update; fails with DAT028 where two rows have the same key, or one has NULL in it.

    Merges into one table take turns: two that go through their rows in another order would wait for each other.
    """
    import psycopg

    _refuse_null_keys(session, work)
    if keys_only:  # then the server would pass over rows that come twice, without a word
        _refuse_repeated_keys(session, work)
    session.rows("SELECT pg_catalog.pg_advisory_xact_lock(%s, pg_catalog.hashtext(%s))", _LOCK, work.place.shown)
    session.run("SAVEPOINT merging")
    try:
        taken = session.run(statement)
        if not keys_only:  # of rows that are there already nothing would change
            _expect(work, taken)
    except psycopg.Error as error:
        if error.sqlstate != _TWICE:
            raise
        session.run("ROLLBACK TO SAVEPOINT merging")
        _refuse_repeated_keys(session, work)
        raise


def _refuse_null_keys(session: Session, work: Work) -> None:
    listed = ", ".join(map(quote_name, work.key))
    null = " OR ".join(f"{quote_name(name)} IS NULL" for name in work.key)
    for values in session.rows(f"SELECT {listed} FROM {_STAGING} WHERE {null} LIMIT 1"):
        _fail_key(work, values, "has NULL in it")


def _refuse_repeated_keys(session: Session, work: Work) -> None:
    listed = ", ".join(map(quote_name, work.key))
    twice = f"SELECT {listed}, count(*) FROM {_STAGING} GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    for *values, count in session.rows(twice):
        _fail_key(work, values, f"stands in {count} rows")


def _fail_key(work: Work, values: Sequence[object], problem: str) -> NoReturn:
    shown = ", ".join(f"{name}={value!r}"[:_SHOWN] for name, value in zip(work.key, values, strict=True))
    fail("DAT028", step=work.ctx.step, key=shown, problem=problem)


def _copy(session: Session, work: Work, table: str, found: Sequence[tuple[Column, Way]], rows: RowStream) -> None:
    """Send all rows by COPY, and count them."""
    listed = ", ".join(quote_name(column.name) for column, _ in found)
    command = f"COPY {table} ({listed}) FROM STDIN (FORMAT binary)".encode()
    ways = [how for _, how in found]
    with session.connection.cursor() as cursor:
        with cursor.copy(command) as copy:
            copy.write(HEADER)
            for data in _encoded(work, ways, rows):
                with session.watch.waiting():
                    copy.write(data)
            copy.write(TRAILER)
        _expect(work, cursor.rowcount)


def _encoded(work: Work, ways: Sequence[Way], rows: RowStream) -> Iterator[memoryview]:
    for batch in rows.batches():
        size = _rows_at_once(batch, work.batch)
        for start in range(0, batch.num_rows, size):
            piece = batch.slice(start, size)
            parts = [_parts(work, *each) for each in zip(piece.schema.names, piece.columns, ways, strict=True)]
            data = encode_rows(parts, piece.num_rows)
            work.sent.update(rows=piece.num_rows, bytes=len(data))
            yield data


def _rows_at_once(batch: pa.RecordBatch, most: int) -> int:
    each = batch.nbytes // max(batch.num_rows, 1)
    return int(max(1, min(most, _PIECE // max(each, 1))))


def _parts(work: Work, name: str, array: pa.Array, how: Way) -> Sequence[Part]:
    """Return the parts of a column; fails with DAT015 for a value that the table would change."""
    try:
        return how.parts(array)
    except Unfit as unfit:
        fail("DAT015", step=work.ctx.step, column=name, value=unfit.value, reason=unfit.reason)
    except pa.ArrowInvalid:
        reason = f"it is out of the range of {how.type}"
        fail("DAT015", step=work.ctx.step, column=name, value="a value", reason=reason)
