"""Map PostgreSQL's errors to diagnostics, by SQLSTATE, never by their text.

Also the reason why a table rejects a row, with the column and the server's own message in brackets. Codes are from
PostgreSQL's appendix "Error Codes".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.quarantine import RowRejected

if TYPE_CHECKING:
    import psycopg

    from osiris.errors import Location
    from osiris.families.sql.database import Delivery, Session

_CODES = {
    **dict.fromkeys(("28000", "28P01"), "CON012"),
    "3D000": "CON013",
    "53300": "CON011",
    **dict.fromkeys(("57P01", "57P02", "57P03", "57P04", "57P05"), "CON014"),
    "42501": "DRV020",
    "57014": "DRV021",
    "53100": "DRV022",
}
_LOST = "08"
"""The class of connection errors."""
_READ_ONLY = "25006"
_NO_TABLE = ("42P01", "3F000")
_DATA = ("22", "21", "23")
"""Classes of errors caused by values, not by the statement."""
_CONSTRAINTS, _CHECK = "23", "23514"
_BY_CLASS = {
    "22": "the column has no such value",
    _CONSTRAINTS: "a constraint does not hold",
    "44": "the check of a view does not hold",
    "P0": "a trigger or rule of the table refuses the row",
}
"""Classes of errors caused by a row, with their reasons."""
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
"""RAISE in a trigger function rejects the row, with the function's own message."""
_NAME_KEYS = ("23503", "23505", "23P01")
"""Errors whose detail shows the key, and not the complete row."""
_PLACE = re.compile(r"^COPY .*?, line (\d+)(?:, column ([^:\n]+))?", re.MULTILINE)
"""Row and column in an error's context: the server gives them nowhere else, and they are only shown."""
_RULE = """
WITH target AS (SELECT %s::pg_catalog.regclass AS oid), tables AS (
    SELECT oid FROM target UNION ALL
    SELECT inhrelid FROM pg_catalog.pg_inherits JOIN target ON inhparent = target.oid
), rule AS (
    SELECT 1 AS place, conrelid AS relation, conkey AS columns, contypid AS domain,
        CASE contype WHEN 'c' THEN pg_catalog.pg_get_constraintdef(oid) END AS text
    FROM pg_catalog.pg_constraint WHERE conname = %s AND (conrelid IN (SELECT oid FROM tables) OR contypid IN (
        SELECT atttypid FROM pg_catalog.pg_attribute JOIN target ON attrelid = target.oid))
  UNION ALL
    SELECT 2, indrelid, indkey::int2[], 0, NULL FROM pg_catalog.pg_index
    JOIN pg_catalog.pg_class c ON c.oid = indexrelid WHERE c.relname = %s AND indrelid IN (SELECT oid FROM tables)
)
SELECT (
    SELECT pg_catalog.string_agg(attname, ', ' ORDER BY attnum) FROM pg_catalog.pg_attribute
    WHERE attrelid = CASE relation WHEN 0 THEN (SELECT oid FROM target) ELSE relation END
        AND (attnum = ANY(columns) OR atttypid = NULLIF(domain, 0))
), text FROM rule ORDER BY place LIMIT 1"""
"""The columns of a constraint or unique index, and the text of a check."""


def fail_server(
    state: str, message: str, where: str, user: str, *, query: bool = False, at: Location | None = None
) -> NoReturn:
    """Fail with the diagnostic of a SQLSTATE; `message` is the server's text.

    `query` means a user's statement, and `at` is the place in it that the server reported, if any.
    """
    code = "CON014" if state.startswith(_LOST) else _CODES.get(state)
    if code:
        fail(code, where=where, user=user, reason=message)
    if query and state == _READ_ONLY:
        fail("SQL004", at=at, what="writing")
    if query and (state[:2] == "42" or state in _NO_TABLE):
        fail("SQL009", at=at, problem=message)
    if query:
        fail("SQL011", at=at, problem=message if state[:2] in _DATA else f"{message} (SQLSTATE {state})")
    fail("DRV013", path=where, problem=message)


def refusal_of(error: Exception) -> RowRejected | None:
    """Return why a row was rejected; None for an error that is not about a row."""
    import psycopg

    if not isinstance(error, psycopg.Error):
        return None
    state, diag = error.sqlstate or "", error.diag
    if state[:2] not in _BY_CLASS and state not in _REASONS:
        return None
    place, row = _place(diag.context or "")
    column, rule = diag.column_name or place, diag.constraint_name or ""
    return RowRejected(column, _reason(state, diag, column or rule), rule, row)


def _place(context: str) -> tuple[str, int | None]:
    """Return the column and the 0-based row in an error's context; "" and None if it has none."""
    match = _PLACE.search(context)
    return (match[2] or "", int(match[1]) - 1) if match else ("", None)


def _reason(state: str, diag: psycopg.errors.Diagnostic, subject: str) -> str:
    """Return why a row was rejected: our reason, and the server's message in brackets if it adds to it.

    `subject` is the column or the rule that the error names, empty if none.
    """
    if state == _RAISED and diag.message_primary:
        return diag.message_primary
    reason, detail = reason_of(state), None
    if state == _CHECK and not diag.constraint_name:
        reason = "no partition of the table takes it"
    if state[:2] != _CONSTRAINTS:
        detail = diag.message_primary
    elif state in _NAME_KEYS or not subject:
        detail = diag.message_detail
    return f"{reason} ({detail})" if detail else reason


def reason_of(state: str) -> str:
    """Return our reason why rows are rejected with a SQLSTATE."""
    return _REASONS.get(state) or _BY_CLASS.get(state[:2], "the table does not take it")


def explained(session: Session, delivery: Delivery, refused: RowRejected) -> RowRejected:
    """Add to a refusal the columns and the check clause of the broken rule, from the catalogue."""
    rules = session.rows(_RULE, delivery.quoted, refused.rule, refused.rule) if refused.rule else []
    for columns, text in rules:
        reason = f"{refused.reason}: {text}" if text else refused.reason
        return RowRejected(refused.column or columns or "", reason, refused.rule, refused.row)
    return refused
