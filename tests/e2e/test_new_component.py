"""Another author's component: created, installed, tested and run, without a change elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


@pytest.fixture
def stranger(osiris, tmp_path):
    """A new environment that sees this one's packages, and has the new component installed."""
    made = osiris("components", "new", "acme.numbers", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    package = tmp_path / json.loads(made.stdout)["data"]["dir"]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "fresh"], check=True)
    (own,) = (tmp_path / "fresh").glob("lib/python*/site-packages")
    (ours,) = BIN.parent.glob("lib/python*/site-packages")
    (own / "ours.pth").write_text(f"import site; site.addsitedir({str(ours)!r})\n", encoding="utf-8")
    python = tmp_path / "fresh" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", package]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python, package


def run(python, *words, cwd):
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd)}
    return subprocess.run([python, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def test_a_new_component_passes_its_tests_and_runs(stranger, tmp_path):
    python, package = stranger
    tests = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=package)
    assert tests.returncode == 0, tests.stdout
    osiris = ("-m", "osiris.cli.main")
    assert run(python, *osiris, "components", "validate", "acme.numbers", cwd=tmp_path).returncode == 0
    assert run(python, *osiris, "init", "p", cwd=tmp_path).returncode == 0
    (tmp_path / "p" / "pipelines" / "example.yaml").write_text(
        """oml_version: "0.1.0"
name: numbers
steps:
  - {id: numbers, component: acme.numbers, mode: read, config: {rows: 3, first: 7}}
  - {id: file, component: filesystem.csv_writer, mode: write, config: {path: output/n.csv}}
"""
    )
    done = run(python, *osiris, "run", "pipelines/example.yaml", cwd=tmp_path / "p")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p" / "output" / "n.csv").read_text() == "number,label\n7,row 7\n8,row 8\n9,row 9\n"


def test_bad_names_and_taken_folders(osiris, tmp_path):
    for name in ("nodot", "Acme.rows", "../x.y", "acme.", "acme.a-b"):
        done = osiris("components", "new", name, "--json", cwd=tmp_path)
        assert (done.returncode, json.loads(done.stdout)["diagnostics"][0]["code"]) == (2, "PRJ008")
    assert list(tmp_path.iterdir()) == []
    assert osiris("components", "new", "acme.rows", "here", cwd=tmp_path).returncode == 0
    again = osiris("components", "new", "acme.rows", "here", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["diagnostics"][0]["code"] == "PRJ014"
