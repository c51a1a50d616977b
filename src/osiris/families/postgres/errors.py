"""What PostgreSQL refuses, in our words: told by SQLSTATE, the number of an error, never by its text.

Also why a table refuses a row: with the column, and the server's own words in brackets.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.quarantine import Refused

if TYPE_CHECKING:
    import psycopg

    from osiris.errors import Location
    from osiris.families.sql.database import Delivery, Session

_MEANS = {
    **dict.fromkeys(("28000", "28P01"), "CON012"),
    "3D000": "CON013",
    "53300": "CON011",
    **dict.fromkeys(("57P01", "57P02", "57P03", "57P04", "57P05"), "CON014"),
    "42501": "DRV020",
    "57014": "DRV021",
    "53100": "DRV022",
}
_LOST = "08"
"""The class of errors of the connection."""
_READ_ONLY = "25006"
_NO_TABLE = ("42P01", "3F000")
_DATA = ("22", "21", "23")
"""Classes of errors that values cause, not the statement."""
_CONSTRAINTS, _CHECK = "23", "23514"
_BY_CLASS = {
    "22": "the column has no such value",
    _CONSTRAINTS: "a constraint does not hold",
    "44": "the check of a view does not hold",
    "P0": "a trigger or rule of the table refuses the row",
}
"""Classes of errors that a row causes."""
_REASONS = {
    "22001": "the value is too long",
    "22003": "the number is out of range",
    "22007": "it is no date or time as the column has them",
    "22008": "the date or time is out of range",
    "22021": "it has a character that the database cannot hold",
    "22P02": "it is no value of the column's type",
    "22P05": "it has a character that the database cannot hold",
    "23502": "it must not be NULL",
    "23503": "a foreign key leads nowhere",
    "23505": "a row with the same key is there already",
    _CHECK: "its check does not hold",
    "23P01": "a row that excludes it is there already",
    "42601": "it is no value of the column's type",
}
_RAISED = "P0001"
"""A function of a trigger refuses the row, in the words of who wrote it."""
_NAME_KEYS = ("23503", "23505", "23P01")
"""Errors whose details name the key, and not the whole row."""
_PLACE = re.compile(r"^COPY .*?, line (\d+)(?:, column ([^:\n]+))?", re.MULTILINE)
"""In the words that say where the server was: there is no other way to learn it, and it is only shown."""
_RULE = """
WITH target AS (SELECT %s::pg_catalog.regclass AS oid), known AS (
    SELECT oid FROM target UNION ALL
    SELECT inhrelid FROM pg_catalog.pg_inherits JOIN target ON inhparent = target.oid
), rule AS (
    SELECT 1 AS place, conrelid AS relation, conkey AS columns, contypid AS domain,
        CASE contype WHEN 'c' THEN pg_catalog.pg_get_constraintdef(oid) END AS text
    FROM pg_catalog.pg_constraint WHERE conname = %s AND (conrelid IN (SELECT oid FROM known) OR contypid IN (
        SELECT atttypid FROM pg_catalog.pg_attribute JOIN target ON attrelid = target.oid))
  UNION ALL
    SELECT 2, indrelid, indkey::int2[], 0, NULL FROM pg_catalog.pg_index
    JOIN pg_catalog.pg_class c ON c.oid = indexrelid WHERE c.relname = %s AND indrelid IN (SELECT oid FROM known)
)
SELECT (
    SELECT pg_catalog.string_agg(attname, ', ' ORDER BY attnum) FROM pg_catalog.pg_attribute
    WHERE attrelid = CASE relation WHEN 0 THEN (SELECT oid FROM target) ELSE relation END
        AND (attnum = ANY(columns) OR atttypid = NULLIF(domain, 0))
), text FROM rule ORDER BY place LIMIT 1"""
"""The columns that a constraint or a unique index looks at, and the text of a check."""


def fail_server(
    state: str, message: str, where: str, user: str, *, query: bool = False, at: Location | None = None
) -> NoReturn:
    """Fail with what a SQLSTATE means; `message` are the server's words.

    `query` tells that the statement is the user's own, and `at` which place of it the server means, if it says so.
    """
    code = "CON014" if state.startswith(_LOST) else _MEANS.get(state)
    if code:
        fail(code, where=where, user=user, reason=message)
    if query and state == _READ_ONLY:
        fail("SQL004", at=at, what="writing")
    if query and (state[:2] == "42" or state in _NO_TABLE):
        fail("SQL009", at=at, problem=message)
    if query:
        fail("SQL011", at=at, problem=message if state[:2] in _DATA else f"{message} (SQLSTATE {state})")
    fail("DRV013", path=where, problem=message)


def refusal_of(error: Exception) -> Refused | None:
    """Return why a row was refused; None for an error that is not about a row."""
    import psycopg

    if not isinstance(error, psycopg.Error):
        return None
    state, told = error.sqlstate or "", error.diag
    if state[:2] not in _BY_CLASS and state not in _REASONS:
        return None
    place, row = _place(told.context or "")
    column, rule = told.column_name or place, told.constraint_name or ""
    return Refused(column, _reason(state, told, column or rule), rule, row)


def _place(context: str) -> tuple[str, int | None]:
    """Return the column and the row at which the server was, as far as it says so."""
    found = _PLACE.search(context)
    return (found[2] or "", int(found[1]) - 1) if found else ("", None)


def _reason(state: str, told: psycopg.errors.Diagnostic, named: str) -> str:
    """Return why a row was refused: in our words, and in the server's as far as they say more.

    `named` is the column or the rule that it tells, if any.
    """
    if state == _RAISED and told.message_primary:
        return told.message_primary
    reason, detail = reason_of(state), None
    if state == _CHECK and not told.constraint_name:
        reason = "no partition of the table takes it"
    if state[:2] != _CONSTRAINTS:
        detail = told.message_primary
    elif state in _NAME_KEYS or not named:
        detail = told.message_detail
    return f"{reason} ({detail})" if detail else reason


def reason_of(state: str) -> str:
    """Return why rows are refused with a SQLSTATE, in our words."""
    return _REASONS.get(state) or _BY_CLASS.get(state[:2], "the table does not take it")


def explained(session: Session, delivery: Delivery, refused: Refused) -> Refused:
    """Return a refusal with what the catalogue knows of the rule that is broken: its columns, and what it checks."""
    found = session.rows(_RULE, delivery.quoted, refused.rule, refused.rule) if refused.rule else []
    for columns, text in found:
        reason = f"{refused.reason}: {text}" if text else refused.reason
        return Refused(refused.column or columns or "", reason, refused.rule, refused.row)
    return refused
