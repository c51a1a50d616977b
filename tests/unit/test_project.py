import os

import pytest

from osiris.errors import InvalidInput
from osiris.project import Project, find_project


@pytest.fixture
def root(tmp_path):
    (tmp_path / "osiris.yaml").touch()
    return tmp_path


def test_the_nearest_folder_upwards_with_osiris_yaml_is_the_project(root):
    below = root / "a" / "b"
    below.mkdir(parents=True)
    assert find_project(below, {}) == Project(root)
    (root / "a" / "osiris.yaml").touch()
    assert find_project(below, {}) == Project(root / "a")


def test_without_a_start_osiris_home_counts_before_the_working_directory(root, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    (other / "osiris.yaml").touch()
    monkeypatch.chdir(root)
    assert find_project(None, {"OSIRIS_HOME": str(other)}) == Project(other)
    assert find_project(None, {"OSIRIS_HOME": ""}) == Project(root)
    assert find_project(root, {"OSIRIS_HOME": str(other)}) == Project(root)


def test_a_link_leads_to_the_real_folder(root, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(root)
    assert find_project(link, {}).root == root


@pytest.mark.parametrize("start", ["nowhere", "."])
def test_no_project_is_said_with_its_start(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        find_project(tmp_path / start, {})
    assert caught.value.diagnostics[0].code == "PRJ001"
    assert str(tmp_path) in str(caught.value)


def test_a_folder_of_that_name_is_no_mark(tmp_path):
    (tmp_path / "osiris.yaml").mkdir()
    with pytest.raises(InvalidInput, match="PRJ001"):
        find_project(tmp_path, {})


def test_everything_lies_below_the_root(root):
    project = Project(root)
    paths = {name: getattr(project, name) for name in dir(Project) if not name.startswith("_") and name != "root"}
    names = {name: os.fspath(path.relative_to(root)) for name, path in paths.items()}
    assert (
        names.items()
        >= {
            "build": "build",
            "config_file": "osiris.yaml",
            "connections_file": "osiris_connections.yaml",
            "env_file": ".env",
            "last_compile": ".osiris/last_compile.json",
            "logs": "logs",
            "output": "output",
            "pipelines": "pipelines",
            "state": ".osiris",
        }.items()
    )
    assert len(set(names.values())) == len(names)
