"""Tools that work: check, save, compile and run pipelines, and tell of runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from osiris import api
from osiris.document import load_text
from osiris.errors import OsirisError, fail, has_errors
from osiris.families.pii import hidden
from osiris.files import resolve_path
from osiris.history.failures import cause_code
from osiris.mcp.definitions import RUN
from osiris.mcp.pages import Reply
from osiris.mcp.path_policy import check_steps, inside
from osiris.mcp.requests import oml_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.model import JsonValue

    Arguments = Mapping[str, JsonValue]
    Progress = Callable[[dict[str, JsonValue]], None]

_DRAFT = "output/draft.yaml"
_HIDDEN = f"{hidden(api.NOT_FOLLOWED)}: columns of a source that its own query computes, or that have no names there"


def oml_validate(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris validate`, of a file or of a text."""
    text, path, params = arguments.get("oml"), _path(workspace, arguments, "oml"), _params(arguments)
    if text is None:
        checked = api.validate_files(workspace, [str(path)], params=params)[0]
    else:
        checked = api.validate_text(workspace, text, path, params=params)
    follow_up = ("oml_save", {"file": checked.file}) if text is not None else ("compile", {"file": checked.file})
    return Reply(
        api.validated_data([checked]),
        diagnostics=[*workspace.config.diagnostics, *checked.diagnostics],
        next=[follow_up] if checked.ok else [("oml_validate", {})],
        ok=checked.ok,
    )


def oml_save(workspace: Workspace, arguments: Arguments) -> Reply:
    """Save a pipeline that is valid, and say where and with which digest."""
    text = _said(workspace, arguments)
    if text is None:
        fail("MCP005", problem="needs oml or request", hint="pass the text of the pipeline as oml")
    saved = api.save_draft(workspace, text, arguments["file"], replaces=arguments.get("replaces"))
    return Reply(saved.to_json(), diagnostics=saved.checked.diagnostics, next=[("compile", {"file": saved.file})])


