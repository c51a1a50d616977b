"""A plan compiled again from its own content: correct hashes prove integrity, not that a compiler made it.

The original pipeline is reconstructed from the plan, compiled, and must give the same plan. So every check of a
pipeline applies to a plan too. Three things are taken as they are: fields of connections, which a run compares with the
project's; engine versions, which are compared with the installed ones; and the columns of steps, which a run determines
again before it writes a row.
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
from osiris.compiler.statements import findings_of, lint_diagnostics
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

_SKIPPED = ("osiris", "steps", "leaves", "hash", "fingerprint")
"""Keys that are compared elsewhere: hashes follow from all others, and another Osiris version may be allowed."""


def recheck(data: Mapping[str, JsonValue], registry: Registry, root: Path, changed: Collection[str] = ()) -> list[str]:
    """Return the places of a verified manifest that the compiler would not reproduce, each with the reason.

    `root` is the project's folder. `changed` are components that may differ from the plan's: their output may differ,
    and is rejected only if the compiler would reject it.
    """
    try:
        prepared = _prepared(data, registry, root)
    except OsirisError as error:
        errors = [item for item in error.diagnostics if item.severity == "error"]
        return [f"{_leaf(data, item.location.pointer or '')} ({item.code} {item.message})" for item in errors]
    native = set(chain.from_iterable(step["fused"] for step in data["steps"]))
    remade = compile_pipeline(prepared, {step["id"]: _described(step, native) for step in data["steps"]}).data
    places = list(_differences("", data, remade))
    for step, rebuilt in zip(data["steps"], remade["steps"], strict=True):
        places += _differences(f"steps/{step['id']}/", step, rebuilt) if step["component"] not in changed else ()
    return places


def lint_plan(data: Mapping[str, JsonValue], registry: Registry) -> list[Diagnostic]:
    """Return a warning for each source of nondeterminism in a verified manifest.

    Locations are steps: a plan has no lines.
    """
    prepared = _prepared(data, registry, Path())
    ctx = Context(prepared.pipeline, registry, Connections(_declared(data)), Path())
    described = {step["id"]: _described(step, ()) for step in data["steps"]}
    warnings: list[Diagnostic] = []
    for step, spec, name in ctx.statements():
        problems = lint_diagnostics(findings_of(ctx, step, spec, name), step, described)
        warnings += [replace(problem, location=Location(f"step {step.id}")) for problem in problems]
    return warnings


def _prepared(data: Mapping[str, JsonValue], registry: Registry, root: Path) -> Prepared:
    """Return the prepared pipeline reconstructed from a plan; raises its problems."""
    document = Document(_document(data, registry), Places("plan"), Places("plan"), "plan")
    pipeline, _ = validate(document, registry, params={}, env={}, profile=None, defaults={})
    pipeline = replace(
        pipeline,
        replicate=tuple(data["pipeline"].get("replicate", ())),
        steps=tuple(
            replace(step, entry=text.get("entry")) for step, text in zip(pipeline.steps, data["steps"], strict=True)
        ),
    )
    prepared, _ = prepare(pipeline, registry, Connections(_declared(data)), root)
    return replace(prepared, engines={name: data["engines"].get(name, "") for name in prepared.engines})


def _document(data: Mapping[str, JsonValue], registry: Registry) -> dict[str, JsonValue]:
    """Return the pipeline as a person would write it, with everything explicit."""
    pipeline = data["pipeline"]
    has_output = {step["id"]: registry.get(step["component"]).output for step in data["steps"]}
    texts = {key: pipeline[key] for key in ("description", "metadata") if key in pipeline}
    return {
        **pipeline.get("extensions", {}),
        **texts,
        "oml_version": pipeline["oml_version"],
        "name": pipeline["name"],
        "params": {
            **{name: _param(value) for name, value in data["params"].items()},
            **{name: {"sensitive": True} for name in data["sensitive"]},
        },
        "steps": [_step(step, has_output) for step in data["steps"]],
    }


def _param(value: JsonValue) -> JsonValue:
    """Return the declaration of a parameter that has a value."""
    if isinstance(value, list):
        return {"type": "list", "default": [_number(item) for item in value]}
    return {"default": _number(value)}


def _number(value: JsonValue) -> JsonValue:
    """Return a value, unwrapping a number that JSON cannot carry."""
    text = value.get("number") if isinstance(value, dict) and len(value) == 1 else None
    with suppress(ValueError):
        return float(text) if isinstance(text, str) else value
    return value


def _step(step: Mapping[str, JsonValue], has_output: Mapping[str, bool]) -> dict[str, JsonValue]:
    connection = {"connection": step["connection"]} if step["connection"] is not None else {}
    texts = {"description": step["description"]} if "description" in step else {}
    # input names equal to step ids are what 'needs' alone implies
    implied = {name: name for name in step["needs"] if has_output.get(name)}
    inputs = {} if step["inputs"] == implied else {"inputs": {n: f"@{source}" for n, source in step["inputs"].items()}}
    return {
        **step.get("extensions", {}),
        **texts,
        **inputs,
        **{key: step[key] for key in ("id", "component", "mode", "needs")},
        "config": {**step["config"], **connection},
    }


def _declared(data: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    """Return the plan's connections as declared in a file, by family and alias."""
    declared: dict[str, dict[str, JsonValue]] = {}
    for text, fields in data["connections"].items():
        with suppress(OsirisError):
            ref = parse_ref(text)
            if ref.alias:
                declared.setdefault(ref.family, {})[str(ref.alias)] = fields
    return declared


def _described(step: Mapping[str, JsonValue], native: Collection[str]) -> Described:
    """Return the description of a step from the plan; native columns if it is fused."""
    schema = None if step["schema"] is None else schema_from_json(step["schema"])
    names = tuple(column.name for column in schema or ()) if step["id"] in native else None
    return Described(schema, step["order"], native=names)


def _differences(prefix: str, value: Mapping[str, JsonValue], rebuilt: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the paths at which two mappings differ; lists are compared as a whole."""
    for key in sorted({*value, *rebuilt}.difference(() if "/config/" in prefix else _SKIPPED)):
        one, other = value.get(key), rebuilt.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(f"{prefix}{key}/", one, other)
        elif key not in value or key not in rebuilt or canonical_bytes(one) != canonical_bytes(other):
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
