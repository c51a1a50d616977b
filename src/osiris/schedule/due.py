"""When a schedule comes due: pure functions of instants, which are always in UTC.

Daylight saving is as in cron. At fixed times, a time that does not exist comes due at the next moment that does, and
one that occurs twice only at its first. If minute or hour begins with `*`, the clock is followed as it is: a time that
does not exist is left out, and one that occurs twice comes due twice.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.oml.schedule import Schedule

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_SPANS = (timedelta(hours=1), _DAY, timedelta(days=32), timedelta(days=366), timedelta(days=366 * 50))
"""How far to look back for the newest due time: rare ones are found in long spans, frequent ones in short ones."""


@lru_cache(4096)
def next_due(schedule: Schedule, after: datetime) -> datetime | None:
    """Return the first time after an instant at which a schedule is due; None if there is none in 50 years."""
    zone = ZoneInfo(schedule.zone)
    minute, hour, *_ = schedule.cron.split()
    find = _next_spaced if "*" in (minute[0], hour[0]) else _next_fixed
    return find(schedule.cron, zone, after)


def due_times(schedule: Schedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the due times after an instant, up to and including another one."""

    def following() -> Iterator[datetime]:
        due = next_due(schedule, after)
        while due is not None:
            yield due
            due = next_due(schedule, due)

    return takewhile(lambda due: due <= until, following())


def last_due(schedule: Schedule, after: datetime, until: datetime) -> datetime | None:
    """Return the newest due time after an instant, up to and including another one; None if there is none."""
    for span in _SPANS:
        due = deque(due_times(schedule, max(after, until - span), until), maxlen=1)
        if due or until - span <= after:
            return due[0] if due else None
    return None


def choose(
    schedule: Schedule, handled: datetime, now: datetime, grace: timedelta
) -> tuple[datetime | None, datetime | None]:
    """Return the due time to run now, and the first one that is skipped for good; each None if there is none.

    `handled` is the last due time that was handled. With `catch_up: none`, a run that could not start within `grace` of
    its due time is skipped.
    """
    first = next_due(schedule, handled)
    if first is None or first > now:
        return None, None
    if schedule.catch_up == "all":
        return first, None
    since = handled if schedule.catch_up == "last" else max(handled, now - grace - _SECOND)
    due = last_due(schedule, since, now)
    return due, None if first == due else first


def _matches(cron: str, after: datetime) -> Iterator[datetime]:
    """Return the wall clock times after another one that match an expression; all of them are naive."""
    from cronsim import CronSim

    return CronSim(cron, after)


def _next_fixed(cron: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    instants = (_instant(wall, zone) for wall in _matches(cron, _wall(after, zone)))
    return next((each for each in instants if each > after), None)


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant of a wall clock time; of one that does not exist, the end of the gap."""
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    return instant if _wall(instant, zone) == wall else _change(zone, instant - _DAY, instant)


def _next_spaced(cron: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """Return the next match; the search begins again at each change of the offset to UTC."""
    wall = _wall(after, zone)
    while (match := next(_matches(cron, wall), None)) is not None:
        offset = _offset(after, zone)
        due = match.replace(tzinfo=UTC) - offset
        changed = next((each for each in (min(due, after + _DAY), due) if _offset(each, zone) != offset), None)
        if changed is None:
            return due
        after = _change(zone, after, changed)
        wall = _wall(after, zone) - _SECOND
    return None


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the first whole second with another offset to UTC than `before`, which has another one than `after`."""
    offset = _offset(before, zone)
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        before, after = (middle, after) if _offset(middle, zone) == offset else (before, middle)
    return after.replace(microsecond=0)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)
