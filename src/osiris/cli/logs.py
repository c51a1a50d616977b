"""`osiris logs`: look at sessions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.aiop import command as aiop
from osiris.cli.command import ROWS, answers, noun, opened
from osiris.cli.figures import figures
from osiris.cli.progress import event_line
from osiris.cli.render import Answer
from osiris.cli.sessions import ODD, given_id, kind_of, row_lines, session_lines, talk_lines
from osiris.cli.sweeping import bundle, sweep
from osiris.errors import diagnostic
from osiris.history.causes import cause_code
from osiris.secret import masked_problems
from osiris.session import CONVERSATION

if TYPE_CHECKING:
    from osiris.cli.render import Line
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

command = noun("logs", "Look at sessions: one folder below logs/ for each run and each conversation.")


@answers("list", click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many."))
def list_sessions(limit: int) -> Answer:
    """List sessions, runs and conversations, the newest first."""
    workspace = opened()
    sessions, damaged = api.list_records(workspace), api.damaged_sessions(workspace)
    shown = masked_problems(sessions[:limit])
    marks = api.marks_of(workspace, shown)
    rows: list[tuple[JsonValue, ...]] = [
        (s["session"], given_id(s), kind_of(s), s.get("duration_ms"), s.get("rows_out"), cause_code(s)) for s in shown
    ]
    header: tuple[str, ...] = ("session", "run id", "status", "ms", "rows out", "error")
    if marks:
        rows = [(*row, marks.get(str(row[0]))) for row in rows]
        header = (*header, ODD)
    text: list[Line] = figures(rows, header) if rows else ["no sessions yet"]
    return Answer({"sessions": shown, "total": len(sessions), "findings": marks}, text, damaged)


@answers(
    "show",
    click.argument("session", default="last"),
    click.option("--events", is_flag=True, help="Print every event."),
    click.option("--metrics", is_flag=True, help="Print every metric."),
    ROWS,
)
def show(session: str, events: bool, metrics: bool, rows: bool) -> Answer:
    """Show a session, the newest if none is named: its id or the beginning of it, its run id, 'last' or 'previous'."""
    workspace = opened()
    run = api.show_record(workspace, session)
    run = run if rows else masked_problems(run)
    data: dict[str, JsonValue] = {"session": run}
    remarks = None if run["kind"] == CONVERSATION else api.remarks_on(workspace, str(run["session"]))
    if remarks:
        data |= {"findings": remarks.findings, "targets": remarks.targets}
    text = session_lines(run, remarks) if remarks else talk_lines(run)
    if events:
        told = api.session_lines(workspace, run["session"], "events")
        data["events"] = told if rows else masked_problems(told)
        text += [event_line(event) for event in data["events"]]
    if metrics:
        data["metrics"] = api.session_lines(workspace, run["session"], "metrics")
        text += [f"{m['metric']} {m['value']} {m['unit']} {m.get('tags') or ''}" for m in data["metrics"]]
    if rows:
        data["rows"] = api.checked_rows(workspace, run["session"])
        text += row_lines(data["rows"])
    return Answer(data, text)


@answers(
    "html",
    click.argument("session", default="last"),
    click.option("--open", "wants_browser", is_flag=True, help="Show the page in a browser."),
    click.option(
        "--output", type=click.Path(path_type=Path), metavar="DIR|FILE", help="Write there: FILE ends in .html."
    ),
    click.option(
        "--sessions",
        type=click.IntRange(min=0),
        default=20,
        show_default=True,
        help="So many runs have a page at least.",
    ),
)
def html(session: str, wants_browser: bool, output: Path | None, sessions: int) -> Answer:
    """Write the page of a run, the newest if none is named, and the page over all runs.

    They are logs/SESSION/report.html and logs/index.html; with --output FILE it is that page alone. Each is one file
    that needs nothing else, so it can be sent. The newest runs that have no page yet get theirs, too.
    """
    workspace = opened()
    if output and output.suffix == ".html":
        made = api.write_report(workspace, session, output)
    else:
        made = api.write_reports(workspace, session, output, sessions)
    data = {
        "session": made.session,
        "report": str(made.report),
        "others": [str(path) for path in made.others],
        "index": str(made.index) if made.index else None,
    }
    text = [f"report {_shown(made.report)}", *([f"index {_shown(made.index)}"] if made.index else [])]
    return Answer(data, text, _browse(made.report) if wants_browser else [])


def _shown(path: Path) -> str:
    """Return a path as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def _browse(path: Path) -> list[Diagnostic]:
    """Show a page in a browser; say so if there is none."""
    import webbrowser

    return [] if webbrowser.open(path.absolute().as_uri()) else [diagnostic("AIO020", path=_shown(path))]


command.add_command(list_sessions)
command.add_command(show)
command.add_command(bundle)
command.add_command(sweep)
command.add_command(html)
command.add_command(aiop)
