"""Build a manifest, with its fingerprint tree, from a prepared pipeline and the schemas of its steps.

Which part of a manifest belongs to which leaf of the tree: docs/decisions/0001-identity.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes, fingerprint
from osiris.compiler.context import sql_fields
from osiris.compiler.cursors import states
from osiris.distribution import DISTRIBUTION, installed_version
from osiris.document import join
from osiris.model import Manifest
from osiris.sql.safety.names import relation_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osiris.compiler.context import Prepared
    from osiris.compiler.passes import TypedPipeline
    from osiris.model import ComponentSpec, JsonValue, Pipeline, Step
    from osiris.sql.lineage.lineage import Lineage


_ALWAYS_PINNED = ("pyarrow",)


def pinned_engines(specs: Iterable[ComponentSpec]) -> set[str]:
    """Return the distributions whose versions a plan with these components pins."""
    return {*_ALWAYS_PINNED, *(name for spec in specs for name in spec.requirements)}


def as_json(value: JsonValue) -> JsonValue:
    """Return a value made of dicts and lists only, as canonical bytes need it."""
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value


def json_exact(value: JsonValue) -> JsonValue:
    """Return a parameter's value for the manifest; a number that JSON cannot carry becomes text inside an object."""
    if isinstance(value, (list, tuple)):
        return [json_exact(item) for item in value]
    if is_beyond_json(value):
        return {"integer" if isinstance(value, int) else "number": str(value)}
    return value


