"""`osiris mcp`: serve agents."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click

from osiris.cli import legacy
from osiris.cli.command import PROJECT, answers, console, flag
from osiris.cli.render import Answer
from osiris.distribution import install_command
from osiris.errors import fail, raise_all
from osiris.project import find_project

WORDS = click.argument("words", metavar="", nargs=-1)
ALLOW = flag("--allow-run", "Allow agents to run plans.")


@answers("mcp", WORDS, ALLOW)
def mcp(words: tuple[str, ...], allow_run: bool) -> Answer:
    """Serve agents over the Model Context Protocol (MCP).

    The server uses standard input and output. Agents can inspect connections, discover sources, check, save and compile
    pipelines, and read past runs. They never see secrets or paths outside the project. They run plans only with
    --allow-run, each by its full fingerprint.

    """
    if words:
        _refuse(words)
    if console().wants_json:
        raise click.UsageError("--json is not available: standard output carries the protocol")
    if find_spec("mcp") is None:
        fail("MCP006", command=install_command("mcp"))
    from osiris.mcp.server import serve

    start = Path() if click.get_current_context().meta.get(PROJECT) else None
    serve(find_project(start, os.environ).root, allow_run=allow_run)
    return Answer()


def _refuse(words: tuple[str, ...]) -> NoReturn:
    """Fail with the new spelling of a subcommand of the earlier implementation, or with a usage error."""
    if refusal := legacy.command_refusal(["mcp", *words]):
        raise_all([refusal])
    raise click.UsageError(f"unexpected word '{words[0]}'")
