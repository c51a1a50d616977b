"""Independent steps run in parallel; what ends one of them stops the others."""

import os
import signal
import time

import pytest
from tests.patience import SOON

from osiris.config import load_config
from osiris.session.writing import STEP_ENDS


@pytest.fixture
def several(desk):
    """The settings of a project whose steps may run in parallel."""

    def call(parallel=4, **more):
        return load_config(desk.project, {"OSIRIS_RUN__PARALLEL": str(parallel), **more})

    return call


@pytest.fixture
def pair(desk, make_step):
    """A plan of two groups, the readers `a` and `b`, with the given configs."""

    def call(a, b, first="numbers", second="numbers"):
        return desk.plan(
            [
                make_step("a", first, **a),
                make_step("v", "file_writer", "write", ["a"], path="v.txt"),
                make_step("b", second, **b),
                make_step("w", "file_writer", "write", ["b"], path="w.txt"),
            ]
        )

    return call


def ends(desk, result):
    """The end of each step; each that started has exactly one."""
    events = desk.events(result)
    started = sorted(e["step"] for e in events if e["event"] == "step_start")
    found = {e["step"]: e for e in events if e["event"] in STEP_ENDS}
    assert sorted(e["step"] for e in events if e["event"] in STEP_ENDS) == started
    assert desk.left_over() == []
    return found


def test_steps_that_wait_for_each_other_meet(desk, pair, several):
    plan = pair({"rows": 10, "meets": ["b"]}, {"rows": 10, "meets": ["a"]})
    result = desk.run(plan, config=several(2))
    assert (result.status, result.diagnostics) == ("complete", ())
    assert set(ends(desk, result)) == {"a", "b", "v", "w"}


def test_one_at_a_time_runs_them_in_order(desk, pair, several):
    result = desk.run(pair({"rows": 10}, {"rows": 10}), config=several(1))
    told = [(e["event"], e["step"]) for e in desk.events(result) if e["event"] in ("step_start", "step_complete")]
    both = [[("step_start", r), ("step_start", w), ("step_complete", r), ("step_complete", w)] for r, w in ("av", "bw")]
    assert told == [*both[0], *both[1]]


def test_the_first_failure_stops_the_others(desk, pair, several):
    plan = pair({"rows": 600_000, "pause": 0.2, "meets": ["b"]}, {"rows": 2000, "failures": 9, "meets": ["a"]})
    began = time.monotonic()
    result = desk.run(plan, config=several())
    assert time.monotonic() - began < SOON
    assert (result.status, [d.code for d in result.diagnostics], result.exit_code) == ("failed", ["CON003"], 3)
    told = ends(desk, result)
    assert {name: end["event"] for name, end in told.items()} == {
        "b": "step_failed",
        **dict.fromkeys("avw", "step_cancelled"),
    }
    assert {told[name]["because"] for name in "avw"} == {"b"}
    assert not (desk.project.root / "v.txt").exists()


def test_a_step_that_does_not_stop_is_ended_with_the_worker(desk, pair, several):
    here = str(desk.project.root / "here-a")  # the other one fails once this one does what it is to do
    stubborn, failing = {"deed": "ignore_everything", "text": here}, {"rows": 2000, "failures": 9, "meets": ["a"]}
    plan = pair(stubborn, failing, first="misbehaving")
    began = time.monotonic()
    result = desk.run(plan, config=several())
    assert time.monotonic() - began < SOON
    assert (result.status, [d.code for d in result.diagnostics]) == ("failed", ["CON003"])
    told = ends(desk, result)
    assert (told["a"]["event"], told["a"]["because"], told["b"]["event"]) == ("step_cancelled", "b", "step_failed")


def test_a_timeout_is_that_of_its_step(desk, make_step, several):
    """It begins with its step: others, before it and beside it, may take longer."""
    endless = {"rows": 2000, "gate": "never"}
    steps = [
        make_step("b", "numbers", rows=2000, pause=1.1),
        make_step("w", "file_writer", "write", ["b"], path="w.txt"),
        make_step("a", "numbers", needs=["w"], timeout="2s", **endless),
        make_step("v", "file_writer", "write", ["a"], path="v.txt"),
        make_step("c", "numbers", **endless),
        make_step("x", "file_writer", "write", ["c"], path="x.txt"),
    ]
    result = desk.run(desk.plan(steps), config=several())
    assert [d.code for d in result.diagnostics] == ["RUN002"]
    told = ends(desk, result)
    assert {name: end["event"] for name, end in told.items()} == {
        "a": "step_failed",
        **dict.fromkeys("bw", "step_complete"),
        **dict.fromkeys("vcx", "step_cancelled"),
    }
    assert {told[name]["because"] for name in "vcx"} == {"a"}


def test_an_interrupt_stops_all(desk, pair, several):
    plan = pair({"rows": 600_000, "pause": 0.1, "meets": ["b"]}, {"rows": 600_000, "pause": 0.1, "meets": ["a"]})
    began = []

    def interrupt(event):
        if event["event"] == "step_progress" and not began:
            began.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    result = desk.run(plan, interrupt, config=several())
    assert time.monotonic() - began[0] < SOON
    assert (result.status, result.exit_code) == ("cancelled", 130)
    assert {end["event"] for end in ends(desk, result).values()} == {"step_cancelled"}


def test_memory_and_threads_are_shared_out(desk, make_step, several):
    steps = [make_step(name, "misbehaving", deed="tell_limits") for name in "ab"]
    result = desk.run(desk.plan(steps), config=several(2, OSIRIS_RUN__THREADS="4", OSIRIS_RUN__MEMORY="1GB"))
    told = {e["step"]: e["fields"] for e in desk.events(result) if e["event"] == "limits"}
    assert told == {name: {"memory": 500_000_000, "threads": 2} for name in "ab"}
    result = desk.run(desk.plan(steps[:1]), config=several(2, OSIRIS_RUN__THREADS="4", OSIRIS_RUN__MEMORY="1GB"))
    (alone,) = (e["fields"] for e in desk.events(result) if e["event"] == "limits")
    assert alone == {"memory": 10**9, "threads": 4}
