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


def test_nothing_moves_where_nobody_watches():
    console = Console(out=io.StringIO(), err=io.StringIO())
    with watch(console) as listen:
        listen(EVENT)
    assert console.err.getvalue() == ""


def test_a_log_gets_a_plain_line_now_and_then():
    console = Console(out=io.StringIO(), err=io.StringIO())
    progress = {"event": "step_progress", "step": "a", "rows": 1200, "rate": 600}
    with watch(console, every=0) as listen:
        listen(progress)
    with watch(console, every=3600) as listen:
        listen(progress)
    assert console.err.getvalue() == "a: 1,200 rows, 600 rows/s\n"


def test_steps_show_rows_and_rate():
    steps = Steps()
    assert steps.take({"event": "step_start", "step": "a", "mode": "read"})
    steps.take({"event": "step_progress", "step": "a", "rows": 1200, "rate": 600})
    assert steps.take({"event": "run_complete"}) is False
    assert steps.lines().plain.split() == ["a", "progress", "1,200", "rows", "600", "rows/s"]


def test_names_of_steps_are_safe():
    steps = Steps()
    steps.take({"event": "step_start", "step": "\x1b[2J[red]", "mode": "read"})
    assert steps.lines().plain.startswith("\\x1b[2J[red]")
