"""Rows that go into a temporary table of PostgreSQL before they go where they belong: to be merged, or to be cast."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.postgres import quote_name
from osiris.families.postgres_refused import STAGED_KEY, explained
from osiris.families.postgres_send import expect_taken, number_column, refuse_value, send, set_aside
from osiris.families.postgres_write import trying
from osiris.families.rejects import Misfit, Refused, divide, with_numbers
from osiris.families.statements import insert_rows, on_conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.families.postgres import Session
    from osiris.families.postgres_held import Way
    from osiris.families.postgres_send import Found, Work
    from osiris.families.postgres_target import Column
    from osiris.table import RowStream

_TABLE = "osiris_rows"
_STAGING = f"pg_temp.{_TABLE}"
_NUMBER = "osiris_row"
_TWICE = "21000"
_SHOWN = 100


def stage(session: Session, work: Work, found: Found, rows: RowStream) -> None:
    """Take the rows into a temporary table, and from there to where they go, where text is cast to other types.

    Fails with DAT028 where rows of an upsert have the same key, or NULL in it, if such rows are not set aside.
    """
    if work.rejected is None:
        _make(session, work, found)
        send(session, work, _STAGING, found, rows.batches())
    else:
        number = _free_name(found)
        columns = [*found, number_column(number)]
        _make(session, work, columns)
        send(session, work, _STAGING, columns, with_numbers(rows.batches(), number))
    if work.rejected is None:
        try:
            with trying(session):
                _refuse_changed(session, found)
                _move(session, work, _moving(work, found))
        except Misfit as misfit:
            refuse_value(work, misfit)
        except Refused as refused:
            why = explained(session, work.place.quoted, _with_column(session, found, "TRUE", refused))
            fail("DAT032", step=work.ctx.step, table=work.place.shown, problem=why.problem)
    else:
        _sift(session, work, found, number)


def _make(session: Session, work: Work, columns: Found) -> None:
    """Make the temporary table; one from which rows are set aside keeps their keys apart."""
    parts = [f"{quote_name(c.name)} {how.staged or c.declared + c.collation}" for c, how in columns]
    if work.rejected and work.mode == "upsert":
        parts.append(f"CONSTRAINT {STAGED_KEY} PRIMARY KEY ({_listed(work.key)})")
    session.run(f"CREATE TEMPORARY TABLE {_TABLE} ({', '.join(parts)}) ON COMMIT DROP")


def _free_name(found: Found) -> str:
    name, taken = _NUMBER, {column.name for column, _ in found}
    while name in taken:
        name += "_"
    return name


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quote_name, names))


def _moving(work: Work, found: Found, where: str = "") -> str:
    """Return the statement that takes staged rows, all or some, to the table."""
    columns = [column.name for column, _ in found]
    source = f"OVERRIDING SYSTEM VALUE SELECT {', '.join(_cast(*each) for each in found)} FROM {_STAGING}{where}"
    statement = insert_rows(work.place.quoted, columns, source)
    if work.mode != "upsert":
        return statement
    return statement + on_conflict(columns, work.key, whole=any(_is_loose(c) for c, _ in found if c.name in work.key))


def _is_loose(column: Column) -> bool:
    """Tell whether a key finds values equal that differ, so that the new one must be written too."""
    return bool(column.collation) or column.kind.plain == "citext"


def _cast(column: Column, how: Way) -> str:
    name = quote_name(column.name)
    return f"CAST({name} AS {column.declared})" if how.text else name


def _refuse_changed(session: Session, found: Found, where: str = "TRUE") -> None:
    """Raise Misfit for a text that a cast to the type of its column would cut off or round, without a word."""
    for column, how in found:
        if how.text and column.modifier >= 0:
            name, kind = quote_name(column.name), column.kind.item or column.kind
            whole = f"CAST({name} AS pg_catalog.{quote_name(kind.plain)}{'[]' if column.kind.item else ''})"
            row = f"(SELECT count(*) FROM {_STAGING} b WHERE b.ctid < s.ctid)"
            changed = f"{whole}::text <> {_cast(column, how)}::text"
            ask = f"SELECT {name}::text, {row} FROM {_STAGING} s WHERE {where} AND {changed} LIMIT 1"
            for value, before in session.rows(ask):
                raise Misfit(column.name, repr(value[:_SHOWN]), f"the column is {column.declared}", before)


def _with_column(session: Session, found: Found, where: str, refused: Refused) -> Refused:
    """Return a refusal with the column whose text is no value of its type, if that is why: a cast does not say it."""
    for column, how in found:
        if how.text and not (refused.column or refused.rule):
            try:
                with trying(session):
                    session.rows(f"SELECT count({_cast(column, how)}) FROM {_STAGING} WHERE {where}")
            except Refused as why:
                return Refused(column.name, why.reason)
    return refused


def _counts(work: Work) -> bool:
    """Tell whether a merge says how many rows it took: of rows of nothing but the key that are there, it does not."""
    return work.mode != "upsert" or len(work.key) < len(work.schema)


def _move(session: Session, work: Work, statement: str) -> None:
    import psycopg

    if work.mode != "upsert":
        expect_taken(work, work.sent["rows"], session.run(statement))
        return
    _refuse_null_keys(session, work)
    if not _counts(work):  # then the server would pass over rows that come twice, without a word
        _refuse_repeated_keys(session, work)
    session.run("SAVEPOINT merging")
    try:
        taken = session.run(statement)
        if _counts(work):
            expect_taken(work, work.sent["rows"], taken)
    except psycopg.Error as error:
        if error.sqlstate != _TWICE:
            raise
        session.run("ROLLBACK TO SAVEPOINT merging")
        _refuse_repeated_keys(session, work)
        raise


def _sift(session: Session, work: Work, found: Found, number: str) -> None:
    """Move all rows that fit: at once, or if some do not, by parts of them."""
    quoted, sent = quote_name(number), Counter(taken=0, given=work.sent["rows"])

    def attempt(first: int, end: int) -> None:
        with trying(session):
            where = f"{quoted} >= {first} AND {quoted} < {end}"
            _refuse_changed(session, found, where)
            sent.update(taken=session.run(_moving(work, found, f" WHERE {where}")))

    def refuse(row: int, refused: Refused) -> None:
        names = _listed([column.name for column, _ in found])
        one = f"SELECT {names} FROM {_STAGING} WHERE {quoted} = {row}"
        for (values,) in session.rows(f"SELECT pg_catalog.row_to_json(q)::text FROM ({one}) q"):
            why = _with_column(session, found, f"{quoted} = {row}", refused)
            set_aside(session, work, row, values, why)
            work.sent["rows"] -= 1
            sent["given"] -= 1

    try:
        attempt(0, work.sent["seen"])
    except Refused:
        session.run(f"CREATE INDEX ON {_STAGING} ({quoted})")
        divide(work.sent["seen"], attempt, refuse)
    if _counts(work):
        expect_taken(work, sent["given"], sent["taken"])


def _refuse_null_keys(session: Session, work: Work) -> None:
    null = " OR ".join(f"{quote_name(name)} IS NULL" for name in work.key)
    for values in session.rows(f"SELECT {_listed(work.key)} FROM {_STAGING} WHERE {null} LIMIT 1"):
        _fail_key(work, values, "has NULL in it")


def _refuse_repeated_keys(session: Session, work: Work) -> None:
    listed = _listed(work.key)
    twice = f"SELECT {listed}, count(*) FROM {_STAGING} GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    for *values, count in session.rows(twice):
        _fail_key(work, values, f"stands in {count} rows")


def _fail_key(work: Work, values: Sequence[object], problem: str) -> NoReturn:
    shown = ", ".join(f"{name}={value!r}"[:_SHOWN] for name, value in zip(work.key, values, strict=True))
    fail("DAT028", step=work.ctx.step, key=shown, problem=problem)
