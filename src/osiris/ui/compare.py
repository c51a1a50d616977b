"""Comparing two runs or two plans: chosen from lists, and what `osiris diff` says about them."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from starlette.routing import Route

from osiris import api
from osiris.compiler.manifest import find_manifests
from osiris.errors import OsirisError
from osiris.history.changes import SECTION_TITLES
from osiris.report.template import moment_text
from osiris.session.finding import is_session_id
from osiris.ui.addresses import COMPARE, of_comparison, of_run
from osiris.ui.app import Page, app_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import HTMLResponse

    from osiris.api import Difference, RunDiff, Workspace
    from osiris.errors import Diagnostic
    from osiris.ui.app import App

LISTED = 200
"""Runs and plans in each list, the newest; others are compared by their address."""

DIFFERENCES = 500
"""Differences shown of each section."""

_FINGERPRINT = re.compile(r"[0-9a-f]{12,64}")


class Choice(NamedTuple):
    """A run or plan in a list: its session or fingerprint, and what it is."""

    name: str
    text: str


class Comparison(NamedTuple):
    """What two runs or plans differ in: texts by section, and of runs the times. `commands` say the same."""

    sections: Mapping[str, Sequence[str]]
    times: Sequence[tuple[str, float | None, float | None]]
    commands: Sequence[str]


def show_comparison(request: Request) -> HTMLResponse:
    """Show the lists to choose from, and the comparison of what was chosen."""
    app = app_of(request)
    old, new = (request.query_params.get(key, "").strip() for key in ("a", "b"))
    comparison, problems = _compared(app, old, new) if old and new else (None, ())
    page = app.show(
        COMPARE,
        "compare.html.jinja",
        title="Compare",
        styles=["run.css", "catalogue.css"],
        choices={"runs": list(_runs(app)), "plans": _plans(app.workspace())},
        old=old,
        new=new,
        comparison=comparison,
        problems=app.problems(problems),
        titles=SECTION_TITLES,
        most=DIFFERENCES,
        reports={name: of_run(name) for name in (old, new) if is_session_id(name)},
        of_comparison=of_comparison,
        clean=app.clean,
    )
    page.status_code = 404 if problems else 200
    return page


def _compared(app: App, old: str, new: str) -> tuple[Comparison | None, Sequence[Diagnostic]]:
    """Return the comparison of two sessions or fingerprints, or why there is none.

    Other names that `osiris diff` takes, such as paths of files, are not looked for.
    """
    are_runs = is_session_id(old) and is_session_id(new)
    if not are_runs and not (_FINGERPRINT.fullmatch(old) and _FINGERPRINT.fullmatch(new)):
        return None, ()
    try:
        difference = api.diff_subjects(app.workspace(), old, new)
    except OsirisError as error:
        return None, error.diagnostics
    commands = [shlex.join(["osiris", word, old, new]) for word in (("diff", "verify") if are_runs else ("diff",))]
    return _comparison(difference, commands), ()


def _comparison(difference: list[Difference] | RunDiff, commands: Sequence[str]) -> Comparison:
    if isinstance(difference, list):
        return Comparison({"plan": [str(item) for item in difference]} if difference else {}, (), commands)
    sections = {name: [str(item) for item in items] for name, items in difference.sections.items() if items}
    times = [(timing.what or "the run", timing.old, timing.new) for timing in difference.times]
    return Comparison(sections, times, commands)


def _runs(app: App) -> Iterator[Choice]:
    for run in app.records.runs(app.workspace())[:LISTED]:
        yield Choice(run["session"], f"{run['pipeline']}, {moment_text(run['started_at'])}, {run['status']}")


def _plans(workspace: Workspace) -> list[Choice]:
    files = [(file.path.stat().st_mtime, file) for file in find_manifests(workspace.project)]
    return [
        Choice(
            file.path.parent.name,
            f"{file.path.parent.parent.name}, {moment_text(datetime.fromtimestamp(at, UTC).isoformat())}",
        )
        for at, file in sorted(files, reverse=True)[:LISTED]
    ]


PAGE = Page("Compare", COMPARE, (Route(COMPARE, show_comparison),))
