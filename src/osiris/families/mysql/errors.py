"""What MySQL refuses, in our words: told by the number of an error, never by its text.

Also why a table refuses a row: with the column, and the server's own words in brackets.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail
from osiris.families.quarantine import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable


_LOGIN = frozenset((1045, 1251, 1275, 1524, 1698, 1820, 1862, 2049, 2054, 2059, 2061, 3118, 4151))
_NO_DATABASE = 1049
_NO_RIGHT_TO_DATABASE = 1044
_NOT_LET_IN = frozenset((1040, 1129, 1130, 1203, 1226))
_ENCRYPTION = frozenset((2026, 3159))
_GONE = frozenset((1053, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1927, 2006, 2013, 2055, 4031))
NO_TABLE = 1146
NOT_GRANTED = frozenset((1044, 1142, 1143, 1227, 1345, 1370, 1410))
"""Errors that mean that the user lacks a right."""
_ENDED = frozenset((1317, 1907, 1969, 3024))
_NO_SPACE = frozenset((1021, 1041, 1114, 1878))
_NOT_WRITTEN = frozenset((3, 1026))
_DISK_FULL = re.compile(r"\(Errcode: (?:28|122)\b")
"""The system's number, which the server tells of a file that it could not write: no space, or none for this user."""
_READ_ONLY = 1792
_QUERY = frozenset((1051, 1054, 1060, 1064, 1066, 1109, 1111, 1140, NO_TABLE, 1222, 1235, 1241, 1247, 1248, 1305, 1582))


_MEANS = {
    **dict.fromkeys(_GONE | _NOT_LET_IN, "CON014"),
    **dict.fromkeys(NOT_GRANTED, "DRV020"),
    **dict.fromkeys(_ENDED, "DRV021"),
    **dict.fromkeys(_NO_SPACE, "DRV022"),
}
_MEANS_AT_LOGIN = {
    **dict.fromkeys(_LOGIN, "CON012"),
    **dict.fromkeys(_NOT_LET_IN, "CON011"),
    **dict.fromkeys(_ENCRYPTION, "CON017"),
    _NO_DATABASE: "CON013",
}
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


def fail_login(number: int, message: str, where: str, user: str) -> NoReturn:
    """Fail with why a server does not let a user in."""
    if number in _MEANS_AT_LOGIN:
        fail(_MEANS_AT_LOGIN[number], where=where, user=user, reason=message)
    if number == _NO_RIGHT_TO_DATABASE:
        reason = "it has no right to anything in this database, which may not even be there"
        hint = "check 'database' of the connection; if it is right, let its owner GRANT SELECT on it to the user"
        fail("DRV020", where=where, user=user, reason=reason, hint=hint)
    fail_server(number, message, where, user)


def fail_server(number: int, message: str, where: str, user: str, *, query: bool = False) -> NoReturn:
    """Fail with what an error means; `message` are the server's words, `query` tells that the statement is theirs."""
    code = _MEANS.get(number)
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
