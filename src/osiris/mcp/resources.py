"""What agents can read by address: the language, components, codes, and what is told of runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris import api
from osiris.errors import fail
from osiris.mcp import legacy_tools

if TYPE_CHECKING:
    from osiris.api import Workspace
    from osiris.model import JsonValue

SCHEMA = "osiris://schema/oml"
TEMPLATES = {
    "osiris://components/{name}": "A component: its config, examples and delivery.",
    "osiris://codes/{code}": "What a code means.",
    "osiris://runs/{session}/card": "What happened in a run, for reading.",
    "osiris://runs/{session}/package": "Everything that is told of a run, for programs.",
}
RECENT = 20
"""Run cards that are listed; those of all other runs can be read as well."""

JSON, TEXT = "application/json", "text/markdown"


def listed(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return what there is to read: address, name and kind."""
    schema = {"uri": SCHEMA, "name": "oml-schema", "mime": JSON}
    sessions = [str(run["session"]) for run in api.list_sessions(workspace)[:RECENT]]
    cards = [{"uri": f"osiris://runs/{name}/card", "name": f"run {name}", "mime": TEXT} for name in sessions]
    return [schema, *cards]


def read(workspace: Workspace, uri: str) -> tuple[str, JsonValue]:
    """Return the kind of what stands at an address, and what it is: data, or text; fails with MCP004."""
    address = legacy_tools.resource(uri)
    found = _found(workspace, address.removeprefix("osiris://").split("/"))
    if found is None:
        fail("MCP004", what="resource", name=uri[:200], hint=f"known: {SCHEMA}, {', '.join(TEMPLATES)}")
    return found


def _found(workspace: Workspace, parts: list[str]) -> tuple[str, JsonValue] | None:
    match parts:
        case ["schema", "oml"]:
            return JSON, api.pipeline_schema()
        case ["components", name]:
            return JSON, api.show_component(name)
        case ["codes", code]:
            return JSON, api.explain_code(code.upper())
        case ["runs", session, "card"]:
            return TEXT, api.package(workspace, session, {}).card
        case ["runs", session, "package"]:
            return JSON, json.loads(api.package(workspace, session, {}).content)
        case _:
            return None
