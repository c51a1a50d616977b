"""A line for a crontab."""

from __future__ import annotations

import os
import shlex
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from osiris.errors import fail

if TYPE_CHECKING:
    from datetime import tzinfo

    from osiris.export.exported import Exported

LONGEST = 998
"""Bytes of a command that every cron accepts."""

LOCALTIME = Path("/etc/localtime")
"""The time zone in which cron runs, whatever the `TZ` of others: a link to a file of `_ZONES`, or a copy of one."""
_ZONES = "/zoneinfo/"
_COMPARED = timedelta(days=366)
"""How long two zones must have the same time to count as one: names have aliases, and files have versions."""


def crontab(exported: Exported, localtime: Path = LOCALTIME) -> dict[str, str]:
    """Return a file to append to a crontab.

    Fails with EXP001 without a schedule, EXP002 for a time zone that is not the machine's, and EXP003 for a name that
    no crontab can hold.
    """
    due = exported.due()
    if not _have_same_time(ZoneInfo(due.zone), _machine_zone(localtime)):
        name = _name(localtime)
        hint = None if name else f"export to systemd, or give the zone of which {localtime} is a copy, with --zone"
        fail("EXP002", zone=due.zone, machine=name or f"that of {localtime}", hint=hint)
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


def _machine_zone(localtime: Path) -> tzinfo | None:
    """Return the time zone of a machine: UTC without a file, as the C library has it; None for a bad file."""
    try:
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file)
    except FileNotFoundError:
        return UTC
    except (OSError, ValueError, struct.error):
        return None


def _name(localtime: Path) -> str | None:
    """Return the name of the zone of a machine; None for a copy, which has none."""
    if not localtime.exists():
        return "UTC"
    _, link, name = os.path.realpath(localtime).rpartition(_ZONES)
    return name if link else None


def _have_same_time(zone: tzinfo, machine: tzinfo | None) -> bool:
    now = datetime.now(UTC)
    hours = (now + timedelta(hours=number) for number in range(_COMPARED // timedelta(hours=1)))
    return machine is not None and all(
        hour.astimezone(zone).utcoffset() == hour.astimezone(machine).utcoffset() for hour in hours
    )


def _word(text: str) -> str:
    r"""Return a text as a word of sh in a crontab, where `%` ends a command unless it is `\%`.

    Whether cron takes `\\` for one backslash depends on its version, so no backslash is followed by another, or by `%`.
    """
    return shlex.quote(text).replace("\\", "\\''").replace("%", "\\%")
