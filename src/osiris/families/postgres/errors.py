"""What PostgreSQL refuses, in our words: told by SQLSTATE, the number of an error, never by its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail

if TYPE_CHECKING:
    from osiris.errors import Location

_LOGIN = ("28000", "28P01")
_GONE = ("57P01", "57P02", "57P03", "57P04", "57P05")
_TOO_MANY = "53300"
_NO_SPACE = "53100"
_NO_DATABASE = "3D000"
_CANCELLED = "57014"
_NOT_GRANTED = "42501"
_READ_ONLY = "25006"
_NO_TABLE = ("42P01", "3F000")
_DATA = ("22", "21", "23")
"""Classes of errors that values cause, not the statement."""


def fail_server(
    state: str, message: str, where: str, user: str, *, query: bool = False, at: Location | None = None
) -> NoReturn:
    """Fail with what a SQLSTATE means; `message` are the server's words.

    `query` tells that the statement is the user's own, and `at` which place of it the server means, if it says so.
    """
    if state in _LOGIN:
        fail("CON012", where=where, user=user, reason=message)
    if state == _NO_DATABASE:
        fail("CON013", where=where, reason=message)
    if state == _TOO_MANY:
        fail("CON011", where=where, reason=message)
    if state in _GONE or state.startswith("08"):
        fail("CON014", where=where, reason=message)
    if state == _NOT_GRANTED:
        fail("DRV020", where=where, user=user, reason=message)
    if state == _CANCELLED:
        fail("DRV021", where=where, reason=message)
    if state == _NO_SPACE:
        fail("DRV022", where=where, reason=message)
    if query:
        _fail_query(state, message, at)
    fail("DRV013", path=where, problem=message)


def _fail_query(state: str, message: str, at: Location | None) -> NoReturn:
    if state == _READ_ONLY:
        fail("SQL004", at=at, what="writing")
    if state[:2] == "42" or state in _NO_TABLE:
        fail("SQL009", at=at, problem=message)
    fail("SQL011", at=at, problem=message if state[:2] in _DATA else f"{message} (SQLSTATE {state})")
