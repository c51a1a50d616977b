"""`osiris ui`: serve local web pages over the project."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from osiris.cli.command import PROFILE, answers, console, flag, start_folder
from osiris.cli.render import Answer
from osiris.distribution import install_command
from osiris.errors import fail
from osiris.project import find_project

if TYPE_CHECKING:
    from osiris.cli.render import Line
    from osiris.ui.app import Event

PORT = click.option(
    "--port", type=click.IntRange(0, 65535), default=8420, metavar="N", help="Listen on this port; 0: any free one."
)
ALLOW = flag("--allow-run", "Allow the pages to run pipelines and to connect to sources.")
SHOW_VALUES = flag("--show-values", "Show values of data: in errors and profiles, and files of rejected rows.")


@answers("ui", PORT, ALLOW, SHOW_VALUES, PROFILE)
def ui(port: int, allow_run: bool, show_values: bool, profile: str | None) -> Answer:
    """Serve local web pages over the project.

    The command prints an address that works once; open it in a browser on this machine. The pages show pipelines and
    runs, what is due, and what needs attention. They change nothing unless --allow-run is given. Ctrl-C ends the
    command.
    """
    if not (find_spec("starlette") and find_spec("uvicorn")):
        fail("WEB001", command=install_command("ui"))
    from osiris.api import open_project
    from osiris.ui.server import serve
    from osiris.ui.settings import Settings

    root = find_project(start_folder(), os.environ).root
    open_project(root, os.environ, profile)
    settings = Settings(root, os.environ, profile, allow_run=allow_run, show_values=show_values)
    try:
        shown = console()  # pages are made in other threads, which have no command line
        serve(settings, port, lambda event: shown.event(event, _lines(event)))
    except KeyboardInterrupt as stopped:
        if type(stopped) is not KeyboardInterrupt:  # SIGTERM, which ends a command with another code
            raise
    return Answer({"stopped": "SIGINT"}, ["stopped"])


def _lines(event: Event) -> list[Line]:
    """Return an event of the server as lines for people; the address is in no argument and in no log."""
    if event["event"] == "listening":
        return [f"open {event['address']} (works once)", "Ctrl-C ends it"]
    return [f"{event['request']}: {event['message']}"]
