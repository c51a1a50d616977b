"""`osiris connections`: look at what is declared, without opening or resolving anything; and try whether it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, noun, opened
from osiris.cli.render import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.api import Examined
    from osiris.cli.render import Line
    from osiris.model import JsonValue

DOES_NOT_WORK = 3
"""Exit code where a connection does not work, whatever the reason."""

_SHORT = ("CON030", "DRV020")
"""Codes of a role that lacks rights."""

command = noun("connections", "Look at the declared connections, and try them.")


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


@answers(
    "doctor",
    click.argument("names", metavar="[@FAMILY.ALIAS]...", nargs=-1),
    click.option("--grants", is_flag=True, help="Print the statements that make a proper reader, and a writer."),
)
def doctor(names: tuple[str, ...], grants: bool) -> Answer:
    """Try connections, all if none is named: what works, how well, and with which rights; nothing is changed there.

    What a role may do makes it a reader, a writer, or too powerful for any step; of a store no more is told than that
    its key may list. One that does not work ends with 3.
    """
    found = api.examine_connections(opened(), names)
    text = [line for each in found for line in _lines(each, grants=grants)]
    broken = any(each.works is False for each in found)
    return Answer(
        {"connections": [each.to_json() for each in found]},
        text or ["no connections are declared"],
        [item for each in found for item in each.diagnostics],
        exit_code=DOES_NOT_WORK if broken else None,
    )


def _lines(each: Examined, *, grants: bool) -> Iterator[Line]:
    verdict, style = {True: ("works", "ok"), False: ("does not work", "error"), None: ("not tried", "dim")}[each.works]
    health = each.health or {}
    grade = f", {health['grade']}" if health.get("grade") else ""
    used = f"  used to {' and '.join(each.uses)}" if each.uses else ""
    yield [("bold", each.connection), ("", "  "), (style, verdict), ("", grade), ("dim", used)]
    for name, value in health.get("facts", {}).items():
        if value is not None:
            yield [("dim", f"  {name.replace('_', ' ')}: "), ("", _shown(value))]
    for reason in health.get("reasons", ()):
        yield f"  {reason}"
    for role, script in health.get("scripts", {}).items():
        if grants or role == _needed(each):
            yield [("dim", f"  to make a proper {role}:")]
            yield from (f"    {line}" for line in script)


def _needed(each: Examined) -> str | None:
    """Return which role a connection should have instead of its own; None if that is as it should be."""
    codes = {item.code for item in each.diagnostics}
    if "CON020" in codes or ("write" in each.uses and codes & {"CON018", *_SHORT}):
        return "writer"
    return "reader" if codes & {"CON018", "CON019", *_SHORT} else None


def _shown(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


command.add_command(list_connections)
command.add_command(doctor)
