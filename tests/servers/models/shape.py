"""Checks that all formats share: fields of a request, schemas of structured output, calls and their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jsonschema import ValidationError

TEXT = {"type": "string", "minLength": 1}
OBJECT = {"type": "object"}


@dataclass
class Rejected(Exception):
    """The service rejects the request; `field` and `code` if the provider has names for them."""

    status: int
    message: str
    field: str | None = None
    code: str | None = None

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


class Misfit(NamedTuple):
    """What is wrong with a request: `missing`, `unknown` or `invalid`, where (like `messages[0].role`), and why."""

    kind: str
    where: str
    why: str


class Turn(NamedTuple):
    """The names of the calls that one message makes, and of the calls whose results it has."""

    calls: frozenset[str]
    results: frozenset[str]


def fields(required: dict[str, Any], optional: str) -> dict[str, Any]:
    """Return the schema of a request: these fields, and the optional ones (words), but no others."""
    known = dict.fromkeys(optional.split(), True) | required
    return {"type": "object", "required": list(required), "properties": known, "additionalProperties": False}


def listed(*, least: int = 0, **properties: Any) -> dict[str, Any]:
    """Make the schema of a list of objects that have at least these fields."""
    inner = {"type": "object", "required": list(properties), "properties": properties}
    return {"type": "array", "minItems": least, "items": inner}


def misfit(shape: dict[str, Any], body: Any) -> Misfit | None:
    """Return the first difference between a request and its schema."""
    found = sorted(Draft202012Validator(shape).iter_errors(body), key=lambda error: (len(error.path), error.message))
    return _told(found[0]) if found else None


def _told(error: ValidationError) -> Misfit:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path)
    kind, more = "invalid", ""
    if error.validator == "required":
        kind, more = "missing", next(f".{name}" for name in error.validator_value if name not in error.instance)
    elif error.validator == "additionalProperties":
        known = error.schema["properties"]
        kind, more = "unknown", next(f".{name}" for name in error.instance if name not in known)
    return Misfit(kind, (where + more).lstrip("."), error.message)


def open_objects(schema: Any, *, all_required: bool = False, where: str = "") -> Iterator[tuple[str, str]]:
    """Return all objects of a schema that are not closed, as (where, which keyword); strict modes need closed ones."""
    if isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from open_objects(inner, all_required=all_required, where=f"{where}/{number}")
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield where, "additionalProperties"
    if all_required and isinstance(properties, dict) and set(properties) - set(schema.get("required", ())):
        yield where, "required"
    for name, inner in schema.items():
        if name not in ("enum", "const", "default", "examples", "required"):
            yield from open_objects(inner, all_required=all_required, where=f"{where}/{name}")


def unpaired(turns: Iterable[Turn]) -> tuple[str, str] | None:
    """Return the first call without a result (`open`), or result without a call (`stray`), with its name."""
    waiting: frozenset[str] = frozenset()
    for turn in turns:
        if turn.results - waiting:
            return "stray", min(turn.results - waiting)
        if waiting and not turn.results:
            return "open", min(waiting)
        waiting = waiting - turn.results | turn.calls
    return ("open", min(waiting)) if waiting else None
