"""The table that a step writes, and the ledger beside it: what is there, what is made, and whether rows fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from osiris.errors import diagnostic, fail, raise_all
from osiris.families.mysql.column_mapping import LISTED, Column, column_type, fits, listed_values, wide_type
from osiris.families.mysql.session import qualified, quote_name, relation, relations
from osiris.families.sql.ledger import LEDGER, delivered, digest_column
from osiris.families.sql.target_table import fail_no_key
from osiris.families.type_compat import cast_hint, column_hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.driver import StepContext, Written
    from osiris.errors import Diagnostic
    from osiris.families.mysql.session import Session
    from osiris.families.sql.database import Target
    from osiris.model import Schema

_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COALESCE(NUMERIC_PRECISION, DATETIME_PRECISION, 0),
    COALESCE(NUMERIC_SCALE, 0), COALESCE(CHARACTER_MAXIMUM_LENGTH, 0),
    IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%%auto_increment%%',
    COALESCE(GENERATION_EXPRESSION, '') <> '',
    CASE WHEN EXTRA LIKE '%%auto_increment%%' THEN 'the next number'
        WHEN IS_NULLABLE = 'NO' AND DATA_TYPE = 'timestamp' THEN 'the current time' ELSE '' END
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"""
_UNIQUE = """
SELECT INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX"""
_LISTING = "_osiris_values"
_LEDGER = """(
    run_key VARCHAR(380) NOT NULL, step VARCHAR(380) NOT NULL, fingerprint VARCHAR(128) NOT NULL, target TEXT NOT NULL,
    `rows` BIGINT NOT NULL, digest LONGTEXT NOT NULL, written_at VARCHAR(40) NOT NULL, PRIMARY KEY (run_key, step)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"""


def columns_of(session: Session, table: str) -> dict[str, Column]:
    """Return the columns of a table, by name."""
    rows = session.rows(_COLUMNS, session.target.database, table)
    found = (
        Column(name, kind.lower(), declared, int(d), int(s), int(most), bool(needed), bool(computed), fills=fills)
        for name, kind, declared, d, s, most, needed, computed, fills in rows
    )
    known = {column.name: column for column in found}
    listed = {n: replace(c, members=_members(session, table, c)) for n, c in known.items() if c.kind in LISTED}
    return known | listed


def _members(session: Session, table: str, column: Column) -> Sequence[str | None]:
    """Return the values of an ENUM or of a SET, by their numbers.

    The catalogue has `?` for some letters. Then a table is asked that holds all of the values; who has no right to make
    one does not learn which they are.
    """
    import pymysql

    known = listed_values(column.declared)
    if not any("?" in value for value in known):
        return known
    name = quote_name(column.name)
    made = f"CREATE TEMPORARY TABLE {_LISTING} ENGINE = InnoDB SELECT {name} FROM {qualified(session, table)} LIMIT 0"
    try:
        session.run(made)
    except pymysql.OperationalError:
        return [None if "?" in value else value for value in known]
    numbers = [1 << place if column.kind == "set" else place + 1 for place in range(len(known))]
    session.run(f"INSERT INTO {_LISTING} VALUES ({'), ('.join(map(str, numbers))})")
    found = session.rows(f"SELECT {name} FROM {_LISTING} ORDER BY {name} + 0")
    session.run(f"DROP TEMPORARY TABLE {_LISTING}")
    return [value for (value,) in found]


def uniques(session: Session, table: str) -> list[set[str]]:
    """Return the columns, in lower case, of each unique index of a table."""
    found: dict[str, set[str]] = {}
    for index, name, whole in session.rows(_UNIQUE, session.target.database, table):
        found.setdefault(index, set()).add(str(name).lower() if whole and name else "")
    return list(found.values())


def make_table(session: Session, table: str, schema: Schema, key: Sequence[str]) -> None:
    """Make a table, unless it is there; MySQL commits that by itself, so it is done before the rows come."""
    types = {c.name: column_type(c.type, key=c.name in key, mariadb=session.mariadb) for c in schema}
    parts = [
        f"{quote_name(name)} {kind} {'NOT NULL' if name in key else 'NULL DEFAULT NULL'}"
        for name, kind in types.items()
    ]
    if key:
        parts.append(f"PRIMARY KEY ({', '.join(map(quote_name, key))})")
    session.run(f"CREATE TABLE IF NOT EXISTS {qualified(session, table)} ({', '.join(parts)}) ENGINE = InnoDB")


