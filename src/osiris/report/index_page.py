"""All runs of a project on one HTML page, each with a link to its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from osiris.history.causes import cause_code
from osiris.history.record import REFUSED
from osiris.report.run import BADGES
from osiris.report.template import own, policy, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.model import JsonValue

MOST_RUNS = 2000
"""So many runs are listed, the newest; all are counted."""

_STATUSES = ("complete", "failed", "cancelled", "lost", "running")


class RunRow(NamedTuple):
    """A run in the list: `href` is the address of its report, if it has one; `code` is that of its first error."""

    session: str
    pipeline: str
    pipeline_number: int
    status: str
    started_at: str
    seconds: float | None
    rows_in: int
    rows_out: int
    badge: str
    code: str | None
    href: str | None


class TalkRow(NamedTuple):
    """A conversation in the list: what was said first, and how many runs came of it."""

    session: str
    status: str
    title: str
    started_at: str
    runs: int
    href: str | None


def index_page(
    summaries: Sequence[Mapping[str, JsonValue]],
    reports: Mapping[str, str],
    talks: Sequence[Mapping[str, JsonValue]] = (),
) -> str:
    """Return the page over runs and conversations: the run.json of each, the newest first.

    `reports` are the addresses of their pages, by session.
    """
    runs = [summary for summary in summaries if summary["kind"] in ("run", REFUSED)]
    pipelines = sorted({str(run["pipeline"]) for run in runs})
    number = {name: index for index, name in enumerate(pipelines, 1)}
    statuses = [str(run["status"]) for run in runs]
    style, script = own("page.css", "index.css"), own("index.js")
    return render(
        "index.html.jinja",
        csp=policy([style], [script]),
        style=style,
        script=script,
        total=len(runs),
        pipelines=pipelines,
        counts={status: statuses.count(status) for status in _STATUSES if status in statuses},
        rows_out=sum(run["rows_out"] for run in runs),
        runs=[_row(run, number[str(run["pipeline"])], reports) for run in runs[:MOST_RUNS]],
        talks=[_talk(talk, reports) for talk in talks[:MOST_RUNS]],
    )


def _talk(talk: Mapping[str, JsonValue], reports: Mapping[str, str]) -> TalkRow:
    session = str(talk["session"])
    title, started = str(talk["title"]), str(talk["started_at"])
    return TalkRow(session, str(talk["status"]), title, started, len(talk["runs"]), reports.get(session))


def _row(run: Mapping[str, JsonValue], number: int, reports: Mapping[str, str]) -> RunRow:
    session, took = str(run["session"]), run["duration_ms"]
    return RunRow(
        session=session,
        pipeline=str(run["pipeline"]),
        pipeline_number=number,
        status=str(run["status"]),
        started_at=str(run["started_at"]),
        seconds=None if took is None else took / 1000,
        rows_in=run["rows_in"],
        rows_out=run["rows_out"],
        badge=BADGES.get(str(run["adapter"]), str(run["adapter"]).capitalize()),
        code=cause_code(run),
        href=reports.get(session),
    )
