"""What DuckDB's errors mean to us: told apart by their type, never by their words.

The engine reports errors as JSON, also where pyarrow carries them as an OSError of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import duckdb
import pyarrow as pa

from osiris.errors import diagnostic
from osiris.sql.safety.text import place

if TYPE_CHECKING:
    from osiris.errors import Diagnostic
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
    _, found, body = str(error).partition("{")
    try:
        told: JsonValue = json.loads("{" + body) if found else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def kind_of(error: Exception) -> Kind:
    """Tell whether an engine error says that it was interrupted, that memory ran out, or something else."""
    return _KINDS.get(str(details(error).get("exception_type")), "other")


def runtime_problem(error: Exception, text: str, code: str = "SQL011", shift: int = 0) -> Diagnostic:
    """Return what to say about an engine error; only errors about data are quoted.

    `shift` is the number of bytes that stood before the text in what the engine was given.
    """
    told = details(error)
    kind = str(told.get("exception_type") or type(error).__name__)
    message = " ".join(str(told.get("exception_message", "")).split("\n", 1)[0].split())[:_LENGTH]
    problem = message if kind in _ABOUT_DATA and message else f"the engine gave up ({kind})"
    return diagnostic(code, at=place(text, error_offset(error, text, shift)), problem=problem)


def error_offset(error: Exception, text: str, shift: int = 0) -> int | None:
    """Return the place of an engine error as an offset in characters, None if it tells none; the engine counts bytes.

    Of a subquery the engine names the parenthesis before it; here it is its first word.
    """
    position = str(details(error).get("position", ""))
    if not position.isdigit():
        return None
    offset = len(text.encode()[: max(0, int(position) - shift)].decode(errors="ignore"))
    return len(text) - len(text[offset:].lstrip("( \n"))
