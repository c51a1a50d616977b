"""Upserts into tables of PostgreSQL where a row may be exchanged for another: deleted and appended in its place.

That takes about half the time of `ON CONFLICT`, which puts rows in one by one: here only the keys go into a temporary
table, and the rows straight to where they belong. It may be done where nobody can see that a row was not updated: all
columns are given, no trigger, rule or foreign key looks at what is deleted, and nobody else writes the table meanwhile.
Who waited to update a row that is exchanged would find it gone, and not the new one; so writers wait for the table.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.families.postgres.copy_in import send
from osiris.families.postgres.session import quote_name
from osiris.families.postgres.target_table import columns_of, expect_table

if TYPE_CHECKING:
    from osiris.families.postgres.copy_in import Found, Work
    from osiris.families.postgres.session import Session
    from osiris.families.sql.staging import Staged

_TABLE = "osiris_keys"
_PLAIN = """
SELECT relkind = 'r' AND NOT (relhasrules OR relrowsecurity OR relhassubclass OR relispartition)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE confrelid = c.oid AND contype = 'f')
FROM pg_catalog.pg_class c WHERE oid = %s"""
_ROW = ("22", "23", "44", "P0")
_NOT_SO = ("42501", "55000", "55P03")
"""The user may not delete, the table's replication does not allow it, or somebody else is writing the table."""


def may_exchange(session: Session, work: Work, found: Found) -> bool:
    """Tell whether rows may be exchanged, as far as the table goes."""
    if work.rejected or any(how.text for _, how in found):
        return False
    table, given = expect_table(session, work.place), {column.name for column, _ in found}
    ((plain,),) = session.rows(_PLAIN, table.oid)
    return bool(plain) and all(column.name in given or column.generated for column in columns_of(session, table))


def exchange(session: Session, work: Work, found: Found, waiting: Staged) -> bool:
    """Exchange rows where that may be done; tells whether it went well.

    Else nothing is done: another way is to be tried, and to say why.
    """
    import psycopg

    session.run("SAVEPOINT exchanging")
    try:
        session.run(f"LOCK TABLE {work.place.quoted} IN EXCLUSIVE MODE NOWAIT")
        if not may_exchange(session, work, found):  # which nobody can change from now on
            session.run("ROLLBACK TO SAVEPOINT exchanging")
            return False
        _delete(session, work, found, waiting)
        send(session, work, work.place.quoted, found, waiting.open().batches())
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state[:2] not in _ROW and state not in _NOT_SO:
            raise
        session.run("ROLLBACK TO SAVEPOINT exchanging")
        work.sent.clear()
        return False
    return True


def _delete(session: Session, work: Work, found: Found, waiting: Staged) -> None:
    """Delete the rows whose keys come again."""
    keys = [(column, how) for column, how in found if column.name in work.key]
    names = [column.name for column, _ in keys]
    made = ", ".join(f"{quote_name(column.name)} {column.declared}{column.collation} NOT NULL" for column, _ in keys)
    same = " AND ".join(f"t.{name} = k.{name}" for name in map(quote_name, names))
    session.run(f"CREATE TEMPORARY TABLE {_TABLE} ({made}) ON COMMIT DROP")
    batches = (batch.select(names) for batch in waiting.open().batches())
    send(session, replace(work, sent=Counter()), f"pg_temp.{_TABLE}", keys, batches)
    session.run(f"ANALYZE pg_temp.{_TABLE}")
    session.run(f"DELETE FROM {work.place.quoted} t USING pg_temp.{_TABLE} k WHERE {same}")
