import pytest

from osiris.units import duration_text, parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "size"),
    [("2GB", 2 * 10**9), ("2GiB", 2 << 30), ("512 MiB", 512 << 20), ("1kB", 1000), ("7B", 7), (4096, 4096)],
)
def test_sizes(written, size):
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["2", "2gb", "-1GB", "1.5GB", "GB", "2GB ", "0B", "", 0, -5, True, None, 2.0, []])
def test_what_is_no_size(written):
    assert parse_size(written) is None


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("6h", 21600), ("90s", 90), ("5 m", 300), ("250ms", 0.25), ("2d", 172800), (1.5, 1.5), (30, 30)],
)
def test_durations(written, seconds):
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["6", "6hours", "-1s", "1h30m", "s", "0s", "6h\n", "٣s", 0, True, None, float("inf"), float("nan")]
)
def test_what_is_no_duration(written):
    assert parse_duration(written) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (2.5, "2.5 s"),
        (9.99853, "10 s"),
        (15.0, "15 s"),
        (59.6, "60 s"),
        (90, "1 min 30 s"),
        (600, "10 min"),
        (21600, "6 h"),
        (3661, "1 h 1 min"),
        (86400 * 2, "2 d"),
    ],
)
def test_durations_are_told_as_people_say_them(seconds, text):
    assert duration_text(seconds) == text
