"""What agents may access: local files of the project, and the stores of declared connections."""

import pytest

from osiris.api.opening import open_project
from osiris.errors import InvalidInput, OsirisError
from osiris.mcp.requests import check_steps, source_inside
from osiris.model import ConnectionRef, Pipeline, Step


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    return open_project(tmp_path, {})


def reading(path, connection=None):
    step = Step("r", "filesystem.csv_extractor", "read", {"path": path}, connection=connection, pointer="/steps/0")
    return Pipeline("p", (step,))


@pytest.mark.parametrize(
    ("path", "connection"),
    [
        ("s3://lake/x.csv", None),
        ("az://lake/x.csv", None),
        ("gs://lake/x.csv", None),
        ("x.csv", ConnectionRef("s3", "lake")),
    ],
)
def test_a_store_is_reached_by_its_connection(workspace, path, connection):
    check_steps(workspace, reading(path, connection))


@pytest.mark.parametrize("path", ["file:///etc/x.csv", "/etc/x.csv"])
def test_files_elsewhere_are_not_reached_by_a_url_either(workspace, path):
    with pytest.raises(InvalidInput) as caught:
        check_steps(workspace, reading(path))
    assert [item.code for item in caught.value.diagnostics] == ["MCP002"]


def test_discovery_is_asked_for_stores_and_not_for_files_elsewhere(workspace):
    assert source_inside(workspace.root, "s3://lake/in/") == "s3://lake/in/"
    with pytest.raises(OsirisError):
        source_inside(workspace.root, "file:///etc/passwd")