def unencodable(value: JsonValue, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield (pointer, problem) for each value that canonical JSON cannot carry exactly."""
    if isinstance(value, (Mapping, list, tuple)):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from unencodable(item, join(pointer, key))
    elif isinstance(value, float) and not math.isfinite(value):
        yield pointer, "must be a finite number"
    elif is_beyond_json(value):
        yield pointer, "is a number that JSON cannot carry exactly (beyond 2**53); write it in quotes"
    elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        yield pointer, "holds half of a surrogate pair, which is not a character"


def is_beyond_json(value: JsonValue) -> bool:
    """Tell whether a number is whole and too large for JSON to preserve."""
    return (isinstance(value, int) or (isinstance(value, float) and value.is_integer())) and abs(value) >= 1 << 53


ROOT_KEYS: dict[str, tuple[str, ...]] = {
    "compiler": ("manifest_version", "osiris"),
    "engines": ("engines",),
    "params": ("params", "sensitive"),
    "connections": ("connections",),
    "pipeline": ("pipeline",),
}
"""Maps each leaf of the root to the manifest keys that it covers, in the order in which plans are compared."""

STEP_LEAVES = ("about", "component", "sql", "config", "inputs", "schema")


def root_parts(data: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    """Return what each leaf of the root covers, from the manifest."""
    return {leaf: _pick(data, keys) for leaf, keys in ROOT_KEYS.items()}


def step_parts(step: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    """Return what each leaf of a step covers, from the manifest."""
    config, sql = step["config"], step["sql"]
    statements = {"config": _pick(config, sql), "sql": sql} if sql else {}
    return {
        "about": _pick(step, ("id", "entry", "description", "extensions")),
        "component": _pick(step, ("component", "version", "spec", "mode", "delivery")),
        "sql": statements,
        "config": {
            "config": _pick(config, config.keys() - sql.keys()),
            "connection": step["connection"],
            **_pick(step, ("state",)),
        },
        "inputs": _pick(step, ("needs", "inputs")),
        "schema": _pick(step, ("schema", "order", "lineage", "fused")),
    }


def root_leaves(data: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return the hash of each leaf of the root."""
    return {leaf: fingerprint(part) for leaf, part in root_parts(data).items()}


def step_leaves(step: Mapping[str, JsonValue], earlier: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, str | None]:
    """Return the hash of each leaf of a step, None for the SQL of a step without any.

    `earlier` are the preceding steps, hashes included, by id: the leaf `inputs` covers those that the step waits for.
    """
    parts: dict[str, JsonValue] = step_parts(step)
    parts["inputs"] = {
        "needs": {name: earlier[name]["hash"] for name in step["needs"]},
        "inputs": {
            name: {"step": source, **_pick(earlier[source], ("schema", "order"))}
            for name, source in step["inputs"].items()
        },
    }
    return {leaf: fingerprint(part) if part else None for leaf, part in parts.items()}


def root_hash(data: Mapping[str, JsonValue]) -> str:
    """Return the root of the tree, from the leaves and step hashes in the manifest."""
    return fingerprint({"leaves": data["leaves"], "steps": [step["hash"] for step in data["steps"]]})


def _pick(values: Mapping[str, JsonValue], keys: Iterable[str]) -> dict[str, JsonValue]:
    return {key: values[key] for key in keys if key in values}


def lineage_json(lineage: Lineage, inputs: Mapping[str, str]) -> dict[str, JsonValue]:
    """Return a lineage for the manifest, with step ids instead of relation names."""
    steps = {name: inputs[keys[0]] for name, keys in relation_names(inputs).items()}
    columns = {
        name: [list(origin) for origin in sorted({(steps[o.relation], o.column, o.kind) for o in origins})]
        for name, origins in lineage.columns.items()
    }
    rows = [list(pair) for pair in sorted({(steps[relation], column) for relation, column in lineage.rows})]
    return {"columns": columns, "rows": rows}


MANIFEST_VERSION = 1


def plan_steps(prepared: Prepared) -> list[dict[str, JsonValue]]:
    """Return the steps for the manifest, without the parts that depend on schemas."""
    return [_step(step, prepared.specs[step.component]) for step in prepared.pipeline.steps]


def build(typed: TypedPipeline) -> Manifest:
    """Return the manifest of a typed pipeline."""
    prepared, pipeline = typed.prepared, typed.prepared.pipeline
    data: dict[str, JsonValue] = {
        "manifest_version": MANIFEST_VERSION,
        "osiris": installed_version(DISTRIBUTION),
        "engines": as_json(prepared.engines),
        "pipeline": _pipeline(pipeline),
        "params": {name: json_exact(value) for name, value in pipeline.params.items()},
        "sensitive": sorted(pipeline.sensitive),
        "connections": as_json(prepared.connections),
        "steps": [],
    }
    built: dict[str, dict[str, JsonValue]] = {}
    kept = states(typed)
    for step in plan_steps(prepared):
        answer, lineage = typed.described[step["id"]], typed.lineage.get(step["id"])
        step["schema"] = None if answer.schema is None else [field.to_json() for field in answer.schema]
        step["order"] = answer.order
        step["lineage"] = None if lineage is None else lineage_json(lineage, step["inputs"])
        step |= {"state": as_json(kept[step["id"]])} if step["id"] in kept else {}
        step["fused"] = list(typed.fused.get(step["id"], ()))
        step["leaves"] = step_leaves(step, built)
        step["hash"] = fingerprint(step["leaves"])
        built[step["id"]] = step
    data["steps"] = list(built.values())
    data["leaves"] = root_leaves(data)
    data["fingerprint"] = root_hash(data)
    return Manifest(json.loads(canonical_bytes(data)))


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the file content of a manifest: its canonical bytes."""
    return canonical_bytes(dict(manifest.data))


def _pipeline(pipeline: Pipeline) -> dict[str, JsonValue]:
    optional = {
        "description": pipeline.description,
        "metadata": as_json(pipeline.metadata) or None,
        "extensions": as_json(pipeline.extensions) or None,
        "replicate": as_json(pipeline.replicate) or None,
    }
    required = {"name": pipeline.name, "oml_version": pipeline.oml_version}
    return {**required, **{key: value for key, value in optional.items() if value is not None}}


def _step(step: Step, spec: ComponentSpec) -> dict[str, JsonValue]:
    optional = {
        "entry": step.entry,
        "description": step.description,
        "extensions": as_json(step.extensions) or None,
    }
    return {
        "id": step.id,
        "component": spec.name,
        "version": spec.version,
        "spec": spec.digest,
        "mode": step.mode,
        "config": as_json(step.config),
        "sql": {name: dialect for name, dialect in sql_fields(spec).items() if name in step.config},
        "connection": str(step.connection) if step.connection else None,
        "needs": list(step.needs),
        "inputs": dict(step.inputs),
        "delivery": spec.delivery if step.mode == "write" else None,
        **{key: value for key, value in optional.items() if value is not None},
    }
