"""What MySQL refuses, in our words: told by the number of an error, never by its text."""

from __future__ import annotations

import re
from typing import NoReturn

from osiris.errors import fail

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
_READ_ONLY = frozenset((1792,))
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
    if query:
        _fail_query(number, message)
    fail("DRV013", path=where, problem=f"{message} (error {number})")


def _fail_query(number: int, message: str) -> NoReturn:
    if number in _READ_ONLY:
        fail("SQL004", what="writing")
    if number in _QUERY:
        fail("SQL009", problem=message)
    fail("SQL011", problem=f"{message} (error {number})")
