"""The list of runs, and the page of one run."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Route

from osiris import api
from osiris.report.pages import MOST_RUNS, index_page
from osiris.ui.addresses import RUNS, of_comparison, of_pipeline, of_run
from osiris.ui.app import Page, app_of
from osiris.ui.live import LiveRun
from osiris.ui.starts import cancel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from osiris.api import Workspace
    from osiris.ui.app import App
    from osiris.ui.records import Run

_PAUSE = 0.1
"""Seconds between two looks at the files of a run: the most often that its page changes."""
_BEAT = 1.0
"""Seconds after which times are sent although nothing happened."""


def show_runs(request: Request) -> HTMLResponse:
    """List all runs, the newest first."""
    app = app_of(request)
    runs = app.records.runs(app.workspace())
    reports = {run["session"]: of_run(run["session"]) for run in runs[:MOST_RUNS]}
    return HTMLResponse(index_page(runs, reports, site=app.site(RUNS)))


def show_run(request: Request) -> HTMLResponse:
    """Show the report of one run, or the run while it is at work; fails with RUN010 if there is none."""
    app, name = app_of(request), request.path_params["session"]
    workspace = app.workspace()
    summary = api.show_session(workspace, name)
    if summary["status"] != "running":
        files = f"{summary['session']}/" if app.settings.show_values else None
        return HTMLResponse(api.run_report(workspace, name, app.site(RUNS), files, _links(workspace, summary)))
    run = LiveRun(workspace, summary["session"], summary)
    run.advance()
    run.check()
    parts = {part: app.part(template, value) for part, (template, value) in run.parts().items()}
    words: dict[str, Any] = {
        "events": f"{of_run(summary['session'])}/events",
        "start": app.starts.of(summary["session"]),
        "links": _links(workspace, summary),
    }
    words |= {"title": f"{summary['pipeline']} {run.status}", "summary": summary, "parts": parts}
    return app.show(RUNS, "live.html.jinja", styles=["live.css"], scripts=["live.js"], **words)


def _links(workspace: Workspace, summary: Run) -> dict[str, str]:
    """Return the pages that belong to a run, by the text of the link."""
    links, file, before = {}, summary.get("oml"), (summary.get("base") or {}).get("previous")
    if file in api.pipeline_files(workspace):
        links["its pipeline"] = of_pipeline(file)
    if before and (workspace.project.logs / before).is_dir():
        links["compare with the run before"] = of_comparison(before, summary["session"])
    return links


def cancel_run(request: Request) -> Response:
    """Cancel a run that this server has started, as Ctrl-C does, and show it."""
    session = request.path_params["session"]
    if start := app_of(request).starts.of(session):
        cancel(start)
    return RedirectResponse(of_run(session), status_code=303)


def send_rejected(request: Request) -> Response:
    """Send the rejected rows of a step, if values are shown."""
    app, names = app_of(request), request.path_params
    if not app.settings.show_values:
        return PlainTextResponse("Rejected rows are values of data: start osiris ui --show-values.\n", status_code=403)
    path = api.rejected_file(app.workspace(), names["session"], names["step"])
    return FileResponse(path, media_type="text/csv", filename=path.name)


async def follow_run(request: Request) -> Response:
    """Send the parts of a run's page whenever they change, as server-sent events, until the run ends."""
    app = app_of(request)
    summary = await run_in_threadpool(api.show_session, app.workspace(), request.path_params["session"])
    run = LiveRun(app.workspace(), summary["session"], summary)
    return StreamingResponse(_events(app, run), media_type="text/event-stream")


async def _events(app: App, run: LiveRun) -> AsyncIterator[str]:
    sent: dict[str, object] = {}
    due = 0.0
    while not app.is_stopping():
        changed = await run_in_threadpool(run.advance)
        if time.monotonic() >= due:
            await run_in_threadpool(run.check)
        if changed or run.has_ended or time.monotonic() >= due:
            due = time.monotonic() + _BEAT
            yield f"data: {json.dumps(_message(app, run, sent))}\n\n"
        if run.has_ended:
            return
        await asyncio.sleep(_PAUSE)


def _message(app: App, run: LiveRun, sent: dict[str, object]) -> dict[str, object]:
    """Return the parts that are not as they were sent, and note them as sent."""
    changed = {name: part for name, part in run.parts().items() if sent.get(name) != part[1]}
    sent |= {name: value for name, (_, value) in changed.items()}
    state = run.note or f"{run.summary['pipeline']} {run.status}"
    parts = {name: app.part(template, value) for name, (template, value) in changed.items()}
    return {"parts": parts, "state": state, "ended": run.has_ended}


PAGE = Page(
    "Runs",
    RUNS,
    (
        Route(RUNS, show_runs),
        Route(RUNS + "/{session}", show_run),
        Route(RUNS + "/{session}", cancel_run, methods=["POST"]),
        Route(RUNS + "/{session}/events", follow_run),
        Route(RUNS + "/{session}/artifacts/{step}/{file}", send_rejected),
    ),
)
