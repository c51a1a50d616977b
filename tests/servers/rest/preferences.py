"""The request's headers: `Prefer`, `Accept`, `Range`, and the payload with its type."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import ApiError, invalid_body
from .statements import Payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .query import Query

_KNOWN = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "missing": ("default", "null"),
    "handling": ("strict", "lenient"),
}
_APPLIED = {
    "GET": ("count", "handling", "timezone"),
    "POST": ("resolution", "missing", "return", "count", "handling", "timezone"),
    "PATCH": ("missing", "return", "count", "handling", "timezone", "max-affected"),
    "DELETE": ("return", "count", "handling", "timezone", "max-affected"),
}
_OBJECT, _ARRAY = "application/vnd.pgrst.object+json", "application/vnd.pgrst.array+json"
_FORMS = {
    "*/*": "array",
    "application/*": "array",
    "application/json": "array",
    _ARRAY: "array",
    _OBJECT: "object",
    "application/vnd.pgrst.object": "object",
    "text/csv": "csv",
    "text/*": "csv",
}
_TYPES = {"array": "application/json", "object": _OBJECT, "csv": "text/csv"}


@dataclass(frozen=True)
class Preferences:
    """The supported preferences, by name."""

    given: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        return self.given.get(name)

    @property
    def strict(self) -> bool:
        return self.given.get("handling") == "strict"

    @property
    def most(self) -> int | None:
        """The maximum number of rows that a write may affect."""
        return int(self.given["max-affected"]) if self.strict and "max-affected" in self.given else None

    def applied(self, method: str) -> dict[str, str]:
        names = [name for name in _APPLIED[method] if name in self.given]
        shown = ", ".join(f"{name}={self.given[name]}" for name in names)
        return {"Preference-Applied": shown} if shown else {}


@dataclass(frozen=True)
class Form:
    """The form of the answer: `array`, `object` or `csv`, and whether nulls are left out of objects."""

    name: str
    stripped: bool

    @property
    def type(self) -> str:
        kind = _TYPES[self.name] if not (self.stripped and self.name == "array") else _ARRAY
        return f"{kind}{';nulls=stripped' if self.stripped else ''}; charset=utf-8"


def parse_preferences(header: str, zones: set[str]) -> Preferences:
    """Parse `Prefer`. `tx=` is not allowed by default, and is ignored like any unknown preference."""
    given: dict[str, str] = {}
    invalid = []
    for text in filter(None, (part.strip() for part in header.split(","))):
        name, _, value = text.partition("=")
        fits = value in _KNOWN.get(name, ()) or (name == "timezone" and value in zones)
        if fits or (name == "max-affected" and value.isdigit()):
            given.setdefault(name, value)
        elif not (name == "count" and value == "none"):
            invalid.append(text)
    if invalid and given.get("handling") == "strict":
        details = f"Invalid preferences: {', '.join(invalid)}"
        raise ApiError(400, "PGRST122", "Invalid preferences given with handling=strict", details)
    return Preferences(given)


def parse_form(header: str) -> Form:
    """Choose the first form that the client accepts and that is supported."""
    for text in (header or "*/*").split(","):
        kind, *parameters = (part.strip() for part in text.split(";"))
        if kind in _FORMS:
            return Form(_FORMS[kind], "nulls=stripped" in parameters)
    raise ApiError(406, "PGRST107", f"None of these media types are available: {header}")


def apply_range(header: str | None, query: Query) -> None:
    """Apply the header `Range`, of which only `first-last` counts."""
    found = re.fullmatch(r"(\d+)-(\d*)", header or "")
    if not found:
        return
    first, last = int(found[1]), int(found[2]) if found[2] else None
    if last is not None and last < first:
        told = "The lower boundary must be lower than or equal to the upper boundary in the Range header."
        raise ApiError(416, "PGRST103", "Requested range not satisfiable", told)
    ends = [] if query.limit is None else [query.offset + query.limit]
    ends += [] if last is None else [last + 1]
    query.offset = max(query.offset, first)
    query.limit = max(min(ends) - query.offset, 0) if ends else None


def parse_payload(body: bytes, headers: Mapping[str, str], query: Query, *, defaults: bool) -> Payload:
    """Parse the rows of a body; the database parses them again, so it sees the original numbers."""
    kind = headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind == "text/csv":
        rows = _rows_of_csv(body.decode())
        return Payload(json.dumps(rows), query.columns or list(rows[0] if rows else {}), len(rows), defaults)
    if kind not in ("application/json", _OBJECT, _ARRAY):
        raise invalid_body(f"Content-Type not acceptable: {kind}")
    text = body.decode("utf-8", "replace")
    read = parse_json(text)
    rows = read if isinstance(read, list) else [read]
    if query.columns:
        return Payload(text, query.columns, len(rows), defaults)
    names = [set(row) if isinstance(row, dict) else None for row in rows]
    if any(name != names[0] or name is None for name in names):
        raise invalid_body("All object keys must match")
    return Payload(text, list(rows[0]) if rows else [], len(rows), defaults)


def parse_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise invalid_body("Empty or invalid json") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _rows_of_csv(text: str) -> list[dict[str, str | None]]:
    lines = list(csv.reader(io.StringIO(text)))
    if any(len(line) != len(lines[0]) for line in lines):
        raise invalid_body("All lines must have same number of fields")
    return [
        {key: None if cell == "NULL" else cell for key, cell in zip(lines[0], line, strict=True)} for line in lines[1:]
    ]
