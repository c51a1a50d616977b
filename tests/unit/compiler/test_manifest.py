"""The content of a manifest, and where it is stored."""

import json

import pytest

from osiris.compiler.build import manifest_bytes, plan_steps
from osiris.compiler.manifest import (
    find_manifests,
    last_compiled,
    plan_folder,
    read_manifest,
    save_manifest,
    verify_manifest,
)
from osiris.errors import InvalidInput
from osiris.model import ConnectionRef, Described, Field
from osiris.project import Project


def test_a_plan_says_everything_a_run_needs(bench, steps):
    load = steps.read(connection=ConnectionRef("filesystem", "drop"), description="from the drop")
    sums = steps.query("SELECT x FROM load ORDER BY y", "load")
    described = {"sums": Described((Field("x", "int64"),), "fixed")}
    plan = bench.compile(load, sums, steps.write("sums"), described=described, metadata={"owner": "me"})
    assert list(plan.data) == sorted(plan.data)
    assert plan.data["pipeline"] == {"name": "p", "oml_version": "0.1.0", "metadata": {"owner": "me"}}
    assert plan.data["connections"] == {"@filesystem.drop": {"base_dir": "drop"}}
    assert set(plan.data["engines"]) == {"pyarrow", "pyyaml"}
    first, second, third = plan.steps
    assert first["config"] == {"path": "data/load.csv", "limit": 10}
    assert (first["connection"], first["description"]) == ("@filesystem.drop", "from the drop")
    assert second["sql"] == {"query": "duckdb"}
    assert second["config"]["query"].split() == ["SELECT", "x", "FROM", "load", "ORDER", "BY", "y,", "1"]
    assert (second["schema"], second["order"]) == ([{"name": "x", "type": "int64", "nullable": True}], "fixed")
    assert (third["needs"], third["inputs"], third["delivery"]) == (["sums"], {"df": "sums"}, "atomic_replace")
    assert [step["leaves"]["sql"] is None for step in plan.steps] == [True, False, True]


def test_the_steps_to_describe_are_those_of_the_plan(bench, steps):
    given = (steps.read(), steps.write("load"))
    prepared, _ = bench.prepare(*given)
    late = {"schema", "order", "lineage", "fused", "leaves", "hash"}
    planned = [{k: v for k, v in step.items() if k not in late} for step in bench.compile(*given).steps]
    assert plan_steps(prepared) == planned


def test_large_parameters_are_kept_exactly(bench, steps):
    plan = bench.compile(steps.read(), params={"a": 2**60, "b": [1, 2**53], "c": 1e20, "d": "1"})
    assert plan.data["params"] == {
        "a": {"integer": "1152921504606846976"},
        "b": [1, {"integer": "9007199254740992"}],
        "c": {"number": "1e+20"},
        "d": "1",
    }


def test_what_runs_is_what_was_read_back(bench, steps):
    plan = bench.compile(steps.read(config={"page": {"size": 1.0}}))
    size = plan.steps[0]["config"]["page"]["size"]
    assert (size, type(size)) == (1, int)


def test_a_plan_is_saved_noted_and_found_again(bench, steps, tmp_path):
    project = Project(tmp_path)
    plan = bench.compile(steps.read())
    path = save_manifest(project, plan)
    assert (
        path == plan_folder(project, plan) / "manifest.json" == tmp_path / "build" / "p" / plan.short / "manifest.json"
    )
    assert path.read_bytes() == manifest_bytes(plan)
    assert last_compiled(project) == (path, plan.fingerprint)
    assert verify_manifest(read_manifest(path), bench.registry, path=str(path)) == (plan, [])
    assert find_manifests(project, fingerprint=plan.fingerprint) == [(path, plan.short)]
    assert find_manifests(project, fingerprint=plan.short[:6], pipeline="p") == [(path, plan.short)]
    assert find_manifests(project, pipeline="other") == []
    note = json.loads(project.last_compile.read_bytes())
    assert note == {"pipeline": "p", "fingerprint": plan.fingerprint, "manifest": f"build/p/{plan.short}/manifest.json"}


def test_a_plan_can_be_saved_elsewhere(bench, steps, tmp_path):
    project = Project(tmp_path / "project")
    path = save_manifest(project, bench.compile(steps.read()), tmp_path / "out")
    assert path == tmp_path / "out" / "manifest.json"
    assert last_compiled(project).path == path
    assert not project.build.exists()


@pytest.mark.parametrize(
    "text",
    [None, "", "[]", "{}", '{"manifest": 1}', '{"manifest": "m.json"}', '{"manifest": "m.json", "fingerprint": "ab"}'],
)
def test_without_a_last_compile_there_is_nothing_to_run(tmp_path, text):
    project = Project(tmp_path)
    if text is not None:
        project.state.mkdir()
        project.last_compile.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        last_compiled(project)
    assert caught.value.diagnostics[0].code == "RUN005"
