"""The tools' descriptions are consistent."""

from jsonschema import Draft202012Validator

from osiris.api import open_project, validate_file
from osiris.mcp import tools
from osiris.mcp.definitions import INSTRUCTIONS, PROMPTS, TOOLS
from osiris.mcp.hints import _BY_CODE, _BY_PREFIX, _TOOLS_BY_COMMAND


def test_every_tool_has_an_answer_and_a_schema():
    for name, tool in TOOLS.items():
        Draft202012Validator.check_schema(tool.schema)
        assert set(tool.required) <= tool.arguments.keys()
        assert hasattr(tools, name) or hasattr(tools, f"{name}_")


def test_texts_name_tools_that_there_are():
    named = (*_BY_CODE.values(), *_BY_PREFIX.values(), *_TOOLS_BY_COMMAND.values())
    assert {text.partition(" ")[0] for text in named} <= TOOLS.keys()
    for text in (INSTRUCTIONS, *(prompt.text for prompt in PROMPTS.values())):
        words = {word.strip(",.;:()`") for word in text.split()}
        assert {word for word in words if "_" in word and "." not in word} - {"next_cursor"} <= TOOLS.keys()


def test_the_example_of_the_schema_is_a_pipeline(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    checked = validate_file(open_project(tmp_path, {}), tmp_path / "x.yaml", params={}, text=tools._EXAMPLE)
    assert [item.code for item in checked.diagnostics if item.severity != "note"] == []


def test_what_destroys_changes():
    assert all(tool.changes for tool in TOOLS.values() if tool.destroys)
