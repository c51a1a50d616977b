"""`osiris connections`: look at what is declared, without opening or resolving anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris import api
from osiris.cli.command import answers, noun, opened
from osiris.cli.render import Answer

if TYPE_CHECKING:
    from osiris.cli.render import Line

command = noun("connections", "Look at the declared connections.")


@answers("list")
def list_connections() -> Answer:
    """List connections: fields as written, and which environment variables are set; never a value."""
    found = api.list_connections(opened())
    text: list[Line] = []
    for item in found:
        text.append([("bold", item["reference"]), ("", "  default" if item["default"] else "")])
        text += [f"  {name}: {value}" for name, value in item["fields"].items()]
        text += [f"  {name} is {'set' if is_set else 'not set'}" for name, is_set in item["variables"].items()]
    return Answer({"connections": found}, text or ["no connections are declared"])


command.add_command(list_connections)
