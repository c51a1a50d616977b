"""The tools, each equivalent to a command, and the resources."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from osiris import api
from osiris.document import load_text
from osiris.errors import OsirisError, fail, has_errors
from osiris.families.pii import hidden
from osiris.files import resolve_path
from osiris.history.failures import cause_code
from osiris.mcp.definitions import RUN, SCHEMA, TEMPLATES, current_uri
from osiris.mcp.pages import Reply
from osiris.mcp.requests import check_steps, inside, oml_of, request_document, source_inside
from osiris.registry import load_registry, matching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.model import JsonValue

    Arguments = Mapping[str, JsonValue]
    Progress = Callable[[dict[str, JsonValue]], None]


_DRAFT = "output/draft.yaml"
_HIDDEN = f"{hidden(api.NOT_FOLLOWED)}: columns of a source that its own query computes, or that have no names there"


def oml_validate(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris validate`, for a file or a text."""
    text, path, params = arguments.get("oml"), _path(workspace, arguments, "oml"), _params(arguments)
    if text is None:
        checked = api.validate_files(workspace, [str(path)], params=params)[0]
    else:
        checked = api.validate_file(workspace, path, params=params, text=text)
    follow_up = ("oml_save", {"file": checked.file}) if text is not None else ("compile", {"file": checked.file})
    return Reply(
        api.validated_data([checked]),
        diagnostics=[*workspace.config.diagnostics, *checked.diagnostics],
        next=[follow_up] if checked.ok else [("oml_validate", {})],
        ok=checked.ok,
    )


def oml_save(workspace: Workspace, arguments: Arguments) -> Reply:
    """Save a valid pipeline; returns its file and digest."""
    text = _text_of(workspace, arguments)
    if text is None:
        fail("MCP005", problem="needs oml or request", hint="pass the text of the pipeline as oml")
    saved = api.save_draft(workspace, text, arguments["file"], replaces=arguments.get("replaces"))
    return Reply(saved.to_json(), diagnostics=saved.checked.diagnostics, next=[("compile", {"file": saved.file})])


