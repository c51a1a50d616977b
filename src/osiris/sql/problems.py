"""What DuckDB's errors mean to us: told apart by their type, never by their words.

The engine reports errors as JSON, also where pyarrow carries them as an OSError of its own.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import duckdb
import pyarrow as pa

from osiris.errors import diagnostic, nearest
from osiris.sql.text import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue, Schema

ENGINE_ERRORS = (duckdb.Error, pa.ArrowException, OSError)

Kind = Literal["interrupted", "memory", "other"]

_KINDS: dict[str, Kind] = {"INTERRUPT": "interrupted", "Out of Memory": "memory"}
_ABOUT_DATA = frozenset(
    {"Binder", "Catalog", "Constraint", "Conversion", "Invalid Input", "Invalid Type", "Out of Range"}
)
_LENGTH = 300
_DOTTED = re.compile(r'(?:(?:\w+|"(?:[^"]|"")+")\.)+(?:(?P<plain>\w+)|"(?P<quoted>(?:[^"]|"")+)")')


def details(error: Exception) -> dict[str, JsonValue]:
    """Return the fields of an engine error; none if it is of another kind."""
    _, found, body = str(error).partition(": {")
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
    return diagnostic(code, at=place(text, _offset(text, told, shift)), problem=problem)


def misfit(error: Exception, text: str, inputs: Mapping[str, Schema], shift: int) -> Diagnostic:
    """Return why a query does not fit its inputs, with the column that was probably meant."""
    told = details(error)
    columns = {field.name for schema in inputs.values() for field in schema}
    if told.get("error_subtype") != "COLUMN_NOT_FOUND":
        name = _qualified(text, told, shift)
        near = None if name in columns else nearest(name, columns)
        hint = f"did you mean '{near}'?" if near else None
        return replace(runtime_problem(error, text, "SQL009", shift), hint=hint)
    name = str(told.get("name", ""))
    near = nearest(name, columns)
    listed = f"columns: {', '.join(sorted(columns))}"[:_LENGTH] if columns else None
    hint = f"did you mean '{near}'?" if near else listed
    at = place(text, _offset(text, told, shift))
    return diagnostic("SQL009", at=at, hint=hint, problem=f"there is no column '{name}'")


def _qualified(text: str, told: Mapping[str, JsonValue], shift: int) -> str:
    """Return the last part of the dotted name at the place of an error; nothing if no such name stands there.

    Of a column behind a table's name the engine tells no name and no subtype, only where it begins and its length.
    """
    place_ = re.fullmatch(r"\[(\d+),(\d+)\]", str(told.get("location", "")))
    if not place_:
        return ""
    begin, length = int(place_[1]) - shift, int(place_[2])
    found = _DOTTED.fullmatch(text.encode()[max(0, begin) : begin + length].decode(errors="ignore"))
    return (found["plain"] or found["quoted"].replace('""', '"')) if found else ""


def _offset(text: str, told: Mapping[str, JsonValue], shift: int) -> int | None:
    """Return the place of an error as an offset in characters; the engine counts bytes."""
    position = str(told.get("position", ""))
    if not position.isdigit():
        return None
    return len(text.encode()[: max(0, int(position) - shift)].decode(errors="ignore"))
