"""Compiling needs no more resources than necessary, and ends."""

import json

import pytest
from tests.e2e.sessions import new_project

PIPELINE = """
oml_version: "0.1.0"
name: {name}
steps:
  - id: q
    component: duckdb.processor
    mode: transform
    config: {{query: "{query}"}}
  - id: w
    component: filesystem.csv_writer
    mode: write
    config: {{path: output/{name}.csv{more}}}
"""
SLOW = " + ".join(["list_sum(list_sort(range(30000000)))"] * 12)


@pytest.fixture
def project(osiris, tmp_path):
    folder = new_project(tmp_path / "p")

    def add(file, name="mine", query="SELECT 1 AS a", more="", head=None):
        text = PIPELINE.format(name=name, query=query, more=more)
        (folder / "pipelines" / file).write_text(text.replace(f"name: {name}\n", head or f"name: {name}\n", 1))
        return folder

    return add


def test_binding_that_does_not_end_is_stopped(project, osiris):
    folder = project("slow.yaml", query=f"SELECT {SLOW} AS a")
    done = osiris("compile", "pipelines/slow.yaml", "--json", cwd=folder, env={"OSIRIS_RUN__STEP_TIMEOUT": "1s"})
    assert done.returncode == 1
    assert [d["code"] for d in json.loads(done.stdout)["diagnostics"] if d["severity"] == "error"] == ["RUN002"]


def test_compiling_needs_no_variable_of_a_target(project, osiris):
    folder = project("out.yaml", more=', connection: "@filesystem.out"')
    (folder / "osiris_connections.yaml").write_text('connections: {filesystem: {out: {base_dir: "${OUT_DIR}"}}}\n')
    assert osiris("compile", "pipelines/out.yaml", cwd=folder).returncode == 0
    done = osiris("run", "--last-compile", cwd=folder)
    assert (done.returncode, "CON005" in done.stderr) == (3, True)
    assert osiris("run", "--last-compile", cwd=folder, env={"OUT_DIR": "out"}).returncode == 0


@pytest.mark.parametrize("head", ["name:  mine\n", '"name": mine\n', "name: 'mine' # again\n"])
def test_a_name_is_found_however_it_is_spelled(project, osiris, head):
    project("first.yaml", head=head)
    folder = project("second.yaml")
    done = osiris("validate", "pipelines/second.yaml", "--json", cwd=folder)
    assert "CMP007" in done.stdout
