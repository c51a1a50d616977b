"""An unchanged plan is accepted: for every component, every example of its spec, and every default."""

import json
from pathlib import Path

import pytest
from tests.property.test_forged_plans import REGISTRY, signed

from osiris.compiler.build import manifest_bytes
from osiris.compiler.compile import compile_pipeline, prepare
from osiris.compiler.manifest import verify_manifest
from osiris.compiler.revalidate import lint_plan
from osiris.connections import Connections
from osiris.model import Described, Field
from osiris.oml.parse import parse
from osiris.oml.validate import validate
from osiris.runner.credentials import require_own

ROOT = Path("/project")
CONNECTIONS = Connections({family: {"example": {}} for family in REGISTRY.families()})
NAMES = ("id", "customer_id", "amount", "region", "name", "total", "payload", "status", "updated_at", "year", "carrier")
SCHEMA = tuple(Field(name, "int64") for name in NAMES)
SHARED = [
    {},
    {"timeout": "5m", "retry": {"max": 3, "backoff": "2s", "on": ["unavailable"]}},
    {"cast": {"id": "utf8"}},
    {
        "checks": [
            {"not_null": ["id"]},
            {"range": {"column": "id", "min": 1}},
            {"sql": "SELECT 1 FROM output WHERE id < 0"},
        ]
    },
]


def examples():
    for spec in REGISTRY.all():
        for example in spec.examples:
            yield pytest.param(spec, example, id=f"{spec.name}: {example['title']}")


def pipeline(spec, example, shared):
    """Return a pipeline with an example as a step, between a reader and a writer of files."""
    needs = example.get("inputs", ["source"] if spec.inputs[1] != 0 else [])
    connection = {"connection": f"@{spec.family}.example"} if spec.connection == "required" else {}
    config = {**example["config"], **connection, **shared}
    readers = [
        {
            "id": n,
            "component": "filesystem.json_extractor",
            "mode": "read",
            "needs": [],
            "config": {"path": f"data/{n}.json"},
        }
        for n in needs
    ]
    step = {"id": "example", "component": spec.name, "mode": spec.modes[0], "needs": needs, "config": config}
    writer = {"id": "out", "component": "filesystem.json_writer", "mode": "write", "config": {"path": "output/o.json"}}
    return {"oml_version": "0.2.0", "name": "p", "steps": [*readers, step, *([writer] if spec.output else [])]}


@pytest.mark.parametrize("shared", SHARED, ids=[",".join(shared) or "plain" for shared in SHARED])
@pytest.mark.parametrize(("spec", "example"), list(examples()))
def test_the_plan_of_an_example_is_accepted_as_it_stands(spec, example, shared):
    if "cast" in spec.config["properties"] or ("cast" in shared and spec.modes == ("write",)):
        shared = {}
    document = parse(json.dumps(pipeline(spec, example, shared)), "p.yaml")
    written, _ = validate(document, REGISTRY, params={}, env={}, profile=None, defaults={})
    prepared, _ = prepare(written, REGISTRY, CONNECTIONS, ROOT)
    answers = {
        step.id: Described(
            None if step.mode == "write" else SCHEMA, "fixed", native=NAMES if step.mode == "read" else None
        )
        for step in written.steps
    }
    for plain in (False, True):
        data = manifest_bytes(compile_pipeline(prepared, answers, plain=plain))
        found, notes = verify_manifest(data, REGISTRY, path="m.json", root=ROOT)
        require_own(CONNECTIONS, found.data["connections"])
        assert (manifest_bytes(found), notes) == (data, [])
        assert signed(json.loads(data)) == data
        lint_plan(found.data, REGISTRY)
