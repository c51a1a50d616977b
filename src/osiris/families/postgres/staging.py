"""Rows that go into a temporary table of PostgreSQL before they go where they belong: to be merged, or to be cast."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.postgres.constraint_errors import explained
from osiris.families.postgres.copy_in import expect_taken, number_column, refuse_value, send, set_aside
from osiris.families.postgres.session import quote_name
from osiris.families.postgres.target_table import whole_key
from osiris.families.postgres.transaction import trying
from osiris.families.quarantine import Misfit, Refused, divide, with_numbers
from osiris.families.sql.dml import insert_rows, on_conflict
from osiris.families.sql.sending import SUPERSEDED, move_in_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.families.postgres.column_mapping import Way
    from osiris.families.postgres.copy_in import Found, Work
    from osiris.families.postgres.session import Session
    from osiris.families.postgres.target_table import Column
    from osiris.families.postgres.types import Kind
    from osiris.table import RowStream

_TABLE = "osiris_rows"
_STAGING = f"pg_temp.{_TABLE}"
_NUMBER = "osiris_row"
_TWICE = "21000"
_SHOWN = 100
_XML, _INTERVAL = 142, 1186
_STYLES = {"postgres": "NOT LIKE 'P%'", "iso_8601": "LIKE 'P%'"}
"""The forms in which an interval is taken, and how texts in them begin."""


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
    """Make the temporary table; one from which rows of an upsert are set aside takes none without a key."""
    needed = work.key if work.rejected and work.mode == "upsert" else ()
    parts = [
        f"{quote_name(c.name)} {how.staged or c.declared + c.collation}{' NOT NULL' if c.name in needed else ''}"
        for c, how in columns
    ]
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
    return statement + on_conflict(columns, work.key, whole=whole_key([column for column, _ in found], work.key))


def _cast(column: Column, how: Way) -> str:
    name = quote_name(column.name)
    return f"CAST({name} AS {column.declared})" if how.text else name


def _refuse_changed(session: Session, found: Found, where: str = "TRUE") -> None:
    """Raise Misfit for a text that does not come back from the type of its column as it was."""
    for column, how in found:
        kind = column.kind.item or column.kind
        if how.text and kind.oid == _INTERVAL:
            for style, begin in _STYLES.items():
                session.run(f"SET LOCAL intervalstyle = '{style}'")  # the last one is that of the session
                _refuse_misshown(session, column, how, where, begin)
        elif how.text:
            _refuse_misshown(session, column, how, where)


def _refuse_misshown(session: Session, column: Column, how: Way, where: str, begin: str = "") -> None:
    given, held = quote_name(column.name), _cast(column, how)
    kind = column.kind.item or column.kind
    changed = _differs(given, held, kind, begin)
    if column.kind.item:
        each = f"ROWS FROM (unnest({given}), unnest({held})) u(a, b)"
        changed = f"(SELECT bool_or({_differs('a', 'b', kind, begin)}) FROM {each})"
    row = f"(SELECT count(*) FROM {_STAGING} b WHERE b.ctid < s.ctid)"
    told = f"{given}::text, {_shown(held)}, {row}"
    for value, instead, before in session.rows(
        f"SELECT {told} FROM {_STAGING} s WHERE ({where}) AND {changed} LIMIT 1"
    ):
        why = f"the column is {column.declared}, and would hold {instead[:_SHOWN]!r}"
        raise Misfit(column.name, repr(value[:_SHOWN]), why, before)


def _differs(given: str, held: str, kind: Kind, begin: str) -> str:
    """Return the condition that a text is not what is shown of the value that is held in its place.

    There are two ways to show one: as clients get it, and by a cast to text. They differ for addresses, whose text has
    the network too, and for XML, of which a cast shows what no client gets. `begin`: how the texts meant begin.
    """
    shown = f"{given} <> {_shown(held)}"
    if kind.oid != _XML:
        shown += f" AND {given} <> CAST({held} AS text)"
    return f"({given} {begin} AND {shown})" if begin else f"({shown})"


def _shown(held: str) -> str:
    return f"pg_catalog.format('%s', {held})"


def _with_column(session: Session, found: Found, where: str, refused: Refused) -> Refused:
    """Return a refusal with the column whose text is no value of its type, if that is why: a cast does not say it."""
    for column, how in found:
        if how.text and not (refused.column or refused.rule or refused.reason == SUPERSEDED):
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

    def attempt(where: str) -> None:
        with trying(session):
            _refuse_changed(session, found, where)
            sent.update(taken=session.run(_moving(work, found, f" WHERE {where}")))

    def refuse(row: int, refused: Refused) -> None:
        _take_out(session, work, found, (quoted, row), refused)
        work.sent["rows"] -= 1
        sent["given"] -= 1

    def move(which: str) -> None:
        try:
            attempt(which)
        except Refused:
            session.run(f"CREATE INDEX IF NOT EXISTS osiris_number ON {_STAGING} ({quoted})")
            parts = f"{which} AND {quoted} >= {{}} AND {quoted} < {{}}"
            divide(work.sent["seen"], lambda first, end: attempt(parts.format(first, end)), refuse)

    if work.mode == "upsert":
        move_in_turns(session, (_STAGING, quoted), [*map(quote_name, work.key)], move, refuse)
    else:
        move("TRUE")
    if _counts(work):
        expect_taken(work, sent["given"], sent["taken"])


def _take_out(session: Session, work: Work, found: Found, which: tuple[str, int], refused: Refused) -> None:
    """Set aside a row, by the column of its number and that number."""
    names, where = _listed([column.name for column, _ in found]), "{} = {}".format(*which)
    one = f"SELECT {names} FROM {_STAGING} WHERE {where}"
    for (values,) in session.rows(f"SELECT pg_catalog.row_to_json(q)::text FROM ({one}) q"):
        set_aside(session, work, which[1], values, _with_column(session, found, where, refused))
    session.run(f"DELETE FROM {_STAGING} WHERE {where}")


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
