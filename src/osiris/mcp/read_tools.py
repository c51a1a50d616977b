"""Tools that look: connections, what they have, components, the language; and what can be read by address."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris import api
from osiris.errors import fail
from osiris.mcp.definitions import SCHEMA, TEMPLATES, current_uri
from osiris.mcp.pages import Reply
from osiris.mcp.path_policy import source_inside
from osiris.mcp.requests import request_document
from osiris.registry import matching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from osiris.api import Workspace
    from osiris.model import JsonValue

    Arguments = Mapping[str, JsonValue]

_TABLES_WITH_COLUMNS = 12
"""Of more tables than these, only names are told, unless one asks for some of them."""


def connections_list(workspace: Workspace, _arguments: Arguments) -> Reply:
    """Answer as `osiris connections list`."""
    found = api.list_connections(workspace)
    follow_up = [("discover", {"target": found[0]["reference"]})] if found else []
    return Reply({"connections": found}, "connections", next=follow_up)


def connections_doctor(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris connections doctor`."""
    names = arguments.get("connections", ())
    if not all(name.startswith("@") for name in names):
        fail("MCP005", problem="'/connections' has references", hint="such as @postgres.shop")
    found = api.examine_connections(workspace, names)
    works = [each.connection for each in found if each.works]
    return Reply(
        {"connections": [each.to_json() for each in found]},
        "connections",
        item=_picker("reference", "works", "uses", "grade", "reasons", "codes"),
        diagnostics=[item for each in found for item in each.diagnostics],
        next=[("discover", {"target": works[0]})] if works else [("connections_list", {})],
        ok=all(each.works is not False for each in found),
    )


def _picker(*keys: str) -> Callable[[JsonValue], JsonValue]:
    return lambda item: {key: item[key] for key in keys}


def discover(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris discover`; rows as they are (`--samples raw`) are for people only."""
    target = source_inside(workspace.root, arguments["target"])
    samples, profile = arguments.get("samples", "none"), bool(arguments.get("profile"))
    if arguments.get("columns") and not (profile or samples != "none"):
        fail("MCP005", problem="'/columns' says what to profile", hint="add profile or samples")
    found = api.discover(
        workspace,
        target,
        arguments.get("tables", ()),
        columns=arguments.get("columns", ()),
        profile=profile,
        samples=samples,
        refresh=bool(arguments.get("refresh")),
    )
    data = found.to_json()
    many = len(data["tables"]) > _TABLES_WITH_COLUMNS
    steps = [table["step"] for table in data["tables"] if table["step"]]
    follow_up = [("component_get", {"name": steps[0]["component"]})] if steps else []
    if many:
        follow_up = [("discover", {"target": target, "tables": [data["tables"][0]["name"]]})]
    return Reply(
        data,
        "tables",
        item=_table_name if many else _table,
        brief=_picker("source", "product", "schema", "schemas", "closed"),
        diagnostics=found.diagnostics,
        next=follow_up,
    )


def _table_name(table: JsonValue) -> JsonValue:
    return {key: table[key] for key in ("name", "kind", "rows", "comment") if table[key] is not None}


def _table(table: JsonValue) -> JsonValue:
    kept = ("primary_key", "unique", "foreign_keys", "closed", "step", "profile")
    columns = [_column(column) for column in table["columns"] or ()]
    return {**_table_name(table), "columns": columns, **{key: table[key] for key in kept if table[key]}}


def _column(column: JsonValue) -> JsonValue:
    told = {key: column[key] for key in ("default", "comment", "problem") if column[key] is not None}
    nullable = {} if column["nullable"] else {"nullable": False}
    return {"name": column["name"], "type": column["type"] or column["source_type"], **nullable, **told}


def component_get(_workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris components show`; without a name as `osiris components list`."""
    name = arguments.get("name")
    if name is None:
        return _components(arguments)
    spec = {**api.show_component(name), "shared": api.shared_config(name)}
    return Reply(spec, brief=_component, next=[("oml_validate", {})])


def _components(arguments: Arguments) -> Reply:
    """Return the components that all words of a query are found in."""
    found, problems = api.list_components(arguments.get("mode"))
    named = _named(found, str(arguments.get("query") or "").casefold())
    fitting = [each for each in found if each["name"] in named]
    keys = ("name", "title", "modes", "connection", "delivery")
    return Reply(
        {"components": fitting},
        "components",
        item=lambda item: {key: item[key] for key in keys if item[key]},
        diagnostics=problems,
        next=[("component_get", {"name": fitting[0]["name"]} if fitting else {})],
    )


def _named(components: Sequence[Mapping[str, JsonValue]], query: str) -> list[str]:
    """Return the names of the components that have all words of a query in what they say, or are called nearly so."""
    said = ("name", "title", "description", "family")
    texts = {each["name"]: " ".join(str(each[key]) for key in said).casefold() for each in components}
    by_text = [name for name, text in texts.items() if all(word in text for word in query.split())]
    return [*by_text, *matching(query, list(texts))] or matching(query, list(texts), loosely=True)


def _component(spec: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    kept = ("name", "description", "modes", "connection", "inputs", "output", "delivery", "examples")
    required = spec["config"].get("required", ())
    config = {
        name: {key: value for key, value in field.items() if not key.startswith("x-") and key != "title"}
        | ({"required": True} if name in required else {})
        for name, field in spec["config"]["properties"].items()
        if not field.get("x-internal")
    }
    return {**{key: spec[key] for key in kept}, "config": config}


def oml_schema(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris schema`; of requests, with what one may say here."""
    if arguments.get("of") == "request":
        return Reply(request_document(workspace), uncut=("schema",), next=[("compile", {})])
    return Reply(api.pipeline_schema(), brief=_outline, next=[("component_get", {})])


def _outline(schema: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Return the schema without what is said of single components."""
    steps = schema["properties"]["steps"]
    items = {key: value for key, value in steps["items"].items() if key not in ("allOf", "anyOf", "oneOf")}
    own = {name: value for name, value in items["properties"].items() if name != "config"}
    config = {"type": "object", "description": "What the component asks for: see component_get."}
    step = {**items, "properties": {**own, "config": config}}
    definitions = {name: value for name, value in schema["$defs"].items() if "." not in name}
    properties = {**schema["properties"], "steps": {**steps, "items": step}}
    return {**schema, "properties": properties, "$defs": definitions, "example": _EXAMPLE}


_EXAMPLE = """\
oml_version: "0.1.0"
name: orders_to_parquet
steps:
  - id: orders
    component: filesystem.csv_extractor
    mode: read
    config: {path: data/orders.csv}
  - id: paid
    component: duckdb.processor
    mode: transform
    needs: [orders]
    config:
      query: SELECT order_id, total FROM orders WHERE status = 'paid'
  - id: save
    component: filesystem.parquet_writer
    mode: write
    needs: [paid]
    config: {path: output/orders.parquet}
"""


RECENT = 20
"""Run cards that are listed; those of all other runs can be read as well."""

JSON, TEXT = "application/json", "text/markdown"


def resources(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return what there is to read: address, name and kind."""
    schema = {"uri": SCHEMA, "name": "oml-schema", "mime": JSON}
    sessions = [str(run["session"]) for run in api.list_sessions(workspace)[:RECENT]]
    cards = [{"uri": f"osiris://runs/{name}/card", "name": f"run {name}", "mime": TEXT} for name in sessions]
    return [schema, *cards]


def resource(workspace: Workspace, uri: str) -> tuple[str, JsonValue]:
    """Return the kind of what stands at an address, and what it is: data, or text; fails with MCP004."""
    address = current_uri(uri)
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
