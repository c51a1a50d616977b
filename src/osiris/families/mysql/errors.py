"""Map MySQL's errors to diagnostics, by the number of an error, never by its text.

Also the reason why a table rejects a row, with the column and the server's own message in brackets. Numbers are from
the MySQL and MariaDB server error references.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.quarantine import RowRejected

if TYPE_CHECKING:
    from collections.abc import Iterable


_LOGIN = frozenset((1045, 1251, 1275, 1524, 1698, 1820, 1862, 2049, 2054, 2059, 2061, 3118, 4151))
_NO_DATABASE = 1049
_NO_RIGHT_TO_DATABASE = 1044
_NOT_ADMITTED = frozenset((1040, 1129, 1130, 1203, 1226))
_ENCRYPTION = frozenset((2026, 3159))
_DISCONNECTED = frozenset((1053, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1927, 2006, 2013, 2055, 4031))
NO_TABLE, TIMED_OUT = 1146, 1205
NOT_GRANTED = frozenset((1044, 1142, 1143, 1227, 1345, 1370, 1410))
"""Errors that mean that the user lacks a privilege."""
_INTERRUPTED = frozenset((1317, 1907, 1969, 3024))
_NO_SPACE = frozenset((1021, 1041, 1114, 1878))
_NOT_WRITTEN = frozenset((3, 1026))
_DISK_FULL = re.compile(r"\(Errcode: (?:28|122)\b")
"""ENOSPC or EDQUOT, in the server's message about a file that it could not write."""
_READ_ONLY = 1792
_QUERY = frozenset((1051, 1054, 1060, 1064, 1066, 1109, 1111, 1140, NO_TABLE, 1222, 1235, 1241, 1247, 1248, 1305, 1582))


_CODES = {
    **dict.fromkeys(_DISCONNECTED | _NOT_ADMITTED, "CON014"),
    **dict.fromkeys(NOT_GRANTED, "DRV020"),
    **dict.fromkeys(_INTERRUPTED, "DRV021"),
    **dict.fromkeys(_NO_SPACE, "DRV022"),
}
_LOGIN_CODES = {
    **dict.fromkeys(_LOGIN, "CON012"),
    **dict.fromkeys(_NOT_ADMITTED, "CON011"),
    **dict.fromkeys(_ENCRYPTION, "CON017"),
    _NO_DATABASE: "CON013",
}
_REASONS = {
    1062: "a row with the same key is there already",
    **dict.fromkeys((1216, 1452), "a foreign key leads nowhere"),
    **dict.fromkeys((1217, 1451), "rows of another table refer to the row that is there"),
    1264: "the number is out of range",
    1265: "the column would cut it off or change it",
    **dict.fromkeys((1292, 1366), "it is no value of the column's type"),
    1406: "the value is too long",
}
_PLAIN_REASONS = {
    **dict.fromkeys((1048, 1263), "it must not be NULL"),
    1364: "it needs a value",
    **dict.fromkeys((3819, 4025), "its check does not hold"),
}
"""Errors whose message adds nothing to this reason, the column and the rule."""
_SIGNALLED = 1644
"""A SIGNAL in a trigger rejects the row, with the trigger's own message."""
ROW = frozenset((*_REASONS, *_PLAIN_REASONS, _SIGNALLED))
"""Errors that a row causes."""
_HARMLESS = frozenset((1287, 1681))
"""Deprecation warnings."""
_COLUMN = re.compile(r".*(?:[Cc]olumn|Field) (?:'(.+?)'|`.*?`\.`.*?`\.`(.+?)`)", re.DOTALL)
_RULE = re.compile(r".*(?:for key|CONSTRAINT|constraint) ['`](.+?)['`]", re.DOTALL)
"""Names in the messages of errors recognized by number: the server gives them nowhere else."""
_ROW_NUMBER = re.compile(r" at row (\d+)$")


def fail_login(number: int, message: str, where: str, user: str) -> NoReturn:
    """Fail with why a login failed."""
    if number in _LOGIN_CODES:
        fail(_LOGIN_CODES[number], where=where, user=user, reason=message)
    if number == _NO_RIGHT_TO_DATABASE:
        reason = "it has no privileges in this database, or the database does not exist"
        hint = "check 'database' of the connection; if it is right, let its owner GRANT SELECT on it to the user"
        fail("DRV020", where=where, user=user, reason=reason, hint=hint)
    fail_server(number, message, where, user)


def fail_server(number: int, message: str, where: str, user: str, *, query: bool = False) -> NoReturn:
    """Fail with the diagnostic of an error; `message` is the server's text, `query` means a user's statement."""
    code = _CODES.get(number)
    if number in _NOT_WRITTEN and _DISK_FULL.search(message):
        code = "DRV022"
    if code:
        fail(code, where=where, user=user, reason=message)
    if query and number == _READ_ONLY:
        fail("SQL004", what="writing")
    if query and number in _QUERY:
        fail("SQL009", problem=message)
    if query:
        fail("SQL011", problem=f"{message} (error {number})")
    fail("DRV013", path=where, problem=f"{message} (error {number})")


def refusal(number: int, message: str) -> RowRejected:
    """Return why a row was rejected, from the number and message of an error or warning."""
    if number == _SIGNALLED:
        return RowRejected("", message)
    column, rule = _COLUMN.match(message), _RULE.match(message)
    reason = _PLAIN_REASONS.get(number)
    if reason is None:
        cause = _REASONS.get(number, "the server would change it")
        reason = f"{cause} ({_ROW_NUMBER.sub('', message)})"
    return RowRejected((column and (column[1] or column[2])) or "", reason, rule[1] if rule else "")


def warned(warnings: Iterable[tuple[str, int, str]]) -> RowRejected | None:
    """Return why the server changed loaded rows, from its warnings; None if it changed none.

    A warning about a broken rule may come after the warnings that are its cause.
    """
    serious = [(number, message) for _, number, message in warnings if number not in _HARMLESS]
    if not serious:
        return None
    number, message = next((warning for warning in serious if warning[0] in ROW), serious[0])
    refused, row = refusal(number, message), _ROW_NUMBER.search(message)
    return RowRejected(refused.column, refused.reason, refused.rule, int(row[1]) - 1 if row else None)
