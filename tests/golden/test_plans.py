"""Pipelines as plain files, with the exact plan or the exact error; `--update-golden` rewrites them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from osiris.compiler.build import manifest_bytes
from osiris.compiler.compile import compile_pipeline, prepare
from osiris.compiler.manifest import verify_manifest
from osiris.connections import load_connections
from osiris.errors import OsirisError
from osiris.model import Described, schema_from_json
from osiris.oml.parse import load_document
from osiris.oml.validate import validate
from osiris.registry import load_registry

CASES = sorted(path.parent for path in Path(__file__).parent.glob("plans/*/pipeline.yaml"))
REGISTRY = load_registry()
# Plans name the engines that made them; these do not change when the lock does.
ENGINES = {"duckdb": "2.0.1", "pyarrow": "26.0.1", "sqlglot": "30.30.0"}


def described(case):
    answers = json.loads((case / "described.json").read_text(encoding="utf-8"))
    return {
        step: Described(answer["schema"] and schema_from_json(answer["schema"]), answer["order"])
        for step, answer in answers.items()
    }


def plan(case):
    document = load_document(case / "pipeline.yaml", case)
    pipeline, _ = validate(document, REGISTRY, params={}, env={}, profile=None, defaults={})
    prepared, _ = prepare(pipeline, REGISTRY, load_connections(case / "connections.yaml"), case)
    pinned = {name: ENGINES[name] for name in prepared.engines}
    return compile_pipeline(replace(prepared, engines=pinned), described(case))


def outcome(case):
    try:
        return "manifest.json", manifest_bytes(plan(case))
    except OsirisError as error:
        lines = [f"{d.severity} {d}" + (f"\n    {d.hint}" if d.hint else "") for d in error.diagnostics]
        return "diagnostics.txt", "\n".join([*lines, f"exit code {error.exit_code}", ""]).encode()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_pipeline_has_the_plan_that_it_had(case, update_golden):
    name, content = outcome(case)
    if update_golden:
        (case / name).write_bytes(content)
    assert content == (case / name).read_bytes()


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parent.glob("plans/*/manifest.json")), ids=lambda p: p.parent.name
)
def test_a_golden_plan_is_believed(path):
    found, notes = verify_manifest(path.read_bytes(), REGISTRY, path=str(path), engines=ENGINES)
    assert manifest_bytes(found) == path.read_bytes()
    assert notes == []
