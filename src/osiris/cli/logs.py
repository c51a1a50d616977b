"""`osiris logs`: look at sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, noun, opened
from osiris.cli.figures import figures
from osiris.cli.progress import event_line
from osiris.cli.render import Answer
from osiris.cli.sessions import error_code, given_id, session_lines

if TYPE_CHECKING:
    from osiris.cli.render import Line
    from osiris.model import JsonValue

command = noun("logs", "Look at sessions: one folder below logs/ for each run.")


@answers("list", click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many."))
def list_sessions(limit: int) -> Answer:
    """List sessions, the newest first."""
    sessions = api.list_sessions(opened())
    shown = sessions[:limit]
    rows = [
        (s["session"], given_id(s), s["status"], s.get("duration_ms"), s.get("rows_out"), error_code(s)) for s in shown
    ]
    header = ("session", "run id", "status", "ms", "rows out", "error")
    text: list[Line] = figures(rows, header) if rows else ["no sessions yet"]
    return Answer({"sessions": shown, "total": len(sessions)}, text)


@answers(
    "show",
    click.argument("session", default="last"),
    click.option("--events", is_flag=True, help="Print every event."),
    click.option("--metrics", is_flag=True, help="Print every metric."),
)
def show(session: str, events: bool, metrics: bool) -> Answer:
    """Show a session, the newest if none is named: its id or the beginning of it, its run id, 'last' or 'previous'."""
    workspace = opened()
    run = api.show_session(workspace, session)
    data: dict[str, JsonValue] = {"session": run}
    text = session_lines(run)
    if events:
        data["events"] = api.session_lines(workspace, run["session"], "events")
        text += [event_line(event) for event in data["events"]]
    if metrics:
        data["metrics"] = api.session_lines(workspace, run["session"], "metrics")
        text += [f"{m['metric']} {m['value']} {m['unit']} {m.get('tags') or ''}" for m in data["metrics"]]
    return Answer(data, text)


command.add_command(list_sessions)
command.add_command(show)
