"""`osiris explain`: what a code means, what a plan does, why a session ran and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, opened
from osiris.cli.render import Answer, figures
from osiris.cli.sessions import finding_lines, next_commands, story_lines, written_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.api import Workspace
    from osiris.cli.render import Line
    from osiris.model import JsonValue, Manifest


_NAMED = 5
"""Steps that are named where many are alike."""


@answers("explain", click.argument("what", metavar="CODE|PLAN|SESSION"))
def command(what: str) -> Answer:
    """Explain a code (OML002), a plan (a file or fingerprint) or a session (its id, its run id, or 'last')."""
    if api.is_code(what):
        return _code(what.upper())
    workspace = opened()
    found = api.find_subject(workspace, what)
    if isinstance(found, dict):
        return _session(workspace, found)
    return Answer({"plan": dict(found.data)}, plan_details(found))


def _code(code: str) -> Answer:
    row = api.explain_code(code)
    text: list[Line] = [[("bold", f"{code} {row['title']}")], f"  says: {row['message']}"]
    text += [f"  hint: {row['hint']}"] if row["hint"] else []
    text.append(f"  {row['severity']}, exit code {row['exit_code']}")
    return Answer(row, text)


def _session(workspace: Workspace, run: dict[str, JsonValue]) -> Answer:
    story = api.story(workspace, str(run["session"]))
    run = dict(story.reading.run.summary)
    sentences = story_lines(run, story)
    head: Line = [("bold", str(run["session"])), ("", f"  {run['status']}")]
    odd = finding_lines(story.findings)
    text = [head, *sentences, *odd, *_why_lines(run, story.why), *written_lines(run, story.targets)]
    data = {"session": run, "story": sentences, "why": story.why, "reading": story.to_json()}
    return Answer(data, text, next=next_commands(run, story))


def _why_lines(run: dict[str, JsonValue], why: Mapping[str, str]) -> list[Line]:
    """Return the table of why steps ran or did not; those of which the same is to be said share a row."""
    alike: dict[tuple[str, str], list[str]] = {}
    for step, reason in why.items():
        alike.setdefault((str(run["steps"][step]["status"]), reason), []).append(step)
    rows = [(_named(steps), status, reason) for (status, reason), steps in alike.items()]
    return figures(rows, ("steps", "status", "why it ran, or did not")) if rows else []


def _named(steps: list[str]) -> str:
    more = len(steps) - _NAMED
    return ", ".join(steps[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def plan_details(manifest: Manifest) -> list[Line]:
    """Return the lines that tell what a plan does, step by step."""
    params = [f"  param {name}: {api.one_line(value)}" for name, value in manifest.data["params"].items()]
    return [plan_head(manifest), *params, *(line for step in manifest.steps for line in _step(step))]


def plan_head(manifest: Manifest) -> Line:
    """Return the line that names a plan."""
    description = manifest.data["pipeline"].get("description") or ""
    return [("bold", f"plan {manifest.name} {manifest.fingerprint}"), ("", f"  {description}")]


def _step(step: dict[str, JsonValue]) -> list[Line]:
    config = step["config"]
    columns = ", ".join(f"{c['name']} {c['type']}{'' if c['nullable'] else ' not null'}" for c in step["schema"] or ())
    facts = {
        "needs": ", ".join(step["needs"]),
        "connection": step["connection"],
        "path": config.get("path"),
        "columns": columns,
        "order": step["order"] if step["schema"] else None,
        "delivery": step["delivery"],
    }
    head: Line = [("bold", step["id"]), ("", f"  {step['component']} {step['version']}, {step['mode']}")]
    sql = [f"    {line}" for key in step["sql"] for line in str(config[key]).splitlines()]
    return [head, *(f"  {name}: {fact}" for name, fact in facts.items() if fact), *(["  sql:"] if sql else []), *sql]
