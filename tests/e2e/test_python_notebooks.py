"""`osiris.run` where notebooks run: threads, event loops, replaced streams, Ctrl-C, and kernels that are restarted."""

import asyncio
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.chance import draw_seed
from tests.patience import SOON

import osiris

SLOW = """
oml_version: "0.1.0"
name: slow
steps:
  - {id: small, component: filesystem.csv_extractor, mode: read, config: {path: n.csv}}
  - {id: first, component: filesystem.csv_writer, mode: write, needs: [small], config: {path: out/first.csv}}
  - id: large
    component: duckdb.processor
    mode: transform
    needs: [first]
    inputs: {small: "@small"}
    config:
      query: SELECT count(*) AS rows FROM small, range(200000) a, range(LENGTH) b WHERE (a.range * b.range) % 7 = 3
  - {id: second, component: filesystem.csv_writer, mode: write, needs: [large], config: {path: out/second.csv}}
"""
LONG, SHORT = "1000000", "1"
SCRIPT = """
import asyncio, json, osiris, sys, threading
def told(event):
    print(json.dumps(event["event"] + " " + event.get("step", "")), flush=True)
def call():
    try:
        osiris.run("slow.yaml", progress=told)
    except KeyboardInterrupt:
        print("interrupted", osiris.open_project().root, threading.active_count(), flush=True)
        raise SystemExit(3)
async def main():
    call()
{last}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project that is the working directory, with a pipeline that takes very long until `n.csv` is read again."""
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "n.csv").write_text("n\n1\n2\n")
    (tmp_path / "slow.yaml").write_text(SLOW.replace("LENGTH", LONG))
    (tmp_path / "quick.yaml").write_text(SLOW.replace("LENGTH", SHORT).replace("slow", "quick"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(last):
    """Return a process that runs the slow pipeline, when its long step has begun, and the ids of its children."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(last=last)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.strip() == '"step_start large"':
            break
    children = [
        int(word) for file in Path(f"/proc/{process.pid}/task").glob("*/children") for word in file.read_text().split()
    ]
    assert children
    return process, children


def are_gone(processes):
    deadline = time.monotonic() + SOON
    while any(Path(f"/proc/{each}").exists() for each in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(Path(f"/proc/{each}").exists() for each in processes)


def in_a_thread(action):
    """Return what a call gives in a thread that is not the main one."""
    results = []
    thread = threading.Thread(target=lambda: results.append(action()))
    thread.start()
    thread.join()
    return results[0]


def test_in_a_thread(project):
    run = in_a_thread(lambda: osiris.run("quick.yaml"))
    assert run.output("first").arrow().to_pydict() == {"n": [1, 2]}
    assert in_a_thread(lambda: run.output("first").polars().height) == 2


def test_in_several_threads(project):
    calls = [threading.Thread(target=osiris.run, args=("quick.yaml",)) for _ in range(3)]
    for each in calls:
        each.start()
    for each in calls:
        each.join()
    assert len([*(project / "logs").glob("*/run.json")]) == 3


def test_while_an_event_loop_runs(project):
    async def cell():
        ticks = asyncio.create_task(asyncio.sleep(0))
        here = osiris.run("quick.yaml")
        there = await asyncio.to_thread(osiris.run, "quick.yaml")
        await ticks
        return here, there

    here, there = asyncio.run(cell())
    assert (here.ok, there.ok) == (True, True)
    assert osiris.verify(here, there).same


class Cell(io.StringIO):
    """A stream as notebooks put in the place of standard output: without a file descriptor."""

    def fileno(self):
        raise io.UnsupportedOperation("fileno")


def test_with_other_streams(project, monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, Cell())
    run = osiris.run("quick.yaml")
    assert run.ok
    assert (sys.stdout.getvalue(), sys.stderr.getvalue()) == ("", "")


@pytest.mark.parametrize("error", [ValueError("enough"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_what_progress_raises_stops_the_run(project, error):
    told = []

    def progress(event):
        told.append(event["event"])
        if event.get("step") == "large":
            raise error

    with pytest.raises(type(error)) as caught:
        osiris.run("slow.yaml", progress=progress)
    (ended,) = [json.loads(file.read_text()) for file in (project / "logs").glob("*/run.json")]
    assert (caught.value, ended["status"]) == (error, "cancelled")
    assert ended["session"] in caught.value.__notes__[-1]
    assert told[-1] == "step_start"
    (project / "slow.yaml").write_text(SLOW.replace("LENGTH", SHORT))
    assert osiris.run("slow.yaml").ok


def test_progress(project):
    events = []
    run = osiris.run("quick.yaml", progress=events.append)
    recorded = [json.loads(line)["event"] for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == recorded


@pytest.mark.parametrize("last", ["call()", "asyncio.run(main())"], ids=["cell", "event loop"])
def test_ctrl_c(project, last):
    process, children = started(last)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 3, err
    assert f"interrupted {project} 1" in out
    assert "Traceback" not in err
    assert are_gone(children)
    assert not list((project / ".osiris" / "scratch").iterdir())
    (record,) = (project / "logs").glob("*/run.json")
    assert json.loads(record.read_text())["status"] == "cancelled"
    resumed_after(project)


def resumed_after(project):
    """Resume the run with a plan of the same pipeline, which finds the first file delivered."""
    written = (project / "out" / "first.csv").stat().st_mtime_ns
    process, _ = started("call()")
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=300)
    last = json.loads(max((project / "logs").glob("*/run.json")).read_text())
    assert last["continues"]
    assert last["steps"]["first"]["status"] == "skipped"
    assert (project / "out" / "first.csv").stat().st_mtime_ns == written
    assert not (project / "out" / "second.csv").exists()


def test_sigterm_ends_the_process_as_ever(project):
    process, children = started("call()")
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGTERM
    assert are_gone(children)
    (record,) = (project / "logs").glob("*/run.json")
    assert json.loads(record.read_text())["status"] == "cancelled"


LOOP = """
async def main():
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    calls = []
    loop.add_signal_handler(signal.SIGTERM, lambda: (calls.append(1), stopped.set()))
    try:
        osiris.run("slow.yaml", progress=told)
    except osiris.RunFailed as error:
        print(error.run.status, error.exit_code, flush=True)
    await stopped.wait()
    await asyncio.sleep(0.2)
    print("stopped", len(calls), flush=True)
import signal
asyncio.run(main())
"""


def test_an_event_loop_gets_a_signal_once(project):
    process, children = started(LOOP)
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "cancelled 143\nstopped 1\n" in out
    assert are_gone(children)


def test_a_kernel_that_is_killed(project):
    process, children = started("call()")
    process.kill()
    process.communicate(timeout=300)
    assert are_gone(children)
    assert list((project / ".osiris" / "scratch").iterdir())
    resumed_after(project)
    lost, last = sorted((project / "logs").glob("*/run.json"))
    assert json.loads(lost.read_text())["status"] == "lost"
    assert json.loads(last.read_text())["continues"] == lost.parent.name
    assert not list((project / ".osiris" / "scratch").glob("describe-*"))


def test_a_resumed_run_says_which_rows_it_has(project):
    failing = SLOW.replace("LENGTH", SHORT).replace("name: slow", "name: failing")
    failing = failing.replace("SELECT count(*)", "SELECT error('not yet') AS e, count(*)")
    (project / "failing.yaml").write_text(failing)
    with pytest.raises(osiris.RunFailed) as failed:
        osiris.run("failing.yaml")
    assert failed.value.run.output("first").arrow().to_pydict() == {"n": [1, 2]}
    again = osiris.run(resume=True, check=False)
    assert again.steps["first"].status == "skipped"
    with pytest.raises(osiris.OsirisError, match=r"step 'first' are not available: the step is skipped: .*\n +hint:"):
        again.output("first")
    assert again.explain().startswith(f"The run resumed {failed.value.run.session}")


@pytest.mark.parametrize("turn", range(6))
def test_ctrl_c_at_any_time(project, turn):
    pause = random.Random(draw_seed()).uniform(0, 1.5)
    script = "print(flush=True); import osiris; run = osiris.run('quick.yaml'); print(run.output('second').rows)"
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) in [(0, "1\n"), (-signal.SIGINT, ""), (-signal.SIGINT, "1\n")], err
    assert err.strip().rpartition("\n")[2] in ("", "KeyboardInterrupt")
    assert osiris.run("quick.yaml").ok
    statuses = [json.loads(file.read_text())["status"] for file in (project / "logs").glob("*/run.json")]
    assert {*statuses} <= {"complete", "cancelled", "lost"}
    assert not list((project / ".osiris" / "spools").glob("*"))


def test_signal_handlers_are_put_back(project):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    osiris.run("quick.yaml")
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
