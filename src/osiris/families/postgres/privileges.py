"""What a role of PostgreSQL must be allowed before it writes; what is missing is told with the GRANT that gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.postgres.session import qualified, relations
from osiris.families.postgres.target_table import columns_of, expect_table, is_staged, ways_into, whole_key
from osiris.families.sql.database import LEDGER
from osiris.sql.binding.duck_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.families.postgres.session import Session, Table
    from osiris.families.sql.database import Delivery

_TABLE_ONLY = "DELETE"
"""The right that there is to tables, and not to their columns."""
_LACKING = """
SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attname = ANY(%s)
    AND NOT has_column_privilege(attrelid, attnum, %s) ORDER BY attnum"""
_SEQUENCES = """
SELECT DISTINCT a.attname, n.nspname, s.relname FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
JOIN pg_catalog.pg_depend p ON p.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid
    AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_class s ON s.oid = p.refobjid
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
WHERE d.adrelid = %s AND a.attname <> ALL(%s)
    AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') END ORDER BY 1"""
"""Sequences that give columns their values, and may not be used."""


def expect_schema(session: Session, _delivery: Delivery) -> None:
    """Fail with DRV020 if nothing in the schema may be used."""
    ask = "SELECT pg_catalog.has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = %s"
    for (may,) in session.rows(ask, session.schema):
        if not may:
            schema = f"SCHEMA {quote_name(session.schema)}"
            _fail(session, f"use schema '{session.schema}'", f"GRANT USAGE ON {schema}")


def _expect_right_to_make(session: Session, table: str) -> None:
    """Fail with DRV020 if no table may be made in the session's schema."""
    schema = session.schema
    ((may,),) = session.rows("SELECT pg_catalog.has_schema_privilege(%s, 'CREATE')", schema)
    if not may:
        what = f"CREATE table '{schema}.{table}', which is not there"
        _fail(session, what, f"GRANT CREATE ON SCHEMA {quote_name(schema)}", ", or make the table")


def expect_rights(session: Session, delivery: Delivery, *, there: bool) -> None:
    """Fail with DRV020 for a right that is missing to write a table, or to make it if it is not `there`."""
    if not there:
        _expect_right_to_make(session, delivery.table)
        return
    table, names = expect_table(session, delivery.table), [field.name for field in delivery.schema]
    _expect_rights(session, table, _wanted(delivery, names))
    for column, schema, sequence in session.rows(_SEQUENCES, table.oid, names):
        what = f"use sequence '{schema}.{sequence}', which gives column '{column}' its values"
        _fail(session, what, f"GRANT USAGE ON SEQUENCE {quote_name(schema)}.{quote_name(sequence)}")
    if delivery.merged or is_staged(session, delivery, ways_into(delivery.columns, delivery.schema)):
        _expect_temporary(session)


def _wanted(delivery: Delivery, names: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the rights that writing takes, each with the columns to which it is needed."""
    wanted: dict[str, Sequence[str]] = {"INSERT": names}
    if delivery.mode == "replace":
        wanted[_TABLE_ONLY] = ()
    if delivery.mode == "upsert":
        kept = () if whole_key(delivery.columns, delivery.key) else delivery.key
        wanted |= {"UPDATE": [name for name in names if name not in kept], "SELECT": names}
    return wanted


def expect_rights_to_ledger(session: Session, _delivery: Delivery) -> None:
    """Fail with DRV020 if the ledger may not be written, or made where it is absent."""
    ledger = relations(session).get(LEDGER)
    if ledger is None:
        _expect_right_to_make(session, LEDGER)
    else:
        names = [column.name for column in columns_of(session, ledger)]
        _expect_rights(session, ledger, dict.fromkeys(("INSERT", "UPDATE", "SELECT"), names))


def _expect_rights(session: Session, table: Table, wanted: Mapping[str, Sequence[str]]) -> None:
    """Fail with DRV020 for rights that are missing on the table, or on some of these columns of it."""
    missing = [text for right, names in wanted.items() if (text := _missing(session, table, right, names))]
    if missing:
        shown, grant = f"{session.schema}.{table.name}", f"GRANT {', '.join(wanted)} ON {qualified(session, table)}"
        _fail(session, f"{', '.join(missing)} on table '{shown}'", grant)


def _missing(session: Session, table: Table, right: str, names: Sequence[str]) -> str | None:
    """Return a right that is missing, with the columns if there are others to which there is one."""
    if right == _TABLE_ONLY:
        ((may,),) = session.rows("SELECT has_table_privilege(%s::pg_catalog.oid, %s)", table.oid, right)
        return None if may else right
    lacking = [name for (name,) in session.rows(_LACKING, table.oid, list(names), right)]
    if not lacking:
        return None
    return right if len(lacking) == len(names) else f"{right} ({', '.join(lacking)})"


def _expect_temporary(session: Session) -> None:
    """Fail with DRV020 if no temporary tables may be made."""
    ask = (
        "SELECT pg_catalog.current_database(), pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP')"
    )
    ((database, may),) = session.rows(ask)
    if not may:
        what = "make temporary tables, by way of which these rows go"
        _fail(session, what, f"GRANT TEMPORARY ON DATABASE {quote_name(database)}")


def _fail(session: Session, what: str, grant: str, instead: str = "") -> NoReturn:
    user = session.target.user
    hint = f"run {grant} TO {quote_name(user)}{instead}"
    fail("DRV020", where=session.target.where, user=user, reason=f"it has no right to {what}", hint=hint)
