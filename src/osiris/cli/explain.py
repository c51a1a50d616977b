"""`osiris explain`: what a code means, what a plan does, why a session ran and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, opened
from osiris.cli.render import Answer, diagnostic_lines, table
from osiris.errors import Diagnostic

if TYPE_CHECKING:
    from osiris.cli.render import Line
    from osiris.model import JsonValue, Manifest


@answers("explain", click.argument("what", metavar="CODE|PLAN|SESSION"))
def command(what: str) -> Answer:
    """Explain a code (OML002), a plan (a file or fingerprint) or a session ('last' is the newest)."""
    if api.is_code(what):
        return _code(what.upper())
    found = api.find_subject(opened(), what)
    if isinstance(found, dict):
        return Answer({"session": found}, session_lines(found))
    return Answer({"plan": dict(found.data)}, plan_lines(found))


def _code(code: str) -> Answer:
    row = api.explain_code(code)
    text: list[Line] = [[("bold", f"{code} {row['title']}")], f"  says: {row['message']}"]
    text += [f"  hint: {row['hint']}"] if row["hint"] else []
    text.append(f"  {row['severity']}, exit code {row['exit_code']}")
    return Answer(row, text)


def plan_lines(manifest: Manifest) -> list[Line]:
    """Return the lines that tell what a plan does."""
    pipeline = manifest.data["pipeline"]
    rows = [
        (s["id"], s["component"], ", ".join(s["needs"]), len(s["schema"] or ()) or "", s["order"])
        for s in manifest.steps
    ]
    head: list[Line] = [
        [("bold", f"plan {manifest.name} {manifest.short}"), ("", f"  {pipeline.get('description') or ''}")]
    ]
    return [*head, *table(rows, ("step", "component", "needs", "columns", "order"))]


def session_lines(run: dict[str, JsonValue]) -> list[Line]:
    """Return the lines that tell of one session: how it ended, each step, and what was wrong."""
    why = f", continues {run['continues']}" if run.get("continues") else ""
    lines: list[Line] = [
        [("bold", str(run["session"])), ("", f"  {run['status']}")],
        f"  pipeline {run.get('pipeline')}, plan {str(run.get('fingerprint'))[:12]}, run key {run.get('run_key')}{why}",
        f"  started {run.get('started_at')}, ended {run.get('ended_at') or 'not yet'}",
        *table(
            [
                (name, s.get("status"), s.get("rows_in"), s.get("rows_out"), s.get("duration_ms"))
                for name, s in (run.get("steps") or {}).items()
            ],
            ("step", "status", "rows in", "rows out", "ms"),
        ),
    ]
    return lines + diagnostic_lines([Diagnostic.from_json(d) for d in run.get("diagnostics") or ()])
