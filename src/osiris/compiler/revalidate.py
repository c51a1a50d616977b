"""A plan made again from its own content: correct hashes prove that it is whole, not that a compiler made it.

What a person would have written is read back from the plan, goes through the whole compiler, and must come out as the
plan that it was. So every check of a pipeline is one of a plan too, and every leaf is what the compiler makes of the
rest. Three things no pipeline says, and they are taken as they stand: fields of connections, which a run compares with
the project's own, versions of engines, which are compared with those installed, and the columns of steps, which a run
finds out again before it writes a row.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes
from osiris.compiler.compile import compile_pipeline, prepare
from osiris.compiler.context import Context
from osiris.compiler.statements import findings_of, unsteadiness
from osiris.connections import Connections, parse_ref
from osiris.document import Document, Places
from osiris.errors import Location, OsirisError
from osiris.model import Described, schema_from_json
from osiris.oml.validate import validate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from osiris.compiler.context import Prepared
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.registry import Registry

_APART = ("osiris", "steps", "leaves", "hash", "fingerprint")
"""Keys that are compared by other means: hashes follow from all others, and another version of ours may be allowed."""


def recheck(data: Mapping[str, JsonValue], registry: Registry, root: Path, changed: Collection[str] = ()) -> list[str]:
    """Return the places of a whole manifest that the compiler does not make of it now, each with the reason.

    `root` is the project's folder. `changed` are components that are allowed to be others than the plan's: what they
    make of a step may differ, and is refused only if the compiler would refuse it.
    """
    try:
        prepared = _prepared(data, registry, root)
    except OsirisError as error:
        errors = [item for item in error.diagnostics if item.severity == "error"]
        return [f"{_leaf(data, item.location.pointer or '')} ({item.code} {item.message})" for item in errors]
    native = set(chain.from_iterable(step["fused"] for step in data["steps"]))
    remade = compile_pipeline(prepared, {step["id"]: _described(step, native) for step in data["steps"]}).data
    places = list(_others("", data, remade))
    for step, again in zip(data["steps"], remade["steps"], strict=True):
        places += _others(f"steps/{step['id']}/", step, again) if step["component"] not in changed else ()
    return places


def lint_plan(data: Mapping[str, JsonValue], registry: Registry) -> list[Diagnostic]:
    """Return a warning for all in a verified manifest that may give another result in another run over equal data.

    Their places are the steps: a plan has no file with lines.
    """
    prepared = _prepared(data, registry, Path())
    ctx = Context(prepared.pipeline, registry, Connections(_declared(data)), Path())
    described = {step["id"]: _described(step, ()) for step in data["steps"]}
    warnings: list[Diagnostic] = []
    for step, spec, name in ctx.statements():
        problems = unsteadiness(findings_of(ctx, step, spec, name), step, described)
        warnings += [replace(problem, location=Location(f"step {step.id}")) for problem in problems]
    return warnings


def _prepared(data: Mapping[str, JsonValue], registry: Registry, root: Path) -> Prepared:
    """Return what a pipeline of the plan's content is before its steps are described; raises its problems."""
    document = Document(_document(data, registry), Places("plan"), Places("plan"), "plan")
    pipeline, _ = validate(document, registry, params={}, env={}, profile=None, defaults={})
    prepared, _ = prepare(pipeline, registry, Connections(_declared(data)), root)
    return replace(prepared, engines={name: data["engines"].get(name, "") for name in prepared.engines})


def _document(data: Mapping[str, JsonValue], registry: Registry) -> dict[str, JsonValue]:
    """Return the pipeline as a person would write it, with everything explicit."""
    own = data["pipeline"]
    gives = {step["id"]: registry.get(step["component"]).output for step in data["steps"]}
    told = {key: own[key] for key in ("description", "metadata") if key in own}
    return {
        **own.get("extensions", {}),
        **told,
        "oml_version": own["oml_version"],
        "name": own["name"],
        "params": {
            **{name: _param(value) for name, value in data["params"].items()},
            **{name: {"sensitive": True} for name in data["sensitive"]},
        },
        "steps": [_step(step, gives) for step in data["steps"]],
    }


def _param(value: JsonValue) -> JsonValue:
    """Return the declaration of a parameter that has a value."""
    if isinstance(value, list):
        return {"type": "list", "default": [_number(item) for item in value]}
    return {"default": _number(value)}


def _number(value: JsonValue) -> JsonValue:
    """Return a value, also of one that stands in an object because JSON cannot carry it."""
    text = value.get("number") if isinstance(value, dict) and len(value) == 1 else None
    with suppress(ValueError):
        return float(text) if isinstance(text, str) else value
    return value


def _step(step: Mapping[str, JsonValue], gives: Mapping[str, bool]) -> dict[str, JsonValue]:
    connection = {"connection": step["connection"]} if step["connection"] is not None else {}
    told = {"description": step["description"]} if "description" in step else {}
    # Names that are those of the steps themselves are what 'needs' alone gives, whatever these look like.
    implied = {name: name for name in step["needs"] if gives.get(name)}
    inputs = {} if step["inputs"] == implied else {"inputs": {n: f"@{source}" for n, source in step["inputs"].items()}}
    return {
        **step.get("extensions", {}),
        **told,
        **inputs,
        **{key: step[key] for key in ("id", "component", "mode", "needs")},
        "config": {**step["config"], **connection},
    }


def _declared(data: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    """Return the plan's connections as a file declares them, by family and alias."""
    declared: dict[str, dict[str, JsonValue]] = {}
    for text, fields in data["connections"].items():
        with suppress(OsirisError):
            ref = parse_ref(text)
            if ref.alias:
                declared.setdefault(ref.family, {})[str(ref.alias)] = fields
    return declared


def _described(step: Mapping[str, JsonValue], native: Collection[str]) -> Described:
    """Return what a step said of itself; of a source that an engine is to read by itself, that it can."""
    schema = None if step["schema"] is None else schema_from_json(step["schema"])
    names = tuple(column.name for column in schema or ()) if step["id"] in native else None
    return Described(schema, step["order"], native=names)


def _others(prefix: str, value: Mapping[str, JsonValue], again: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the paths at which two mappings differ; lists are compared as one."""
    for key in sorted({*value, *again}.difference(() if "/config/" in prefix else _APART)):
        one, other = value.get(key), again.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _others(f"{prefix}{key}/", one, other)
        elif key not in value or key not in again or canonical_bytes(one) != canonical_bytes(other):
            yield f"{prefix}{key} (the compiler makes another value of the rest)"


def _leaf(data: Mapping[str, JsonValue], pointer: str) -> str:
    """Return the path of a pointer, with the id of a step instead of its index."""
    parts = pointer.split("/")[1:]
    if len(parts) > 1 and parts[0] == "steps":
        parts[1] = data["steps"][int(parts[1])]["id"]
    elif parts[0] == "params" and parts[1:2] and parts[1] in data["sensitive"]:
        parts[:2] = "sensitive", str(data["sensitive"].index(parts[1]))
    elif parts[0] != "params":
        parts.insert(0, "pipeline")
    return "/".join(parts).replace("/config/connection", "/connection")
