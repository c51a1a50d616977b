"""A line for a crontab."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.errors import fail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.export.exported import Exported

LONGEST = 998
"""Bytes of a command that every cron accepts."""

_UTC = ("UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu")
_ZONES = "/zoneinfo/"


def crontab(exported: Exported) -> dict[str, str]:
    """Return a file to append to a crontab.

    Fails with EXP001 without a schedule, EXP002 for a time zone that is not the machine's, and EXP003 for a name that
    no crontab can hold.
    """
    due = exported.due()
    here = machine_zone(os.environ)
    if _named(due.zone) != _named(here):
        fail("EXP002", zone=due.zone, machine=here)
    for word in exported.words:
        if "\n" in word:
            exported.refuse(word, "a crontab has one line per command")
    words = " ".join(map(_word, exported.words))
    command = rf'{words} "{exported.name}-$(date -u +\%Y\%m\%dT\%H\%MZ)"'
    if len(command.encode()) > LONGEST:
        exported.refuse(command, f"a command of a crontab has at most {LONGEST} bytes")
    about = exported.comments(
        f"Add this line to your crontab (crontab -e) on a machine in the time zone {due.zone}.",
        secrets="They come from the .env of the project.",
    )
    return {f"{exported.name}.cron": "\n".join([*about, f"{due.cron} {command}", ""])}


def machine_zone(environ: Mapping[str, str]) -> str:
    """Return the time zone in which this machine's cron runs."""
    given = environ.get("TZ", "").lstrip(":")
    target = os.path.realpath("/etc/localtime")
    return given or (target.rpartition(_ZONES)[2] if _ZONES in target and Path(target).exists() else "UTC")


def _named(zone: str) -> str:
    return "UTC" if zone in _UTC else zone


def _word(text: str) -> str:
    r"""Return a text as a word of sh in a crontab, where `%` ends a command unless it is `\%`.

    Whether cron takes `\\` for one backslash depends on its version, so no backslash is followed by another, or by `%`.
    """
    return shlex.quote(text).replace("\\", "\\''").replace("%", "\\%")
