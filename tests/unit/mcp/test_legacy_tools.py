"""One table: every tool of the earlier implementation is one of ours, or has an alternative; none is listed."""

import pytest

from osiris.errors import InvalidInput
from osiris.mcp.definitions import EARLIER_TOOLS, TOOLS, offered, translated

CANONICAL = (
    *("connections_list", "connections_doctor", "components_list", "discovery_request", "usecases_list"),
    *("oml_schema_get", "oml_validate", "oml_save", "guide_start", "memory_capture", "aiop_list", "aiop_show"),
)
ALIASES = ("osiris.introspect_sources", "osiris.validate_oml", "osiris.save_oml", "osiris.guide_start")


@pytest.mark.parametrize("name", [*CANONICAL, *(f"osiris.{name}" for name in CANONICAL), *ALIASES, "oml.schema.get"])
def test_every_name_is_known(name):
    row = EARLIER_TOOLS[name.removeprefix("osiris.").replace(".", "_")]
    if row.instead:
        with pytest.raises(InvalidInput) as found:
            translated(name, {})
        assert found.value.diagnostics[0].code == "PRJ010"
        return
    tool, _ = translated(name, {})
    assert tool in TOOLS
    assert {new for new in row.renamed.values() if new} <= TOOLS[tool].arguments.keys()


def test_none_is_listed():
    names = {tool.name for tool in offered(allow_run=True)}
    assert names & {name for name, row in EARLIER_TOOLS.items() if row.tool != name} == set()


def test_our_own_calls_stay_as_they_are():
    for name, tool in TOOLS.items():
        arguments = dict.fromkeys(tool.arguments, "none")
        assert translated(name, dict(arguments))[0] == name
        kept = translated(name, dict(arguments))[1].keys()
        assert kept == arguments.keys(), name