def make_ledger(session: Session, ctx: StepContext) -> None:
    """Make the ledger in the target's database; a run without a key has none."""
    if ctx.run_key and LEDGER not in relations(session):
        session.run(f"CREATE TABLE IF NOT EXISTS {qualified(session, LEDGER)} {_LEDGER}")


def refuse(session: Session, ctx: StepContext, target: Target, schema: Schema, key: Sequence[str]) -> dict[str, Column]:
    """Fail with all in which rows do not fit a table that is there (DAT029); returns its columns.

    `key` are the columns of an upsert, and empty otherwise.
    """
    found = relation(session, target.table)
    if found.kind != "BASE TABLE" or found.engine != "InnoDB":
        what = f"its engine is {found.engine}, which has no transactions" if found.engine else "it is no plain table"
        hint = "ALTER TABLE … ENGINE = InnoDB" if found.engine else "write a table"
        fail("DAT029", step=ctx.step, table=target.table, problem=what, hint=hint)
    columns = columns_of(session, target.table)
    if problems := _misfits(ctx, target, schema, columns):
        raise_all(problems)
    if key and {name.lower() for name in key} not in uniques(session, target.table):
        fail_no_key(ctx, target, key)
    return columns


def _misfits(ctx: StepContext, target: Target, schema: Schema, columns: dict[str, Column]) -> list[Diagnostic]:
    given = {field.name for field in schema}
    found: list[Diagnostic] = []

    def report(problem: str, hint: str | None = None) -> None:
        found.append(diagnostic("DAT029", step=ctx.step, table=target.table, problem=problem, hint=hint))

    for field in schema:
        column = columns.get(field.name)
        if column is None:
            report(f"it has no column '{field.name}'", column_hint(field.name, columns))
        elif column.computed:
            report(f"its column '{column.name}' is computed by the server", "leave the column out of the rows")
        elif not fits(column, field.type):
            problem = f"its column '{column.name}' is {column.declared}, which cannot hold {field.type}"
            report(problem, cast_hint(column.name, wide_type(column), field.type))
    for column in columns.values():
        if column.needed and not column.computed and column.name not in given:
            report(f"its column '{column.name}' needs a value, and the rows have no such column")
    return found


def find_delivery(session: Session, ctx: StepContext, target: Target) -> Written | None:
    """Return what the ledger says that this run has delivered; None if nothing, or if there is no ledger.

    Fails with DRV014 if that was done by another plan.
    """
    if not ctx.run_key or LEDGER not in relations(session):
        return None
    found = session.rows(
        f"SELECT fingerprint, `rows`, digest FROM {qualified(session, LEDGER)} WHERE run_key = %s AND step = %s",
        *(ctx.run_key, ctx.step),
    )
    return delivered(ctx, target, *found[0]) if found else None


def record_delivery(session: Session, ctx: StepContext, target: Target, rows: int) -> None:
    """Write the delivery into the ledger, first in the transaction that will hold the rows.

    So of two attempts at one delivery the later one waits here for the earlier, though its process may be gone, and is
    then refused (error 1062).
    """
    if not ctx.run_key:
        return
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    session.rows(
        f"INSERT INTO {qualified(session, LEDGER)} VALUES (%s, %s, %s, %s, %s, %s, %s)",
        *(ctx.run_key, ctx.step, ctx.plan, target.table, rows, digest_column(ctx), now),
    )


def correct_delivery(session: Session, ctx: StepContext, rows: int, rejected: int) -> None:
    """Put into the ledger how many rows were delivered and how many set aside, once that is known."""
    if ctx.run_key:
        session.rows(
            f"UPDATE {qualified(session, LEDGER)} SET `rows` = %s, digest = %s WHERE run_key = %s AND step = %s",
            *(rows, digest_column(ctx, rejected), ctx.run_key, ctx.step),
        )
