"""Libraries to install are named as in the project's own metadata."""

import json
import shlex
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from osiris.codes import CODES
from osiris.distribution import DISTRIBUTION, install_command, own_version
from osiris.runner.remote.bundle import code_files

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
NAME = "osiris-data"


@pytest.mark.parametrize("extra", ["chat", "e2b", "mcp"])
def test_libraries_have_their_own_names(extra):
    words = shlex.split(install_command(extra))
    assert words[:2] == ["pip", "install"]
    assert [Requirement(word) for word in words[2:]] == [Requirement(text) for text in EXTRAS[extra]]


def test_no_text_names_an_extra_of_another_distribution():
    pages = [ROOT / "README.md", *(ROOT / "docs" / "guide").glob("*.md")]
    texts = [*(page.read_text("utf-8") for page in pages), *(str(code) for code in CODES.values())]
    assert not any("osiris[" in text or "install osiris" in text for text in texts)


def test_one_name_is_everywhere():
    assert (PROJECT["name"], DISTRIBUTION, own_version()) == (NAME, NAME, PROJECT["version"])
    assert list(PROJECT["scripts"]) == ["osiris"]


@pytest.mark.parametrize(
    "folder", ["src/osiris/templates/component/pyproject.toml.in", "tests/fixtures/hello_component"]
)
def test_packages_of_others_require_it_by_its_name(folder):
    path = ROOT / folder
    text = (path / "pyproject.toml" if path.is_dir() else path).read_text("utf-8")
    needed = tomllib.loads(text)["project"]["dependencies"]
    assert [Requirement(line).name for line in needed if line.startswith("osiris")] == [NAME]


def test_a_plan_of_this_version_is_one(osiris, tmp_path):
    osiris("init", "shop", cwd=tmp_path)
    made = osiris("compile", "pipelines/example.yaml", "--json", cwd=tmp_path / "shop")
    manifest = tmp_path / "shop" / json.loads(made.stdout)["data"]["manifest"]
    assert json.loads(manifest.read_text("utf-8"))["osiris"] == PROJECT["version"]
    done = osiris("run", "--last-compile", cwd=tmp_path / "shop")
    assert (done.returncode, "CMP024" in done.stderr) == (0, False), done.stderr


def test_what_travels_is_a_distribution_of_that_name(tmp_path):
    sent = {name: path for name, path in code_files() if ".dist-info/" in name}
    for name, path in sent.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(path.read_bytes())
    (found,) = metadata.distributions(path=[str(tmp_path)])
    assert (found.metadata["Name"], found.version) == (NAME, PROJECT["version"])
    drivers = {entry.name for entry in found.entry_points if entry.group == "osiris.components"}
    assert drivers == set(PROJECT["entry-points"]["osiris.components"])
