"""Errors in PostgREST's form: a status, and a JSON object of code, message, details and hint."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import psycopg

# https://docs.postgrest.org/en/stable/references/errors.html; the first that fits counts
_STATUS = (
    ("08", 503),
    ("09", 500),
    ("0L", 403),
    ("0P", 403),
    ("23503", 409),
    ("23505", 409),
    ("25006", 405),
    ("25", 500),
    ("28", 403),
    ("2D", 500),
    ("38", 500),
    ("39", 500),
    ("3B", 500),
    ("40", 500),
    ("53400", 500),
    ("53", 503),
    ("54", 500),
    ("55", 500),
    ("57P01", 503),
    ("57", 500),
    ("58", 500),
    ("F0", 500),
    ("HV", 500),
    ("P0001", 400),
    ("P0", 500),
    ("XX", 500),
    ("42883", 404),
    ("42P01", 404),
    ("42P17", 500),
)


@dataclass
class ApiError(Exception):
    """An error of PostgREST."""

    status: int
    code: str
    message: str
    details: object = None
    hint: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        texts = {"code": self.code, "details": self.details, "hint": self.hint, "message": self.message}
        return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass
class Refused(Exception):
    """An error of the gateway in front of PostgREST, which has no codes."""

    status: int
    message: str
    hint: str | None = None

    def body(self) -> bytes:
        texts = {"message": self.message} | ({"hint": self.hint} if self.hint else {})
        return json.dumps(texts, separators=(",", ":")).encode()


def unparsable(what: str, text: str, details: str) -> ApiError:
    """A part of the query string that cannot be parsed."""
    return ApiError(400, "PGRST100", f'"failed to parse {what} ({text})" (line 1, column 1)', details)


def invalid_body(message: str) -> ApiError:
    return ApiError(400, "PGRST102", message)


def unknown_column(table: str, column: str) -> ApiError:
    message = f"Could not find the '{column}' column of '{table}' in the schema cache"
    return ApiError(400, "PGRST204", message)


def of_database(error: psycopg.Error, *, method: str, schema: str, role: str, anonymous: str) -> ApiError:
    """Return PostgREST's error for an error of the database, in a request that ran as the role."""
    told = error.diag
    code = told.sqlstate
    if code is None and isinstance(error, psycopg.DataError):  # our client looks before it sends
        return ApiError(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    if code is None:
        return ApiError(503, "PGRST001", "Database client error. Retrying the connection.", str(error))
    message = told.message_primary or ""
    made = ApiError(_status(code, message), code, message, told.message_detail, told.message_hint)
    if code == "42501":
        made.status = 401 if role == anonymous else 403
        made.hint = made.hint or _grant(message, method, schema, role)
    if made.status == 401:
        made.headers["WWW-Authenticate"] = "Bearer"
    return made


def _status(code: str, message: str) -> int:
    if code == "21000":
        return 400 if message.endswith("requires a WHERE clause") else 500
    if code == "22023" and message.startswith("role") and message.endswith("does not exist"):
        return 401
    if code.startswith("PT") and code[2:].isdigit():
        return int(code[2:])
    return next((status for prefix, status in _STATUS if code.startswith(prefix)), 400)


def _grant(message: str, method: str, schema: str, role: str) -> str | None:
    """Return the hint that hosted projects give since 2026 for a table without a grant; observed for reads only."""
    found = re.fullmatch(r"permission denied for (?:table|view) (.+)", message)
    if not found or method not in ("GET", "HEAD"):
        return None
    wanted = f"GRANT SELECT ON {schema}.{found[1]} TO {role};"
    return f"Grant the required privileges to the current role with: {wanted}"
