"""What PostgREST, and what stands before it, refuses, in our words: told by status and code, never by a text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING, NoReturn

from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue

_NO_SERVER = ("PGRST000", "PGRST001", "PGRST002", "PGRST003")
"""PostgREST has no connection to its database, so nothing was done."""

_UNDONE = ("40001", "40P01")
"""The database has undone what was asked for, and others may be through by now."""

_BAD_TOKEN = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
_NO_TABLE = ("PGRST205", "PGRST106", "42P01", "3F000")
_NO_COLUMN = ("PGRST204", "42703")
_NO_KEY, _COMPUTED, _NOT_GRANTED, _ENDED, _NO_SPACE = "42P10", "428C9", "42501", "57014", "53100"
_NAMED = re.compile(r'column "(.+?)"')
"""The column that the words of an error name."""
_MINUS_ZERO = re.compile(rb"-0[],}\s]")
_ROW = ("21", "22", "23", "44", "P0")
_UNKNOWN = frozenset((408, 502, 503, 504, *range(520, 528)))
"""Statuses after which nobody knows whether anything was done."""

_SHOWN = 200
_PHRASES = {int(status): status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the headers by their names in lower case, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    def rows(self, where: str) -> list[dict[str, JsonValue]]:
        """Return the rows of the body, numbers with all of their digits; fails with CON027 if it is none of rows."""
        found = self.document(where)
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            fail("CON027", where=where, problem="the response is not a list of rows")
        return found

    def document(self, where: str) -> JsonValue:
        """Return the body as JSON; fails with CON027 if it is none."""
        signed = _signed if _MINUS_ZERO.search(self.body) else None
        try:
            return json.loads(self.body, parse_float=Decimal, parse_int=signed)
        except ValueError:
            kind = self.headers.get("content-type", "no content type").partition(";")[0]
            fail("CON027", where=where, problem=f"the response is not JSON but {kind}")

    @property
    def count(self) -> int | None:
        """The number of all rows, if it was asked for and told."""
        total = self.headers.get("content-range", "").rpartition("/")[2]
        return int(total) if total.isdecimal() else None

    @property
    def told(self) -> dict[str, str]:
        """The parts of an error: code, message, hint."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        parts = found if isinstance(found, dict) else {}
        return {name: str(value)[:_SHOWN] for name, value in parts.items() if value is not None}

    @property
    def code(self) -> str:
        """PostgREST's code, or the SQLSTATE; empty where neither was told."""
        return self.told.get("code", "")

    @property
    def reason(self) -> str:
        """Why it was refused, as far as that was said."""
        told = self.told
        words = told.get("message") or told.get("msg") or told.get("error")
        return words or _PHRASES.get(self.status, "no reason given")


def _signed(text: str) -> int | Decimal:
    """Return a number without a point, whose sign an integer would not keep if it is zero: a float may have been it."""
    return Decimal(text) if text == "-0" else int(text)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request was about: the step, the server's name, the role, the table, and whether rows were sent."""

    step: str
    where: str
    role: str
    table: str
    writing: bool = False


class RowsRefused(Exception):
    """The table refuses rows that were sent, and nothing of their request was done."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


def worth_again(answer: Answer, *, safe: bool) -> bool:
    """Tell whether a request that failed may be sent again: nothing was done, or doing it twice is like doing it once.

    `safe` tells that it is.
    """
    undone = answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.code in (*_NO_SERVER, *_UNDONE)
    return undone or (safe and answer.status in _UNKNOWN)


def seconds_asked(answer: Answer) -> float | None:
    """Return how many seconds the server asks to wait; None if it does not say."""
    text = answer.headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except ValueError:
        return None


def fail_answer(answer: Answer, asked: Asked) -> NoReturn:
    """Fail with what a refusal means: CON024 to CON027, DAT011, DAT029, DAT034, DRV012 to DRV022.

    Raises RowsRefused if rows are refused that were sent.
    """
    code, status, reason = answer.code, answer.status, answer.reason
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = seconds_asked(answer)
        fail("CON025", where=asked.where, wait="later" if wait is None else f"in {wait:.0f} s")
    if code in _BAD_TOKEN or (status in (401, 403) and not code):
        fail("CON024", where=asked.where, reason=reason)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        fail("DAT034", where=asked.where, problem=f"a row of table '{asked.table}' is larger than the server accepts")
    if code:
        _fail_told(answer, asked)
    if status >= 500:
        fail("CON026", where=asked.where, status=status, reason=reason)
    fail("CON027", where=asked.where, problem=f"it answers with status {status}, {reason}")


def _fail_told(answer: Answer, asked: Asked) -> NoReturn:
    code, reason = answer.code, answer.reason
    if code == _NOT_GRANTED:
        fail("DRV020", where=asked.where, user=asked.role, reason=reason)
    if code in _NO_TABLE:
        hint = answer.told.get("hint") or "if it was just created, reload the schema cache of PostgREST"
        fail("DRV012", table=asked.table, path=asked.where, hint=hint)
    if code == _ENDED:
        fail("DRV021", where=asked.where, reason=reason, hint="increase statement_timeout of the role of the key")
    if code == _NO_SPACE:
        fail("DRV022", where=asked.where, reason=reason)
    if code in _NO_SERVER or code[:2] in ("08", "53", "57", "40"):
        fail("CON026", where=asked.where, status=answer.status, reason=reason)
    if asked.writing:
        _fail_write(answer, asked)
    if code in _NO_COLUMN:
        fail("DAT011", step=asked.step, problem=reason)
    fail("DRV013", path=asked.where, problem=f"{reason} ({code})")


def _fail_write(answer: Answer, asked: Asked) -> NoReturn:
    code, reason = answer.code, answer.reason
    if code == _COMPUTED:
        named = _NAMED.search(reason)
        problem = f"its column '{named[1]}' is computed by the server" if named else reason
        hint = "leave the column out of the rows"
        fail("DAT029", step=asked.step, table=asked.table, problem=problem, hint=hint)
    if code in _NO_COLUMN:
        fail("DAT029", step=asked.step, table=asked.table, problem=reason)
    if code == _NO_KEY:
        problem = "it has no PRIMARY KEY or UNIQUE over primary_key"
        hint = "add one to the table, or use another mode"
        fail("DAT029", step=asked.step, table=asked.table, problem=problem, hint=hint)
    if code[:2] in _ROW:
        raise RowsRefused(answer)
    fail("DRV013", path=asked.where, problem=f"{reason} ({code})")
