"""`osiris config`: which setting counts, and who said so."""

from __future__ import annotations

import click

from osiris import api
from osiris.cli.command import PROFILE, answers, noun, opened
from osiris.cli.render import Answer, table

command = noun("config", "Explain configuration.")


@answers("explain", click.argument("key", required=False), PROFILE)
def explain(key: str | None, profile: str | None) -> Answer:
    """Show the value of KEY (of every key, if none is named) and where it comes from; the first line counts."""
    workspace = opened(profile)
    found = api.explain_config(workspace, key)
    rows = [(name, s["written"], s["origin"]) for name, settings in found.items() for s in settings]
    return Answer({"settings": found}, table(rows, ("key", "value", "from")), workspace.config.diagnostics)


command.add_command(explain)
