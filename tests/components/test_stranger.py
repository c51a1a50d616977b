"""Another author's package adds two components and a target, without a change elsewhere."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.strangers import install

PACKAGE = Path(__file__).parents[1] / "fixtures" / "hello_component"
PIPELINE = """\
oml_version: "0.1.0"
name: letters
steps:
  - id: greet
    component: hello.extractor
    mode: read
    config:
      names: [Ada, Grace, Řehoř]
      greeting: dear
  - id: post
    component: hello.writer
    mode: write
    needs: [greet]
    config:
      path: output/letter.txt
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment in which that package is installed."""
    return install(tmp_path_factory.mktemp("stranger") / "venv", PACKAGE)


@pytest.fixture
def call(python, tmp_path):
    (tmp_path / "osiris.yaml").touch()
    (tmp_path / "letters.yaml").write_text(PIPELINE, encoding="utf-8")

    def run(*arguments, module="osiris.cli.main", code=0):
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        command = [python, "-I", "-m", module, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    return run


def test_it_is_listed_among_ours(call):
    listed = {c["name"]: c["version"] for c in call("components", "list", "--json")["data"]["components"]}
    assert listed.items() >= {"hello.extractor": "0.3.0", "hello.writer": "0.3.0"}.items()
    assert "filesystem.csv_extractor" in listed


def test_it_passes_the_suite_that_every_component_inherits(call):
    assert call("hello.extractor", "hello.writer", module="osiris.testing") == []


def test_it_compiles_and_runs(call, tmp_path):
    compiled = call("compile", "letters.yaml", "--json")["data"]
    manifest = json.loads((tmp_path / compiled["manifest"]).read_text(encoding="utf-8"))
    versions = {step["component"]: step["version"] for step in manifest["steps"]}
    assert versions == {"hello.extractor": "0.3.0", "hello.writer": "0.3.0"}
    call("run", "letters.yaml", "--json")
    assert (tmp_path / "output" / "letter.txt").read_text(encoding="utf-8") == "dear Ada\ndear Grace\ndear Řehoř\n"


COPY = """\
oml_version: "0.1.0"
name: copy
steps:
  - {id: names, component: filesystem.csv_extractor, mode: read, config: {path: names.csv}}
  - id: copied
    component: filesystem.csv_writer
    mode: write
    needs: [names]
    config: {path: output/names.csv}
"""


@pytest.mark.long
def test_a_run_goes_to_its_target(call, tmp_path):
    (tmp_path / "names.csv").write_text("name\nAda\n", encoding="utf-8")
    (tmp_path / "copy.yaml").write_text(COPY, encoding="utf-8")
    call("run", "copy.yaml", "--target", "hello.folder", "--json")
    assert (tmp_path / "output" / "names.csv").read_text(encoding="utf-8") == "name\nAda\n"
    summary = json.loads(max(tmp_path.glob("logs/*/run.json")).read_text(encoding="utf-8"))
    assert (summary["adapter"], summary["remote"]["upload_bytes"] > 0) == ("hello.folder", True)


@pytest.mark.parametrize(
    ("target", "reason"),
    {
        "hello.missing": "ModuleNotFoundError: No module named 'hello_component.no_such_module'",
        "hello.unset": "KeyError: 'HELLO_PLACE'",
    }.items(),
)
def test_a_target_that_does_not_load_is_named(call, tmp_path, target, reason):
    (tmp_path / "copy.yaml").write_text(COPY, encoding="utf-8")
    (tmp_path / "names.csv").write_text("name\nAda\n", encoding="utf-8")
    (problem,) = call("run", "copy.yaml", "--target", target, "--json", code=2)["diagnostics"]
    assert (problem["code"], problem["message"]) == ("SBX032", f"target '{target}' cannot be loaded: {reason}")


@pytest.fixture
def rival(python):
    """A second package with a target `hello.folder`."""
    (site,) = (python.parents[1] / "lib").glob("python*/site-packages")
    folder = site / "rival-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n", encoding="utf-8")
    (folder / "entry_points.txt").write_text("[osiris.targets]\nhello.folder = rival:open\n", encoding="utf-8")
    yield
    shutil.rmtree(folder)


def test_a_target_of_two_packages_is_refused(call, tmp_path, rival):
    (tmp_path / "copy.yaml").write_text(COPY, encoding="utf-8")
    (tmp_path / "names.csv").write_text("name\nAda\n", encoding="utf-8")
    (problem,) = call("run", "copy.yaml", "--target", "hello.folder", "--json", code=2)["diagnostics"]
    assert problem["code"] == "SBX032"
    assert "several packages register it: hello_component" in problem["message"]
    assert "rival:open" in problem["message"]
    assert not (tmp_path / "output").exists()


def test_a_target_that_nobody_brings_is_refused(call, tmp_path):
    (tmp_path / "copy.yaml").write_text(COPY, encoding="utf-8")
    (found,) = call("run", "copy.yaml", "--target", "hello.nowhere", "--json", code=2)["diagnostics"]
    assert "local, bwrap, e2b, or a target from an installed package" in found["message"]
