"""Why a table of MySQL refuses a row: in our words, with the column, and the server's own in brackets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.families.mysql.session import quote_name
from osiris.families.quarantine import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from osiris.families.mysql.session import Session
    from osiris.families.sql.database import Delivery

_WITH_WORDS = {
    1062: "a row with the same key is there already",
    **dict.fromkeys((1216, 1452), "a foreign key leads nowhere"),
    **dict.fromkeys((1217, 1451), "rows of another table refer to the row that is there"),
    1264: "the number is out of range",
    1265: "the column would cut it off or change it",
    **dict.fromkeys((1292, 1366), "it is no value of the column's type"),
    1406: "the value is too long",
}
_WITHOUT = {
    **dict.fromkeys((1048, 1263), "it must not be NULL"),
    1364: "it needs a value",
    **dict.fromkeys((3819, 4025), "its check does not hold"),
}
"""Errors whose words say no more than this, the column, and the rule."""
_RAISED = 1644
"""A trigger refuses the row, in the words of who wrote it."""
ROW = frozenset((*_WITH_WORDS, *_WITHOUT, _RAISED))
"""Errors that a row causes."""
_HARMLESS = frozenset((1287, 1681))
"""Warnings that something is out of date."""
_COLUMN = re.compile(r".*(?:[Cc]olumn|Field) (?:'(.+?)'|`.*?`\.`.*?`\.`(.+?)`)", re.DOTALL)
_RULE = re.compile(r".*(?:for key|CONSTRAINT|constraint) ['`](.+?)['`]", re.DOTALL)
"""Names in the words of errors that are known by their numbers: there is no other way to learn them."""
_ROW_NUMBER = re.compile(r" at row (\d+)$")
_KEY = """
SELECT COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND CONSTRAINT_NAME = %s ORDER BY ORDINAL_POSITION"""
_CHECK = "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s"
_COLUMNS = "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"


def refusal(number: int, message: str) -> Refused:
    """Return why a row was refused, by the number of an error or warning and its words."""
    if number == _RAISED:
        return Refused("", message)
    column, rule = _COLUMN.match(message), _RULE.match(message)
    reason = _WITHOUT.get(number)
    if reason is None:
        known = _WITH_WORDS.get(number, "the server would change it")
        reason = f"{known} ({_ROW_NUMBER.sub('', message)})"
    return Refused((column and (column[1] or column[2])) or "", reason, rule[1] if rule else "")


def warned(warnings: Iterable[tuple[str, int, str]]) -> Refused | None:
    """Return why rows that were loaded are not what they were; None if nothing of that is among the warnings.

    A warning that a rule is broken may come behind others that are the reason for it.
    """
    told = [(number, message) for _, number, message in warnings if number not in _HARMLESS]
    if not told:
        return None
    number, message = next((each for each in told if each[0] in ROW), told[0])
    found, row = refusal(number, message), _ROW_NUMBER.search(message)
    return Refused(found.column, found.reason, found.rule, int(row[1]) - 1 if row else None)


def explained(session: Session, delivery: Delivery, refused: Refused) -> Refused:
    """Return a refusal with what the catalogue knows of the rule that is broken: its columns, and what it checks."""
    if not refused.rule:
        return refused
    table = delivery.table
    rule = refused.rule.removeprefix(f"{table}.")
    where = (session.target.database, table)
    columns = [name for (name,) in session.rows(_KEY, *where, rule)]
    clause = "" if columns else _clause(session, table, rule)
    if clause:
        columns = [name for (name,) in session.rows(_COLUMNS, *where) if quote_name(name) in clause]
    reason = f"{refused.reason}: {clause}" if clause else refused.reason
    return Refused(", ".join(columns) or refused.column, reason, rule, refused.row)


def _clause(session: Session, table: str, rule: str) -> str:
    """Return what a constraint checks; MariaDB has such names once in each table, MySQL once in each database."""
    asked, values = f"{_CHECK} AND CONSTRAINT_NAME = %s", [session.target.database, rule]
    if session.mariadb:
        asked, values = f"{asked} AND TABLE_NAME = %s", [*values, table]
    return next((str(clause) for (clause,) in session.rows(asked, *values)), "")
