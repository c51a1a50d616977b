"""A clock that is set during a run: no deadline depends on it, and sessions stay in order."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.patience import SOON, started

from osiris.config import load_config
from osiris.errors import OsirisError
from osiris.session.finding import iter_sessions

HOST = Path(__file__).with_name("host.py")
FAKE = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
DAY = 86_400
JUMPS = {"a day ahead": DAY, "a day back": -DAY, "a second back": -1}


@pytest.fixture
def clock(tmp_path):
    """A clock that is right until the test writes an offset; the monotonic clock is not changed."""
    assert FAKE, "sh tools/servers.sh installs faketime"
    path = tmp_path / "clock"
    put(path, 0)
    return path


def put(clock, seconds):
    """Set a clock; the file is always complete, because processes read it all the time."""
    new = clock.with_name("new")
    new.write_text(f"{seconds:+}\n")
    new.replace(clock)


def environment(clock):
    """Return the variables that make a process use a clock."""
    return {
        "LD_PRELOAD": str(FAKE),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@pytest.fixture
def plan(desk, make_step):
    """A run of two seconds or more."""
    return desk.plan(
        [
            make_step("a", "numbers", rows=20_000, batch=1000, pause=0.1),
            make_step("w", "file_writer", "write", ["a"], path="output/x.txt"),
        ]
    )


def run_host(desk, path, clock, seconds):
    """Run as the command would, and set the clock once a step has begun; returns the codes that it reports."""
    command = [desk.python, HOST, desk.project.root, path]
    with started(command, stdout=subprocess.PIPE, text=True, env=environment(clock)) as host:
        while "step_start" not in (line := host.stdout.readline()):
            assert line, "it ended before a step began"
        put(clock, seconds)
        *_, last = host.stdout.read().splitlines()
    return json.loads(last)


def whole(desk, session_id):
    """Return what is wrong with the record of a session: gaps in numbers, a bad time, a wrong end."""
    folder = desk.project.logs / session_id
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    times = [each["value"] for each in metrics if each["metric"].endswith("duration_ms")]
    assert times
    assert all(0 <= value < SOON * 1000 for value in times), times
    return [event["event"] for event in events][-1]


@pytest.mark.long
@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)
def test_a_clock_that_is_set_under_a_run(desk, plan, clock, tmp_path, seconds):
    """The host's clock jumps, the worker's does not: they need not agree. The next run comes after it."""
    (desk.project.root / "osiris.yaml").write_text(f"run: {{wait: 0, step_timeout: {SOON:.0f}s}}\n")
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.data))
    assert run_host(desk, path, clock, seconds) == {"event": "result", "status": "complete", "codes": []}
    assert len((desk.project.root / "output/x.txt").read_text().splitlines()) == 20_000
    put(clock, 0)
    second = desk.run(plan)
    newest, first = (each["session"] for each in iter_sessions(desk.project))
    assert (second.status, newest) == ("complete", second.session_id)
    assert [whole(desk, name) for name in (first, newest)] == ["run_complete", "run_complete"]
    assert desk.left_over() == []


@pytest.mark.parametrize("seconds", JUMPS.values(), ids=JUMPS)
def test_a_clock_that_is_set_under_a_worker(desk, plan, clock, tmp_path, seconds):
    """Nothing there is late because of it, and what is late is reported as such."""
    given = " ".join(f"{name}={value}" for name, value in environment(clock).items())
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec env {given} {desk.python} "$@"\n')
    python.chmod(0o755)
    desk = replace(desk, python=str(python))

    def jump(event):
        if event["event"] == "step_start":
            put(clock, seconds)

    config = load_config(desk.project, {"OSIRIS_RUN__STEP_TIMEOUT": f"{SOON:.0f}s"})
    result = desk.run(plan, jump, config=config)
    assert result.status == "complete", result.diagnostics
    assert whole(desk, result.session_id) == "run_complete"
    put(clock, 0)
    assert late(desk, plan, jump) == ["RUN002"]


def late(desk, plan, progress):
    """Run a plan that exceeds a step's timeout, and return the codes of errors: of its step, or before it began."""
    config = load_config(desk.project, {"OSIRIS_RUN__STEP_TIMEOUT": "1s"})
    try:
        found = desk.run(plan, progress, config=config).diagnostics
    except OsirisError as error:
        found = error.diagnostics
    return [each.code for each in found]
