"""A run over time: drawing it with few points loses nothing."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.browser.sessions import START, moment, shop, write_session

from osiris.history.record import Point, RecordedRun, RecordedStep, load_run
from osiris.report.drawing import MOST_SPANS, read_series, thinned


def a_step(points, *, mode="read", began=0.0, ended=None, rows=None):
    """Return a step with progress at these times, which gave `rows` in the end."""
    told = {} if rows is None else {"rows_out": rows}
    return RecordedStep("s", mode, "complete", {}, told, began, ended, None, None, None, tuple(points))


def a_run(*steps, memory=()):
    metrics = [{"ts": moment(at), "metric": "memory_bytes", "value": value} for at, value in memory]
    return RecordedRun(None, {"started_at": moment(0)}, None, (), tuple(metrics), steps, ())


@settings(max_examples=60)
@given(
    st.floats(3, 100_000),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1000)), max_size=50),
    st.integers(0, 1000),
)
def test_all_rows_are_in_it(seconds, parts, last):
    total, points = 0, []
    for share, rows in sorted(parts):
        total += rows
        points.append(Point(share * seconds, total))
    step = a_step(points, ended=seconds, rows=total + last)
    series = read_series(a_run(step), seconds)
    assert len(series.read) <= MOST_SPANS
    assert sum(series.read) * series.span == pytest.approx(total + last)
    assert sum(series.written) == 0
    weights = [(until - since) for since, until, *_ in thinned(series)]
    means = [row[2] for row in thinned(series)]
    assert len(weights) <= 24
    assert sum(w * m for w, m in zip(weights, means, strict=True)) == pytest.approx(total + last)


def test_rows_come_when_they_came():
    read = a_step([Point(2, 20), Point(4, 80)], ended=4, rows=80)
    wrote = a_step([], mode="write", began=2, ended=4, rows=10)
    series = read_series(a_run(read, wrote, memory=[(1.5, 7), (1.7, 9), (3.2, 5)]), 4)
    assert series.read == (10, 10, 30, 30)
    assert series.written == (0, 0, 5, 5)
    assert series.memory == (None, 9, None, 5)
    assert series.to_json()["x"] == [0.5, 1.5, 2.5, 3.5]


def test_a_step_that_starts_over_counts_anew():
    step = a_step([Point(1, 100), Point(2, 50), Point(3, 100)], ended=4, rows=100)
    assert read_series(a_run(step), 4).read == (100, 0, 50, 0)


def test_a_short_run_has_no_curve():
    assert read_series(a_run(a_step([], ended=1.5, rows=9)), 2) is None


def test_a_session_is_read_with_its_memory(tmp_path):
    folder = write_session(tmp_path, shop(), seconds=10, memory=[(2.5, 1000)], start=START + timedelta(days=1))
    series = read_series(load_run(folder), 10)
    assert series.memory == (None, None, 1000, *[None] * 7)
