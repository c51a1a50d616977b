"""The table that a step writes, as the catalogue has it: its columns, and what is unique in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from osiris.families.mysql.column_mapping import LISTED, Column, listed_values, wide_type
from osiris.families.mysql.session import qualified, quote_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.families.mysql.session import Session

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


def columns_of(session: Session, table: str) -> dict[str, Column]:
    """Return the columns of a table, by name."""
    rows = session.rows(_COLUMNS, session.target.database, table)
    known = {column.name: column for column in (_column(*row) for row in rows)}
    listed = {n: replace(c, members=_members(session, table, c)) for n, c in known.items() if c.kind in LISTED}
    return known | listed


def _column(name: str, data_type: str, declared: str, digits: int, scale: int, *told: Any) -> Column:  # noqa: ANN401  what the catalogue says
    kind, (length, needed, computed, fills) = data_type.lower(), told
    wide, required = wide_type(kind, declared, int(digits), int(scale)), bool(needed) and not computed
    return Column(
        *(name, wide, declared, required, bool(computed)), kind, int(digits), int(scale), int(length), fills=fills
    )


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
