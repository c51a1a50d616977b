"""When a pipeline runs: the `schedule` of a file as a value, and its validation.

Under OML 0.1.0 the key was free text for other schedulers, which is kept and has no effect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from osiris.document.edits import put
from osiris.errors import Diagnostic, diagnostic, nearest
from osiris.oml.schema import KeyNames, schema_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.document import Document
    from osiris.errors import Location
    from osiris.model import JsonValue

CatchUp: TypeAlias = Literal["none", "last", "all"]
"""Which missed runs are caught up."""

NEEDED = "0.2.0"
"""The version of the language since which `schedule` has a meaning."""

SCHEDULE: dict[str, JsonValue] = {
    "description": "When 'osiris schedule' runs the pipeline, and a scheduler that it is exported to.",
    "type": "object",
    "required": ["cron"],
    "additionalProperties": False,
    "properties": {
        "cron": {
            "description": "When: minute, hour, day of the month, month, day of the week.",
            "type": "string",
            "examples": ["0 2 * * *", "*/15 6-18 * * MON-FRI"],
        },
        "zone": {
            "description": "The time zone of cron, by its IANA name.",
            "type": "string",
            "default": "UTC",
            "examples": ["Europe/Prague"],
        },
        "catch_up": {
            "description": "Which missed runs to catch up: none, only the last, or all.",
            "enum": ["none", "last", "all"],
            "default": "last",
        },
    },
    "examples": [{"cron": "0 2 * * *", "zone": "Europe/Prague"}],
}
"""The schema of `schedule` since OML 0.2.0."""

_NAMES = KeyNames(
    {
        "cron": ("expression", "cron_expression", "schedule"),
        "zone": ("timezone", "time_zone", "timeZone", "tz"),
        "catch_up": ("catchup", "backfill"),
    }
)
_SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Names that cron has for some expressions."""

_FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of the month": "1 to 31",
    "month": "1 to 12, or JAN to DEC",
    "day of the week": "0 to 7, or SUN to SAT",
}
"""The fields of an expression, each with its values."""
_VALUE = "(?:[0-9]{1,2}|[A-Z]{3})"
_PART = rf"(?:\*(?:/[0-9]{{1,2}})?|{_VALUE}(?:-{_VALUE}(?:/[0-9]{{1,2}})?)?)"
_FIELD = re.compile(rf"{_PART}(?:,{_PART})*")
"""A field of cron: names are of three letters, and a step follows `*` or a range."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a pipeline runs: a valid cron expression of five fields, in the time zone with this IANA name."""

    cron: str
    zone: str = "UTC"
    catch_up: CatchUp = "last"


def schedule_of(data: Mapping[str, JsonValue]) -> Schedule | None:
    """Return the schedule of a validated file; None if it has none, or one without effect (OML 0.1.0)."""
    written = data.get("schedule")
    if not _has_meaning(data) or not isinstance(written, dict):
        return None
    return Schedule(" ".join(written["cron"].split()), written.get("zone", "UTC"), written.get("catch_up", "last"))


def _has_meaning(data: Mapping[str, JsonValue]) -> bool:
    version = data.get("oml_version")
    return isinstance(version, str) and version >= NEEDED


def schedule_problems(document: Document) -> Iterator[Diagnostic]:
    """Yield the problems of the `schedule` of a file; under OML 0.1.0, a note that it has no effect."""
    data = document.data
    if "schedule" not in data:
        return
    if not _has_meaning(data):
        note = f"'schedule' has no effect in OML 0.1.0; with oml_version: \"{NEEDED}\", 'osiris schedule' runs the file"
        yield diagnostic("OML032", at=document.where_key("/schedule"), what=note)
        return
    written = data["schedule"]
    if isinstance(written, str):
        yield _text_problem(written, document)
        return
    problems = [_plain(each) for each in schema_problems(SCHEDULE, written, document, "/schedule", _NAMES)]
    yield from problems
    if isinstance(written, dict):
        broken = {problem.location.pointer for problem in problems}
        yield from (each for each in _value_problems(written, document) if each.location.pointer not in broken)


