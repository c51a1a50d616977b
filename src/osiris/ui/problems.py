"""What is shown in place of a page: a project with errors, a run that is gone, an address that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.errors import Bug, OsirisError, diagnostic
from osiris.ui.app import app_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import HTMLResponse


def show_problems(request: Request, error: Exception) -> HTMLResponse:
    """Show the problems of a request, each with its hint."""
    diagnostics = error.diagnostics if isinstance(error, OsirisError) else ()
    app = app_of(request)
    page = app.show(request.url.path, "problems.html.jinja", title="Problems", problems=app.problems(diagnostics))
    page.status_code = 404 if any(each.code == "RUN010" for each in diagnostics) else 500
    return page


def show_failure(request: Request, error: Exception) -> HTMLResponse:
    """Show that a page could not be made, and say in the terminal why: this is a fault of ours."""
    app = app_of(request)
    problem = diagnostic("INT000", kind=type(error).__name__, reason=error)
    message = str(app.problems([problem])[0])
    app.report({"event": "fault", "request": f"{request.method} {request.url.path}", "message": message})
    return show_problems(request, Bug([problem]))


def show_missing(request: Request, _error: Exception) -> HTMLResponse:
    """Show that there is no such page."""
    page = app_of(request).show(request.url.path, "problems.html.jinja", title="No such page", problems=())
    page.status_code = 404
    return page
