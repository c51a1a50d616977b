"""When schedules come due; the expected times are computed by hand, from the dates at which the offsets change."""

from datetime import UTC, datetime, timedelta

import pytest

from osiris.oml.schedule import Schedule
from osiris.schedule.due import choose, due_times, last_due, next_due

PRAGUE, LORD_HOWE, HAVANA, APIA = "Europe/Prague", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia"


def at(text):
    return datetime.fromisoformat(f"{text}+00:00")


def dues(cron, zone, after, until):
    return [f"{due:%d %H:%M}" for due in due_times(Schedule(cron, zone), at(after), at(until))]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "until", "expected"),
    [
        ("0 2 * * *", "UTC", "2026-11-30T02:00", "2026-12-02T02:00", ["01 02:00", "02 02:00"]),
        ("0 2 * * MON-FRI", PRAGUE, "2026-11-27T02:00", "2026-12-01T02:00", ["30 01:00", "01 01:00"]),
        ("0 0 1,15 * *", "UTC", "2026-02-01T00:00", "2026-03-01T00:00", ["15 00:00", "01 00:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", "2032-12-31T00:00", ["29 00:00", "29 00:00"]),
        # Prague: 2026-03-29 01:00 UTC 02:00 becomes 03:00; 2026-10-25 01:00 UTC 03:00 becomes 02:00
        ("30 2 * * *", PRAGUE, "2026-03-28T00:00", "2026-03-30T12:00", ["28 01:30", "29 01:00", "30 00:30"]),
        ("0,30 2 * * *", PRAGUE, "2026-03-29T00:00", "2026-03-29T12:00", ["29 01:00"]),
        ("30 2 * * *", PRAGUE, "2026-10-24T12:00", "2026-10-26T12:00", ["25 00:30", "26 01:30"]),
        ("30 2 * * *", PRAGUE, "2026-10-25T00:45", "2026-10-26T00:00", []),
        ("*/30 1-2 * * *", PRAGUE, "2026-03-28T23:30", "2026-03-29T12:00", ["29 00:00", "29 00:30"]),
        ("30 */1 * * *", PRAGUE, "2026-10-24T23:45", "2026-10-25T03:00", ["25 00:30", "25 01:30", "25 02:30"]),
        (
            "*/30 2 * * *",
            PRAGUE,
            "2026-10-24T12:00",
            "2026-10-25T12:00",
            ["25 00:00", "25 00:30", "25 01:00", "25 01:30"],
        ),
        ("*/30 2 25 10 *", PRAGUE, "2026-10-25T00:40", "2026-10-26T00:00", ["25 01:00", "25 01:30"]),
        # Lord Howe changes by half an hour: 2026-10-03 15:30 UTC 02:00 becomes 02:30
        ("15 2 * * *", LORD_HOWE, "2026-10-02T16:00", "2026-10-04T16:00", ["03 15:30", "04 15:15"]),
        ("*/20 5 * * *", LORD_HOWE, "2026-10-03T12:00", "2026-10-04T12:00", ["03 18:00", "03 18:20", "03 18:40"]),
        # Havana: 2026-03-08 05:00 UTC midnight becomes 01:00
        ("0 0 * * *", HAVANA, "2026-03-07T12:00", "2026-03-09T12:00", ["08 05:00", "09 04:00"]),
        # Apia had no 30 December 2011: at 10:00 UTC, the 29th became the 31st
        ("0 12 30 12 *", APIA, "2011-12-01T00:00", "2012-01-31T00:00", ["30 10:00"]),
    ],
)
def test_due_times(cron, zone, after, until, expected):
    assert dues(cron, zone, after, until) == expected


def test_due_times_are_after_the_instant_and_in_order():
    schedule, end = Schedule("*/7 * * * *", PRAGUE), at("2026-10-26T00:00")
    times = list(due_times(schedule, at("2026-10-24T00:00"), end))
    assert times == sorted(set(times))
    assert all(next_due(schedule, each - timedelta(seconds=1)) == each for each in times)
    assert next_due(schedule, times[0]) == times[1]
    assert last_due(schedule, times[0], end) == times[-1]


def test_the_newest_due_time_is_found_at_once_however_long_ago_the_first():
    assert last_due(Schedule("* * * * *"), at("1996-01-01T00:00"), at("2026-01-01T00:00:30")) == at("2026-01-01T00:00")
    assert last_due(Schedule("0 0 29 2 *"), at("1996-01-01T00:00"), at("2026-01-01T00:00")) == at("2024-02-29T00:00")
    assert last_due(Schedule("0 0 29 2 *"), at("2025-01-01T00:00"), at("2026-01-01T00:00")) is None


@pytest.mark.parametrize(
    ("catch_up", "now", "due", "missed"),
    [
        ("all", "2026-11-30T02:00:01", "28T02:00", None),
        ("last", "2026-11-30T02:00:01", "30T02:00", "28T02:00"),
        ("none", "2026-11-30T02:10:00", "30T02:00", "28T02:00"),
        ("none", "2026-11-30T02:10:01", None, "28T02:00"),
        ("last", "2026-11-28T02:00:00", "28T02:00", None),
        ("none", "2026-11-28T01:59:59", None, None),
        ("all", "2020-01-01T00:00:00", None, None),  # a clock that was set back: nothing runs twice
    ],
)
def test_what_was_missed_is_made_up_for_as_the_schedule_says(catch_up, now, due, missed):
    schedule, handled, grace = Schedule("0 2 * * *", "UTC", catch_up), at("2026-11-27T02:00"), timedelta(minutes=10)
    expected = tuple(each and datetime.fromisoformat(f"2026-11-{each}").replace(tzinfo=UTC) for each in (due, missed))
    assert choose(schedule, handled, at(now), grace) == expected
