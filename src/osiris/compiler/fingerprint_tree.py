"""The fingerprint tree: which part of a manifest stands in which leaf (docs/decisions/0001-identity.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.canonical import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from osiris.model import JsonValue

ROOT_KEYS: dict[str, tuple[str, ...]] = {
    "compiler": ("manifest_version", "osiris"),
    "engines": ("engines",),
    "params": ("params", "sensitive"),
    "connections": ("connections",),
    "pipeline": ("pipeline",),
}
"""Leaf of the root to the keys of a manifest that it covers, in the order in which plans are compared."""

STEP_LEAVES = ("about", "component", "sql", "config", "inputs", "schema")


def root_parts(data: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    """Return what each leaf of the root covers, as it stands in the manifest."""
    return {leaf: _pick(data, keys) for leaf, keys in ROOT_KEYS.items()}


def step_parts(step: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    """Return what each leaf of a step covers, as it stands in the manifest."""
    config, sql = step["config"], step["sql"]
    statements = {"config": _pick(config, sql), "sql": sql} if sql else {}
    return {
        "about": _pick(step, ("id", "description", "extensions")),
        "component": _pick(step, ("component", "version", "spec", "mode", "delivery")),
        "sql": statements,
        "config": {"config": _pick(config, config.keys() - sql.keys()), "connection": step["connection"]},
        "inputs": _pick(step, ("needs", "inputs")),
        "schema": _pick(step, ("schema", "order", "lineage", "fused")),
    }


def root_leaves(data: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return the hash of each leaf of the root."""
    return {leaf: fingerprint(part) for leaf, part in root_parts(data).items()}


def step_leaves(step: Mapping[str, JsonValue], earlier: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, str | None]:
    """Return the hash of each leaf of a step, None for the SQL of a step that has none.

    `earlier` are the steps before it, hashes included, by id: those that it waits for are in its leaf `inputs`.
    """
    parts: dict[str, JsonValue] = step_parts(step)
    parts["inputs"] = {
        "needs": {name: earlier[name]["hash"] for name in step["needs"]},
        "inputs": {name: _source(earlier[source]) for name, source in step["inputs"].items()},
    }
    return {leaf: fingerprint(part) if part else None for leaf, part in parts.items()}


def root_hash(data: Mapping[str, JsonValue]) -> str:
    """Return the root of the tree, from the leaves and the step hashes that stand in the manifest."""
    return fingerprint({"leaves": data["leaves"], "steps": [step["hash"] for step in data["steps"]]})


def _source(step: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {"step": step["id"], "schema": step["schema"], "order": step["order"]}


def _pick(values: Mapping[str, JsonValue], keys: Iterable[str]) -> dict[str, JsonValue]:
    return {key: values[key] for key in keys if key in values}
