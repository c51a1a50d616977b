"""The exact keys and types of a manifest: what is not described here does not stand in one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from osiris.model import JsonValue, Manifest

if TYPE_CHECKING:
    from pathlib import Path

Shape = Callable[[JsonValue, str], Iterator[tuple[str, str]]]
"""Takes a value and its path, gives (path, problem) for everything that is not as it must be."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def _scalar(what: str, test: Callable[[JsonValue], bool]) -> Shape:
    def check(value: JsonValue, at: str) -> Iterator[tuple[str, str]]:
        if not test(value):
            yield at, f"is not {what}"

    return check


def _listed(item: Shape) -> Shape:
    def check(value: JsonValue, at: str) -> Iterator[tuple[str, str]]:
        if not isinstance(value, list):
            yield at, "is not a list"
            return
        for index, element in enumerate(value):
            yield from item(element, f"{at}/{index}")

    return check


def _mapped(item: Shape) -> Shape:
    def check(value: JsonValue, at: str) -> Iterator[tuple[str, str]]:
        if not isinstance(value, dict):
            yield at, "is not an object"
            return
        for key, element in value.items():
            yield from item(element, f"{at}/{key}")

    return check


def _record(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    known = {**required, **(optional or {})}

    def check(value: JsonValue, at: str) -> Iterator[tuple[str, str]]:
        if not isinstance(value, dict):
            yield at, "is not an object"
            return
        prefix = f"{at}/" if at else ""
        yield from ((f"{prefix}{key}", "is missing") for key in sorted(required.keys() - value.keys()))
        for key in sorted(value):
            if key in known:
                yield from known[key](value[key], f"{prefix}{key}")
            else:
                yield f"{prefix}{key}", "is not known"

    return check


def _one_of(*choices: str | int | None) -> Shape:
    return _scalar(f"one of {choices}", lambda value: any(value is c or value == c for c in choices))


def _or_null(shape: Shape) -> Shape:
    return lambda value, at: iter(()) if value is None else shape(value, at)


_text = _scalar("text", lambda value: isinstance(value, str))
_flag = _scalar("true or false", lambda value: isinstance(value, bool))
_digest = _scalar("a SHA-256", lambda value: isinstance(value, str) and bool(_DIGEST.fullmatch(value)))
_anything = _scalar("a value", lambda _value: True)
_object = _mapped(_anything)
_field = _record({"name": _text, "type": _text, "nullable": _flag})

_step = _record(
    {
        "id": _text,
        "component": _text,
        "version": _text,
        "spec": _digest,
        "mode": _one_of("read", "transform", "write"),
        "config": _object,
        "sql": _mapped(_text),
        "connection": _or_null(_text),
        "needs": _listed(_text),
        "inputs": _mapped(_text),
        "delivery": _one_of(None, "exactly_once", "atomic_replace", "idempotent_by_key", "at_least_once"),
        "schema": _or_null(_listed(_field)),
        "order": _one_of("fixed", "free"),
        "lineage": _or_null(_record({"columns": _mapped(_listed(_listed(_text))), "rows": _listed(_listed(_text))})),
        "fused": _listed(_text),
        "leaves": _record(
            {
                "about": _digest,
                "component": _digest,
                "config": _digest,
                "inputs": _digest,
                "schema": _digest,
                "sql": _or_null(_digest),
            }
        ),
        "hash": _digest,
    },
    {"description": _text, "extensions": _object},
)

_manifest = _record(
    {
        "manifest_version": _scalar("1", lambda value: value == 1 and not isinstance(value, bool)),
        "osiris": _text,
        "engines": _mapped(_text),
        "pipeline": _record(
            {"name": _text, "oml_version": _text},
            {"description": _text, "metadata": _anything, "extensions": _object},
        ),
        "params": _object,
        "sensitive": _listed(_text),
        "connections": _mapped(_object),
        "steps": _listed(_step),
        "leaves": _record(
            {"params": _digest, "compiler": _digest, "engines": _digest, "connections": _digest, "pipeline": _digest}
        ),
        "fingerprint": _digest,
    }
)


def shape_problems(data: JsonValue) -> list[tuple[str, str]]:
    """Return (path, problem) for every key that is missing or unknown and every value of another type."""
    return list(_manifest(data, ""))


def read_shaped(path: Path) -> Manifest | None:
    """Return the manifest that a file holds, to tell of it and not to run it; None if it is gone or has another shape.

    Whether it is what its fingerprint says is not looked at.
    """
    try:
        data = json.loads(path.read_bytes())
        return None if shape_problems(data) else Manifest(data)
    except (OSError, ValueError, RecursionError):
        return None