def compile_(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris compile --explain`, with the OML of a request even if it does not compile.

    Paths out of the project are rejected before a source is queried. The plan of a text is not saved.
    """
    text = _text_of(workspace, arguments)
    extra = {"oml": text} if "request" in arguments else {}
    try:
        return _compiled(workspace, arguments, text, extra)
    except OsirisError as error:
        if not extra:
            raise
        return Reply(extra, uncut=tuple(extra), diagnostics=error.diagnostics, ok=False)


def _compiled(workspace: Workspace, arguments: Arguments, given: str | None, extra: Mapping[str, JsonValue]) -> Reply:
    text, path, params = _checked(workspace, arguments, given)
    compiled = api.compile_file(workspace, path, params=params, refresh=bool(arguments.get("refresh")), text=text)
    view = api.view_plan(workspace, compiled)
    data = {**extra, **api.compiled_data(compiled, view)}
    if grown := api.multiplied(workspace, compiled):
        data["multiplies"] = [each.words() for each in grown]
    if given is None:
        data["manifest"] = api.save(workspace, compiled)
    follow_up = (RUN, {"fingerprint": compiled.manifest.fingerprint})
    if given is not None:
        follow_up = ("oml_save", {"file": arguments.get("file") or f"pipelines/{compiled.manifest.name}.yaml"})
    return Reply(data, brief=_brief_plan, uncut=tuple(extra), diagnostics=compiled.diagnostics, next=[follow_up])


def _text_of(workspace: Workspace, arguments: Arguments) -> str | None:
    """Return the OML given as `oml` or made from `request`; None if only a file is named."""
    if "oml" in arguments and "request" in arguments:
        fail("MCP005", problem="oml and request exclude each other", hint="remove one of them")
    return oml_of(workspace, arguments["request"]) if "request" in arguments else arguments.get("oml")


def _path(workspace: Workspace, arguments: Arguments, *texts: str) -> Path:
    """Return the path of a pipeline's file, or of the draft for a text."""
    if arguments.keys().isdisjoint((*texts, "file")):
        fail("MCP005", problem=f"needs {', '.join(texts)} or file", hint="pass the text of the pipeline as oml")
    return resolve_path(workspace.root, inside(workspace.root, arguments.get("file") or _DRAFT))


def _checked(workspace: Workspace, arguments: Arguments, given: str | None) -> tuple[str, Path, dict[str, str]]:
    """Return the text, given or read from the file, its path and params; fails with MCP002 for inaccessible files."""
    path, params = _path(workspace, arguments, "oml", "request"), _params(arguments)
    content = load_text(path, os.path.relpath(path, workspace.root)) if given is None else given
    checked = api.validate_file(workspace, path, params=params, text=content)
    if checked.prepared:
        check_steps(workspace, checked.prepared.pipeline)
    return content, path, params


def preview(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris preview`, with few rows and personal data masked."""
    given = _text_of(workspace, arguments)
    text, path, params = _checked(workspace, arguments, given)
    previewed = api.masked_preview(workspace, text, path, arguments.get("step"), params=params)
    tables = [
        {
            "step": table.step,
            "columns": [f"{column.name} {column.type}" for column in table.schema],
            "rows": table.rows,
            "row_count": table.total,
        }
        for table in previewed.tables
    ]
    data = {"tables": tables, "unchecked": list(previewed.unchecked)}
    if any(hidden(api.NOT_FOLLOWED) in row for table in previewed.tables for row in table.rows):
        data["hidden"] = _HIDDEN
    if previewed.cut:
        data["only_the_first_rows_of"] = dict.fromkeys(previewed.cut, previewed.sample)
    follow_up = ("compile", {"file": previewed.file} if given is None else {})
    return Reply(data, diagnostics=previewed.diagnostics, next=[follow_up])


def _brief_plan(data: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    plan = data["plan"]
    keys = ("id", "component", "mode", "inputs", "label", "rows")
    steps = [
        {key: step[key] for key in keys if step[key]} | {"columns": _columns(step["columns"])} for step in plan["steps"]
    ]
    head = {key: data[key] for key in ("oml", "name", "fingerprint", "manifest", "multiplies") if key in data}
    return {
        **head,
        "previous": plan["previous"],
        "outputs": [_output(output) for output in plan["read_back"]],
        "targets": plan["targets"],
        "new_flows": [{"source": f["source"], "target": f["target"]} for f in plan["new_flows"]],
        "steps": steps,
        "changed_sources": {name: each["changes"] for name, each in data["sources"].items() if each["changes"]},
    }


def _columns(columns: JsonValue) -> list[str]:
    return [f"{column['name']} {column['type']}" for column in columns or ()]


def _output(output: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    grain = output["grain"]
    return {"grain": None if grain is None else [column["name"] for column in grain], "read_back": output["lines"]}


def run(workspace: Workspace, arguments: Arguments, progress: Progress) -> Reply:
    """Answer as `osiris run FINGERPRINT`."""
    from osiris.runner.host.run import RunOptions

    new_run, run_id = bool(arguments.get("new_run")), arguments.get("run_id")
    if new_run and run_id:
        fail("MCP005", problem="new_run and run_id exclude each other", hint="remove one of them")
    options = RunOptions(new_run=new_run, run_id=run_id)
    plan = api.confirmed_plan(workspace, arguments["fingerprint"])
    result, notes = api.run_target(workspace, plan, options, progress, params={})
    data = api.run_data(workspace, result)
    result.acknowledge()
    return Reply(
        data,
        brief=_brief_run,
        diagnostics=[*notes, *result.diagnostics],
        next=[("run_explain", {"session": result.session_id})],
        ok=result.exit_code == 0,
    )


def _brief_run(data: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    keys = ("status", "rows_in", "rows_out", "rows_rejected")
    steps = {name: {key: step[key] for key in keys if key in step} for name, step in data["steps"].items()}
    written = {
        name: {"rows": output["rows"], "files": [file["path"] for file in output["files"]]}
        for name, output in data["outputs"].items()
    }
    head = {key: data[key] for key in ("session", "status", "run_key", "findings")}
    return {**head, "written": written, "steps": steps}


_MARKED = 20
"""Number of newest sessions listed with findings, for which each is read."""


def runs_list(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris logs list`, optionally for one pipeline or status."""
    sessions = api.list_sessions(workspace)
    filters = {key: arguments[key] for key in ("pipeline", "status") if key in arguments}
    matches = [each for each in sessions if all(each.get(key) == value for key, value in filters.items())]
    return Reply(
        {"sessions": matches, "total": len(matches), "findings": api.marks_of(workspace, matches[:_MARKED])},
        "sessions",
        item=_brief_session,
        next=[("run_explain", {"session": matches[0]["session"]})] if matches else [],
    )


def _brief_session(run: JsonValue) -> JsonValue:
    keys = ("session", "pipeline", "status", "started_at", "duration_ms", "rows_in", "rows_out")
    fields = {key: run.get(key) for key in keys}
    fields |= {"plan": str(run.get("fingerprint"))[:12], "error": cause_code(run)}
    return {key: value for key, value in fields.items() if value is not None}


def run_explain(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer with the package of a run, as `osiris logs aiop`; if brief, with its answer section."""
    extra = api.package(workspace, arguments.get("session") or "last", {})
    status = extra.document["answer"]["verdict"]["status"]
    return Reply(
        {"session": extra.session, "package": dict(extra.document)},
        brief=lambda data: {"session": data["session"], "answer": data["package"]["answer"]},
        diagnostics=extra.diagnostics if arguments.get("detail") == "full" else extra.losses,
        next=[("runs_list", {})] if status == "complete" else [("oml_validate", {})],
        ok=not has_errors(extra.diagnostics),
    )


def _params(arguments: Arguments) -> dict[str, str]:
    """Return parameters in the form of `--param`."""
    given = arguments.get("params") or {}
    return {name: value if isinstance(value, str) else api.one_line(value) for name, value in given.items()}


_TABLES_WITH_COLUMNS = 12
"""With more tables than this, only names are listed."""


def connections_list(workspace: Workspace, _arguments: Arguments) -> Reply:
    """Answer as `osiris connections list`."""
    connections = api.list_connections(workspace)
    follow_up = [("discover", {"target": connections[0]["reference"]})] if connections else []
    return Reply({"connections": connections}, "connections", next=follow_up)


def connections_doctor(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris connections doctor`."""
    names = arguments.get("connections", ())
    if not all(name.startswith("@") for name in names):
        fail("MCP005", problem="'/connections' must list references", hint="for example @postgres.shop")
    reports = api.examine_connections(workspace, names)
    works = [each.connection for each in reports if each.works]
    return Reply(
        {"connections": [each.to_json() for each in reports]},
        "connections",
        item=_picker("reference", "works", "uses", "grade", "reasons", "codes"),
        diagnostics=[item for each in reports for item in each.diagnostics],
        next=[("discover", {"target": works[0]})] if works else [("connections_list", {})],
        ok=all(each.works is not False for each in reports),
    )


def _picker(*keys: str) -> Callable[[JsonValue], JsonValue]:
    return lambda item: {key: item[key] for key in keys}


def discover(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris discover`; raw rows (`--samples raw`) are for people only."""
    target = source_inside(workspace.root, arguments["target"])
    samples, profile = arguments.get("samples", "none"), bool(arguments.get("profile"))
    if arguments.get("columns") and not (profile or samples != "none"):
        fail("MCP005", problem="'/columns' selects columns to profile", hint="add profile or samples")
    discovery = api.discover(
        workspace,
        target,
        arguments.get("tables", ()),
        columns=arguments.get("columns", ()),
        profile=profile,
        samples=samples,
        refresh=bool(arguments.get("refresh")),
    )
    data = discovery.to_json()
    many = len(data["tables"]) > _TABLES_WITH_COLUMNS
    steps = [table["step"] for table in data["tables"] if table["step"]]
    follow_up = [("component_get", {"name": steps[0]["component"]})] if steps else []
    if many:
        follow_up = [("discover", {"target": target, "tables": [data["tables"][0]["name"]]})]
    return Reply(
        data,
        "tables",
        item=_table_name if many else _brief_table,
        brief=_picker("source", "product", "schema", "schemas", "closed"),
        diagnostics=discovery.diagnostics,
        next=follow_up,
    )


def _table_name(table: JsonValue) -> JsonValue:
    return {key: table[key] for key in ("name", "kind", "rows", "comment") if table[key] is not None}


def _brief_table(table: JsonValue) -> JsonValue:
    optional = ("primary_key", "unique", "foreign_keys", "closed", "step", "profile")
    columns = [_brief_column(column) for column in table["columns"] or ()]
    return {**_table_name(table), "columns": columns, **{key: table[key] for key in optional if table[key]}}


def _brief_column(column: JsonValue) -> JsonValue:
    details = {key: column[key] for key in ("default", "comment", "problem") if column[key] is not None}
    nullable = {} if column["nullable"] else {"nullable": False}
    return {"name": column["name"], "type": column["type"] or column["source_type"], **nullable, **details}


def component_get(_workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris components show`; without a name as `osiris components list`."""
    name = arguments.get("name")
    if name is None:
        return _components(arguments)
    spec = {**api.show_component(name), "shared": load_registry().shared_config(name)}
    return Reply(spec, brief=_brief_component, next=[("oml_validate", {})])


def _components(arguments: Arguments) -> Reply:
    """Return the components that match all words of a query."""
    components, problems = api.list_components(arguments.get("mode"))
    names = _matching_names(components, str(arguments.get("query") or "").casefold())
    matches = [each for each in components if each["name"] in names]
    keys = ("name", "title", "modes", "connection", "delivery")
    return Reply(
        {"components": matches},
        "components",
        item=lambda item: {key: item[key] for key in keys if item[key]},
        diagnostics=problems,
        next=[("component_get", {"name": matches[0]["name"]} if matches else {})],
    )


def _matching_names(components: Sequence[Mapping[str, JsonValue]], query: str) -> list[str]:
    """Return the names of components whose texts contain all words of a query, or with a similar name."""
    keys = ("name", "title", "description", "family")
    texts = {each["name"]: " ".join(str(each[key]) for key in keys).casefold() for each in components}
    by_text = [name for name, text in texts.items() if all(word in text for word in query.split())]
    return [*by_text, *matching(query, list(texts))] or matching(query, list(texts), loosely=True)


def _brief_component(spec: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    keys = ("name", "description", "modes", "connection", "inputs", "output", "delivery", "examples")
    required = spec["config"].get("required", ())
    config = {
        name: {key: value for key, value in field.items() if not key.startswith("x-") and key != "title"}
        | ({"required": True} if name in required else {})
        for name, field in spec["config"]["properties"].items()
        if not field.get("x-internal")
    }
    return {**{key: spec[key] for key in keys}, "config": config}


def oml_schema(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris schema`, or with the schema of requests."""
    if arguments.get("of") == "request":
        return Reply(request_document(workspace), uncut=("schema",), next=[("compile", {})])
    return Reply(api.pipeline_schema(), brief=_outline, next=[("component_get", {})])


def _outline(schema: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Return the schema without the parts for single components."""
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
"""Number of run cards listed; those of other runs can be read, too."""
JSON, TEXT = "application/json", "text/markdown"


def resources(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return the resources: URI, name and MIME type."""
    schema = {"uri": SCHEMA, "name": "oml-schema", "mime": JSON}
    sessions = [str(run["session"]) for run in api.list_sessions(workspace)[:RECENT]]
    cards = [{"uri": f"osiris://runs/{name}/card", "name": f"run {name}", "mime": TEXT} for name in sessions]
    return [schema, *cards]


def resource(workspace: Workspace, uri: str) -> tuple[str, JsonValue]:
    """Return the MIME type and the content of a resource; fails with MCP004 or PRJ010."""
    address = current_uri(uri)
    content = _content_of(workspace, address.removeprefix("osiris://").split("/"))
    if content is None:
        fail("MCP004", what="resource", name=uri[:200], hint=f"available: {SCHEMA}, {', '.join(TEMPLATES)}")
    return content


def _content_of(workspace: Workspace, parts: list[str]) -> tuple[str, JsonValue] | None:
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
