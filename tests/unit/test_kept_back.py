from pathlib import Path

import pytest

from osiris.errors import OsirisError
from osiris.kept_back import key_files, refuse_kept_back
from osiris.project import Project
from osiris.registry import load_registry
from osiris.runner.bundle import refuse_outside
from osiris.runner.reach import Reach


def is_refused(root, path, **options):
    found = []
    try:
        refuse_kept_back(root, path, **options)
    except OsirisError as error:
        found = [item.code for item in error.diagnostics]
    assert found in ([], ["DRV049"])
    return bool(found)


def test_the_files_of_a_project_are_kept_back(tmp_path):
    project = Project(tmp_path)
    for path in (project.env_file, project.config_file, project.connections_file, project.lock_file, project.cache):
        assert is_refused(tmp_path, path)
        assert is_refused(tmp_path, path, writing=True)
    assert is_refused(tmp_path, project.state)
    assert is_refused(tmp_path, project.logs / "a" / "events.jsonl", writing=True)
    assert not is_refused(tmp_path, project.logs / "a" / "events.jsonl")


@pytest.mark.parametrize("path", ["data/.env", ".envy", ".osiris.csv", "logs.csv", "output/logs/x", "sub/osiris.yaml"])
def test_others_of_such_names_are_not(tmp_path, path):
    assert not is_refused(tmp_path, tmp_path / path, writing=True)


def test_links_are_followed_on_both_sides(tmp_path):
    root, there = tmp_path / "root", tmp_path / "there"
    root.mkdir()
    there.write_text("A=1\n")
    (root / ".env").symlink_to(there)
    (tmp_path / "way").symlink_to(root)
    assert is_refused(root, there)
    assert is_refused(root, tmp_path / "way" / ".env")
    assert is_refused(tmp_path / "way", root / ".env")


def test_files_with_keys_are_those_that_connections_name(tmp_path):
    schema = load_registry().family("gcs").fields
    (key,) = key_files(tmp_path, {"bucket": "lake", "service_account_file": "keys/a.json"}, schema)
    assert key == tmp_path / "keys" / "a.json"
    (tmp_path / "keys").mkdir()
    key.write_text("{}")
    (tmp_path / "data.json").symlink_to(key)
    assert is_refused(tmp_path, tmp_path / "data.json", keys=[key])
    assert not is_refused(tmp_path, tmp_path / "data.json")


def test_nothing_of_it_travels(tmp_path):
    (tmp_path / ".env").write_text("A=1\n")
    (tmp_path / "link").symlink_to(".env")
    for name in (".env", "link"):
        with pytest.raises(OsirisError, match="secrets"):
            refuse_outside(tmp_path, Reach(reads=(Path(tmp_path / name),)), "e2b")
