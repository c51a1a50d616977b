"""A service and a timer of systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.export.exported import parsed

if TYPE_CHECKING:
    from collections.abc import Collection

    from osiris.export.exported import Exported
    from osiris.oml.schedule import Schedule

_SERVICE = """\
[Unit]
Description=Osiris pipeline {name}

[Service]
Type=oneshot
KillMode=mixed
ExecStart={command} {name}-${{INVOCATION_ID}}
"""
_TIMER = """\
[Unit]
Description=Osiris pipeline {name}

[Timer]
{calendar}
AccuracySec=1s
Persistent={persistent}

[Install]
WantedBy=timers.target
"""
_NOT_IN_PROGRAMS = "\"'\\\x7f"
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


def systemd(exported: Exported) -> dict[str, str]:
    """Return a service and its timer, for a user.

    Fails with EXP001 without a schedule, and EXP003 for a program whose path systemd refuses.
    """
    due, unit = exported.due(), f"osiris-{exported.name}"
    program = exported.command
    if any(each < " " or each in _NOT_IN_PROGRAMS for each in program):
        exported.refuse(program, "the path of a program has no quotes, backslashes and control characters")
    command = " ".join([_word(program, is_program=True), *map(_word, exported.words[1:])])
    about = exported.comments(
        f"Save {unit}.service and {unit}.timer in ~/.config/systemd/user/.",
        f"Start it with: systemctl --user daemon-reload && systemctl --user enable --now {unit}.timer",
        "It stops when you log out, unless you run once: loginctl enable-linger",
        secrets="They come from the .env of the project.",
    )
    timer = _TIMER.format(
        name=exported.name,
        calendar="\n".join(f"OnCalendar={when}" for when in calendar(due)),
        persistent="false" if due.catch_up == "none" else "true",
    )
    service = _SERVICE.format(name=exported.name, command=command)
    return {f"{unit}.service": "\n".join([*about, service]), f"{unit}.timer": "\n".join([*about, timer])}


def calendar(due: Schedule) -> list[str]:
    """Return a schedule as expressions of systemd's OnCalendar, of which any may apply.

    In cron, days of the month and of the week are alternatives unless one of the two begins with `*`.
    """
    cron = parsed(due.cron)
    time = f"{_numbers(cron.hours, 24)}:{_numbers(cron.minutes, 60)}:00 {due.zone}"
    months, days = _numbers(cron.months, 12), _numbers(cron.days, 31)
    weekdays = sorted({day % 7 for day in cron.weekdays if isinstance(day, int)})
    names = ",".join(_DAYS[day] for day in weekdays) + " " if len(weekdays) < len(_DAYS) else ""
    if cron.day_and:
        return [f"{names}*-{months}-{days} {time}"]
    return [f"*-{months}-{days} {time}", f"{names}*-{months}-* {time}"]


def _numbers(values: Collection[int], count: int) -> str:
    return "*" if len(values) == count else ",".join(f"{value:02}" for value in sorted(values))


def _word(text: str, *, is_program: bool = False) -> str:
    """Return a text as a word of ExecStart, where `%` begins a specifier; variables are not replaced in the program."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    text = text if is_program else text.replace("$", "$$")
    return '"' + "".join(each if each.isprintable() else _escaped(each) for each in text) + '"'


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
