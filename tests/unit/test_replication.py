"""Values of cursors: as text, and the least that later rows can have."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from osiris.replication import least_after, parse_value

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


@pytest.mark.parametrize("zone", FALLS)
def test_no_later_row_has_a_value_below_the_least(zone):
    start = FALLS[zone] - timedelta(hours=30)
    instants = [(start + n * MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for n in range(60 * 60)]
    later = list(instants)
    for n in range(len(later) - 2, -1, -1):
        later[n] = min(later[n], later[n + 1])
    assert later != instants
    for n in range(30 * 60):
        assert later[n] - timedelta(hours=1) <= least_after(instants[n], zone) <= later[n]
        assert least_after(instants[n].date(), zone) <= later[n].date()
    assert least_after(instants[0], zone) == instants[0]


@pytest.mark.parametrize("mark", [5, date(2026, 10, 25), datetime(2026, 10, 25, 2, tzinfo=UTC)])
def test_integers_aware_times_and_values_without_a_zone_do_not_go_back(mark):
    assert least_after(mark, None) == mark
    assert least_after(mark, "Antarctica/Troll") == mark
