"""The same pipeline reports, leaves and writes the same locally, in a local sandbox, and on E2B."""

import os
import signal
import subprocess

import pytest
from tests.conftest import KEPT, OSIRIS
from tests.parity import told
from tests.parity.cases import BY_CUSTOMER, CASES, FOREVER, READ, WRITE, Case, leave_a_stranger, read, sql, write
from tests.patience import wait_until

ASPECTS = (told.events, told.metrics, told.artifacts, told.outputs, told.package)


def assert_same(done):
    here, process = done.pop("local")
    for folder, other in done.values():
        assert other.returncode == process.returncode
        for aspect in ASPECTS:
            assert aspect(folder) == aspect(here), aspect.__name__
        spoken = told.spoken(other.stderr, told.session_of(folder))
        assert spoken == told.spoken(process.stderr, told.session_of(here))


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_the_same_everywhere(run_everywhere, name):
    case = CASES[name]
    done = run_everywhere(name, case)
    folder, process = done["local"]
    assert process.returncode == case.exit_code, process.stderr
    assert told.events(folder)[-1]["event"] == ("run_failed" if case.exit_code else "run_complete")
    assert_same(done)


def test_a_folder_of_others_is_refused_everywhere(run_everywhere):
    """A remote run is only rejected when its files come back: the sandbox does not see the local folder."""
    done = run_everywhere("amid_others", Case((READ, BY_CUSTOMER), prepare=leave_a_stranger))
    for folder, process in done.values():
        assert (process.returncode, "DRV045" in process.stderr) == (1, True), process.stderr
        assert sorted(path.name for path in (folder / "output/by_customer").rglob("*")) == ["mine.csv"]


def signs_of_life(folder):
    """Return how often the worker of the only run has reported its memory, which it does once a second."""
    return sum(path.read_text().count('"memory_bytes"') for path in folder.glob("logs/*/metrics.jsonl"))


def interrupted(*words, cwd, env):
    """Run a command, and press Ctrl-C when its last step has been running for some seconds.

    By then it has read all its rows, so all targets have counted the same.
    """
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    process = subprocess.Popen([OSIRIS, *words], cwd=cwd, env=kept | env, stderr=subprocess.PIPE, text=True)
    said = ""
    while " step_start out" not in (line := process.stderr.readline()):
        assert line
        said += line
    before = signs_of_life(cwd)
    wait_until(lambda: signs_of_life(cwd) >= before + 4)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, "", said + line + rest)


def test_a_cancelled_run_is_the_same_everywhere(run_everywhere):
    first = write(path="output/first.csv", name="first", needs="needs: [orders],")
    steps = (READ, first, read(name="again", needs="needs: [first],"), sql(FOREVER.replace("orders", "again")), WRITE)
    done = run_everywhere("cancelled", Case(steps), start=interrupted)
    folder, process = done["local"]
    assert process.returncode == 130
    assert told.events(folder)[-1]["event"] == "run_cancelled"
    assert "output/first.csv" in told.outputs(folder)
    assert_same(done)
