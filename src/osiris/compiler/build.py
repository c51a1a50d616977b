"""From a prepared pipeline and the schemas of its steps to a manifest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes, fingerprint
from osiris.compiler.context import sql_fields
from osiris.compiler.engines import installed_version
from osiris.compiler.fingerprint_tree import root_hash, root_leaves, step_leaves
from osiris.compiler.lineage import lineage_json
from osiris.compiler.values import plain, spelled
from osiris.distribution import DISTRIBUTION
from osiris.model import Manifest

if TYPE_CHECKING:
    from osiris.compiler.context import Prepared
    from osiris.compiler.typing import Typed
    from osiris.model import ComponentSpec, JsonValue, Pipeline, Step

MANIFEST_VERSION = 1


def plan_steps(prepared: Prepared) -> list[dict[str, JsonValue]]:
    """Return the steps as a manifest has them, but for what only their schemas can tell."""
    return [_step(step, prepared.specs[step.component]) for step in prepared.pipeline.steps]


def build(typed: Typed) -> Manifest:
    """Return the manifest of a typed pipeline."""
    prepared, pipeline = typed.prepared, typed.prepared.pipeline
    data: dict[str, JsonValue] = {
        "manifest_version": MANIFEST_VERSION,
        "osiris": installed_version(DISTRIBUTION),
        "engines": plain(prepared.engines),
        "pipeline": _pipeline(pipeline),
        "params": {name: spelled(value) for name, value in pipeline.params.items()},
        "sensitive": sorted(pipeline.sensitive),
        "connections": plain(prepared.connections),
        "steps": [],
    }
    done: dict[str, dict[str, JsonValue]] = {}
    for step in plan_steps(prepared):
        answer, lineage = typed.described[step["id"]], typed.lineage.get(step["id"])
        step["schema"] = None if answer.schema is None else [field.to_json() for field in answer.schema]
        step["order"] = answer.order
        step["lineage"] = None if lineage is None else lineage_json(lineage, step["inputs"])
        step["fused"] = list(typed.fused.get(step["id"], ()))
        step["leaves"] = step_leaves(step, done)
        step["hash"] = fingerprint(step["leaves"])
        done[step["id"]] = step
    data["steps"] = list(done.values())
    data["leaves"] = root_leaves(data)
    data["fingerprint"] = root_hash(data)
    return Manifest(json.loads(canonical_bytes(data)))


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the file of a manifest: its canonical bytes and nothing else."""
    return canonical_bytes(dict(manifest.data))


def _pipeline(pipeline: Pipeline) -> dict[str, JsonValue]:
    optional = {
        "description": pipeline.description,
        "metadata": plain(pipeline.metadata) or None,
        "extensions": plain(pipeline.extensions) or None,
    }
    known = {"name": pipeline.name, "oml_version": pipeline.oml_version}
    return {**known, **{key: value for key, value in optional.items() if value is not None}}


def _step(step: Step, spec: ComponentSpec) -> dict[str, JsonValue]:
    optional = {"description": step.description, "extensions": plain(step.extensions) or None}
    return {
        "id": step.id,
        "component": spec.name,
        "version": spec.version,
        "spec": spec.digest,
        "mode": step.mode,
        "config": plain(step.config),
        "sql": {name: dialect for name, dialect in sql_fields(spec).items() if name in step.config},
        "connection": str(step.connection) if step.connection else None,
        "needs": list(step.needs),
        "inputs": dict(step.inputs),
        "delivery": spec.delivery if step.mode == "write" else None,
        **{key: value for key, value in optional.items() if value is not None},
    }
