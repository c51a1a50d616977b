"""The wheel installs and runs outside the checkout, on every supported Python of this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# `make venv` builds .venv, and one more environment for each other supported Python that the machine has.
ENVIRONMENTS = sorted(path.name for path in ROOT.glob(".venv*") if (path / ".complete").exists())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (found,) = target.glob("*.whl")
    return found


@pytest.fixture(params=ENVIRONMENTS)
def installed(request, wheel, tmp_path):
    """A fresh environment with the wheel in it; its dependencies come from the locked one, without touching it."""
    locked = ROOT / request.param
    python = tmp_path / "fresh" / "bin" / "python"
    subprocess.run([locked / "bin" / "python", "-m", "venv", tmp_path / "fresh"], check=True)
    (dependencies,) = locked.glob("lib/python*/site-packages")
    (own,) = (tmp_path / "fresh").glob("lib/python*/site-packages")
    (own / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    command = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed", wheel]
    subprocess.run(command, check=True, cwd=tmp_path)
    return python.parent / "osiris"


@pytest.mark.long
def test_wheel_runs_the_demo_outside_the_checkout(installed, tmp_path):
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [installed, "demo", "flights", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr if done.returncode else "") == (0, "")
    data = json.loads(done.stdout)["data"]
    assert (data["verify"], data["tampered"]) == (0, 4)
    command = [installed, "logs", "html"]
    subprocess.run(command, cwd=tmp_path / "flights", env=environment, check=True, capture_output=True)
    assert (tmp_path / "flights/logs/index.html").is_file()


def test_same_manifest_on_every_python(installed, osiris, tmp_path):
    osiris("init", "shop", cwd=tmp_path)
    project = tmp_path / "shop"
    here = json.loads(osiris("compile", "pipelines/example.yaml", "--json", cwd=project).stdout)
    there = subprocess.run(
        [installed, "compile", "pipelines/example.yaml", "--json"], cwd=project, capture_output=True, check=True
    )
    assert json.loads(there.stdout)["data"]["fingerprint"] == here["data"]["fingerprint"]
