"""Home: one row for each pipeline, with what needs attention first."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from starlette.routing import Route

from osiris.history.failures import first_cause
from osiris.report.template import duration_text, number_text
from osiris.schedule.status import BAD
from osiris.ui import pipelines
from osiris.ui.addresses import of_pipeline, of_run
from osiris.ui.app import Page, app_of
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import timedelta

    from starlette.requests import Request
    from starlette.responses import HTMLResponse

    from osiris.api import Workspace
    from osiris.errors import Diagnostic
    from osiris.schedule.status import PipelineStatus
    from osiris.ui.app import App
    from osiris.ui.records import Run

RECENT = 20
"""Runs of a pipeline that its lines show."""

_ORDER = (*BAD, "running", "ok", "never run")
_WIDTH, _HEIGHT = 110, 26
_TONES = {
    "ok": "complete",
    "late": "noted",
    "failing": "failed",
    "skipped": "noted",
    "broken file": "failed",
    "never run": "waiting",
}


class Line(NamedTuple):
    """A figure of the recent runs: its points in an SVG, and the same in words."""

    points: str
    words: str


class Target(NamedTuple):
    """A target: when it was last written and by which run, None if by none on record; whether the last run wrote it."""

    name: str
    at: str | None
    ago: str
    address: str | None
    is_fresh: bool


class Row(NamedTuple):
    """A pipeline: its state, the rows that its last run rejected, lines of duration and rows, targets, and texts.

    `cause` is the first error of a last run that failed. `page` is the path of its own page; `started` and `late` say
    how long ago that was, `due` how soon.
    """

    status: PipelineStatus
    page: str
    tone: str
    problems: Sequence[Diagnostic]
    cause: Sequence[Diagnostic]
    rejected: int
    lines: Sequence[tuple[str, Line]]
    targets: Sequence[Target]
    address: str
    started: str
    due: str
    late: str


def show_home(request: Request) -> HTMLResponse:
    """Show all pipelines."""
    app = app_of(request)
    rows = rows_of(app, datetime.now(UTC))
    counts = Counter(row.status.state for row in rows)
    return app.show(
        "/",
        "home.html.jinja",
        title="Home",
        styles=["home.css"],
        rows=[app.fragment(f"home {row.status.file}", "pipeline_row.html.jinja", row) for row in rows],
        counts={state: counts[state] for state in _ORDER if counts[state]},
        attention=sum(map(_needs_attention, rows)),
    )


def rows_of(app: App, now: datetime) -> list[Row]:
    """Return the rows, what needs attention first; `now` is in UTC."""
    workspace = app.workspace()
    runs = app.records.runs(workspace)
    by_pipeline = defaultdict(list)
    for run in runs:
        if run["kind"] != "replay":
            by_pipeline[run["pipeline"]].append(run)
    statuses = app.records.statuses(workspace, runs, now.replace(second=0, microsecond=0))
    rows = [_row(app, workspace, status, by_pipeline.get(status.name or "", []), now) for status in statuses]
    return sorted(rows, key=lambda row: (not _needs_attention(row), _ORDER.index(row.status.state), row.status.file))


def _needs_attention(row: Row) -> bool:
    return row.status.state in BAD or row.rejected > 0 or not all(target.is_fresh for target in row.targets)


def _row(app: App, workspace: Workspace, status: PipelineStatus, own: Sequence[Run], now: datetime) -> Row:
    last, rejected = status.last, _rejected(own[0]) if own else 0
    problems = [each for each in status.problems if each.severity == "error"]
    cause = first_cause(own[0]) if own and own[0]["status"] == "failed" else None
    return Row(
        status=status,
        page=of_pipeline(status.file),
        tone="noted" if rejected and status.state == "ok" else _TONES.get(status.state, status.state),
        problems=app.problems(problems),
        cause=app.problems(cause[1:]) if cause else [],
        rejected=rejected,
        lines=list(_lines(own[:RECENT][::-1])),
        targets=list(_targets(app, workspace, own, now)),
        address=of_run(last["session"]) if last else "",
        started=ago_text(datetime.fromisoformat(last["started_at"]), now) if last else "",
        due=f"in {_span(status.next_due - now)}" if status.next_due else "",
        late=ago_text(status.late, now) if status.late else "",
    )


def _rejected(run: Run) -> int:
    return sum(step["rows_rejected"] or 0 for step in run["steps"].values())


def _lines(recent: Sequence[Run]) -> Iterator[tuple[str, Line]]:
    """Yield the lines of complete runs, the oldest first; none of fewer than two runs."""
    complete = [run for run in recent if run["status"] == "complete"]
    if len(complete) < 2:
        return
    yield "duration", _line([(run["duration_ms"] or 0) / 1000 for run in complete], duration_text)
    yield "rows", _line([run["rows_out"] for run in complete], number_text)


def _line(values: Sequence[float], text: Callable[[float], str]) -> Line:
    most = max(values) or 1
    apart = _WIDTH / (len(values) - 1)
    points = " ".join(
        f"{index * apart:.1f},{_HEIGHT - 2 - (_HEIGHT - 4) * value / most:.1f}" for index, value in enumerate(values)
    )
    words = f"{text(values[-1])}; from {text(min(values))} to {text(most)} in {count(len(values), 'complete run')}"
    return Line(points, words)


def _targets(app: App, workspace: Workspace, own: Sequence[Run], now: datetime) -> Iterator[Target]:
    """Yield the targets of the newest run that has steps, each with the newest run after which it was written."""
    ended = [run for run in own if run["status"] != "running" and run["kind"] == "run"]
    newest = next((run for run in ended if run["steps"]), None)
    if newest is None:
        return
    for step, name in app.records.targets(workspace, newest["session"]).items():
        meant = [run for run in ended if _was_to_write(run, step)]
        wrote = next((run for run in meant if _has_written(run, step)), None)
        if wrote is None or not wrote["ended_at"]:
            yield Target(name, None, "", None, is_fresh=False)
        else:
            ago = ago_text(datetime.fromisoformat(wrote["ended_at"]), now)
            yield Target(name, wrote["ended_at"], ago, of_run(wrote["session"]), wrote is meant[0])


def _was_to_write(run: Run, step: str) -> bool:
    """Return whether a run had a step; one that was not selected is skipped, as is one that was delivered before."""
    return step in run["deliveries"] or (step in run["steps"] and run["steps"][step]["status"] != "skipped")


def _has_written(run: Run, step: str) -> bool:
    return step in run["deliveries"] or run["steps"][step]["status"] == "complete"


_UNITS = ((2 * 86400, 86400, "day"), (2 * 3600, 3600, "hour"), (120, 60, "minute"))


def _span(span: timedelta) -> str:
    seconds = max(span.total_seconds(), 0.0)
    unit = next(((size, name) for least, size, name in _UNITS if seconds >= least), None)
    return count(int(seconds // unit[0]), unit[1]) if unit else "less than 2 minutes"


def ago_text(moment: datetime, now: datetime) -> str:
    """Return how long ago a time was: `3 hours ago`."""
    return f"{_span(now - moment)} ago"


PAGE = Page("Home", "/", (Route("/", show_home), *pipelines.ROUTES))
