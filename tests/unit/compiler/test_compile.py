"""From text to plan: what a plan never contains."""

import pytest

from osiris.compiler.build import manifest_bytes
from osiris.compiler.compile import compile_pipeline, prepare
from osiris.compiler.manifest import verify_manifest
from osiris.connections import load_connections
from osiris.errors import InvalidInput
from osiris.model import Described, Field
from osiris.oml.parse import load_document
from osiris.oml.validate import validate

TEXT = """\
oml_version: "0.1.0"
name: p
params:
  code: {type: string, sensitive: true}
steps:
  - id: load
    component: lake.reader
    mode: read
    config:
      path: data/in.csv
      connection: "@filesystem"
  - id: sums
    component: lake.query
    mode: transform
    needs: [load]
    config:
      query: |
        SELECT x, ${params.code} AS code, ${run.started_at} AS at
        FROM load
  - id: save
    component: lake.writer
    mode: write
    needs: [sums]
    config: {path: "output/x.csv"}
"""
CONNECTIONS = "connections: {filesystem: {default: {base_dir: '${BASE_DIR}'}}}\n"
VALUE = "Tr0ub4dor-and-3"


def compiled(root, registry, text=TEXT):
    (root / "p.yaml").write_text(text, encoding="utf-8")
    (root / "osiris_connections.yaml").write_text(CONNECTIONS, encoding="utf-8")
    env = {"OSIRIS_PARAM_CODE": VALUE, "BASE_DIR": VALUE}
    pipeline, _ = validate(
        load_document(root / "p.yaml", root), registry, params={}, env=env, profile=None, defaults={}
    )
    prepared, _ = prepare(pipeline, registry, load_connections(root / "osiris_connections.yaml"), root)
    schema = (Field("x", "int64"),)
    return compile_pipeline(prepared, {s.id: Described(None if s.mode == "write" else schema) for s in pipeline.steps})


def test_no_value_of_the_environment_reaches_a_plan(tmp_path, registry):
    plan = compiled(tmp_path, registry)
    data = manifest_bytes(plan)
    assert VALUE.encode() not in data
    assert str(tmp_path).encode() not in data
    assert (plan.data["params"], plan.data["sensitive"]) == ({}, ["code"])
    assert plan.data["connections"] == {"@filesystem.default": {"base_dir": "${BASE_DIR}"}}
    assert "$param_code" in plan.steps[1]["config"]["query"]
    assert verify_manifest(data, registry, path="m") == (plan, [])


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("FROM load", "FROM laod", (19, 14)),
        ("x, ", "nope(x), ", (18, 16)),
        (
            "query: |\n        SELECT x, ${params.code} AS code, ${run.started_at} AS at\n        FROM load",
            "query: SELECT y FROM z",
            (17, 28),
        ),
    ],
)
def test_a_mistake_in_sql_is_shown_where_it_stands_in_the_file(tmp_path, registry, old, new, place):
    assert old in TEXT
    with pytest.raises(InvalidInput) as caught:
        compiled(tmp_path, registry, TEXT.replace(old, new))
    at = caught.value.diagnostics[0].location
    assert (at.file, at.line, at.column, at.pointer) == ("p.yaml", *place, "/steps/1/config/query")


def test_what_is_unsteady_is_found_in_each_statement_that_says_it(tmp_path, registry):
    text = TEXT.replace(
        "SELECT x, ${params.code} AS code, ${run.started_at} AS at\n        FROM load", "select random() AS x"
    )
    (first,) = compiled(tmp_path, registry, text.replace("FROM load", "")).steps[1]["config"].values()
    twin = TEXT.partition("  - id: save")[0].partition("  - id: sums")[2].partition("query: |")[0]
    both = text.replace("  - id: save", f"  - id: twin{twin}query: |-\n        {first}\n  - id: save", 1)
    both = both.replace(f"        {first}", "        " + first.replace("\n", "\n        "))
    (tmp_path / "p.yaml").write_text(both, encoding="utf-8")
    pipeline, _ = validate(
        load_document(tmp_path / "p.yaml", tmp_path), registry, params={}, env={}, profile=None, defaults={}
    )
    prepared, _ = prepare(pipeline, registry, load_connections(tmp_path / "osiris_connections.yaml"), tmp_path)
    assert {step: len(found) for step, found in prepared.unsteady.items()} == {"sums": 1, "twin": 1}