def _plain(problem: Diagnostic) -> Diagnostic:
    """Return a problem without a fix that only changes the type: no number is a cron expression."""
    is_inside = problem.location.pointer != "/schedule"
    return replace(problem, fix=()) if problem.code == "OML006" and is_inside else problem


def _text_problem(written: str, document: Document) -> Diagnostic:
    """Return the error for a schedule that is only a text; its fix if that is a cron expression."""
    cron = _SHORT.get(written, written)
    fix = put("/schedule", {"cron": cron}) if cron_problem(cron) is None else ()
    hint = f'write schedule: {{cron: "{cron if fix else "0 2 * * *"}"}}'
    params = {"key": "schedule", "expected": "a mapping", "found": "text"}
    return diagnostic("OML006", at=document.where("/schedule"), hint=hint, fix=fix, **params)


def _value_problems(written: Mapping[str, JsonValue], document: Document) -> Iterator[Diagnostic]:
    cron, zone = written.get("cron"), written.get("zone")
    if isinstance(cron, str) and (problem := cron_problem(cron)) is not None:
        at, pointer = document.where("/schedule/cron"), "/schedule/cron"
        full = _SHORT.get(cron)
        hint = f'write "{full}"' if full else _form_hint(cron)
        yield diagnostic(
            "OML028", at=at, hint=hint, fix=put(pointer, full) if full else (), key="cron", problem=problem
        )
    if isinstance(zone, str) and not is_zone(zone):
        yield unknown_zone(zone, document.where("/schedule/zone"))


def _form_hint(cron: str) -> str:
    if len(cron.split()) != len(_FIELDS):
        return f'write five fields ({", ".join(_FIELDS)}), as in "0 2 * * *"'
    return "a field has numbers, names (MON, JAN), *, lists (1,15), ranges (6-18) or steps (*/15)"


def cron_problem(cron: str) -> str | None:
    """Return why a text is not a cron expression that ever comes due; None if it is one.

    Only what cron itself has is accepted: five fields with numbers, names, `*`, lists, ranges and steps.
    """
    from cronsim import CronSim, CronSimError

    fields = cron.split()
    if len(fields) != len(_FIELDS):
        return f"must have {len(_FIELDS)} fields, found {len(fields)}"
    texts = dict(zip(_FIELDS, fields, strict=True))
    odd = next((name for name, text in texts.items() if not _FIELD.fullmatch(text.upper())), None)
    if odd:
        return _bad_field(odd, texts)
    try:
        next(CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        reason = str(error).lower().replace("-", " ").replace("day of month", "day of the month")
        reason = reason.replace("day of week", "day of the week")
        return next((_bad_field(name, texts) for name in _FIELDS if reason == f"bad {name}"), f"is invalid: {reason}")
    except StopIteration:
        return "never comes due"
    return None


def _bad_field(name: str, texts: Mapping[str, str]) -> str:
    """Return what is wrong with a field, if anything: cronsim also says "bad day of month" of February 30."""
    if name == "day of the month" and all(0 < int(day) <= 31 for day in re.findall("[0-9]+", texts[name])):
        return "never comes due"
    return f"has a bad {name}, '{texts[name]}': allowed are {_FIELDS[name]}"


def is_zone(name: str) -> bool:
    """Return whether a text is the IANA name of a time zone, which does not depend on the machine."""
    try:
        return ZoneInfo(name).key not in ("localtime", "posixrules")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def unknown_zone(name: str, at: Location) -> Diagnostic:
    """Return the error for a text that is not the name of a time zone, with the most similar name."""
    near = _near_zone(name)
    hint = f"did you mean '{near}'?" if near else "write a name like Europe/Prague, America/New_York or UTC"
    return diagnostic("OML028", at=at, hint=hint, key="zone", problem="is not the name of a time zone")


def _near_zone(name: str) -> str | None:
    from zoneinfo import available_timezones

    cities: dict[str, str] = {zone.rpartition("/")[2]: zone for zone in sorted(available_timezones())}
    zones = {**{zone: zone for zone in cities.values()}, **cities}
    near = nearest(name, zones)
    return zones[near] if near else None
