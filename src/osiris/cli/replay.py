"""`osiris replay`: run again what a session ran, and say whether the same comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, console, opened
from osiris.cli.progress import watch
from osiris.cli.render import Answer, count

if TYPE_CHECKING:
    from osiris.api import Replayed
    from osiris.cli.render import Line

_TO_TARGETS = "Let writers write where the plan says; else files go to the session, and other rows are only digested."


@answers(
    "replay",
    click.argument("run", metavar="[RUN]", default="last"),
    click.option("--to-targets", is_flag=True, help=_TO_TARGETS),
)
def command(run: str, to_targets: bool) -> Answer:
    """Run again what a session ran, the last run if none is named: same plan, same values; no target is touched.

    Ends with 0 if the same comes out, with 2 if that cannot be told, and with 1 if not: then it names step and column,
    and what has changed: a source, an engine, the code, or what is around.
    """
    workspace = opened()
    with watch(console()) as progress:
        found = api.replay(workspace, run, progress, to_targets=to_targets)
    follow_up = [f"osiris diff {found.run} {found.session}"] if found.same is False else []
    return Answer(found.to_json(), _lines(found), found.diagnostics, follow_up, found.exit_code)


def _lines(found: Replayed) -> list[Line]:
    head: Line
    if found.same is None and found.differences:
        head = [("warning", "not comparable"), ("", f" with run {found.run}")]
        return [head, *(f"  {item}" for item in found.differences)]
    if found.same is None:
        return [f"not compared: the replay {found.session} did not come to its end"]
    if found.same:
        told = f" as run {found.run}: {count(len(found.compared), 'output')} compared by digest"
        return [[("ok", "same"), ("", told)]]
    head = [("error", "differs"), ("", f" from run {found.run}")]
    because = [f"  because {reason.text} ({reason.kind})" for reason in found.reasons]
    return [head, *(f"  {item}" for item in found.differences), *because]
