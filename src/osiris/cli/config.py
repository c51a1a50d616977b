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
    config = workspace.config
    said = [*config.earlier, *(item for item in config.diagnostics if item.code != "PRJ018")]
    return Answer({"settings": found}, table(rows, ("key", "value", "from")), said)


command.add_command(explain)
