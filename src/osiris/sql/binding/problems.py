"""Meaning of DuckDB's errors: classified by type, never by message.

The engine reports errors as JSON, even when pyarrow wraps them in an OSError.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import duckdb
import pyarrow as pa

from osiris.errors import diagnostic
from osiris.sql.safety.text import place

if TYPE_CHECKING:
    from osiris.errors import Diagnostic, Location
    from osiris.model import JsonValue

ENGINE_ERRORS = (duckdb.Error, pa.ArrowException, OSError)

Kind = Literal["interrupted", "memory", "other"]

_KINDS: dict[str, Kind] = {"INTERRUPT": "interrupted", "Out of Memory": "memory"}
_ABOUT_DATA = frozenset(
    {"Binder", "Catalog", "Constraint", "Conversion", "Invalid Input", "Invalid Type", "Out of Range"}
)
_LENGTH = 300


def details(error: Exception) -> dict[str, JsonValue]:
    """Return the fields of an engine error; none if it is of another kind."""
    _, brace, body = str(error).partition("{")
    try:
        fields: JsonValue = json.loads("{" + body) if brace else {}
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def kind_of(error: Exception) -> Kind:
    """Classify an engine error: interrupted, out of memory, or other."""
    return _KINDS.get(str(details(error).get("exception_type")), "other")


def with_place(error: Exception, column: str) -> Exception:
    """Return an engine error whose message also names a column, or a place in it."""
    fields = details(error)
    message = str(fields["exception_message"]).partition("\n")[0]
    return type(error)(json.dumps({**fields, "exception_message": f"{message} in column '{column}'"}))


def runtime_problem(
    error: Exception, text: str, code: str = "SQL011", shift: int = 0, at: Location | None = None
) -> Diagnostic:
    """Return the diagnostic for an engine error; only errors about data are quoted.

    `shift` is the number of bytes before the text in what the engine was given. `at` is its place, if that is not the
    engine's position in the text.
    """
    fields = details(error)
    kind = str(fields.get("exception_type") or type(error).__name__)
    message = " ".join(str(fields.get("exception_message", "")).split("\n", 1)[0].split())[:_LENGTH]
    problem = message if kind in _ABOUT_DATA and message else f"the engine gave up ({kind})"
    return diagnostic(code, at=at or place(text, error_offset(error, text, shift)), problem=problem)


def error_offset(error: Exception, text: str, shift: int = 0) -> int | None:
    """Return the position of an engine error as an offset in characters (the engine counts bytes), None without one.

    For a subquery the engine gives the parenthesis before it; here it is the first word inside.
    """
    position = str(details(error).get("position", ""))
    if not position.isdigit():
        return None
    offset = len(text.encode()[: max(0, int(position) - shift)].decode(errors="ignore"))
    return len(text) - len(text[offset:].lstrip("( \n"))
