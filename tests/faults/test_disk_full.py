"""No space left: for an output, a spool, or the session itself.

Existing data stays, and the same command completes the run.
"""

import json
import os
import resource
import subprocess
import tempfile
from pathlib import Path

import pytest

HOST = Path(__file__).with_name("host.py")
SMALL = 200_000


def can_mount():
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return done.returncode == 0


MEANS = ["limit", "disk"] if os.geteuid() == 0 and can_mount() else ["limit"]
"""A limit on the size of files everywhere, and a small disk where we may mount one."""


FULL = {"limit": "DRV006", "disk": "DRV004"}
"""What is said: only a disk has no space left."""


@pytest.fixture
def small(desk):
    """Make a folder of the project small until `.enlarge()`; returns the limit for the host's files, if that is the
    way.
    """
    mounted = []

    class Small:
        limit = None

        def make(self, means, folder):
            (desk.project.root / folder).mkdir(exist_ok=True)
            if means == "limit":
                self.limit = SMALL
                return
            target = desk.project.root / folder
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "none", target], check=True)
            mounted.append(target)

        def enlarge(self):
            self.limit = None
            for target in mounted:
                subprocess.run(["mount", "-o", "remount,size=100m", "none", target], check=True)

    yield Small()
    for target in mounted:
        subprocess.run(["umount", target], check=True)


@pytest.fixture
def execute(desk, small):
    def call(plan):
        path = desk.project.root / "plan.json"
        path.write_text(json.dumps(plan.data))

        def lower():
            resource.setrlimit(resource.RLIMIT_FSIZE, (small.limit, resource.RLIM_INFINITY))

        host = subprocess.run(
            [desk.python, HOST, desk.project.root, path],
            capture_output=True,
            text=True,
            timeout=300,
            preexec_fn=lower if small.limit else None,
        )
        assert host.stderr == ""
        return json.loads(host.stdout.splitlines()[-1]), host.returncode

    return call


@pytest.fixture
def plan(desk, make_step):
    return desk.plan(
        [
            make_step("a", "numbers", rows=60_000),
            make_step("w", "file_writer", "write", ["a"], path="output/x.txt"),
        ]
    )


def sessions(desk):
    return sorted(path for path in desk.project.logs.iterdir() if path.is_dir())


@pytest.mark.parametrize("means", MEANS)
def test_output_does_not_fit(desk, small, execute, plan, means):
    small.make(means, "output")
    (desk.project.root / "output/x.txt").write_text("old")
    last, exit_code = execute(plan)
    assert (last["status"], last["codes"], exit_code) == ("failed", [FULL[means]], 1)
    summary = json.loads((sessions(desk)[-1] / "run.json").read_text())
    assert "x.txt" in summary["diagnostics"][0]["message"]
    assert [p.name for p in (desk.project.root / "output").iterdir()] == ["x.txt"]
    assert (desk.project.root / "output/x.txt").read_text() == "old"
    small.enlarge()
    last, exit_code = execute(plan)
    assert (last["status"], last["codes"], exit_code) == ("complete", ["RUN011"], 0)
    assert len((desk.project.root / "output/x.txt").read_bytes()) > SMALL
    assert desk.left_over() == []


@pytest.mark.parametrize("means", MEANS)
def test_spool_does_not_fit(desk, small, execute, make_step, means):
    plan = desk.plan(
        [
            make_step("a", "numbers", rows=20_000),
            make_step("v", "file_writer", "write", ["a"], path="output/v.txt"),
            make_step("w", "file_writer", "write", ["a"], path="output/w.txt"),
        ]
    )
    small.make(means, ".osiris")
    last, exit_code = execute(plan)
    assert (last["status"], last["codes"], exit_code) == ("failed", [FULL[means]], 1)
    assert not (desk.project.root / "output").exists()
    small.enlarge()
    assert execute(plan) == ({"event": "result", "status": "complete", "codes": ["RUN011"]}, 0)
    assert desk.left_over() == []


@pytest.mark.parametrize("means", MEANS)
def test_session_does_not_fit(desk, small, execute, make_step, means):
    text = "x" * SMALL
    plan = desk.plan(
        [
            make_step("a", "misbehaving", deed="emit", text=text),
            make_step("w", "file_writer", "write", ["a"], path="output/x.txt"),
        ],
    )
    plan.data["steps"][0]["config"]["text"] = text[: SMALL // 2]
    small.make(means, "logs")
    last, exit_code = execute(plan)
    assert (last["event"], exit_code) == ("refused", 2)
    (problem,) = last["diagnostics"]
    assert problem["code"] == "PRJ006"
    assert "cannot write" in problem["message"]
    small.enlarge()
    last, exit_code = execute(plan)
    assert (last["status"], exit_code) == ("complete", 0)
    lost, won = sessions(desk)
    assert json.loads((lost / "run.json").read_text())["status"] == "lost"
    assert json.loads((won / "run.json").read_text())["continues"] == lost.name
    assert desk.left_over() == []


def test_project_cannot_be_written(desk, execute, plan):
    (desk.project.root / "logs").write_text("a file is in the way")
    last, exit_code = execute(plan)
    assert (last["event"], last["diagnostics"][0]["code"], exit_code) == ("refused", "PRJ006", 2)
