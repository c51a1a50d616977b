"""`osiris diff`: name what differs between two plans."""

from __future__ import annotations

import click

from osiris import api
from osiris.cli.command import answers, opened
from osiris.cli.render import Answer


@answers("diff", click.argument("old", metavar="A"), click.argument("new", metavar="B"))
def command(old: str, new: str) -> Answer:
    """Name what differs between plans A and B (files, fingerprints or sessions); ends with 1 if anything does."""
    differences = api.diff(opened(), old, new)
    text = [str(d) for d in differences] or ["the plans are the same"]
    data = {"same": not differences, "differences": [d.to_json() for d in differences]}
    return Answer(data, text, exit_code=1 if differences else 0)
