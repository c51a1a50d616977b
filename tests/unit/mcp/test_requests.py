"""The examples and texts about requests that agents get are correct."""

from jsonschema import Draft202012Validator

from osiris.api import open_project, validate_file
from osiris.mcp.pages import BUDGET, size_of
from osiris.mcp.requests import EXAMPLE, oml_of, request_document

MOST = BUDGET * 5 // 6
"""So much leaves room for what a project has of its own: names of connections, and what is wrong with it."""


def test_the_example_has_the_shape_that_is_told_and_becomes_a_pipeline(tmp_path):
    (tmp_path / "osiris.yaml").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "orders.csv").write_text("status,ordered_on,amount\npaid,2025-01-31,2.50\n")
    workspace = open_project(tmp_path, {})
    told = request_document(workspace)
    Draft202012Validator.check_schema(told["schema"])
    Draft202012Validator(told["schema"]).validate(EXAMPLE)
    assert size_of(told) < MOST
    text = oml_of(workspace, EXAMPLE)
    checked = validate_file(workspace, tmp_path / "x.yaml", params={}, text=text)
    assert [item.code for item in checked.diagnostics if item.severity != "note"] == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".osiris") == ["data", "osiris.yaml"]
