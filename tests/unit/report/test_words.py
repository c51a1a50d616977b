"""How pages format numbers and texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osiris.report.template import change_text, duration_text, moment_text, number_text, short, visible
from osiris.units import count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.1704, "170 ms"),
        (0.9996, "1 s"),
        (2.34, "2.3 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (252, "4 min 12 s"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


@given(st.floats(0, 1e6))
def test_a_duration_says_about_as_much_as_it_is(seconds):
    units = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
    words = duration_text(seconds).split()
    told = sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert told == pytest.approx(seconds, rel=0.05, abs=0.0006)


def test_numbers_and_times():
    assert (number_text(1234567), number_text(None)) == ("1,234,567", "-")
    assert (count(1, "row"), count(2000, "row")) == ("1 row", "2,000 rows")
    assert moment_text("2026-03-01T13:00:00.5+01:00") == "2026-03-01 12:00:00 UTC"
    assert moment_text(None) == "-"
    assert (change_text(4, 4), change_text(4, 3), change_text(0, 12)) == ("same", "-1 (-25 %)", "+12")


@given(st.text())
def test_all_of_a_text_can_be_seen(text):
    shown = visible(text)
    assert shown.replace("\n", "").isprintable()
    assert visible(shown) == shown
    assert len(short(shown, 20)) <= 20
