"""Signals to host and worker, silence, and two runs at once; each with its own processes."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.patience import SOON, wait_until

from osiris.errors import OsirisError
from osiris.runner.host.run import RunOptions, run
from osiris.session.writing import ENDS

HOST = Path(__file__).with_name("host.py")


@pytest.fixture
def slow_plan(desk, make_step):
    """A run that waits in the middle of its rows until the gate is open."""
    return desk.plan(
        [
            make_step("a", "numbers", rows=2000, gate="gate"),
            make_step("w", "file_writer", "write", ["a"], path="output/x.txt"),
        ]
    )


@pytest.fixture
def open_gate(desk):
    return (desk.project.root / "gate").touch


@pytest.fixture
def stubborn_plan(desk, make_step):
    """A run that does not stop when requested."""
    here = desk.project.root / "here-a"
    return desk.plan(
        [
            make_step("a", "misbehaving", deed="ignore_everything", text=str(here)),
            make_step("w", "file_writer", "write", ["a"], path="output/x.txt"),
        ]
    )


@pytest.fixture
def start(desk, tmp_path):
    """Start a host, and wait for the middle of its step `a` if asked to; it is killed if the test has not ended it."""
    hosts = []

    def call(plan, *, until_middle=False):
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(plan.data))
        host = subprocess.Popen(
            [desk.python, HOST, desk.project.root, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        hosts.append(host)
        if until_middle:
            wait_until(lambda: (desk.project.root / "here-a").exists() or host.poll() is not None)
            assert host.poll() is None, host.stderr.read()
        return host

    yield call
    for host in hosts:
        host.kill()
        host.communicate()


def worker_of(host):
    return int(Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()[0])


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def finish(host, number=None):
    """Send a signal to a host, if any, and wait for it; returns its last line, its exit code and the duration."""
    began = time.monotonic()
    if number:
        host.send_signal(number)
    out, err = host.communicate(timeout=300)
    assert "Traceback" not in err, err
    return json.loads(out.splitlines()[-1]), host.returncode, time.monotonic() - began


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_cancels_and_the_same_command_continues(desk, start, slow_plan, open_gate, number, code):
    last, exit_code, seconds = finish(start(slow_plan, until_middle=True), number)
    assert (last, exit_code) == ({"event": "result", "status": "cancelled", "codes": ["RUN003"]}, code)
    assert seconds < SOON
    assert not (desk.project.root / "output/x.txt").exists()
    assert desk.left_over() == []
    open_gate()
    last, exit_code, _ = finish(start(slow_plan))
    assert (last["status"], last["codes"], exit_code) == ("complete", ["RUN011"], 0)


def test_a_signal_while_sources_are_asked_cancels_too(desk, start, make_step):
    source = desk.project.root / "a.json"
    source.write_text('{"columns": [["id", "int64"]]}')
    reader = make_step("a", "shifting", path="a.json")
    plan = desk.plan([reader, make_step("w", "file_writer", "write", ["a"], path="output/x.txt")])
    source.unlink()
    os.mkfifo(source)
    host = start(plan)
    with source.open("w") as told:  # opened once the worker reads it
        told.write('{"columns": [["id", "int64"]], "pause": 600}')
    last, exit_code, _ = finish(host, signal.SIGINT)
    assert (last["status"], exit_code) == ("cancelled", 130)


def test_stubborn_worker_is_killed_in_time(desk, start, stubborn_plan):
    last, exit_code, seconds = finish(start(stubborn_plan, until_middle=True), signal.SIGINT)
    assert (last["status"], exit_code) == ("cancelled", 130)
    assert 3 < seconds < SOON
    assert desk.left_over() == []


def test_second_interrupt_ends_it_at_once(desk, stubborn_plan):
    """Not because the time after the first one is over."""

    def interrupt(event):
        if event["event"] == "step_start":
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)

    with desk.worker() as link:
        result = run(desk.project, stubborn_plan, desk.config, RunOptions(environ={}), interrupt, link)
    assert link._killed_for == "a second SIGINT"
    assert (result.status, result.exit_code) == ("cancelled", 130)
    assert desk.left_over() == []


def test_terminated_worker_is_a_failed_run(desk, start, slow_plan):
    host = start(slow_plan, until_middle=True)
    os.kill(worker_of(host), signal.SIGTERM)
    last, exit_code, seconds = finish(host)
    assert (last["status"], last["codes"], exit_code) == ("failed", ["RUN001"], 1)
    assert seconds < SOON
    assert desk.left_over() == []


@pytest.mark.parametrize("plan", ["slow_plan", "stubborn_plan"])
def test_worker_does_not_outlive_its_host(desk, start, plan, request):
    host = start(request.getfixturevalue(plan), until_middle=True)
    worker = worker_of(host)
    host.kill()
    wait_until(lambda: not is_running(worker))
    assert [p for p in desk.project.root.rglob("*") if ".tmp" in p.name] == []
    assert list(desk.project.scratch.glob("*")) == []


def test_frozen_worker_ends_the_run(desk, slow_plan):
    with desk.worker(silence=8.0) as link:

        def freeze(event):
            if event["event"] == "step_start":
                os.kill(link.pid, signal.SIGSTOP)

        began = time.monotonic()
        result = run(desk.project, slow_plan, desk.config, RunOptions(environ={}), freeze, link)
    assert 8 <= time.monotonic() - began < SOON
    assert (result.status, [d.code for d in result.diagnostics]) == ("failed", ["RUN001"])
    assert "no sign of life for 8 s" in result.diagnostics[0].message


def test_second_run_names_the_first(desk, start, slow_plan, open_gate):
    first = start(slow_plan, until_middle=True)
    last, exit_code, seconds = finish(start(slow_plan))
    assert exit_code == 75
    assert seconds < SOON
    (refused,) = last["diagnostics"]
    assert refused["code"] == "RUN004"
    assert f"run of 'trial' (process {first.pid}" in refused["message"]
    open_gate()
    assert finish(first)[:2] == ({"event": "result", "status": "complete", "codes": []}, 0)


def test_lost_run_is_closed_by_the_next(desk, start, slow_plan, open_gate):
    host = start(slow_plan, until_middle=True)
    host.kill()
    host.wait()
    open_gate()
    last, exit_code, _ = finish(start(slow_plan))
    assert (last["status"], last["codes"], exit_code) == ("complete", ["RUN011"], 0)
    lost, won = sorted(desk.project.logs.iterdir())
    summary = json.loads((lost / "run.json").read_text())
    events = [json.loads(line) for line in (lost / "events.jsonl").read_text().splitlines()]
    assert (summary["status"], summary["diagnostics"][0]["code"]) == ("lost", "RUN008")
    assert [e["event"] for e in events][-1] == "run_lost"
    assert [e["event"] for e in events if e["event"] in ENDS] == ["run_lost"]
    assert json.loads((won / "run.json").read_text())["continues"] == lost.name


def test_describing_worker_can_run_afterwards(desk, make_step):
    from osiris.runner.protocol import Secrets

    steps = [make_step("a", "numbers", rows=10), make_step("w", "file_writer", "write", ["a"], path="x.txt")]
    told = []
    with desk.worker() as link:
        assert link.ask(desk.job("describe", steps), Secrets(), told.append)["ok"]
        schemas = {event["step"]: event["schema"] for event in told}
        plan = desk.by_hand([{**step, "schema": schemas[step["id"]]} for step in steps])
        result = run(desk.project, plan, desk.config, RunOptions(environ={}), link=link)
        again = run(desk.project, plan, desk.config, RunOptions(environ={}), link=link)
    assert (result.status, again.status) == ("complete", "complete")
    assert result.run_key != again.run_key


def test_jobs_of_later_versions_are_refused(desk):
    from osiris.runner.protocol import Secrets

    with desk.worker() as link:
        end = link.ask(desk.job("dance", []), Secrets(), lambda _event: None)
        assert (end["ok"], end["diagnostics"][0]["code"]) == (False, "RUN007")


def test_resuming_nothing_is_refused(desk, slow_plan):
    with pytest.raises(OsirisError, match="has never run here") as caught:
        desk.run(slow_plan, resume="last")
    assert caught.value.diagnostics[0].code == "RUN006"
