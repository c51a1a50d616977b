"""Hints for agents name tools, not commands."""

import re
from pathlib import Path

import pytest

import osiris
from osiris import api
from osiris.codes import CODES
from osiris.errors import diagnostic
from osiris.mcp.hints import advised, for_agents, next_tools
from osiris.mcp.tools import component_get

FORMS = [
    ("see 'osiris logs list'", "see runs_list"),
    ("see 'osiris components list'", "see component_get"),
    ("correct it; 'osiris new --help' lists the options", "correct it; oml_schema with of: request lists the options"),
    ("run 'osiris compile FILE --refresh' first", "run compile with refresh: true first"),
    (
        "grant what 'osiris connections doctor @a.b --grants' prints",
        "grant what connections_doctor with detail: full prints",
    ),
    ("'osiris explain PLAN' lists the steps", "compile lists the steps"),
    ("'osiris explain s1' shows it", "run_explain shows it"),
    ("inspect it: osiris compile a.yaml", "inspect it: compile"),
    ("(if it changed: osiris compile FILE --refresh)", "(if it changed: compile with refresh: true)"),
    ("declare it in osiris.yaml", "declare it in osiris.yaml"),
    ("run 'osiris fmt'", "run 'osiris fmt'; a person runs that command"),
    ("'osiris logs show --rows' has them", "'osiris logs show --rows' has them; a person runs that command"),
    ("a person may start 'osiris mcp'", "a person may start 'osiris mcp'"),
    ("use one of: osiris run, osiris copy", "use one of: osiris run, osiris copy; a person runs that command"),
    (None, None),
]


@pytest.mark.parametrize(("hint", "expected"), FORMS)
def test_hints_name_tools_where_they_name_commands(hint, expected):
    assert for_agents(hint, allow_run=False) == expected


def test_running_is_a_tool_only_where_it_is_allowed():
    hint = "start a new run: osiris run FILE --new-run"
    assert for_agents(hint, allow_run=True) == "start a new run: run with new_run: true"
    assert for_agents(hint, allow_run=False) == f"{hint}; a person runs that command"


WITHOUT_A_TOOL = (
    *(
        "chat",
        "config explain",
        "diff",
        "export",
        "fmt",
        "init",
        "lineage",
        "logs bundle",
        "logs gc",
        "logs show --rows",
    ),
    *("mcp", "notify test", "prompts dump", "run", "sandboxes build", "schedule", "state", "new --resume"),
    "schema --out",
)
"""Commands in hints that an agent cannot run: they are for people, or need what no tool offers."""


def texts_of_hints():
    """Return the hints of all codes, and every command that is named elsewhere, except by commands themselves."""
    yield from (code.hint for code in CODES.values() if code.hint)
    for path in Path(osiris.__file__).parent.rglob("*.py"):
        if "cli" not in path.parts:
            yield from re.findall(r"'osiris [^'\n]+'|: osiris [^'\n\"]+", path.read_text(encoding="utf-8"))


def test_no_hint_leaves_a_command_for_which_there_is_a_tool():
    texts = [text for text in texts_of_hints() if re.search(r"'osiris [a-z]|: osiris [a-z]", text)]
    left = {text for hint in texts for text in re.findall(r"'osiris ([^']+)'", for_agents(hint, allow_run=False))}
    assert {text for text in left if not text.startswith(WITHOUT_A_TOOL)} == set()
    assert len(texts) > 80


def test_problems_inside_an_answer_have_hints_for_agents_too():
    problem = {"code": "RUN010", "message": "x", "hint": "see 'osiris logs list'"}
    failure = {"code": "DAT014", "cause": "x", "remedy": "run 'osiris compile FILE --refresh'"}
    answer = advised(
        {"connections": [{"problems": [problem]}], "failure": failure, "hint": "'osiris logs list'"}, allow_run=False
    )
    assert answer["connections"][0]["problems"][0]["hint"] == "see runs_list"
    assert answer["failure"]["remedy"] == "run compile with refresh: true"
    assert answer["hint"] == "'osiris logs list'"  # a column of rows, for example


def found(tmp_path, query):
    (tmp_path / "osiris.yaml").touch()
    reply = component_get(api.open_project(tmp_path, {}), {"query": query})
    return [each["name"] for each in reply.data["components"]]


def test_components_are_found_by_the_words_of_other_tools(tmp_path):
    assert "filesystem.csv_extractor" in found(tmp_path, "csv reader")
    assert found(tmp_path, "mariadb sink") == ["mysql.writer"]
    assert found(tmp_path, "excel reader") == []


def test_a_wrong_request_leads_to_the_schema_of_requests():
    found = [diagnostic("CHT041", problem="x"), diagnostic("SQL007", what="x"), diagnostic("CHT001", problem="x")]
    assert next_tools(found) == [("oml_schema", {"of": "request"}), ("discover", {})]
