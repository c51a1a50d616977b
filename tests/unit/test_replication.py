"""Values of cursors: as text, and the least that later rows can have."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from osiris.replication import Cursor, least_after, mark_of, parse_value

READ = [
    ("2025-01-31T06:00:00", "timestamp[us]", datetime(2025, 1, 31, 6)),  # noqa: DTZ001  a column without zone
    ("2025-01-31T06:00:00+00:00", "timestamp[us,UTC]", datetime(2025, 1, 31, 6, tzinfo=UTC)),
    ("2025-01-31", "date", date(2025, 1, 31)),
    ("10000", "int64", 10000),
]


@pytest.mark.parametrize(("text", "kind", "value"), READ)
def test_a_value_is_read(text, kind, value):
    assert parse_value(text, kind) == value


@pytest.mark.parametrize("kind", ["timestamp[us]", "date"])
@pytest.mark.parametrize("text", ["20250131-06", "20250131", "20250131T060000"])
def test_the_beginning_of_a_session_name_is_no_time(text, kind):
    with pytest.raises(ValueError, match=text):
        parse_value(text, kind)


MINUTE = timedelta(minutes=1)
FALLS = {
    "Europe/Prague": datetime(2026, 10, 25, 1, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 4, 4, 15, tzinfo=UTC),  # half an hour
    "Antarctica/Troll": datetime(2026, 10, 25, 1, tzinfo=UTC),  # two hours
    "Antarctica/Casey": datetime(2018, 3, 10, 17, tzinfo=UTC),  # three hours
    "America/St_Johns": datetime(2010, 11, 7, 2, 31, tzinfo=UTC),  # at 0:01, so that the date goes back
    "America/Nuuk": datetime(2026, 10, 25, 1, tzinfo=UTC),
}
"""Zones, and an instant at which their clocks go back."""


FRACTION = 900_000
"""Microseconds of the times, which fall within a second."""


@pytest.mark.parametrize("zone", FALLS)
def test_no_later_row_has_a_value_below_the_least(zone):
    start = FALLS[zone] - timedelta(hours=30) + timedelta(microseconds=FRACTION)
    instants = [(start + n * MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for n in range(60 * 60)]
    later = list(instants)
    for n in range(len(later) - 2, -1, -1):
        later[n] = min(later[n], later[n + 1])
    assert later != instants
    for n in range(30 * 60):
        assert later[n] - timedelta(seconds=1) <= least_after(instants[n], zone) <= later[n]
        assert least_after(instants[n].date(), zone) <= later[n].date()
    assert least_after(instants[0], zone) == instants[0]


RISES = {
    "Europe/Prague": datetime(2026, 3, 29, 1, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    "Antarctica/Troll": datetime(2026, 3, 29, 1, tzinfo=UTC),
    "America/St_Johns": datetime(2010, 3, 14, 3, 31, tzinfo=UTC),
}
"""Zones, and an instant at which their clocks go forward."""


@pytest.mark.parametrize("kind", ["timestamp[us]", "date"])
@pytest.mark.parametrize("minutes", [0, 1, 15, 90, 24 * 60])
@pytest.mark.parametrize("change", [FALLS, RISES], ids=["back", "forward"])
@pytest.mark.parametrize("zone", RISES)
def test_a_row_that_is_late_within_the_lag_is_read_and_the_start_never_falls(zone, change, minutes, kind):
    """The truth is a list of instants, each minute: where a run starts is below all that comes later."""
    start = change[zone] - timedelta(hours=30)
    instants = [(start + n * MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for n in range(60 * 60)]
    values = instants if kind == "timestamp[us]" else [instant.date() for instant in instants]
    later = list(values)
    for n in range(len(later) - 2, -1, -1):
        later[n] = min(later[n], later[n + 1])
    cursor = Cursor("c", "lag", lag=minutes * 60.0, is_lag_in_time=True, zone=zone)
    greatest, begun = values[0], least_after(mark_of(cursor, values[0], None, kind), zone)
    for n in range(1, 31 * 60):
        greatest = max(greatest, values[n])
        begins = least_after(mark_of(cursor, greatest, None, kind), zone)
        assert begun <= begins
        if n >= minutes:
            assert begins <= later[n - minutes]
        begun = begins


@pytest.mark.parametrize(
    ("kind", "least"),
    [("uint8", 0), ("uint64", 0), ("int8", -128), ("int64", -(2**63)), ("decimal(3,0)", -999)],
)
def test_a_mark_is_a_value_of_the_column(kind, least):
    cursor = Cursor("c", "lag", lag=10.0)
    assert mark_of(cursor, least + 3, None, kind) == least
    assert mark_of(cursor, least + 13, None, kind) == least + 3


@pytest.mark.parametrize("mark", [5, date(2026, 10, 25), datetime(2026, 10, 25, 2, tzinfo=UTC)])
def test_integers_aware_times_and_values_without_a_zone_do_not_go_back(mark):
    assert least_after(mark, None) == mark
    assert least_after(mark, "Antarctica/Troll") == mark
