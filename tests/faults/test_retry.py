"""A step with `retry` runs again after a failure, together with the steps that stream from and to it."""

import json
import time

import pytest
from tests.patience import SOON


@pytest.fixture
def flaky(desk, make_step):
    """Run a reader that fails a few times in the middle, and its writer."""

    def call(failures, retry, code="CON003", **options):
        steps = [
            make_step("a", "numbers", rows=5000, failures=failures, code=code, **({"retry": retry} if retry else {})),
            make_step("w", "file_writer", "write", ["a"], path="w.txt"),
        ]
        return desk.run(desk.plan(steps), **options)

    return call


QUICK = {"max": 2, "backoff": "50ms", "on": ["unavailable"]}


def told(desk, result, *names):
    return [e for e in desk.events(result) if e["event"] in names]


def test_the_attempt_that_counts_is_counted_alone(desk, flaky):
    result = flaky(2, QUICK)
    assert (result.status, result.diagnostics) == ("complete", ())
    retries = [(e["step"], e["attempt"], e["code"], e["wait_ms"]) for e in told(desk, result, "step_retry")]
    assert retries == [("a", 2, "CON003", 50), ("a", 3, "CON003", 100)]
    assert [(e["event"], e["step"]) for e in told(desk, result, "step_start", "step_complete")] == [
        ("step_start", "a"),
        ("step_start", "w"),
        ("step_complete", "a"),
        ("step_complete", "w"),
    ]
    summary = desk.summary(result)
    assert {n: (s["rows_in"], s["rows_out"], s["attempts"]) for n, s in summary["steps"].items()} == {
        "a": (5000, 5000, 3),
        "w": (5000, 5000, 3),
    }
    metrics = [json.loads(line) for line in (desk.session(result) / "metrics.jsonl").read_text().splitlines()]
    counted = {(m["metric"], m["tags"].get("step")): m["value"] for m in metrics}
    assert (counted["rows_read", "a"], counted["rows_written", "w"], counted["step_attempts", "a"]) == (5000, 5000, 3)
    assert len((desk.project.root / "w.txt").read_text().splitlines()) == 5000
    assert desk.left_over() == []


@pytest.mark.parametrize(
    ("failures", "retry", "code"),
    [(3, QUICK, "CON003"), (1, None, "CON003"), (1, QUICK, "DRV006"), (1, QUICK | {"on": ["DRV004"]}, "CON003")],
)
def test_a_failure_that_is_not_asked_for_or_too_many_end_the_run(desk, flaky, failures, retry, code):
    result = flaky(failures, retry, code)
    assert (result.status, [d.code for d in result.diagnostics]) == ("failed", [code])
    (failed,) = told(desk, result, "step_failed")
    assert failed["attempts"] == min(failures, 3)
    assert not (desk.project.root / "w.txt").exists()
    assert desk.left_over() == []


def test_a_code_can_be_asked_for(flaky):
    assert flaky(1, QUICK | {"on": ["DRV006"]}, "DRV006").status == "complete"


def test_a_pause_can_be_interrupted(desk, flaky):
    import os
    import signal

    began = []

    def interrupt(event):
        if event["event"] == "step_retry":
            began.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    result = flaky(1, QUICK | {"backoff": "5m"}, progress=interrupt)
    assert time.monotonic() - began[0] < SOON
    assert (result.status, result.exit_code) == ("cancelled", 130)
    assert [e["step"] for e in told(desk, result, "step_cancelled")] == ["a", "w"]


def test_what_was_spooled_before_is_read_again(desk, make_step):
    steps = [
        make_step("a", "numbers", rows=3000),
        make_step("b", "passing", "transform", ["a"]),
        make_step("v", "file_writer", "write", ["a"], path="v.txt"),
        make_step("c", "numbers", rows=2000, failures=1),
        make_step("d", "passing", "transform", ["b", "c"]),
        make_step("w", "file_writer", "write", ["d"], path="w.txt"),
    ]
    steps[3]["config"]["retry"] = QUICK
    result = desk.run(desk.plan(steps))
    assert (result.status, result.diagnostics) == ("complete", ())
    assert result.steps["d"]["rows_out"] == 5000
    assert result.steps["v"]["attempts"] == 1
