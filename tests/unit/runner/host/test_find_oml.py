"""The OML file of a plan is found by the name that it declares."""

import pytest

from osiris.project import Project
from osiris.runner.host.recorder import find_oml


@pytest.mark.parametrize("line", ["name: shop", 'name: "shop"  # ours', "name:   'shop' ", "name: shop\r"])
def test_the_file_that_declares_the_name(tmp_path, line):
    folder = tmp_path / "pipelines" / "below"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text(f'oml_version: "0.1.0"\n{line}\nsteps:\n  - name: other\n')
    (tmp_path / "pipelines" / "b.yml").write_text("name: shopping\n")
    (tmp_path / "pipelines" / "c.txt").write_text("name: shop\n")
    assert find_oml(Project(tmp_path), "shop") == "pipelines/below/a.yaml"
    assert find_oml(Project(tmp_path), "other") is None


def test_two_files_of_one_name_are_none(tmp_path):
    (tmp_path / "pipelines").mkdir()
    for name in ("a", "b"):
        (tmp_path / "pipelines" / f"{name}.yaml").write_text("name: shop\n")
    assert find_oml(Project(tmp_path), "shop") is None
    assert find_oml(Project(tmp_path / "elsewhere"), "shop") is None
