"""Hints for agents name tools, not commands."""

from osiris import api
from osiris.errors import diagnostic
from osiris.mcp.call import for_agents, next_tools
from osiris.mcp.tools import component_get


def test_hints_name_tools_where_they_name_commands():
    assert for_agents("see 'osiris logs list'") == "see runs_list"
    assert for_agents("see 'osiris components list'") == "see component_get"
    assert for_agents("declare it") == "declare it"
    assert for_agents(None) is None


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
