"""The worst that another author's driver can do to a run is to end it."""

import time

import pytest
from tests.patience import SOON

from osiris.config import load_config
from osiris.session.writing import STEP_ENDS


@pytest.fixture
def misbehave(desk, make_step):
    """Run one kind of misbehaviour beside a step that has to stop."""

    def call(deed, text="", sensitive=(), **options):
        steps = [
            make_step("bad", "misbehaving", deed=deed, text=text),
            make_step("out", "file_writer", "write", ["bad"], path="output/x.txt"),
        ]
        plan = desk.plan(steps)
        plan.data["sensitive"].extend(sensitive)
        return desk.run(plan, **options)

    return call


def codes(result):
    return [item.code for item in result.diagnostics]


def assert_tidy(desk, result):
    events = desk.events(result)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    started = sorted(e["step"] for e in events if e["event"] == "step_start")
    assert sorted(e["step"] for e in events if e["event"] in STEP_ENDS) == started
    assert next(e["event"] for e in events if e["event"].startswith("run_")) == "run_start"
    assert len([e for e in events if e["event"].startswith("run_")]) == 2
    assert desk.left_over() == []


def test_printing_harms_nothing(desk, misbehave):
    result = misbehave("print", "hullabaloo")
    assert (result.status, result.exit_code) == ("complete", 0)
    assert (desk.project.root / "output/x.txt").read_text() == "1\n"
    log = (desk.session(result) / "artifacts/worker.log").read_text()
    assert all(f"{where} hullabaloo" in log for where in ("printed", "written to 1", "written to 2"))
    assert_tidy(desk, result)


def test_exception_is_named_and_kept(desk, misbehave):
    result = misbehave("raise", "patience")
    assert (result.status, result.exit_code, codes(result)) == ("failed", 1, ["DRV000"])
    assert "ValueError: no patience" in result.diagnostics[0].message
    assert "ValueError: no patience" in (desk.session(result) / "artifacts/bad/traceback.txt").read_text()
    assert {s: told["status"] for s, told in result.steps.items()} == {"bad": "failed", "out": "not_run"}
    assert not (desk.project.root / "output").exists()
    assert_tidy(desk, result)


@pytest.mark.parametrize(
    ("deed", "status"),
    [("exit", "exit status 7"), ("sys_exit", "exit status 3"), ("kill", "SIGKILL"), ("abort", "SIGABRT")],
)
def test_death_of_the_worker_is_told(desk, misbehave, deed, status):
    result = misbehave(deed)
    assert (result.status, result.exit_code, codes(result)) == ("failed", 1, ["RUN001"])
    assert f"ended with {status} during step 'bad'" in result.diagnostics[0].message
    assert_tidy(desk, result)


def test_memory_is_bounded(desk, misbehave):
    result = misbehave("allocate")
    assert (result.status, codes(result)) == ("failed", ["RUN013"])
    assert "2000 MB" in result.diagnostics[0].message
    assert_tidy(desk, result)


def test_endless_recursion_is_a_failure(desk, misbehave):
    result = misbehave("recurse")
    assert (result.status, codes(result)) == ("failed", ["DRV000"])
    assert_tidy(desk, result)


def test_sleeping_step_is_stopped_by_its_timeout(desk, misbehave):
    config = load_config(desk.project, {"OSIRIS_RUN__STEP_TIMEOUT": "5s"})
    began = time.monotonic()
    result = misbehave("sleep", config=config)
    assert time.monotonic() - began < SOON
    assert (result.status, result.exit_code, codes(result)) == ("failed", 1, ["RUN002"])
    assert_tidy(desk, result)


def test_step_that_ignores_its_timeout_is_ended(desk, misbehave):
    config = load_config(desk.project, {"OSIRIS_RUN__STEP_TIMEOUT": "5s"})
    began = time.monotonic()
    result = misbehave("ignore_everything", config=config)
    assert time.monotonic() - began < SOON
    assert (result.status, codes(result)) == ("failed", ["RUN002"])
    assert_tidy(desk, result)


def test_worker_that_cannot_give_a_sign_is_ended(desk, misbehave):
    result = misbehave("hold_the_lock", silence=8.0)
    assert (result.status, codes(result)) == ("failed", ["RUN001"])
    assert "no sign of life for 8 s during step 'bad'" in result.diagnostics[0].message
    assert_tidy(desk, result)


def test_driver_events_cannot_pass_for_ours(desk, misbehave):
    result = misbehave("emit", "hello")
    told = {e["event"]: e for e in desk.events(result) if e.get("step") == "bad" and "fields" in e}
    assert told["greeting"]["fields"] == {"text": "hello"}
    assert told["driver.run_complete"]["fields"] == {"ts": "never", "text": "hello"}
    assert_tidy(desk, result)


def test_secret_is_in_no_byte_of_the_session(desk, misbehave):
    secret = "correct-horse-battery"
    result = misbehave("leak", sensitive=["token"], environ={"OSIRIS_PARAM_TOKEN": secret})
    assert (result.status, codes(result)) == ("failed", ["DRV000"])
    files = [path for path in desk.session(result).rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"events.jsonl", "run.json", "traceback.txt", "worker.log", "harmless.txt"}
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert secret not in repr(result)


def test_ledger_is_checked(desk, make_step):
    numbers = make_step("a", "numbers", rows=5000)
    lying = make_step("a", "numbers", rows=5000, claim=1001)
    for first, config in ((lying, {}), (numbers, {"lose": 1}), (numbers, {"batches": 2})):
        plan = desk.plan([first, make_step("w", "file_writer", "write", ["a"], path="x.txt", **config)])
        result = desk.run(plan, new_run=True)
        assert (result.status, codes(result)) == ("failed", ["DAT008"]), config
        assert_tidy(desk, result)


def test_failure_belongs_to_the_step_that_failed(desk, make_step):
    steps = [
        make_step("a", "numbers", rows=9000),
        make_step("b", "passing", "transform", ["a"], fail_after=3),
        make_step("c", "passing", "transform", ["b"]),
        make_step("w", "file_writer", "write", ["c"], path="x.txt"),
    ]
    result = desk.run(desk.plan(steps))
    assert codes(result) == ["DRV000"]
    assert "batch 3 is not to my taste" in result.diagnostics[0].message
    ends = {e["step"]: e["event"] for e in desk.events(result) if e["event"] in STEP_ENDS}
    assert ends == {"a": "step_cancelled", "b": "step_failed", "c": "step_cancelled", "w": "step_cancelled"}
    assert not (desk.project.root / "x.txt").exists()
    assert_tidy(desk, result)
