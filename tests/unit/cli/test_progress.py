"""The progress display of a run."""

import io

from osiris.cli.progress import Steps, event_line, watch
from osiris.cli.render import Console

EVENT = {"ts": "2026-01-01T00:00:00Z", "seq": 3, "session": "s", "event": "step_complete", "step": "a", "rows_out": 7}


def test_event_line_is_stable():
    assert event_line(EVENT) == "2026-01-01T00:00:00Z step_complete a rows_out=7"
    assert event_line({"event": "run_start", "pipeline": "x y"}) == ' run_start - pipeline="x y"'


def test_verbose_prints_each_event_on_one_safe_line():
    console = Console(verbose=True, out=io.StringIO(), err=io.StringIO())
    with watch(console) as listen:
        listen({**EVENT, "note": "a\x1b[2J\nb"})
    assert console.err.getvalue().count("\n") == 1
    assert "\x1b" not in console.err.getvalue()
    assert console.out.getvalue() == ""


def test_a_step_that_ends_has_one_line_where_nobody_watches():
    console = Console(out=io.StringIO(), err=io.StringIO())
    with watch(console) as listen:
        listen({"event": "step_start", "step": "a", "mode": "read"})
        listen({**EVENT, "duration_ms": 2300})
        listen({"event": "step_failed", "step": "b\n", "duration_ms": 20, "rows": 1})
        listen({"event": "step_skipped", "step": "c"})
    assert console.err.getvalue() == "a: complete, 7 rows, 2.3 s\nb\\x0a: failed, 1 row, 20 ms\nc: skipped\n"


def test_a_log_gets_a_plain_line_now_and_then():
    console = Console(out=io.StringIO(), err=io.StringIO())
    progress = {"event": "step_progress", "step": "a", "rows": 1200, "rate": 600}
    with watch(console, every=0) as listen:
        listen(progress)
    with watch(console, every=3600) as listen:
        listen(progress)
    assert console.err.getvalue() == "a: running, 1,200 rows, 600 rows/s, 0 s\n"


def table(*events, width=80, height=20):
    steps = Steps()
    for event in events:
        steps.take(event)
    return steps.lines(width, height)


START = {"event": "step_start", "step": "a", "mode": "read"}
MOVING = {"event": "step_progress", "step": "a", "rows": 1200, "rate": 600}


def test_steps_show_rows_and_rate():
    assert table(START, MOVING, {"event": "run_complete"}) == ["a  running  1,200 rows  600 rows/s  0 s"]
    (of,) = table(START, {**MOVING, "rows_expected": 6000})
    assert "1,200 of 6,000 rows" in of


def test_a_step_that_aggregates_shows_the_rows_it_reads():
    reading = {**MOVING, "rows": 0, "rows_in": 900, "rows_expected": 1000}
    assert "900 of 1,000 rows read" in table(START, reading)[0]
    assert "1,000 rows to read" in table(START, {**reading, "rows_in": 0, "rate": 0})[0]
    assert "7 rows " in table(START, reading, {**EVENT, "rows_in": 1000, "duration_ms": 5})[0]


def test_columns_never_become_narrower():
    steps = Steps()
    for event in (START, {**MOVING, "rows": 1_000_000, "rate": 1_000_000}):
        steps.take(event)
    (before,) = steps.lines(80, 20)
    steps.take({**MOVING, "rows": 1_000_001, "rate": 7})
    assert len(steps.lines(80, 20)[0]) == len(before)


def test_lines_fit_narrow_terminals():
    long = {**MOVING, "step": "a_step_with_a_long_name", "rows": 1_000_000, "rate": 1_000_000}
    (narrow,), (wide,) = table(long, width=40), table(long, width=120)
    assert len(narrow) <= 40
    assert narrow.startswith("a_step_w")
    assert "1,000,000 rows" in narrow
    assert "1,000,000 rows/s" in wide


def test_running_steps_are_shown_first_where_steps_are_many():
    ended = [{**EVENT, "step": f"s{number}"} for number in range(30)]
    lines = table({**START, "step": "slow"}, *ended, height=5)
    assert lines[0] == "30 steps have ended, 1 run"
    assert len(lines) == 5
    assert lines[-1].startswith("slow")


def test_names_of_steps_are_safe():
    assert table({**START, "step": "\x1b[2J[red]"})[0].startswith("\\x1b[2J[red]")


def tables(total, *events):
    """Return the events of a run of so many tables."""
    pair = [("t0-source", "read"), ("t0", "write"), ("t1-source", "read"), ("t1", "write")]
    starts = [{"event": "step_start", "step": step, "mode": mode, "entry": "shop"} for step, mode in pair]
    return [{"event": "run_start", "adapter": "local", "tables": total}, *starts, *events]


ENDED = {"event": "step_complete", "step": "t0", "rows_out": 1200, "duration_ms": 5}
FAILED = {"event": "step_failed", "step": "t1-source", "duration_ms": 5, "rows": 0}


def test_tables_are_counted_together_and_those_at_work_have_a_line():
    assert table(*tables(40))[0] == "0 of 40 tables, 0 rows"
    assert [line.split()[:2] for line in table(*tables(40))[1:]] == [["t0", "running"], ["t1", "running"]]
    first, working = table(*tables(40, ENDED))
    assert first == "1 of 40 tables, 1,200 rows"
    assert working.startswith("t1 ")
    assert table(*tables(40, ENDED, FAILED))[0] == "2 of 40 tables, 1 failed, 1,200 rows"
    assert len(table(*tables(40), height=2)) == 2


def test_the_time_left_is_said_once_enough_tables_have_ended():
    ended = [{**ENDED, "step": f"x{n}", "entry": "shop"} for n in range(10)]
    assert "left" not in table(*tables(40, *ended[:9]))[0]
    assert table(*tables(40, *ended))[0].endswith(", about 0 s left")


def test_a_log_has_the_failures_of_tables_and_a_line_now_and_then():
    console = Console(out=io.StringIO(), err=io.StringIO())
    with watch(console) as listen:
        for event in tables(2, ENDED, {**FAILED, "entry": "shop"}):
            listen(event)
    assert console.err.getvalue().splitlines() == [
        "1 of 2 tables, 1,200 rows",
        "t1-source: failed, 0 rows, 5 ms",
        "2 of 2 tables, 1 failed, 1,200 rows",
    ]
