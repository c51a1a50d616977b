"""The page of one pipeline: its plan, what changed since the last run, its runs, and how it is compiled and run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from starlette.responses import RedirectResponse
from starlette.routing import Route

from osiris import api
from osiris.errors import OsirisError, raise_all
from osiris.report.pages import plan_words
from osiris.schedule.files import written_name
from osiris.ui.access import FORM
from osiris.ui.addresses import of_pipeline, of_run
from osiris.ui.app import app_of
from osiris.ui.problems import show_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from osiris.errors import Diagnostic
    from osiris.ui.app import App

_RECENT = 20


def show_pipeline(request: Request) -> Response:
    """Show one pipeline."""
    app, file = app_of(request), _file_of(request)
    return _page(app, file) if file else show_missing(request, LookupError())


def act(request: Request) -> Response:
    """Compile or run a pipeline, then show it or the run; fails with what the command reports."""
    app, file = app_of(request), _file_of(request)
    if file is None:
        return show_missing(request, LookupError())
    if request.scope[FORM].get("action") == "run":
        start = app.starts.run(app.settings, file)
        if session := start.session():
            return RedirectResponse(of_run(session), status_code=303)
    else:
        start = app.starts.start(app.settings, "compile", file)
        start.process.wait()
    problems = start.problems()
    if problems:
        raise_all(problems)
    return RedirectResponse(of_pipeline(file), status_code=303)


def _file_of(request: Request) -> str | None:
    """Return the file of a request if it is one of the project's pipelines; its name need not be UTF-8."""
    name = os.fsdecode(unquote_to_bytes(request.scope["raw_path"])).removeprefix("/")
    return name if name in api.pipeline_files(app_of(request).workspace()) else None


def _page(app: App, file: str) -> Response:
    workspace = app.workspace()
    checked = api.validate_file(workspace, workspace.root / file, params={})
    name = checked.name or written_name(workspace.root / file, file)
    own = [run for run in app.records.runs(workspace) if run["pipeline"] == name] if name else []
    problems: Sequence[Diagnostic] = [each for each in checked.diagnostics if each.severity != "note"]
    saved, last = None, own[0]["session"] if own else None
    try:
        saved = api.saved_plan(workspace, name, file, last) if name else None
    except OsirisError as error:
        problems = [*problems, *error.diagnostics]
    words: dict[str, Any] = plan_words(saved.view, saved.manifest) if saved else {}
    return app.show(
        "/",
        "pipeline.html.jinja",
        title=name or file,
        styles=["run.css", "plan.css", "pipeline.css"],
        file=file,
        saved=saved,
        is_waiting=app.starts.has_waiting(file),
        problems=app.problems(problems),
        recent=own[:_RECENT],
        of_run=of_run,
        **words,
    )


ROUTES = (
    Route("/pipelines/{file:path}", show_pipeline),
    Route("/pipelines/{file:path}", act, methods=["POST"]),
)
