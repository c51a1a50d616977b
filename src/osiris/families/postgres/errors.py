"""What PostgreSQL refuses, in our words: told by SQLSTATE, the number of an error, never by its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail

if TYPE_CHECKING:
    from osiris.errors import Location

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


def fail_server(
    state: str, message: str, where: str, user: str, *, query: bool = False, at: Location | None = None
) -> NoReturn:
    """Fail with what a SQLSTATE means; `message` are the server's words.

    `query` tells that the statement is the user's own, and `at` which place of it the server means, if it says so.
    """
    code = "CON014" if state.startswith(_LOST) else _MEANS.get(state)
    if code:
        fail(code, where=where, user=user, reason=message)
    if query:
        _fail_query(state, message, at)
    fail("DRV013", path=where, problem=message)


def _fail_query(state: str, message: str, at: Location | None) -> NoReturn:
    if state == _READ_ONLY:
        fail("SQL004", at=at, what="writing")
    if state[:2] == "42" or state in _NO_TABLE:
        fail("SQL009", at=at, problem=message)
    fail("SQL011", at=at, problem=message if state[:2] in _DATA else f"{message} (SQLSTATE {state})")
