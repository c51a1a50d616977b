"""`osiris verify`: prove that two runs wrote the same data."""

from __future__ import annotations

import click

from osiris import api
from osiris.cli.command import answers, opened
from osiris.cli.render import Answer, count


@answers("verify", click.argument("first", metavar="RUN_A"), click.argument("second", metavar="RUN_B"))
def verify(first: str, second: str) -> Answer:
    """Compare the digests of what two sessions wrote ('last' is the newest); 1 if any differs, 2 if not comparable."""
    workspace = opened()
    verdict = api.verify(workspace, first, second)
    text = [] if verdict.diagnostics else [[("ok", "same data"), ("", f" in {count(len(verdict.outputs), 'output')}")]]
    data = {"same": not verdict.diagnostics, "runs": list(verdict.runs), "outputs": list(verdict.outputs)}
    return Answer(data, text, verdict.diagnostics)
