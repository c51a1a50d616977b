"""Map errors of PostgREST and proxies to diagnostics, by status and code (PostgREST's reference "Errors")."""

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

_ROLLED_BACK = ("40001", "40P01")
"""The database rolled back for a concurrent transaction: a retry can succeed."""

_BAD_TOKEN = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
_NO_TABLE = ("PGRST205", "PGRST106", "42P01", "3F000")
_NO_COLUMN = ("PGRST204", "42703")
_NO_KEY, _COMPUTED, _NOT_GRANTED, _ENDED, _NO_SPACE = "42P10", "428C9", "42501", "57014", "53100"
_COLUMN = re.compile(r'column "(.+?)"')
"""The column named in an error message."""
_MINUS_ZERO = re.compile(rb"-0[],}\s]")
_ROW = ("21", "22", "23", "44", "P0")
_UNCERTAIN = frozenset((408, 502, 503, 504, *range(520, 528)))
"""Statuses after which it is unknown whether the request was executed."""

_SHOWN = 200
_PHRASES = {int(status): status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return 200 <= self.status < 300

    def rows(self, where: str) -> list[dict[str, JsonValue]]:
        """Return the rows of the body, numbers as Decimal or int; fails with CON027 if it is not a list of objects."""
        rows = self.document(where)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            fail("CON027", where=where, problem="the response is not a list of rows")
        return rows

    def document(self, where: str) -> JsonValue:
        """Return the body as JSON; fails with CON027 if it is not JSON."""
        signed = _signed if _MINUS_ZERO.search(self.body) else None
        try:
            return json.loads(self.body, parse_float=Decimal, parse_int=signed)
        except ValueError:
            kind = self.headers.get("content-type", "no content type").partition(";")[0]
            fail("CON027", where=where, problem=f"the response is not JSON but {kind}")

    @property
    def count(self) -> int | None:
        """The total number of rows, if it was requested and returned."""
        total = self.headers.get("content-range", "").rpartition("/")[2]
        return int(total) if total.isdecimal() else None

    @property
    def error(self) -> dict[str, str]:
        """The fields of an error: code, message, details, hint."""
        try:
            document = json.loads(self.body)
        except ValueError:
            document = None
        parts = document if isinstance(document, dict) else {}
        return {name: str(value)[:_SHOWN] for name, value in parts.items() if value is not None}

    @property
    def code(self) -> str:
        """PostgREST's code, or the SQLSTATE; empty if there is neither."""
        return self.error.get("code", "")

    @property
    def reason(self) -> str:
        """The error message, or the status' phrase if there is none."""
        error = self.error
        message = error.get("message") or error.get("msg") or error.get("error")
        return message or _PHRASES.get(self.status, "no reason given")


def _signed(text: str) -> int | Decimal:
    """Parse an integer; -0 becomes a Decimal, as an int would lose the sign of a float."""
    return Decimal(text) if text == "-0" else int(text)


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What messages about a request need: the step, the server's name, the role, the table, and if it wrote rows."""

    step: str
    where: str
    role: str
    table: str
    writing: bool = False


class RowsRefused(Exception):
    """The table rejected rows of a request; none of them was written."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


def is_retryable(answer: Answer, *, safe: bool) -> bool:
    """Whether a failed request can be retried: nothing was done, or it is idempotent (`safe`)."""
    undone = answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.code in (*_NO_SERVER, *_ROLLED_BACK)
    return undone or (safe and answer.status in _UNCERTAIN)


def retry_after(answer: Answer) -> float | None:
    """Return the seconds of the Retry-After header; None if there is none."""
    text = answer.headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except ValueError:
        return None


def fail_answer(answer: Answer, request: RequestInfo) -> NoReturn:
    """Fail with the diagnostic of an error: CON024 to CON027, DAT011, DAT029, DAT034, DRV012 to DRV022.

    Raises RowsRefused if the table rejected rows of the request.
    """
    code, status, reason = answer.code, answer.status, answer.reason
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = retry_after(answer)
        fail("CON025", where=request.where, wait="later" if wait is None else f"in {wait:.0f} s")
    if code in _BAD_TOKEN or (status in (401, 403) and not code):
        fail("CON024", where=request.where, reason=reason)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        fail(
            "DAT034", where=request.where, problem=f"a row of table '{request.table}' is larger than the server accepts"
        )
    if code:
        _fail_code(answer, request)
    if status >= 500:
        fail("CON026", where=request.where, status=status, reason=reason)
    fail("CON027", where=request.where, problem=f"it answers with status {status}, {reason}")


def _fail_code(answer: Answer, request: RequestInfo) -> NoReturn:
    code, reason = answer.code, answer.reason
    if code == _NOT_GRANTED:
        fail("DRV020", where=request.where, user=request.role, reason=reason)
    if code in _NO_TABLE:
        hint = answer.error.get("hint") or "if it was just created, reload the schema cache of PostgREST"
        fail("DRV012", table=request.table, path=request.where, hint=hint)
    if code == _ENDED:
        fail("DRV021", where=request.where, reason=reason, hint="increase statement_timeout of the role of the key")
    if code == _NO_SPACE:
        fail("DRV022", where=request.where, reason=reason)
    if code in _NO_SERVER or code[:2] in ("08", "53", "57", "40"):
        fail("CON026", where=request.where, status=answer.status, reason=reason)
    if request.writing:
        _fail_write(answer, request)
    if code in _NO_COLUMN:
        fail("DAT011", step=request.step, problem=reason)
    fail("DRV013", path=request.where, problem=f"{reason} ({code})")


def _fail_write(answer: Answer, request: RequestInfo) -> NoReturn:
    code, reason = answer.code, answer.reason
    if code == _COMPUTED:
        match = _COLUMN.search(reason)
        problem = f"its column '{match[1]}' is computed by the server" if match else reason
        hint = "leave the column out of the rows"
        fail("DAT029", step=request.step, table=request.table, problem=problem, hint=hint)
    if code in _NO_COLUMN:
        fail("DAT029", step=request.step, table=request.table, problem=reason)
    if code == _NO_KEY:
        problem = "it has no PRIMARY KEY or UNIQUE over primary_key"
        hint = "add one to the table, or use another mode"
        fail("DAT029", step=request.step, table=request.table, problem=problem, hint=hint)
    if code[:2] in _ROW:
        raise RowsRefused(answer)
    fail("DRV013", path=request.where, problem=f"{reason} ({code})")
