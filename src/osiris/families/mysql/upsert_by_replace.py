"""Upserts that replace rows in the table itself: where nobody can see a difference, and that is known for sure.

REPLACE gives rows their new values in place if no trigger and no foreign key looks at the table; else it deletes them,
and with them what refers to them. So whoever may not see all triggers and foreign keys goes by way of a staging table.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.families.mysql.target_table import uniques

if TYPE_CHECKING:
    from osiris.families.mysql.session import Session
    from osiris.families.sql.database import Delivery

_EXACT = {
    *("tinyint", "smallint", "mediumint", "int", "bigint", "decimal"),
    *("date", "time", "datetime", "timestamp", "year", "uuid"),
}
"""Kinds of columns of which equal values are the same value: the key of a row that is there would stay as it is."""
_SIMPLE = re.compile(r"\w+", re.ASCII)
"""Names that InnoDB's own catalogue has as they are."""
_RIGHTS = ("DELETE", "PROCESS", "TRIGGER")
"""What it takes on all databases to replace rows, and to see what looks at a table."""
_GRANTED = """
SELECT COUNT(DISTINCT PRIVILEGE_TYPE) FROM information_schema.USER_PRIVILEGES
WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') AND PRIVILEGE_TYPE IN %s"""
_TRIGGERS = "SELECT 1 FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = %s AND EVENT_OBJECT_TABLE = %s"
_FOREIGN = """
SELECT 1 FROM information_schema.INNODB_SYS_FOREIGN WHERE LOWER(%s) IN (LOWER(FOR_NAME), LOWER(REF_NAME))"""


def may_replace(session: Session, delivery: Delivery) -> bool:
    """Tell whether to replace rows by their key does exactly what an upsert is to do."""
    return (
        session.mariadb
        and delivery.rejected is None
        and _is_whole(delivery)
        and len(uniques(session, delivery.table)) == 1
        and session.rows("SELECT @@local_infile") == [(1,)]
        and _alone(session, delivery.table)
    )


def _is_whole(delivery: Delivery) -> bool:
    """Tell whether rows have values for all columns, and keys of which equal ones are the same."""
    given, columns = {field.name for field in delivery.schema}, delivery.columns
    exact = all(column.kind in _EXACT for column in columns if column.name in delivery.key)
    return exact and all(column.computed or column.name in given for column in columns)


def _alone(session: Session, table: str) -> bool:
    """Tell whether neither a trigger nor a foreign key looks at a table, and the user would see them."""
    database = session.target.database
    if not (_SIMPLE.fullmatch(database) and _SIMPLE.fullmatch(table)):
        return False
    if session.rows(_GRANTED, _RIGHTS) != [(len(_RIGHTS),)]:
        return False
    return not session.rows(_TRIGGERS, database, table) and not session.rows(_FOREIGN, f"{database}/{table}")
