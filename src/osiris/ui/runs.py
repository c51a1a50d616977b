"""The list of runs, and the page of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse
from starlette.routing import Route

from osiris import api
from osiris.report.pages import MOST_RUNS, index_page
from osiris.ui.app import Page, app_of

if TYPE_CHECKING:
    from starlette.requests import Request

PATH = "/runs"


def address(session: str) -> str:
    """Return the path of the page of a run."""
    return f"{PATH}/{session}"


def show_runs(request: Request) -> HTMLResponse:
    """List all runs, the newest first."""
    app = app_of(request)
    runs = app.records.runs(app.workspace())
    reports = {run["session"]: address(run["session"]) for run in runs[:MOST_RUNS]}
    return HTMLResponse(index_page(runs, reports, site=app.site(PATH)))


def show_run(request: Request) -> HTMLResponse:
    """Show the report of one run; fails with RUN010 if there is none."""
    app = app_of(request)
    page = api.run_report(app.workspace(), request.path_params["session"], site=app.site(PATH))
    return HTMLResponse(page)


PAGE = Page("Runs", PATH, (Route(PATH, show_runs), Route(PATH + "/{session}", show_run)))
