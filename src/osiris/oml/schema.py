"""JSON Schema errors in our own words: place, key and rule, and never a value that could be a secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from osiris.document import Document, join, kind_of
from osiris.errors import Diagnostic, diagnostic, did_you_mean
from osiris.secret import literal_secret_kind

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

    from osiris.model import JsonValue

_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def schema_validator(schema: Mapping[str, JsonValue]) -> Any:  # noqa: ANN401 - jsonschema has no public base class
    """Return a validator for a schema; make one per schema, not one per value."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema)


def schema_problems(
    validator: Any,  # noqa: ANN401
    value: JsonValue,
    document: Document,
    pointer: str,
    *,
    aliases: Mapping[str, list[str]] | None = None,
) -> Iterator[Diagnostic]:
    """Yield everything that a value breaks of a schema; `pointer` is where it stands in the document."""
    for error in validator.iter_errors(value):
        yield from _explain(error, document, pointer, aliases or {})


def _explain(
    error: ValidationError, document: Document, base: str, aliases: Mapping[str, list[str]]
) -> Iterator[Diagnostic]:
    pointer = base
    for part in error.absolute_path:
        pointer = join(pointer, part)
    rule = str(error.validator)
    if rule == "required":
        yield _missing(error, document, pointer)
    elif rule == "additionalProperties" and isinstance(error.instance, dict):
        yield from _unknown(error, document, pointer, aliases)
    else:
        yield _RULES.get(rule, _other)(error, document, pointer)


def _missing(error: ValidationError, document: Document, pointer: str) -> Diagnostic:
    key = next(k for k in error.validator_value if f"{k!r} is a required" in error.message)
    return diagnostic("OML003", at=document.where(pointer), key=key, where=_name(pointer, document))


def _unknown(
    error: ValidationError, document: Document, pointer: str, aliases: Mapping[str, list[str]]
) -> Iterator[Diagnostic]:
    known = list(error.schema.get("properties", ()))
    prefixes = tuple(p.lstrip("^") for p in error.schema.get("patternProperties", ()))
    by_alias = {alias: key for key, names in aliases.items() for alias in names}
    for key in error.instance:
        if key in known or (prefixes and key.startswith(prefixes)):
            continue
        hint = f"did you mean '{by_alias[key]}'?" if key in by_alias else did_you_mean(key, known)
        at = document.where_key(join(pointer, key))
        yield diagnostic("OML002", at=at, hint=hint, key=key, where=_name(pointer, document))


def _wrong_type(error: ValidationError, document: Document, pointer: str) -> Diagnostic:
    wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    expected = " or ".join(_KINDS[kind] for kind in wanted)
    found = kind_of(error.instance)
    return diagnostic("OML006", at=document.where(pointer), key=_key(pointer), expected=expected, found=found)


def _not_one_of(error: ValidationError, document: Document, pointer: str) -> Diagnostic:
    allowed = [json.dumps(value) for value in error.validator_value]
    near = did_you_mean(str(error.instance), [str(v) for v in error.validator_value])
    shown = _shown(_key(pointer), error.instance)
    return diagnostic("OML005", at=document.where(pointer), hint=near, value=shown, allowed=", ".join(allowed))


def _other(error: ValidationError, document: Document, pointer: str) -> Diagnostic:
    phrase = _PHRASES.get(str(error.validator), "does not have an allowed form")
    problem = phrase.format(limit=error.validator_value)
    return diagnostic("OML028", at=document.where(pointer), key=_key(pointer), problem=problem)


def _wrong_name(error: ValidationError, document: Document, pointer: str) -> Diagnostic:
    """Names have a code of their own, for pipelines, steps, components and parameters."""
    place = document.where(pointer)
    shown = _shown(_key(pointer), error.instance)
    if _key(pointer) in ("name", "id", "component"):
        return diagnostic("OML014", at=place, what=_key(pointer), value=shown.strip('"'), pattern=error.validator_value)
    return diagnostic("OML028", at=place, key=_key(pointer), problem=f"must match {error.validator_value}")


_RULES: dict[str, Callable[[ValidationError, Document, str], Diagnostic]] = {
    "type": _wrong_type,
    "enum": _not_one_of,
    "pattern": _wrong_name,
}
_PHRASES = {
    "const": "must be {limit}",
    "minimum": "must be at least {limit}",
    "maximum": "must be at most {limit}",
    "exclusiveMinimum": "must be more than {limit}",
    "exclusiveMaximum": "must be less than {limit}",
    "minLength": "must have at least {limit} characters",
    "maxLength": "must have at most {limit} characters",
    "minItems": "must have at least {limit} entries",
    "maxItems": "must have at most {limit} entries",
    "uniqueItems": "names something twice",
    "minProperties": "must have at least {limit} entries",
}


def _key(pointer: str) -> str:
    return pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~") or "the file"


def _name(pointer: str, document: Document) -> str:
    """Return what a mapping is called: the file, a step by its id, or its key."""
    if not pointer:
        return "the file"
    parts = pointer.split("/")[1:]
    if parts[0] == "steps" and len(parts) > 1:
        step = document.data["steps"][int(parts[1])]
        name = step.get("id") if isinstance(step, dict) else None
        name = f"step '{name}'" if isinstance(name, str) else f"step {int(parts[1]) + 1}"
        return name if len(parts) == 2 else f"'{'.'.join(parts[2:])}' of {name}"
    return f"'{'.'.join(parts)}'"


def _shown(key: str, value: JsonValue) -> str:
    if isinstance(value, str) and literal_secret_kind(key, value):
        return "this value"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
