"""Values of cursors as text."""

from datetime import UTC, date, datetime

import pytest

from osiris.replication import parse_value

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
