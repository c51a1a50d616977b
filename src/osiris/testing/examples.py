"""The examples of a spec are pipelines that validate and can be planned; only their sources need not exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.compiler.compile import prepare
from osiris.connections import Connections
from osiris.errors import OsirisError
from osiris.oml.parse import parse
from osiris.oml.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.model import ComponentSpec, JsonValue
    from osiris.registry import Registry


def example_problems(spec: ComponentSpec, registry: Registry) -> Iterator[str]:
    """Yield what keeps each example from being planned as a step of a pipeline."""
    if not spec.examples:
        yield "it has no examples"
    for example in spec.examples:
        for problem in _problems(_pipeline(spec, example, registry), spec, registry):
            yield f"example '{example['title']}': {problem}"


def _problems(pipeline: JsonValue, spec: ComponentSpec, registry: Registry) -> list[str]:
    try:
        document = parse(json.dumps(pipeline), "example")
        valid, _ = validate(document, registry, params={}, env={}, profile=None, defaults={})
        prepare(valid, registry, Connections({spec.family: {"example": {}}}), Path.cwd())
    except OsirisError as error:
        return [problem.message for problem in error.diagnostics if problem.severity == "error"]
    return []


def _pipeline(spec: ComponentSpec, example: Mapping[str, JsonValue], registry: Registry) -> JsonValue:
    """Return a pipeline in which the example is a step, after a reading step for each of its inputs."""
    needs = example.get("inputs", ["source"] if spec.inputs[1] != 0 else [])
    connection = {"connection": f"@{spec.family}.example"} if spec.connection == "required" else {}
    step = {
        "id": "example",
        "component": spec.name,
        "mode": spec.modes[0],
        "needs": needs,
        "config": {**example["config"], **connection},
    }
    return {"oml_version": "0.1.0", "name": "example", "steps": [*_sources(needs, registry), step]}


def _sources(ids: Sequence[str], registry: Registry) -> list[JsonValue]:
    readers = (spec for spec in registry.all() if "read" in spec.modes and spec.connection != "required")
    reader = next((spec for spec in readers if spec.examples), None)
    return [
        {"id": name, "component": reader.name, "mode": "read", "needs": [], "config": reader.examples[0]["config"]}
        for name in ids
        if reader
    ]