def compile_(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris compile --explain`, and with the OML of a request, also if that cannot be compiled.

    One that leads out of the project is refused before a source is asked. The plan of a text is not written.
    """
    text = _said(workspace, arguments)
    made = {"oml": text} if "request" in arguments else {}
    try:
        return _compiled(workspace, arguments, text, made)
    except OsirisError as error:
        if not made:
            raise
        return Reply(made, uncut=tuple(made), diagnostics=error.diagnostics, ok=False)


def _compiled(workspace: Workspace, arguments: Arguments, said: str | None, made: Mapping[str, JsonValue]) -> Reply:
    text, path, params = _checked(workspace, arguments, said)
    compiled = api.compile_text(workspace, text, path, params=params, refresh=bool(arguments.get("refresh")))
    view = api.view_plan(workspace, compiled)
    data = {**made, **api.compiled_data(compiled, view)}
    if grown := api.multiplied(workspace, compiled):
        data["multiplies"] = [each.words() for each in grown]
    if said is None:
        data["manifest"] = api.save(workspace, compiled)
    follow_up = (RUN, {"fingerprint": compiled.manifest.fingerprint})
    if said is not None:
        follow_up = ("oml_save", {"file": arguments.get("file") or f"pipelines/{compiled.manifest.name}.yaml"})
    return Reply(data, brief=_plan, uncut=tuple(made), diagnostics=compiled.diagnostics, next=[follow_up])


def _said(workspace: Workspace, arguments: Arguments) -> str | None:
    """Return the text that an argument is or becomes; None if only a file is named."""
    if "oml" in arguments and "request" in arguments:
        fail("MCP005", problem="oml and request exclude each other", hint="leave one out")
    return oml_of(workspace, arguments["request"]) if "request" in arguments else arguments.get("oml")


def _path(workspace: Workspace, arguments: Arguments, *texts: str) -> Path:
    """Return the place of a pipeline: of its file, or of the draft that a text would be."""
    if arguments.keys().isdisjoint((*texts, "file")):
        fail("MCP005", problem=f"needs {', '.join(texts)} or file", hint="pass the text of the pipeline as oml")
    return resolve_path(workspace.root, inside(workspace.root, arguments.get("file") or _DRAFT))


def _checked(workspace: Workspace, arguments: Arguments, said: str | None) -> tuple[str, Path, dict[str, str]]:
    """Return a text, if none is said then that of the file, and its place; fails with MCP002 if it leads out."""
    path, params = _path(workspace, arguments, "oml", "request"), _params(arguments)
    found = load_text(path, os.path.relpath(path, workspace.root)) if said is None else said
    checked = api.validate_text(workspace, found, path, params=params)
    if checked.prepared:
        check_steps(workspace, checked.prepared.pipeline)
    return found, path, params


def preview(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris preview`, with few rows in which personal data is masked."""
    said = _said(workspace, arguments)
    text, path, params = _checked(workspace, arguments, said)
    seen = api.masked_preview(workspace, text, path, arguments.get("step"), params=params)
    tables = [
        {
            "step": table.step,
            "columns": [f"{column.name} {column.type}" for column in table.schema],
            "rows": table.rows,
            "row_count": table.total,
        }
        for table in seen.tables
    ]
    data = {"tables": tables, "unchecked": list(seen.unchecked)}
    if any(hidden(api.NOT_FOLLOWED) in row for table in seen.tables for row in table.rows):
        data["hidden"] = _HIDDEN
    if seen.cut:
        data["only_the_first_rows_of"] = dict.fromkeys(seen.cut, seen.sample)
    follow_up = ("compile", {"file": seen.file} if said is None else {})
    return Reply(data, diagnostics=seen.diagnostics, next=[follow_up])


def _plan(data: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    plan = data["plan"]
    told = ("id", "component", "mode", "inputs", "label", "rows")
    steps = [
        {key: step[key] for key in told if step[key]} | {"columns": _columns(step["columns"])} for step in plan["steps"]
    ]
    kept = {key: data[key] for key in ("oml", "name", "fingerprint", "manifest", "multiplies") if key in data}
    return {
        **kept,
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
        fail("MCP005", problem="new_run and run_id exclude each other", hint="leave one out")
    options = RunOptions(new_run=new_run, run_id=run_id)
    plan = api.confirmed_plan(workspace, arguments["fingerprint"])
    result, notes = api.run_target(workspace, plan, options, progress, params={})
    data = api.run_data(workspace, result)
    result.acknowledge()
    return Reply(
        data,
        brief=_ran,
        diagnostics=[*notes, *result.diagnostics],
        next=[("run_explain", {"session": result.session_id})],
        ok=result.exit_code == 0,
    )


def _ran(data: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    keys = ("status", "rows_in", "rows_out", "rows_rejected")
    steps = {name: {key: step[key] for key in keys if key in step} for name, step in data["steps"].items()}
    written = {
        name: {"rows": output["rows"], "files": [file["path"] for file in output["files"]]}
        for name, output in data["outputs"].items()
    }
    told = {key: data[key] for key in ("session", "status", "run_key", "findings")}
    return {**told, "written": written, "steps": steps}


_MARKED = 20
"""Of so many of the newest sessions it is said what looks wrong in them: each is read for it."""


def runs_list(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer as `osiris logs list`, of one pipeline or status if asked."""
    sessions = api.list_sessions(workspace)
    wanted = {key: arguments[key] for key in ("pipeline", "status") if key in arguments}
    fitting = [each for each in sessions if all(each.get(key) == value for key, value in wanted.items())]
    return Reply(
        {"sessions": fitting, "total": len(fitting), "findings": api.marks_of(workspace, fitting[:_MARKED])},
        "sessions",
        item=_session,
        next=[("run_explain", {"session": fitting[0]["session"]})] if fitting else [],
    )


def _session(run: JsonValue) -> JsonValue:
    keys = ("session", "pipeline", "status", "started_at", "duration_ms", "rows_in", "rows_out")
    told = {key: run.get(key) for key in keys}
    told |= {"plan": str(run.get("fingerprint"))[:12], "error": cause_code(run)}
    return {key: value for key, value in told.items() if value is not None}


def run_explain(workspace: Workspace, arguments: Arguments) -> Reply:
    """Answer with the package of a run as `osiris logs aiop`; briefly, with the answer that begins it."""
    made = api.package(workspace, arguments.get("session") or "last", {})
    status = made.document["answer"]["verdict"]["status"]
    return Reply(
        {"session": made.session, "package": dict(made.document)},
        brief=lambda data: {"session": data["session"], "answer": data["package"]["answer"]},
        diagnostics=made.diagnostics,
        next=[("runs_list", {})] if status == "complete" else [("oml_validate", {})],
        ok=not has_errors(made.diagnostics),
    )


def _params(arguments: Arguments) -> dict[str, str]:
    """Return parameters as `--param` takes them."""
    given = arguments.get("params") or {}
    return {name: value if isinstance(value, str) else api.one_line(value) for name, value in given.items()}
